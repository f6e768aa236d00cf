"""Stays of more events than are kept, two histories joined, and visits that overlap."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.events import admission, at
from tests.models.test_stay import ADMIT, CANCEL_LEAVE, LEAVE, MOVE, present, stories
from wardstream.models.stay import KEPT_EVENTS, Stay, StayLog, fold
from wardstream.schemas.admissions import Admission


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
