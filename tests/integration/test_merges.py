"""Patients merged across lanes by real workers, which are killed between asking and giving: nobody loses anything."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer

from tests.reading import read_all
from tests.workers import APP_ID, LANES, Workers
from wardstream.client import Publisher
from wardstream.infra.kafka.broker import Cluster
from wardstream.schemas.admissions import Admission
from wardstream.schemas.envelope import Event
from wardstream.schemas.partition import partition_of
from wardstream.schemas.vitals import Vitals

pytestmark = [pytest.mark.connected, pytest.mark.timeout(900)]

PAIRS = 120
BURSTS = 5  # of merges; workers are killed in them until one was half way
CHANGELOG = f"{APP_ID}-lanes-{LANES}"
DEAD = ("handovers.v1.dead", "admissions.v1.dead", "vitals.v1.dead")
TOPICS = ["handovers.v1", *DEAD, "scores.v1", "alerts.v1", "occupancy.v1", CHANGELOG]
BEGIN = datetime.now(UTC) - timedelta(minutes=30)

Found = dict[str, list[Any]]


def of_another_lane(old: str) -> str:
    """The id that this one is merged into."""
    names = (f"new-{old}-{number}" for number in range(100))
    return next(name for name in names if partition_of(name, LANES) != partition_of(old, LANES))


NEW = {old: of_another_lane(old) for old in (f"old-{number}" for number in range(PAIRS))}


def about(patient_id: str, minute: float) -> dict[str, Any]:
    return {
        "event_id": uuid4(),
        "source": "test",
        "patient_id": patient_id,
        "observed_at": BEGIN + timedelta(minutes=minute),
        "received_at": datetime.now(UTC),
    }


def ill(patient_id: str, minute: float) -> Vitals:
    return Vitals(**about(patient_id, minute), respiratory_rate_per_min=28.0, spo2_percent=88.0, heart_rate_bpm=135.0)


def admit(patient_id: str, minute: float, unit: str) -> Admission:
    return Admission(**about(patient_id, minute), kind="admit", unit=unit, encounter_id=f"E-{patient_id}")


class Ward:
    """Publishes, remembers, and looks at what became of it."""

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap
        self.vitals: list[Vitals] = []

    async def publish(self, *events: Event) -> None:
        async with Publisher(self.bootstrap) as publisher:
            await publisher.publish(*events)
        self.vitals += [event for event in events if isinstance(event, Vitals) and event not in self.vitals]

    async def read(self) -> Found:
        return await read_all(self.bootstrap, TOPICS)

    async def until_right(self, wrong: Callable[[Found], list[str]]) -> Found:
        """The topics, as soon as nothing is wrong with them."""
        left: list[str] = []
        try:
            async with asyncio.timeout(240):
                while left := wrong(found := await self.read()):  # noqa: ASYNC110 - topics are looked at
                    await asyncio.sleep(0.5)
                return found
        except TimeoutError:
            pytest.fail(f"{len(left)} are still wrong, such as {left[:3]}")

    def unscored(self, found: Found) -> list[str]:
        """Events without exactly one record of scores."""
        causes = Counter(json.loads(record.value)["caused_by"] for record in found["scores.v1"])
        return [str(event.event_id) for event in self.vitals if causes[str(event.event_id)] != 1]

    def apart(self, found: Found) -> list[str]:
        """Patients of whom not everything is kept, once, under the id that survives; and events as above."""
        rows = {record.key: record.value for record in found[CHANGELOG]}
        kept: dict[str, Counter[str]] = defaultdict(Counter)
        for key, row in rows.items():
            kind, patient, *name = key.split(b"\0", 2)
            if row is not None and kind == b"c" and name[0].startswith(b"bin/"):
                kept[patient.decode()].update(json.loads(line)[2] for line in row.splitlines())
        measured: dict[str, set[str]] = defaultdict(set)
        for event in self.vitals:
            measured[NEW.get(event.patient_id, event.patient_id)].add(str(event.event_id))
        wrong = [patient for patient in {*measured, *kept} if kept[patient] != Counter(measured[patient])]
        return wrong + self.unscored(found)


def table(found: Found) -> dict[str, dict[str, Any]]:
    """What a consumer has who keeps the last row of each key."""
    kept: dict[str, dict[str, Any]] = {}
    for record in found["occupancy.v1"]:
        kept.pop(record.key.decode(), None)
        if record.value is not None:
            kept[record.key.decode()] = json.loads(record.value)
    return kept


def somebody(found: Found) -> list[str]:
    return [key for key, row in table(found).items() if row["state"] == "present"]


def steps(found: Found) -> Counter[str]:
    """How many requests and parts there are."""
    return Counter(json.loads(record.value)["kind"] for record in found["handovers.v1"])


async def kill_when_asked(ward: Ward, worker: subprocess.Popen[bytes], before: int) -> bool:
    """Kill the worker as soon as it has asked; whether that was before all had given."""
    consumer = AIOKafkaConsumer(
        "handovers.v1",
        bootstrap_servers=ward.bootstrap,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        fetch_max_wait_ms=5,
    )
    await consumer.start()
    try:
        async with asyncio.timeout(60):
            asks = 0
            while asks <= before:
                for records in (await consumer.getmany(timeout_ms=5)).values():
                    asks += sum(json.loads(record.value)["kind"] == "ask" for record in records)
        worker.kill()
        worker.wait()
    finally:
        await consumer.stop()
    done = steps(await ward.read())
    return done["give"] < done["ask"]


async def test_both_histories_across_lanes_and_kills(own_kafka: Cluster, workers: Workers) -> None:
    ward = Ward(",".join(own_kafka.bootstrap_servers))
    worker = workers.start()
    for old, new in NEW.items():
        ward.vitals += [ill(old, 1), ill(new, 6)]
    await ward.publish(*(admit(old, 0, "ED") for old in NEW), *(admit(new, 5, "Ward") for new in NEW.values()))
    await ward.publish(*ward.vitals)
    await ward.until_right(ward.unscored)

    half_way, names = False, list(NEW)
    for burst in range(BURSTS):
        some, asked = names[burst::BURSTS], steps(await ward.read())["ask"]
        await ward.publish(*(Admission(**about(NEW[old], 10), kind="merge", merged_patient_id=old) for old in some))
        if not half_way:
            half_way = await kill_when_asked(ward, worker, asked)
            worker = workers.start()
            await ward.publish(*(ill(old, 11) for old in some))  # late, while nobody is there to take it
    assert half_way, "no kill met a hand-over half way"
    await ward.until_right(ward.apart)

    resent = ward.vitals[:PAIRS]
    await ward.publish(*(ill(old, 12) for old in NEW), *resent)  # under the old ids: new ones, and some once more
    found = await ward.until_right(ward.apart)
    assert not any(found[topic] for topic in DEAD)
    expected = {f"ED\tE-{old}\t{new}": ("left", new) for old, new in NEW.items()}
    expected |= {f"Ward\tE-{new}\t{new}": ("present", new) for new in NEW.values()}
    assert {key: (row["state"], row["patient_id"]) for key, row in table(found).items()} == expected

    await ward.publish(
        *(Admission(**about(old, 20), kind="discharge", encounter_id=f"E-{new}") for old, new in NEW.items())
    )
    found = await ward.until_right(somebody)
    lives: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for record in found["alerts.v1"]:
        alert = json.loads(record.value)
        lives[alert["alert_id"]].append((record.partition, alert["transition"]))
    assert len(lives) == 2 * PAIRS
    moved = 0
    for life in lives.values():
        assert len({partition for partition, _ in life}) == 1
        decided = [transition for _, transition in life if transition not in ("escalated", "went_stale")]
        assert decided[:1] + decided[-1:] == ["raised", "closed"]
        moved += decided[1:-1] == ["moved"]
        assert len(decided) <= 3
    assert moved == PAIRS, "those raised in ED went on where the survivor lies"
