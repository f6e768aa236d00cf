"""From the changelog of n lanes to that of more: all rows, each to the lane its patient has there.

Rows of an entity (`p`, `c`, `i` and `m`, see `agents.streams.state`) follow murmur2 of the patient. A lane's own row
stays with its number: partition p of the inputs is still partition p, and what had been read of it has been read. A
lane that is new has no row, and so starts at the beginning of its partitions.

The copy is one transaction, whatever the size (the broker allows it 15 minutes, enough for tens of gigabytes): the new
changelog is complete or empty, never in part. One lane's rows are in memory at a time, as in a worker.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import lru_cache
from hashlib import blake2b
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import IllegalOperation, KafkaError

from wardstream.agents.streams.producer import CLOSE_DEADLINE_S, MAX_REQUEST_BYTES, OPEN_DEADLINE_S, read_changelog
from wardstream.schemas.partition import partition_of

TRANSACTION_S = 900  # the most that brokers allow by default
_BATCH_BYTES = 1 << 20
_MASK = (1 << 64) - 1

LaneDone = Callable[[int, int], object]
"""Told after each lane how many lanes and how many rows are done."""


class Tally:
    """How many rows a partition has, and a digest of them all that does not depend on their order."""

    def __init__(self) -> None:
        self.rows = 0
        self._digest = 0

    def add(self, key: bytes, value: bytes) -> None:
        digest = blake2b(value, digest_size=8, key=blake2b(key, digest_size=16).digest()).digest()
        self.rows += 1
        self._digest = (self._digest + int.from_bytes(digest, "big")) & _MASK

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Tally) and (self.rows, self._digest) == (other.rows, other._digest)

    __hash__ = None  # type: ignore[assignment]  # it changes


def router(lanes: int) -> Callable[[bytes, int], int]:
    """The function from a row's key and the lane it is in to its lane among `lanes`."""
    place = lru_cache(maxsize=1 << 16)(lambda patient: partition_of(patient.decode(), lanes))

    def lane_of(key: bytes, lane: int) -> int:
        kind, patient, *_ = key.split(b"\0", 2)
        return place(patient) if kind else lane

    return lane_of


async def found(options: Mapping[str, Any], topic: str, lanes: int, done: LaneDone) -> dict[int, Tally]:
    """What is in each partition of a changelog; partitions without rows are left out."""
    return await expected(options, topic, lanes, lambda _, lane: lane, done)


async def expected(
    options: Mapping[str, Any], topic: str, lanes: int, lane_of: Callable[[bytes, int], int], done: LaneDone
) -> dict[int, Tally]:
    """What a copy of a changelog of `lanes` partitions has in each of its own."""
    tallies: dict[int, Tally] = {}
    for lane in range(lanes):
        for key, value in (await read_changelog(topic, lane, options)).items():
            tallies.setdefault(lane_of(key, lane), Tally()).add(key, value)
        done(lane + 1, _rows(tallies))
    return tallies


async def ends(options: Mapping[str, Any], topic: str, lanes: int) -> dict[int, int]:
    """The end of each partition, open transactions included: it stays the same as long as nobody writes."""
    parts = [TopicPartition(topic, lane) for lane in range(lanes)]
    async with asyncio.timeout(OPEN_DEADLINE_S):
        consumer = AIOKafkaConsumer(**options, enable_auto_commit=False)
        try:
            await consumer.start()
            return {part.partition: end for part, end in (await consumer.end_offsets(parts)).items()}
        finally:
            await consumer.stop()


@asynccontextmanager
async def writer(options: Mapping[str, Any], app_id: str) -> AsyncIterator[AIOKafkaProducer]:
    """The producer of the copy. To open it is to end whatever a former migration left open."""
    producer = AIOKafkaProducer(
        **options,
        transactional_id=f"{app_id}-lanes-migrate",
        linger_ms=0,
        max_batch_size=_BATCH_BYTES,
        max_request_size=MAX_REQUEST_BYTES,
        transaction_timeout_ms=TRANSACTION_S * 1000,
        request_timeout_ms=30_000,
    )
    try:
        async with asyncio.timeout(OPEN_DEADLINE_S):
            await producer.start()
        yield producer
    finally:
        with contextlib.suppress(KafkaError, IllegalOperation, TimeoutError, OSError):
            async with asyncio.timeout(CLOSE_DEADLINE_S):
                await producer.stop()


@asynccontextmanager
async def transaction(producer: AIOKafkaProducer, deadline_s: float) -> AsyncIterator[None]:
    """All or nothing: commit at the end, abort on any error or when it takes too long."""
    async with asyncio.timeout(deadline_s):
        await producer.begin_transaction()
        try:
            yield
            await producer.commit_transaction()
        except BaseException:
            with contextlib.suppress(KafkaError, IllegalOperation, TimeoutError, OSError):
                async with asyncio.timeout(CLOSE_DEADLINE_S):
                    await producer.abort_transaction()
            raise


async def copy(
    options: Mapping[str, Any],
    producer: AIOKafkaProducer,
    source: tuple[str, int],
    target: tuple[str, Callable[[bytes, int], int]],
    done: LaneDone,
) -> dict[int, Tally]:
    """Write all rows of a changelog (name, partitions) to another (name, routing), in an open transaction."""
    (old, lanes), (new, lane_of) = source, target
    tallies: dict[int, Tally] = {}
    for lane in range(lanes):
        rows = await read_changelog(old, lane, options)
        batches: dict[int, Any] = {}
        sent: list[asyncio.Future[Any]] = []
        for key, value in rows.items():
            place = lane_of(key, lane)
            tallies.setdefault(place, Tally()).add(key, value)
            batch = batches.get(place)
            while batch is None or batch.append(key=key, value=value, timestamp=None) is None:
                if batch is not None:  # full
                    sent.append(await producer.send_batch(batch, new, partition=place))
                batch = batches[place] = producer.create_batch()
        for place, batch in batches.items():
            sent.append(await producer.send_batch(batch, new, partition=place))
        await asyncio.gather(*sent)
        done(lane + 1, _rows(tallies))
    return tallies


def _rows(tallies: Mapping[int, Tally]) -> int:
    return sum(tally.rows for tally in tallies.values())
