"""One job, run once: started on its core, watched from outside, stopped by its id, and its outputs counted."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from shutil import which
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

import wardstream.models
from tests.bench.broker import JOB_CORE
from tests.bench.timeline import Seen, cpu_seconds
from wardstream.infra.kafka.process import end, spawn

ROOT = Path(__file__).resolve().parents[2]
OURS = Path(sys.executable)
BENCH = ROOT / ".venv-bench" / "bin" / "python"
_TICKS = os.sysconf("SC_CLK_TCK")
_LOOK_S = 0.02
STILL_S = 1.0  # without one more output: it is done
_GRACE_S = 8.0


class JobFailed(Exception):
    """A job ended by itself, or was not done in time; the text is the end of its log."""


def environment(**values: str) -> dict[str, str]:
    """What a job gets: paths, and nothing of ours that could change it."""
    packages = Path(next(iter(wardstream.models.__path__))).parents[1]
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return kept | {"PYTHONPATH": f"{ROOT}:{packages}", "PYTHONUNBUFFERED": "1"} | values


@contextmanager
def running(
    command: Sequence[str | Path], log: Path, env: Mapping[str, str], core: int = JOB_CORE
) -> Iterator[subprocess.Popen[bytes]]:
    """A process on a core; ended by its id when the block is left, and killed if this process dies."""
    taskset = which("taskset")
    if taskset is None:
        raise JobFailed("taskset is not there (package util-linux)")
    process = spawn([taskset, "-c", str(core), *map(str, command)], log, env)
    try:
        yield process
    finally:
        end([process], grace_s=_GRACE_S)


def cpu_of(pid: int) -> float:
    """CPU time of a process and its threads so far, in s."""
    return cpu_seconds(Path(f"/proc/{pid}/stat").read_text(), _TICKS)


def memory_of(pid: int) -> int:
    """Resident memory of a process, in bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def descriptors_of(pid: int) -> int:
    """Open files and sockets of a process."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


class Watch:
    """Follows the end of a topic as a `read_committed` consumer would see it."""

    def __init__(self, client: Mapping[str, Any], topic: str, partitions: int) -> None:
        self._consumer = AIOKafkaConsumer(**client, isolation_level="read_committed")
        self._tps = [TopicPartition(topic, number) for number in range(partitions)]
        self.begins: dict[int, int] = {}

    async def __aenter__(self) -> Watch:
        await self._consumer.start()
        self._consumer.assign(self._tps)
        self.begins = {tp.partition: at for tp, at in (await self._consumer.end_offsets(self._tps)).items()}
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._consumer.stop()

    async def outputs(self) -> int:
        """Offsets since the start: records, and the few markers of transactions."""
        ends = await self._consumer.end_offsets(self._tps)
        return sum(at - self.begins[tp.partition] for tp, at in ends.items())

    async def follow(
        self,
        processes: Sequence[subprocess.Popen[bytes]],
        expected: int,
        deadline_s: float,
        log: Path,
        still_s: float = STILL_S,
    ) -> list[Seen]:
        """Look until the expected outputs are there and nothing more has come for `still_s`.

        Raises
        ------
        JobFailed : a process ended, or the deadline has passed.
        """
        started, seen = time.monotonic(), list[Seen]()
        moved = started
        while True:
            now = time.monotonic()
            if any(process.poll() is not None for process in processes) or now - started > deadline_s:
                done = seen[-1].outputs if seen else 0
                raise JobFailed(f"{done} of {expected} outputs after {now - started:.0f} s\n{tail(log)}")
            cpu = sum(cpu_of(process.pid) for process in processes)
            outputs = await self.outputs()
            if not seen or outputs != seen[-1].outputs:
                moved = now
                seen.append(Seen(now - started, outputs, cpu))
            if outputs >= expected and now - moved > still_s:
                return seen
            await asyncio.sleep(_LOOK_S)


def tail(log: Path) -> str:
    """The end of a log."""
    return log.read_text(errors="replace")[-1500:] if log.exists() else ""
