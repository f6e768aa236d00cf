"""What is bad input, why, and that nothing of it shows in the error."""

import json
import traceback
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
import pytest

from wardstream.schemas.alerts import Alert
from wardstream.schemas.bad_event import REASONS, BadEvent
from wardstream.schemas.decode import MAX_BYTES, check, decode, decoder, decoder_of, encode
from wardstream.schemas.envelope import Event
from wardstream.schemas.metrics import Metrics
from wardstream.schemas.topics import TOPICS
from wardstream.schemas.vitals import Vitals

ABSENT = object()
ID = "018f6b1e-7c00-7000-8000-0000000000ff"
LEAD = {"name": "II", "unit": "mV", "counts_per_unit": 200, "samples": [1, 2]}

Examples = dict[str, dict[str, Any]]


def changed(example: dict[str, Any], **changes: object) -> bytes:
    message = {**example, **changes}
    return json.dumps({key: value for key, value in message.items() if value is not ABSENT}).encode()


def outcome(name: str, raw: bytes) -> BadEvent | None:
    try:
        decoder_of(TOPICS[name].type)(raw)
    except BadEvent as bad:
        return bad
    return None


ENVELOPE_BAD: list[tuple[dict[str, object], str, str]] = [
    ({"patient_id": ABSENT}, "missing_field", "patient_id"),
    ({"patient_id": ""}, "bad_format", "patient_id"),
    ({"patient_id": "a b"}, "bad_format", "patient_id"),
    ({"patient_id": "a\n"}, "bad_format", "patient_id"),
    ({"patient_id": "-a"}, "bad_format", "patient_id"),
    ({"patient_id": "pätient"}, "bad_format", "patient_id"),
    ({"patient_id": "a" * 129}, "too_large", "patient_id"),
    ({"patient_id": 17}, "wrong_type", "patient_id"),
    ({"source": "gateway\x1b[31m"}, "bad_format", "source"),
    ({"facility": "no\nrth"}, "bad_format", "facility"),
    ({"encounter_id": "e\x00"}, "bad_format", "encounter_id"),
    ({"trace": "x" * 129}, "too_large", "trace"),
    ({"event_id": "17"}, "bad_format", "event_id"),
    ({"event_id": ABSENT}, "missing_field", "event_id"),
    ({"received_at": ABSENT}, "missing_field", "received_at"),
    ({"observed_at": "2026-03-14T08:30:00"}, "bad_format", "observed_at"),
    ({"available_at": "2026-03-14T08:30:00"}, "bad_format", "available_at"),
    ({"observed_at": "14.03.2026"}, "bad_format", "observed_at"),
    ({"observed_at": 1773477000}, "wrong_type", "observed_at"),
    ({"observed_at": "2000-01-01T00:05:00.001Z", "received_at": "2000-01-01T00:00:00Z"}, "future", "observed_at"),
    ({"observed_at": "1799-01-01T00:00:00Z"}, "out_of_bounds", "observed_at"),
    ({"received_at": "2300-01-01T00:00:00Z"}, "out_of_bounds", "received_at"),
    ({"received_at": "9999-12-31T23:59:59-10:00"}, "out_of_bounds", "received_at"),
    ({"observed_at": "0001-01-01T00:00:00+10:00"}, "out_of_bounds", "observed_at"),
    ({"status": "entered-in-error"}, "bad_format", "status"),
    ({"status": "corrected"}, "missing_field", "supersedes"),
    ({"status": "cancelled"}, "missing_field", "supersedes"),
    ({"event_id": ID, "supersedes": ID}, "inconsistent", "supersedes"),
    ({"provenance": "guessed"}, "bad_format", "provenance"),
]


@pytest.mark.parametrize(("changes", "reason", "field"), ENVELOPE_BAD)
@pytest.mark.parametrize("name", [name for name, topic in TOPICS.items() if issubclass(topic.type, Event)])
def test_bad_envelope(name: str, changes: dict[str, object], reason: str, field: str, examples: Examples) -> None:
    bad = outcome(name, changed(examples[name], **changes))
    assert bad is not None
    assert (bad.reason, bad.fields[0]) == (reason, field)


