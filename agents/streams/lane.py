"""One lane: applies batches to its state and commits them, each exactly once.

open      fence the former owner, restore the state from the changelog, find where to go on
apply     run the handlers over a batch; an event whose handler raises is singled out by halving the batch and becomes
          a dead letter, so that nothing reloads a lane for ever
commit    outputs, changed state and positions in one Kafka transaction; the group's offsets too, once a second

A handler's failure costs nothing but its `Work`. A failed commit leaves its outcome open: the lane is closed, and what
the changelog says is what happened.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby
from operator import attrgetter
from typing import Any
from uuid import UUID

import msgspec
from aiokafka import TopicPartition

from wardstream.agents import metrics as m
from wardstream.agents.metrics import Meters
from wardstream.agents.streams import clock
from wardstream.agents.streams.batch import HANDLER_DEADLINE_S, Batch, Handler, LaneLost, Received
from wardstream.agents.streams.dead_letters import DeadLetters, RawRecord
from wardstream.agents.streams.order import RELEASE_LIMIT
from wardstream.agents.streams.outputs import MAX_ROW_BYTES, Outputs, PartitionOf, Row
from wardstream.agents.streams.places import place
from wardstream.agents.streams.producer import LaneProducer, read_changelog
from wardstream.agents.streams.state import LANE_ROW, Codec, LaneState, Position, Work
from wardstream.schemas.bad_event import BadEvent
from wardstream.schemas.envelope import FUTURE_TOLERANCE

log = logging.getLogger(__name__)

TOLD_EVERY_S = 1.0  # the group's offsets are for lag tools only, and cost two of a transaction's five requests

SLOW_S = 2.0  # a batch that takes longer is followed by shorter ones: handlers that wait for others have a deadline
SHORTEST = 64  # records
AT_FIRST = 512

MOST_FORWARDS = 32  # no chain of merges is that long: whatever goes in circles must end
_FORWARDED = "forwarded-from"

Dispatch = Callable[[str, Batch[Any, Any]], Awaitable[None]]


@dataclass(frozen=True, kw_only=True)
class LaneSettings:
    """What all lanes of a worker share.

    `topics` are the inputs (see `places`) in the order in which a slice of time is handled; `clock_topic` is one of
    them.
    `lane_of` gives the right lane of a patient; `partition_of` the partition of a key of an output that is not keyed
    by patient, None for those that are. `now` is None where a feed brings its own ticks. `release_limit` is the most
    records of a batch, and `handler_deadline_s` the most time that a handler may take for one: a group that awaits slow
    things (image stores) takes few records and has long, but less than what the watchdog grants a lane. `at_end` is
    called once a batch, after its handlers, with what they have left (`Batch.leave`) in `outputs.left`. `follows` says
    whether an event of a patient who has become part of another goes there, or to its handler all the same. `tables`
    are the inputs that are tables, with what a record without a value (a tombstone) is there: their rows say what is,
    so they may come twice, and belong to no patient's lane.
    """

    app_id: str
    client: Mapping[str, Any]
    topics: tuple[str, ...]
    clock_topic: str | None
    changelog: str
    decoders: Mapping[str, Callable[[bytes], Any]]
    encode: Callable[[Any], bytes]
    codec: Codec[Any]
    dead_letters: DeadLetters
    lanes: int
    lane_of: Callable[[str], int]
    partition_of: PartitionOf | None = None
    meters: Meters = field(default_factory=Meters)
    now: clock.Now | None = None
    at_end: Handler | None = None
    follows: Callable[[Any], bool] = lambda event: True
    tables: Mapping[str, Callable[[Any], Any]] = field(default_factory=dict)
    release_limit: int = RELEASE_LIMIT
    handler_deadline_s: float = HANDLER_DEADLINE_S

    @cached_property
    def sources(self) -> frozenset[str]:
        """The topics of which the inputs are."""
        return frozenset(place(name, 0).topic for name in self.topics)


_topic_of = attrgetter("topic")


def is_replayed(received: Received[Any]) -> bool:
    """Whether this is a tick of a replay."""
    return getattr(received.event, "source", None) == "replay"


def _delay_s(received: Received[Any]) -> int | None:
    """Whole seconds from observation to reception; None: it holds no event, or one that nobody observed."""
    event = received.event
    at = getattr(event, "observed_at", None)
    return None if at is None else round((event.received_at - at).total_seconds())


class HandlerFailed(Exception):
    """A handler raised; holds the name of the error's type, never its text."""


