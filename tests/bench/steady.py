"""A quarter of an hour at half of saturation: memory, descriptors and latency, minute by minute.

Patients are measured every ten minutes of the stream's time, so their state, which holds 72 hours, has its full size
after the first minutes: whatever grows after that is a leak.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson

from tests.bench.latency import await_lanes, open_loop
from tests.bench.running import OURS, JobFailed, cpu_of, descriptors_of, environment, memory_of, running
from tests.bench.timeline import quantile
from tests.workers import create_topics, worker_environment
from wardstream.infra.kafka.broker import Cluster

MINUTES = 15
PATIENTS = 1_000
EVERY_S = 600  # of the stream's time, between two sets of a patient
LOOK_S = 5.0
_LATE_S = 20.0


def steady(cluster: Cluster, folder: Path, rate: float, minutes: float, save: Path) -> dict[str, Any]:
    """One worker, one rate; what it holds every five seconds, and the latencies of the whole time."""
    env = worker_environment(cluster, folder / "home", CLOCK="feed")
    create_topics(env)
    log, broker, seconds = folder / "worker.log", cluster.bootstrap_servers[0], minutes * 60
    number = int(rate * seconds)
    with running([OURS.parent / "wardstream", "worker", "--log-level", "info"], log, env) as worker:
        await_lanes(log, 4)
        observe = open_loop("observe", broker, number, seconds + _LATE_S)
        publish = open_loop("publish", broker, rate, seconds, PATIENTS, 0, EVERY_S)
        looks: list[dict[str, float]] = []
        with _started(observe) as observer:
            assert observer.stdout is not None
            observer.stdout.readline()  # "ready"
            with _started(publish) as publisher:
                started, cpu = time.monotonic(), cpu_of(worker.pid)
                while publisher.poll() is None:
                    if worker.poll() is not None or time.monotonic() - started > seconds * 2:
                        raise JobFailed("the worker ended, or the publisher did not")
                    at = time.monotonic() - started
                    looks.append(
                        {"at_s": at, "rss_mb": memory_of(worker.pid) / 1e6, "descriptors": descriptors_of(worker.pid)}
                    )
                    time.sleep(LOOK_S)
                share = (cpu_of(worker.pid) - cpu) / (time.monotonic() - started)
            found = sorted(orjson.loads(observer.communicate(timeout=_LATE_S + 60)[0])["latencies_ms"])
    result = {"rate": rate, "minutes": minutes, "sent": number, "seen": len(found), "worker_cpu_share": share}
    result |= {f"p{q}_ms": quantile(found, q / 100) for q in (50, 95, 99)} | {"max_ms": found[-1], "looks": looks}
    save.write_bytes(orjson.dumps(result, option=orjson.OPT_INDENT_2))
    return result


@contextmanager
def _started(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment()) as process:
        try:
            yield process
        finally:
            process.kill()


def settled(looks: list[dict[str, float]], name: str) -> dict[str, tuple[float, float]]:
    """Lowest and highest of each third of the time."""
    third = max(1, len(looks) // 3)
    parts = {"first": looks[:third], "second": looks[third : 2 * third], "last": looks[2 * third :]}
    return {part: (min(one[name] for one in some), max(one[name] for one in some)) for part, some in parts.items()}
