"""The census after any sequence of rows, revisions and withdrawals equals a recount of the table's last rows."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.agents.bedside import MemoryRows
from tests.events import event_id
from wardstream.models.flow.census import MOVEMENTS, Census, changed_hours, hour_of
from wardstream.schemas.occupancy import Before, Occupancy

BEGIN = datetime(2026, 3, 1, tzinfo=UTC)
FIRST = hour_of(BEGIN.timestamp())
HOURS = 60
UNITS = ("A", "B")


def moment(hour: float) -> datetime:
    return BEGIN + timedelta(hours=hour)


def row(unit: str, times: list[float], state: str, ways: tuple[bool, bool]) -> Occupancy:
    """A row whose patient came and left at these hours in turn; `ways`: from and to another unit, or outside.

    Who is present came at the last of them, or the last but one; who was lost was so at the last of all.
    """
    came, went = ("X" if ways[0] else None), ("Y" if ways[1] else None)
    pairs = list(zip(times[::2], times[1::2], strict=False))
    since, left_at = pairs.pop() if state == "left" or len(times) % 2 == 0 else (times[-1], None)
    return Occupancy(
        event_id=event_id("row"),
        source="test",
        patient_id="P1",
        observed_at=moment(times[-1]),
        received_at=moment(HOURS),
        unit=unit,
        state=state,  # type: ignore[arg-type]
        since=moment(since),
        came_from=came,
        left_at=moment(left_at) if state == "left" and left_at is not None else None,
        left_to=went if state == "left" else None,
        earlier=tuple(Before(since=moment(a), left_at=moment(b), came_from=came, left_to=went) for a, b in pairs),
    )


rows = st.builds(
    row,
    st.sampled_from(UNITS),
    st.lists(st.integers(0, HOURS * 4 - 1).map(lambda q: q / 4), min_size=2, max_size=6).map(sorted),
    st.sampled_from(["present", "left", "lost"]),
    st.tuples(st.booleans(), st.booleans()),
)
steps = st.lists(st.tuples(st.sampled_from("abcde"), rows | st.none()), max_size=40)


def plain(table: Mapping[str, Occupancy], unit: str) -> tuple[list[list[int]], list[int]]:
    """Movements and census hour by hour, by looking at every stay for every hour."""
    stays = []
    for one in table.values():
        if one.unit == unit:
            stays += [(b.since, b.came_from, b.left_at, b.left_to, "left") for b in one.earlier]
            end = one.left_at if one.state == "left" else one.observed_at if one.state == "lost" else None
            stays.append((one.since, one.came_from, end, one.left_to, one.state))
    movements, census = [], []
    for hour in range(HOURS):
        begin, end = moment(hour), moment(hour + 1)
        came = [stay for stay in stays if begin <= stay[0] < end]
        gone = [stay for stay in stays if stay[2] is not None and begin <= stay[2] < end]
        left = [stay for stay in gone if stay[4] == "left"]
        movements.append(
            [
                sum(stay[1] is None for stay in came),
                sum(stay[1] is not None for stay in came),
                sum(stay[3] is None for stay in left),
                sum(stay[3] is not None for stay in left),
                len(gone) - len(left),
            ]
        )
        census.append(sum(stay[0] < end and (stay[2] is None or stay[2] >= end) for stay in stays))
    return movements, census


class Hospital:
    """A census of each unit; a key that goes to another unit is dropped in the one it was in."""

    def __init__(self) -> None:
        self.kept: dict[str, MemoryRows] = {unit: MemoryRows({}) for unit in UNITS}
        self.first = 0
        self.told: set[tuple[str, int]] = set()  # unit and hour that changes were announced of

    def census(self, unit: str) -> Census:
        return Census(self.kept[unit], self.first)

    def give(self, key: str, one: Occupancy | None) -> None:
        for unit in UNITS:
            if one is not None and one.unit == unit:
                before, after = self.census(unit).put(key, one)
            else:
                before, after = self.census(unit).drop(key), None
            self.told |= {(unit, hour) for hour in changed_hours(before, after, FIRST + HOURS - 1)}


@given(steps)
def test_counts_equal_a_recount(done: list[tuple[str, Occupancy | None]]) -> None:
    hospital, table = Hospital(), dict[str, Occupancy]()
    for key, one in done:
        hospital.give(key, one)
        if one is None:
            table.pop(key, None)
        else:
            table[key] = one
    for unit in UNITS:
        census = hospital.census(unit)
        series = census.series(FIRST, HOURS)
        movements, present = plain(table, unit)
        assert series.movements.tolist() == movements
        assert series.census.tolist() == present
        assert len(census.present()) == sum(r.unit == unit and r.state == "present" for r in table.values())


@given(steps, st.tuples(st.sampled_from("abcde"), rows | st.none()))
def test_every_hour_that_a_revision_changes_is_announced(
    done: list[tuple[str, Occupancy | None]], revision: tuple[str, Occupancy | None]
) -> None:
    hospital = Hospital()
    for key, one in done:
        hospital.give(key, one)
    before = {unit: hospital.census(unit).series(FIRST, HOURS) for unit in UNITS}
    hospital.told.clear()
    hospital.give(*revision)
    for unit in UNITS:
        after = hospital.census(unit).series(FIRST, HOURS)
        for hour in range(HOURS):
            moved = (before[unit].movements[hour] != after.movements[hour]).any()
            if moved or before[unit].census[hour] != after.census[hour]:
                assert (unit, FIRST + hour) in hospital.told


@given(steps, steps, st.integers(1, HOURS // 24))
@settings(max_examples=60)
def test_forgetting_changes_no_later_hour(
    before: list[tuple[str, Occupancy | None]], after: list[tuple[str, Occupancy | None]], days: int
) -> None:
    """Keys that are written later are others: rows are not revised once they are forgotten."""
    kept, whole = Hospital(), Hospital()
    for key, one in before:
        for hospital in (kept, whole):
            hospital.give(key, one)
    forgotten = FIRST // 24 * 24 + 24 * days
    for unit in UNITS:
        kept.census(unit).forget(forgotten)
    kept.first = forgotten
    for key, one in after:
        for hospital in (kept, whole):
            hospital.give(f"{key}2", one)
    for unit in UNITS:
        one, other = (h.census(unit).series(forgotten, FIRST + HOURS - forgotten) for h in (kept, whole))
        assert np.array_equal(one.movements, other.movements)
        assert np.array_equal(one.census, other.census)


def test_arrivals_are_from_outside_and_from_other_units() -> None:
    census = Census(MemoryRows({}))
    census.put("one", row("A", [1.0, 3.5], "left", (False, True)))
    census.put("two", row("A", [1.5], "present", (True, False)))
    series = census.series(FIRST, 5)
    assert series.arrivals.tolist() == [0, 2, 0, 0, 0]
    assert series.census.tolist() == [0, 2, 2, 1, 1]
    assert dict(zip(MOVEMENTS, series.movements.sum(axis=0).tolist(), strict=True)) == {
        "admissions": 1,
        "transfers_in": 1,
        "discharges": 0,
        "transfers_out": 1,
        "lost": 0,
    }
