"""More lanes: nothing is lost or applied twice, whatever happens on the way."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import subprocess
import time
from base64 import b64encode
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import NewPartitions
from aiokafka.partitioner import murmur2

from tests.faults.traffic import Traffic
from tests.reading import read_all
from tests.workers import APP_ID, WARDSTREAM, Workers, create_topics, worker_environment
from wardstream.agents.streams.outputs import Row
from wardstream.agents.streams.producer import LaneProducer
from wardstream.agents.streams.state import LANE_ROW
from wardstream.infra import changelogs
from wardstream.infra.failure import Failure
from wardstream.infra.group import GroupBusy, alone
from wardstream.infra.kafka import topics
from wardstream.infra.kafka.admin import admin
from wardstream.infra.kafka.broker import Cluster
from wardstream.infra.lanes import PATIENT_TOPICS
from wardstream.infra.migrate import MigrationRefused, migrate
from wardstream.infra.preflight import changelog_wish
from wardstream.infra.settings import Settings
from wardstream.infra.worker import build_app

PATIENTS = [f"P{number:03d}" for number in range(40)]


def lane(patient: str, lanes: int) -> int:
    """Where Kafka's own partitioner puts a patient."""
    return int((murmur2(patient.encode()) & 0x7FFFFFFF) % lanes)


def test_rows_of_patients_follow_them_and_rows_of_lanes_stay() -> None:
    lane_of = changelogs.router(7)
    for patient in ("P1", "ward-3:17", "x@y"):
        rows = (f"p\0{patient}", f"c\0{patient}\0bin/2026-01-01T00", f"i\0{patient}\x003", f"m\0{patient}")
        assert {lane_of(row.encode(), 0) for row in rows} == {lane(patient, 7)}
    assert [lane_of(LANE_ROW, number) for number in range(3)] == [0, 1, 2]


def test_tallies_differ_when_rows_do() -> None:
    def tally(*rows: tuple[bytes, bytes]) -> changelogs.Tally:
        made = changelogs.Tally()
        for row in rows:
            made.add(*row)
        return made

    assert tally((b"a", b"1"), (b"b", b"2")) == tally((b"b", b"2"), (b"a", b"1"))
    assert tally((b"a", b"1"), (b"b", b"2")) != tally((b"a", b"2"), (b"b", b"1"))
    assert tally((b"a", b"1")) != tally((b"a", b"1"), (b"a", b"1"))


# a crash at every step


class Crash(Exception):
    """The command ends here."""


def crash_at(step: str, at: int) -> Callable[[str, int, int], None]:
    def progress(name: str, done: int, total: int) -> None:
        if name.startswith(step) and done == at:
            raise Crash

    return progress


def quietly(name: str, done: int, total: int) -> None:
    """Nobody looks at the progress."""


async def refusal(settings: Settings) -> str:
    """What a worker says that is started now."""
    try:
        await build_app(settings, await topics.lane_count(topics_options(settings))).check()
    except Failure as failure:
        return str(failure)
    return ""


def topics_options(settings: Settings) -> dict[str, Any]:
    return {"bootstrap_servers": settings.bootstrap_servers}


async def seed(settings: Settings) -> dict[bytes, bytes]:
    """State of two lanes; returns the rows of all patients."""
    options, rows = topics_options(settings), dict[bytes, bytes]()
    await topics.create_topics(options, [*topics.wishes(2, 1), changelog_wish(settings.app_id, 2, 1)])
    for number in range(2):
        mine = {}
        for patient in (patient for patient in PATIENTS if lane(patient, 2) == number):
            mine[f"p\0{patient}".encode()] = b"{}"
            mine[f"c\0{patient}\0bin/1".encode()] = random.Random(patient).randbytes(60_000)  # several Kafka batches
            mine[f"i\0{patient}\x000".encode()] = bytes(16)
        producer = LaneProducer(number, settings.app_id, options)
        await producer.open()
        try:
            old = [Row(key, b"an older row") for key in mine] + [Row(b"p\0gone", b"{}"), Row(b"p\0gone", None)]
            own = Row(LANE_ROW, b'{"last_tick":%d}' % number)
            now = [*old, *(Row(*row) for row in mine.items()), own]
            await producer.commit({(f"{settings.app_id}-lanes-2", number): now}, {}, settings.app_id)
        finally:
            await producer.close()
        rows |= mine
    return rows


