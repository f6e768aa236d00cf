"""A running lane with Kafka and Faust's conductor replaced.

The consumer, its thread's coroutines, the lane and the order are the real ones.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import faust
import msgspec
from aiokafka import TopicPartition
from aiokafka.errors import ProducerFenced
from faust.types import TP

from tests.agents.streams.fakes import TOPICS, Record, Tally, add, settings
from wardstream.agents import metrics as m
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

    async def until(self, true: Callable[[], bool], seconds: float = 60.0) -> None:
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
