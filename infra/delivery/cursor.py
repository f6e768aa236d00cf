"""One subscription: reads alerts.v1 from where it is, posts what matches, and says how far it has come.

Each has a consumer, connections and bounds of its own, so that a receiver which is slow or dead is only behind itself.
The transitions of one alert go out one after the other; those of others go on meanwhile. What was posted and is not yet
committed when the process dies is posted again, with the same id.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from wardstream.agents import metrics as m
from wardstream.agents.tracing import begin, trace_of
from wardstream.infra.delivery.ledger import Ledger, TakenOver
from wardstream.infra.delivery.marks import Marks
from wardstream.infra.delivery.receiver import GONE, Posted, Receiver
from wardstream.infra.delivery.replies import Answers
from wardstream.infra.delivery.trying import Trying
from wardstream.infra.failure import Failure
from wardstream.schemas.acknowledgements import Action
from wardstream.schemas.alerts import TOPIC, Alert, Place
from wardstream.schemas.bad_event import BadEvent
from wardstream.schemas.decode import decoder_of
from wardstream.schemas.deliveries import Delivery, Outcome
from wardstream.schemas.subscriptions import Subscription

log = logging.getLogger(__name__)

AT_ONCE: Final = 8  # posts to one receiver
WAITING: Final = 500  # transitions in memory, of one subscription: 2 MB
HELD: Final = 20_000  # transitions that are done while one before them is not: told again after a kill
KEPT: Final = timedelta(days=7)
"""Kafka forgets the offsets of a group that nobody uses for so long (`offsets.retention.minutes`); whoever has none
does not begin before."""
_SOON_S = 0.1  # outcomes are written together
_SELDOM_S = 5.0  # how far one has read that nothing matches is committed
_START_S = 30.0
_CLOSE_S = 5.0
_decode = decoder_of(Alert)


class Gone(Exception):
    """The receiver has said 410: it is no more."""


_CHANNEL: Final = {"wardstream.channel": "webhook"}


class Tools(NamedTuple):
    """What all cursors share."""

    client: Mapping[str, Any]
    ledger: Ledger
    answers: Answers
    meters: m.Meters
    trying: Trying


class Told(NamedTuple):
    """A transition that is to be told. `caused_s` is when what caused it was published, s since 1970."""

    part: TopicPartition
    offset: int
    caused_s: float
    alert: Alert
    body: bytes
    trace: str | None = None


class Cursor:
    """Tells one subscription; for one version of its row."""

    def __init__(self, subscription: Subscription, receiver: Receiver, tools: Tools) -> None:
        self._subscription, self._receiver, self._tools = subscription, receiver, tools
        self._marks: dict[TopicPartition, Marks] = {}
        self._committed: dict[TopicPartition, int] = {}
        self._of: dict[UUID, deque[Told]] = {}  # by alert, in their order
        self._outcomes: list[Delivery] = []
        self._places = asyncio.Semaphore(AT_ONCE)
        self._not_before = 0.0
        self._room, self._ended = asyncio.Event(), asyncio.Event()
        self._consumer: AIOKafkaConsumer | None = None
        self.waiting = 0

    async def run(self) -> None:
        """Tell until cancelled.

        Raises
        ------
        Gone, TakenOver
            Nobody is to be told, or somebody else tells.
        KafkaError, TimeoutError, OSError, Failure
            The cluster does not answer.
        """
        try:
            await self._open()
            async with asyncio.TaskGroup() as group:
                group.create_task(self._read(group))
                group.create_task(self._commit())
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from failed
        finally:
            await self._close()

    @property
    def oldest_s(self) -> float:
        """When what caused the oldest transition that waits was published, s since 1970; infinity: none waits."""
        return min((chain[0].caused_s for chain in self._of.values()), default=float("inf"))

    @property
    def behind(self) -> int:
        """Records that are not yet read."""
        if self._consumer is None:
            return 0
        ends = {part: self._consumer.highwater(part) for part in self._marks}
        return sum(max(0, (ends[part] or 0) - marks.read) for part, marks in self._marks.items())

    async def _open(self) -> None:
        committed = await self._tools.ledger.positions(self._subscription.name)
        self._consumer = consumer = AIOKafkaConsumer(
            **self._tools.client,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            max_partition_fetch_bytes=256 << 10,
            fetch_max_bytes=1 << 20,
        )
        async with asyncio.timeout(_START_S):
            await consumer.start()
            await consumer._client.add_topic(TOPIC.name)  # without it a consumer that has nothing yet knows none
            parts = self._parts()
            consumer.assign(parts)
            begun = max(self._subscription.made_at, datetime.now(UTC) - KEPT)
            ends = await consumer.end_offsets(parts)  # first: what comes meanwhile is after them
            since = await consumer.offsets_for_times({part: int(begun.timestamp() * 1000) for part in parts})
            for part in parts:
                found = since[part]
                start = committed.get(part, ends[part] if found is None else found.offset)
                self._marks[part] = Marks(start)
                consumer.seek(part, start)
        self._committed = {part: at for part, at in committed.items() if part in self._marks}

    def _parts(self) -> list[TopicPartition]:
        assert self._consumer is not None, "open"
        return [TopicPartition(TOPIC.name, number) for number in self._consumer.partitions_for_topic(TOPIC.name) or ()]

    async def _read(self, group: asyncio.TaskGroup) -> None:
        consumer = self._consumer
        assert consumer is not None, "open"
        while self._marks.keys() == set(self._parts()):
            while self._full():
                self._room.clear()
                await self._room.wait()
            for part, records in (await consumer.getmany(timeout_ms=1000, max_records=WAITING)).items():
                for record in records:
                    self._take(part, record, group)
                self._marks[part].read_to(records[-1].offset + 1)
        raise Failure(f"{TOPIC.name} has other partitions now")

    def _full(self) -> bool:
        held = sum(marks.held for marks in self._marks.values())
        return self.waiting >= WAITING or held >= HELD or len(self._outcomes) >= WAITING

    def _take(self, part: TopicPartition, record: Any, group: asyncio.TaskGroup) -> None:
        """Put a record to the others of its alert, if it is for this subscription."""
        try:
            alert = _decode(record.value)
        except BadEvent as bad:  # only this project writes there: somebody else has
            log.error("%s, partition %d, offset %d is no alert: %s", part.topic, part.partition, record.offset, bad)
            return
        if not self._subscription.matches(alert):
            return
        self._marks[part].take(record.offset)
        self.waiting += 1
        chain = self._of.setdefault(alert.alert_id, deque())
        trace = trace_of(record.headers) if record.headers else None
        chain.append(Told(part, record.offset, record.timestamp / 1000, alert, record.value, trace))
        if len(chain) == 1:
            group.create_task(self._tell(alert.alert_id, chain))

    async def _tell(self, alert_id: UUID, chain: deque[Told]) -> None:
        """Tell what there is of one alert, one after the other."""
        while chain:
            told = chain[0]
            span = None if told.trace is None else begin("deliver alert", "client", told.trace, None, _CHANNEL)
            outcome = await self._deliver(told, told.trace if span is None else span.traceparent)
            if span is not None:
                span.end({"wardstream.outcome": outcome.outcome, "wardstream.attempts": outcome.attempts})
            chain.popleft()
            self._outcomes.append(outcome)
            self._marks[told.part].done(told.offset)
            self.waiting -= 1
            self._tools.meters.count(m.WEBHOOKS, (outcome.outcome,))
            self._ended.set()
            self._room.set()
        del self._of[alert_id]

    async def _deliver(self, told: Told, traceparent: str | None) -> Delivery:
        """Post a transition until it is taken, or not tried any more."""
        attempts, trying = 0, self._tools.trying
        while True:
            await self._rested()
            async with self._places:
                posted = await self._receiver.post(str(told.alert.event_id), told.body, traceparent)
            attempts, age_s = attempts + 1, time.time() - told.caused_s
            if posted.reason is None:
                self._tools.meters.observe(m.WEBHOOK_SECONDS, age_s)
                answered = await self._tools.answers.take(posted.answer, told.alert, self._subscription)
                return self._outcome(told, "delivered", attempts, posted, answered)
            self._tools.meters.count(m.WEBHOOK_FAILURES, (posted.reason,))
            if posted.status == GONE:
                raise Gone
            if posted.never or trying.over(attempts, age_s):
                outcome: Outcome = "rejected" if posted.never else "gave_up"
                log.error("subscription %s: a transition %s: %s", self._subscription.name, outcome, posted.reason)
                return self._outcome(told, outcome, attempts, posted)
            if posted.rest_s:  # it is the receiver that rests, whatever the alert
                self._not_before = max(self._not_before, time.monotonic() + posted.rest_s)
            await asyncio.sleep(trying.wait_s(attempts, posted.rest_s))

    async def _rested(self) -> None:
        """Wait for the end of the rest that the receiver has asked for; it may ask for more meanwhile."""
        while True:
            rest_s = self._not_before - time.monotonic()
            if rest_s <= 0:
                return
            await asyncio.sleep(rest_s)

    def _outcome(
        self, told: Told, outcome: Outcome, attempts: int, posted: Posted, answered: Action | None = None
    ) -> Delivery:
        return Delivery(
            name=self._subscription.name,
            event_id=told.alert.event_id,
            alert_id=told.alert.alert_id,
            number=told.alert.number,
            place=Place(topic=told.part.topic, partition=told.part.partition, offset=told.offset),
            outcome=outcome,
            at=datetime.now(UTC),
            attempts=attempts,
            status=posted.status,
            reason=posted.reason,
            answered=answered,
        )

    async def _commit(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_SELDOM_S):
                    await self._ended.wait()
            await asyncio.sleep(_SOON_S)
            self._ended.clear()
            await self._write()

    async def _write(self) -> None:
        outcomes = tuple(self._outcomes)
        positions = {part: marks.position for part, marks in self._marks.items()}
        moved = {part: at for part, at in positions.items() if self._committed.get(part) != at}
        if outcomes or moved:
            await self._tools.ledger.write(self._subscription.name, moved, outcomes)
            self._committed |= moved
            del self._outcomes[: len(outcomes)]
            self._room.set()

    async def _close(self) -> None:
        """Commit what is done, for a few seconds at most, and disconnect; the rest is told again."""
        try:
            with contextlib.suppress(TakenOver, TimeoutError):
                async with asyncio.timeout(_CLOSE_S):
                    await self._write()
        finally:
            await self._receiver.close()
            consumer, self._consumer = self._consumer, None
            if consumer is not None:
                with contextlib.suppress(KafkaError, TimeoutError, OSError):
                    async with asyncio.timeout(_CLOSE_S):
                        await consumer.stop()
