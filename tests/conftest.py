"""Fixtures of all tests. Those that start brokers start them by themselves, and end them."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings as hypothesis_settings

from tests.workers import Workers, create_topics, worker_environment
from wardstream.infra.kafka.broker import Cluster
from wardstream.infra.kafka.jars import fetch, jars_folder
from wardstream.infra.settings import load_settings
from wardstream.infra.triton.environment import Environment, triton_folder
from wardstream.infra.triton.environment import fetch as fetch_triton

ROOT = Path(__file__).resolve().parents[1]

hypothesis_settings.register_profile("any machine", deadline=None)  # no test asserts on wall time
hypothesis_settings.load_profile("any machine")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the reference data: WARDSTREAM_SHARED_DATA, or `../shared/data` beside the checkout."""
    folder = Path(os.environ.get("WARDSTREAM_SHARED_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        reason = f"no reference data at {folder}; set WARDSTREAM_SHARED_DATA"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)  # a promise to have run everything is not kept by skipping
        pytest.skip(reason)
    return folder


@pytest.fixture(scope="session")
def kafka_jars() -> Path:
    """Apache Kafka's jars, fetched when absent."""
    folder = jars_folder(load_settings(home=ROOT / ".wardstream"))
    fetch(folder)
    return folder


@pytest.fixture(scope="session")
def triton_environment() -> Environment:
    """What the local Triton server is made of, fetched when absent."""
    return fetch_triton(triton_folder(load_settings(home=ROOT / ".wardstream")))


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory, kafka_jars: Path) -> Iterator[Cluster]:
    """One broker for the whole run: use topics of your own (`unique`), and leave it running."""
    with Cluster(tmp_path_factory.mktemp("kafka"), jars=kafka_jars) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def kafka3(tmp_path_factory: pytest.TempPathFactory, kafka_jars: Path) -> Iterator[Cluster]:
    """Three brokers (replication 3, min ISR 2) for one module: kill and pause them, but leave them running."""
    with Cluster(tmp_path_factory.mktemp("kafka3"), brokers=3, jars=kafka_jars) as cluster:
        yield cluster
        for i in (1, 2, 3):  # nobody needs the data: an orderly end would take the last controller 5 s
            cluster.kill(i)


@pytest.fixture
def unique() -> str:
    """A name nobody else uses: for topics, groups and application ids on a shared broker."""
    return f"t{uuid.uuid4().hex[:12]}"


@pytest.fixture
def own_kafka(tmp_path: Path, kafka_jars: Path) -> Iterator[Cluster]:
    """A broker of the test's own (3 s): for workers, whose topics have fixed names."""
    with Cluster(tmp_path / "kafka", jars=kafka_jars) as cluster:
        yield cluster


@pytest.fixture
def workers(own_kafka: Cluster, tmp_path: Path) -> Iterator[Workers]:
    """Starts `wardstream worker` processes on `own_kafka`, with its topics created and the live clock."""
    environment = worker_environment(own_kafka, tmp_path / "home")
    create_topics(environment)
    workers = Workers(environment, tmp_path)
    try:
        yield workers
    finally:
        workers.end()
