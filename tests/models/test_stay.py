"""Where a patient is, whatever order the hospital's messages come in."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.events import admission, at
from wardstream.models.stay import KEPT_EVENTS, Stay, StayLog, fold
from wardstream.schemas.admissions import Admission


def present(*events: Admission) -> Stay:
    """The stay after these events, the same after any order of their arrival, and after a restart between."""
    orders = list(permutations(events)) if len(events) <= 5 else [events, events[::-1]]
    stays = []
    for order in orders:
        log, stay = StayLog(), Stay()
        for event in order:
            log = msgspec.json.decode(msgspec.json.encode(log), type=StayLog)
            stay = log.add(event)
        stays.append(stay)
    assert all(stay == stays[0] for stay in stays)
    return stays[0]


ADMIT = admission("admit", 0, "admit", age_years=70.0, sex="female", unit="A", room="1", bed="2", encounter_id="E1")
MOVE = admission("move", 60, "transfer", unit="B", bed="7")
LEAVE = admission("leave", 120, "discharge", disposition="home")


def test_admitted_moved_and_gone() -> None:
    stay = present(ADMIT)
    assert (stay.phase, stay.unit, stay.room, stay.bed) == ("present", "A", "1", "2")
    assert (stay.age_years, stay.sex, stay.encounter_id) == (70.0, "female", "E1")
    assert stay.admitted_at == at(0).timestamp()
    stay = present(ADMIT, MOVE)
    assert (stay.unit, stay.room, stay.bed) == ("B", None, "7")
    stay = present(ADMIT, MOVE, LEAVE)
    assert (stay.phase, stay.left_at, stay.disposition) == ("left", at(120).timestamp(), "home")
    assert (stay.unit, stay.bed) == ("B", "7")


CANCEL_LEAVE = admission("undo", 130, "cancel_discharge")


@pytest.mark.parametrize(
    ("events", "phase", "unit"),
    [
        ([ADMIT, MOVE, LEAVE, CANCEL_LEAVE], "present", "B"),
        ([ADMIT, MOVE, LEAVE, admission("undo", 120, "cancel_discharge", 130)], "present", "B"),
        ([ADMIT, MOVE, LEAVE, admission("undo", 120, "cancel_discharge")], "present", "B"),
        ([ADMIT, admission("l", 120, "discharge", 125), admission("u", 120, "cancel_discharge", 122)], "present", "A"),
        ([ADMIT, MOVE, LEAVE, admission("undo", 130, "cancel_discharge", supersedes="leave")], "present", "B"),
        ([ADMIT, LEAVE, admission("undo", 130, "discharge", status="cancelled", supersedes="leave")], "present", "A"),
        ([ADMIT, MOVE, admission("undo", 70, "cancel_transfer")], "present", "A"),
        ([ADMIT, MOVE, admission("undo", 70, "cancel_transfer", supersedes="move")], "present", "A"),
        ([ADMIT, MOVE, admission("undo", 70, "transfer", status="cancelled", supersedes="move")], "present", "A"),
        ([ADMIT, admission("undo", 30, "cancel_admit")], "left", None),
        ([ADMIT, admission("undo", 30, "cancel_admit", supersedes="admit")], "left", None),
        ([ADMIT, admission("undo", 30, "admit", status="cancelled", supersedes="admit")], "left", None),
        ([ADMIT, admission("again", 40, "admit", unit="C"), admission("undo", 50, "cancel_admit")], "present", "A"),
        ([ADMIT, MOVE, LEAVE, CANCEL_LEAVE, admission("leave again", 140, "discharge")], "left", "B"),
    ],
)  # fmt: skip
def test_a_cancellation_leaves_what_was_before(events: list[Admission], phase: str, unit: str | None) -> None:
    stay = present(*events)
    assert (stay.phase, stay.unit) == (phase, unit)
    if phase == "present":
        assert stay.left_at is None
        assert stay.disposition is None


def recorded(minutes: float, event: Admission) -> Admission:
    return msgspec.structs.replace(event, available_at=at(minutes))


@pytest.mark.parametrize(
    ("events", "unit"),
    [
        ([recorded(0, admission("in", 5, "admit", unit="A")), recorded(3, admission("u", 3, "cancel_admit"))], None),
        ([recorded(4, admission("in", 5, "admit", unit="A")), recorded(3, admission("u", 3, "cancel_admit"))], "A"),
        ([admission("in", 5, "admit", unit="A"), recorded(3, admission("u", 3, "cancel_admit"))], "A"),
        (
            [
                recorded(0, admission("in", 0, "admit", unit="A", encounter_id="E1")),
                recorded(1, admission("in 2", 5, "admit", unit="B", encounter_id="E2")),
                recorded(3, admission("u", 3, "cancel_admit", encounter_id="E1")),
            ],
            "B",
        ),
        (
            [
                *(ADMIT, recorded(61, admission("m", 65, "transfer", unit="C")), MOVE),
                recorded(62, admission("u", 62, "cancel_transfer")),
            ],
            "B",
        ),
    ],
    ids=["before its hour", "before it", "nobody says", "another visit", "of two moves the last"],
)
def test_a_cancellation_finds_what_was_on_record(events: list[Admission], unit: str | None) -> None:
    assert present(*events).occupies == unit


def test_what_was_cancelled_before_its_hour_stays_away_when_the_cancellation_is_folded_for_good() -> None:
    undo = recorded(3, admission("undo", 3, "cancel_admit"))
    log = StayLog()
    for event in (undo, recorded(0, admission("in", 5, "admit", unit="A"))):
        log.add(event)
    for number in range(2 * KEPT_EVENTS):
        stay = log.add(admission(f"nothing {number}", 10 + number, "cancel_transfer"))
    assert (stay.occupies, log.visits()) == (None, [])


def test_two_cancellations_take_two_events() -> None:
    moves = [admission(f"move {n}", n, "transfer", unit=f"U{n}") for n in (1, 2)]
    undo = [admission(f"undo {n}", n, "cancel_transfer") for n in (3, 4)]
    assert present(ADMIT, *moves, undo[0]).unit == "U1"
    assert present(ADMIT, *moves, *undo).unit == "A"


def test_a_resend_is_no_second_cancellation() -> None:
    moves = [admission(f"move {n}", n, "transfer", unit=f"U{n}") for n in (1, 2)]
    undo = admission("undo", 3, "cancel_transfer")
    log = StayLog()
    for event in (ADMIT, *moves, undo, undo):
        stay = log.add(event)
    assert stay.unit == "U1"


def test_of_two_corrections_the_last_counts() -> None:
    first = admission("fix", 60, "transfer", 65, unit="C", status="corrected", supersedes="move")
    second = admission("fix again", 60, "transfer", 70, unit="D", status="corrected", supersedes="move")
    assert present(ADMIT, MOVE, first).unit == "C"
    assert present(ADMIT, MOVE, first, second).unit == "D"
    undone = admission("undo", 60, "transfer", 75, unit="C", status="cancelled", supersedes="move")
    assert present(ADMIT, MOVE, first, undone).unit == "A"


def test_an_update_states_only_what_it_says() -> None:
    update = admission("update", 10, "update", age_years=71.0, code_status="dnr", bed="3")
    stay = present(ADMIT, update)
    assert (stay.age_years, stay.code_status, stay.unit, stay.bed) == (71.0, "dnr", "A", "3")
    assert (stay.sex, stay.phase) == ("female", "present")


A08 = admission("a08", 5, "update", unit="A", bed="1", patient_class="inpatient", encounter_id="E1")


def test_an_update_of_a_visit_that_nobody_admitted_says_that_the_patient_is_there() -> None:
    stay = present(A08)
    assert (stay.phase, stay.unit, stay.admitted_at) == ("present", "A", None)
    clinic = msgspec.structs.replace(A08, patient_class="outpatient")
    assert present(clinic).phase == present(msgspec.structs.replace(A08, unit=None)).phase == "unknown"
    assert present(A08, ADMIT).admitted_at == at(0).timestamp()
    assert present(A08, admission("out", 30, "discharge", encounter_id="E1")).phase == "left"
    assert present(A08, admission("undo", 30, "cancel_admit", encounter_id="E1")).phase == "left"
    assert present(A08, admission("undo", 30, "cancel_admit", encounter_id="E2")).phase == "present"


@pytest.mark.parametrize("kind", ["discharge", "cancel_admit"])
def test_an_update_brings_nobody_back(kind: str) -> None:
    assert present(ADMIT, admission("out", 3, kind, encounter_id="E1"), A08).phase == "left"
    assert present(admission("out", 3, kind, encounter_id="E1"), A08).phase == "left"


def test_an_update_that_comes_late_does_not_undo_a_later_move() -> None:
    update = admission("update", 10, "update", 200, unit="A", bed="3", pregnant=False)
    stay = present(ADMIT, MOVE, update)
    assert (stay.unit, stay.bed, stay.pregnant) == ("B", "7", False)


def test_another_stay_knows_only_who_the_patient_is() -> None:
    first = admission(
        "first", 0, "admit", age_years=30.0, sex="female", pregnant=True, unit="A", code_status="dnr", complaint="pain"
    )
    again = admission("again", 600, "admit", unit="C")
    stay = present(first, LEAVE, again)
    assert stay == Stay(
        phase="present",
        unit="C",
        since=at(600).timestamp(),
        admitted_at=at(600).timestamp(),
        age_years=30.0,
        sex="female",
    )
    stay = present(first, LEAVE, again, admission("undo", 610, "cancel_admit"))
    assert (stay.phase, stay.left_at) == ("left", at(120).timestamp())


def test_registered_before_and_then_there() -> None:
    booked = admission("booked", 0, "admit", patient_class="preadmit", unit="A")
    assert (present(booked).phase, present(booked).admitted_at) == ("preadmitted", None)
    stay = present(booked, admission("came", 60, "admit", patient_class="inpatient"))
    assert (stay.phase, stay.admitted_at, stay.unit) == ("present", at(60).timestamp(), "A")


@pytest.mark.parametrize(
    ("came", "planned"),
    [
        (admission("came", 60, "admit", patient_class="inpatient", encounter_id="E1"), True),
        (admission("came", 60, "admit", encounter_id="E1"), True),
        (admission("came", 60, "admit", patient_class="emergency", encounter_id="E1"), False),
        (admission("came", 60, "admit", patient_class="inpatient", encounter_id="E2"), False),
    ],
    ids=["registered", "class not stated", "emergency", "another stay"],
)
def test_planned_is_who_was_registered_for_this_stay(came: Admission, planned: bool) -> None:
    booked = admission("booked", 0, "admit", patient_class="preadmit", unit="A", encounter_id="E1")
    move = admission("move", 90, "transfer", unit="B", encounter_id=came.encounter_id)
    stay = present(booked, came, move)
    assert (stay.phase, stay.planned) == ("present", planned)
    assert present(booked, came, move, admission("no", 95, "cancel_admit", supersedes="booked")).planned is False
    assert present(came, move).planned is False
    again = admission("again", 200, "admit", patient_class="inpatient", encounter_id="E9")
    assert present(booked, came, admission("leave", 120, "discharge"), again).planned is False


REGISTER = admission("booked", 0, "admit", patient_class="preadmit", encounter_id="E2")
COME = admission("came", 4000, "admit", patient_class="inpatient", unit="B", encounter_id="E2")


@pytest.mark.parametrize("kind", ["inpatient", "outpatient", "emergency"])
@pytest.mark.parametrize(("begins", "ends"), [(-60, 60), (20, 60), (-60, None)], ids=["around", "after", "goes on"])
def test_planned_is_who_was_registered_whatever_lies_between(kind: str, begins: int, ends: int | None) -> None:
    other = {"encounter_id": "E1", "patient_class": kind}
    between = [admission("other", begins, "admit", unit="A", **other)]
    if ends is not None:
        between.append(admission("end", ends, "discharge", encounter_id="E1"))
    assert present(REGISTER, *between).registered == ("E2",)
    stay = present(REGISTER, *between, COME)
    assert (stay.phase, stay.encounter_id, stay.planned, stay.registered) == ("present", "E2", True, ())
    assert present(REGISTER, *between, admission("no", 100, "cancel_admit", encounter_id="E2"), COME).planned is False
    assert present(REGISTER, *between, msgspec.structs.replace(COME, patient_class="emergency")).planned is False
    assert present(REGISTER, *between, msgspec.structs.replace(COME, encounter_id="E3")).planned is False


def test_a_registration_outlasts_an_interruption_and_a_merge_but_not_its_visit() -> None:
    admitted = admission("in", -60, "admit", patient_class="inpatient", unit="A", encounter_id="E1")
    visit = admission("ED", -30, "admit", patient_class="emergency", unit="ED", encounter_id="E0")
    back = admission("ED over", 30, "discharge", encounter_id="E0")
    home = admission("home", 60, "discharge", encounter_id="E1")
    stay = present(admitted, visit, REGISTER, back)
    assert (stay.encounter_id, stay.registered) == ("E1", ("E2",))
    assert present(admitted, visit, back, home, REGISTER, COME).planned is True
    log, other = StayLog(), StayLog(settled=at(90).timestamp())
    for event in (admitted, home, REGISTER):
        log.add(event)
    other.join(log)
    assert other.base.registered == ("E2",), "it is folded for good"
    assert other.add(COME).planned is True
    gone = admission("gone", 5000, "discharge", encounter_id="E2")
    again = admission("again", 6000, "admit", patient_class="inpatient", unit="B", encounter_id="E2")
    assert present(REGISTER, COME, gone, again).planned is False


@pytest.mark.parametrize(
    "elsewhere",
    [
        admission("ED closed", 70, "discharge", encounter_id="E1", disposition="other"),
        admission("bill", 70, "update", encounter_id="E1", unit="ED", patient_class="emergency"),
        admission("clinic", 70, "admit", encounter_id="E3", patient_class="outpatient", unit="Clinic"),
        admission("next time", 70, "admit", encounter_id="E3", patient_class="preadmit", unit="C"),
    ],
    ids=["discharge", "update", "appointment", "registration"],
)
def test_another_encounter_moves_nobody(elsewhere: Admission) -> None:
    emergency = admission("ED", 0, "admit", encounter_id="E1", patient_class="emergency", unit="ED", sex="male")
    upstairs = admission("ward", 60, "admit", encounter_id="E2", patient_class="inpatient", unit="A", bed="4")
    stay = present(emergency, upstairs, elsewhere)
    assert (stay.phase, stay.unit, stay.bed, stay.encounter_id) == ("present", "A", "4", "E2")
    assert (stay.patient_class, stay.disposition) == ("inpatient", None)
    own = admission("own", 90, "discharge", encounter_id="E2")
    assert present(emergency, upstairs, elsewhere, own).phase == "left"


def test_the_end_of_an_appointment_during_the_stay_ends_no_stay() -> None:
    clinic = admission("clinic", 10, "admit", encounter_id="E3", patient_class="outpatient")
    closed = admission("closed", 20, "discharge", encounter_id="E3")
    undone = admission("undone", 30, "cancel_admit", encounter_id="E3")
    assert present(ADMIT, clinic, closed).phase == "present"
    assert present(ADMIT, clinic, undone).phase == "present"


def test_a_transfer_with_a_new_number_is_the_same_stay() -> None:
    move = admission("class", 30, "transfer", encounter_id="E2", patient_class="inpatient")
    stay = present(ADMIT, move, admission("leave", 90, "discharge", encounter_id="E2"))
    assert (stay.phase, stay.encounter_id, stay.unit) == ("left", "E2", "A")


def test_the_dead_are_moved_and_stay_dead() -> None:
    died = admission("died", 60, "discharge", disposition="died")
    stay = present(ADMIT, died, admission("mortuary", 90, "transfer", unit="Mortuary"))
    assert (stay.phase, stay.unit, stay.disposition) == ("left", "A", "died")


def test_at_the_same_moment_admission_comes_before_transfer_and_transfer_before_discharge() -> None:
    for names in permutations("abc"):
        events = [
            admission(names[0], 0, "admit", unit="A"),
            admission(names[1], 0, "transfer", unit="B"),
            admission(names[2], 0, "discharge"),
        ]
        stay = present(*events)
        assert (stay.unit, stay.phase) == ("B", "left")


def test_a_merge_states_what_it_says() -> None:
    merge = admission("merge", 10, "merge", merged_patient_id="P2", age_years=69.0)
    assert present(ADMIT, merge).age_years == 69.0


KINDS = ["admit", "transfer", "update", "discharge", "cancel_admit", "cancel_transfer", "cancel_discharge"]


@st.composite
def stories(draw: st.DrawFn, length: int) -> list[Admission]:
    """Events of every kind at their times; cancellations may name what they cancel."""
    story: list[Admission] = []
    for number in range(length):
        kind = draw(st.sampled_from(KINDS))
        fields: dict[str, Any] = {"unit": f"U{number}"} if kind in ("admit", "transfer", "update") else {}
        own = [one for one in range(number) if story[one].kind == kind.removeprefix("cancel_")]
        if kind.startswith("cancel_") and own and draw(st.booleans()):
            fields["supersedes"] = f"e{draw(st.sampled_from(own))}"
        story.append(admission(f"e{number}", number * draw(st.integers(1, 2)) // 2, kind, number, **fields))
    return story


@settings(max_examples=150)
@given(st.data())
def test_any_story_in_any_order_gives_one_present(data: st.DataObject) -> None:
    story = data.draw(stories(data.draw(st.integers(1, 12))))
    log, stay = StayLog(), Stay()
    for event in data.draw(st.permutations(story)):
        stay = log.add(event)
    assert stay == fold(story)
