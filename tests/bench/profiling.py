"""Where the worker's time goes: py-spy's samples of the real job, by function."""

from __future__ import annotations

import asyncio
from asyncio.subprocess import DEVNULL
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from signal import SIGINT

from tests.bench.broker import PARTITIONS, publish
from tests.bench.events import events
from tests.bench.running import BENCH, OURS, Watch, running
from tests.workers import create_topics, worker_environment
from wardstream.infra.kafka.broker import Cluster

PATIENTS = 1_000
_SHOWN = 60
_FRAME_OF_ALL = ("typer/", "asyncio/", "threading.py", "mode/", "/cli.py", "bin/wardstream", "commands/worker.py")


def profile(cluster: Cluster, folder: Path, number: int, save: Path) -> str:
    """Sample the worker while it works through the events; the folded stacks are kept in `save`."""
    env = worker_environment(cluster, folder / "home", CLOCK="feed")
    create_topics(env)
    client = cluster.client_options()
    asyncio.run(publish(client, "vitals.v1", events("vitals", number, PATIENTS)))
    asyncio.run(_sample(client, folder, env, number, save))
    return shares(save.read_text().splitlines())


async def _sample(client: dict[str, str], folder: Path, env: dict[str, str], number: int, save: Path) -> None:
    log = folder / "worker.log"
    async with Watch(client, "scores.v1", PARTITIONS) as watch:
        with running([OURS.parent / "wardstream", "worker"], log, env) as worker:
            await watch.follow([worker], 1, 60, log, still_s=0.0)
            # --gil: only what holds the interpreter; the rest waits, or is starved when others use the machine
            arguments = ["record", "--gil", "--rate", "200", "--duration", "600", "--format", "raw", "--full-filenames"]
            spying = await asyncio.create_subprocess_exec(
                BENCH.parent / "py-spy", *arguments, "--output", save, "--pid", str(worker.pid), stdout=DEVNULL
            )
            try:
                await watch.follow([worker], number, 300, log)
            finally:
                spying.send_signal(SIGINT)  # it writes what it has sampled
                await asyncio.wait_for(spying.wait(), 30)


def shares(stacks: Iterable[str]) -> str:
    """The functions by the share of samples in which they were on the stack, and at its top."""
    inclusive, own, total = Counter[str](), Counter[str](), 0
    for line in stacks:
        stack, _, count = line.rpartition(" ")
        names = [_function(frame) for frame in stack.split(";")]
        total += int(count)
        own[names[-1]] += int(count)
        for name in set(names):
            inclusive[name] += int(count)
    lines = [f"{total} samples", "| function | with what it calls | itself |", "| --- | --- | --- |"]
    lines += [
        f"| `{name}` | {number / total:.1%} | {own[name] / total:.1%} |"
        for name, number in inclusive.most_common(_SHOWN + 40)
        if not any(frame in name for frame in _FRAME_OF_ALL)
    ][:_SHOWN]
    return "\n".join(lines)


def _function(frame: str) -> str:
    """`name (path/file.py:12)` without the line."""
    name, _, place = frame.partition(" (")
    return f"{name} ({'/'.join(Path(place.partition(':')[0]).parts[-2:])})" if place else name
