"""Reads topics as downstream does: `read_committed`, from their beginnings. Imports nothing of wardstream.

python -m tests.faults.reading snapshot BOOTSTRAP TOPIC FILE    # keep what a topic holds before it is deleted
python -m tests.faults.reading unread BOOTSTRAP GROUP TOPIC…    # how many records a group has not committed
"""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition

STALL_S = 60.0  # without a record although the end was not reached


class Record(NamedTuple):
    """A record as it is in its topic."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: dict[str, bytes]


async def records(bootstrap: str, topic: str) -> AsyncIterator[Record]:
    """Every committed record of a topic up to the end it has now; each partition in its order."""
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=bootstrap,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        request_timeout_ms=10_000,
        max_partition_fetch_bytes=4 << 20,
    )
    async with asyncio.timeout(STALL_S):
        await consumer.start()
    try:
        async with asyncio.timeout(STALL_S):
            partitions = consumer.assignment()
            ends = await consumer.end_offsets(partitions)
        left = {tp for tp in partitions if ends[tp]}
        while left:
            async with asyncio.timeout(STALL_S):
                while not (got := await consumer.getmany(*left, timeout_ms=200, max_records=20_000)):
                    left = {tp for tp in left if await consumer.position(tp) < ends[tp]}
                    if not left:
                        break
            for tp, some in got.items():
                for one in some:
                    if one.offset < ends[tp]:
                        yield Record(topic, one.partition, one.offset, one.key, one.value, dict(one.headers))
            left = {tp for tp in left if await consumer.position(tp) < ends[tp]}
    finally:
        await consumer.stop()


async def snapshot(bootstrap: str, topic: str, file: Path) -> int:
    """Keep what a topic holds; returns how many records that were."""
    count = 0
    with file.open("w", encoding="ascii") as output:
        async for record in records(bootstrap, topic):
            key, value = (None if part is None else base64.b64encode(part).decode() for part in record[3:5])
            headers = {name: base64.b64encode(text).decode() for name, text in record.headers.items()}
            output.write(json.dumps([*record[:3], key, value, headers]) + "\n")
            count += 1
    return count


def kept(file: Path) -> Iterator[Record]:
    """What a snapshot holds."""
    with file.open(encoding="ascii") as lines:
        for line in lines:
            topic, partition, offset, key, value, headers = json.loads(line)
            raw = (None if part is None else base64.b64decode(part) for part in (key, value))
            decoded = {name: base64.b64decode(text) for name, text in headers.items()}
            yield Record(topic, partition, offset, *raw, decoded)


async def unread(bootstrap: str, group: str, topics: list[str]) -> int:
    """How many records lie behind what the group has committed; of markers, which are none, a few may be counted."""
    options: dict[str, Any] = {"bootstrap_servers": bootstrap, "enable_auto_commit": False, "request_timeout_ms": 5_000}
    consumer = AIOKafkaConsumer(*topics, **options, isolation_level="read_committed")
    member = AIOKafkaConsumer(**options, group_id=group)
    async with asyncio.timeout(STALL_S):
        try:
            await consumer.start()
            await member.start()
            partitions = consumer.assignment()
            ends = await consumer.end_offsets(partitions)
            member.assign(list(partitions))
            behind: dict[TopicPartition, int] = {}
            for tp in partitions:
                at = await member.committed(tp) or 0
                if at < ends[tp]:
                    behind[tp] = at
            for tp, at in behind.items():
                consumer.seek(tp, at)
            count = 0
            while behind:
                got = await consumer.getmany(*behind, timeout_ms=200)
                count += sum(map(len, got.values()))
                behind = {tp: at for tp, at in behind.items() if await consumer.position(tp) < ends[tp]}
            return count
        finally:
            await consumer.stop()
            await member.stop()


if __name__ == "__main__":
    if sys.argv[1] == "snapshot":
        print(asyncio.run(snapshot(sys.argv[2], sys.argv[3], Path(sys.argv[4]))))
    else:
        print(asyncio.run(unread(sys.argv[2], sys.argv[3], sys.argv[4:])))