BAD: list[tuple[str, dict[str, object], str, tuple[str, ...]]] = [
    ("vitals.v1", {"heart_rate_bpm": -999}, "out_of_bounds", ("heart_rate_bpm",)),
    ("vitals.v1", {"temperature_celsius": 98.6}, "out_of_bounds", ("temperature_celsius",)),
    ("vitals.v1", {"fio2_fraction": 28}, "out_of_bounds", ("fio2_fraction",)),
    ("vitals.v1", {"heart_rate_bpm": "88"}, "wrong_type", ("heart_rate_bpm",)),
    ("vitals.v1", {"heart_rate_bpm": True}, "wrong_type", ("heart_rate_bpm",)),
    ("vitals.v1", {"gcs_eye": 3.5}, "wrong_type", ("gcs_eye",)),
    ("vitals.v1", {"gcs_eye": 10**30}, "out_of_bounds", ("gcs_eye",)),
    ("vitals.v1", {"consciousness": "awake"}, "bad_format", ("consciousness",)),
    ("vitals.v1", {"diastolic_mmhg": 113}, "inconsistent", ("diastolic_mmhg", "systolic_mmhg")),
    (
        "vitals.v1",
        {"gcs_eye": 4, "gcs_verbal": 5, "gcs_motor": 6, "gcs_total": 14},
        "inconsistent",
        ("gcs_total", "gcs_eye", "gcs_verbal", "gcs_motor"),
    ),
    ("labs.v1", {"value": ABSENT}, "empty", ("value", "text")),
    ("labs.v1", {"value": ABSENT, "text": "low", "comparator": "<"}, "missing_field", ("value",)),
    ("labs.v1", {"value": -0.1}, "out_of_bounds", ("value",)),
    ("labs.v1", {"loinc": "lactate"}, "bad_format", ("loinc",)),
    ("labs.v1", {"loinc": "32693-45678"}, "too_large", ("loinc",)),
    ("labs.v1", {"text": "x" * 1001}, "too_large", ("text",)),
    ("admissions.v1", {"kind": ABSENT}, "missing_field", ("kind",)),
    ("admissions.v1", {"kind": "merge"}, "missing_field", ("merged_patient_id",)),
    ("admissions.v1", {"kind": "merge", "merged_patient_id": "a b"}, "bad_format", ("merged_patient_id",)),
    (
        "admissions.v1",
        {"kind": "merge", "merged_patient_id": "p-3f9a1c07"},
        "inconsistent",
        ("merged_patient_id", "patient_id"),
    ),
    ("admissions.v1", {"merged_patient_id": "p-2"}, "inconsistent", ("merged_patient_id", "kind")),
    (
        "admissions.v1",
        {"kind": "transfer", "unit": ABSENT, "room": ABSENT, "bed": ABSENT, "patient_class": ABSENT},
        "missing_field",
        ("unit",),
    ),
    ("admissions.v1", {"acuity": 6}, "out_of_bounds", ("acuity",)),
    ("admissions.v1", {"age_years": 999}, "out_of_bounds", ("age_years",)),
    ("waveforms.v1", {"leads": []}, "empty", ("leads",)),
    ("waveforms.v1", {"leads": [LEAD, LEAD]}, "inconsistent", ("leads[].name",)),
    ("waveforms.v1", {"leads": [LEAD, {**LEAD, "name": "V1", "samples": [1]}]}, "inconsistent", ("leads[].samples",)),
    ("waveforms.v1", {"leads": [{**LEAD, "samples": []}]}, "bad_format", ("leads[].samples",)),
    ("waveforms.v1", {"leads": [{**LEAD, "samples": [0] * 60_001}]}, "too_large", ("leads[].samples",)),
    ("waveforms.v1", {"leads": [{**LEAD, "samples": [2**31]}]}, "out_of_bounds", ("leads[].samples[]",)),
    ("waveforms.v1", {"leads": [{**LEAD, "counts_per_unit": 0}]}, "out_of_bounds", ("leads[].counts_per_unit",)),
    ("waveforms.v1", {"leads": [LEAD] * 17}, "too_large", ("leads",)),
    ("waveforms.v1", {"leads": [{"name": "II"}]}, "missing_field", ("leads[].unit",)),
    ("waveforms.v1", {"rate_hz": 0}, "out_of_bounds", ("rate_hz",)),
    ("imaging.v1", {"study_uid": "1..2"}, "bad_format", ("study_uid",)),
    ("imaging.v1", {"pixels_uri": "data:image/png;base64,AAAA"}, "bad_format", ("pixels_uri",)),
    ("imaging.v1", {"pixels_uri": ABSENT}, "missing_field", ("pixels_uri",)),
    ("notes.v1", {"text": ABSENT}, "empty", ("text",)),
    ("notes.v1", {"text": "x" * 200_001}, "too_large", ("text",)),
    ("orders.v1", {"order_id": ABSENT, "procedure": ABSENT}, "missing_field", ("order_id", "procedure")),
    ("orders.v1", {"state": "lost"}, "bad_format", ("state",)),
    ("medications.v1", {"name": ABSENT, "code": ABSENT}, "missing_field", ("name", "code")),
    ("medications.v1", {"ends_at": "2026-03-14T09:19:00Z"}, "inconsistent", ("starts_at", "ends_at")),
    ("medications.v1", {"dose": -1}, "out_of_bounds", ("dose",)),
    (
        "outcomes.v1",
        {"window_from": "2026-03-14T00:00:00Z"},
        "inconsistent",
        ("window_from", "occurred", "observed_at"),
    ),
    ("acknowledgements.v1", {"action": "snooze"}, "missing_field", ("snooze_until",)),
    (
        "acknowledgements.v1",
        {"action": "snooze", "snooze_until": "2026-03-14T08:33:20Z"},
        "out_of_bounds",
        ("snooze_until",),
    ),
    ("acknowledgements.v1", {"action": "hand_over"}, "missing_field", ("handed_to",)),
    ("acknowledgements.v1", {"action": "rate", "useful": ABSENT}, "missing_field", ("useful",)),
    ("ticks.v1", {"observed_at": "2026-03-14T08:30:59Z"}, "inconsistent", ("observed_at", "received_at")),
    ("ticks.v1", {"source": "example"}, "bad_format", ("source",)),
    ("scores.v1", {"scores": [{"name": "a", "version": "1"}]}, "missing_field", ("scores[].complete",)),
    (
        "scores.v1",
        {"scores": [{"name": "a", "version": "1", "complete": True}] * 2},
        "inconsistent",
        ("scores[].name",),
    ),
    (
        "scores.v1",
        {"scores": [{"name": "a", "version": "1", "complete": True, "missing": ["b"]}]},
        "inconsistent",
        ("scores[].complete", "scores[].missing"),
    ),
    ("predictions.v1", {"probability": 1.01}, "out_of_bounds", ("probability",)),
    ("predictions.v1", {"probability": ABSENT}, "missing_field", ("probability",)),
    ("predictions.v1", {"quality": "degraded"}, "missing_field", ("reason",)),
    (
        "predictions.v1",
        {"quality": "abstained", "reason": "too little is known"},
        "inconsistent",
        ("quality", "probability", "calibrated_probability"),
    ),
    ("predictions.v1", {"input_from": "2026-03-14T08:31:00Z"}, "inconsistent", ("input_from", "input_until")),
    ("alerts.v1", {"evidence": {}}, "missing_field", ("evidence.caused_by",)),
    (
        "alerts.v1",
        {"evidence": {"caused_by": ID, "values": {"x": {"value": []}}}},
        "wrong_type",
        ("evidence.values[].value",),
    ),
    ("metrics.v1", {"counters": {"Bad Name": 1}}, "bad_format", ("counters",)),
    ("metrics.v1", {"started_at": "2026-03-14T08:30:06Z"}, "inconsistent", ("started_at", "at")),
    (
        "metrics.v1",
        {"histograms": {"a": {"scheme": "s", "counts": {"1": 2}, "count": 3}}},
        "inconsistent",
        ("histograms[].count", "histograms[].counts"),
    ),
    (
        "metrics.v1",
        {"histograms": {"a": {"scheme": "s", "counts": {"1" * 6000: 1}}}},
        "out_of_bounds",
        ("histograms[].counts",),
    ),
]


