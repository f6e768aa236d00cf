"""The deep model on the stream: a real worker, a real Triton, recorded patients; no skew and no gap, come what may."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.models.training.tiny import write_candidate
from tests.reading import read_all
from tests.workers import WARDSTREAM, Workers, caught_up, create_topics, worker_environment
from wardstream.infra.kafka.broker import Cluster
from wardstream.infra.model_store import Store
from wardstream.infra.triton.environment import Environment
from wardstream.infra.triton.server import TritonServer
from wardstream.models.training.sepsis import CONFIG
from wardstream.models.triton import TritonClient

DEPLOYED = Path(__file__).resolve().parents[2] / "models" / "repository"
PATIENTS = 40
ARCHIVE = "icu/challenge2019_setB_p100001-p106500.tar.gz"
EPOCH = datetime(2019, 1, 1, tzinfo=UTC)
TOLERANCE = 1e-4
PATIENCE_S = 300.0

pytestmark = [pytest.mark.connected, pytest.mark.timeout(900)]

Hours = dict[tuple[str, int], dict[str, Any]]
"""What was said of a patient's hour."""


class Loader:
    """Has the server read a model's folder anew."""

    def __init__(self, url: str) -> None:
        self._url = url

    def load(self, model: str) -> None:
        async def ask() -> None:
            client = TritonClient(self._url, deadline_s=20)
            try:
                await client.load(model)
            finally:
                await client.close()

        asyncio.run(ask())


class Ward:
    """A broker, a model server with versions of `sepsis`, and a worker."""

    def __init__(self, cluster: Cluster, server: TritonServer, store: Store, workers: Workers, env: dict[str, str]):
        self.bootstrap, self.server, self.store = ",".join(cluster.bootstrap_servers), server, store
        self.workers, self.environment = workers, env

    def replay(self, archive: Path, patients: int) -> subprocess.Popen[bytes]:
        command = [WARDSTREAM, "replay", "challenge2019", archive, "--patients", str(patients)]
        return subprocess.Popen(command, env=self.environment, stdout=subprocess.DEVNULL)

    def serve(self, version: int) -> None:
        self.store.serve(version, "a test", "", Loader(self.server.url))

    def predictions(self) -> list[dict[str, Any]]:
        found = asyncio.run(read_all(self.bootstrap, ["predictions.v1"]))
        return [{"quality": "ok"} | json.loads(record.value) for record in found["predictions.v1"]]  # its default

    def scores(self) -> int:
        """How many rows of rule scores there are."""
        return len(asyncio.run(read_all(self.bootstrap, ["scores.v1"]))["scores.v1"])

    def until(self, seen: Callable[[list[dict[str, Any]]], bool]) -> list[dict[str, Any]]:
        """The predictions, as soon as they are as wanted."""

        deadline = time.monotonic() + PATIENCE_S
        while not seen(found := self.predictions()):
            assert time.monotonic() < deadline, f"{len(found)} predictions, and none as wanted"
            time.sleep(0.3)
        return found

    def settled(self) -> list[dict[str, Any]]:
        """The predictions, when no more come."""
        deadline = time.monotonic() + PATIENCE_S
        while not caught_up(self.environment, "labs.v1", "ticks.v1", "vitals.v1"):
            assert time.monotonic() < deadline, "the lanes are behind"
            self.server.check()
        return self.predictions()

    def hourly(self, predictions: list[dict[str, Any]]) -> Hours:
        """Those of the ends of hours; each hour has one at the most."""
        found = asyncio.run(read_all(self.bootstrap, ["labs.v1"]))
        results = {json.loads(record.value)["event_id"] for record in found["labs.v1"]}
        hours: Hours = {}
        for one in predictions:
            if one["caused_by"] not in results:
                hour = round((datetime.fromisoformat(one["observed_at"]) - EPOCH) / timedelta(hours=1))
                assert (one["patient_id"], hour) not in hours, "an hour predicted from twice"
                hours[one["patient_id"], hour] = one
        return hours


