"""The learner on a real broker: killed at any moment, it ends with the bits of one that never was."""

from __future__ import annotations

import asyncio
import subprocess
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

import msgspec
import pytest
from aiokafka import AIOKafkaProducer

from tests.models.risk.rows import examples
from tests.workers import WARDSTREAM, create_topics, worker_environment
from wardstream.agents.streams.producer import read_changelog
from wardstream.infra.kafka.broker import Cluster
from wardstream.infra.risk import KEY_FILE, learner_key
from wardstream.models.risk.champion import Settings
from wardstream.models.risk.features import VERSION
from wardstream.models.risk.keys import key_id
from wardstream.models.risk.learner import Learner
from wardstream.models.risk.snapshots import Signed, Snapshot, opened
from wardstream.models.risk.target import Target
from wardstream.schemas.decode import decoder_of, encode
from wardstream.schemas.risk_models import RiskModel
from wardstream.schemas.training_examples import Input, TrainingExample

pytestmark = [pytest.mark.connected, pytest.mark.timeout(1200)]

EXAMPLES = 12_000
KILLS = 10
START = datetime(2026, 3, 1, tzinfo=UTC)
DEADLINE_S = 300.0
OUTCOMES = '["death", "icu_transfer"]'
TARGET = Target(name="death_or_icu_transfer", kinds=("icu_transfer", "death"))


def published() -> list[TrainingExample]:
    """As lanes would write them; some without a label, some of another version of the inputs."""
    made = []
    for index, one in enumerate(examples(EXAMPLES)):
        at = START + timedelta(minutes=index)
        label = None if index % 50 == 7 else one.happened
        made.append(
            TrainingExample(
                event_id=UUID(int=index + 1),
                source="wardstream",
                patient_id=one.patient_id,
                observed_at=at,
                received_at=at + timedelta(days=2),
                prediction_id=UUID(int=1 << 64 | index),
                model="risk",
                version="0",
                target=TARGET.name,
                horizon_h=TARGET.horizon_h,
                features="0" if index % 70 == 9 else VERSION,
                inputs={name: Input(value=value, age_h=age_h) for name, (value, age_h) in one.inputs.items()},
                hour=one.hour,
                unit=one.unit,
                label=label,
                why="not_there" if label is None else "outcome" if label else "stayed",
                outcome="death" if label else None,
                outcome_at=at if label else None,
            )
        )
    return made


async def send(client: dict[str, Any], events: list[TrainingExample]) -> None:
    async with AIOKafkaProducer(**client, enable_idempotence=True) as producer:
        for event in events:
            await producer.send("training-examples.v1", encode(event), event.patient_id.encode(), 0)
        await producer.flush()


def snapshot(client: dict[str, Any]) -> RiskModel | None:
    rows = asyncio.run(read_changelog("risk-models.v1", 0, client))
    return decoder_of(RiskModel)(rows[b"learner"]) if b"learner" in rows else None


def position(model: RiskModel | None) -> int:
    if model is None:
        return 0
    return msgspec.json.decode(model.payload, type=Snapshot).positions["training-examples.v1"]


def until(reached: Any, process: subprocess.Popen[bytes] | None = None) -> None:
    """Wait for it, with a deadline."""
    end = time.monotonic() + DEADLINE_S
    while not reached():
        assert time.monotonic() < end, "it does not come"
        assert process is None or process.poll() is None, "the learner has ended"
        time.sleep(0.3)


def test_killed_at_ten_moments_it_ends_with_the_same_bits(own_kafka: Cluster, tmp_path: Path) -> None:
    environment = worker_environment(own_kafka, tmp_path / "home", RISK_OUTCOMES=OUTCOMES)
    create_topics(environment)
    client, events, draw = own_kafka.client_options(), published(), Random(3)
    started: list[subprocess.Popen[bytes]] = []

    def learner() -> subprocess.Popen[bytes]:
        log = (tmp_path / f"learner{len(started)}.log").open("wb")
        started.append(subprocess.Popen([WARDSTREAM, "learner"], env=environment, stdout=log, stderr=log))
        return started[-1]

    def learning() -> None:
        """Wait until the one that was started last has begun."""
        log = tmp_path / f"learner{len(started) - 1}.log"
        until(lambda: b"learning from" in log.read_bytes(), started[-1])

    try:
        asyncio.run(send(client, events))
        for _ in range(KILLS):
            process = learner()
            learning()
            time.sleep(draw.uniform(0.0, 4.0))
            process.kill()
            process.wait(60)
        first = learner()
        learning()
        second = learner()  # takes over: the first ends at its next snapshot
        learning()
        assert first.wait(90) == 2
        assert b"another learner has taken over" in (tmp_path / f"learner{KILLS}.log").read_bytes()
        until(lambda: position(snapshot(client)) >= EXAMPLES, second)
        second.terminate()
        assert second.wait(60) == 0
    finally:
        for process in started:
            if process.poll() is None:
                process.kill()
            process.wait(60)

    straight = Learner(TARGET, Settings())
    for event, one in zip(events, examples(EXAMPLES), strict=True):
        if event.label is not None and event.features == VERSION:
            straight.learn(one)
    model = snapshot(client)
    assert model is not None
    assert model.version == f"{VERSION}.{straight.examples}"
    public = learner_key(tmp_path / "home").public_key()
    again, positions = opened(
        Signed(key_id=model.key_id, signature=model.signature, payload=model.payload), {key_id(public): public}
    )
    assert positions == {"training-examples.v1": EXAMPLES}
    assert msgspec.json.encode(again.state()) == msgspec.json.encode(straight.state())

    (tmp_path / "home" / KEY_FILE).write_bytes(bytes(32))  # another key: what it signed is not its own
    refused = subprocess.run([WARDSTREAM, "learner"], env=environment, capture_output=True, timeout=120, check=False)
    assert refused.returncode == 2
    assert b"signed with a key that is not trusted here" in refused.stderr


def test_whose_key_is_lost_begins_anew_when_told_to(own_kafka: Cluster, tmp_path: Path) -> None:
    home = tmp_path / "home"
    environment = worker_environment(own_kafka, home, RISK_OUTCOMES=OUTCOMES)
    create_topics(environment)
    client, events = own_kafka.client_options(), published()[:600]
    asyncio.run(send(client, events))

    def learn(*options: str) -> None:
        """Until all are learned, and the snapshot has been signed with the key of now."""
        with (tmp_path / "learner.log").open("ab") as log:
            process = subprocess.Popen([WARDSTREAM, "learner", *options], env=environment, stdout=log, stderr=log)
        try:
            own = key_id(learner_key(home).public_key())
            until(lambda: (one := snapshot(client)) is not None and one.key_id == own and position(one) == 600, process)
        finally:
            process.terminate()
            process.wait(30)

    learner_key(home)
    learn()
    first = snapshot(client)
    assert first is not None
    (home / KEY_FILE).unlink()
    refused = subprocess.run(
        [WARDSTREAM, "learner"], env=environment, capture_output=True, text=True, timeout=90, check=False
    )
    assert refused.returncode != 0
    assert "not trusted here" in refused.stderr
    assert snapshot(client) == first
    learn("--anew", "the key is lost")
    anew = snapshot(client)
    assert anew is not None
    assert (anew.payload, anew.key_id != first.key_id) == (first.payload, True), "the same examples, from the beginning"
    audited = asyncio.run(read_changelog("audit.v1", 0, client))[b"learner"]
    assert msgspec.json.decode(audited)["what"] == "model_begun_anew"