async def state(cluster: Cluster, topic: str) -> dict[tuple[int, bytes], bytes]:
    """The rows of a changelog, by partition and key."""
    records = (await read_all(",".join(cluster.bootstrap_servers), [topic]))[topic]
    rows = {(record.partition, record.key): record.value for record in records}
    return {place: value for place, value in rows.items() if value is not None}


@pytest.mark.connected
async def test_goes_on_after_a_crash_at_any_step(own_kafka: Cluster) -> None:
    key = b64encode(bytes(32)).decode()
    settings = own_kafka.settings(app_id="crash", dead_letter_key=key)
    options = own_kafka.client_options()
    patients = await seed(settings)
    assert await refusal(settings) == ""

    for step, at in (("topics grown", 3), ("topics grown", 15), ("old lanes fenced", 1), ("state copied", 1)):
        with pytest.raises(Crash):
            await migrate(settings, 4, crash_at(step, at))
        assert "wardstream lanes migrate" in await refusal(settings), step
        assert await state(own_kafka, "crash-lanes-4") == {}
    async with changelogs.writer(options, "crash") as killed:  # one that was killed leaves its transaction open
        await killed.begin_transaction()
        await killed.send_and_wait("crash-lanes-4", b"half", b"p\0half", partition=3)
        with pytest.raises(Crash):
            await migrate(settings, None, crash_at("copy compared", 2))
    assert "the state is that of 2 lanes" in await refusal(settings)

    done = await migrate(settings, None, quietly)  # finds the copy complete
    assert (done.lanes, done.grown, done.rows) == (4, {}, len(patients) + 2)
    assert done.deleted == ("crash-lanes-2",)
    assert await refusal(settings) == ""
    found = await state(own_kafka, "crash-lanes-4")
    expected = {(lane(key.split(b"\0")[1].decode(), 4), key): value for key, value in patients.items()}
    assert found == expected | {(number, LANE_ROW): b'{"last_tick":%d}' % number for number in range(2)}
    assert await migrate(settings, 4, quietly) == type(done)(4, {}, 0, ())

    with pytest.raises(MigrationRefused, match="cannot take partitions away: --lanes 4 or more"):
        await migrate(settings, 3, quietly)
    async with admin(options) as client:  # somebody grows one topic by hand
        await client.create_partitions({"labs.v1": NewPartitions(5)})
    assert "wardstream lanes migrate" in await refusal(settings)
    done = await migrate(settings, None, quietly)
    assert done.grown.keys() == set(PATIENT_TOPICS) - {"labs.v1"}
    assert (done.lanes, done.rows) == (5, len(patients) + 2)
    assert {place for place, key in await state(own_kafka, "crash-lanes-5") if key != LANE_ROW} == set(range(5))

    await topics.create_topics(options, [changelog_wish("crash", 4, 1)])  # a worker of old times where topics make
    assert (await migrate(settings, None, quietly)).deleted == ("crash-lanes-4",)  # themselves: nothing is in it
    await seed_other(options)
    with pytest.raises(MigrationRefused, match="crash-lanes-4 and crash-lanes-5 both hold state, but not the same"):
        await migrate(settings, None, quietly)


async def seed_other(options: dict[str, Any]) -> None:
    """State from nowhere."""
    await topics.create_topics(options, [changelog_wish("crash", 4, 1)])
    producer = AIOKafkaProducer(**options)
    await producer.start()
    try:
        await producer.send_and_wait("crash-lanes-4", b"{}", b"p\0other", partition=0)
    finally:
        await producer.stop()


@pytest.mark.connected
async def test_one_migration_at_a_time(kafka: Cluster, unique: str) -> None:
    options = kafka.client_options()
    await topics.create_topics(options, [topics.Wish(unique, 1, 1)])
    async with alone(options, unique, unique):
        with pytest.raises(GroupBusy, match=f"{unique} is in use by wardstream-lanes-migrate on 127.0.0.1"):
            async with alone(options, unique, unique):
                pass
    async with alone(options, unique, unique):  # the first has left
        pass


# with workers


