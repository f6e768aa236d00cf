"""The whole stream with TLS and passwords: publisher, worker, consumer; and a worker that is not let in."""

from __future__ import annotations

import asyncio
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer

from tests.workers import WARDSTREAM, Workers, create_topics, worker_environment
from wardstream.client import Publisher
from wardstream.infra.kafka.broker import Cluster
from wardstream.infra.kafka.security import Security
from wardstream.schemas.decode import decoder_of
from wardstream.schemas.scores import Scores
from wardstream.schemas.vitals import Vitals

pytestmark = pytest.mark.connected


async def test_scores_over_tls_and_none_with_a_wrong_password(tmp_path: Path, kafka_jars: Path) -> None:
    with Cluster(tmp_path / "kafka", security=Security(tmp_path / "security"), jars=kafka_jars) as cluster:
        environment = worker_environment(cluster, tmp_path / "home") | cluster.environment()
        create_topics(environment)
        workers = Workers(environment, tmp_path)
        try:
            workers.start()
            now = datetime.now(UTC)
            event = Vitals(
                event_id=uuid4(),
                source="monitor",
                patient_id="secured",
                observed_at=now,
                received_at=now,
                respiratory_rate_per_min=27.0,
            )
            async with Publisher(**cluster.client_options()) as publisher:
                await publisher.send(event)
            scores = AIOKafkaConsumer(
                "scores.v1",
                **cluster.client_options(),
                auto_offset_reset="earliest",
                isolation_level="read_committed",
            )
            await scores.start()
            try:
                async with asyncio.timeout(40):
                    scored = decoder_of(Scores)((await scores.getone()).value)
            finally:
                await scores.stop()
            assert scored.caused_by == event.event_id
        finally:
            workers.end()

        wrong = environment | {"WARDSTREAM_SASL_PASSWORD": "wrong"}
        wrong.pop("WARDSTREAM_SASL_PASSWORD_FILE", None)
        refused = await asyncio.to_thread(
            subprocess.run, [WARDSTREAM, "worker"], env=wrong, capture_output=True, text=True, timeout=60
        )
        assert refused.returncode == 2
        assert "refuse this name and password" in refused.stderr
        assert "Traceback" not in refused.stderr
