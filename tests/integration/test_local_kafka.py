"""The real Apache Kafka that the demo and all connected tests stand on."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from wardstream.agents.streams.topic_ids import topic_ids
from wardstream.infra.kafka.admin import admin
from wardstream.infra.kafka.broker import Cluster
from wardstream.infra.kafka.jars import JarError
from wardstream.infra.kafka.node import KafkaDown
from wardstream.infra.kafka.topics import Wish, create_topics, describe_topics

pytestmark = pytest.mark.connected


async def read_all(cluster: Cluster, topic: str) -> list[bytes]:
    """Every value of a topic, by way of explicit offsets."""
    consumer = AIOKafkaConsumer(**cluster.client_options(), enable_auto_commit=False)
    await consumer.start()
    try:
        present = await describe_topics(cluster.client_options(), [topic])
        partitions = [TopicPartition(topic, p.number) for p in present[topic].partitions]
        consumer.assign(partitions)
        end = await consumer.end_offsets(partitions)
        for tp, offset in (await consumer.beginning_offsets(partitions)).items():
            consumer.seek(tp, offset)
        values: list[bytes] = []
        async with asyncio.timeout(30):
            while any([await consumer.position(tp) < end[tp] for tp in partitions]):
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    values += [record.value for record in records]
        return values
    finally:
        await consumer.stop()


async def send(cluster: Cluster, topic: str, *values: bytes) -> None:
    producer = AIOKafkaProducer(**cluster.client_options(), enable_idempotence=True, acks="all")
    await producer.start()
    try:
        for value in values:
            await producer.send_and_wait(topic, value)
    finally:
        await producer.stop()


def test_stops_cleanly_and_goes_on_with_its_data(tmp_path: Path, kafka_jars: Path) -> None:
    with Cluster(tmp_path / "kafka", jars=kafka_jars) as cluster:
        address, pid = cluster.broker_url, cluster.pid(1)
        asyncio.run(create_topics(cluster.client_options(), [Wish("kept", 1, 1)]))
        asyncio.run(send(cluster, "kept", b"1"))
        with pytest.raises(KafkaDown, match="Another Kafka is running"):
            Cluster(tmp_path / "kafka", jars=kafka_jars).start()
        assert cluster.controller() == 1
    assert not psutil.pid_exists(pid)
    # From a thread that ends: the broker lives on, though it is tied to the life of its parent.
    again = Cluster(tmp_path / "kafka", jars=kafka_jars)
    starter = threading.Thread(target=again.start)
    starter.start()
    starter.join()
    try:
        assert again.broker_url == address
        asyncio.run(send(again, "kept", b"2"))
        assert asyncio.run(read_all(again, "kept")) == [b"1", b"2"]
        again.check()
    finally:
        again.stop()


def test_command_leaves_no_process_however_it_ends(tmp_path: Path, kafka_jars: Path) -> None:
    command = [sys.executable, "-c", "from wardstream.infra.cli import main; main()", "kafka", "start"]
    home = {"WARDSTREAM_HOME": str(kafka_jars.parents[1])}

    def started() -> tuple[subprocess.Popen[str], psutil.Process]:
        parent = subprocess.Popen(
            [*command, "--folder", str(tmp_path)], stdout=subprocess.PIPE, text=True, env=os.environ | home
        )
        assert parent.stdout is not None
        assert parent.stdout.readline().startswith("export WARDSTREAM_BROKER_URL=kafka://127.0.0.1:")
        (broker,) = psutil.Process(parent.pid).children()
        assert "kafka.Kafka" in broker.cmdline()
        return parent, broker

    parent, broker = started()
    os.kill(broker.pid, signal.SIGSTOP)  # dies even when it hears nothing
    parent.kill()
    parent.communicate()
    broker.wait(timeout=60)

    parent, broker = started()
    parent.send_signal(signal.SIGINT)
    parent.communicate(timeout=60)
    assert parent.returncode == 0
    assert not broker.is_running()


def test_jar_that_was_changed_is_not_run(tmp_path: Path, kafka_jars: Path) -> None:
    jars = tmp_path / "jars"
    jars.mkdir()
    for jar in kafka_jars.glob("*.jar"):
        (jars / jar.name).symlink_to(jar)
    changed = jars / "kafka-clients-4.4.0.jar"
    changed.unlink()
    shutil.copy(kafka_jars / changed.name, changed)
    with changed.open("r+b") as file:
        file.seek(1000)
        file.write(b"\0")
    with pytest.raises(JarError, match=r"kafka-clients-4\.4\.0\.jar is not the recorded jar"):
        Cluster(tmp_path / "kafka", jars=jars).start()
    assert not (tmp_path / "kafka").exists()


def test_broker_that_cannot_start_says_why(tmp_path: Path, kafka_jars: Path) -> None:
    (tmp_path / "broker-1" / "data").mkdir(parents=True)
    (tmp_path / "broker-1" / "data" / "meta.properties").write_text("version=1\ncluster.id=x\nnode.id=7\n")
    with pytest.raises(KafkaDown, match=r"(?s)broker 1 ended while starting.*7"):
        Cluster(tmp_path, jars=kafka_jars).start()


async def test_topics_are_created_once(kafka: Cluster, unique: str) -> None:
    options = kafka.client_options()
    wanted = [Wish(f"{unique}.a", 2, 1, {"retention.ms": "60000"}), Wish(f"{unique}.b", 1, 1)]
    first = await create_topics(options, wanted)
    assert set(first.created) == {f"{unique}.a", f"{unique}.b"}
    again = await create_topics(options, wanted)
    assert (again.created, again.drift) == ((), ())
    other = await create_topics(options, [Wish(f"{unique}.a", 3, 1, {"retention.ms": "1"})])
    assert [(d.what, d.wanted, d.present) for d in other.drift] == [
        ("partitions", "3", "2"),
        ("retention.ms", "1", "60000"),
    ]
    found = (await describe_topics(options, [f"{unique}.a"]))[f"{unique}.a"]
    assert (len(found.partitions), found.configs["retention.ms"]) == (2, "60000")
    assert "retention.ms" in found.own
    assert found.partitions[0].isr == (1,)


async def test_topic_made_anew_has_another_id(kafka: Cluster, unique: str) -> None:
    options = kafka.client_options()
    await create_topics(options, [Wish(unique, 1, 1), Wish(f"{unique}.other", 1, 1)])
    before = await topic_ids(options, [unique, f"{unique}.other", f"{unique}.missing"])
    assert before.keys() == {unique, f"{unique}.other"}
    async with admin(options) as client:
        await client.delete_topics([unique])
    async with asyncio.timeout(60):
        while True:
            if not await topic_ids(options, [unique]):
                break
            await asyncio.sleep(0.05)
    await create_topics(options, [Wish(unique, 1, 1)])
    after = await topic_ids(options, [unique, f"{unique}.other"])
    assert after[unique] != before[unique]
    assert after[f"{unique}.other"] == before[f"{unique}.other"]


async def test_topic_ids_have_a_deadline(kafka3: Cluster) -> None:
    kafka3.pause(1)
    try:
        with pytest.raises(TimeoutError):
            await topic_ids({"bootstrap_servers": kafka3.bootstrap_servers[0]}, ["any"], deadline_s=0.5)
    finally:
        kafka3.resume(1)


async def test_three_brokers_survive_the_loss_of_one(kafka3: Cluster, unique: str) -> None:
    options = kafka3.client_options()
    await create_topics(options, [Wish(unique, 3, 3, {"min.insync.replicas": "2"})])
    lost = await asyncio.to_thread(kafka3.controller)  # the worst one: a new controller must be found, too
    producer = AIOKafkaProducer(**options, enable_idempotence=True, acks="all", linger_ms=5)
    await producer.start()
    acknowledged = []
    try:
        async with asyncio.timeout(60):
            waiting = []
            until = time.monotonic() + 3
            number = 0
            while time.monotonic() < until:
                waiting.append(await producer.send(unique, b"%d" % number, partition=number % 3))
                number += 1
                if number == 300:
                    await asyncio.to_thread(kafka3.kill, lost)
                await asyncio.sleep(0.002)
            acknowledged = await asyncio.gather(*waiting)
    finally:
        await producer.stop()
    assert len(acknowledged) == number > 300
    assert await asyncio.to_thread(kafka3.controller) != lost
    counted = Counter(await read_all(kafka3, unique))
    assert counted == Counter(b"%d" % n for n in range(number))
    await asyncio.to_thread(kafka3.start, lost)
    async with asyncio.timeout(30):
        while True:
            present = await describe_topics(options, [unique])
            if all(len(partition.isr) == 3 for partition in present[unique].partitions):
                break
            await asyncio.sleep(0.2)
