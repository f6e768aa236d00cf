"""The watchdog ends a worker whose lane or event loop stands still, and no other."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError

from wardstream.agents.streams import watchdog as watchdog_module
from wardstream.agents.streams.watchdog import EXIT_STALLED, Standing, Watchdog

STALL_S = 1.0  # what beats or moves is late by less, on a busy machine too
PATIENCE_S = 60.0


class FakeBrokers:
    """Brokers that say where the inputs end; `away` makes them silent."""

    def __init__(self) -> None:
        self.ends = {"vitals": 10}
        self.away = False
        self.asked: set[TopicPartition] = set()

    def consumer(self, **_: Any) -> FakeConsumer:
        return FakeConsumer(self)


class FakeConsumer:
    """As aiokafka's: one whose start has failed is of no use later."""

    def __init__(self, brokers: FakeBrokers) -> None:
        self._brokers = brokers
        self._started = False

    async def start(self) -> None:
        if self._brokers.away:
            raise KafkaConnectionError
        self._started = True

    async def stop(self) -> None:
        pass

    async def end_offsets(self, tps: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        if not self._started:
            raise AttributeError("'NoneType' object has no attribute 'end_offsets'")
        if self._brokers.away:
            raise KafkaConnectionError
        self._brokers.asked.update(tps)
        return {tp: self._brokers.ends[tp.topic] for tp in tps}


class Watched:
    """A watchdog, the lane it watches, and the exit codes it would have ended the process with."""

    def __init__(self) -> None:
        self.codes: list[int] = []
        self.lanes: dict[int, Standing] = {}
        self.beats = True
        self.watchdog = Watchdog({}, self.standing, STALL_S, self.codes.append)
        self._heart = threading.Thread(target=self._beat, daemon=True)

    def standing(self) -> Mapping[int, Standing]:
        return dict(self.lanes)

    def start(self) -> None:
        self._heart.start()
        self.watchdog.start()

    def stop(self) -> None:
        self.beats = False
        self.watchdog.stop()
        self.watchdog._thread.join(60)

    def _beat(self) -> None:
        while self.beats:
            self.watchdog.beat()
            time.sleep(STALL_S / 20)

    def ends_within(self, seconds: float, meanwhile: Callable[[], None] = lambda: None) -> bool:
        until = time.monotonic() + seconds
        while not self.codes and time.monotonic() < until:
            meanwhile()
            time.sleep(STALL_S / 20)
        return bool(self.codes)


@pytest.fixture
def brokers(monkeypatch: pytest.MonkeyPatch) -> FakeBrokers:
    brokers = FakeBrokers()
    monkeypatch.setattr(watchdog_module, "AIOKafkaConsumer", brokers.consumer)
    return brokers


@pytest.fixture
def watched(brokers: FakeBrokers) -> Iterator[Watched]:
    watched = Watched()
    yield watched
    watched.stop()


def test_a_lane_that_stands_still_while_its_input_goes_on(watched: Watched) -> None:
    watched.lanes[0] = Standing({"vitals": 5}, 0, 3)
    watched.start()
    assert not watched.ends_within(STALL_S / 2)
    assert watched.ends_within(PATIENCE_S)
    assert watched.codes == [EXIT_STALLED] == [70]


def test_a_lane_that_holds_what_it_has_read(watched: Watched) -> None:
    watched.lanes[0] = Standing({"vitals": 10}, 2, 3)
    watched.start()
    assert watched.ends_within(PATIENCE_S)


def test_a_lane_at_the_end_of_its_input_may_rest(watched: Watched) -> None:
    watched.lanes[0] = Standing({"vitals": 10}, 0, 3)
    watched.start()
    assert not watched.ends_within(STALL_S * 2)


@pytest.mark.parametrize(("at", "stalls"), [(10, False), (5, True)])
def test_a_lane_that_reads_a_topic_whole(watched: Watched, brokers: FakeBrokers, at: int, stalls: bool) -> None:
    """It is asked for the ends of partitions that Kafka knows."""
    watched.lanes[0] = Standing({"vitals/0": 10, "vitals/1": at}, 0, 3)
    watched.start()
    assert watched.ends_within(PATIENCE_S if stalls else STALL_S * 2) == stalls
    assert brokers.asked == {TopicPartition("vitals", 0), TopicPartition("vitals", 1)}


@pytest.mark.parametrize("what", ["read", "done", "owned"])
def test_a_lane_that_moves_is_left_alone(watched: Watched, what: str) -> None:
    count = 0

    def move() -> None:
        nonlocal count
        count += 1
        if what == "owned":  # given up and taken again
            watched.lanes.clear()
        read, done = (count % 9, 0) if what == "read" else (0, count if what == "done" else 0)
        watched.lanes[0] = Standing({"vitals": read}, 1, done)
        if what == "owned" and count % 4 == 0:
            watched.lanes.clear()
            time.sleep(STALL_S / 5)

    watched.start()
    assert not watched.ends_within(STALL_S * 2.2, move)


def test_a_lane_that_never_gets_as_far_as_to_read(watched: Watched) -> None:
    watched.lanes[0] = Standing({"vitals": 0}, 0, 0)
    watched.start()
    assert watched.ends_within(PATIENCE_S)


def test_brokers_that_are_away_are_nobodys_fault(watched: Watched, brokers: FakeBrokers) -> None:
    watched.lanes[0] = Standing({"vitals": 5}, 0, 3)
    brokers.away = True
    watched.start()
    assert not watched.ends_within(STALL_S * 2.2)
    brokers.away = False  # back, and the lane still stands: the watchdog has survived, and begins to count
    assert not watched.ends_within(STALL_S / 2)
    assert watched.ends_within(PATIENCE_S)


def test_an_error_of_its_own_does_not_end_it(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    watched.lanes[0] = Standing({"vitals": 5}, 0, 3)
    monkeypatch.setattr(watched.watchdog, "_standing", lambda: {}[0])
    watched.start()
    assert not watched.ends_within(STALL_S)
    monkeypatch.setattr(watched.watchdog, "_standing", watched.standing)
    assert watched.ends_within(PATIENCE_S)


def test_an_event_loop_that_is_blocked(watched: Watched) -> None:
    watched.start()
    assert not watched.ends_within(STALL_S * 1.5)
    watched.beats = False
    assert watched.ends_within(PATIENCE_S)
    assert watched.codes == [70]


async def test_a_process_that_was_stopped_as_a_whole_goes_on(
    brokers: FakeBrokers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGSTOP for longer than the limit: nobody has beaten, but nobody has looked either."""
    watched = Watched()
    watched.lanes[0] = Standing({"vitals": 5}, 0, 3)
    now, looks = 1000.0, 0

    def wait(seconds: float) -> bool:
        nonlocal now, looks
        looks += 1
        now += seconds + (100 * STALL_S if looks == 3 else 0)
        if looks in (2, 4):
            watched.watchdog.beat()
        return looks > 4

    monkeypatch.setattr(watchdog_module, "time", SimpleNamespace(monotonic=lambda: now))
    monkeypatch.setattr(watched.watchdog._stopping, "wait", wait)
    watched.watchdog.beat()
    await asyncio.wait_for(watched.watchdog._watch(), 60)
    assert looks == 5
    assert watched.codes == []


def test_it_stops_when_it_is_told(watched: Watched) -> None:
    watched.start()
    watched.stop()
    assert not watched.watchdog._thread.is_alive()
    assert watched.codes == []
