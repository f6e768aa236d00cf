"""How many patients: memory, and the time to restore them after load, with the changelog really compacted.

Each is measured every four hours of the stream's time, as on a ward (NEWS2 asks for that at 1 to 4 points).
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from shutil import rmtree
from typing import Any

import orjson
from aiokafka import AIOKafkaConsumer, TopicPartition

from tests.bench.broker import COMPACTED, PARTITIONS, create, pinned_broker, publish, read_since
from tests.bench.events import rounds
from tests.bench.running import OURS, JobFailed, Watch, cpu_of, descriptors_of, memory_of, running, tail
from tests.workers import create_topics, worker_environment

COUNTS = (1_000, 10_000, 100_000)
EVERY = timedelta(hours=4)
AHEAD = 50_000  # events that the publisher may be ahead of the worker
_OPEN = re.compile(r"lane \d+: open with (\d+) patients after ([\d.]+) s")
_WORKER: list[str | Path] = [OURS.parent / "wardstream", "worker", "--log-level", "info"]


def patients(folder: Path, counts: Sequence[int], load_s: float, settle_s: float, save: Path) -> list[dict[str, Any]]:
    """For each number of patients: so long a load at full speed, a pause for the cleaner, kill -9, restore."""
    results: list[dict[str, Any]] = []
    for count in counts:
        place = folder / str(count)
        with pinned_broker(place / "kafka") as cluster:
            client, env = cluster.client_options(), worker_environment(cluster, place / "home", CLOCK="feed")
            create_topics(env)
            # As the worker makes it, but for a ward whose days pass in a minute: segments that close within the run
            # (only closed ones are compacted), and tombstones that are kept for a minute and not for a day.
            changelog = COMPACTED | {"min.cleanable.dirty.ratio": "0.3", "segment.bytes": str(4 << 20)}
            changelog["delete.retention.ms"] = "60000"
            create(client, "test-lanes-4", configs=changelog)
            load, result = os.getloadavg()[0], {"patients": count}
            result |= asyncio.run(_load(client, place, env, count, load_s))
            time.sleep(settle_s)
            result |= asyncio.run(_changelog(client))
            result |= _restore(place, env, count) | {"load_before": load}
        rmtree(place)  # some 15 GB
        results.append(result)
        print(orjson.dumps(result).decode(), flush=True)
        save.write_bytes(orjson.dumps(results, option=orjson.OPT_INDENT_2))
    return results


async def _load(client: dict[str, Any], place: Path, env: dict[str, str], count: int, load_s: float) -> dict[str, Any]:
    """Round after round, a little ahead of the worker, until the time is over; then wait for what is left."""
    log, number, size = place / "load.log", 0, max(count, AHEAD)
    async with Watch(client, "scores.v1", PARTITIONS) as watch:
        with running(_WORKER, log, env) as worker:
            started = time.monotonic()
            while number < count or time.monotonic() - started < load_s:
                await publish(client, "vitals.v1", rounds(size, count, EVERY, number))
                number += size
                while await watch.outputs() < number - AHEAD:
                    if worker.poll() is not None or time.monotonic() - started > load_s + 300:
                        raise JobFailed(tail(log))
                    await asyncio.sleep(0.1)
            await watch.follow([worker], number, 300, log)
            result = {
                "events": number,
                "per_s": number / (time.monotonic() - started),
                "loaded_rss_mb": memory_of(worker.pid) / 1e6,
                "descriptors": descriptors_of(worker.pid),
            }
            worker.kill()
            return result


async def _changelog(client: dict[str, Any]) -> dict[str, Any]:
    """Offsets ever written against records that are left: the difference is what the cleaner has taken."""
    consumer = AIOKafkaConsumer(**client)
    await consumer.start()
    try:
        ends = await consumer.end_offsets([TopicPartition("test-lanes-4", lane) for lane in range(PARTITIONS)])
    finally:
        await consumer.stop()
    left = await read_since(client, "test-lanes-4", dict.fromkeys(range(PARTITIONS), 0))
    megabytes = sum(len(key) + len(value or b"") for key, value in left) / 1e6
    return {
        "changelog_written": sum(ends.values()),
        "changelog_left": len(left),
        "changelog_keys": len({key for key, _ in left}),
        "changelog_left_mb": megabytes,
    }


def _restore(place: Path, env: dict[str, str], count: int) -> dict[str, Any]:
    log, started = place / "restore.log", time.monotonic()
    with running(_WORKER, log, env) as worker:
        while True:
            found = _OPEN.findall(log.read_text()) if log.exists() else []
            if len(found) >= PARTITIONS:
                break
            if worker.poll() is not None or time.monotonic() - started > 180:
                raise JobFailed(tail(log))
            time.sleep(0.05)
        restored = sum(int(patients) for patients, _ in found)
        if restored != count:
            raise JobFailed(f"{restored} patients of {count} were restored")
        return {
            "restore_s": max(float(seconds) for _, seconds in found),
            "start_to_open_s": time.monotonic() - started,
            "restore_cpu_s": cpu_of(worker.pid),
            "restored_rss_mb": memory_of(worker.pid) / 1e6,
        }
