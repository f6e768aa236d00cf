"""A worker of the imaging group on a real broker: films become findings, and the other group is left alone."""

from __future__ import annotations

import asyncio
import subprocess
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer

from tests.workers import WARDSTREAM, create_topics, worker_environment
from wardstream.client import Publisher
from wardstream.infra.feeds.films import film, uid
from wardstream.infra.kafka.broker import Cluster
from wardstream.schemas.decode import decoder_of
from wardstream.schemas.findings import Finding
from wardstream.schemas.imaging import Imaging

pytestmark = pytest.mark.connected
DEADLINE_S = 90


async def exchange(address: str, events: list[Imaging], wanted: int) -> list[Finding]:
    """Publish, and read what comes of it."""
    async with Publisher(address) as publisher:
        for event in events:
            await publisher.publish(event)
    found: list[Finding] = []
    decode = decoder_of(Finding)
    async with AIOKafkaConsumer(
        "findings.v1",
        bootstrap_servers=address,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
    ) as consumer:
        deadline = time.monotonic() + DEADLINE_S
        while len(found) < wanted and time.monotonic() < deadline:
            for records in (await consumer.getmany(timeout_ms=500)).values():
                found += [decode(record.value) for record in records]
    return found


def test_films_become_findings(tmp_path: Path, kafka_jars: Path) -> None:
    now = datetime.now(UTC)
    images = tmp_path / "images"
    images.mkdir()
    names = {"suitable": {}, "adult": {"PatientAge": "044Y"}, "cut": {"PixelData": b"\0\0"}}
    for name, header in names.items():
        (images / f"{name}.dcm").write_bytes(film(name, now, 3, **header))
    (images / "nothing.dcm").write_bytes(b"nothing")
    events = [
        Imaging(
            event_id=uuid4(),
            source="test",
            patient_id=f"p-{name}",
            observed_at=now,
            received_at=now + timedelta(seconds=1),
            study_uid=uid(f"{name}/study"),
            modality="DX",
            pixels_uri=uri,
        )
        for name, uri in {
            **{name: (images / f"{name}.dcm").as_uri() for name in (*names, "nothing")},
            "elsewhere": "file:///etc/hostname",
        }.items()
    ]
    with Cluster(tmp_path / "kafka", jars=kafka_jars) as cluster:
        environment = worker_environment(cluster, tmp_path, IMAGING_FOLDERS=f'["{images}"]')
        create_topics(environment)
        with (tmp_path / "worker.log").open("wb") as log:
            command = [WARDSTREAM, "worker", "--group", "imaging"]
            worker = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
        try:
            found = asyncio.run(exchange(cluster.bootstrap_servers[0], events, len(events)))
            assert worker.poll() is None, (tmp_path / "worker.log").read_text()
        finally:
            worker.terminate()
            stopped = worker.wait(40)
    # Without a model server a good film abstains too, and says so.
    assert {finding.patient_id: finding.reason_code for finding in found} == {
        "p-suitable": "model_unavailable",
        "p-adult": "age",
        "p-cut": "unreadable",
        "p-nothing": "not_an_image",
        "p-elsewhere": "not_allowed",
    }
    assert all("28×28 triage, children of 1–5 years" in finding.caveat for finding in found)
    log_text = (tmp_path / "worker.log").read_text()
    assert stopped == 0, log_text
    assert "p-adult" not in log_text
