"""Where a patient is, whatever order the hospital's messages come in."""

from __future__ import annotations

import random
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


@pytest.mark.parametrize("seed", range(20))
def test_the_oldest_of_a_long_stay_are_settled_without_changing_the_present(seed: int) -> None:
    """Cancellations reach back over less than what is kept; then the log's present is that of the whole story."""
    rng = random.Random(seed)
    story: list[Admission] = []
    for number in range(4 * KEPT_EVENTS):
        kind = rng.choice(
            ["transfer", "transfer", "update", "discharge", "admit", "cancel_transfer", "cancel_discharge"]
        )
        fields: dict[str, Any] = {"unit": f"U{number}"} if kind in ("admit", "transfer", "update") else {}
        own = [n for n in range(number) if story[n].kind == kind.removeprefix("cancel_") and n > number - 20]
        if kind.startswith("cancel_"):
            if not own:
                kind, fields = "update", {"bed": f"{number}"}
            else:
                fields["supersedes"] = f"e{rng.choice(own)}"
        story.append(admission(f"e{number}", number, kind, **fields))
    log = StayLog()
    for number, event in enumerate(story):
        assert log.add(event) == fold(story[: number + 1])
        assert len(log.events) <= KEPT_EVENTS
    assert log.base != Stay()


def test_a_discharge_at_the_edge_of_what_is_kept_can_still_be_cancelled() -> None:
    """The oldest event is settled only if it still holds."""
    log = StayLog()
    log.add(LEAVE)
    log.add(CANCEL_LEAVE)
    for number in range(KEPT_EVENTS):
        stay = log.add(admission(f"nothing {number}", 200 + number, "cancel_transfer"))
    assert LEAVE not in log.events
    assert stay.phase == "unknown"


def test_what_is_older_than_what_is_folded_for_good_changes_nothing() -> None:
    log = StayLog()
    for number in range(2 * KEPT_EVENTS):
        log.add(admission(f"m{number}", number, "transfer" if number else "admit", unit=f"U{number}"))
    last, before = 2 * KEPT_EVENTS - 1, msgspec.json.encode(log)
    for late in (
        admission("m0", 0, "admit", 500, unit="U0"),
        admission("m5", 5, "transfer", 500, unit="U5"),
        admission("first time", 7.5, "transfer", 500, unit="X"),
        admission("out", 8.5, "discharge", 500),
        admission("undo", 9.5, "cancel_transfer", 500),
        admission("fix", 7, "transfer", 500, unit="X", status="corrected", supersedes="m7"),
    ):
        assert log.too_late(late)
        assert log.add(late).unit == f"U{last}"
        assert msgspec.json.encode(log) == before
    kept = admission("late", KEPT_EVENTS + 10.5, "transfer", 500, unit="X")
    assert not log.too_late(kept)
    assert log.add(kept).unit == f"U{last}"
    assert "X" in [visit.unit for visit in log.visits()]


def updates(count: int, begin: float, **fields: Any) -> list[Admission]:
    return [
        admission(f"update {begin} {n}", begin + n / 10, "update", age_years=60 + n / 1e4, **fields)
        for n in range(count)
    ]


@pytest.mark.parametrize("count", [10, 39, 40, 45, 150])
@pytest.mark.parametrize("place", [{}, {"unit": "B", "bed": "7"}], ids=["without a place", "with it"])
@pytest.mark.parametrize("late", ["the admission again", "a move", "the discharge", "its cancellation"])
def test_updates_push_no_movement_out_of_reach(count: int, place: dict[str, Any], late: str) -> None:
    out = admission("out", 70, "discharge")
    story = [ADMIT, MOVE, out] if late == "its cancellation" else [ADMIT, MOVE]
    story += updates(count, 80, **place)
    last = {
        "the admission again": msgspec.structs.replace(ADMIT, received_at=at(300)),
        "a move": admission("first time", 30, "transfer", 300, unit="C"),
        "the discharge": admission("out", 75, "discharge", 300),
        "its cancellation": admission("undo", 290, "cancel_discharge"),
    }[late]
    log = StayLog()
    for event in story:
        log.add(event)
    stay = log.add(last)
    whole = StayLog(events=[*(event for event in story if event.event_id != last.event_id), last])
    assert stay == fold(whole.events)
    assert log.visits() == whole.visits()
    assert len(log.events) <= KEPT_EVENTS


def test_a_move_can_be_cancelled_after_many_updates() -> None:
    log = StayLog()
    for event in (ADMIT, MOVE, *updates(45, 70)):
        log.add(event)
    assert log.add(admission("undo", 100, "cancel_transfer")).unit == "A"


