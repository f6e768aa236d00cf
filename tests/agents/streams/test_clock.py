"""Ticks: every minute once, in order, also those that were missed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from wardstream.agents.streams.clock import CATCH_UP_LIMIT, TICK_S, due_ticks, tick

NOON = 1_800_000_000.0 // 60 * 60


def test_starts_with_the_minute_that_has_begun() -> None:
    assert due_ticks(None, NOON + 59.9) == [NOON]


def test_nothing_before_the_next_minute() -> None:
    assert due_ticks(NOON, NOON + 59.9) == []
    assert due_ticks(NOON, NOON + 60) == [NOON + 60]


def test_missed_minutes_follow_one_by_one() -> None:
    assert due_ticks(NOON, NOON + 200) == [NOON + 60, NOON + 120, NOON + 180]


def test_after_a_long_outage_a_day_at_the_most() -> None:
    late = due_ticks(NOON, NOON + 30 * 86400)
    assert len(late) == CATCH_UP_LIMIT
    assert late[-1] == NOON + 30 * 86400


def test_a_clock_set_back_writes_nothing() -> None:
    assert due_ticks(NOON, NOON - 3600) == []


@given(st.lists(st.floats(0, 7200), max_size=30))
def test_each_minute_once_and_in_order(steps: list[float]) -> None:
    now, last = NOON, None
    written: list[float] = []
    for step in steps:
        now += step
        due = due_ticks(last, now)
        written += due
        last = due[-1] if due else last
    assert written == [written[0] + TICK_S * i for i in range(len(written))] if written else True


def test_the_same_minute_has_the_same_id() -> None:
    first, again, next_one = tick(NOON), tick(NOON), tick(NOON + 60)
    assert first == again
    assert first.event_id != next_one.event_id
    assert first.observed_at == first.received_at
    assert first.observed_at.timestamp() == NOON
