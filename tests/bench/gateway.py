"""HL7 v2 through the MLLP gateway: how many messages a second, how soon they are answered, and from MLLP to an alert.

The gateway has a core to itself; broker and senders share the other. A worker, where there is one, shares the
gateway's. All answers are counted, and what is on the topic: nothing may be missing, or there under two ids.
"""

from __future__ import annotations

import asyncio
import re
import time
from base64 import b64decode
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
from aiokafka import AIOKafkaConsumer, TopicPartition

from tests.bench.broker import PARTITIONS, read_since
from tests.bench.latency import await_lanes
from tests.bench.running import OURS, JobFailed, cpu_of, running, tail
from tests.bench.timeline import quantile
from tests.gateways import KEYS, PLAIN, result, segment
from tests.workers import create_topics, worker_environment
from wardstream.infra.kafka.broker import Cluster
from wardstream.schemas.pseudonym import Pseudonyms

CONNECTIONS = 8
UNDER_WAY = 16  # messages that a connection has not been answered yet, where as much as possible is sent
RATE = 400
ALERTS_RATE = 50
BACKLOG = 10_000
WARM_UP_S = 2.0
ENHANCED = "||AL|NE"
_LISTENS = re.compile(r"listens on 127\.0\.0\.1:(\d+)")
_PATIENCE_S = 120.0
_PSEUDONYMS = Pseudonyms(b64decode(KEYS["PSEUDONYM_KEY"]))


def gateway(cluster: Cluster, folder: Path, messages: int, seconds: float, backlog: int, save: Path) -> dict[str, Any]:
    """All that is measured, one after the other."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "feeds.toml").write_text(PLAIN)
    env = worker_environment(cluster, folder / "home", FEEDS_FILE=str(folder / "feeds.toml"), **KEYS)
    create_topics(env)
    found: dict[str, Any] = {}
    log = folder / "gateway.log"
    with running([OURS.parent / "wardstream", "serve", "mllp"], log, env) as process:
        port = _port(log)
        for mode, ending in (("original", ""), ("enhanced", ENHANCED)):
            found[mode] = asyncio.run(_most(port, messages, mode, ending, process.pid))
        found["paced"] = asyncio.run(_paced(port, seconds, process.pid))
        found["backlog"] = _backlog(cluster, port, backlog, process.pid)
        expected = 2 * messages + int(RATE * seconds) + backlog
        found["on_topic"] = len(_ids(cluster)), expected
        worker_log = folder / "worker.log"
        with running([OURS.parent / "wardstream", "worker", "--log-level", "info"], worker_log, env):
            await_lanes(worker_log, PARTITIONS)
            asyncio.run(_alerts(cluster, port, WARM_UP_S, "warm"))  # until the worker has read what came before
            found["alerts"] = asyncio.run(_alerts(cluster, port, seconds, "ill"))
    save.write_bytes(orjson.dumps(found, option=orjson.OPT_INDENT_2))
    return found


def gateway_table(found: dict[str, Any]) -> str:
    """The figures, line by line."""
    lines = ["| | messages/s | p50 ms | p99 ms | gateway's share of its core |", "| --- | --- | --- | --- | --- |"]
    for mode in ("original", "enhanced"):
        one = found[mode]
        lines.append(f"| the most, {mode} mode | {one['per_s']:,.0f} | | | {one['share']:.0%} |")
    paced, alerts, backlog = found["paced"], found["alerts"], found["backlog"]
    lines.append(
        f"| asked for {RATE}/s: to AA | {paced['per_s']:,.0f} | {paced['p50_ms']:.1f} | {paced['p99_ms']:.1f} "
        f"| {paced['share']:.0%} |"
    )
    lines.append(f"| {ALERTS_RATE}/s: to the alert | | {alerts['p50_ms']:.0f} | {alerts['p99_ms']:.0f} | |")
    lines += ["", f"A backlog of {backlog['messages']:,} was on the topic {backlog['drained_s']:.1f} s after Kafka."]
    kept, expected = found["on_topic"]
    if kept != expected:
        lines.append(f"\n**{kept:,} ids on the topic, not {expected:,}**")
    if alerts["seen"] != alerts["sent"]:
        lines.append(f"\n**{alerts['seen']} alerts, not {alerts['sent']}**")
    return "\n".join(lines)


class Sender:
    """One connection; every message is acknowledged, or it fails."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    def send(self, raw: bytes) -> None:
        self._writer.write(b"\x0b" + raw + b"\x1c\r")

    async def answered(self) -> None:
        async with asyncio.timeout(_PATIENCE_S):
            block = await self._reader.readuntil(b"\x1c\r")
        if b"MSA|AA" not in block and b"MSA|CA" not in block:
            raise JobFailed(block.decode(errors="replace"))