@settings(max_examples=60)
@given(st.data())
def test_a_long_stay_of_few_movements_is_the_same_in_any_order(data: st.DataObject) -> None:
    story = data.draw(stories(8))
    count = data.draw(st.integers(40, 80))
    fields = [{"bed": "1"}, {"bed": "2", "acuity": 3}, {"code_status": "dnr"}, {"unit": "A", "bed": "3"}]
    for number in range(count):
        minute = data.draw(st.integers(0, 200)) / 10
        story.append(admission(f"u{number}", minute, "update", **data.draw(st.sampled_from(fields))))
    log = StayLog()
    for event in data.draw(st.permutations(story)):
        stay = log.add(event)
    if not log.settled:  # updates that differ may be too many
        whole = fold(story)
        assert (stay.phase, stay.unit, stay.bed) == (whole.phase, whole.unit, whole.bed)
        assert (stay.acuity, stay.code_status) == (whole.acuity, whole.code_status)


def long_story(name: str, begin: float, encounter: str, unit: str, moves: int, end: float | None) -> StayLog:
    """A stay of some moves, a minute each, the last into `unit`; with as many updates after it, and perhaps an end."""
    log = StayLog()
    for number in range(moves):
        to = unit if number == moves - 1 else f"{name}{number}"
        kind = "transfer" if number else "admit"
        log.add(admission(f"{name} {number}", begin + number, kind, unit=to, encounter_id=encounter))
    if end is not None:
        log.add(admission(f"{name} out", end, "discharge", encounter_id=encounter))
    after = (begin + moves if end is None else end) + 1
    for event in updates(moves, after, encounter_id=encounter, unit=unit):
        log.add(msgspec.structs.replace(event, event_id=admission(f"{name} {event.event_id}", 0, "update").event_id))
    return log


@pytest.mark.parametrize("moves", [1, 5, 45, 100], ids=str)
@pytest.mark.parametrize("first", [True, False], ids=["old chart first", "temporary number first"])
def test_two_long_histories_joined_keep_the_patient_where_the_open_visit_is(moves: int, first: bool) -> None:
    """An old chart whose bills go on, and a temporary number under which the patient lies upstairs."""
    old, new = long_story("old", 0, "E1", "O", moves, 150), long_story("new", 200, "E2", "W", moves, None)
    for number in range(45):
        old.add(admission(f"bill {number}", 400 + number, "update", encounter_id="E1", acuity=number % 3 + 1))
    here, there = (old, new) if first else (new, old)
    told = {visit.unit for log in (old, new) for visit in log.visits()}
    stay = here.join(there)
    assert (stay.phase, stay.unit, stay.encounter_id) == ("present", "W", "E2")
    assert [visit.unit for visit in here.visits() if visit.until is None] == ["W"]
    if moves <= 5:
        assert {visit.unit for visit in here.visits()} == told
    assert here.add(admission("late", 490, "transfer", encounter_id="E1", unit="Y")).unit == "W"
    out = here.add(admission("out", 500, "discharge", encounter_id="E2"))
    assert out.phase == "left"


def test_what_the_other_had_not_folded_yet_is_not_taken_for_newer() -> None:
    """The other's old visit is short, but before the end of what this log has folded for good."""
    long = long_story("new", 200, "E2", "W", 60, None)
    assert long.settled > at(210).timestamp()
    for here, there in ((long, StayLog()), (StayLog(), long)):
        other = here if there is long else there
        other.add(admission("in", 205, "admit", unit="X", encounter_id="E1"))
        other.add(admission("out", 208, "discharge", encounter_id="E1"))
        copy = msgspec.json.decode(msgspec.json.encode(here), type=StayLog)
        stay = copy.join(msgspec.json.decode(msgspec.json.encode(there), type=StayLog))
        assert (stay.phase, stay.unit) == ("present", "W")
        assert "X" in {visit.unit for visit in copy.visits()}
        assert copy.too_late(admission("late", 206, "transfer", unit="Y"))


def test_of_two_records_of_one_visit_the_last_movement_counts() -> None:
    here, there = long_story("one", 0, "E1", "A", 100, None), long_story("two", 0, "E1", "B", 100, 160)
    for one, other in ((here, there), (there, here)):
        copy = msgspec.json.decode(msgspec.json.encode(one), type=StayLog)
        assert copy.join(msgspec.json.decode(msgspec.json.encode(other), type=StayLog)).phase == "left"


