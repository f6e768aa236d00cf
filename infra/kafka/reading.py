"""A whole topic, read once from its beginning to its present end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from wardstream.infra.failure import Failure
from wardstream.infra.kafka.topics import describe_topics

_OPEN_S = 30.0
_STALL_S = 20.0
_CLOSE_S = 5.0


async def records(options: Mapping[str, Any], topic: str, partition: int | None = None) -> AsyncGenerator[Any, None]:
    """Every committed record of a topic, or of one partition, that is there now, in the order of each partition.

    Raises
    ------
    Failure
        There is no such topic.
    KafkaError, TimeoutError
        The cluster does not answer.
    """
    present = await describe_topics(options, [topic])
    if topic not in present:
        raise Failure(f"no topic {topic}: `wardstream topics create` makes it")
    numbers = [one.number for one in present[topic].partitions]
    parts = [TopicPartition(topic, number) for number in numbers if partition in (None, number)]
    consumer = AIOKafkaConsumer(
        **options, isolation_level="read_committed", enable_auto_commit=False, fetch_max_wait_ms=100
    )
    try:
        async with asyncio.timeout(_OPEN_S):
            await consumer.start()
            consumer.assign(parts)
            ends = await consumer.end_offsets(parts)
            at = await consumer.beginning_offsets(parts)
            for part in parts:
                consumer.seek(part, at[part])
        while behind := [part for part in parts if at[part] < ends[part]]:
            async with asyncio.timeout(_STALL_S):
                while not (got := await consumer.getmany(*behind, timeout_ms=200, max_records=5_000)):
                    if any([await consumer.position(part) != at[part] for part in behind]):
                        break  # only markers
            for part, found in got.items():
                for record in found:
                    if record.offset < ends[part]:
                        yield record
            for part in behind:
                at[part] = await consumer.position(part)
    finally:
        with contextlib.suppress(KafkaError, TimeoutError, OSError):
            async with asyncio.timeout(_CLOSE_S):
                await consumer.stop()
