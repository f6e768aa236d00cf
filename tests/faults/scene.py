"""All that a run of faults happens to: three brokers behind proxies, workers, a publisher and a reader, all at work."""

from __future__ import annotations

import asyncio
import contextlib
import json
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from tests.faults.disk import Disk
from tests.faults.fleet import ROOT, Fleet
from tests.faults.proxy import Proxies
from tests.faults.reading import unread
from tests.faults.traffic import TOPICS
from tests.workers import APP_ID, LANES, create_topics, worker_environment
from wardstream.agents.streams.topic_ids import topic_ids
from wardstream.infra.kafka.admin import admin
from wardstream.infra.kafka.asking import ask
from wardstream.infra.kafka.broker import Cluster
from wardstream.infra.kafka.topics import create_topics as create
from wardstream.infra.kafka.topics import describe_topics
from wardstream.infra.preflight import changelog_wish

BROKERS = 3
ANSWER_S = 120.0
FRESH_S = 3.0  # an output whose cause is younger shows that its lane is not behind
IN_FLIGHT_S = 5.0
CHANGELOG_SEGMENT = 16 << 20  # bytes; small, so that compaction happens in minutes


class Program:
    """One of our programs, to which commands are written and which answers with lines of JSON."""

    def __init__(self, module: str, *arguments: str, log: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log.open("wb"),
            cwd=ROOT,
            text=True,
        )
        self.said: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.put(json.loads(line))
        self.said.put(None)

    def tell(self, **command: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()

    def answer(self, timeout_s: float = ANSWER_S) -> dict[str, Any]:
        said = self.said.get(timeout=timeout_s)
        if said is None:
            raise RuntimeError("the program has ended")
        return said

    def close(self, grace_s: float = 60) -> None:
        """Let it end in good order, or end it."""
        with contextlib.suppress(OSError, ValueError):
            assert self.process.stdin is not None
            self.process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(grace_s)
        self.kill()

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


class Scene:
    """Starts everything, and ends everything however it ends."""

    def __init__(
        self, folder: Path, jars: Path, *, seed: int, clock: str, rate: int, patients: int, disk: Disk
    ) -> None:
        self.folder = folder
        self.seed, self.clock, self.rate, self.patients = seed, clock, rate, patients
        self.disk = disk
        self.snapshots: list[Path] = []
        self._end = contextlib.ExitStack()
        self._jars = jars
        self._fresh: dict[str, tuple[float, float]] = {}
        self.struck, self.in_flight = 0.0, 0  # of the last blow: when, and how many lanes had transactions open
        self.ledger, self.tailed = folder / "ledger.ndjson", folder / "tail.txt"

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._end.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._end.close()

    def _start(self) -> None:
        self.fleet: Fleet | None = None
        self.proxies = Proxies(BROKERS, lambda: self.fleet.pids() if self.fleet else [])
        self._end.callback(self.proxies.close)
        self.cluster = Cluster(self.folder / "kafka", BROKERS, jars=self._jars, proxies=self.proxies.addresses)
        for i in range(1, BROKERS + 1):  # the disk of one is there already
            (self.cluster.folder / f"broker-{i}").mkdir(parents=True, exist_ok=True)
        self.cluster.start()
        self._end.callback(self._end_brokers)
        self.proxies.start(self.cluster.proxied_servers)
        self.bootstrap = ",".join(self.cluster.bootstrap_servers)
        home = self.folder / "home"
        self.direct = worker_environment(self.cluster, home, CLOCK=self.clock)
        create_topics(self.direct)
        wish = changelog_wish(APP_ID, LANES, BROKERS)
        configs = {**wish.configs, "segment.bytes": str(CHANGELOG_SEGMENT), "min.compaction.lag.ms": "0"}
        options = self.cluster.client_options()
        asyncio.run(create(options, [type(wish)(wish.name, wish.partitions, wish.replication, configs)]))
        proxied = {"BROKER_URL": "kafka://" + ",".join(self.proxies.addresses), "CLOCK": self.clock}
        self.fleet = Fleet(worker_environment(self.cluster, home, **proxied), self.folder)
        self._end.callback(self.fleet.close)
        for _ in range(2):
            self.fleet.start()
        self.tail = Program("tests.faults.tail", self.bootstrap, str(self.tailed), log=self.folder / "tail.log")
        self._end.callback(self.tail.kill)
        options = {"bootstrap": self.bootstrap, "lanes": LANES, "rate": self.rate, "patients": self.patients}
        options |= {"seed": self.seed, "clock": self.clock, "ledger": str(self.ledger)}
        self.load = Program("tests.faults.load", json.dumps(options), log=self.folder / "load.log")
        self._end.callback(self.load.kill)
        self.load.answer()
        self.quiet()
        self.tell(do="go")

    def _end_brokers(self) -> None:
        for i in range(1, BROKERS + 1):  # nobody needs their data any more
            with contextlib.suppress(KeyError):
                self.cluster.kill(i)
        self.cluster.stop()

    def tell(self, **command: Any) -> dict[str, Any]:
        """Tell the publisher, and wait until it is done."""
        self.load.tell(**command)
        return self.load.answer()

    def behind(self) -> list[str]:
        """Lanes without a recent output of a recent cause."""
        with contextlib.suppress(queue.Empty):
            while (said := self.tail.said.get_nowait()) is not None:
                self._fresh |= said.get("lanes", {})
        now = time.monotonic()
        lanes = {str(lane): self._fresh.get(str(lane), (0.0, 1e9)) for lane in range(LANES)}
        return [lane for lane, (at, age) in lanes.items() if now - at + age > FRESH_S]

    def settle(self, for_s: float, deadline_s: float = 150) -> bool:
        """Wait until no lane has been behind for so long; False if that takes too long."""
        good_since = time.monotonic() + FRESH_S  # until then what came before the fault looks fresh
        deadline = time.monotonic() + deadline_s
        while time.monotonic() < deadline:
            if self.behind():
                good_since = max(good_since, time.monotonic())
            elif time.monotonic() - good_since >= for_s:
                return True
            time.sleep(0.2)
        return False

    def quiet(self, topics: tuple[str, ...] = TOPICS, deadline_s: float = 120) -> bool:
        """Wait until the workers have committed all there is in some topics."""
        deadline = time.monotonic() + deadline_s
        while time.monotonic() < deadline:
            with contextlib.suppress(TimeoutError):
                if asyncio.run(unread(self.bootstrap, APP_ID, list(topics))) == 0:
                    return True
            time.sleep(0.5)
        return False

    def strike(self, blow: Callable[[], object]) -> None:
        """Do it while lanes have transactions open; without any for a while, do it all the same."""
        self.struck, self.in_flight = 0.0, 0

        def now(lanes: int) -> None:
            self.struck, self.in_flight = time.monotonic(), lanes
            blow()

        with contextlib.suppress(TimeoutError, KafkaError):
            asyncio.run(in_transactions(self.bootstrap, [f"{APP_ID}-lanes-{LANES}", "scores.v1"], now))
        if not self.struck:
            now(0)

    def leaders(self) -> set[int]:
        """The brokers that lead a partition of an input."""
        described = asyncio.run(describe_topics(self.cluster.client_options(), TOPICS))
        return {partition.leader for topic in described.values() for partition in topic.partitions} - {-1}

    def create_topics(self) -> None:
        """Those that are missing."""
        create_topics(self.direct)

    def delete_topic(self, topic: str) -> None:
        """Returns when no broker shows it any more."""
        ask(lambda: delete_topic(self.cluster.client_options(), topic))  # a blow falls inside an event loop


async def in_transactions(bootstrap: str, topics: list[str], blow: Callable[[int], None]) -> None:
    """Call with the number of lanes that have records which are not yet committed, as soon as there are any."""
    options: dict[str, Any] = {"bootstrap_servers": bootstrap, "enable_auto_commit": False, "request_timeout_ms": 5_000}
    committed = AIOKafkaConsumer(*topics, **options, isolation_level="read_committed")
    written = AIOKafkaConsumer(*topics, **options)
    async with asyncio.timeout(IN_FLIGHT_S):
        try:
            await asyncio.gather(committed.start(), written.start())
            partitions: list[TopicPartition] = list(committed.assignment())
            while True:
                ends = await written.end_offsets(partitions)
                stable = await committed.end_offsets(partitions)
                if lanes := {tp.partition for tp in partitions if stable[tp] < ends[tp]}:
                    blow(len(lanes))
                    return
        finally:
            await asyncio.gather(committed.stop(), written.stop(), return_exceptions=True)  # a broker may be gone now


async def delete_topic(options: dict[str, Any], topic: str) -> None:
    async with asyncio.timeout(ANSWER_S), admin(options) as client:
        await client.delete_topics([topic])
        absent = 0
        while absent < 3 * BROKERS:  # any broker answers, so ask often enough
            absent = absent + 1 if topic not in await topic_ids(options, [topic]) else 0
