"""What traces cost a worker: the real job's handlers on a lane in memory, in one process, spans sent to a collector.

Processor time is counted, that of the thread which sends spans included, so that what else runs matters less. In
turns: nothing is traced; one input in a hundred is; each one is. Apart from that, what it takes to look at headers
that are empty, which is what all events cost where nothing is traced.
"""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from time import process_time
from typing import Any

import orjson

from tests.bench.events import vitals_event
from tests.bench.running import ROOT
from tests.tracing import CALLER
from wardstream.agents import tracing
from wardstream.agents.patients import Rules
from wardstream.agents.streams.batch import Received
from wardstream.agents.tracing import TRACEPARENT
from wardstream.infra.memory_lane import Line, MemoryLane
from wardstream.infra.observability.spans import OpenTelemetry

EVENTS, PATIENTS = 20_000, 1_000
_COLLECTS = "from tests.tracing import Collector; import sys; print(Collector().url, flush=True); sys.stdin.read()"
_TRACED = ((TRACEPARENT, CALLER.encode()),)
_EVERY = {"nothing": 0, "1 %": 100, "all": 1}


def tracing_cost(repeats: int, save: Path) -> dict[str, Any]:
    """All, in turns."""
    found: dict[str, Any] = {name: [] for name in _EVERY} | {"look_ns": []}
    with _collector() as url:
        _once(url, 0)
        for _ in range(repeats):
            for name, every in _EVERY.items():
                found[name].append(_once(url, every))
            found["look_ns"].append(_look())
    save.write_bytes(orjson.dumps(found, option=orjson.OPT_INDENT_2))
    return found


def tracing_table(found: dict[str, Any]) -> str:
    """The figures: medians, with the lowest and highest."""
    lines = ["| traced | CPU µs an event | times that of nothing |", "| --- | --- | --- |"]
    for name in _EVERY:
        ratios = [one / nothing for one, nothing in zip(found[name], found["nothing"], strict=True)]
        lines.append(f"| {name} | {_spread(found[name], '.1f')} | {_spread(ratios, '.3f')} |")
    return "\n".join([*lines, "", f"To look at empty headers: {_spread(found['look_ns'], '.0f')} ns an event."])


def _spread(values: list[float], form: str) -> str:
    return f"{median(values):{form}} ({min(values):{form}}–{max(values):{form}})"


@contextmanager
def _collector() -> Iterator[str]:
    """In a process of its own: what it takes is not the worker's."""
    process = subprocess.Popen(
        [sys.executable, "-c", _COLLECTS], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.stdin.close()
        process.wait(30)


def _lines(every: int) -> list[Line]:
    found = []
    for number in range(EVENTS):
        key, value = vitals_event(number, PATIENTS)
        headers = _TRACED if every and number % every == 0 else ()
        found.append(Line("vitals.v1", number, value, key.encode(), headers))
    return found


def _once(url: str, every: int) -> float:
    """µs of processor time an event."""
    lines, written = _lines(every), 0

    def count(topic: str, row: Any) -> None:
        nonlocal written
        written += 1

    tracer = OpenTelemetry(url, 0.0, "worker") if every else None
    tracing.use(tracer)
    gc.collect()
    begun = process_time()
    try:
        asyncio.run(MemoryLane(Rules(), count).take(lines))
    finally:
        tracing.use(None)
        if tracer is not None:
            tracer.close(30)
    assert written >= EVENTS
    return (process_time() - begun) / EVENTS * 1e6


def _look() -> float:
    """ns an event: at its commit, and at its output."""
    items = [Received(None, line.offset, 0, record=line) for line in _lines(0)]
    begun = process_time()
    for item in items:
        if item.record is not None and item.record.headers:
            raise AssertionError
    for item in items:
        traced = item.record is not None and item.record.headers
        _ = traced if traced else ()
    return (process_time() - begun) / EVENTS * 1e9