class Lane:
    """State and producer of one partition number."""

    def __init__(self, number: int, settings: LaneSettings) -> None:
        self.number = number
        self.settings = settings
        self.meters = settings.meters
        self.state: LaneState[Any] = LaneState(settings.codec, {})
        self._producer: LaneProducer | None = None
        self._untold: set[str] = set()  # inputs whose position the group does not know yet
        self._tell_at = 0.0
        self.steps = 0  # what has come to an end: shows the watchdog that the lane is alive
        self._most = AT_FIRST  # records of a batch

    @property
    def is_open(self) -> bool:
        return self._producer is not None

    async def open(self) -> None:
        """Fence the former owner and restore the state."""
        await self.close()
        producer = LaneProducer(self.number, self.settings.app_id, self.settings.client)
        try:
            await producer.open()
            rows = await read_changelog(self.settings.changelog, self.number, self.settings.client, self._step)
            self.state = LaneState(self.settings.codec, rows)
        except BaseException:
            await producer.close()
            raise
        self._producer = producer
        self._untold, self._tell_at = set(), 0.0

    def _step(self) -> None:
        self.steps += 1

    async def close(self) -> None:
        """Let go of the lane; its state leaves memory."""
        producer, self._producer = self._producer, None
        self.state = LaneState(self.settings.codec, {})
        if producer is not None:
            await producer.close()

    def start_offsets(
        self, ids: Mapping[str, UUID], begins: Mapping[str, int], ends: Mapping[str, int]
    ) -> dict[str, int]:
        """Where to read on in each input; what was lost meanwhile is counted and logged, never skipped in silence."""
        starts: dict[str, int] = {}
        for topic in self.settings.topics:
            begin, end, position = begins[topic], ends[topic], self.state.lane.positions.get(topic)
            start = begin if position is None else position.offset
            if position is not None and position.topic_id != ids[topic]:
                log.error("lane %s: %s was made anew; reading it from its beginning", self.number, topic)
                self.meters.count(m.INPUTS_RECREATED, (topic,))
                start = begin
            elif start < begin:
                self._lost(topic, begin - start, "retention removed them")
                start = begin
            elif start > end:
                self._lost(topic, start - end, "the log was truncated")
                start = end
            self.state.lane.positions[topic] = Position(start, ids[topic])
            starts[topic] = start
            if position is not None:
                self._untold.add(topic)
        return starts

    def skipped(self, topic: str, records: int) -> None:
        """Count what was removed while the lane read on; nothing if it is none."""
        if records > 0:
            self._lost(topic, records, "retention removed them")

    def _lost(self, topic: str, records: int, why: str) -> None:
        log.error("lane %s: %s records of %s are gone before they were read: %s", self.number, records, topic, why)
        self.meters.count(m.INPUT_LOST, (topic,), records)

    def decode(self, topic: str, records: Sequence[Any], last_time: float) -> list[Received[Any]]:
        """Records with what they hold; one that cannot be decoded takes the time of the one before it.

        Where the live clock is kept, an event from its future is bad input: taken for the newest that is known, it
        would hide whatever comes after it until then.
        """
        latest = float("inf") if self.settings.now is None else self.settings.now() + FUTURE_TOLERANCE.total_seconds()
        decoder, read_ms, read, size = self.settings.decoders[topic], int(time.time() * 1000), list[Received[Any]](), 0
        tombstone = self.settings.tables.get(topic)
        for record in records:
            event, bad, raw = None, None, record.value or b""
            size += len(raw)
            try:
                event = decoder(raw) if record.value is not None or tombstone is None else tombstone(record)
                at = event.received_at.timestamp()
                if at > latest:
                    raise BadEvent("future", "received_at")
                last_time = at
            except BadEvent as error:
                event, bad = None, error
            read.append(Received(event, record.offset, record.timestamp, topic, last_time, read_ms, record, bad))
        self.meters.count(m.BYTES, (topic,), size)
        return read

    async def apply(self, items: list[Received[Any]], dispatch: Dispatch) -> None:
        """Apply and commit what was released, in batches that take some hundred milliseconds."""
        while items:
            part, items = items[: self._most], items[self._most :]
            started = time.monotonic()
            await self._apply(part, dispatch)
            took = time.monotonic() - started
            if took > SLOW_S:
                self._most = max(SHORTEST, len(part) // 2)
            elif took < SLOW_S / 8 and len(part) == self._most:
                self._most *= 2

    async def _apply(self, items: list[Received[Any]], dispatch: Dispatch) -> None:
        """Apply and commit a batch, in parts if a handler fails on it."""
        work, outputs = Work(self.state), self._outputs()
        try:
            await self._run(items, work, outputs, dispatch)
        except HandlerFailed as error:
            self._step()
            if len(items) > 1:
                half = len(items) // 2
                await self._apply(items[:half], dispatch)
                await self._apply(items[half:], dispatch)
                return
            work, outputs = Work(self.state), self._outputs()
            log.error("lane %s: a handler of %s failed on one event: %s", self.number, items[0].topic, error)
            outputs.counts[m.HANDLER_ERRORS, (items[0].topic, str(error))] += 1
            self._bury(items[0], "handler_failed", (), outputs)
        await self._commit(items, work, outputs)

    def _outputs(self) -> Outputs:
        return Outputs(self.number, self.settings.partition_of, self.settings.lane_of, self.settings.lanes)

    async def _run(self, items: list[Received[Any]], work: Work[Any], outputs: Outputs, dispatch: Dispatch) -> None:
        lane_of, number = self.settings.lane_of, self.number
        for topic, run in groupby(items, key=_topic_of):
            received: list[Received[Any]] = []
            duplicates, moving, is_table = 0, work.moving, topic in self.settings.tables
            for item in run:
                if item.bad is not None:
                    self._bury(item, item.bad.reason, item.bad.fields, outputs)
                    continue
                patient_id: str | None = None if is_table else getattr(item.event, "patient_id", None)
                if patient_id is None:
                    received.append(item)
                elif lane_of(patient_id) != number:
                    self._forward(item, patient_id, item.record.value, outputs, m.STRAYS)
                elif moving and (moved := work.moved(patient_id)) is not None and self.settings.follows(item.event):
                    # Under the id that is now its patient's. It keeps its own, by which that patient knows it.
                    event = msgspec.structs.replace(item.event, patient_id=moved.to)
                    self._forward(item, moved.to, self.settings.encode(event), outputs, m.FOLLOWED)
                elif work.first_sight(patient_id, item.event.event_id):
                    received.append(item)
                else:
                    duplicates += 1
            if duplicates:
                outputs.counts[m.DUPLICATES, (topic,)] += duplicates
            if received:
                outputs.counts[m.EVENTS, (topic,)] += len(received)
                batch: Batch[Any, Any] = Batch(topic, received, work, outputs, self.settings.encode)
                started = time.monotonic()
                await dispatch(topic, batch)
                outputs.observed.append((m.HANDLING, (topic,), time.monotonic() - started))
        if outputs.left:
            await self._end(Batch("", (), work, outputs, self.settings.encode))

    async def _end(self, batch: Batch[Any, Any]) -> None:
        assert self.settings.at_end is not None, "nobody takes what handlers leave"
        try:
            async with asyncio.timeout(self.settings.handler_deadline_s):
                await self.settings.at_end(batch)
        except Exception as error:
            raise HandlerFailed(type(error).__name__) from error

    def _bury(self, item: Received[Any], reason: str, fields: tuple[str, ...], outputs: Outputs) -> None:
        raw = item.record
        record = RawRecord(raw.key, raw.value, tuple(raw.headers), raw.timestamp)
        topic, partition = place(item.topic, self.number)
        row = self.settings.dead_letters.seal(record, topic, partition, raw.offset, reason, fields)
        outputs.write(f"{topic}.dead", row, partition)
        outputs.counts[m.DEAD_LETTERS, (topic, reason)] += 1

    def _forward(self, item: Received[Any], patient_id: str, value: bytes, outputs: Outputs, counted: m.Metric) -> None:
        """The event belongs to another lane: a publisher has another partitioner, or the patient another id."""
        raw = item.record
        headers = tuple((name, value) for name, value in raw.headers if value is not None)
        row = Row(patient_id.encode(), value, raw.timestamp, (*headers, (_FORWARDED, b"%d" % self.number)))
        if row.size > MAX_ROW_BYTES:
            self._bury(item, "too_large", (), outputs)
        elif sum(name == _FORWARDED for name, _ in headers) >= MOST_FORWARDS:
            self._bury(item, "forwarded_too_often", (), outputs)
        else:
            outputs.write(item.topic, row, self.settings.lane_of(patient_id))
            outputs.counts[counted, (item.topic,)] += 1

    async def tick(self) -> None:
        """Lane 0: publish the minutes that have passed, if this worker keeps the live clock."""
        if self.settings.now is None or self.settings.clock_topic is None or self.number != 0:
            return
        minutes = clock.due_ticks(self.state.lane.last_tick, self.settings.now())
        if not minutes:
            return
        outputs = self._outputs()
        for minute in minutes:
            row = Row(b"clock", self.settings.encode(clock.tick(minute)))
            for lane in range(self.settings.lanes):
                outputs.write(self.settings.clock_topic, row, lane)
        self.state.lane.last_tick = minutes[-1]
        await self._commit([], Work(self.state), outputs)

    async def tell(self) -> None:
        """Tell the group where the lane stands, if that is due and nothing else is to be committed."""
        if self._untold and time.monotonic() >= self._tell_at:
            await self._commit([], Work(self.state), self._outputs())

    async def _commit(self, items: list[Received[Any]], work: Work[Any], outputs: Outputs) -> None:
        if self._producer is None:
            raise LaneLost("closed")
        started = time.monotonic()
        positions = self.state.lane.positions
        offsets: dict[TopicPartition, int] = {}
        last = {item.topic: item.offset for item in items}  # in the order of each topic's offsets: the last one counts
        for topic, offset in last.items():
            positions[topic].offset = offset + 1
        self._untold.update(last)
        if started >= self._tell_at:
            offsets = {TopicPartition(*place(name, self.number)): positions[name].offset for name in self._untold}
        rows = [Row(key, value) for key, value in self.state.absorb(work)]
        rows.append(Row(LANE_ROW, msgspec.json.encode(self.state.lane)))
        written = {topic: 0 for topic, _ in outputs.rows}
        for (topic, _), topic_rows in outputs.rows.items():
            written[topic] += len(topic_rows)
        outputs.rows[self.settings.changelog, self.number] = rows
        await self._producer.commit(outputs.rows, offsets, self.settings.app_id)
        if offsets:
            self._untold, self._tell_at = set(), started + TOLD_EVERY_S
        self._step()
        for item in items:  # those that have put nothing out were handled all the same
            if item.record is not None and item.record.headers:
                outputs.trace(item.topic, item.offset, item.read_ms, item.record.headers)
        outputs.committed()
        self.meters.count(m.STATE_ROWS, by=len(rows))
        self._measure(items, outputs, written, started)

    def _measure(
        self,
        items: list[Received[Any]],
        outputs: Outputs,
        written: Mapping[str, int],
        started: float,
    ) -> None:
        self.meters.observe(m.TRANSACTION, time.monotonic() - started)
        for (metric, labels), number in outputs.counts.items():
            self.meters.count(metric, labels, number)
        for metric, labels, value in outputs.observed:
            self.meters.observe(metric, value, labels)
        for topic, number in written.items():
            if not topic.endswith(".dead"):
                self.meters.count(m.OUTPUTS, (topic,), number)
        if items:
            self.meters.observe(m.BATCH, len(items))
            now_ms = time.time() * 1000
            for topic, its in groupby(items, key=_topic_of):
                run = list(its)
                for published_ms, number in Counter([item.timestamp_ms for item in run]).items():
                    self.meters.observe(m.LATENCY, (now_ms - published_ms) / 1000, (topic,), number)
                for delay_s, number in Counter(map(_delay_s, run)).items():
                    if delay_s is not None:
                        self.meters.observe(m.DELAY, delay_s, (topic,), number)
