"""Vital signs: sets, units, what is refused, corrections, and device observations by IHE PCD-01."""

from __future__ import annotations

import pytest

from tests.schemas.hl7v2.messages import FEED, PATIENT, PID, PSEUDONYMS, PV1, facts, mapped, one, utc
from wardstream.schemas.hl7v2 import Code, map_message
from wardstream.schemas.hl7v2.feed import Feed

OBR = "OBR|1|P-1|F-1|85353-1^vital signs^LN|||20260310090000"


def obx(code: str, value: str, unit: str = "", status: str = "F", kind: str = "NM", more: str = "") -> str:
    return f"OBX|1|{kind}|{code}||{value}|{unit}|||||{status}|||20260310090000{more}"


HR = obx("8867-4^HR^LN", "82", "/min")
SET = (PID, PV1, OBR, HR, obx("8480-6^SBP^LN", "121", "mm[Hg]"), obx("8462-4^DBP^LN", "70", "mm[Hg]"))


def test_all_of_one_time_are_one_event() -> None:
    lines = (*SET, obx("59408-5^SpO2^LN", "96", "%"), obx("8310-5^T^LN", "98.6", "[degF]"))
    event = one(mapped(*lines))
    assert facts(event) == {
        "heart_rate_bpm": 82,
        "systolic_mmhg": 121,
        "diastolic_mmhg": 70,
        "spo2_percent": 96,
        "temperature_celsius": 37.0,
    }
    assert event.observed_at == utc(2026, 3, 10, 8)
    preliminary = one(mapped(*(line.replace("|F|", "|P|") for line in lines)))
    assert (event.patient_id, event.status, event.provenance) == (PATIENT, "final", "charted")
    assert event.supersedes == preliminary.event_id
    assert event.encounter_id == PSEUDONYMS.encounter("north", "V-1")


def test_two_times_are_two_events() -> None:
    found = mapped(*SET, HR.replace("20260310090000", "20260310093000"))
    assert [event.observed_at for event in found.events] == [utc(2026, 3, 10, 8), utc(2026, 3, 10, 8, 30)]
    assert len({event.event_id for event in found.events}) == 2


@pytest.mark.parametrize(
    ("code", "value", "unit", "field", "number"),
    [
        ("8867-4^^LN", "82", "beats/min^^ISO", "heart_rate_bpm", 82),
        ("8867-4^^LN", "82", "{beats}/min^^UCUM", "heart_rate_bpm", 82),
        ("147842^MDC_ECG_HEART_RATE^MDC", "82", "264864^MDC_DIM_BEAT_PER_MIN^MDC", "heart_rate_bpm", 82),
        ("x1^MDC_RESP_RATE^MDC", "12", "MDC_DIM_RESP_PER_MIN", "respiratory_rate_per_min", 12),
        ("150456^^MDC", "0.97", "1", "spo2_percent", 97),
        ("3150-6^^LN", "40", "%", "fio2_fraction", 0.4),
        ("8480-6^^LN", "16", "kPa", "systolic_mmhg", 120.0102009),
        ("29463-7^^LN", "150", "[lb_av]", "weight_kg", 68.0388555),
        ("9269-2^^LN", "15", "", "gcs_total", 15),
        ("9187-6^^LN", "0.4", "L", "urine_output_ml", 400),
        ("19891-1^^LN", "38", "mm[Hg]", "etco2_mmhg", 38),
        ("19891-1^^LN", "5", "kPa", "etco2_mmhg", 37.50318777),
        ("19889-5^^LN", "38", "mm[Hg]", "etco2_mmhg", 38),
        ("HF", "82", "", "heart_rate_bpm", 82),
        ("HF", "82", "1/min", "heart_rate_bpm", 82),
        ("LOCAL^^L^8867-4^^LN", "82", "/min", "heart_rate_bpm", 82),
        ("8310-5^^LN", "37", "268192^MDC_DIM_DEGC^MDC^Cel^Cel^UCUM", "temperature_celsius", 37),
    ],
)
def test_codes_and_units(code: str, value: str, unit: str, field: str, number: float) -> None:
    assert facts(one(mapped(PID, OBR, obx(code, value, unit)))) == {field: pytest.approx(number)}


@pytest.mark.parametrize(("word", "said"), [("Alert", "A"), ("confusion", "C"), ("V", "V"), ("Unresponsive", "U")])
def test_words(word: str, said: str) -> None:
    assert one(mapped(PID, OBR, obx("AVPU", word, kind="ST"))).consciousness == said
    assert one(mapped(PID, OBR, obx("AVPU", f"x^{word}^L", kind="CWE"))).consciousness == said


