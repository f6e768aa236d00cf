"""Streams of the API: how soon a transition that is put on alerts.v1 is at each of many subscribers.

The API has a core to itself; the broker, who publishes and all subscribers share the other. Each token sees one unit,
and several connections share a token. Latency is from before a transition is handed to the producer to when a
subscriber's socket has it, on one clock. Each subscriber must get each transition of its unit, once, in the order of
each alert. Each round is then run again with one subscriber more, of all units, that takes nothing.
"""

from __future__ import annotations

import asyncio
import re
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

import msgspec
import orjson
from aiokafka import AIOKafkaProducer

from tests.alerts import alert
from tests.bench.running import OURS, JobFailed, cpu_of, descriptors_of, memory_of, running, tail
from tests.bench.timeline import quantile
from tests.workers import LANES, create_topics, worker_environment
from wardstream.infra.gateways.auth import add_token
from wardstream.infra.kafka.broker import Cluster
from wardstream.schemas.alerts import Alert
from wardstream.schemas.decode import decoder_of, encode
from wardstream.schemas.partition import partition_of

SUBSCRIBERS, UNITS, RATE = 1000, 50, 200
STEPS = 4  # transitions of each alert
_WELL, _STALLED = "all take what they are told", "one takes nothing"
_COLUMNS = [
    ("per_s", 1, ",.0f"),
    ("deliveries_per_s", 1, ",.0f"),
    ("p50_ms", 1, ".1f"),
    ("p99_ms", 1, ".0f"),
    ("longest_ms", 1, ".0f"),
    ("share", 100, ".0f"),
]
_STALLED_S = 45.0  # longer than the API waits for a client that takes nothing
_SERVED = re.compile(r"127\.0\.0\.1:(\d+)/v1")
_TOLD = re.compile(rb'"reason":"sent (\d+) ([\d.]+)"')
_EXAMPLE = Path(__file__).resolve().parents[2] / "schemas" / "examples" / "alerts.v1.json"
_PATIENCE_S = 60.0
_AT_ONCE = 50  # connections that are opened at a time


def alerts(cluster: Cluster, folder: Path, seconds: float, rounds: int, save: Path) -> dict[str, Any]:
    """All that is measured, one after the other: `rounds` without and with who takes nothing, in turns."""
    folder.mkdir(parents=True, exist_ok=True)
    tokens = folder / "tokens.json"
    shown = [add_token(tokens, f"unit {unit}", ["viewer"], [f"u{unit}"]) for unit in range(UNITS)]
    everything = add_token(tokens, "everything", ["operator"])
    env = worker_environment(cluster, folder / "home", TOKENS_FILE=str(tokens), API_LISTEN="127.0.0.1:0")
    create_topics(env)
    log = folder / "api.log"
    with running([OURS.parent / "wardstream", "serve", "api"], log, env) as process:
        found = asyncio.run(_measured(cluster, log, _port(log), process.pid, shown, everything, seconds, rounds))
    save.write_bytes(orjson.dumps(found, option=orjson.OPT_INDENT_2))
    return found


