"""The order in which a lane applies what it reads from several topics."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wardstream.agents.streams import order as order_module
from wardstream.agents.streams.order import HOLD_DEADLINE_S, Order

TOPICS = ("admissions", "labs", "vitals")
TICKS = "ticks"
ALL = (*TOPICS, TICKS)


class Item(NamedTuple):
    topic: str
    offset: int
    time: float
    read_ms: int = 0


class Lane:
    """Reads logs in polls, as the transport does, and notes what is released. One poll takes a millisecond."""

    def __init__(self, logs: dict[str, list[float]], *, paced: bool = False) -> None:
        self.logs = logs
        self.order: Order[Item] = Order(ALL, TICKS)
        self.order.paced_by_ticks = paced
        self.read = dict.fromkeys(ALL, 0)
        self.released: list[Item] = []
        self.now_ms = 1
        self.reached: list[dict[str, float]] = []  # for each released item: how far each topic had been read

    @property
    def behind(self) -> set[str]:
        return {topic for topic in ALL if self.read[topic] < len(self.logs[topic])}

    def poll(self, counts: dict[str, int]) -> int:
        """Read some of each topic, release what may go; returns how many did."""
        self.now_ms += 1
        ended_ms = self.now_ms  # every broker answered
        for topic in self.order.wanted():
            at = self.read[topic]
            times = self.logs[topic][at : at + counts.get(topic, 0)]
            items = [Item(topic, at + i, time, self.now_ms) for i, time in enumerate(times)]
            self.order.add(topic, items)
            self.read[topic] += len(items)
        reached = {topic: float("inf") if topic not in self.behind else self.order.reached(topic) for topic in ALL}
        ready = self.order.release(self.behind, ended_ms, self.now_ms / 1000)
        self.released += ready
        self.reached += [reached] * len(ready)
        return len(ready)

    def drain(self, rng: random.Random, most: int) -> list[Item]:
        total = sum(map(len, self.logs.values()))
        for _ in range(20 * total + 100):
            if len(self.released) == total:
                break
            self.poll({topic: rng.randint(0, most) for topic in ALL})
        return self.released


minutes = st.integers(0, 9)
# Times as they come, sorted or not; within a topic a late event may follow a newer one.
times = st.lists(st.floats(0, 600), max_size=25)
disordered = st.fixed_dictionaries(dict.fromkeys(TOPICS, times))
tick_times = st.sets(minutes, max_size=10).map(lambda chosen: [60.0 * minute for minute in sorted(chosen)])


def offsets_of(items: Iterable[Item]) -> dict[str, list[int]]:
    found = defaultdict[str, list[int]](list)
    for item in items:
        found[item.topic].append(item.offset)
    return found


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order_module, "QUEUE_LIMIT", 6)
    monkeypatch.setattr(order_module, "RELEASE_LIMIT", 4)


def check_once_and_in_offset_order(lane: Lane) -> None:
    for topic, offsets in offsets_of(lane.released).items():
        assert offsets == list(range(len(lane.logs[topic])))
    assert len(lane.released) == sum(map(len, lane.logs.values()))


@settings(max_examples=80)
@given(disordered, st.lists(st.floats(0, 600), max_size=12), st.integers(0, 2**16), st.integers(1, 30))
def test_offsets_of_a_topic_never_invert(
    logs: dict[str, list[float]], ticks: list[float], seed: int, most: int
) -> None:
    lane = Lane({**logs, TICKS: ticks})
    lane.drain(random.Random(seed), most)
    check_once_and_in_offset_order(lane)


@settings(max_examples=80)
@given(disordered, st.lists(st.floats(0, 600), max_size=12), st.integers(0, 2**16), st.integers(1, 30))
def test_nor_do_they_with_full_queues_and_small_batches(
    logs: dict[str, list[float]], ticks: list[float], seed: int, most: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(order_module, "QUEUE_LIMIT", 6)
        patch.setattr(order_module, "RELEASE_LIMIT", 4)
        # An event far ahead of its time holds its topic until the deadline: let that be short.
        patch.setattr(order_module, "HOLD_DEADLINE_S", 0.005)
        lane = Lane({**logs, TICKS: ticks})
        lane.drain(random.Random(seed), most)
        check_once_and_in_offset_order(lane)


@settings(max_examples=80)
@given(disordered, tick_times, st.integers(0, 2**16), st.integers(1, 30), st.booleans())
def test_a_tick_goes_when_all_others_have_reached_its_time_or_their_end(
    logs: dict[str, list[float]], ticks: list[float], seed: int, most: int, paced: bool
) -> None:
    lane = Lane({**logs, TICKS: ticks}, paced=paced)
    lane.drain(random.Random(seed), most)
    for item, reached in zip(lane.released, lane.reached, strict=True):
        if item.topic == TICKS:
            assert all(reached[topic] >= item.time for topic in TOPICS)


def replayed(logs: dict[str, list[float]]) -> dict[str, list[float]]:
    """With ticks as a replay writes them: one a minute, and two after all events."""
    last = max((time for times in logs.values() for time in times), default=0.0)
    return {**logs, TICKS: [60.0 * minute for minute in range(int(last // 60) + 3)]}


@settings(max_examples=80)
@given(disordered, st.integers(0, 2**16), st.integers(1, 30))
def test_a_replayed_backlog_has_one_order_however_its_polls_are_cut(
    logs: dict[str, list[float]], seed: int, most: int
) -> None:
    at_once = Lane(replayed(logs), paced=True).drain(random.Random(0), 10_000)
    in_parts = Lane(replayed(logs), paced=True).drain(random.Random(seed), most)
    assert [item[:3] for item in in_parts] == [item[:3] for item in at_once]


@settings(max_examples=80)
@given(disordered, st.integers(0, 2**16), st.integers(1, 30))
def test_a_live_backlog_has_one_order_of_events_however_its_polls_are_cut(
    logs: dict[str, list[float]], seed: int, most: int
) -> None:
    at_once = Lane({**logs, TICKS: []}).drain(random.Random(0), 10_000)
    in_parts = Lane({**logs, TICKS: []}).drain(random.Random(seed), most)
    assert [item[:3] for item in in_parts] == [item[:3] for item in at_once]


def test_a_slice_is_handled_topic_by_topic_and_its_tick_first() -> None:
    lane = Lane({"admissions": [70, 61], "labs": [65], "vitals": [5, 119, 60], TICKS: [60.0, 120.0, 180.0]}, paced=True)
    lane.drain(random.Random(1), 2)
    assert [(item.topic, item.time) for item in lane.released] == [
        ("vitals", 5),
        ("ticks", 60),
        ("admissions", 70),
        ("admissions", 61),
        ("labs", 65),
        ("vitals", 119),
        ("vitals", 60),
        ("ticks", 120),
        ("ticks", 180),
    ]


def test_what_is_live_goes_at_once() -> None:
    lane = Lane({"admissions": [], "labs": [60.1], "vitals": [60.2, 60.3], TICKS: []})
    assert lane.poll(dict.fromkeys(ALL, 10)) == 3


def test_a_tick_waits_for_an_answer_of_every_other_input() -> None:
    """Nothing is known to be behind; but that was said before the tick had come."""
    order: Order[Item] = Order(ALL, TICKS)
    order.add(TICKS, [Item(TICKS, 0, 60.0, read_ms=1000)])
    assert order.release(set(), 1000, 0.0) == []
    assert len(order.release(set(), 1001, 0.0)) == 1


def test_one_topic_behind_but_far_enough_does_not_speak_for_another_that_has_not_answered() -> None:
    order: Order[Item] = Order(ALL, TICKS)
    order.add(TICKS, [Item(TICKS, 0, 60.0, read_ms=1000)])
    order.add("vitals", [Item("vitals", 0, 500.0)])
    assert order.release({"vitals"}, 999, 0.0) == []
    assert [item.topic for item in order.release({"vitals"}, 1001, 0.0)] == [TICKS]


def test_a_topic_of_which_nothing_was_read_yet_holds_the_others() -> None:
    order: Order[Item] = Order(ALL, TICKS)
    order.add("vitals", [Item("vitals", 0, 500.0)])
    assert order.release({"labs"}, 0, 0.0) == []
    assert len(order.release(set(), 0, 1.0)) == 1


def test_nothing_waits_longer_than_the_deadline() -> None:
    order: Order[Item] = Order(ALL, TICKS)
    order.add("vitals", [Item("vitals", 0, 500.0)])
    order.add(TICKS, [Item(TICKS, 0, 480.0, read_ms=5)])
    assert order.release({"labs"}, 0, 100.0) == []
    assert order.release({"labs"}, 0, 100.0 + HOLD_DEADLINE_S) == []
    assert len(order.release({"labs"}, 0, 100.1 + HOLD_DEADLINE_S)) == 2
    assert order.holds_expired == 1
    order.add("vitals", [Item("vitals", 1, 501.0)])  # and it begins anew
    assert order.release({"labs"}, 0, 101.0 + HOLD_DEADLINE_S) == []


@pytest.mark.usefixtures("small")
def test_a_full_queue_is_not_polled_and_still_moves() -> None:
    """More of one minute than there is room for: what is read has to go, though the minute is not complete."""
    lane = Lane({"admissions": [], "labs": [601.0], "vitals": [1.0 + i / 100 for i in range(50)], TICKS: []})
    lane.poll(dict.fromkeys(ALL, 6))
    assert "vitals" in lane.order.wanted()  # four of six went
    lane.drain(random.Random(3), 6)
    check_once_and_in_offset_order(lane)
    assert lane.released[-1].topic == "labs"


@settings(max_examples=40)
@given(disordered, tick_times, st.integers(0, 2**16), st.booleans())
def test_bounds_of_memory_and_of_a_batch(
    logs: dict[str, list[float]], ticks: list[float], seed: int, paced: bool
) -> None:
    rng = random.Random(seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(order_module, "QUEUE_LIMIT", 6)
        patch.setattr(order_module, "RELEASE_LIMIT", 4)
        lane = Lane({**logs, TICKS: ticks}, paced=paced)
        for _ in range(60):
            assert lane.poll({topic: rng.randint(0, 3) for topic in ALL}) <= 4
            assert len(lane.order) <= len(ALL) * (6 + 3 - 1)


def test_clear_forgets_everything() -> None:
    order: Order[Item] = Order(ALL, TICKS)
    order.add("vitals", [Item("vitals", 0, 500.0)])
    order.clear()
    assert len(order) == 0
    assert order.reached("vitals") == float("-inf")
    assert order.release(set(), 0, 0.0) == []


def test_bad_records_that_come_first_have_no_time_and_go_first() -> None:
    order: Order[Item] = Order(ALL, TICKS)
    nowhen = float("-inf")
    order.add(TICKS, [Item(TICKS, 0, nowhen), Item(TICKS, 1, 60.0)])
    order.add("vitals", [Item("vitals", 0, nowhen), Item("vitals", 1, 30.0)])
    order.add("labs", [Item("labs", 0, 20.0)])
    assert [item[:2] for item in order.release(set(), 1, 0.0)] == [
        (TICKS, 0),
        ("vitals", 0),
        ("labs", 0),
        ("vitals", 1),
        (TICKS, 1),
    ]


def test_a_group_may_take_fewer_records_at_once() -> None:
    order: Order[Item] = Order(ALL, TICKS, release_limit=3)
    order.add("vitals", [Item("vitals", offset, 0.0) for offset in range(8)])
    sizes = []
    while ready := order.release((), 0, 0.0):
        sizes.append([item.offset for item in ready])
    assert sizes == [[0, 1, 2], [3, 4, 5], [6, 7]]
    order.add("labs", [Item("labs", offset, 0.0) for offset in range(4)])
    order.add("vitals", [Item("vitals", 8, 0.0)])
    assert [item.topic for item in order.release((), 0, 0.0)] == ["labs"] * 3