@pytest.mark.parametrize(("name", "changes", "reason", "fields"), BAD)
def test_bad(name: str, changes: dict[str, object], reason: str, fields: tuple[str, ...], examples: Examples) -> None:
    bad = outcome(name, changed(examples[name], **changes))
    assert bad is not None
    assert (bad.reason, bad.fields) == (reason, fields)
    assert bad.reason in REASONS


GOOD: list[tuple[str, dict[str, object]]] = [
    ("vitals.v1", {"observed_at": "2110-01-01T00:05:00Z", "received_at": "2110-01-01T00:00:00Z"}),  # MIMIC-IV's years
    ("vitals.v1", {"observed_at": "2026-01-01T00:00:00Z", "received_at": "2026-03-01T00:00:00Z"}),  # late is not bad
    ("vitals.v1", {"diastolic_mmhg": 112}),
    ("vitals.v1", {"gcs_eye": 4, "gcs_motor": 6, "gcs_total": 14}),  # verbal not testable
    ("vitals.v1", {"a_newer_field": {"deep": [1, {"x": None}]}}),
    ("vitals.v1", {"source": "überwachung 3\u00a0b", "trace": None}),
    ("vitals.v1", {"status": "corrected", "supersedes": ID}),
    ("labs.v1", {"value": 44.0, "unit": "mg/dL"}),  # another unit has other bounds, of which none are known
    ("labs.v1", {"value": None, "text": "hemolysed"}),
    ("labs.v1", {"value": None, "status": "cancelled", "supersedes": ID}),
    ("labs.v1", {"value": 0.2, "comparator": "<"}),
    ("admissions.v1", {"unit": None, "room": None, "bed": None}),  # hospitals omit units
    ("admissions.v1", {"kind": "transfer", "unit": None, "room": None, "bed": None}),  # a change of class
    ("admissions.v1", {"kind": "merge", "merged_patient_id": "p-2"}),
    ("waveforms.v1", {"leads": [], "status": "cancelled", "supersedes": ID}),
    ("imaging.v1", {"series_uid": None, "instance_uid": None, "pixels_uri": None, "pixels_sha256": None}),
    ("notes.v1", {"text": None, "status": "cancelled", "supersedes": ID}),
    ("outcomes.v1", {"occurred": False, "window_from": "2026-03-14T00:00:00Z"}),
    ("acknowledgements.v1", {"action": "snooze", "snooze_until": "2026-03-14T09:00:00Z"}),
    (
        "predictions.v1",
        {"quality": "abstained", "reason": "a child", "probability": None, "calibrated_probability": None},
    ),
]


