"""Curves in little memory."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.events import event_id
from wardstream.infra.board.series import MOST, Line, Told


def points(line: Line) -> list[tuple[float, float]]:
    return list(line.since(float("-inf")))


def test_of_each_minute_the_last_value_is_kept() -> None:
    line = Line()
    for at, value in ((0.0, 1.0), (59.0, 2.0), (60.0, 3.0), (61.0, 4.0), (180.0, 5.0), (150.0, 6.0), (30.0, 7.0)):
        line.put(at, value)
    assert points(line) == [(59.0, 2.0), (61.0, 4.0), (150.0, 6.0), (180.0, 5.0)]


@given(st.lists(st.tuples(st.floats(0, 1e6), st.floats(-1, 1)), max_size=200))
def test_in_whatever_order_they_come_the_last_of_each_minute_stays(found: list[tuple[float, float]]) -> None:
    line, last = Line(), dict[int, float]()
    for at, value in found:
        line.put(at, value)
        last[int(at // 60)] = max(at, last.get(int(at // 60), at))
    assert list(line.times) == sorted(last.values())


def test_it_is_bounded_and_keeps_the_newest() -> None:
    line = Line()
    for minute in range(5000):
        line.put(60.0 * minute, minute)
    assert MOST <= len(line.times) <= MOST + 100
    assert line.values[-1] == 4999.0


def test_what_is_old_goes_but_the_last_value() -> None:
    line = Line()
    for minute in range(3):
        line.put(60.0 * minute, minute)
    line.trim(100.0)
    assert points(line) == [(120.0, 2.0)]
    line.trim(1000.0)
    assert points(line) == [(120.0, 2.0)]
    line.drop(120.0)
    line.drop(5.0)
    line.trim(1000.0)
    assert points(line) == []


def test_which_event_said_what_is_bounded_too() -> None:
    told = Told()
    for number in range(5000):
        told.add(event_id(f"{number}"), float(number), 1 << number % 15)
    assert told.pop(event_id("4999")) == (4999.0, 1 << 4999 % 15)
    assert told.pop(event_id("4999")) is None
    assert told.pop(event_id("0")) is None
