"""Topics, read as downstream reads them."""

from __future__ import annotations

import asyncio
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition


async def read_all(bootstrap: str, topics: list[str], options: dict[str, Any] | None = None) -> dict[str, list[Any]]:
    """Every committed record of some topics, from their beginnings to the ends they have now."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap, isolation_level="read_committed", enable_auto_commit=False, **(options or {})
    )
    async with asyncio.timeout(120):
        await consumer.start()
        try:
            found: dict[str, list[Any]] = {topic: [] for topic in topics}
            for topic in topics:  # a consumer without a subscription knows no partitions
                await consumer._client.add_topic(topic)
            await consumer._client.force_metadata_update()
            partitions = [TopicPartition(t, p) for t in topics for p in consumer.partitions_for_topic(t) or ()]
            consumer.assign(partitions)
            ends = await consumer.end_offsets(partitions)
            begins = await consumer.beginning_offsets(partitions)
            for tp in partitions:
                consumer.seek(tp, begins[tp])
            open_ones = {tp for tp in partitions if begins[tp] < ends[tp]}
            while open_ones:
                for tp, records in (await consumer.getmany(*open_ones, timeout_ms=200, max_records=20_000)).items():
                    found[tp.topic] += records
                open_ones = {tp for tp in open_ones if await consumer.position(tp) < ends[tp]}
            return found
        finally:
            await consumer.stop()