@asynccontextmanager
async def _senders(port: int) -> AsyncIterator[list[Sender]]:
    open_ones = [await asyncio.open_connection("127.0.0.1", port) for _ in range(CONNECTIONS)]
    try:
        yield [Sender(*streams) for streams in open_ones]
    finally:
        for _, writer in open_ones:
            writer.close()


async def _shared(senders: Iterable[Sender], one: Callable[[Sender, int], Coroutine[Any, Any, None]]) -> None:
    async with asyncio.TaskGroup() as group:
        for number, sender in enumerate(senders):
            group.create_task(one(sender, number))


async def _most(port: int, messages: int, name: str, ending: str, pid: int) -> dict[str, float]:
    """Every connection has `UNDER_WAY` messages on their way at all times."""

    async def send(sender: Sender, connection: int) -> None:
        room = asyncio.Semaphore(UNDER_WAY)

        async def hear() -> None:
            for _ in own:
                await sender.answered()
                room.release()

        own = range(connection, messages, CONNECTIONS)
        hearing = asyncio.create_task(hear())
        for number in own:
            await room.acquire()
            sender.send(result(f"{name}{number}", number=f"{number % 1000}", minute=number, tail=ending))
        await hearing

    cpu, started = cpu_of(pid), time.monotonic()
    async with _senders(port) as senders:
        await _shared(senders, send)
    took = time.monotonic() - started
    return {"per_s": messages / took, "share": (cpu_of(pid) - cpu) / took}


async def _paced(port: int, seconds: float, pid: int) -> dict[str, float]:
    """So many a second, whatever the gateway does; from when each was due to its AA."""
    number, latencies = int(RATE * seconds), list[float]()

    async def send(sender: Sender, connection: int) -> None:
        own = range(connection, number, CONNECTIONS)

        async def hear() -> None:
            for index in own:
                await sender.answered()
                latencies.append((time.monotonic() - started - index / RATE) * 1000)

        hearing = asyncio.create_task(hear())
        for index in own:
            await asyncio.sleep(max(0.0, started + index / RATE - time.monotonic()))
            sender.send(result(f"paced{index}", number=f"{index % 1000}", minute=index))
        await hearing

    async with _senders(port) as senders:
        cpu, started = cpu_of(pid), time.monotonic()
        await _shared(senders, send)
        took = time.monotonic() - started
    latencies.sort()
    return {
        "per_s": number / took,
        "share": (cpu_of(pid) - cpu) / took,
        "p50_ms": quantile(latencies, 0.5),
        "p95_ms": quantile(latencies, 0.95),
        "p99_ms": quantile(latencies, 0.99),
    }


def _backlog(cluster: Cluster, port: int, backlog: int, pid: int) -> dict[str, float]:
    """Messages of enhanced mode while there is no Kafka, and how long they are under way when it is back."""
    before = asyncio.run(_end(cluster))
    cluster.kill(1)
    taken = asyncio.run(_most(port, backlog, "backlog", ENHANCED, pid))
    cluster.start(1)
    back = time.monotonic()
    while asyncio.run(_end(cluster)) < before + backlog:
        if time.monotonic() - back > _PATIENCE_S:
            raise JobFailed("the backlog is not delivered")
        time.sleep(0.1)
    return {"messages": backlog, "taken_per_s": taken["per_s"], "drained_s": time.monotonic() - back}


