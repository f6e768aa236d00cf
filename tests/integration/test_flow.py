"""Patient flow on a real broker: movements become forecasts on flow.v1, through a kill -9; the commands show them."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer

from tests.workers import WARDSTREAM, create_topics, worker_environment
from wardstream.infra.feeds.pace import FeedPublisher
from wardstream.infra.kafka.broker import Cluster
from wardstream.schemas.admissions import Admission
from wardstream.schemas.decode import decoder_of
from wardstream.schemas.flow import Flow

pytestmark = [pytest.mark.connected, pytest.mark.timeout(900)]
START = datetime(2026, 3, 2, tzinfo=UTC)
HALF, HOURS = 8, 16
DEADLINE_S = 100
SITE = """
[units.ED]
emergency = true
staffed = 3
patients_per_nurse = 4
"""


async def feed(address: str, hours: Sequence[int]) -> None:
    """Two patients an hour, each there for three; a minute ends what was said of the hour."""
    async with FeedPublisher(address) as publisher:
        for hour in hours:
            for number in range(2):
                at = START + timedelta(hours=hour, minutes=20 * number + 5)
                for kind, who in (("admit", hour), ("discharge", hour - 3)):
                    if who < 0:
                        continue
                    event = Admission(
                        event_id=uuid4(),
                        source="test",
                        patient_id=f"p-{who}-{number}",
                        encounter_id=f"e-{who}-{number}",
                        observed_at=at,
                        received_at=at,
                        kind=kind,  # type: ignore[arg-type]
                        unit="ED" if kind == "admit" else None,
                    )
                    await publisher.publish(event)
            for minute in range(0, 60, 15):
                await publisher.publish_tick(START + timedelta(hours=hour + 1, minutes=minute), "simulator")


async def told(address: str, hours: int) -> list[Flow]:
    """What is on flow.v1 once so many hours are closed."""
    found: list[Flow] = []
    async with AIOKafkaConsumer(
        "flow.v1", bootstrap_servers=address, isolation_level="read_committed", auto_offset_reset="earliest"
    ) as consumer:
        deadline = time.monotonic() + DEADLINE_S
        while len({one.hour_from for one in found if one.ahead}) < hours and time.monotonic() < deadline:
            for records in (await consumer.getmany(timeout_ms=500)).values():
                found += [decoder_of(Flow)(record.value) for record in records]
    return found


def test_from_movements_to_the_board(tmp_path: Path, kafka_jars: Path) -> None:
    (tmp_path / "flow.toml").write_text(SITE)
    with Cluster(tmp_path / "kafka", jars=kafka_jars) as cluster:
        address = cluster.bootstrap_servers[0]
        environment = worker_environment(cluster, tmp_path, CLOCK="feed", FLOW_FILE=str(tmp_path / "flow.toml"))
        create_topics(environment)
        running: list[subprocess.Popen[bytes]] = []

        def start(group: str) -> subprocess.Popen[bytes]:
            log = (tmp_path / f"{group}{len(running)}.log").open("wb")
            command = [WARDSTREAM, "worker", "--group", group]
            running.append(subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT))
            return running[-1]

        try:
            start("bedside")
            killed = start("flow")
            asyncio.run(feed(address, range(HALF)))
            before = asyncio.run(told(address, HALF - 1))
            killed.kill()
            start("flow")
            asyncio.run(feed(address, range(HALF, HOURS)))
            after = asyncio.run(told(address, HOURS - 1))
            shown = [
                subprocess.run(
                    [WARDSTREAM, "flow", *words], env=environment, capture_output=True, text=True, timeout=90
                )
                for words in (["--once"], ["plot", str(tmp_path / "plots")], ["ask", "ED", "--beds", "-1"])
            ]
        finally:
            for one in running:
                if one.poll() is None:
                    one.kill()
                one.wait(60)
    assert len(before) >= HALF - 1
    assert after[: len(before)] == before
    forecasts = [one for one in after if one.ahead]
    hours = [one.hour_from for one in forecasts]
    assert hours == sorted(set(hours)), "each hour has one forecast, whatever was killed"
    assert len(hours) >= HOURS - 1
    last = {one.hour_from: one for one in after}
    assert last[START + timedelta(hours=6)].census == 6
    assert last[START + timedelta(hours=6)].admissions == 2
    for one in shown:
        assert one.returncode == 0, one.stderr
    assert "ED" in shown[0].stdout
    assert (tmp_path / "plots" / "ED.svg").is_file()
    assert "what if" in shown[2].stdout
