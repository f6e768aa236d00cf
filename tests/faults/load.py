"""A publisher for fault tests: steady load on four topics, and a ledger of what it was told.

    python -m tests.faults.load '{"bootstrap": "…", "lanes": 4, "rate": 500, "patients": 1000, "seed": 1,
                                  "clock": "live", "ledger": "ledger.ndjson"}'

Imports nothing of wardstream: it is an application like any other. It first publishes one complete set for every
patient and says `warm`; the load begins with the command `go`. Commands are JSON, one a line, on standard input; each
is answered when it has been done:

{"do": "go"}                        begin (`seconds`: end by itself after so long)
{"do": "pause", "topic": "…"}       publish no more to a topic; done when the fate of all that was sent is known
{"do": "resume", "topic": "…"}
{"do": "resend", "seconds": 3}      send what a fifth of the patients had in the last seconds once more
{"do": "hour"}                      an outage: publish what an hour brings, as fast as it goes, and go on after it;
                                    patients of kind S fall silent
{"do": "speak"}                     until now
{"do": "stop"}                      end, when the fate of all that was sent is known

Ledger: NDJSON, one line a record that was sent: topic, id, key, lane, `sent` and `acked` on the machine's monotonic
clock (null: the publisher was never told that it is stored), crc of the value, and what is odd: bad, stray (in the
wrong partition), again (a resend).
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
import zlib
from collections import Counter, deque
from collections.abc import Coroutine
from functools import partial
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.partitioner import murmur2

from tests.faults.traffic import TICKS, Traffic, tick

BAD, STRAY, AGAIN = 0.005, 0.003, 0.01  # shares
REMEMBERED_S = 10.0
SETTLED_S = 90.0
HOUR_S, MINUTE_S = 3600.0, 60.0
ROUNDS = 4  # minutes between two sets of a patient during an outage


class Load:
    """The publisher."""

    def __init__(self, options: dict[str, Any]) -> None:
        self.options = options
        self.lanes = int(options["lanes"])
        self.traffic = Traffic(int(options["seed"]), int(options["patients"]))
        self.rng = self.traffic.rng
        self.ledger = Path(options["ledger"]).open("a", encoding="utf-8")  # noqa: SIM115 - closed in `run`
        self.skew_s = 0.0  # of the stream's time over the machine's
        self.paused: frozenset[str] = frozenset()
        self.halted, self.silent = True, False
        self.pending: Counter[str] = Counter()
        self.recent: deque[tuple[float, str, bytes, bytes, dict[str, Any]]] = deque()
        self.minute = time.time() // MINUTE_S
        self.ended = asyncio.Event()
        self.tasks: set[asyncio.Task[None]] = set()
        self.queues: dict[tuple[str, int], asyncio.Queue[tuple[bytes | None, bytes, dict[str, Any]]]] = {}
        self.producer = self._new_producer()

    def _new_producer(self) -> AIOKafkaProducer:
        return AIOKafkaProducer(
            bootstrap_servers=self.options["bootstrap"],
            acks="all",
            enable_idempotence=True,  # never gives up on what it has begun to send
            linger_ms=5,
            max_batch_size=512 << 10,  # what comes while a partition has no leader must find room
            request_timeout_ms=8_000,
            metadata_max_age_ms=10_000,
            retry_backoff_ms=50,
        )

    def now(self) -> float:
        return time.time() + self.skew_s

    async def run(self) -> None:
        async with asyncio.timeout(60):
            await self.producer.start()
        try:
            for patient in self.traffic.ids:
                topic, event = self.traffic.complete(patient, self.now())
                self.publish(topic, event, plain=True)
            self._tick()
            await self.settled()
            say({"done": "warm", "skew_s": self.skew_s})
            self._listen()
            while not self.ended.is_set():
                await self._steadily()
            await self.settled()
        finally:
            self.ledger.close()
            await asyncio.wait_for(self.producer.stop(), 30)

    async def _steadily(self) -> None:
        """Publish at the rate asked for, until halted; what could not be sent in time follows at once."""
        while self.halted and not self.ended.is_set():  # noqa: ASYNC110 - two things may end it
            await asyncio.sleep(0.02)
        started, sent, rate = time.monotonic(), 0, float(self.options["rate"])
        while not self.halted and not self.ended.is_set():
            due = (time.monotonic() - started) * rate
            while sent < due and not self.halted:
                sent += 1
                made = self.traffic.event(self.now(), self.paused, silent=self.silent)
                if made is not None:
                    self.publish(*made)
            self._tick()
            if self.options.get("seconds") and time.monotonic() - started > self.options["seconds"]:
                self.ended.set()
            await asyncio.sleep(0.01)

    def publish(self, topic: str, event: dict[str, Any], *, plain: bool = False) -> None:
        """Send one event; sometimes a bad one in its place, sometimes to another partition, sometimes twice."""
        odd = 1.0 if plain or event["patient_id"][0] == "C" else self.rng.random()
        again = not plain and self.rng.random() < AGAIN
        key, value = event["patient_id"].encode(), json.dumps(event).encode()
        lane = (murmur2(key) & 0x7FFFFFFF) % self.lanes
        entry = {"topic": topic, "id": event["event_id"], "key": event["patient_id"], "lane": lane}
        if odd < BAD:
            value, entry["bad"] = b'{"event_id": 7}', True
        elif odd < BAD + STRAY and self.lanes > 1:
            lane, entry["stray"] = (lane + 1) % self.lanes, True
        self._send(topic, lane, key, value, entry)
        if "bad" not in entry:
            self.recent.append((time.monotonic(), topic, key, value, entry))
            while time.monotonic() - self.recent[0][0] > REMEMBERED_S:
                self.recent.popleft()
            if again:
                self._send_again(self.rng.choice(self.recent))

    def _send_again(self, remembered: tuple[float, str, bytes, bytes, dict[str, Any]]) -> None:
        _, topic, key, value, entry = remembered
        if topic not in self.paused:
            entry = {name: entry[name] for name in ("topic", "id", "key", "lane")} | {"again": True}
            self._send(topic, entry["lane"], key, value, entry)

    def _send(self, topic: str, lane: int, key: bytes | None, value: bytes, entry: dict[str, Any]) -> None:
        entry |= {"sent": round(time.monotonic(), 4), "acked": None, "crc": zlib.crc32(value)}
        self.pending[topic] += 1
        if (topic, lane) not in self.queues:
            self.queues[topic, lane] = asyncio.Queue()
            self._keep(self._deliver(topic, lane))
        self.queues[topic, lane].put_nowait((key, value, entry))

    async def _deliver(self, topic: str, lane: int) -> None:
        """Hand the records of one partition over: the producer makes who sends to a broker that is away wait."""
        while True:
            key, value, entry = await self.queues[topic, lane].get()
            try:
                future = await self.producer.send(topic, value, key, partition=lane)
            except KafkaError:
                self._settle(entry, None)
            else:
                future.add_done_callback(partial(self._told, entry))

    def _told(self, entry: dict[str, Any], done: asyncio.Future[Any]) -> None:
        stored = not done.cancelled() and done.exception() is None
        self._settle(entry, time.monotonic() if stored else None)

    def _keep(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def _settle(self, entry: dict[str, Any], at: float | None) -> None:
        self.pending[entry["topic"]] -= 1
        entry["acked"] = None if at is None else round(at, 4)
        self.ledger.write(json.dumps(entry) + "\n")

    async def settled(self, topic: str | None = None) -> None:
        """Wait until the fate of all that was sent is known."""
        async with asyncio.timeout(SETTLED_S):
            while self.pending[topic] if topic else self.pending.total():  # noqa: ASYNC110 - it is about a count
                await asyncio.sleep(0.02)
        self.ledger.flush()

    def _tick(self) -> None:
        """Where the feed keeps the clock: what has begun since the last tick."""
        minute = self.now() // MINUTE_S
        while self.minute < minute:
            self.minute += 1
            if self.options["clock"] == "feed":
                self._tick_at(self.minute * MINUTE_S)

    def _tick_at(self, at: float) -> None:
        for lane in range(self.lanes):
            event = tick(at, lane)
            entry = {"topic": TICKS, "id": event["event_id"], "key": None, "lane": lane}
            self._send(TICKS, lane, None, json.dumps(event).encode(), entry)

    async def _hour(self) -> None:
        """What an hour brings, minute by minute: a tick follows what came before it."""
        begun = self.minute * MINUTE_S
        first = self.now()
        for step in range(1, int(HOUR_S // MINUTE_S) + 1):
            at = begun + step * MINUTE_S - MINUTE_S
            measured = [patient for patient in self.traffic.ids[step % ROUNDS :: ROUNDS] if patient[0] != "S"]
            for index, patient in enumerate(measured):
                moment = max(first, at + MINUTE_S * index / len(measured))
                self.publish(*self.traffic.of("vitals.v1", patient, moment))
                if index % 10 == 0:
                    made = self.traffic.event(moment, silent=True)
                    if made is not None and made[0] != "vitals.v1":
                        self.publish(*made)
            await self.settled()
            self.minute += 1
            if self.options["clock"] == "feed":
                self._tick_at(self.minute * MINUTE_S)
                await self.settled()
        self.skew_s = self.minute * MINUTE_S + 0.5 - time.time()

    def _listen(self) -> None:
        loop = asyncio.get_running_loop()

        def listen() -> None:
            for line in sys.stdin:
                loop.call_soon_threadsafe(begin, json.loads(line))
            loop.call_soon_threadsafe(self.ended.set)

        def begin(command: dict[str, Any]) -> None:
            self._keep(self._obey(command))

        threading.Thread(target=listen, daemon=True).start()

    async def _obey(self, command: dict[str, Any]) -> None:
        answer: dict[str, Any] = {"done": command["do"]}
        match command["do"]:
            case "go":
                self.halted = False
            case "pause":
                self.paused |= {command["topic"]}
                await self.settled(command["topic"])
            case "resume":
                self.paused -= {command["topic"]}
            case "resend":
                since = time.monotonic() - command["seconds"]
                some = self.rng.randrange(5)
                chosen = [one for one in self.recent if one[0] > since and zlib.crc32(one[2]) % 5 == some]
                for remembered in chosen:
                    self._send_again(remembered)
                answer["resent"] = len(chosen)
            case "hour":
                self.halted = self.silent = True
                await asyncio.sleep(0.1)  # until the loop stands
                await self.settled()
                await self._hour()
                answer["skew_s"] = self.skew_s
                self.halted = False
            case "speak":
                self.silent = False
            case "stop":
                self.ended.set()
        say(answer)


def say(message: dict[str, Any]) -> None:
    print(json.dumps(message), flush=True)


async def main() -> None:
    await Load(json.loads(sys.argv[1])).run()


if __name__ == "__main__":
    asyncio.run(main())
