"""Laboratory results: values, units, ranges, statuses and what they revise, times, and what is refused."""

from __future__ import annotations

import msgspec
import pytest

from tests.schemas.hl7v2.messages import FEED, NOW, OBR, PATIENT, PID, PSEUDONYMS, PV1, facts, mapped, one, utc
from wardstream.models.labs.analytes import ANALYTES
from wardstream.models.revisions import standing
from wardstream.schemas.bounds import LAB_BOUNDS
from wardstream.schemas.hl7v2 import Mapped, map_message
from wardstream.schemas.units import lab_unit

ORDER = (PID, PV1, "ORC|RE|P-1|F-1", OBR)


def obx(
    code: str, value: str, unit: str = "", status: str = "F", kind: str = "NM", range_: str = "", flag: str = ""
) -> str:
    return f"OBX|1|{kind}|{code}||{value}|{unit}|{range_}|{flag}|||{status}|||20260310092000"


K = obx("2823-3^Potassium^LN", "6.1", "mmol/l", range_="3.5 - 5.1", flag="H")


def test_result() -> None:
    event = one(mapped(*ORDER, K))
    assert facts(event) == {
        "loinc": "2823-3",
        "value": 6.1,
        "unit": "mmol/L",
        "reference_low": 3.5,
        "reference_high": 5.1,
        "flag": "H",
        "specimen_at": utc(2026, 3, 10, 8),
    }
    assert (event.patient_id, event.observed_at, event.available_at) == (
        *(PATIENT, utc(2026, 3, 10, 8)),
        utc(2026, 3, 10, 8, 30),
    )


@pytest.mark.parametrize(
    ("kind", "value", "said"),
    [
        ("NM", "6.1", {"value": 6.1}),
        ("NM", "-3", {"value": -3.0}),
        ("NM", "<0.5", {"value": 0.5, "comparator": "<"}),
        ("SN", "<=^0.5", {"value": 0.5, "comparator": "<="}),
        ("SN", "^12", {"value": 12.0}),
        ("SN", "=^12", {"value": 12.0}),
        ("SN", "^1^:^128", {"text": "1:128"}),
        ("SN", "^10^-^20", {"text": "10-20"}),
        ("SN", "^3^+", {"text": "3+"}),
        ("ST", "> 60", {"value": 60.0, "comparator": ">"}),
        ("ST", "Positive", {"text": "Positive"}),
        ("TX", "one~two", {"text": "one\ntwo"}),
        ("FT", r"rate\T\rhythm", {"text": "rate&rhythm"}),
        ("ST", "rate & rhythm", {"text": "rate & rhythm"}),
        ("CE", "260385009^Negative^SCT", {"text": "Negative"}),
        ("CWE", "260385009^^SCT", {"text": "260385009"}),
        ("DT", "20260310", {"text": "20260310"}),
    ],
)
def test_values(kind: str, value: str, said: dict[str, object]) -> None:
    event = one(mapped(*ORDER, obx("99999-9^x^LN", value, kind=kind)))
    assert {name: fact for name, fact in facts(event).items() if name not in ("loinc", "specimen_at")} == said


@pytest.mark.parametrize(
    ("code", "unit", "travels"),
    [
        ("2160-0", "umol/L", "umol/L"),
        ("2160-0", "UMOLL", "umol/L"),
        ("2160-0", "mg/dl^^ISO+", "mg/dL"),
        ("6690-2", "10^9/L", "10*3/uL"),
        ("6690-2", "x10*9/L", "10*3/uL"),
        ("6690-2", "K/uL", "10*3/uL"),
        ("6301-6", "", None),
        ("4548-4", "mmol/mol", "mmol/mol"),
        ("787-2", "fL", "fL"),
        ("787-2", "", None),
    ],
)
def test_units(code: str, unit: str, travels: str | None) -> None:
    assert one(mapped(*ORDER, obx(f"{code}^x^LN", "5", unit))).unit == travels


