"""Dead letters as they lie in their topics: find them, say why and where from, open them.

A topic of dead letters also holds notes of which were replayed (`dead_replay`): records without a value.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from wardstream.agents.streams.dead_letters import DeadLetters, RawRecord
from wardstream.agents.streams.producer import CLOSE_DEADLINE_S, OPEN_DEADLINE_S
from wardstream.infra.failure import Failure
from wardstream.infra.kafka.topics import describe_topics
from wardstream.schemas.topics import dead

FEED = "hl7v2:"  # before the name of the feed, where the letter of a gateway has its topic
NOTE = "replayed"  # header of a note: the offset of the letter, which is in the same partition
_STALL_S = 20.0

Place = tuple[str, int, int]
"""Dead-letter topic, partition, offset."""
Done = Callable[[int, int], object]
"""Told how many records of how many are done."""


class DeadLetterError(Failure):
    """A letter cannot be found or opened, or Kafka failed; the text says why, without any content."""


@dataclass(frozen=True)
class Letter:
    """A dead letter as it lies in its topic.

    Attributes
    ----------
    topic, partition, offset
        Where it lies; `topic` is the dead-letter topic.
    timestamp_ms
        When the bad record was published, in ms since 1970.
    headers
        Why and where from.
    value
        The sealed record.
    """

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    headers: Mapping[str, bytes]
    value: bytes

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}"

    @property
    def place(self) -> Place:
        return self.topic, self.partition, self.offset

    @property
    def reason(self) -> str:
        return self._text("reason")

    @property
    def fields(self) -> tuple[str, ...]:
        return tuple(filter(None, self._text("fields").split(",")))

    @property
    def origin(self) -> str:
        """Topic, partition and offset of the bad record."""
        return "/".join(self._text(name) for name in ("topic", "partition", "offset"))

    @property
    def published(self) -> datetime:
        return datetime.fromtimestamp(self.timestamp_ms / 1000, UTC)

    @property
    def cut(self) -> int | None:
        """How many bytes the record had of which only the beginning is kept; None: all of it is."""
        text = self._text("cut")
        return int(text) if text.isdecimal() else None

    @property
    def note_of(self) -> int | None:
        """The offset of the letter that was replayed, if this is the note of it and no letter."""
        text = self._text(NOTE)
        return int(text) if text.isdecimal() else None

    def open(self, letters: DeadLetters) -> RawRecord:
        """The bad record.

        Raises
        ------
        DeadLetterError
            It was sealed with another key, or is no letter.
        """
        try:
            return letters.open(self.value, list(self.headers.items()))
        except (ValueError, KeyError):
            raise DeadLetterError(f"{self} cannot be opened: it was sealed with another key, or changed") from None

    def _text(self, header: str) -> str:
        return self.headers.get(header, b"").decode(errors="replace")


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Which letters; `at` is a partition and offset, and `repeat` says whether those replayed before count too."""

    reason: str | None = None
    since: datetime | None = None
    at: tuple[int, int] | None = None
    repeat: Literal["never", "allowed"] = "never"

    def takes(self, letter: Letter) -> bool:
        return (
            letter.note_of is None
            and self.reason in (None, letter.reason)
            and (self.since is None or letter.published >= self.since)
            and self.at in (None, (letter.partition, letter.offset))
        )


def dead_topic(name: str) -> str:
    """The dead-letter topic of a topic; its own name is understood too."""
    return name if name.endswith(dead("")) else dead(name)


@asynccontextmanager
async def translated() -> AsyncIterator[None]:
    """Make a `DeadLetterError` of what Kafka raises."""
    try:
        yield
    except (KafkaError, TimeoutError, OSError) as error:
        raise DeadLetterError(f"{type(error).__name__}: {error or 'no answer in time'}") from error


async def letters(
    options: Mapping[str, Any],
    names: Sequence[str],
    since: datetime | None = None,
    done: Done = lambda done, total: None,
) -> AsyncGenerator[Letter, None]:
    """Every letter and note of some dead-letter topics up to their present ends, in the order of each partition.

    Raises
    ------
    DeadLetterError
        There is no such topic, or the cluster does not answer.
    """
    async with translated():
        present = await describe_topics(options, names)
        if missing := [name for name in names if name not in present]:
            raise DeadLetterError(f"no topic {', '.join(missing)}")
        parts = [TopicPartition(name, p.number) for name in names for p in present[name].partitions]
        if not parts:
            return
        async with _consumer(options) as consumer:
            async with asyncio.timeout(OPEN_DEADLINE_S):
                consumer.assign(parts)
                ends = await consumer.end_offsets(parts)
                starts = await consumer.beginning_offsets(parts)
                if since is not None:
                    at_ms = int(since.timestamp() * 1000)
                    for part, found in (await consumer.offsets_for_times(dict.fromkeys(parts, at_ms))).items():
                        starts[part] = ends[part] if found is None else max(found.offset, starts[part])
                for part in parts:
                    consumer.seek(part, starts[part])
            total, at = sum(ends[part] - starts[part] for part in parts), dict(starts)
            while behind := [part for part in parts if at[part] < ends[part]]:
                async with asyncio.timeout(_STALL_S):
                    while not (got := await consumer.getmany(*behind, timeout_ms=200, max_records=1_000)):
                        if any([await consumer.position(part) != at[part] for part in behind]):
                            break  # only markers
                for record in (record for records in got.values() for record in records):
                    if record.offset < ends[TopicPartition(record.topic, record.partition)]:
                        yield _letter(record)
                for part in behind:
                    at[part] = await consumer.position(part)
                done(total - sum(max(ends[part] - at[part], 0) for part in parts), total)


async def letter(options: Mapping[str, Any], name: str, partition: int, offset: int) -> Letter:
    """One letter by its place.

    Raises
    ------
    DeadLetterError
        There is none.
    """
    part = TopicPartition(name, partition)
    nothing = DeadLetterError(f"no dead letter at {name}/{partition}/{offset}; `wardstream dead list {name}` shows all")
    async with translated():
        present = await describe_topics(options, [name])
        if name not in present or partition >= len(present[name].partitions):
            raise nothing
        async with _consumer(options) as consumer, asyncio.timeout(_STALL_S):
            consumer.assign([part])
            begin, end = (await consumer.beginning_offsets([part]))[part], (await consumer.end_offsets([part]))[part]
            if not begin <= offset < end:
                raise nothing
            consumer.seek(part, offset)
            while await consumer.position(part) <= offset:
                for record in (await consumer.getmany(part, timeout_ms=200, max_records=1)).get(part, ()):
                    found = _letter(record)
                    if found.offset == offset and found.note_of is None:
                        return found
    raise nothing


@asynccontextmanager
async def _consumer(options: Mapping[str, Any]) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = AIOKafkaConsumer(
        **options, isolation_level="read_committed", enable_auto_commit=False, fetch_max_wait_ms=100
    )
    try:
        async with asyncio.timeout(OPEN_DEADLINE_S):
            await consumer.start()
        yield consumer
    finally:
        with contextlib.suppress(KafkaError, TimeoutError, OSError):
            async with asyncio.timeout(CLOSE_DEADLINE_S):
                await consumer.stop()


def _letter(record: Any) -> Letter:
    return Letter(
        record.topic, record.partition, record.offset, record.timestamp, dict(record.headers), record.value or b""
    )