WARD = admission("ward", 0, "admit", encounter_id="E1", unit="W", bed="1", patient_class="inpatient")
SEEN = admission("seen", 60, "admit", encounter_id="E2", unit="ED", patient_class="emergency")
SEEN_OUT = admission("seen out", 120, "discharge", encounter_id="E2")


def test_an_inpatient_is_back_in_bed_when_an_emergency_visit_ends() -> None:
    assert present(WARD, SEEN).unit == "ED"
    stay = present(WARD, SEEN, SEEN_OUT)
    assert (stay.phase, stay.unit, stay.bed, stay.encounter_id) == ("present", "W", "1", "E1")
    assert (stay.since, stay.came_from, stay.admitted_at) == (at(120).timestamp(), "ED", at(0).timestamp())
    assert stay.patient_class == "inpatient"
    gone = admission("gone", 200, "discharge", encounter_id="E1")
    assert present(WARD, SEEN, SEEN_OUT, gone).phase == "left"
    again = admission("undo", 130, "cancel_discharge", encounter_id="E2")
    assert present(WARD, SEEN, SEEN_OUT, again).unit == "ED"


@pytest.mark.parametrize(
    "ends",
    [
        [admission("gone", 90, "discharge", encounter_id="E1"), SEEN_OUT],
        [admission("died", 120, "discharge", encounter_id="E2", disposition="died")],
        [
            admission("again", 90, "admit", encounter_id="E3", unit="X", patient_class="inpatient"),
            admission("gone", 150, "discharge", encounter_id="E3"),
        ],
    ],
    ids=["its own discharge", "death", "another admission"],
)
def test_an_inpatient_visit_that_has_ended_brings_nobody_back(ends: list[Admission]) -> None:
    assert present(WARD, SEEN, *ends).phase == "left"


def test_an_emergency_visit_that_nobody_closed_ends_with_the_admission_upstairs() -> None:
    emergency = admission("ed", 0, "admit", encounter_id="E1", unit="ED", patient_class="emergency")
    upstairs = admission("up", 60, "admit", encounter_id="E2", unit="W", patient_class="inpatient")
    assert present(emergency, upstairs, admission("out", 90, "discharge", encounter_id="E2")).phase == "left"


def test_a_transfer_of_a_visit_that_has_ended_moves_nobody() -> None:
    gone = admission("gone", 120, "discharge", encounter_id="E1")
    again = admission("again", 180, "admit", encounter_id="E2", unit="X", patient_class="inpatient")
    move = admission("move", 240, "transfer", encounter_id="E1", unit="Y")
    stay = present(WARD, gone, again, move)
    assert (stay.phase, stay.unit, stay.encounter_id) == ("present", "X", "E2")
    log = StayLog(events=[WARD, gone, again, move])
    assert [visit.unit for visit in log.visits()] == ["W", "X"]
    unknown = msgspec.structs.replace(move, encounter_id="E3", patient_class="inpatient")
    assert present(WARD, gone, again, unknown).unit == "Y"
    undone = admission("undo", 130, "cancel_discharge", encounter_id="E1")
    assert present(WARD, gone, undone, again, move).unit == "Y"
    third = admission("third", 300, "admit", encounter_id="E1", unit="Z")
    assert present(WARD, gone, again, third, msgspec.structs.replace(move, observed_at=at(360))).unit == "Y"


def test_the_late_discharge_of_the_emergency_visit_ends_its_transfers() -> None:
    emergency = admission("ed", 0, "admit", encounter_id="E1", unit="ED", patient_class="emergency")
    upstairs = admission("up", 60, "transfer", encounter_id="E2", unit="W", patient_class="inpatient")
    closed = admission("closed", 90, "discharge", encounter_id="E1")
    move = admission("move", 100, "transfer", encounter_id="E1", unit="ED2")
    assert present(emergency, upstairs, closed, move).unit == "W"


def test_a_cancelled_admission_of_which_only_an_update_told_brings_nobody_back() -> None:
    told = admission("a08", 0, "update", encounter_id="E1", unit="W", patient_class="inpatient")
    assert present(told, SEEN, SEEN_OUT).unit == "W"
    undone = admission("undo", 90, "cancel_admit", encounter_id="E1")
    assert present(told, SEEN, undone, SEEN_OUT).phase == "left"
    limits = admission("dnr", 70, "update", encounter_id="E2", code_status="dnr", acuity=2)
    assert (present(WARD, SEEN, limits, SEEN_OUT).code_status, present(WARD, SEEN, limits, SEEN_OUT).acuity) == (
        "dnr",
        None,
    )
