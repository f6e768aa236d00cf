"""What open ward boards cost the stream: how fast a worker catches up, with so many boards open and with none.

The worker has a core to itself; the broker, who publishes, the API and all who look at its boards share the other.
Events of 300 beds are published as fast as they are taken, in turns with and without boards; each board is a stream
of all units, which takes all that it is told.
"""

from __future__ import annotations

import asyncio
import re
import time
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median
from typing import Any
from uuid import UUID

import orjson

from tests.bench.broker import BROKER_CORE, publish
from tests.bench.events import START, events
from tests.bench.latency import await_lanes
from tests.bench.running import OURS, JobFailed, cpu_of, running, tail
from tests.workers import create_topics, worker_environment
from wardstream.infra.gateways.auth import add_token
from wardstream.infra.kafka.broker import Cluster
from wardstream.schemas.admissions import Admission
from wardstream.schemas.decode import encode

BEDS, BOARDS, EVENTS = 300, 50, 60_000
_COMMAND = OURS.parent / "wardstream"
_METRICS = re.compile(r"metrics and health are at (http://127\.0\.0\.1:\d+)")
_BOARD = re.compile(r"the ward board is at http://127\.0\.0\.1:(\d+)/")
_HANDLED = re.compile(rb'^wardstream_events_total\{topic="vitals\.v1"\} ([\d.e+]+)$', re.MULTILINE)
_PATIENCE_S = 120.0
_WARMING = 3  # runs, until the series of all beds are full
_UNITS = 10


def boards(cluster: Cluster, folder: Path, rounds: int, save: Path) -> dict[str, Any]:
    """Rates and CPU time, in turns without boards and with them."""
    folder.mkdir(parents=True, exist_ok=True)
    tokens = folder / "tokens.json"
    token = add_token(tokens, "nurse", ["clinician"])
    env = worker_environment(cluster, folder / "home", CLOCK="feed")
    create_topics(env)
    worker_log, api_log = folder / "worker.log", folder / "api.log"
    served = {"WARDSTREAM_API_LISTEN": "127.0.0.1:0", "WARDSTREAM_TOKENS_FILE": str(tokens)}
    watched = {"WARDSTREAM_METRICS_LISTEN": "127.0.0.1:0"}
    with (
        running([_COMMAND, "worker"], worker_log, env | watched) as worker,
        running([_COMMAND, "serve", "api"], api_log, env | served, BROKER_CORE) as api,
    ):
        await_lanes(worker_log, 4)
        metrics, port = _said(worker_log, _METRICS)[1] + "/metrics", int(_said(api_log, _BOARD)[1])
        found = asyncio.run(_measured(cluster, metrics, token, port, worker.pid, api.pid, rounds))
    save.write_bytes(orjson.dumps(found, option=orjson.OPT_INDENT_2))
    return found


def boards_table(found: dict[str, Any]) -> str:
    """Medians of the rounds, with the lowest and highest."""
    lines = ["| boards | events/s | worker's CPU µs an event | API's share of a core, % | told a board, kB/s |"]
    lines.append("| --- | --- | --- | --- | --- |")
    for name, runs in found.items():
        columns = (("per_s", ",.0f"), ("cpu_us", ".1f"), ("api_share", ".0f"), ("told_kb_s", ".0f"))
        lines.append(f"| {name} | {' | '.join(_spread([run[key] for run in runs], form) for key, form in columns)} |")
    for key, what in (("per_s", "Events/s"), ("cpu_us", "CPU an event")):
        pairs = zip(found[str(BOARDS)], found["0"], strict=True)
        ratios = [some[key] / none[key] for some, none in pairs]
        lines += ["", f"{what} with {BOARDS} boards: {_spread(ratios, '.3f')} times that without."]
    return "\n".join(lines)


def _spread(values: list[float], form: str) -> str:
    return f"{median(values):{form}} ({min(values):{form}}–{max(values):{form}})"


async def _measured(
    cluster: Cluster, metrics: str, token: str, port: int, worker: int, api: int, rounds: int
) -> dict[str, list[dict[str, float]]]:
    client = cluster.client_options()
    await publish(client, "admissions.v1", ((one.patient_id, encode(one)) for one in map(_admitted, range(BEDS))))
    for first in range(0, _WARMING * EVENTS, EVENTS):
        await _run(client, metrics, worker, api, first, [])
    found: dict[str, list[dict[str, float]]] = {"0": [], str(BOARDS): []}
    first = _WARMING * EVENTS
    for turn in range(rounds):
        for number in (0, BOARDS) if turn % 2 == 0 else (BOARDS, 0):
            async with _open(port, token, number) as told:
                found[str(number)].append(await _run(client, metrics, worker, api, first, told))
            first += EVENTS
    return found


async def _run(
    client: dict[str, Any], metrics: str, worker: int, api: int, first: int, told: list[_Board]
) -> dict[str, float]:
    before = sum(board.bytes for board in told)
    cpu, served, begun = cpu_of(worker), cpu_of(api), time.monotonic()
    await publish(client, "vitals.v1", events("vitals", EVENTS, BEDS, first))
    while await asyncio.to_thread(_handled, metrics) < first + EVENTS:
        if time.monotonic() - begun > _PATIENCE_S:
            raise JobFailed("the worker does not keep up")
        await asyncio.sleep(0.05)
    took = time.monotonic() - begun
    return {
        "per_s": EVENTS / took,
        "cpu_us": (cpu_of(worker) - cpu) / EVENTS * 1e6,
        "api_share": (cpu_of(api) - served) / took * 100,
        "told_kb_s": (sum(board.bytes for board in told) - before) / max(1, len(told)) / took / 1000,
    }


def _handled(metrics: str) -> float:
    with urllib.request.urlopen(metrics, timeout=30) as answer:
        found = _HANDLED.search(answer.read())
    return 0.0 if found is None else float(found[1])


class _Board(asyncio.Protocol):
    def __init__(self, head: bytes) -> None:
        self._head, self.bytes, self.lost = head, 0, False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.write(self._head)  # type: ignore[attr-defined]  # of TCP

    def data_received(self, data: bytes) -> None:
        if not self.bytes and not data.startswith(b"HTTP/1.1 200"):
            raise JobFailed(data[:12].decode("latin-1"))
        self.bytes += len(data)

    def connection_lost(self, error: Exception | None) -> None:
        self.lost = True


@asynccontextmanager
async def _open(port: int, token: str, number: int) -> AsyncIterator[list[_Board]]:
    head = f"GET /v1/board/stream HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
    loop = asyncio.get_running_loop()
    opened = [await loop.create_connection(lambda: _Board(head), "127.0.0.1", port) for _ in range(number)]
    await asyncio.sleep(3.0)  # for all tiles to be told
    boards = [board for _, board in opened]
    try:
        yield boards
        if any(board.lost or not board.bytes for board in boards):
            raise JobFailed("a board was not told")
    finally:
        for transport, _ in opened:
            transport.abort()


def _admitted(number: int) -> Admission:
    unit = f"ward-{number % _UNITS}"
    return Admission(
        event_id=UUID(int=1 << 65 | number),
        source="bench",
        patient_id=f"p{number}",
        observed_at=START,
        received_at=START,
        kind="admit",
        unit=unit,
        bed=f"{number:03}",
    )


def _said(log: Path, pattern: re.Pattern[str]) -> re.Match[str]:
    deadline = time.monotonic() + _PATIENCE_S
    while (found := pattern.search(log.read_text() if log.exists() else "")) is None:
        if time.monotonic() > deadline:
            raise JobFailed(tail(log))
        time.sleep(0.1)
    return found
