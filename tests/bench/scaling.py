"""1, 2, 4 lanes in one worker, and 1, 2, 4 workers on four lanes; all on one core, so a CPU second is what counts."""

from __future__ import annotations

import asyncio
import os
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import orjson

from tests.bench.broker import pinned_broker, publish
from tests.bench.events import events
from tests.bench.running import OURS, Watch, running
from tests.bench.timeline import full_swing
from tests.workers import create_topics, worker_environment

SHAPES = ((1, 1), (2, 1), (4, 1), (4, 2), (4, 4))
PATIENTS = 1_000
_JOIN_S = 12.0  # for a whole group to form before the events come


def scaling(folder: Path, number: int, repeats: int, save: Path) -> list[dict[str, Any]]:
    """Throughput and CPU time of all workers together, shapes interleaved."""
    results: list[dict[str, Any]] = []
    for repeat in range(repeats):
        for lanes, workers in SHAPES:
            result = _one(folder / f"{repeat}-{lanes}-{workers}", lanes, workers, number) | {"repeat": repeat}
            results.append(result)
            print(orjson.dumps(result).decode(), flush=True)
            save.write_bytes(orjson.dumps(results, option=orjson.OPT_INDENT_2))
    return results


def _one(folder: Path, lanes: int, workers: int, number: int) -> dict[str, Any]:
    with pinned_broker(folder / "kafka") as cluster:
        env = worker_environment(cluster, folder / "home", CLOCK="feed", LANES=str(lanes))
        create_topics(env)
        load = os.getloadavg()[0]
        found = asyncio.run(_run(cluster.client_options(), folder, env, (lanes, workers), number))
        return {"lanes": lanes, "workers": workers, "events": number, "load_before": load} | found


async def _run(
    client: dict[str, Any], folder: Path, env: dict[str, str], shape: tuple[int, int], number: int
) -> dict[str, Any]:
    lanes, workers = shape
    logs = [folder / f"worker{index}.log" for index in range(workers)]
    async with Watch(client, "scores.v1", lanes) as watch:
        with ExitStack() as stack:
            command: list[str | Path] = [OURS.parent / "wardstream", "worker", "--log-level", "warning"]
            processes = [stack.enter_context(running(command, log, env)) for log in logs]
            await asyncio.sleep(_JOIN_S)
            filling = asyncio.create_task(publish(client, "vitals.v1", events("vitals", number, PATIENTS), lanes))
            seen = await watch.follow(processes, number, 300, logs[0])
            await filling
    found = full_swing(seen, number)
    return {"per_s": found.per_s, "cpu_us": found.cpu_us, "per_cpu_s": 1e6 / found.cpu_us, "seconds": found.seconds}