class Feed:
    """Publishes vitals as an application would, and remembers them."""

    def __init__(self, cluster: Cluster) -> None:
        self.bootstrap = ",".join(cluster.bootstrap_servers)
        self.events: list[dict[str, Any]] = []
        self._options = cluster.client_options()
        self._traffic = Traffic(seed=3, patients=1)

    async def publish(self, rounds: int, lanes: int) -> None:
        """So many events a patient, to the partition of so many lanes; and some of those before once more."""
        producer = AIOKafkaProducer(**self._options, enable_idempotence=True)
        await producer.start()
        try:
            made = [
                self._traffic.of("vitals.v1", patient, time.time())[1] for _ in range(rounds) for patient in PATIENTS
            ]
            for event in [*made, *self.events[::7]]:
                patient = event["patient_id"]
                await producer.send("vitals.v1", json.dumps(event).encode(), patient.encode(), lane(patient, lanes))
            self.events += made
            await producer.flush()
        finally:
            await producer.stop()

    async def wrong(self, lanes: int) -> list[str]:
        """What is not exactly once: events without one record on scores.v1, patients whose state is not their sum."""
        changelog = f"{APP_ID}-lanes-{lanes}"
        found = await read_all(self.bootstrap, ["scores.v1", changelog])
        causes = Counter(json.loads(record.value)["caused_by"] for record in found["scores.v1"])
        rows = {record.key: record.value for record in found[changelog]}
        sets, newest = defaultdict[str, set[str]](set), dict[str, tuple[str, float]]()
        for event in self.events:
            patient = event["patient_id"]
            sets[patient].add(event["event_id"])
            newest[patient] = max(newest.get(patient, ("", 0.0)), (event["observed_at"], event["heart_rate_bpm"]))
        wrong = [event["event_id"] for event in self.events if causes[event["event_id"]] != 1]
        for patient in sets:
            prefix = f"c\0{patient}\0bin/".encode()
            lines = [line for key, row in rows.items() if row and key.startswith(prefix) for line in row.splitlines()]
            kept = json.loads(rows.get(f"p\0{patient}".encode()) or b"{}").get("signals", {})
            counted = Counter(json.loads(line)[2] for line in lines)
            if counted != Counter(sets[patient]) or kept.get("hr", [None])[0] != newest[patient][1]:
                wrong.append(patient)
        return wrong


async def settled(lanes: int, feed: Feed) -> list[str]:
    """What is wrong once nothing is, or after two minutes."""
    until = time.monotonic() + 120
    while (wrong := await feed.wrong(lanes)) and time.monotonic() < until:  # noqa: ASYNC110 - topics are looked at
        await asyncio.sleep(0.5)
    return wrong


def command(environment: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [WARDSTREAM, *words], env=environment, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.connected
async def test_backlog_moves_exactly_once_past_a_sleeping_worker(own_kafka: Cluster, tmp_path: Path) -> None:
    """A worker of two lanes is stopped in its tracks, the lanes become four, and it wakes among workers of four."""
    environment = worker_environment(own_kafka, tmp_path / "home", LANES="2")
    create_topics(environment)
    workers, feed = Workers(environment, tmp_path), Feed(own_kafka)
    try:
        sleeper = workers.start()
        await feed.publish(4, lanes=2)
        assert await settled(2, feed) == []
        busy = command(environment, "lanes", "migrate", "--lanes", "4")
        assert (busy.returncode, "Stop all workers first" in busy.stderr) == (2, True), busy.stderr
        shown = command(environment, "lanes", "show")
        assert shown.returncode == 0, shown.stdout
        assert "vitals.v1" in shown.stdout

        sleeper.send_signal(signal.SIGSTOP)
        await feed.publish(4, lanes=2)  # the backlog
        until = time.monotonic() + 120
        while (moved := command(environment, "lanes", "migrate", "--lanes", "4")).returncode == 2:
            assert time.monotonic() < until, moved.stderr
        assert moved.returncode == 0, moved.stderr
        assert "vitals.v1: 2 → 4 partitions" in moved.stdout

        workers.start()
        assert await settled(4, feed) == []
        sleeper.send_signal(signal.SIGCONT)
        assert await asyncio.to_thread(sleeper.wait, 120) != 0  # whichever lanes the group gives it
        await feed.publish(2, lanes=2)  # a publisher that still counts two partitions
        assert await settled(4, feed) == []
        await feed.publish(2, lanes=4)
        assert await settled(4, feed) == []
        assert len(feed.events) == 12 * len(PATIENTS)
        rows = await state(own_kafka, f"{APP_ID}-lanes-4")
        placed = [(place, key) for place, key in rows if key.startswith(b"p\0")]
        assert sorted(placed) == sorted((lane(patient, 4), f"p\0{patient}".encode()) for patient in PATIENTS)
    finally:
        workers.end()