@pytest.mark.parametrize(
    ("bad", "reason", "place"),
    [
        (obx("2160-0^x^LN", "5", "furlong"), "unknown_unit", "OBX[2]-6"),
        (obx("2160-0^x^LN", "5", "mm[Hg]"), "unknown_unit", "OBX[2]-6"),
        (obx("2160-0^x^LN", "5", "0"), "unknown_unit", "OBX[2]-6"),
        (obx("2160-0^x^LN", "5"), "missing_field", "OBX[2]-6"),
        (obx("2160-0^x^LN", "5000", "mg/dL"), "out_of_bounds", "OBX[2]-5"),
        (obx("2160-0^x^LN", "five", "mg/dL"), "wrong_type", "OBX[2]-5"),
        (obx("2160-0^x^LN", "5~6", "mg/dL"), "wrong_type", "OBX[2]-5"),
        (obx("2160-0^x^LN", "many^5", "mg/dL", kind="SN"), "wrong_type", "OBX[2]-5"),
        (obx("99999-9^x^LN", "x" * 1001, kind="ST"), "too_large", "OBX[2]-5"),
        (obx("2160-0^x^LN", "5", "mg/dL", status="Q"), "bad_format", "OBX[2]-11"),
    ],
)
def test_a_bad_result_is_a_reject_of_its_own(bad: str, reason: str, place: str) -> None:
    found = mapped(*ORDER, K, bad)
    assert [facts(event)["loinc"] for event in found.events] == ["2823-3"]
    (reject,) = found.rejects
    assert (reject.topic, reject.reason, reject.fields) == ("labs.v1", reason, (place,))
    again = map_message(reject.raw, FEED, PSEUDONYMS, utc(2026, 3, 10, 12))
    assert [one.reason for one in again.rejects] == [reason]


@pytest.mark.parametrize(
    ("text", "ends"),
    [
        ("3.5-5.1", (3.5, 5.1)),
        ("[ 80 - 98 ]", (80, 98)),
        ("-2 - 3", (-2, 3)),
        ("<130", (None, 130)),
        ("[ > 1.5]", (1.5, None)),
        (">=60", (60, None)),
        ("<130 optimal", (None, None)),
        ("5-3", (None, None)),
        ("9" * 10_000, (None, None)),
    ],
)
def test_ranges(text: str, ends: tuple[float | None, float | None]) -> None:
    event = one(mapped(*ORDER, K.replace("3.5 - 5.1", text)))
    assert (event.reference_low, event.reference_high) == ends


def version(status: str, value: str = "6.1", control_id: str = "1", hour: int = 12) -> Mapped:
    line = K.replace("|F|", f"|{status}|").replace("6.1", value)
    return mapped(*ORDER, line, control_id=control_id, now=utc(2026, 3, 10, hour))


def test_what_revises_what() -> None:
    versions = [one(version(status)) for status in "PFCX"]
    assert [event.status for event in versions] == ["preliminary", "final", "corrected", "cancelled"]
    assert len({event.event_id for event in versions}) == 4
    (result,) = {event.supersedes for event in versions}
    assert result not in {event.event_id for event in versions}
    assert "value" not in facts(versions[-1])
    for status, event in zip("PFCX", versions, strict=True):
        assert one(version(status, control_id="2", hour=13)).event_id == event.event_id


def test_in_whatever_order_versions_come_the_last_one_holds() -> None:
    versions = [
        *version("P", "5.0", hour=12).events,
        *version("F", "6.1", hour=13).events,
        *version("C", "4.1", hour=14).events,
        *version("C", "4.2", hour=15).events,
    ]
    for order in (versions, versions[::-1], versions[1:], versions[2:], versions[1:] + versions[:1]):
        assert [facts(event)["value"] for event in standing(order)] == [4.2]
    changed = [*versions, *version("F", "4.3", hour=16).events]
    assert [facts(event)["value"] for event in standing(changed)] == [4.3], "not called corrected, and not lost"
    again = [*changed, *version("X", hour=17).events, *version("F", "4.4", hour=18).events]
    assert [facts(event)["value"] for event in standing(again)] == [4.4]
    gone = [*versions[:2], *version("X", hour=16).events]
    assert {event.status for event in standing(gone)} == {"cancelled"}
    only_preliminary = [versions[0], *version("X", hour=16).events]
    assert {event.status for event in standing(only_preliminary)} == {"cancelled"}


