"""Feeds on a real broker: what is published is there, once; nothing is brought into a live cluster."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import orjson
import psutil
import pytest
import typer
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from typer.testing import CliRunner

from wardstream.client import Publisher, PublishError
from wardstream.infra.feeds.clock import ClockError, last_tick
from wardstream.infra.feeds.commands import publish, replay, simulate
from wardstream.infra.feeds.run import run_replay, run_simulator
from wardstream.infra.kafka.broker import Cluster
from wardstream.infra.kafka.topics import create_topics, wishes
from wardstream.schemas.partition import partition_of
from wardstream.schemas.vitals import Vitals

pytestmark = pytest.mark.connected
LANES = 4
app = typer.Typer()
for command in (simulate, replay, publish):
    app.command()(command)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, kafka_jars: Path) -> Iterator[Cluster]:
    """A broker of its own: these tests write the cluster's time."""
    with Cluster(tmp_path_factory.mktemp("feeds"), jars=kafka_jars) as cluster:
        asyncio.run(create_topics(cluster.client_options(), wishes(LANES, 1)))
        yield cluster


@pytest.fixture
def run(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    for name, value in cluster.environment().items():
        monkeypatch.setenv(name, value)
    return CliRunner()


def vitals(patient: str) -> Vitals:
    now = datetime.now(UTC)
    return Vitals(event_id=uuid4(), source="t", patient_id=patient, observed_at=now, received_at=now, heart_rate_bpm=70)


async def read(cluster: Cluster, topic: str) -> list[ConsumerRecord]:
    """Every committed record of a topic."""
    consumer = AIOKafkaConsumer(**cluster.client_options(), isolation_level="read_committed", enable_auto_commit=False)
    found = []
    async with asyncio.timeout(30):
        await consumer.start()
        try:
            partitions = [TopicPartition(topic, number) for number in range(LANES)]
            consumer.assign(partitions)
            ends = await consumer.end_offsets(partitions)
            for partition, begin in (await consumer.beginning_offsets(partitions)).items():
                consumer.seek(partition, begin)
            while any([await consumer.position(partition) < end for partition, end in ends.items()]):
                for records in (await consumer.getmany(timeout_ms=500)).values():
                    found += records
        finally:
            await consumer.stop()
    return found


async def test_published_events_are_there_once_in_the_patients_partition(cluster: Cluster) -> None:
    events = [vitals(f"there-{i % 50}") for i in range(9000)]
    async with Publisher(**cluster.client_options()) as publisher:

        async def send(part: list[Vitals]) -> None:
            for event in part:
                await publisher.send(event)

        await asyncio.gather(send(events[::2]), send(events[1::2]))
        await publisher.publish(vitals("there-last"))
    records = [record for record in await read(cluster, "vitals.v1") if record.key.startswith(b"there-")]
    assert len(records) == 9001
    ids = Counter(UUID(orjson.loads(record.value)["event_id"]) for record in records)
    assert set(ids.values()) == {1}
    assert {event.event_id for event in events} < set(ids)
    assert all(record.partition == partition_of(record.key.decode(), LANES) for record in records)


async def test_a_broker_that_stands_still_is_told_within_the_deadline(cluster: Cluster) -> None:
    event, told = vitals("still"), False
    with suppress(PublishError):  # on leaving it may be told again: what stood still was never taken back
        async with Publisher(**cluster.client_options(), deadline_s=3) as publisher:
            await publisher.publish(event)
            cluster.pause(1)
            try:
                _await_stopped(cluster)
                with pytest.raises(PublishError):
                    await publisher.publish(vitals("still"))
                told = True
            finally:
                cluster.resume(1)
    assert told
    async with Publisher(**cluster.client_options()) as publisher:
        await publisher.publish(event)


def _await_stopped(cluster: Cluster) -> None:
    """Wait until the broker stands still: it may answer for a moment after SIGSTOP was sent."""
    process = psutil.Process(cluster.pid(1))
    deadline = time.monotonic() + 60
    while process.status() != psutil.STATUS_STOPPED:
        assert time.monotonic() < deadline
        time.sleep(0.001)


async def test_a_topic_that_is_not_there_is_told(cluster: Cluster) -> None:
    async with Publisher(**cluster.client_options(), deadline_s=3) as publisher:
        with pytest.raises(PublishError, match="wardstream topics create"):
            await publisher.partitions("nothing.v9")


def test_the_simulators_events_and_ticks_are_there(run: CliRunner, cluster: Cluster) -> None:
    result = run.invoke(app, ["simulate", "--patients", "10", "--duration", "3", "--bad-share", "0.2"])
    assert result.exit_code == 0, result.output
    records = asyncio.run(read(cluster, "vitals.v1"))
    assert sum(record.key.startswith(b"sim-") for record in records) >= 10
    tick = asyncio.run(last_tick(cluster.client_options()))
    assert tick is not None
    assert tick.source == "simulator"
    ticks = asyncio.run(read(cluster, "ticks.v1"))
    assert len({record.partition for record in ticks}) == LANES
    again = asyncio.run(_simulate_two_minutes(cluster))
    assert again > tick.observed_at, "a second run goes on where the first ended: time does not go back"


async def _simulate_two_minutes(cluster: Cluster) -> datetime:
    stop = asyncio.Event()
    asyncio.get_running_loop().call_later(2, stop.set)
    sent = await run_simulator(cluster.client_options(), patients=3, speed=60, stop=stop)
    assert sent.first is not None
    return sent.first


def test_a_replay_done_twice_has_the_same_ids(run: CliRunner, cluster: Cluster, tmp_path: Path) -> None:
    columns = ["HR", "O2Sat", "Temp", "SBP", "MAP", "DBP", "Resp", "EtCO2", "BaseExcess", "HCO3", "FiO2", "pH", "PaCO2",
               "SaO2", "AST", "BUN", "Alkalinephos", "Calcium", "Chloride", "Creatinine", "Bilirubin_direct", "Glucose",
               "Lactate", "Magnesium", "Phosphate", "Potassium", "Bilirubin_total", "TroponinI", "Hct", "Hgb", "PTT",
               "WBC", "Fibrinogen", "Platelets", "Age", "Gender", "Unit1", "Unit2", "HospAdmTime", "ICULOS",
               "SepsisLabel"]  # fmt: skip
    rows = [
        {"HR": 80 + hour, "WBC": 9, "FiO2": 7, "Age": 60, "Gender": 1, "ICULOS": hour, "SepsisLabel": 0}
        for hour in range(1, 5)
    ]
    lines = ["|".join(columns), *("|".join(str(row.get(column, "NaN")) for column in columns) for row in rows)]
    (tmp_path / "p000009.psv").write_text("\n".join(lines) + "\n")
    for _ in range(2):
        result = run.invoke(app, ["replay", "challenge2019", str(tmp_path), "--tick-minutes", "30"])
        assert result.exit_code == 0, result.output
        assert "FiO2 (out_of_bounds)" in result.output
    for topic, count in (("vitals.v1", 4), ("labs.v1", 4), ("admissions.v1", 2), ("outcomes.v1", 1)):
        records = [r for r in asyncio.run(read(cluster, topic)) if r.key == b"cinc2019-p000009"]
        ids = Counter(orjson.loads(record.value)["event_id"] for record in records)
        assert list(ids.values()) == [2] * count


def test_lines_are_published_or_told(run: CliRunner, cluster: Cluster, tmp_path: Path) -> None:
    good = {"event_id": str(uuid4()), "source": "s", "patient_id": "line", "observed_at": "2026-03-01T00:00:00Z",
            "received_at": "2026-03-01T00:00:00Z", "heart_rate_bpm": 70}  # fmt: skip
    lines = [orjson.dumps(good), orjson.dumps({**good, "heart_rate_bpm": 4711}), b"{"]
    (tmp_path / "vitals.ndjson").write_bytes(b"\n".join(lines))
    result = run.invoke(app, ["publish", "vitals.v1", str(tmp_path / "vitals.ndjson")])
    assert result.exit_code == 1
    assert "line 2: out_of_bounds: heart_rate_bpm" in result.output
    assert "line 3: malformed_json" in result.output
    assert "1 published, 2 rejected" in result.output
    assert "4711" not in result.output
    piped = run.invoke(app, ["publish", "vitals.v1", "-"], input=lines[0] + b"\n")
    assert (piped.exit_code, "1 published, 0 rejected" in piped.output) == (0, True)
    assert sum(record.key == b"line" for record in asyncio.run(read(cluster, "vitals.v1"))) == 2
    assert run.invoke(app, ["publish", "ticks.v1", "-"], input=b"").exit_code == 2


async def test_a_live_clock_is_refused(cluster: Cluster) -> None:
    async with Publisher(**cluster.client_options()) as publisher:
        await publisher.publish_tick(datetime.now(UTC), "clock")
    with pytest.raises(ClockError, match="live clock"):
        await run_simulator(cluster.client_options(), patients=3)
    with pytest.raises(ClockError, match="live clock"):
        await run_replay(cluster.client_options(), iter(()), speed=None)