@pytest.mark.parametrize(("name", "changes"), GOOD)
def test_good(name: str, changes: dict[str, object], examples: Examples) -> None:
    assert outcome(name, changed(examples[name], **changes)) is None


def test_vitals_without_a_measurement(examples: Examples) -> None:
    envelope = {name: value for name, value in examples["vitals.v1"].items() if name in Event.__struct_fields__}
    bad = outcome("vitals.v1", changed(envelope, urine_period_h=4))
    assert bad is not None
    assert bad.reason == "empty"
    assert outcome("vitals.v1", changed(envelope, status="cancelled", supersedes=ID)) is None
    own = [name for name in Vitals.__struct_fields__ if name not in Event.__struct_fields__]
    for name in own:
        value = examples["vitals.v1"].get(name, 4)
        value = {"consciousness": "A", "spo2_scale_2": True, "retracted": ["heart_rate_bpm"]}.get(name, value)
        measures = name not in ("urine_period_h", "retracted")
        assert (outcome("vitals.v1", changed(envelope, **{name: value})) is None) == measures


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "empty"),
        (None, "empty"),
        (b"{", "malformed_json"),
        (b"\xff", "malformed_json"),
        (b'{"source":"\xff"}', "malformed_json"),
        (b'{"source":"\\ud800"}', "malformed_json"),
        (b'{"source":"\xed\xa0\x80"}', "malformed_json"),
        (b'{"heart_rate_bpm":NaN}', "malformed_json"),
        (b'{"heart_rate_bpm":Infinity}', "malformed_json"),
        (b'{"heart_rate_bpm":1e999}', "out_of_bounds"),
        (b'{"heart_rate_bpm":1' + b"0" * 5000 + b"}", "out_of_bounds"),
        (b'{"gcs_total":1' + b"0" * 5000 + b"}", "out_of_bounds"),
        (b'{"unknown":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "malformed_json"),
        (b'{"a":' * 100_000, "malformed_json"),
        (b"[" * 100_000, "wrong_type"),
        (b"null", "wrong_type"),
        (b"[]", "wrong_type"),
        (b"{}", "missing_field"),
        (b'{"unknown":"' + b"x" * MAX_BYTES + b'"}', "too_large"),
    ],
)
def test_bytes_that_are_no_event(raw: bytes | None, reason: str) -> None:
    with pytest.raises(BadEvent) as caught:
        decode("vitals.v1", raw)
    assert caught.value.reason == reason


