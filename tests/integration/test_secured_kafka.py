"""A cluster as hospitals have it: TLS, names and passwords. The topics' commands are tried on it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from typer.testing import CliRunner

from wardstream.infra.cli import main
from wardstream.infra.kafka.admin import ClusterUnreachable, admin
from wardstream.infra.kafka.broker import Cluster
from wardstream.infra.kafka.security import Security
from wardstream.infra.kafka.topics import LaneTopicsError, Wish, create_topics, lane_count, wishes
from wardstream.infra.settings import kafka_client_options

pytestmark = pytest.mark.connected

DEADLINE_S = 60


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory, kafka_jars: Path) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("secured")
    with Cluster(folder, security=Security(folder / "security"), jars=kafka_jars) as cluster:
        yield cluster


async def test_right_password(secured: Cluster) -> None:
    options = kafka_client_options(secured.settings())
    await create_topics(options, [Wish("secret", 1, 1)])
    producer = AIOKafkaProducer(**options, transactional_id="t", acks="all")
    await producer.start()
    async with producer.transaction():
        await producer.send("secret", b"kept to ourselves")
    await producer.stop()
    consumer = AIOKafkaConsumer(
        "secret", **options, group_id="g", auto_offset_reset="earliest", isolation_level="read_committed"
    )
    await consumer.start()
    async with asyncio.timeout(DEADLINE_S):
        record = await consumer.getone()
    await consumer.stop()
    assert record.value == b"kept to ourselves"


async def refused(secured: Cluster, **overrides: object) -> str:
    asked = time.monotonic()
    with pytest.raises(ClusterUnreachable) as refusal:
        async with admin(kafka_client_options(secured.settings(**overrides))):
            pass
    assert time.monotonic() - asked < DEADLINE_S
    return str(refusal.value)


async def test_wrong_password_is_refused(secured: Cluster) -> None:
    text = await refused(secured, sasl_password="guessed", sasl_password_file=None)
    assert text.endswith("the brokers refuse this name and password")
    assert "guessed" not in text


async def test_wrong_mechanism_is_named(secured: Cluster) -> None:
    assert "SASL mechanism PLAIN" in await refused(secured, sasl_mechanism="PLAIN")


async def test_stranger_is_not_trusted(secured: Cluster) -> None:
    assert "CERTIFICATE_VERIFY_FAILED" in await refused(secured, ssl_cafile=None)


async def test_plain_client_is_refused(secured: Cluster) -> None:
    with pytest.raises(ClusterUnreachable):
        async with asyncio.timeout(DEADLINE_S), admin({"bootstrap_servers": secured.bootstrap_servers}):
            pass


async def test_tls_alone_is_not_enough(secured: Cluster) -> None:
    options = kafka_client_options(secured.settings())
    nameless = {name: value for name, value in options.items() if not name.startswith("sasl_")}
    with pytest.raises(ClusterUnreachable):
        async with asyncio.timeout(DEADLINE_S), admin(nameless | {"security_protocol": "SSL"}):
            pass


def test_commands(secured: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    run = CliRunner()
    for name, value in secured.environment().items():
        monkeypatch.setenv(name, value)
    missing = run.invoke(main, ["topics", "describe", "vitals.v1"])
    assert missing.exit_code == 1
    assert "`wardstream topics create`" in missing.stderr

    created = run.invoke(main, ["topics", "create", "--lanes", "2"])
    assert created.exit_code == 0, created.output
    assert f"{len(wishes(2, 1))} created, 0 were there" in created.stdout
    again = run.invoke(main, ["topics", "create", "--lanes", "2"])
    assert again.exit_code == 0, again.output
    assert "0 created" in again.stdout

    grown = run.invoke(main, ["topics", "create", "--lanes", "3"])
    assert grown.exit_code == 1
    assert [line for line in grown.stdout.splitlines() if "vitals.v1 " in line and "partitions" in line]
    assert "nothing was changed" in grown.stderr

    described = run.invoke(main, ["topics", "describe", "vitals.v1"])
    assert described.exit_code == 0, described.output
    assert "in sync" in described.stdout
    assert "retention.ms = 2592000000" in described.stdout
    listed = run.invoke(main, ["topics", "list"])
    assert listed.exit_code == 0, listed.output
    assert "vitals.v1.dead" in listed.stdout
    assert "missing" not in listed.stdout


async def test_lanes_are_counted(secured: Cluster) -> None:
    options = secured.client_options()
    await create_topics(options, wishes(2, 1))
    assert await lane_count(options) == 2
    async with admin(options) as client:
        await client.delete_topics(["labs.v1"])
        async with asyncio.timeout(DEADLINE_S):
            while True:
                if "labs.v1" not in await client.list_topics():
                    break
                await asyncio.sleep(0.05)
    with pytest.raises(LaneTopicsError, match=r"no topic labs\.v1; `wardstream topics create`"):
        await lane_count(options)
    await create_topics(options, [Wish("labs.v1", 3, 1)])
    with pytest.raises(LaneTopicsError, match=r"labs\.v1 has 3; `wardstream lanes migrate`"):
        await lane_count(options)
