"""Kafka as the streams read it: one consumer that follows the newest rows, one that looks back for those who lag."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any, Self

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaConnectionError, KafkaError

from wardstream.agents.tracing import trace_of
from wardstream.infra.api.ring import Position, Row
from wardstream.infra.failure import Failure
from wardstream.infra.kafka.topics import describe_topics
from wardstream.schemas.alerts import TOPIC as ALERTS
from wardstream.schemas.alerts import Alert
from wardstream.schemas.bad_event import BadEvent
from wardstream.schemas.decode import decoder_of
from wardstream.schemas.silent_alerts import TOPIC as SILENT

log = logging.getLogger(__name__)

LOOK_BACK_S = 7 * 24 * 3600.0
"""What was written in this time is read before anything is told: few open alerts have a transition less often."""
LOOK_FAR_BACK_S = 90 * 24 * 3600.0
"""What was written in this time is read afterwards, for alerts that are open and that nobody has touched for a week."""
TOPICS = (ALERTS.name, SILENT.name)
_OPEN_S = 30.0
_STALL_S = 20.0
_CLOSE_S = 5.0
_WAIT_MS = 200
_AT_ONCE = 1000  # records

_decode = decoder_of(Alert)


class Reader:
    """A consumer of some partitions, without a group."""

    def __init__(self, client: Mapping[str, Any], parts: Sequence[TopicPartition]) -> None:
        self._parts = parts
        self._place = {part: place for place, part in enumerate(parts)}
        self._consumer = AIOKafkaConsumer(
            **client,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",  # of rows that retention has removed meanwhile
            isolation_level="read_committed",
            fetch_max_wait_ms=100,
        )

    async def open(self) -> Self:
        """Connect.

        Raises
        ------
        KafkaError, TimeoutError
            The cluster does not answer.
        """
        async with asyncio.timeout(_OPEN_S):
            await self._consumer.start()
            self._consumer.assign(self._parts)
        return self

    async def aclose(self) -> None:
        """Disconnect."""
        with contextlib.suppress(KafkaError, TimeoutError, OSError):
            async with asyncio.timeout(_CLOSE_S):
                await self._consumer.stop()

    async def begin(self, at_ms: int) -> Position:
        """Where to begin to have all that was written since a time, ms since 1970."""
        async with asyncio.timeout(_OPEN_S):
            ends = await self._consumer.end_offsets(self._parts)
            found = await self._consumer.offsets_for_times(dict.fromkeys(self._parts, at_ms))
        return tuple(ends[part] if found.get(part) is None else found[part].offset for part in self._parts)

    async def end(self) -> Position:
        """Where the next rows will be."""
        async with asyncio.timeout(_OPEN_S):
            ends = await self._consumer.end_offsets(self._parts)
        return tuple(ends[part] for part in self._parts)

    def seek(self, position: Position) -> None:
        """Read from a position on."""
        for part, offset in zip(self._parts, position, strict=True):
            self._consumer.seek(part, offset)

    async def position(self) -> Position:
        """What is read next."""
        async with asyncio.timeout(_STALL_S):
            return tuple([await self._consumer.position(part) for part in self._parts])

    async def as_of(self) -> float | None:
        """As of when (s since 1970) all that was written has been read; None: some of it is not read yet.

        It is Kafka's last answer to a fetch that counts: while it is away, a consumer reads nothing and says nothing.
        """
        asked = [self._consumer.last_poll_timestamp(part) for part in self._parts]
        ends = [self._consumer.last_stable_offset(part) for part in self._parts]
        if None in asked or None in ends or any(map(int.__lt__, await self.position(), ends)):
            return None
        return float(min(asked)) / 1000

    async def read(
        self, after: Position, most: int = _AT_ONCE, of: Sequence[TopicPartition] = ()
    ) -> list[tuple[Row, float]]:
        """The next rows, with when they were written (s since 1970); none: there are none for a fifth of a second.

        Parameters
        ----------
        after : Position
            Before the first of them.
        of : sequence of TopicPartition
            Only of these; none: of all.
        """
        found = []
        for record in await self.records(most, of):
            place = self._place[TopicPartition(record.topic, record.partition)]
            try:
                alert = _decode(record.value)
            except BadEvent as bad:
                log.warning("%s %d at %d is no alert: %s", record.topic, record.partition, record.offset, bad.reason)
                continue
            after = (*after[:place], record.offset + 1, *after[place + 1 :])
            row = Row(alert, record.value, place, record.offset, after, record.topic == SILENT.name)
            if record.headers and (parent := trace_of(record.headers)) is not None:
                row.trace = parent, time.time()
            found.append((row, record.timestamp / 1000))
        return found

    async def records(self, most: int = _AT_ONCE, of: Sequence[TopicPartition] = ()) -> list[Any]:
        """The next records, those of a partition in their order; the rest is as `read` says."""
        found = await self._consumer.getmany(*of, timeout_ms=_WAIT_MS, max_records=most)
        return [record for records in found.values() for record in records]


class History:
    """What is no longer in memory: one consumer, which looks back for one reader after the other, a piece at a time."""

    def __init__(self, client: Mapping[str, Any], parts: Sequence[TopicPartition]) -> None:
        self._client, self._parts = client, parts
        self._reader: Reader | None = None
        self._turn = asyncio.Lock()

    async def since(self, position: Position, until: Position) -> tuple[list[Row], Position]:
        """The next rows at or after a position and before a later one, and the position after them.

        Raises
        ------
        KafkaError, TimeoutError
            The cluster does not answer.
        """
        async with self._turn, asyncio.timeout(_STALL_S):
            reader = await self._opened()
            try:
                reader.seek(position)
                behind = [part for part, at, end in zip(self._parts, position, until, strict=True) if at < end]
                reached = position
                while reached == position:
                    rows = [row for row, _ in await reader.read(position, of=behind)]
                    limits = map(max, position, until)
                    reached = tuple(map(min, await reader.position(), limits))
                return [row for row in rows if row.offset < until[row.part]], reached
            except BaseException:
                await self._drop()
                raise

    async def at(self, part: int, offsets: Sequence[int]) -> list[Row]:
        """The rows at some offsets of a partition; those that are no longer there are left out.

        Raises
        ------
        KafkaError, TimeoutError
            The cluster does not answer.
        """
        reader = Reader(self._client, [self._parts[part]])
        found: list[Row] = []
        try:
            await reader.open()
            for offset in offsets:
                if found and offset <= found[-1].offset:
                    continue
                async with asyncio.timeout(_STALL_S):
                    reader.seek((offset,))
                    while not (rows := await reader.read((offset,), 1)):
                        pass
                found += [row for row, _ in rows if row.offset == offset]
        finally:
            await reader.aclose()
        return found

    async def close(self) -> None:
        """Disconnect."""
        async with self._turn:
            await self._drop()

    async def _opened(self) -> Reader:
        if self._reader is None:
            self._reader = Reader(self._client, self._parts)
            await self._reader.open()
        return self._reader

    async def _drop(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            await reader.aclose()


async def partitions(client: Mapping[str, Any]) -> list[TopicPartition]:
    """The partitions that hold alerts.

    Raises
    ------
    Failure
        There is no such topic.
    KafkaError, TimeoutError
        The cluster does not answer.
    """
    async with asyncio.timeout(_OPEN_S):
        present = await describe_topics(client, TOPICS)
    if missing := set(TOPICS) - present.keys():
        raise Failure(f"no topic {', '.join(sorted(missing))}: `wardstream topics create` makes it")
    numbers = {topic: len(present[topic].partitions) for topic in TOPICS}
    if len(set(numbers.values())) != 1:
        raise KafkaConnectionError("lanes are being added")
    # Partition by partition, so that lanes that are added come at the end of every position.
    return [TopicPartition(topic, number) for number in range(numbers[ALERTS.name]) for topic in TOPICS]
