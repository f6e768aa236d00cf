"""ADT: movements, cancellations, merges; who and where; ids that a resend does not change."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.schemas.hl7v2.messages import FEED, PATIENT, PID, PSEUDONYMS, PV1, facts, mapped, message, one, utc
from wardstream.models.stay import fold
from wardstream.schemas.admissions import Admission
from wardstream.schemas.hl7v2 import Code, Feed, map_message
from wardstream.schemas.hl7v2.adt import MOST_MERGES
from wardstream.schemas.hl7v2.types import MAPPERS, NOT_FOR_US, why_not

EVN = "EVN|A01|20260310101500|||||"
VISIT = PSEUDONYMS.encounter("north", "V-1")


def test_admission() -> None:
    found = mapped(EVN, PID, f"{PV1}{'|' * 25}202603101000", kind="ADT^A01^ADT_A01")
    event = one(found)
    assert facts(event) == {
        "kind": "admit",
        "age_years": 66.025,
        "sex": "female",
        "patient_class": "inpatient",
        "unit": "W3",
        "room": "12",
        "bed": "B",
    }
    assert (event.source, event.facility, event.patient_id, event.encounter_id) == ("lab-1", "north", PATIENT, VISIT)
    assert event.observed_at == utc(2026, 3, 10, 9)  # PV1-44
    assert event.status == "final"
    (person,) = found.persons
    assert (person.authority, person.number, person.family, person.given) == ("north", "4711", "Invented", "Ina")
    assert "4711" not in repr(person)


def test_parts_that_are_not_sent_are_not_said_and_nulls_delete() -> None:
    (bare,) = mapped(EVN, "PID|1||4711^^^north^MR", PV1, kind="ADT^A08").persons
    assert bare.said == ()
    (null,) = mapped(EVN, 'PID|1||4711^^^north^MR||""^Ina||""|""', PV1, kind="ADT^A08").persons
    assert (null.removed, null.given) == (("family", "birth_date", "sex"), "Ina")
    (nameless,) = mapped(EVN, 'PID|1||4711^^^north^MR||""||19600229', PV1, kind="ADT^A08").persons
    assert (nameless.removed, nameless.said) == (("family", "given"), ("family", "given", "birth_date"))


@pytest.mark.parametrize(
    ("trigger", "kind"),
    [
        ("A01", "admit"),
        ("A02", "transfer"),
        ("A03", "discharge"),
        ("A04", "admit"),
        ("A05", "admit"),
        ("A06", "transfer"),
        ("A07", "transfer"),
        ("A08", "update"),
        ("A11", "cancel_admit"),
        ("A12", "cancel_transfer"),
        ("A13", "cancel_discharge"),
        ("A28", "update"),
        ("A31", "update"),
        ("A38", "cancel_admit"),
    ],
)
def test_kinds(trigger: str, kind: str) -> None:
    event = one(mapped(EVN, PID, PV1, kind=f"ADT^{trigger}"))
    assert event.kind == kind
    assert event.observed_at == utc(2026, 3, 10, 9, 15)
    of_person = trigger in ("A28", "A31")
    assert (event.encounter_id is None) == (event.unit is None) == of_person
    assert (event.patient_class == "preadmit") == (trigger == "A05")


@pytest.mark.parametrize(
    ("field", "death", "disposition"),
    [
        *(
            ("01", "", "home"),
            ("20", "", "died"),
            ("41", "", "died"),
            ("07", "", "against_advice"),
            ("01", "Y", "died"),
        ),
        *(("X9", "", "other"), ("", "", None), ("62", "", "transfer"), ("51", "", "hospice")),
    ],
)
def test_dispositions(field: str, death: str, disposition: str | None) -> None:
    pid = PID + "|" * 19 + death
    event = one(mapped(EVN, pid, f"{PV1}{'|' * 17}{field}", kind="ADT^A03"))
    assert (event.kind, event.disposition) == ("discharge", disposition)


@pytest.mark.parametrize(
    ("code", "said"),
    [("E", "emergency"), ("O", "outpatient"), ("R", "outpatient"), ("B", "other"), ("xyz", "other"), ("N", None)],
)
def test_classes(code: str, said: str | None) -> None:
    assert one(mapped(EVN, PID, PV1.replace("|I|", f"|{code}|"), kind="ADT^A08")).patient_class == said


@pytest.mark.parametrize("trigger", ["A18", "A30", "A34", "A36", "A39", "A40", "A46", "A47"])
def test_merges(trigger: str) -> None:
    event = one(mapped(EVN, PID, "MRG|1234^^^north^MR", kind=f"ADT^{trigger}"))
    assert (event.kind, event.patient_id) == ("merge", PATIENT)
    assert event.merged_patient_id == PSEUDONYMS.patient("north", "1234")
    assert event.encounter_id is None


def test_a_number_that_ceases_has_the_authority_of_the_one_that_survives_unless_it_says_another() -> None:
    survivor = "PID|1||5^^^south^MR||Invented^Ina"
    event = one(mapped(EVN, survivor, "MRG|1234^^^^MR", kind="ADT^A40"))
    assert event.patient_id == PSEUDONYMS.patient("south", "5")
    assert event.merged_patient_id == PSEUDONYMS.patient("south", "1234")
    assert one(mapped(EVN, survivor, "MRG|1234", kind="ADT^A40")).merged_patient_id == event.merged_patient_id
    said = one(mapped(EVN, survivor, "MRG|1234^^^north^MR", kind="ADT^A40"))
    assert said.merged_patient_id == PSEUDONYMS.patient("north", "1234")


def test_a_message_with_several_merges() -> None:
    found = mapped(
        *(EVN, PID, "MRG|1^^^north^MR", PID.replace("4711", "5"), "MRG|2^^^north^MR", PID.replace("4711", "6")),
        kind="ADT^A40",
    )
    assert [event.patient_id for event in found.events] == [PATIENT, PSEUDONYMS.patient("north", "5")]
    assert [(reject.topic, reject.reason, reject.fields) for reject in found.rejects] == [
        ("admissions.v1", "missing_field", ("MRG-1",))
    ]


def test_each_number_that_names_the_patient_who_ceases_is_merged() -> None:
    prior = "7^^^north^PI~1^^^north^MR~2^^^south^MR~1^^^north^MR~4711^^^north^MR~88^^^state^SS~9"
    found = mapped(EVN, PID, f"MRG|{prior}", "MRG|3^^^north^MR", kind="ADT^A40")
    ceased = [("north", "1"), ("south", "2"), ("north", "3")]
    assert [event.merged_patient_id for event in found.events] == [PSEUDONYMS.patient(*number) for number in ceased]
    assert {event.patient_id for event in found.events} == {PATIENT}
    assert found.rejects == ()
    assert found.ignored == (("merge", "MRG-1"),)  # the survivor's own number


def test_more_merges_than_a_message_may_make_are_a_reject() -> None:
    numbers = [f"{number}^^^north^MR" for number in range(MOST_MERGES + 1)]
    found = mapped(EVN, PID, "MRG|x^^^north^MR", f"MRG|{'~'.join(numbers)}", kind="ADT^A40")
    assert len(found.events) == MOST_MERGES
    (reject,) = found.rejects
    assert (reject.topic, reject.reason, reject.fields) == ("admissions.v1", "too_large", ("MRG-1",))


def test_a_merge_of_numbers_that_name_nobody_here() -> None:
    assert mapped(EVN, PID, "MRG|4711^^^north^MR", kind="ADT^A47").ignored == (("merge", "MRG-1"),)
    assert mapped(EVN, PID, "MRG|88^^^state^SS", kind="ADT^A40").rejects[0].reason == "bad_format"


def test_a_swap_is_two_transfers() -> None:
    found = mapped(EVN, PID, PV1, PID.replace("4711", "5"), PV1.replace("^12^B", "^14^A"), kind="ADT^A17")
    assert [facts(event)["kind"] for event in found.events] == ["transfer", "transfer"]
    assert [facts(event)["room"] for event in found.events] == ["12", "14"]


def test_two_visits_at_once_stay_distinct() -> None:
    one_visit, other = (one(mapped(EVN, PID, PV1.replace("V-1", v), kind="ADT^A01")) for v in ("V-1", "V-2"))
    assert one_visit.encounter_id != other.encounter_id
    assert one_visit.event_id != other.event_id


def test_an_account_stands_in_for_a_visit_number() -> None:
    event = one(mapped(EVN, PID + "|" * 7 + "ACC-1^^^north", "PV1|1|I|W3", kind="ADT^A08"))
    assert event.encounter_id == PSEUDONYMS.encounter("north", "ACC-1")


def test_a_resend_has_the_same_ids_whatever_its_number() -> None:
    first = one(mapped(EVN, PID, PV1, kind="ADT^A08", control_id="1"))
    again = one(mapped(EVN, PID, PV1, kind="ADT^A08", control_id="2", now=utc(2026, 3, 10, 13)))
    assert first.event_id == again.event_id


def test_a_control_id_that_is_used_twice_makes_two_events() -> None:
    first = one(mapped(EVN, PID, PV1, kind="ADT^A08"))
    other = one(mapped(EVN, PID, PV1.replace("W3", "W4"), kind="ADT^A08"))
    assert first.event_id != other.event_id


def test_a_transfer_to_nowhere_is_rejected() -> None:
    found = mapped(EVN, PID, "PV1|1", kind="ADT^A02")
    assert [(reject.reason, reject.fields) for reject in found.rejects] == [("missing_field", ("PV1-3",))]
    assert found.events == ()


@pytest.mark.parametrize(
    ("evn", "pv1", "at"),
    [
        ("EVN|A01|20260310101500||||20260310080000", PV1, utc(2026, 3, 10, 7)),
        ("EVN|A01|", PV1, utc(2026, 3, 10, 11)),
        ("EVN|A01|nonsense", PV1, utc(2026, 3, 10, 11)),
        ("EVN|A01|20260310101500", f"{PV1}{'|' * 25}20260310", utc(2026, 3, 10, 9, 15)),
        ("EVN|A01|20260310101500", f"{PV1}{'|' * 25}20260308", utc(2026, 3, 7, 23)),
    ],
)
def test_times(evn: str, pv1: str, at: Any) -> None:
    found = mapped(evn, PID, pv1, kind="ADT^A01")
    assert one(found).observed_at == at
    assert found.ignored == ((("time", "EVN-2"),) if "nonsense" in evn else ())


@pytest.mark.parametrize(
    ("trigger", "evn", "visit", "at", "ignored"),
    [
        ("A01", "20260310101500", f"{'|' * 25}20260310180000", utc(2026, 3, 10, 9, 15), ("PV1-44",)),
        ("A05", "20260310101500", f"{'|' * 25}20260320080000", utc(2026, 3, 10, 9, 15), ()),
        ("A03", "20260310101500", f"{'|' * 26}20260311", utc(2026, 3, 10, 9, 15), ("PV1-45",)),
        ("A01", "20270310101500", "", utc(2026, 3, 10, 11), ("EVN-2",)),
        ("A03", "20260310101500", f"{'|' * 26}20260309", utc(2026, 3, 9, 22, 59, 59), ()),
        ("A03", "20260310101500", f"{'|' * 26}20260310", utc(2026, 3, 10, 9, 15), ()),
        ("A11", "20260310100300", f"{'|' * 25}20260310100500", utc(2026, 3, 10, 9, 5), ()),
        ("A13", "20260310100300", f"{'|' * 26}20260310100500", utc(2026, 3, 10, 9, 5), ()),
        ("A11", "20260310100300", f"{'|' * 25}20260311100500", utc(2026, 3, 10, 9, 3), ()),
        ("A01", "20260310100000", f"{'|' * 25}20260310103000", utc(2026, 3, 10, 9), ("PV1-44",)),
        ("A03", "20260310100000", f"{'|' * 26}20260310103000", utc(2026, 3, 10, 9), ("PV1-45",)),
        ("A01", "20260310", f"{'|' * 25}20260310103000", utc(2026, 3, 10, 9, 30), ()),
    ],
    ids=[
        *("planned", "A05", "leaves tomorrow", "EVN-2", "date", "same day", "undone before", "and left", "and planned"),
        *("was planned", "was to leave", "recorded on a day"),
    ],
)
def test_times_that_cannot_be_when_it_happened(
    trigger: str, evn: str, visit: str, at: Any, ignored: tuple[str, ...]
) -> None:
    found = mapped(f"EVN|{trigger}|{evn}", PID, f"{PV1}{visit}", kind=f"ADT^{trigger}")
    assert one(found).observed_at == at
    assert found.ignored == tuple(("time", place) for place in ignored)


def test_a_plan_is_the_same_event_when_it_has_come_true() -> None:
    """A message that comes again, or late."""
    planned = ("EVN|A01|20260310100000", PID, f"{PV1}{'|' * 25}20260310103000")
    at_once, later = (one(mapped(*planned, kind="ADT^A01", now=utc(2026, 3, 10, *now))) for now in ((9, 1), (12,)))
    assert (at_once.event_id, at_once.observed_at) == (later.event_id, later.observed_at)


@pytest.mark.parametrize(
    ("evn", "at"),
    [("20260310100000", utc(2026, 3, 10, 9)), ("20260310", utc(2026, 3, 10, 11)), ("20270101", utc(2026, 3, 10, 11))],
)
def test_when_a_movement_was_recorded(evn: str, at: Any) -> None:
    assert one(mapped(f"EVN|A01|{evn}", PID, PV1, kind="ADT^A01")).available_at == at


def test_a_cancellation_recorded_before_the_hour_of_its_admission() -> None:
    """It does not say that hour; whichever of the two comes first, nobody is there."""
    admitted = mapped("EVN|A01|20260310100000", PID, f"{PV1}{'|' * 25}20260310100500", kind="ADT^A01")
    undone = mapped("EVN|A11|20260310100300", PID, PV1, kind="ADT^A11")
    for one_way in (admitted.events + undone.events, undone.events + admitted.events):
        assert fold(event for event in one_way if isinstance(event, Admission)).phase == "left"


def test_an_update_of_a_visit_that_has_ended_is_of_no_place() -> None:
    event = one(mapped(EVN, PID, f"{PV1}{'|' * 26}20260301", kind="ADT^A08"))
    assert (event.unit, event.bed, event.patient_class) == (None, None, "inpatient")


def test_an_event_of_the_future_is_rejected() -> None:
    header = "MSH|^~\\&|LIS|NORTH|WS|HUB|20270310120000||ADT^A01|1|P|2.5"
    found = mapped("EVN|A01|20270310101500", PID, PV1, msh=header)
    assert [(reject.topic, reject.reason, reject.fields) for reject in found.rejects] == [
        ("admissions.v1", "future", ("EVN-2",))
    ]


@pytest.mark.parametrize(
    ("born", "age"),
    [
        ("19600311", 65.997),
        ("20100310", 16.0),
        ("20100311", 15.997),
        ("20250910", 0.496),
        ("2010", None),
        ("20300101", None),
        ("18000101", None),
    ],
)
def test_ages(born: str, age: float | None) -> None:
    assert one(mapped(EVN, PID.replace("19600229", born), PV1, kind="ADT^A08")).age_years == age


def test_which_identifier_names_the_patient() -> None:
    def patient(cx: str, feed: Feed = FEED) -> str:
        return str(one(mapped(EVN, f"PID|1||{cx}", PV1, kind="ADT^A08", feed=feed)).patient_id)

    assert patient("9^^^x^PI~4711^^^north^MR") == PATIENT
    assert patient("4711^^^^MR") == PATIENT  # the feed's authority
    assert patient("4711") == PATIENT
    assert patient("77^^^state^SS~4711^^^north") == PATIENT
    assert patient("4711^^^&1.2.3&ISO^MR") == PSEUDONYMS.patient("1.2.3", "4711")
    assert patient("4711^^^south^MR") != PATIENT


def test_identifiers_of_which_none_fits_are_a_reject_and_none_at_all_is_nobody() -> None:
    found = mapped(EVN, "PID|1||77^^^state^SS", PV1, kind="ADT^A01")
    (reject,) = found.rejects
    assert (reject.topic, reject.reason, reject.fields) == ("admissions.v1", "bad_format", ("PID-3",))
    assert mapped(EVN, "PID|1||||X^Y", PV1, kind="ADT^A01").ignored == (("patient", "PID-3"),)
    assert mapped(EVN, kind="ADT^A01").ignored == (("patient", "PID-3"),)
    wider = Feed(name="lab-1", timezone="UTC", authority="north", identifier_types=("SS",))
    assert map_message(reject.raw, wider, PSEUDONYMS, utc(2026, 3, 10, 12)).events != ()


def test_not_for_us() -> None:
    for kind in NOT_FOR_US:
        full = kind if "^" in kind else f"{kind}^X01"
        assert mapped(PID, PV1, kind=full).ignored == (("type", full),)
        assert why_not(full) != why_not("ZZZ^Z01")
    assert not MAPPERS.keys() & NOT_FOR_US.keys()
    assert mapped(PID, kind="ZZZ^Z01").ignored == (("type", "ZZZ^Z01"),)
    assert mapped(PID, kind="{x}").ignored == (("type", "other"),)
    assert mapped(PID, kind="ORU^R32").ignored == (("type", "ORU^R32"),)  # the feed says so


def test_version_2_1_says_the_event_elsewhere() -> None:
    assert one(mapped(EVN, PID, PV1, kind="ADT")).kind == "admit"
    pulse = PULSE.replace("||202603101010", "||202603101010")
    assert one(mapped(PID, PV1, "OBR|1", pulse, kind="ORU")) == one(mapped(PID, PV1, "OBR|1", pulse, kind="ORU^R01"))
    for kind in ("ORM", "RDE"):
        assert mapped(PID, PV1, kind=kind).ignored == (("empty", "ORC"),)


def test_the_settings_of_a_feed_are_checked() -> None:
    with pytest.raises(ValueError, match="timezone"):
        Feed(name="x", timezone="Mars/Olympus", authority="a", identifier_types=("MR",))
    with pytest.raises(ValueError, match="either loinc or field"):
        Code()
    with pytest.raises(ValueError, match="field must be one of"):
        Code(field="heartrate")


def test_what_is_rejected_is_a_message_without_what_is_sound() -> None:
    raw = mapped(EVN, PID, "PV1|1", kind="ADT^A02").rejects[0].raw
    assert raw == message(EVN, PID, "PV1|1", kind="ADT^A02")


AT = "|||||F|||202603101010"
PULSE = f"OBX|1|NM|8867-4^HR^LN||82|/min{AT}"


@pytest.mark.parametrize("trigger", ["A01", "A04", "A08", "A31"])
def test_what_was_measured_beside_a_movement(trigger: str) -> None:
    lactate, stranger = f"OBX|2|NM|2524-7^lactate^LN||2.4|mmol/L{AT}", f"OBX|3|TX|8661-1^reason^LN||falls{AT}"
    found = mapped(EVN, PID, PV1, PULSE, lactate, stranger, PULSE.replace("202603101010", ""), kind=f"ADT^{trigger}")
    movement, pulse, result = found.events
    assert movement == one(mapped(EVN, PID, PV1, kind=f"ADT^{trigger}"))
    assert facts(pulse) == {"heart_rate_bpm": 82}
    assert (pulse.patient_id, pulse.observed_at, pulse.encounter_id) == (PATIENT, utc(2026, 3, 10, 9, 10), VISIT)
    assert facts(result) == {"loinc": "2524-7", "value": 2.4, "unit": "mmol/L"}
    assert found.ignored == (("code", "8661-1^^LN"), ("time", "OBX[4]-14"))
    assert found.rejects == ()


def test_what_cannot_be_used_beside_a_movement_is_a_reject_with_its_movement() -> None:
    """Which is recognised when the letter is mapped again."""
    found = mapped(EVN, PID, PV1, PULSE.replace("/min", "furlong"), kind="ADT^A01")
    (movement,) = found.events
    (reject,) = found.rejects
    assert (reject.topic, reject.reason, reject.fields) == ("vitals.v1", "unknown_unit", ("OBX[1]-6",))
    mended = Feed(
        name="lab-1",
        facility="north",
        timezone="Europe/Berlin",
        authority="north",
        identifier_types=("MR", "PI"),
        units={"furlong": "/min"},
    )
    again = map_message(reject.raw, mended, PSEUDONYMS, utc(2026, 3, 10, 12))
    assert [event.event_id for event in again.events][:1] == [movement.event_id]
    assert [facts(event) for event in again.events[1:]] == [{"heart_rate_bpm": 82}]


def test_what_stands_beside_a_merge_is_ignored() -> None:
    found = mapped(EVN, PID, "MRG|1^^^north^MR", PULSE, kind="ADT^A40")
    assert one(found).kind == "merge"
    assert found.ignored == (("segment", "OBX"),)
    nobody = mapped(EVN, PID.replace("4711^^^north^MR~999^^^state^SS", ""), PV1, PULSE, kind="ADT^A01")
    assert (nobody.events, nobody.rejects, nobody.ignored) == ((), (), (("patient", "PID-3"),))


def test_whose_number_names_the_patient_is_the_sites_to_say() -> None:
    feed = msgspec.structs.replace(FEED, authorities=("B", "A"), aliases={"1.2.3": "B"})
    numbers = ("1^^^A^MR~2^^^B^MR", "2^^^B^MR~1^^^A^MR", "0^^^C^MR~2^^^&1.2.3&ISO^MR", "2^^^B&1.2.3&ISO^MR")
    found = {
        one(mapped(EVN, f"PID|1||{number}||Invented^Ina", PV1, kind="ADT^A01", feed=feed)).patient_id
        for number in numbers
    }
    assert found == {PSEUDONYMS.patient("B", "2")}
    first = one(mapped(EVN, f"PID|1||{numbers[0]}||Invented^Ina", PV1, kind="ADT^A01"))
    assert first.patient_id == PSEUDONYMS.patient("A", "1")
