"""A worker that is watched: it says when it is ready, what it has counted, and that its Kafka is gone."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import subprocess
import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaProducer

from tests.gateways import Gateways
from tests.workers import LANES, WARDSTREAM, Workers, create_topics, worker_environment
from wardstream.client import Publisher
from wardstream.infra.kafka.broker import Cluster
from wardstream.schemas.vitals import Vitals

pytestmark = pytest.mark.connected
DEADLINE_S = 120
DEAD = re.compile(r'^wardstream_dead_letters_total\{.*topic="vitals\.v1"\} ([\d.]+)$', re.MULTILINE)
NAME = "Habermehl"
BAD = (
    NAME.encode(),
    json.dumps({"patient_id": NAME, NAME: NAME}).encode(),
    json.dumps({"event_id": NAME, "source": NAME, "patient_id": "p-4711", "observed_at": NAME}).encode(),
)
"""Records that are no events, with what must not be logged in each part."""


def get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.3)


def kafka_check(url: str) -> str:
    said: str = json.loads(get(f"{url}/readyz")[1])["checks"]["kafka"]
    return said


def address(log: Path) -> str:
    def found() -> re.Match[str] | None:
        return re.search(r"metrics and health are at (http://127\.0\.0\.1:\d+)", log.read_text())

    until(lambda: found() is not None)
    said = found()
    assert said is not None
    return said[1]


async def publish(cluster: Cluster) -> None:
    now = datetime.now(UTC)
    event = Vitals(
        event_id=uuid4(),
        source="monitor",
        patient_id="p-4711",
        observed_at=now,
        received_at=now,
        respiratory_rate_per_min=27.0,
    )
    async with Publisher(**cluster.client_options()) as publisher:
        await publisher.send(event)
    async with AIOKafkaProducer(**cluster.client_options()) as producer:
        for value in BAD:
            await producer.send_and_wait("vitals.v1", value, NAME.encode(), headers=[("who", NAME.encode())])


def test_a_worker_is_watched(tmp_path: Path, kafka_jars: Path) -> None:
    with Cluster(tmp_path / "kafka", jars=kafka_jars) as cluster:
        environment = worker_environment(cluster, tmp_path / "home", METRICS_LISTEN="127.0.0.1:0", LOG_FORMAT="json")
        create_topics(environment)
        workers = Workers(environment, tmp_path)
        try:
            first = workers.start()
            url = address(tmp_path / "worker0.log")
            assert get(f"{url}/healthz")[0] == 200
            until(lambda: get(f"{url}/readyz")[0] == 200)
            asyncio.run(publish(cluster))
            until(lambda: 'wardstream_events_total{topic="vitals.v1"} 1.0' in get(f"{url}/metrics")[1])
            until(lambda: sum(map(float, DEAD.findall(get(f"{url}/metrics")[1]))) == len(BAD))
            text = get(f"{url}/metrics")[1]
            assert f"wardstream_lanes_owned {LANES}.0" in text
            assert 'wardstream_publish_to_output_seconds_count{topic="vitals.v1"} 4.0' in text
            assert not {NAME, "p-4711"} & set(re.findall(r"[\w-]+", text))
            another = workers.start()  # it shares the lanes, has an address of its own, and ends in order
            until(lambda: get(f"{address(tmp_path / 'worker1.log')}/readyz")[0] == 200)
            another.send_signal(signal.SIGTERM)
            assert another.wait(60) == 0
            cluster.kill(1)
            until(lambda: kafka_check(url) != "ok")
            assert kafka_check(url).startswith("Kafka has taken nothing for")
            assert (get(f"{url}/readyz")[0], get(f"{url}/healthz")[0]) == (503, 200)
            first.send_signal(signal.SIGTERM)
            first.wait(60)
        finally:
            workers.end()
    for log in tmp_path.glob("worker*.log"):
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        assert lines
        for line in lines:
            assert line.keys() - {"exception"} == {"time", "level", "logger", "message", "role"}
            assert line["role"] == "worker"
            assert not {NAME, "p-4711"} & set(re.findall(r"[\w-]+", json.dumps(line)))


SERVICES = {
    "mllp-gateway": ("serve", "mllp"),
    "http-gateway": ("serve", "http"),
    "api": ("serve", "api"),
    "webhooks": ("serve", "webhooks"),
    "learner": ("learner",),
    "operations-worker": ("worker", "--group", "operations"),
}


def test_every_service_is_watched(own_kafka: Cluster, tmp_path: Path) -> None:
    """Each on an address of its own; asked to end, each does, also where Kafka is away."""
    gateways = Gateways(
        own_kafka,
        tmp_path,
        HTTP_LISTEN="127.0.0.1:0",
        API_LISTEN="127.0.0.1:0",
        METRICS_LISTEN="127.0.0.1:0",
        LOG_FORMAT="json",
        DELIVERY_KEY=b64encode(bytes(32)).decode(),
        WEBHOOK_NETWORKS='["127.0.0.1/32"]',
        RISK_OUTCOMES='["icu_transfer"]',
    )
    started: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for role, words in SERVICES.items():
            with (tmp_path / f"{role}.log").open("wb") as log:
                started[role] = subprocess.Popen(
                    [WARDSTREAM, *words], env=gateways.environment, stdout=log, stderr=subprocess.STDOUT
                )
        for role in SERVICES:
            url = address(tmp_path / f"{role}.log")
            until(lambda url=url: get(f"{url}/readyz")[0] == 200)  # type: ignore[misc]
            assert get(f"{url}/healthz")[0] == 200
            status, text = get(f"{url}/metrics")
            assert (status, f'role="{role}"' in text) == (200, True), role
        own_kafka.kill(1)
        for process in started.values():
            process.send_signal(signal.SIGTERM)
        ended = {role: process.wait(60) for role, process in started.items()}
        assert ended == dict.fromkeys(SERVICES, 0) | {"learner": 2}, "what the learner has learned is not saved"
    finally:
        for process in started.values():
            if process.poll() is None:
                process.kill()
            process.wait(60)
    for role in SERVICES:
        said = [line for line in (tmp_path / f"{role}.log").read_text().splitlines() if line.startswith("{")]
        assert said, role
        assert {json.loads(line)["role"] for line in said} == {role}