def alerts_table(found: dict[str, Any]) -> str:
    """The figures, line by line: medians of the rounds, with the lowest and highest."""
    lines = [
        f"{SUBSCRIBERS} subscribers of {UNITS} units, {RATE} transitions/s asked for, {len(found['rounds'])} rounds",
        "",
        "| | transitions/s | deliveries/s | p50 ms | p99 ms | longest ms | API's share of its core, % |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name in (_WELL, _STALLED):
        runs = [one[name] for one in found["rounds"]]
        cells = [_spread([one[measure] * times for one in runs], form) for measure, times, form in _COLUMNS]
        lines.append(f"| {name} | {' | '.join(cells)} |")
        for one in runs:
            if one["came"] != one["expected"] or one["disorder"]:
                lines.append(
                    f"\n**{name}: {one['came']:,} of {one['expected']:,} came, {one['disorder']} out of order**\n"
                )
    for measure in ("p50_ms", "p99_ms"):
        ratios = [one[_STALLED][measure] / one[_WELL][measure] for one in found["rounds"]]
        lines += [
            "",
            f"{measure[:3]} with who takes nothing: {_spread(ratios, '.2f')} times that without, round by round.",
        ]
    lines += ["", f"The API had {found['memory_mib']:,.0f} MiB and {found['descriptors']:,} descriptors at the end."]
    if not found["cut"]:
        lines.append("\n**a subscriber that took nothing was not cut off**")
    return "\n".join(lines)


def _spread(values: list[float], form: str) -> str:
    return f"{median(values):{form}} ({min(values):{form}}–{max(values):{form}})"


class _Subscriber(asyncio.Protocol):
    """Notes when what came, and nothing else: a thousand of them share a core with the broker."""

    def __init__(self, head: bytes) -> None:
        self._head, self._left = head, b""
        self.came: list[tuple[int, float]] = []  # number of the transition, ms under way
        self.lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.write(self._head)  # type: ignore[attr-defined]  # of TCP

    def data_received(self, data: bytes) -> None:
        now = time.time()
        data, end = self._left + data, 0
        for told in _TOLD.finditer(data):
            self.came.append((int(told[1]), (now - float(told[2])) * 1000))
            end = told.end()
        self._left = data[max(end, len(data) - 64) :]

    def connection_lost(self, error: Exception | None) -> None:
        self.lost = True


async def _measured(
    cluster: Cluster, log: Path, port: int, pid: int, tokens: list[str], everything: str, seconds: float, rounds: int
) -> dict[str, Any]:
    found, cut = [], True
    async with _subscribers(port, tokens) as subscribers:
        await _run(cluster, subscribers, pid, 3.0, "warm")
        for number in range(rounds):
            well = await _run(cluster, subscribers, pid, seconds, f"well{number}")
            with socket.socket() as stalled:
                stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                stalled.connect(("127.0.0.1", port))
                stalled.sendall(_head(everything))
                held = await _run(cluster, subscribers, pid, max(seconds, _STALLED_S), f"stalled{number}")
                stalled.settimeout(_PATIENCE_S)
                cut &= await asyncio.to_thread(_ends, stalled)
            found.append({_WELL: well, _STALLED: held})
            if any(subscriber.lost for subscriber in subscribers):
                raise JobFailed(tail(log))
        memory, descriptors = memory_of(pid) / 2**20, descriptors_of(pid)
    return {"rounds": found, "memory_mib": memory, "descriptors": descriptors, "cut": cut}


def _ends(stalled: socket.socket) -> bool:
    """Whether a connection has been ended, after what was on its way."""
    try:
        while stalled.recv(1 << 16):
            pass
    except TimeoutError:
        return False
    except OSError:
        pass
    return True


async def _run(
    cluster: Cluster, subscribers: list[_Subscriber], pid: int, seconds: float, name: str
) -> dict[str, float]:
    """So many a second, whatever the API does."""
    for subscriber in subscribers:
        subscriber.came.clear()
    count = int(RATE * seconds)
    rows = [_transition(name, number) for number in range(count)]
    expected = count * len(subscribers) // UNITS
    async with _producer(cluster) as producer:
        cpu, started = cpu_of(pid), time.monotonic()
        sent = []
        for number, row in enumerate(rows):
            await asyncio.sleep(max(0.0, started + number / RATE - time.monotonic()))
            told = msgspec.structs.replace(row, reason=f"sent {number} {time.time():.6f}")
            partition = partition_of(f"{row.alert_id}", LANES)
            sent.append(await producer.send("alerts.v1", encode(told), f"{row.alert_id}".encode(), partition))
        took = time.monotonic() - started
        share = (cpu_of(pid) - cpu) / took
        await asyncio.gather(*sent)
        for _ in range(int(_PATIENCE_S * 10)):
            if sum(len(one.came) for one in subscribers) >= expected:
                break
            await asyncio.sleep(0.1)
    latencies = sorted(ms for one in subscribers for _, ms in one.came)
    return {
        "per_s": count / took,
        "deliveries_per_s": len(latencies) / took,
        "p50_ms": quantile(latencies, 0.5),
        "p99_ms": quantile(latencies, 0.99),
        "longest_ms": latencies[-1],
        "share": share,
        "came": sum(len({number for number, _ in one.came}) for one in subscribers),
        "expected": expected,
        "disorder": sum(_disorder([number for number, _ in one.came]) for one in subscribers),
    }


def _disorder(numbers: list[int]) -> int:
    """How often a transition of an alert came after a later one of the same."""
    last: dict[tuple[int, int], int] = {}
    found = 0
    for number in numbers:
        turn, lane = divmod(number, UNITS * 8)
        found += number < last.get((lane, turn // STEPS), -1)
        last[lane, turn // STEPS] = number
    return found


def _transition(run: str, number: int) -> Alert:
    """Each unit has eight alerts at a time, whose transitions take turns."""
    turn, lane = divmod(number, UNITS * 8)
    like = _example()
    fields = {"evidence": like.evidence, "suggestion": like.suggestion, "to": like.to}
    return alert(f"{run}-{lane}-{turn // STEPS}", turn % STEPS + 1, unit=f"u{lane % UNITS}", **fields)


@cache
def _example() -> Alert:
    """With evidence of a usual size."""
    return decoder_of(Alert)(_EXAMPLE.read_bytes())


def _head(token: str) -> bytes:
    return f"GET /v1/alerts/stream HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n\r\n".encode()


@asynccontextmanager
async def _subscribers(port: int, tokens: list[str]) -> AsyncIterator[list[_Subscriber]]:
    loop, open_ones = asyncio.get_running_loop(), []
    heads = [_head(tokens[number % UNITS]) for number in range(SUBSCRIBERS)]
    try:
        for first in range(0, SUBSCRIBERS, _AT_ONCE):
            opening = [
                loop.create_connection(lambda head=head: _Subscriber(head), "127.0.0.1", port)  # type: ignore[misc]
                for head in heads[first : first + _AT_ONCE]
            ]
            open_ones += await asyncio.gather(*opening)
            await asyncio.sleep(0.1)
        await asyncio.sleep(2.0)
        yield [subscriber for _, subscriber in open_ones]
    finally:
        for transport, _ in open_ones:
            transport.abort()


@asynccontextmanager
async def _producer(cluster: Cluster) -> AsyncIterator[AIOKafkaProducer]:
    producer = AIOKafkaProducer(**cluster.client_options(), linger_ms=0)
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


def _port(log: Path) -> int:
    deadline = time.monotonic() + _PATIENCE_S
    while (found := _SERVED.search(said := log.read_text() if log.exists() else "")) is None or "are read" not in said:
        if time.monotonic() > deadline:
            raise JobFailed(tail(log))
        time.sleep(0.1)
    return int(found[1])
