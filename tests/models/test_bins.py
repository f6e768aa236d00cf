"""Hourly bins: what goes in, what comes out, what is forgotten."""

from __future__ import annotations

import random

import pytest

from tests.models.measuring import HOUR, MINUTE, T0, MemoryRows, event_id, said
from wardstream.models.bins import KEPT_HOURS, ROW_BYTES, Bins, MeasurementSet, Summary, summarise


@pytest.fixture
def rows() -> MemoryRows:
    return MemoryRows()


@pytest.fixture
def bins(rows: MemoryRows) -> Bins:
    return Bins(rows)


def measured(name: object, minutes: float, **values: object) -> MeasurementSet:
    return said(name, minutes, **values).measured


def test_sets_come_back_by_time(bins: Bins) -> None:
    sets = [measured(minutes, minutes, hr=float(minutes)) for minutes in (5, 59, 60, 125)]
    for one in sets:
        bins.add(one)
    assert list(bins.sets()) == [sets[3], sets[2], sets[0], sets[1]]
    assert list(bins.sets(since=T0 + 59 * MINUTE, until=T0 + 125 * MINUTE)) == [sets[2], sets[1]]
    assert bins.hours() == [int(T0 // HOUR) + 2, int(T0 // HOUR) + 1, int(T0 // HOUR)]


def test_a_full_row_becomes_the_next_part_and_is_not_rewritten(rows: MemoryRows, bins: Bins) -> None:
    for second in range(60):
        bins.add(measured(second, second / 60, hr=70.0, rr=14.0, spo2=97.0))
    assert len(rows.rows) > 2
    assert max(map(len, rows.rows.values())) < ROW_BYTES + 200
    assert len(list(bins.sets())) == 60
    hour = int(T0 // HOUR)
    before = dict(rows.rows)
    bins.add(measured("later", 30, hr=71.0))
    assert {name for name, row in rows.rows.items() if row != before.get(name)} == {f"{hour}.0"}
    assert rows.rows.keys() == before.keys() == {f"{hour}.{part}" for part in range(len(before))}


def test_what_is_taken_out_is_gone_and_the_rest_stays(bins: Bins) -> None:
    sets = [measured(second, second / 60, hr=float(second)) for second in range(80)]
    for one in sets:
        bins.add(one)
    assert bins.take_out([event_id(3)], near=T0) == [sets[3]]
    assert bins.take_out([event_id(3)], near=T0) == []
    assert sorted(bins.sets(), key=lambda one: one.at) == [*sets[:3], *sets[4:]]
    for one in sets:  # the first row becomes empty; those behind it are still found
        bins.take_out([one.event_id], near=T0)
    assert list(bins.sets()) == []
    bins.add(sets[0])
    assert list(bins.sets()) == [sets[0]]


def test_a_set_is_found_in_another_hour_than_the_one_to_look_in_first(bins: Bins) -> None:
    bins.add(measured("wrong time", 0, hr=70.0))
    bins.add(measured("other", 200, hr=70.0))
    assert [one.event_id for one in bins.take_out([event_id("wrong time")], near=T0 + 3 * HOUR)] == [
        event_id("wrong time")
    ]


def test_only_so_many_hours_are_kept_in_whatever_order_they_come(bins: Bins) -> None:
    sets = [measured(hour, hour * 60, hr=70.0) for hour in range(KEPT_HOURS + 30)]
    for one in sets:
        bins.add(one)
    shuffled = Bins(MemoryRows())
    for one in random.Random(1).sample(sets, len(sets)):
        shuffled.add(one)
    assert sorted(bins.sets(), key=lambda one: one.at) == sets[-KEPT_HOURS - 1 :]
    assert sorted(shuffled.sets(), key=lambda one: one.at) == sets[-KEPT_HOURS - 1 :]


def test_summaries_are_of_numbers_by_hour() -> None:
    sets = [
        measured("a", 10, hr=70.0, acvpu="A", o2=True),
        measured("b", 50, hr=90.0),
        measured("c", 30, hr=110.0),
        measured("d", 61, hr=60.0, temp=38.5),
    ]
    hour = int(T0 // HOUR)
    assert summarise(sets) == {
        hour: {"hr": Summary(3, 90.0, 70.0, 110.0, 90.0)},
        hour + 1: {"hr": Summary(1, 60.0, 60.0, 60.0, 60.0), "temp": Summary(1, 38.5, 38.5, 38.5, 38.5)},
    }
    assert summarise(reversed(sets)) == summarise(sets)
