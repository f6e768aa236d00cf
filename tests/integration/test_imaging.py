"""A worker of the imaging group on a real broker: films become findings, and the other group is left alone."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from uuid import uuid4

import psutil
import pytest
from aiokafka import AIOKafkaConsumer

from tests.conftest import ROOT
from tests.reading import read_all
from tests.workers import WARDSTREAM, create_topics, worker_environment
from wardstream.client import Publisher
from wardstream.infra.feeds.films import film, uid
from wardstream.infra.kafka.broker import Cluster
from wardstream.infra.triton.environment import Environment
from wardstream.infra.triton.server import TritonServer
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


class Bucket:
    """An S3-compatible store with one film, which it hands out `open_for` times; who asks then is kept waiting."""

    def __init__(self, film: bytes) -> None:
        self.film, self.open_for, self.asked, self.unsigned = film, 0, 0, 0
        self._changed = threading.Condition()
        bucket = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if not bucket.admits("X-Amz-Signature=" in self.path and self.path.startswith("/films/")):
                    return
                self.send_response(200)
                self.send_header("Content-Length", str(len(bucket.film)))
                self.end_headers()
                self.wfile.write(bucket.film)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: object) -> None:
                """Who asked has been killed."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def admits(self, signed: bool) -> bool:
        """Wait for a turn."""
        with self._changed:
            self.asked += 1
            self.unsigned += not signed
            self._changed.notify_all()
            admitted = self._changed.wait_for(lambda: self.open_for > 0, DEADLINE_S)
            self.open_for -= 1
            return admitted

    def until_it_keeps_someone_waiting(self) -> None:
        with self._changed:
            before = self.asked
            assert self._changed.wait_for(lambda: self.asked > before and self.open_for <= 0, DEADLINE_S)

    def open(self, times: int) -> None:
        with self._changed:
            self.open_for = times
            self._changed.notify_all()

    @contextmanager
    def running(self) -> Iterator[Bucket]:
        thread = threading.Thread(target=self._server.serve_forever)
        thread.start()
        try:
            yield self
        finally:
            self.open(1_000_000)
            self._server.shutdown()
            self._server.server_close()
            thread.join(60)


FILMS = 32


@pytest.mark.timeout(900)
def test_a_worker_killed_with_films_in_flight_loses_and_doubles_none(
    tmp_path: Path, kafka_jars: Path, triton_environment: Environment
) -> None:
    """Killed twice while the store keeps it waiting for films; every other film is a file, and all are sent twice."""
    now = datetime.now(UTC)
    images, models, saliency = (tmp_path / name for name in ("images", "models", "saliency"))
    images.mkdir()
    saliency.mkdir()
    shutil.copytree(ROOT / "models" / "repository" / "chest_xray", models / "chest_xray")
    raw = film("a", now, 3)
    (images / "a.dcm").write_bytes(raw)
    events = [
        Imaging(
            event_id=uuid4(),
            source="test",
            patient_id=f"p-{number}",
            observed_at=now,
            received_at=now + timedelta(seconds=1),
            study_uid=uid("a/study"),
            modality="DX",
            pixels_uri=f"s3://films/{number}.dcm" if number % 2 else (images / "a.dcm").as_uri(),
        )
        for number in range(FILMS)
    ]

    async def publish(address: str) -> None:
        async with Publisher(address) as publisher:
            for event in events:
                await publisher.publish(event)

    with (
        Cluster(tmp_path / "kafka", jars=kafka_jars) as cluster,
        TritonServer(tmp_path / "triton", models, made_of=triton_environment) as server,
        Bucket(raw).running() as bucket,
    ):
        told = {"IMAGING_FOLDERS": f'["{images}"]', "IMAGING_S3_ENDPOINT": bucket.url}
        told |= {"IMAGING_S3_BUCKETS": '["films"]', "IMAGING_S3_ACCESS_KEY": "key", "IMAGING_S3_SECRET_KEY": "secret"}
        told |= {"IMAGING_SALIENCY_FOLDER": str(saliency), "TRITON_URL": server.url}
        environment = worker_environment(cluster, tmp_path, **told)
        create_topics(environment)
        asyncio.run(publish(cluster.bootstrap_servers[0]))

        def findings() -> list[Finding]:
            found = asyncio.run(read_all(cluster.bootstrap_servers[0], ["findings.v1"]))
            return [decode(record.value) for record in found["findings.v1"]]

        decode = decoder_of(Finding)
        killed_after = []
        for life in range(3):
            with (tmp_path / f"worker{life}.log").open("wb") as log:
                command = [WARDSTREAM, "worker", "--group", "imaging"]
                worker = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
            try:
                if life == 2:
                    bucket.open(1_000_000)
                    asyncio.run(publish(cluster.bootstrap_servers[0]))
                    deadline = time.monotonic() + DEADLINE_S
                    while len({one.caused_by for one in findings()}) < FILMS:
                        assert worker.poll() is None, (tmp_path / f"worker{life}.log").read_text()
                        assert time.monotonic() < deadline
                        time.sleep(0.3)
                    time.sleep(2)  # what came twice would be told by now
                else:
                    bucket.open(4 * life)
                    bucket.until_it_keeps_someone_waiting()
                    readers = psutil.Process(worker.pid).children(recursive=True)
                    worker.kill()
                    assert not psutil.wait_procs(readers, timeout=DEADLINE_S)[1], "a reader outlived its worker"
                    killed_after.append(len(findings()))
            finally:
                worker.kill()
                worker.wait(60)
        found = findings()
    assert max(killed_after) < FILMS
    assert Counter(one.caused_by for one in found) == {event.event_id: 1 for event in events}
    assert len({one.event_id for one in found}) == FILMS
    assert {(one.quality, one.version) for one in found} == {("ok", "1")}
    assert bucket.asked > FILMS // 2, "no film was in flight when the worker was killed"
    assert bucket.unsigned == 0
    names = {path.name for path in saliency.iterdir() if not path.name.startswith(".")}
    assert names == {f"{event.event_id}-1.wardstream.png" for event in events}
