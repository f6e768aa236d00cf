"""The broker of the bench: one, on a core of its own; its topics, and what it is filled with."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from wardstream.infra.kafka.broker import Cluster
from wardstream.infra.kafka.jars import fetch, jars_folder
from wardstream.infra.kafka.topics import Wish, create_topics
from wardstream.infra.settings import load_settings
from wardstream.schemas.partition import partition_of

PARTITIONS = 4
BROKER_CORE, JOB_CORE = 0, 1


@contextmanager
def pinned_broker(folder: Path, core: int = BROKER_CORE) -> Iterator[Cluster]:
    """One broker on a core, where this process goes too; by default jobs have `JOB_CORE` to themselves."""
    os.sched_setaffinity(0, {core})
    jars = jars_folder(load_settings(home=Path(__file__).parents[2] / ".wardstream"))
    fetch(jars)
    with Cluster(folder, jars=jars) as cluster:
        yield cluster


COMPACTED = {"cleanup.policy": "compact"}


def create(client: Mapping[str, Any], *names: str, configs: Mapping[str, str] | None = None) -> None:
    """Make topics of one replica."""
    asyncio.run(create_topics(client, [Wish(name, PARTITIONS, 1, configs or {}) for name in names]))


async def publish(
    client: Mapping[str, Any], topic: str, events: Iterable[tuple[str, bytes]], partitions: int = PARTITIONS
) -> None:
    """Fill a topic, each key in the partition that Kafka's default partitioner gives it."""
    place = lru_cache(maxsize=200_000)(partial(partition_of, partitions=partitions))
    producer = AIOKafkaProducer(**client, linger_ms=20, max_batch_size=1 << 18)
    await producer.start()
    try:
        batches = [producer.create_batch() for _ in range(partitions)]
        for key, value in events:
            lane = place(key)
            if batches[lane].append(key=key.encode(), value=value, timestamp=None) is None:
                await producer.send_batch(batches[lane], topic, partition=lane)
                batches[lane] = producer.create_batch()
                batches[lane].append(key=key.encode(), value=value, timestamp=None)
        for lane, batch in enumerate(batches):
            if batch.record_count():
                await producer.send_batch(batch, topic, partition=lane)
        await producer.flush()
    finally:
        await producer.stop()


async def read_since(client: Mapping[str, Any], topic: str, begins: Mapping[int, int]) -> list[tuple[bytes, bytes]]:
    """Keys and values of all committed records from some offsets on, in the order of each partition."""
    consumer = AIOKafkaConsumer(**client, isolation_level="read_committed", fetch_max_wait_ms=50)
    found: list[tuple[bytes, bytes]] = []
    await consumer.start()
    try:
        tps = [TopicPartition(topic, number) for number in begins]
        consumer.assign(tps)
        ends = await consumer.end_offsets(tps)
        for tp in tps:
            consumer.seek(tp, begins[tp.partition])
        async with asyncio.timeout(120):
            while True:
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    found += [(record.key, record.value) for record in records]
                if all([await consumer.position(tp) >= ends[tp] for tp in tps]):
                    return found
    finally:
        await consumer.stop()
