"""Ten thousand random and mutated payloads: each a dead letter or a valid event, and the stream goes on."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from tests.reading import read_all
from tests.workers import Workers
from wardstream.infra.kafka.broker import Cluster
from wardstream.infra.worker import HANDLERS
from wardstream.schemas.decode import BadEvent, decode
from wardstream.schemas.topics import TOPICS

EXAMPLES = Path(__file__).parents[2] / "schemas" / "examples"
PAYLOADS = 10_000
PUBLISHED = [topic for topic in HANDLERS if TOPICS[topic].role == "input"]

pytestmark = pytest.mark.connected


def mutated(rng: random.Random, example: bytes) -> bytes:
    """The example with some bytes changed, a piece cut out or doubled, or a value replaced; or plain noise."""
    raw = bytearray(example)
    match rng.randrange(6):
        case 0:
            return rng.randbytes(rng.randrange(0, 300))
        case 1:
            for _ in range(rng.randrange(1, 5)):
                raw[rng.randrange(len(raw))] = rng.randrange(256)
        case 2:
            at = rng.randrange(len(raw))
            del raw[at : at + rng.randrange(1, 40)]
        case 3:
            at = rng.randrange(len(raw))
            raw[at:at] = raw[at : at + rng.randrange(1, 40)]
        case _:
            message: dict[str, Any] = json.loads(example)
            field = rng.choice(list(message))
            message[field] = rng.choice([None, -1, 1e308, "", "x" * 5000, [], {}, [[[]]], True, "\ud800", 2**70])
            return json.dumps(message).encode()
    return bytes(raw)


async def test_ten_thousand_payloads(own_kafka: Cluster, workers: Workers) -> None:
    worker = workers.start()
    rng, bootstrap = random.Random(2026), ",".join(own_kafka.bootstrap_servers)
    expected_dead: Counter[str] = Counter()
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, enable_idempotence=True)
    await producer.start()
    try:
        for _ in range(PAYLOADS):
            topic = rng.choice(PUBLISHED)
            payload = mutated(rng, (EXAMPLES / f"{topic}.json").read_bytes())
            try:
                decode(topic, payload)
            except BadEvent:
                expected_dead[topic] += 1
            await producer.send(topic, payload, rng.randbytes(8), partition=rng.randrange(4))
        example = json.loads((EXAMPLES / "vitals.v1.json").read_bytes())
        last = example | {"event_id": "0b5fa0dc-3a8b-4a9c-8a61-3b9b3b7f5d10", "patient_id": "still-here"}
        await producer.send("vitals.v1", json.dumps(last).encode(), b"any")
        await producer.flush()
    finally:
        await producer.stop()
    topics = ["scores.v1", *(f"{topic}.dead" for topic in PUBLISHED)]
    async with asyncio.timeout(300):
        while True:
            found = await read_all(bootstrap, topics)
            dead = {topic: len(found[f"{topic}.dead"]) for topic in PUBLISHED}
            scored = [json.loads(record.value)["patient_id"] for record in found["scores.v1"]]
            if dead == expected_dead and "still-here" in scored:
                break
            assert worker.poll() is None
            await asyncio.sleep(1)
    assert sum(expected_dead.values()) > PAYLOADS / 4
    assert not any(record.key for topic in PUBLISHED for record in found[f"{topic}.dead"])  # keys may hold anything