async def _alerts(cluster: Cluster, port: int, seconds: float, name: str) -> dict[str, float]:
    """Each message is of another patient, who is ill: from when it was due to the alert at a consumer."""
    number, due, came = int(ALERTS_RATE * seconds), dict[str, float](), list[float]()

    async def hear(consumer: AIOKafkaConsumer) -> None:
        async with asyncio.timeout(seconds + _PATIENCE_S):
            async for record in consumer:
                alert = orjson.loads(record.value)
                if alert["transition"] == "raised" and alert["encounter_id"] in due:
                    came.append((time.time() - due[alert["encounter_id"]]) * 1000)
                    if len(came) == number:
                        return

    async def send(sender: Sender, connection: int) -> None:
        for index in range(connection, number, CONNECTIONS):
            at = started + index / ALERTS_RATE
            await asyncio.sleep(max(0.0, at - time.time()))
            due[_PSEUDONYMS.encounter("NORTH", f"{name}{index}")] = at
            sender.send(_ill(f"{name}{index}"))
            await sender.answered()

    async with _consumer(cluster, "alerts.v1") as consumer, _senders(port) as senders:
        hearing, started = asyncio.create_task(hear(consumer)), time.time() + 0.5
        await _shared(senders, send)
        await hearing
    came.sort()
    return {
        "sent": number,
        "seen": len(came),
        "p50_ms": quantile(came, 0.5),
        "p95_ms": quantile(came, 0.95),
        "p99_ms": quantile(came, 0.99),
    }


def _ill(name: str) -> bytes:
    """ORU^R01: a set of vital signs that raises an alert; `name` is the patient's number, and the visit's."""
    at = f"{datetime.now(UTC):%Y%m%d%H%M%S}+0000"
    values = (("9279-1", 30, "/min"), ("59408-5", 88, "%"), ("8480-6", 85, "mm[Hg]"), ("8867-4", 135, "/min"))
    lines = [
        f"MSH|^~\\&|MON|NORTH|WS|HUB|{at}||ORU^R01|{name}|P|2.5",
        segment("PID", f1="1", f3=f"{name}^^^NORTH^MR", f7="19510203", f8="F"),
        segment("PV1", f1="1", f2="I", f3="ICU^1^A", f19=f"{name}^^^NORTH"),
        segment("OBR", f1="1", f3=name, f4="85353-1^vital signs^LN", f7=at),
    ]
    lines += [
        segment("OBX", f1=f"{n}", f2="NM", f3=f"{code}^^LN", f5=f"{value}", f6=unit, f11="F", f14=at)
        for n, (code, value, unit) in enumerate(values, start=1)
    ]
    return "\r".join((*lines, "")).encode()


def _port(log: Path) -> int:
    deadline = time.monotonic() + 60
    while (found := _LISTENS.search(log.read_text() if log.exists() else "")) is None:
        if time.monotonic() > deadline:
            raise JobFailed(tail(log))
        time.sleep(0.1)
    return int(found[1])


@asynccontextmanager
async def _consumer(cluster: Cluster, topic: str) -> AsyncIterator[AIOKafkaConsumer]:
    """At the present end of a topic."""
    consumer = AIOKafkaConsumer(**cluster.client_options(), isolation_level="read_committed", fetch_max_wait_ms=20)
    await consumer.start()
    try:
        parts = [TopicPartition(topic, number) for number in range(PARTITIONS)]
        consumer.assign(parts)
        for part, end in (await consumer.end_offsets(parts)).items():
            consumer.seek(part, end)
        yield consumer
    finally:
        await consumer.stop()


async def _end(cluster: Cluster) -> int:
    async with _consumer(cluster, "labs.v1") as consumer:
        return sum((await consumer.end_offsets(list(consumer.assignment()))).values())


def _ids(cluster: Cluster) -> set[str]:
    """Of all results on the topic."""
    records = asyncio.run(read_since(cluster.client_options(), "labs.v1", dict.fromkeys(range(PARTITIONS), 0)))
    return {orjson.loads(value)["event_id"] for _, value in records}