def test_results_of_other_orders_codes_times_and_sub_ids_are_others() -> None:
    lines = (*ORDER, K)
    changes = [
        ("F-1", "F-2"),
        ("2823-3", "6298-4"),
        ("20260310090000", "20260310091500"),
        ("LN||6.1", "LN|2|6.1"),
        ("4711", "4712"),
    ]
    ids = {one(mapped(*(line.replace(*change) for line in lines))).event_id for change in (("", ""), *changes)}
    assert len(ids) == 1 + len(changes)


def test_two_results_that_nothing_tells_apart_are_two() -> None:
    found = mapped(*ORDER, K, K.replace("6.1", "6.2"))
    assert [facts(event)["value"] for event in found.events] == [6.1, 6.2]
    assert len({event.event_id for event in found.events}) == 2


def test_lines_of_a_text_are_one_result() -> None:
    line = obx("600-7^Culture^LN", "Gram-negative rods", kind="TX")
    event = one(mapped(*ORDER, line, line.replace("Gram-negative rods", "in two bottles")))
    assert event.text == "Gram-negative rods\nin two bottles"


def test_the_time_of_the_specimen_comes_first() -> None:
    specimen = "SPM|1|||BLD" + "|" * 13 + "20260310084500"
    assert one(mapped(*ORDER, K, specimen)).observed_at == utc(2026, 3, 10, 7, 45)
    assert one(mapped(PID, specimen, OBR, K, kind="OUL^R22")).observed_at == utc(2026, 3, 10, 7, 45)
    assert one(mapped(PID, OBR.replace("20260310090000", ""), K)).observed_at == utc(2026, 3, 10, 8, 20)
    found = mapped(PID, K.replace("20260310092000", ""))
    assert [(reject.reason, reject.fields) for reject in found.rejects] == [("missing_field", ("OBX[1]-14",))]
    found = mapped(PID, OBR.replace("20260310090000", "soon"), K)
    assert [(reject.reason, reject.fields) for reject in found.rejects] == [("bad_format", ("OBR[1]-7",))]


def test_a_local_code() -> None:
    event = one(mapped(*ORDER, obx("K^Kalium^L", "6.1")))
    assert (event.loinc, event.value, event.unit) == ("2823-3", 6.1, "mmol/L")


def test_a_code_that_is_no_loinc_is_not_known_whatever_its_system() -> None:
    found = mapped(*ORDER, obx("creat^x^LN", "5", "mg/dL"))
    assert (found.events, found.rejects, found.ignored) == ((), (), (("code", "creat^^LN"),))


def test_every_known_analyte_passes_in_its_usual_unit() -> None:
    """What laboratories usually send is refused for no analyte, and bounds are looked up by the unit that travels."""
    for analyte in ANALYTES:
        bound = LAB_BOUNDS[analyte.loinc]
        assert lab_unit(bound.unit, analyte.unit) == bound.unit
        value = (max(analyte.low, bound.low) + min(analyte.high, bound.high)) / 2
        event = one(mapped(*ORDER, obx(f"{analyte.loinc}^^LN", f"{value:g}", analyte.unit)))
        assert (event.loinc, event.unit) == (analyte.loinc, bound.unit)


def test_a_query_is_answered_with_results() -> None:
    assert one(mapped("QRD|1", *ORDER, K, kind="ORF^R04")).value == 6.1


def test_a_result_that_was_rejected_and_is_mended_is_not_its_sibling() -> None:
    """Nothing else tells the two apart: no sub-id, and one time."""
    lines = ("OBX|1|NM|2345-7^Glu^LN||5.6|QQMOL|||||F", "OBX|2|NM|2345-7^Glu^LN||180|mg/dL|||||F")
    found = mapped(PID, OBR, *lines)
    (sibling,), (reject,) = found.events, found.rejects
    mended = msgspec.structs.replace(FEED, units={"QQMOL": "mmol/L"})
    (event,) = map_message(reject.raw, mended, PSEUDONYMS, NOW).events
    assert (event.value, sibling.value) == (5.6, 180)
    assert event.supersedes != sibling.supersedes
    whole = mapped(PID, OBR, *lines, feed=mended)
    assert {one.event_id for one in whole.events} == {event.event_id, sibling.event_id}