@pytest.mark.parametrize(
    ("bad", "reason", "place"),
    [
        (obx("8310-5^T^LN", "98.6"), "missing_field", "OBX[2]-6"),
        (obx("8310-5^T^LN", "98.6", "furlong"), "unknown_unit", "OBX[2]-6"),
        (obx("19889-5^CO2^LN", "5", "%"), "unknown_unit", "OBX[2]-6"),
        (obx("8310-5^T^LN", "980", "Cel"), "out_of_bounds", "OBX[2]-5"),
        (obx("8310-5^T^LN", "warm", "Cel"), "wrong_type", "OBX[2]-5"),
        (obx("8310-5^T^LN", "warm", "Cel", kind="ST"), "wrong_type", "OBX[2]-5"),
        (obx("8310-5^T^LN", "<35", "Cel", kind="ST"), "wrong_type", "OBX[2]-5"),
        (obx("8310-5^T^LN", "36~37", "Cel"), "wrong_type", "OBX[2]-5"),
        (obx("9269-2^G^LN", "14.5"), "wrong_type", "OBX[2]-5"),
        (obx("AVPU", "sleepy", kind="ST"), "bad_format", "OBX[2]-5"),
        (obx("8310-5^T^LN", "36", "Cel", status="?"), "bad_format", "OBX[2]-11"),
        (obx("8310-5^T^LN", "36", "Cel").replace("20260310090000", "yesterday"), "bad_format", "OBX[2]-14"),
    ],
)
def test_a_bad_value_is_a_reject_of_its_own(bad: str, reason: str, place: str) -> None:
    found = mapped(PID, PV1, OBR, HR, bad)
    (event,) = found.events
    assert facts(event) == {"heart_rate_bpm": 82}
    (reject,) = found.rejects
    assert (reject.topic, reject.reason, reject.fields) == ("vitals.v1", reason, (place,))
    again = map_message(reject.raw, FEED, PSEUDONYMS, utc(2026, 3, 10, 12))
    assert again.events == ()
    assert [one.reason for one in again.rejects] == [reason]
    assert b"8867-4" not in reject.raw


def test_a_reject_can_be_mapped_once_the_feed_is_mended() -> None:
    (reject,) = mapped(PID, PV1, OBR, obx("8310-5^T^LN", "36.5")).rejects
    mended = Feed(
        name="lab-1",
        timezone="Europe/Berlin",
        authority="north",
        identifier_types=("MR",),
        codes={"8310-5^^LN": Code(loinc="8310-5", unit="Cel")},
    )
    (event,) = map_message(reject.raw, mended, PSEUDONYMS, utc(2026, 3, 10, 12)).events
    assert facts(event) == {"temperature_celsius": 36.5}
    assert event.encounter_id == PSEUDONYMS.encounter("north", "V-1")


def test_values_that_contradict_each_other_are_both_rejected() -> None:
    found = mapped(PID, OBR, HR, obx("8480-6^^LN", "70", "mm[Hg]"), obx("8462-4^^LN", "121", "mm[Hg]"))
    assert facts(found.events[0]) == {"heart_rate_bpm": 82}
    (reject,) = found.rejects
    assert reject.reason == "inconsistent"
    assert set(reject.fields) == {"OBX[2]-5", "OBX[3]-5"}


def test_of_two_values_the_better_code_counts() -> None:
    found = mapped(PID, OBR, obx("149530^^MDC", "80", "264864"), obx("147842^^MDC", "82", "264864"))
    assert facts(found.events[0]) == {"heart_rate_bpm": 82}
    assert found.ignored == (("second", "149530^^MDC"),)


def test_a_saturation_among_vital_signs_is_the_oximeters() -> None:
    saturation = obx("2708-6^SaO2^LN", "96", "%")
    assert facts(one(mapped(PID, OBR, HR, saturation))) == {"heart_rate_bpm": 82, "spo2_percent": 96}
    assert one(mapped(PID, OBR, saturation)).loinc == "2708-6"


def test_a_resend_has_the_same_id_and_another_set_of_that_minute_has_not() -> None:
    first = one(mapped(*SET, control_id="1"))
    assert one(mapped(*SET, control_id="2", now=utc(2026, 3, 10, 13))).event_id == first.event_id
    assert one(mapped(*SET, obx("59408-5^^LN", "96", "%"))).event_id != first.event_id


def test_a_correction_names_the_set_that_it_corrects() -> None:
    first = one(mapped(*SET))
    corrected = [line.replace("|82|", "|128|").replace("|F|", "|C|") if line == HR else line for line in SET]
    event = one(mapped(*corrected))
    assert (event.status, event.supersedes, event.heart_rate_bpm, event.systolic_mmhg) == (
        *("corrected", first.supersedes),
        *(128, 121),
    )
    second = one(mapped(*(line.replace("|128|", "|28|") for line in corrected)))
    assert second.supersedes == first.supersedes
    assert second.event_id not in (first.event_id, event.event_id)
    assert one(mapped(*corrected, control_id="9")).event_id == event.event_id


def test_a_set_that_changes_without_being_called_corrected_is_another_version() -> None:
    first = one(mapped(*SET))
    changed = one(mapped(*(line.replace("|82|", "|128|") for line in SET)))
    assert (changed.status, changed.supersedes, changed.heart_rate_bpm) == ("final", first.supersedes, 128)
    assert changed.event_id != first.event_id


def test_a_preliminary_set_is_the_result_itself() -> None:
    preliminary = one(mapped(*(line.replace("|F|", "|R|") for line in SET)))
    assert (preliminary.status, preliminary.supersedes) == ("preliminary", None)
    assert {one(mapped(*SET)).supersedes} == {preliminary.event_id}


