"""The loop of a lane, with Kafka and Faust's conductor replaced: rebalances, fences, seeks, cancellations.

The consumer, its thread's coroutines, the lane and the order are the real ones.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import faust
import msgspec
import pytest
from aiokafka import TopicPartition
from aiokafka.errors import ProducerFenced
from faust.types import TP

from tests.agents.streams.fakes import TOPICS, Record, Tally, add, beat, minute, settings
from wardstream.agents import metrics as m
from wardstream.agents.streams import lane as lane_module
from wardstream.agents.streams import transport as transport_module
from wardstream.agents.streams.batch import Batch, LaneMessage
from wardstream.agents.streams.outputs import Row
from wardstream.agents.streams.transport import LaneConsumer, lane_transport

MARKER = None  # an offset without a record: a transaction's marker, or what was aborted


class FakeKafka:
    """Lane 0's partition of each input, its changelog, the group, and who holds the transactional id."""

    def __init__(self) -> None:
        self.logs: dict[str, list[Record | None]] = {topic: [] for topic in TOPICS}
        self.begins = dict.fromkeys(TOPICS, 0)
        self.ids = {topic: uuid4() for topic in (*TOPICS, "changelog")}
        self.changelog: dict[bytes, bytes] = {}
        self.sums: list[Row] = []
        self.commits = 0
        self.holder: object = None
        self.opened = 0
        self.commit_errors: list[BaseException] = []

    def publish(self, topic: str, *events: Any) -> None:
        log = self.logs[topic]
        for event in events:
            raw = event if isinstance(event, bytes) else msgspec.json.encode(event)
            log.append(None if event is MARKER else Record(topic, len(log), raw))

    # What a lane's producer does

    def producer(self, lane: int, app_id: str, client: Mapping[str, Any]) -> FakeLaneProducer:
        return FakeLaneProducer(self)

    async def read_changelog(
        self, topic: str, lane: int, client: Any, on_read: Callable[[], None]
    ) -> dict[bytes, bytes]:
        on_read()
        return dict(self.changelog)

    async def topic_ids(self, client: Any, topics: Iterable[str]) -> dict[str, UUID]:
        return {topic: self.ids[topic] for topic in topics if topic in self.ids}

    def total(self, patient: str) -> int:
        row = self.changelog.get(b"p\0" + patient.encode())
        return 0 if row is None else msgspec.json.decode(row, type=dict)["total"]


class FakeLaneProducer:
    def __init__(self, kafka: FakeKafka) -> None:
        self._kafka = kafka

    async def open(self) -> None:
        self._kafka.holder = self
        self._kafka.opened += 1

    async def commit(self, rows: Mapping[tuple[str, int], list[Row]], offsets: Any, group: str) -> None:
        kafka = self._kafka
        await asyncio.sleep(0)
        if kafka.holder is not self:
            raise ProducerFenced
        if kafka.commit_errors:
            raise kafka.commit_errors.pop(0)
        for row in rows["changelog", 0]:
            assert row.key is not None
            kafka.changelog[row.key] = row.value or b""
        kafka.sums += rows.get(("sums", 0), [])
        kafka.commits += 1

    async def close(self) -> None:
        pass


