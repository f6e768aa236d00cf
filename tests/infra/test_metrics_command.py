"""`wardstream metrics --once` on a real broker."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from aiokafka import AIOKafkaProducer
from typer.testing import CliRunner

from wardstream.infra.cli import main
from wardstream.infra.commands import metrics as command
from wardstream.infra.kafka.broker import Cluster
from wardstream.infra.kafka.topics import Wish, create_topics
from wardstream.schemas.decode import encode
from wardstream.schemas.metrics import Metrics

pytestmark = pytest.mark.connected
RUN = CliRunner()


@pytest.fixture
def topic(kafka: Cluster, unique: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A metrics topic of our own, and an environment in which the command finds it."""
    for name, value in kafka.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(command, "TOPIC", unique)
    asyncio.run(create_topics(kafka.client_options(), [Wish(unique, 1, 1)]))
    return unique


async def publish(kafka: Cluster, topic: str, *values: bytes) -> None:
    async with AIOKafkaProducer(**kafka.client_options()) as producer:
        for value in values:
            await producer.send_and_wait(topic, value)


def snapshot(age_s: float, events: float) -> bytes:
    now = datetime.now(UTC)
    return encode(
        Metrics(
            process="a",
            role="worker",
            started_at=now - timedelta(hours=1),
            at=now - timedelta(seconds=age_s),
            counters={'events_total{topic="vitals.v1"}': events},
        )
    )


def test_one_table(kafka: Cluster, topic: str) -> None:
    asyncio.run(publish(kafka, topic, snapshot(11, 1000), b"not a snapshot", snapshot(1, 1500)))
    result = RUN.invoke(main, ["metrics", "--once"])
    assert result.exit_code == 0, result.output
    assert "1 process (worker)" in result.output
    row = next(line for line in result.output.splitlines() if 'topic="vitals.v1"' in line)
    total, rate = row.split()[1:]
    assert (total, round(float(rate))) == ("1,500", 50)
    assert "Events applied" in result.output


def test_nothing_there(kafka: Cluster, topic: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "ONCE_DEADLINE_S", 1.0)
    asyncio.run(publish(kafka, topic, snapshot(40, 1000)))  # of a process that is gone
    result = RUN.invoke(main, ["metrics", "--once"])
    assert result.exit_code == 1
    assert "is a worker running?" in result.stderr


def test_no_topic(topic: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "TOPIC", f"{topic}-none")
    result = RUN.invoke(main, ["metrics", "--once"])
    assert result.exit_code == 2
    assert "`wardstream topics create` makes it" in result.stderr


def test_what_alerts_are_worth(kafka: Cluster, topic: str) -> None:
    asyncio.run(publish(kafka, topic, snapshot(1, 1500)))
    result = RUN.invoke(main, ["metrics", "--once", "--alerts"])
    assert result.exit_code == 0, result.output
    assert "0 outcomes judged" in result.output
    assert "By unit" in result.output