@pytest.fixture
def repository(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """The package's own, or one of two small models, of which the first serves."""
    folder = tmp_path / "repository"
    if getattr(request, "param", "") == "deployed":
        shutil.copytree(DEPLOYED / "sepsis", folder / "sepsis")
        return folder
    store = Store(folder, "sepsis")
    for number, heart in ((1, 0.12), (2, 0.10)):
        assert store.add(write_candidate(tmp_path / f"candidate{number}", heart=heart)) == number
    store.serve(1, "a test", CONFIG, None)
    return folder


@pytest.fixture
def ward(own_kafka: Cluster, tmp_path: Path, repository: Path, triton_environment: Environment) -> Iterator[Ward]:
    with TritonServer(tmp_path / "triton", repository, made_of=triton_environment) as server:
        told = {"CLOCK": "feed", "TRITON_URL": server.url, "MODELS": str(repository)}
        told |= {"TRITON_DEADLINE_MS": "5000"}  # a busy machine is not a silent server
        environment = worker_environment(own_kafka, tmp_path / "home", **told)
        create_topics(environment)
        workers = Workers(environment, tmp_path)
        try:
            workers.start()
            yield Ward(own_kafka, server, Store(repository, "sepsis"), workers, environment)
        finally:
            workers.end()


def answered(predictions: list[dict[str, Any]]) -> int:
    """By how many of them the model itself spoke."""
    return sum(one["quality"] == "ok" for one in predictions)


def silent(predictions: list[dict[str, Any]]) -> int:
    """For how many of them the rule score spoke in the model's place."""
    return sum(one["quality"] == "degraded" for one in predictions)


def offline(ward: Ward, archive: Path, patients: int, folder: Path) -> Hours:
    """What `wardstream evaluate` says of the same files."""
    path = folder / "evaluated.jsonl"
    command = [WARDSTREAM, "evaluate", "sepsis", archive, "--patients", str(patients), "--predictions", path, "--json"]
    subprocess.run(command, env=ward.environment, check=True, timeout=200, stdout=subprocess.DEVNULL)
    rows = map(json.loads, path.read_text().splitlines())
    return {(row["patient_id"], row["hour"]): row for row in rows}


@pytest.mark.flaky(reruns=2, only_rerun=["TritonDown"])  # infra/triton/server.py says of what it dies
@pytest.mark.parametrize("repository", ["deployed"], indirect=True)
def test_the_stream_says_what_evaluate_says(ward: Ward, shared_data: Path, tmp_path: Path) -> None:
    """No skew between training and serving: the same probability for every hour in which the offline rule predicts."""
    archive, patients = shared_data / ARCHIVE, PATIENTS
    assert ward.replay(archive, patients).wait(PATIENCE_S) == 0
    streamed = ward.hourly(ward.settled())
    wanted = offline(ward, archive, patients, tmp_path)
    given = {place: row for place, row in wanted.items() if row["probability"] is not None}
    assert len(given) > 1000
    assert not given.keys() - streamed.keys(), "hours without a prediction"
    different = [
        (place, row["probability"], streamed[place].get("probability"))
        for place, row in given.items()
        if streamed[place]["quality"] != "ok"
        or abs(streamed[place]["probability"] - row["probability"]) > TOLERANCE
        or abs(streamed[place]["calibrated_probability"] - row["calibrated_probability"]) > TOLERANCE
    ]
    assert not different, different[:3]
    assert {streamed[place]["quality"] for place in (wanted.keys() & streamed.keys()) - given.keys()} <= {"abstained"}


def test_versions_change_and_the_server_dies_while_patients_are_predicted(ward: Ward, shared_data: Path) -> None:
    """Each hour has its one prediction, of the version that served then, or degraded while nobody answered; rule scores
    go on meanwhile."""
    replay = ward.replay(shared_data / ARCHIVE, 250)
    try:
        ward.until(lambda found: len(found) > 200)
        ward.serve(2)
        ward.until(lambda found: any(one["version"] == "2" for one in found))
        ward.server.kill()
        ward.until(lambda found: any(one["quality"] == "degraded" for one in found))
        degraded, scored = silent(ward.predictions()), ward.scores()
        ward.until(lambda found: silent(found) > degraded + 50 and ward.scores() > scored + 50)
        ward.server.start()
        before = answered(ward.predictions())
        ward.until(lambda found: answered(found) > before)
        ward.serve(1)
        assert replay.wait(PATIENCE_S) == 0
    finally:
        replay.kill()
    found = ward.settled()
    assert len({one["event_id"] for one in found}) == len(found)
    hours = ward.hourly(found)
    by_patient: dict[str, list[int]] = {}
    for name, hour in hours:
        by_patient.setdefault(name, []).append(hour)
    assert len(by_patient) == 250
    for seen in by_patient.values():
        assert sorted(seen) == list(range(1, max(seen) + 1)), "an hour is missing"
    assert {one["version"] for one in found if one["quality"] == "ok"} == {"1", "2"}
    for one in found:
        if one["quality"] == "degraded":
            assert "NEWS2" in one["reason"]