class FakeConsumer:
    """aiokafka's consumer, as far as lanes use it."""

    def __init__(self, kafka: FakeKafka) -> None:
        self._kafka = kafka
        self.positions = {TopicPartition(topic, 0): 0 for topic in TOPICS}
        self.assigned = set(self.positions)
        self.sought_to_committed: list[TopicPartition] = []
        self.during_poll: Callable[[], None] | None = None
        self.chunk = 1000
        self.fetched = dict.fromkeys(TOPICS, True)

    def assignment(self) -> set[TopicPartition]:
        return self.assigned

    async def position(self, tp: TopicPartition) -> int:
        return self.positions[tp]

    async def getmany(self, *tps: TopicPartition, timeout_ms: int) -> dict[TopicPartition, list[Record]]:
        await asyncio.sleep(0.001)
        if self.during_poll is not None:
            happens, self.during_poll = self.during_poll, None
            happens()
        got = {}
        for tp in tps:
            begin, log = self._kafka.begins[tp.topic], self._kafka.logs[tp.topic]
            if not begin <= self.positions[tp] <= len(log):
                self.positions[tp] = begin  # out of range: auto_offset_reset
            at = self.positions[tp]
            found = [record for record in log[at : at + self.chunk] if record is not None]
            self.positions[tp] = min(at + self.chunk, len(log))
            if found:
                got[tp] = found
        return got

    def last_stable_offset(self, tp: TopicPartition) -> int | None:
        return len(self._kafka.logs[tp.topic]) if self.fetched[tp.topic] else None

    def last_poll_timestamp(self, tp: TopicPartition) -> int:
        return int(time.time() * 1000) + 1

    async def beginning_offsets(self, tps: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        return {tp: self._kafka.begins[tp.topic] for tp in tps}

    async def end_offsets(self, tps: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        return {tp: len(self._kafka.logs[tp.topic]) for tp in tps}

    def seek(self, tp: TopicPartition, offset: int) -> None:
        self.positions[tp] = offset

    async def seek_to_committed(self, *tps: TopicPartition) -> dict[TopicPartition, int]:
        self.sought_to_committed += tps
        return dict.fromkeys(tps, 3)


Handler = Callable[[Batch[Any, Tally]], Awaitable[None]]


class Rig:
    """A consumer whose lane 0 runs; `agent` is what Faust would have hand over each batch."""

    def __init__(self, kafka: FakeKafka, **changes: Any) -> None:
        self.kafka = kafka
        self.app = faust.App("test", broker="kafka://127.0.0.1:1", store="memory://", broker_session_timeout=0.6)
        self.settings = settings(lanes=1, lane_of=lambda patient: 0, **changes)
        self.app.transport = self.app.producer_transport = lane_transport(self.app, self.settings)
        self.app.finalize()
        consumer = self.app.consumer
        assert isinstance(consumer, LaneConsumer)
        self.consumer = consumer
        self.aiokafka = FakeConsumer(kafka)
        consumer._thread._consumer = self.aiokafka
        consumer._thread.thread_loop.close()
        consumer._thread.thread_loop = asyncio.get_running_loop()
        self.app.consumer_generation_id = 1
        self.agent: Handler = add
        self.deliver: Callable[[LaneMessage], bool] = lambda message: True
        consumer.callback = self._conduct
        self.fetcher = SimpleNamespace(_stopped=asyncio.Event())
        self.assign()
        self._agents: set[asyncio.Task[None]] = set()
        self._task: asyncio.Task[None] | None = None

    @property
    def drain(self) -> Any:
        return self.consumer.drains[0]

    @property
    def meters(self) -> m.Meters:
        return self.settings.meters

    def assign(self, topics: Iterable[str] = TOPICS) -> None:
        self.aiokafka.assigned = {TopicPartition(topic, 0) for topic in topics}
        self.consumer._active_partitions = {TP(topic, 0) for topic in topics}

    async def _conduct(self, message: Any) -> None:
        if self.deliver(message):
            task = asyncio.ensure_future(self._run(message.value))
            self._agents.add(task)

    async def _run(self, batch: Batch[Any, Tally]) -> None:
        with batch:
            await self.agent(batch)

    def run(self) -> None:
        self._task = asyncio.ensure_future(self.consumer._drain_lane(self.fetcher, self.drain))

    async def rebalance(self, topics: Iterable[str] = TOPICS) -> None:
        """As Faust does it: flow stops, the generation changes, everybody seeks, flow goes on."""
        self.consumer.stop_flow()
        await asyncio.sleep(0.02)
        self.assign(topics)
        self.app.consumer_generation_id += 1
        for tp in self.aiokafka.positions:
            self.aiokafka.positions[tp] = 0
        self.consumer.resume_flow()

    async def until(self, true: Callable[[], bool], seconds: float = 5.0) -> None:
        async with asyncio.timeout(seconds):
            while not true():
                assert self._task is None or not self._task.done(), "the loop of the lane has ended"
                await asyncio.sleep(0.005)

    async def until_total(self, total: int, patient: str = "p1") -> None:
        await self.until(lambda: self.kafka.total(patient) == total)

    async def stop(self) -> None:
        self.fetcher._stopped.set()
        for task in (*self._agents, *((self._task,) if self._task else ())):
            task.cancel()
        await asyncio.gather(*self._agents, *((self._task,) if self._task else ()), return_exceptions=True)


@pytest.fixture
def kafka(monkeypatch: pytest.MonkeyPatch) -> FakeKafka:
    kafka = FakeKafka()
    monkeypatch.setattr(lane_module, "LaneProducer", kafka.producer)
    monkeypatch.setattr(lane_module, "read_changelog", kafka.read_changelog)
    monkeypatch.setattr(transport_module, "topic_ids", kafka.topic_ids)
    monkeypatch.setattr(transport_module, "POLL_S", 0.01)
    monkeypatch.setattr(transport_module, "RETRY_S", 0.01)
    return kafka


@pytest.fixture
async def rig(kafka: FakeKafka) -> AsyncIterator[Rig]:
    rig = Rig(kafka)
    yield rig
    await rig.stop()


async def test_events_are_applied_once_and_in_order(rig: Rig, kafka: FakeKafka) -> None:
    kafka.publish("vitals", *(beat(n=n) for n in range(1, 6)))
    rig.run()
    await rig.until_total(15)
    kafka.publish("labs", beat(n=100))
    await rig.until_total(115)
    assert [row.value for row in kafka.sums][:3] == [b'{"total":1}', b'{"total":3}', b'{"total":6}']
    assert kafka.opened == 1


# Holes 1 to 3: agents that are cancelled, late, or never given their batch


async def test_an_agent_that_is_cancelled_reloads_the_lane(rig: Rig, kafka: FakeKafka) -> None:
    failures = 2

    async def cancelled(batch: Batch[Any, Tally]) -> None:
        nonlocal failures
        await add(batch)
        if failures:
            failures -= 1
            raise asyncio.CancelledError

    rig.agent = cancelled
    kafka.publish("vitals", beat(n=1), beat(n=2))
    rig.run()
    await rig.until_total(3)
    assert kafka.opened == 3
    assert rig.meters.values[m.RELOADS, ("LaneLost",)] == 2


async def test_something_awaited_that_is_cancelled_does_not_end_the_lane(rig: Rig, kafka: FakeKafka) -> None:
    kafka.commit_errors = [asyncio.CancelledError()]
    kafka.publish("vitals", beat(n=1))
    rig.run()
    await rig.until_total(1)
    assert kafka.opened == 2


async def test_the_end_of_a_loop_ends_the_worker(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    async def ends(fetcher: Any, drain: Any) -> None:
        await asyncio.sleep(0.01)

    async def is_cancelled(fetcher: Any, drain: Any) -> None:
        raise asyncio.CancelledError

    async def raises(fetcher: Any, drain: Any) -> None:
        raise LookupError

    for loop in (ends, is_cancelled, raises):
        rig.consumer._crashed.clear()
        rig.app._crashed.clear()
        monkeypatch.setattr(rig.consumer, "_drain_lane", loop)
        async with asyncio.timeout(5):
            await rig.consumer._drain_messages(rig.fetcher)
        assert rig.app.crashed, loop


async def test_stopping_is_no_crash(rig: Rig) -> None:
    task = asyncio.ensure_future(rig.consumer._drain_messages(rig.fetcher))
    await rig.until(lambda: rig.drain.lane.is_open)
    rig.fetcher._stopped.set()
    async with asyncio.timeout(5):
        await asyncio.gather(task, return_exceptions=True)
    assert not rig.app.crashed


async def test_a_late_agent_writes_into_what_nobody_commits(rig: Rig, kafka: FakeKafka) -> None:
    goes_on = asyncio.Event()
    first = True

    async def slow(batch: Batch[Any, Tally]) -> None:
        nonlocal first
        if first:
            first = False
            entity = batch.state["p1"]
            await goes_on.wait()
            entity.total += 1000
        await add(batch)

    rig.agent = slow
    kafka.publish("vitals", beat(n=1))
    rig.run()
    await rig.until(lambda: not first)
    await rig.rebalance()
    await rig.until_total(1)
    goes_on.set()
    await asyncio.sleep(0.02)
    kafka.publish("vitals", beat(n=2))
    await rig.until_total(3)
    assert len(kafka.sums) == 2
    assert kafka.opened == 1  # a rebalance does not reload a lane that stays


async def test_a_batch_that_a_rebalance_drops_is_handled_again(rig: Rig, kafka: FakeKafka) -> None:
    dropped: list[int] = []

    def lost_once(message: LaneMessage) -> bool:
        if dropped:
            return True
        dropped.append(message.generation_id)
        return False

    rig.deliver = lost_once
    kafka.publish("vitals", beat(n=1), beat(n=2))
    rig.run()
    await rig.until(lambda: bool(dropped))
    await rig.rebalance()
    await rig.until_total(3)
    assert dropped == [1]
    assert len(kafka.sums) == 2


async def test_a_batch_that_nobody_handles_has_a_deadline(
    rig: Rig, kafka: FakeKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport_module, "DISPATCH_DEADLINE_S", 0.2)
    lost = [True]
    rig.deliver = lambda message: not (lost and lost.pop())
    kafka.publish("vitals", beat(n=1))
    rig.run()
    await rig.until_total(1)
    assert kafka.opened == 2


async def test_a_rebalance_that_stops_for_long_commits_nothing_meanwhile(rig: Rig, kafka: FakeKafka) -> None:
    rig.run()
    await rig.until(lambda: rig.drain.lane.is_open)
    rig.consumer.stop_flow()
    kafka.publish("vitals", beat(n=1))
    await asyncio.sleep(0.1)
    assert kafka.total("p1") == 0
    await rig.rebalance()
    await rig.until_total(1)


async def test_stopped_in_a_commit_the_lane_is_restored_when_it_runs_again(rig: Rig, kafka: FakeKafka) -> None:
    """The commit may have succeeded: here it has. What is in memory says otherwise."""
    kafka.publish("vitals", beat(n=1))
    committed = asyncio.Event()
    commit = FakeLaneProducer.commit

    async def commit_and_hang(self: Any, rows: Any, offsets: Any, group: str) -> None:
        await commit(self, rows, offsets, group)
        committed.set()
        await asyncio.sleep(60)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FakeLaneProducer, "commit", commit_and_hang)
        rig.run()
        await asyncio.wait_for(committed.wait(), 5)
        assert rig._task is not None
        rig._task.cancel()
        await asyncio.wait({rig._task})
    kafka.publish("vitals", beat(n=2))
    rig.run()
    await rig.until_total(3)
    assert len(kafka.sums) == 2
    assert kafka.opened == 2


# Hole 8: ownership


async def test_a_lane_opens_only_with_all_its_topics(rig: Rig, kafka: FakeKafka) -> None:
    rig.assign(["vitals", "ticks"])
    kafka.publish("vitals", beat(n=1))
    rig.run()
    await asyncio.sleep(0.15)
    assert kafka.opened == 0
    assert rig.consumer.standing() == {}
    await rig.rebalance()
    await rig.until_total(1)
    await rig.rebalance(["vitals", "ticks"])
    await rig.until(lambda: not rig.drain.lane.is_open)
    assert rig.meters.values[m.LANES, ()] == 0
    assert rig.meters.values[m.PATIENTS, ()] == 0


async def test_a_fenced_lane_waits_for_a_new_generation(rig: Rig, kafka: FakeKafka) -> None:
    rig.run()
    await rig.until(lambda: rig.drain.lane.is_open)
    kafka.holder = "the rightful owner"
    kafka.publish("vitals", beat(n=1))
    await rig.until(lambda: not rig.drain.lane.is_open)
    await asyncio.sleep(0.2)
    assert kafka.opened == 1  # or the two would fence each other for ever
    await rig.rebalance()
    await rig.until_total(1)
    assert kafka.opened == 2


async def test_a_lane_whose_transaction_timed_out_is_fenced_too_and_waits_no_longer_than_a_session(
    rig: Rig, kafka: FakeKafka
) -> None:
    rig.run()
    await rig.until(lambda: rig.drain.lane.is_open)
    kafka.holder = "nobody"
    kafka.publish("vitals", beat(n=1))
    started = time.monotonic()
    await rig.until_total(1)
    assert 0.5 < time.monotonic() - started < 3


async def test_a_lane_fenced_in_an_older_generation_does_not_wait(rig: Rig, kafka: FakeKafka) -> None:
    rig.run()
    await rig.until(lambda: rig.drain.lane.is_open)
    rig.app.conf.broker_session_timeout = 60.0

    async def moves_on(batch: Batch[Any, Tally]) -> None:
        await add(batch)
        kafka.holder = "somebody who has it no more"

    rig.agent = moves_on
    commit = FakeLaneProducer.commit

    async def late_commit(self: Any, rows: Any, offsets: Any, group: str) -> None:
        rig.agent = add
        if kafka.opened == 1:
            rig.app.consumer_generation_id += 1  # the group is already further
        await commit(self, rows, offsets, group)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FakeLaneProducer, "commit", late_commit)
        kafka.publish("vitals", beat(n=1))
        await rig.until_total(1)
    assert kafka.opened == 2


async def test_inputs_with_more_partitions_than_lanes_end_the_worker(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody would read them, nor miss them."""

    async def handed_on(assigned: Any, generation_id: int) -> None:
        pass

    monkeypatch.setattr(rig.consumer, "_on_partitions_assigned", handed_on)
    rig.app._rebalancing_sensor_state = {}
    await rig.consumer.on_partitions_assigned({TP(topic, 0) for topic in TOPICS}, 2)
    assert not rig.app.crashed
    await rig.consumer.on_partitions_assigned({TP("vitals", 1)}, 3)
    assert rig.app.crashed


# Positions: holes 5 and 12, and other people's seeks


async def test_somebody_elses_seek_doubles_nothing_and_loses_nothing(rig: Rig, kafka: FakeKafka) -> None:
    kafka.publish("vitals", *(beat("p1", 1) for _ in range(10)))
    rig.run()
    await rig.until_total(10)
    vitals = TopicPartition("vitals", 0)
    for sought in (3, 12):  # back, then beyond what was read
        kafka.publish("vitals", *(beat("p1", 1) for _ in range(4)))
        rig.aiokafka.positions[vitals] = sought
        await rig.until_total(len(kafka.logs["vitals"]))
    rig.aiokafka.during_poll = lambda: rig.aiokafka.seek(vitals, 2)
    await rig.until(lambda: rig.aiokafka.during_poll is None)
    kafka.publish("vitals", beat("p1", 1))
    await rig.until_total(19)
    assert rig.meters.total(m.DUPLICATES) == 0  # not even tried
    assert len(kafka.sums) == 19


async def test_fausts_seek_to_committed_spares_the_lanes(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    async def called(fun: Callable[..., Awaitable[Any]], *args: Any) -> Any:
        return await fun(*args)

    monkeypatch.setattr(rig.consumer._thread, "call_thread", called)
    await rig.consumer.perform_seek()
    assert rig.aiokafka.sought_to_committed == []
    rig.aiokafka.assigned.add(TopicPartition("others", 0))
    await rig.consumer.perform_seek()
    assert rig.aiokafka.sought_to_committed == [TopicPartition("others", 0)]


async def test_markers_are_no_lag(rig: Rig, kafka: FakeKafka) -> None:
    kafka.publish("vitals", beat(n=1), MARKER, MARKER)
    kafka.publish("labs", MARKER)
    rig.run()
    await rig.until_total(1)
    await rig.until(lambda: (m.LAG, ("vitals",)) in rig.meters.values)
    assert rig.meters.values[m.LAG, ("vitals",)] == 0
    assert rig.drain.behind() == set()
    kafka.publish("vitals", beat(n=1))
    await rig.until_total(2)
    assert rig.meters.total(m.INPUT_LOST) == 0


async def test_lag_is_what_is_not_yet_read(rig: Rig, kafka: FakeKafka) -> None:
    rig.aiokafka.chunk = 1
    kafka.publish("vitals", *(beat(n=1, at=60 * i) for i in range(4)))
    lags = []

    async def look(batch: Batch[Any, Tally]) -> None:
        lags.append(rig.meters.values[m.LAG, ("vitals",)])
        await add(batch)

    rig.agent = look
    rig.run()
    await rig.until_total(4)
    await rig.until(lambda: rig.meters.values[m.LAG, ("vitals",)] == 0)
    assert lags[0] >= 1


async def test_an_input_made_anew_is_read_from_its_beginning(rig: Rig, kafka: FakeKafka) -> None:
    kafka.publish("vitals", *(beat(n=1) for _ in range(5)))
    rig.run()
    await rig.until_total(5)
    kafka.logs["vitals"].clear()
    kafka.ids["vitals"] = uuid4()
    kafka.publish("vitals", beat(n=10), beat(n=20))
    await rig.until_total(35)
    assert rig.meters.total(m.INPUTS_RECREATED) == 1


async def test_an_input_made_anew_that_has_grown_past_us_is_found_by_its_id(rig: Rig, kafka: FakeKafka) -> None:
    kafka.publish("vitals", *(beat(n=1) for _ in range(2)))
    rig.run()
    await rig.until_total(2)
    kafka.logs["vitals"] = []
    kafka.ids["vitals"] = uuid4()
    kafka.publish("vitals", *(beat(n=1) for _ in range(10)))
    rig.consumer.reload_lanes()  # what the worker does when it sees another id
    await rig.until_total(12)


async def test_what_retention_removes_before_the_lane_opens_is_counted(rig: Rig, kafka: FakeKafka) -> None:
    kafka.publish("vitals", *(beat(n=1) for _ in range(10)))
    rig.run()
    await rig.until_total(10)
    await rig.rebalance([])
    await rig.until(lambda: not rig.drain.lane.is_open)
    kafka.publish("vitals", *(beat(n=1) for _ in range(10)))
    kafka.begins["vitals"] = 15
    await rig.rebalance()
    await rig.until_total(15)
    assert rig.meters.values[m.INPUT_LOST, ("vitals",)] == 5


@pytest.mark.parametrize("within_a_poll", [True, False])
async def test_what_retention_removes_while_the_lane_reads_is_counted(
    rig: Rig, kafka: FakeKafka, within_a_poll: bool
) -> None:
    """aiokafka finds its offset out of range and goes on at the beginning, without a word."""
    kafka.publish("vitals", *(beat(n=1) for _ in range(10)))
    rig.run()
    await rig.until_total(10)

    def lose() -> None:
        kafka.logs["vitals"] += [MARKER] * 5
        kafka.publish("vitals", beat(n=1))
        kafka.begins["vitals"] = 15
        if not within_a_poll:
            rig.aiokafka.positions[TopicPartition("vitals", 0)] = 15

    if within_a_poll:
        rig.aiokafka.during_poll = lose
    else:
        lose()
    await rig.until_total(11)
    assert rig.meters.values[m.INPUT_LOST, ("vitals",)] == 5


async def test_a_log_that_was_truncated_is_counted_and_read_on(rig: Rig, kafka: FakeKafka) -> None:
    kafka.publish("vitals", *(beat(n=1) for _ in range(10)))
    rig.run()
    await rig.until_total(10)
    del kafka.logs["vitals"][7:]
    await rig.until(lambda: rig.meters.total(m.INPUT_LOST) == 3)
    kafka.publish("vitals", beat(n=1))
    await rig.until_total(11)


# Holes 10 and 11


async def test_ticks_wait_for_the_other_inputs(rig: Rig, kafka: FakeKafka) -> None:
    """After an outage an hour of ticks may be read before the vitals of that hour."""
    order: list[tuple[str, float]] = []

    async def note(batch: Batch[Any, Tally]) -> None:
        order.extend((batch.topic, received.event.received_at.timestamp()) for received in batch)

    rig.agent = note
    rig.aiokafka.chunk = 7
    kafka.publish("ticks", *(minute(60.0 * i) for i in range(1, 6)))
    kafka.publish("vitals", *(beat(at=10.0 * i) for i in range(30)))
    rig.run()
    await rig.until(lambda: len(order) == 35)
    for i, (topic, at) in enumerate(order):
        if topic == "ticks":
            assert all(t < at for _, t in order[:i])
            assert all(t >= at for _, t in order[i + 1 :])


async def test_an_event_that_raises_reloads_nothing(rig: Rig, kafka: FakeKafka) -> None:
    kafka.publish("vitals", beat(n=1), beat(n=13), beat(n=2))
    rig.run()
    await rig.until_total(3)
    assert rig.meters.total(m.DEAD_LETTERS) == 1
    assert rig.meters.total(m.RELOADS) == 0
    assert kafka.opened == 1


async def test_a_failed_commit_restores_the_lane(rig: Rig, kafka: FakeKafka) -> None:
    kafka.commit_errors = [TimeoutError(), OSError()]
    kafka.publish("vitals", beat(n=1), beat(n=2))
    rig.run()
    await rig.until_total(3)
    assert kafka.opened == 3
    assert len(kafka.sums) == 2


async def test_a_lane_that_cannot_open_tries_again_and_is_seen(
    rig: Rig, kafka: FakeKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(client: Any, topics: Iterable[str]) -> dict[str, UUID]:
        if "vitals" in topics:
            raise TimeoutError
        return await kafka.topic_ids(client, topics)

    kafka.publish("vitals", beat(n=1))
    monkeypatch.setattr(transport_module, "topic_ids", fails)
    rig.run()
    await rig.until(lambda: kafka.opened > 2)
    assert rig.consumer.standing()[0].positions == dict.fromkeys(TOPICS, 0)  # behind, as the watchdog reckons
    monkeypatch.setattr(transport_module, "topic_ids", kafka.topic_ids)
    await rig.until_total(1)
    assert rig.consumer.standing()[0].positions["vitals"] == 1


async def test_a_lane_whose_changelog_is_gone_ends_the_worker_and_fences_nobody(rig: Rig, kafka: FakeKafka) -> None:
    """It has moved to other lanes; a worker that slept through that must not make it anew."""
    del kafka.ids["changelog"]
    rig.run()
    await rig.until(lambda: rig.app.crashed)
    assert kafka.opened == 0


async def test_a_lane_that_faust_never_lets_run_is_seen(rig: Rig) -> None:
    rig.consumer.stop_flow()
    rig.run()
    await asyncio.sleep(0.05)
    assert set(rig.consumer.standing()) == {0}


# Faust's side


async def test_faust_commits_no_offsets_of_lanes(rig: Rig) -> None:
    for topic in ("vitals", "others"):
        rig.consumer._acked[TP(topic, 0)] = [1, 2]
        rig.consumer._committed_offset[TP(topic, 0)] = None
    assert rig.consumer._new_offset(TP("vitals", 0)) is None
    assert rig.consumer._new_offset(TP("others", 0)) == 3


async def test_fausts_own_loop_does_not_poll_lanes(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    async def getmany(active: Any, timeout: float) -> dict[str, Any]:  # noqa: ASYNC109 - Faust's
        asked.append(active)
        return {}

    monkeypatch.setattr(rig.consumer._thread, "getmany", getmany)
    lanes = {TP(topic, 0) for topic in TOPICS}
    assert await rig.consumer._getmany(lanes, 1.0) == {}
    await rig.consumer._getmany(lanes | {TP("others", 0)}, 1.0)
    assert asked == [{TP("others", 0)}]