def test_a_value_that_is_deleted_is_left_out() -> None:
    first = one(mapped(*SET))
    event = one(mapped(*(line.replace("|F|", "|D|") if line == HR else line for line in SET)))
    assert (event.status, event.supersedes) == ("corrected", first.supersedes)
    assert facts(event) == {"systolic_mmhg": 121, "diastolic_mmhg": 70}


def test_a_set_that_is_deleted() -> None:
    first = one(mapped(*SET))
    gone = one(mapped(*(line.replace("|F|", "|W|") for line in SET)))
    assert (gone.status, gone.supersedes, facts(gone)) == ("cancelled", first.supersedes, {})


def test_a_revision_of_a_part_says_which_fields_it_is_about() -> None:
    gone = one(mapped(PID, PV1, OBR, HR.replace("|F|", "|W|")))
    assert (gone.status, gone.retracted, facts(gone)) == ("cancelled", ("heart_rate_bpm",), {})
    changed = one(mapped(PID, PV1, OBR, HR.replace("|F|", "|C|"), obx("8310-5^^LN", "37", "Cel")))
    assert (changed.status, changed.retracted) == ("corrected", ("heart_rate_bpm",))
    assert one(mapped(*SET)).retracted == ()


def test_monitors_by_pcd_01() -> None:
    msh = (
        "MSH|^~\\&|GW^080019FFFE000001^EUI-64|ACME|||20260310120000+0100||ORU^R01^ORU_R01|1|P|2.6|||AL|NE||"
        "UNICODE UTF-8|||IHE_PCD_001^IHE PCD^1.3.6.1.4.1.19376.1.6.1.1.1^ISO"
    )
    found = mapped(
        *(PID, "PV1||I|ICU^^4", "OBR|1|a^GW|b^GW|182777000^monitoring of patient^SCT|||20260310115500+0100"),
        "OBX|1||69965^MDC_DEV_MON_PHYSIO_MULTI_PARAM_MDS^MDC|1.0.0.0|||||||X|||||||080019FFFE000002",
        "OBX|2||70686^MDC_DEV_PRESS_BLD_NONINV_VMD^MDC|1.1.0.0|||||||X",
        "OBX|3|NM|150021^MDC_PRESS_BLD_NONINV_SYS^MDC|1.1.1.1|111|266016^MDC_DIM_MMHG^MDC|||||R|||20260310115530+0100",
        "OBX|4|NM|150022^MDC_PRESS_BLD_NONINV_DIA^MDC|1.1.1.2|60|266016^MDC_DIM_MMHG^MDC|||||R|||20260310115530+0100",
        "OBX|5|NM|147842^MDC_ECG_HEART_RATE^MDC|1.2.1.1|63|264864^MDC_DIM_BEAT_PER_MIN^MDC|||||R|||20260310115532+0100",
        msh=msh,
    )
    cuff, pulse = found.events
    assert facts(cuff) == {"systolic_mmhg": 111, "diastolic_mmhg": 60}
    assert facts(pulse) == {"heart_rate_bpm": 63}
    assert cuff.observed_at == utc(2026, 3, 10, 10, 55, 30)
    assert {event.provenance for event in found.events} == {"device"}
    assert {event.status for event in found.events} == {"preliminary"}
    assert found.ignored == (("code", "69965^^MDC"), ("code", "70686^^MDC"))


def test_alarms_are_not_for_us() -> None:
    assert mapped(PID, OBR, HR, kind="ORU^R40^ORU_R40").ignored == (("type", "ORU^R40"),)


@pytest.mark.parametrize("status", ["O", "I", "N", "U"])
def test_what_is_no_result_is_counted(status: str) -> None:
    assert mapped(PID, OBR, obx("8867-4^HR^LN", "82", "/min", status)).ignored == (("status", status),)


def test_what_says_nothing_or_has_no_meaning_is_counted() -> None:
    found = mapped(
        *(PID, OBR, obx("8867-4^HR^LN", "", "/min"), obx("NOISE^^L", "1"), obx("X1^^L", "1")),
        *(obx("^free text", "1"), obx("8867-4^HR^LN", "^TX^PDF^Base64^AAAA", kind="ED")),
    )
    assert found.events == found.rejects == ()
    assert found.ignored == (
        *(("empty", "8867-4^^LN"), ("code", "NOISE^^L"), ("code", "X1^^L")),
        *(("code", "free text"), ("value", "ED")),
    )


def test_a_set_without_a_time_is_rejected() -> None:
    found = mapped(PID, HR.replace("20260310090000", ""))
    assert [(reject.reason, reject.fields) for reject in found.rejects] == [("missing_field", ("OBX[1]-14",))]


def test_two_patients_in_one_message() -> None:
    found = mapped(PID, OBR, HR, PID.replace("4711", "5"), OBR, HR)
    assert [event.patient_id for event in found.events] == [PATIENT, PSEUDONYMS.patient("north", "5")]
    assert len({event.event_id for event in found.events}) == 2