def leaves(value: object, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    if isinstance(value, dict):
        return [path, *(leaf for key, item in value.items() for leaf in leaves(item, (*path, key)))]
    if isinstance(value, list):
        return [path, *(leaf for key, item in enumerate(value) for leaf in leaves(item, (*path, key)))]
    return [path]


@pytest.mark.parametrize("name", TOPICS)
def test_errors_name_fields_and_never_values(name: str, examples: Examples) -> None:
    secret = "Smith - at `$.Smith`"
    rejected = 0
    for path in leaves(examples[name]):
        for wrong in (secret, 4711.4711, [secret], {secret: secret}, f"{secret}\n" * 100_000):
            message = json.loads(json.dumps(examples[name]))
            if not path:
                message = wrong
            else:
                place = message
                for key in path[:-1]:
                    place = place[key]
                place[path[-1]] = wrong
            bad = outcome(name, json.dumps(message).encode())
            if bad is not None:
                rejected += 1
                shown = "".join(traceback.format_exception(bad, chain=True)) + repr(bad) + str(bad.__dict__)
                assert "Smith" not in shown
                assert "4711" not in shown
                assert bad.__context__ is None
                assert bad.__cause__ is None
                assert bad.reason in REASONS
    assert rejected > 20


def test_times_come_out_in_utc(examples: Examples) -> None:
    examples["labs.v1"] |= {"observed_at": "2026-03-14T09:50:00+02:00", "specimen_at": "2026-03-14T02:50:00-05:00"}
    lab = decode("labs.v1", json.dumps(examples["labs.v1"]).encode())
    assert lab == decode("labs.v1", encode(lab))
    assert isinstance(lab, Event)
    assert lab.observed_at.tzinfo is UTC
    assert lab.observed_at == datetime(2026, 3, 14, 7, 50, tzinfo=UTC)
    assert b"+02:00" not in encode(lab)
    assert b"-05:00" not in encode(lab)


def test_times_inside_of_evidence_come_out_in_utc(examples: Examples) -> None:
    reading = examples["alerts.v1"]["evidence"]["values"]["respiratory_rate_per_min"]
    reading["observed_at"] = "2026-03-14T10:30:00+02:00"
    alert = decoder_of(Alert)(json.dumps(examples["alerts.v1"]).encode())
    assert str(alert.evidence.values["respiratory_rate_per_min"].observed_at) == "2026-03-14 08:30:00+00:00"


def test_decoders_are_made_once_and_know_their_topics() -> None:
    assert decoder("vitals.v1") is decoder("vitals.v1")
    with pytest.raises(LookupError):
        decoder("vitals.v9")
    with pytest.raises(LookupError):  # carries no events; by its type it can be had
        decoder("metrics.v1")
    assert decoder_of(Metrics) is decoder_of(Metrics)


def test_bad_event_can_cross_processes() -> None:
    import pickle

    bad = pickle.loads(pickle.dumps(BadEvent("future", "observed_at")))
    assert (str(bad), bad.reason, bad.fields) == ("future: observed_at", "future", ("observed_at",))


VITALS = Vitals(
    event_id=UUID(ID),
    source="test",
    patient_id="p-1",
    observed_at=datetime(2026, 1, 1, tzinfo=UTC),
    received_at=datetime(2026, 1, 1, tzinfo=UTC),
    heart_rate_bpm=80,
)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"heart_rate_bpm": float("nan")}, "out_of_bounds"),
        ({"heart_rate_bpm": float("inf")}, "out_of_bounds"),
        ({"heart_rate_bpm": 999.0}, "out_of_bounds"),
        ({"heart_rate_bpm": "80"}, "wrong_type"),
        ({"heart_rate_bpm": None}, "empty"),
        ({"patient_id": "a b"}, "bad_format"),
        ({"source": "\ud800"}, "bad_format"),
        ({"source": object()}, "wrong_type"),
        ({"observed_at": datetime(2026, 1, 1)}, "bad_format"),  # noqa: DTZ001 (naive on purpose)
        ({"observed_at": datetime(2026, 1, 2, tzinfo=UTC)}, "future"),
    ],
)
def test_publishers_check_what_constructors_do_not(changes: dict[str, Any], reason: str) -> None:
    check(VITALS)
    with pytest.raises(BadEvent) as caught:
        check(msgspec.structs.replace(VITALS, **changes))
    assert caught.value.reason == reason
    assert caught.value.__context__ is None


def test_not_finite_numbers_are_found_in_depth_and_named_without_keys() -> None:
    metrics = Metrics(
        process="p",
        role="worker",
        started_at=datetime(2026, 1, 1, tzinfo=UTC),
        at=datetime(2026, 1, 1, tzinfo=UTC),
        gauges={"lag_records": float("nan")},
    )
    with pytest.raises(BadEvent) as caught:
        check(metrics)
    assert caught.value.fields == ("gauges[]",)
