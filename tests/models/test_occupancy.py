"""Rows of occupancy: the same after any order of arrival, and those that a plain account of the stay gives."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.events import admission, at
from tests.models.test_stay import A08, stories
from wardstream.models.occupancy import revise, rows
from wardstream.models.stay import KEPT_EVENTS, KEPT_VISITS, StayLog, Visit
from wardstream.schemas.admissions import Admission
from wardstream.schemas.occupancy import PARTITIONS, place, row_key

Table = dict[str, Sequence[Visit]]


def told(table: Table, log: StayLog, patient_id: str = "P1") -> None:
    """What a consumer does with the rows that are written now."""
    for key, visits in revise(patient_id, log).items():
        if visits:
            table[key] = visits
        else:
            del table[key]  # nothing is withdrawn that was not there


def after(*events: Admission) -> Table:
    log, table = StayLog(), Table()
    for event in events:
        log = msgspec.json.decode(msgspec.json.encode(log), type=StayLog)
        log.add(event)
        told(table, log)
    return table


def said(table: Table) -> dict[str, list[tuple[float, float | None, str | None]]]:
    """By key: minutes of coming and leaving, and where to."""
    begin = at(0).timestamp()
    return {
        key: [
            ((one.since - begin) / 60, None if one.until is None else (one.until - begin) / 60, one.left_to)
            for one in visits
        ]
        for key, visits in table.items()
    }


ADMIT = admission("admit", 0, "admit", unit="A", bed="1", encounter_id="E1")
MOVE = admission("move", 60, "transfer", unit="B", bed="7", encounter_id="E1")
LEAVE = admission("leave", 120, "discharge", encounter_id="E1", disposition="home")


def test_a_row_for_each_unit_says_where_the_patient_went() -> None:
    assert said(after(ADMIT)) == {"A\tE1\tP1": [(0, None, None)]}
    assert said(after(ADMIT, MOVE)) == {"A\tE1\tP1": [(0, 60, "B")], "B\tE1\tP1": [(60, None, None)]}
    table = after(ADMIT, MOVE, LEAVE)
    assert said(table) == {"A\tE1\tP1": [(0, 60, "B")], "B\tE1\tP1": [(60, 120, None)]}
    visit = table["B\tE1\tP1"][-1]
    assert (visit.stay.came_from, visit.stay.bed, visit.stay.disposition) == ("A", "7", "home")
    assert visit.stay.admitted_at == at(0).timestamp()


def test_coming_back_keeps_the_time_before() -> None:
    back = admission("back", 90, "transfer", unit="A", encounter_id="E1")
    assert said(after(ADMIT, MOVE, back)) == {
        "A\tE1\tP1": [(0, 60, "B"), (90, None, None)],
        "B\tE1\tP1": [(60, 90, "A")],
    }


def test_a_change_of_bed_is_no_move() -> None:
    table = after(ADMIT, admission("bed", 30, "update", bed="2"), admission("room", 40, "transfer", room="r", bed="3"))
    assert said(table) == {"A\tE1\tP1": [(0, None, None)]}
    assert (table["A\tE1\tP1"][-1].stay.room, table["A\tE1\tP1"][-1].stay.bed) == ("r", "3")


def test_an_update_that_names_another_unit_is_a_move_without_the_old_bed() -> None:
    table = after(ADMIT, admission("a08", 30, "update", unit="C"))
    assert said(table) == {"A\tE1\tP1": [(0, 30, "C")], "C\tE1\tP1": [(30, None, None)]}
    assert table["C\tE1\tP1"][-1].stay.bed is None


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([ADMIT, MOVE, admission("undo", 70, "cancel_transfer")], {"A\tE1\tP1": [(0, None, None)]}),
        ([ADMIT, admission("undo", 70, "cancel_admit")], {}),
        ([ADMIT, LEAVE, admission("undo", 130, "cancel_discharge")], {"A\tE1\tP1": [(0, None, None)]}),
        (
            [ADMIT, MOVE, admission("fix", 60, "transfer", 65, unit="C", status="corrected", supersedes="move")],
            {"A\tE1\tP1": [(0, 60, "C")], "C\tE1\tP1": [(60, None, None)]},
        ),
        ([admission("a08", 5, "update", unit="A", encounter_id="E1"), ADMIT], {"A\tE1\tP1": [(0, None, None)]}),
        ([admission("a08", 5, "update", unit="A")], {}),
        ([A08, admission("undo", 70, "cancel_admit", encounter_id="E1")], {}),
        ([admission("nowhere", 0, "admit"), admission("still", 5, "transfer", bed="3")], {}),
        ([admission("later", 0, "admit", unit="A", patient_class="preadmit")], {}),
    ],
    ids=[
        "transfer",
        "admission",
        "discharge",
        "correction",
        "A08 first",
        "A08 alone",
        "A08 undone",
        "no unit",
        "registered",
    ],
)
def test_what_was_never_true_has_no_row(events: list[Admission], expected: dict[str, Any]) -> None:
    assert said(after(*events)) == expected
    assert said(after(*reversed(events))) == expected


def test_a_stay_that_gets_a_number_moves_to_its_key() -> None:
    unnamed = admission("admit", 0, "admit", unit="ED")
    assert said(after(unnamed)) == {"ED\t\tP1": [(0, None, None)]}
    named = admission("class", 30, "transfer", patient_class="inpatient", encounter_id="E2")
    assert said(after(unnamed, named)) == {"ED\tE2\tP1": [(0, None, None)]}
    other = admission("other", 40, "transfer", patient_class="inpatient", encounter_id="E3")
    assert said(after(unnamed, named, other)) == {"ED\tE3\tP1": [(0, None, None)]}


def test_a_patient_upstairs_is_not_in_the_emergency_department_as_well() -> None:
    emergency = admission("ed", 0, "admit", unit="ED", encounter_id="E1", patient_class="emergency")
    upstairs = admission("up", 60, "admit", unit="A", encounter_id="E2", patient_class="inpatient")
    closed = admission("closed", 90, "discharge", encounter_id="E1")
    clinic = admission("clinic", 95, "admit", unit="Clinic", encounter_id="E3", patient_class="outpatient")
    expected = {"ED\tE1\tP1": [(0, 60, "A")], "A\tE2\tP1": [(60, None, None)]}
    assert said(after(emergency, upstairs, closed, clinic)) == expected


def test_keys_are_never_alike_and_units_have_a_place() -> None:
    assert len({row_key("A", "B", "P"), row_key("A", None, "B"), row_key("A", None, "P")}) == 3
    assert {place(row_key("ward-4b", encounter, "P").encode()) for encounter in (None, "E1", "E2")} == {
        place(b"ward-4b\tanything")
    }
    assert {place(f"ward-{n}\tE".encode()) for n in range(50)} == set(range(PARTITIONS))


@settings(max_examples=150)
@given(st.data())
def test_any_story_in_any_order_and_twice_leaves_the_same_rows(data: st.DataObject) -> None:
    story = data.draw(stories(data.draw(st.integers(1, 12))))
    arrived = data.draw(st.permutations(story + data.draw(st.lists(st.sampled_from(story), max_size=4))))
    whole = StayLog(events=story)
    assert after(*arrived) == dict(rows("P1", whole))


class Told(NamedTuple):
    """A stay as it was, and the events that tell it, mistakes and their cancellations among them."""

    visits: list[tuple[str, int, int | None, str | None]]  # unit, from, until, and where to
    events: list[Admission]


@st.composite
def stays(draw: st.DrawFn) -> Told:
    """One stay of some moves, in minutes; mistakes are made and taken back between the moves."""
    visits: list[tuple[str, int, int | None, str | None]] = []
    events: list[Admission] = []
    moves, number = draw(st.integers(1, 6)), 0
    units = draw(st.lists(st.sampled_from("ABCD"), min_size=moves, max_size=moves))
    for step, unit in enumerate(units):
        minute = step * 100
        if visits and visits[-1][0] == unit:
            events.append(admission(f"bed{step}", minute, "transfer", unit=unit, bed=str(step), encounter_id="E"))
        else:
            if visits:
                visits[-1] = (visits[-1][0], visits[-1][1], minute, unit)
            visits.append((unit, minute, None, None))
            kind = "transfer" if step else "admit"
            events.append(admission(f"in{step}", minute, kind, unit=unit, encounter_id="E"))
        for mistake in draw(st.lists(st.sampled_from(["transfer", "discharge"]), max_size=2)):
            number += 1
            name, when = f"wrong{number}", minute + 10 * (number % 5) + 1
            fields = {"unit": "X"} if mistake == "transfer" else {}
            events.append(admission(name, when, mistake, encounter_id="E", **fields))
            events.append(admission(f"{name} undone", when + 5, f"cancel_{mistake}", supersedes=name, encounter_id="E"))
    if draw(st.booleans()):
        end = moves * 100
        visits[-1] = (visits[-1][0], visits[-1][1], end, None)
        events.append(admission("out", end, "discharge", encounter_id="E"))
    return Told(visits, events)


@settings(max_examples=150)
@given(stays(), st.randoms(use_true_random=False))
def test_the_rows_are_the_stay_as_it_was(stay: Told, rng: random.Random) -> None:
    arrived = stay.events * 2
    rng.shuffle(arrived)
    expected: dict[str, list[tuple[float, float | None, str | None]]] = {}
    for unit, since, until, left_to in stay.visits:
        expected.setdefault(f"{unit}\tE\tP1", []).append((since, until, left_to))
    assert said(after(*arrived)) == expected


def test_the_rows_of_a_long_stay_are_kept_where_they_were_told() -> None:
    log, table = StayLog(), Table()
    count = KEPT_EVENTS + KEPT_VISITS + 20
    for number in range(count):
        log.add(admission(f"m{number}", number, "transfer" if number else "admit", unit=f"U{number}", encounter_id="E"))
        told(table, log)
    assert len(log.events) <= KEPT_EVENTS
    assert len(log.past) <= KEPT_VISITS
    assert len(log.told) <= KEPT_EVENTS + KEPT_VISITS + 1
    assert said(table) == {
        f"U{n}\tE\tP1": [(n, None, None) if n == count - 1 else (n, n + 1, f"U{n + 1}")] for n in range(count)
    }


def test_two_patients_with_one_number_are_two_rows() -> None:
    """Mother and child under one account: what becomes of the one says nothing of the other."""
    table, mother, child = Table(), StayLog(), StayLog()
    for log, patient in ((mother, "P1"), (child, "P2")):
        log.add(ADMIT)
        told(table, log, patient)
    assert len(table) == 2
    child.add(LEAVE)
    told(table, child, "P2")
    assert said(table) == {"A\tE1\tP1": [(0, None, None)], "A\tE1\tP2": [(0, 120, None)]}
    mother.add(admission("undo", 130, "cancel_admit"))
    told(table, mother, "P1")
    assert said(table) == {"A\tE1\tP2": [(0, 120, None)]}


def test_two_logs_joined_are_one_log_of_all_events() -> None:
    story = [ADMIT, MOVE, admission("ed", 30, "admit", unit="ED", encounter_id="E2", patient_class="emergency"), LEAVE]
    for split in range(2 ** len(story)):
        mine, theirs, table = StayLog(), StayLog(), Table()
        for index, event in enumerate(story):
            log, key = (mine, "P1") if split >> index & 1 else (theirs, "P2")
            log.add(event)
            told(table, log, key)
        mine.join(theirs)
        told(table, mine)
        assert table == dict(rows("P1", StayLog(events=story)))
        mine.join(theirs)
        assert not any(revise("P1", mine).values()), "joined again: at most what is withdrawn is withdrawn again"
