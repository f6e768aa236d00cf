"""How soon: from publishing an event to its scores at a `read_committed` consumer, at fixed rates up to saturation."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from tests.bench.broker import BROKER_CORE
from tests.bench.running import BENCH, OURS, JobFailed, cpu_of, environment, running, tail
from tests.bench.timeline import quantile
from tests.workers import create_topics, worker_environment
from wardstream.infra.kafka.broker import Cluster

RATES = (20, 100, 1_000, 3_000, 5_000, 7_000, 9_000, 12_000, 16_000, 20_000)
PATIENTS = 1_000
EVERY_S = 60  # of the stream's time, between two sets of a patient
WARM_UP = (200, 5.0)
KEPT_UP = 0.95  # of the rate asked for; less has come out: the worker is saturated
_LATE_S = 20.0


def latency(cluster: Cluster, folder: Path, seconds: float, save: Path, rates: Sequence[int] = RATES) -> Any:
    """One worker on its core; rate after rate until it no longer keeps up."""
    env = worker_environment(cluster, folder / "home", CLOCK="feed")
    create_topics(env)
    results: list[dict[str, Any]] = []
    log = folder / "worker.log"
    broker, first = cluster.bootstrap_servers[0], 0
    with running([OURS.parent / "wardstream", "worker", "--log-level", "info"], log, env) as worker:
        await_lanes(log, 4)
        _one(broker, *WARM_UP, 0, worker.pid)
        first = int(WARM_UP[0] * WARM_UP[1])

        def measure(rate: float) -> bool:
            nonlocal first
            results.append(_one(broker, rate, seconds, first, worker.pid))
            first += int(rate * seconds)
            print(orjson.dumps(results[-1]).decode(), flush=True)
            save.write_bytes(orjson.dumps(results, option=orjson.OPT_INDENT_2))
            return bool(results[-1]["out_per_s"] >= KEPT_UP * rate)

        for rate in rates:
            if not measure(rate):
                break
        time.sleep(_LATE_S)  # until what is left has been worked through
        measure(saturation(results) / 2)
    return results


def saturation(results: Sequence[dict[str, Any]]) -> float:
    """The most that came out a second."""
    return float(max(one["out_per_s"] for one in results))


def open_loop(mode: str, *arguments: object) -> list[str]:
    """The command of a publisher or an observer, on the broker's core."""
    module = ["taskset", "-c", str(BROKER_CORE), str(BENCH), "-m", "tests.bench.jobs.open_loop"]
    return [*module, mode, *map(str, arguments)]


def _one(broker: str, rate: float, seconds: float, first: int, pid: int) -> dict[str, Any]:
    number, load = int(rate * seconds), os.getloadavg()[0]
    observe = open_loop("observe", broker, number, seconds + _LATE_S)
    publish = open_loop("publish", broker, rate, seconds, PATIENTS, first, EVERY_S)
    with subprocess.Popen(observe, stdout=subprocess.PIPE, env=environment()) as observer:
        try:
            assert observer.stdout is not None
            observer.stdout.readline()
            published, share = _published(publish, pid, seconds)
            observed = orjson.loads(observer.communicate(timeout=seconds + _LATE_S + 10)[0])
        finally:
            observer.kill()
    found = sorted(observed["latencies_ms"])
    return {
        "rate": rate,
        "seconds": seconds,
        "sent": number,
        "seen": len(found),
        "published_per_s": published["rate"],
        "publisher_latest_ms": published["latest_ms"],
        "out_per_s": observed["per_s"],
        "p50_ms": quantile(found, 0.5) if found else None,
        "p95_ms": quantile(found, 0.95) if found else None,
        "p99_ms": quantile(found, 0.99) if found else None,
        "max_ms": found[-1] if found else None,
        "worker_cpu_share": share,
        "load_before": load,
    }


def _published(publish: list[str], pid: int, seconds: float) -> tuple[dict[str, float], float]:
    """What the publisher says, and the worker's share of its core from the first event on."""
    with subprocess.Popen(publish, stdout=subprocess.PIPE, env=environment()) as publisher:
        try:
            assert publisher.stdout is not None
            publisher.stdout.readline()
            cpu, started = cpu_of(pid), time.monotonic()
            told = publisher.communicate(timeout=seconds * 3 + 30)[0]
            return orjson.loads(told), (cpu_of(pid) - cpu) / (time.monotonic() - started)
        finally:
            publisher.kill()


def await_lanes(log: Path, lanes: int) -> None:
    deadline = time.monotonic() + 60
    while log.read_text().count(": open with") < lanes if log.exists() else True:
        if time.monotonic() > deadline:
            raise JobFailed(tail(log))
        time.sleep(0.1)
