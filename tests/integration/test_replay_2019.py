"""Five hundred real patients through the running system: every row arrives, every score is that of its row's state."""

from __future__ import annotations

import asyncio
import json
import math
import subprocess
import tarfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePath
from typing import Any

import pytest

from tests.reading import read_all
from tests.workers import WARDSTREAM, Workers, caught_up, create_topics, worker_environment
from wardstream.infra.kafka.broker import Cluster
from wardstream.models.scores import Observations, rule_scores

PATIENTS = 500
ARCHIVE = "icu/challenge2019_setB_p100001-p106500.tar.gz"
DEADLINE_S = 400
EPOCH = datetime(2019, 1, 1, tzinfo=UTC)

pytestmark = [pytest.mark.connected, pytest.mark.timeout(900)]

# Recounted from the files by rules written down here again: column, field, and for how many hours a value counts.
VITALS = {
    "HR": ("heart_rate_bpm", 0, 400),
    "O2Sat": ("spo2_percent", 0, 100),
    "Temp": ("temperature_celsius", 10, 48),
    "SBP": ("systolic_mmhg", 0, 400),
    "MAP": ("mean_pressure_mmhg", 0, 350),
    "DBP": ("diastolic_mmhg", 0, 300),
    "Resp": ("respiratory_rate_per_min", 0, 200),
    "EtCO2": ("etco2_mmhg", 0, 200),
    "FiO2": ("fio2_fraction", 0.21, 1),
}
LABS = {"WBC": ("wbc_10e9_per_l", 24), "PaCO2": ("paco2_mmhg", 6)}
VITALS_HOURS = 12


def rows(archive: Path) -> Iterator[tuple[str, list[dict[str, float]]]]:
    """Record and rows of the first patients."""
    with tarfile.open(archive) as files:
        members = sorted((m for m in files.getmembers() if m.name.endswith(".psv")), key=lambda m: m.name)[:PATIENTS]
        for member in members:
            lines = files.extractfile(member).read().decode().split()  # type: ignore[union-attr]
            names = lines[0].split("|")
            yield (
                PurePath(member.name).stem,
                [dict(zip(names, map(float, r.split("|")), strict=True)) for r in lines[1:]],
            )


def expected(patient_rows: list[dict[str, float]]) -> dict[int, Any]:
    """Scores by hour of the stay, for the hours with a vital sign."""
    known: dict[str, tuple[float, int]] = {}
    scores: dict[int, Any] = {}
    for row in patient_rows:
        hour = int(row["ICULOS"])
        for column, (field, _) in LABS.items():
            if not math.isnan(row[column]):
                known[field] = (row[column], hour)
        measured = {f: row[c] for c, (f, low, high) in VITALS.items() if low <= row[c] <= high}
        if measured.get("diastolic_mmhg", 0) > measured.get("systolic_mmhg", math.inf):  # impossible together: neither
            del measured["diastolic_mmhg"], measured["systolic_mmhg"]
        if not measured:
            continue
        known |= {field: (value, hour) for field, value in measured.items()}
        hours = dict(LABS.values())
        current = {f: value for f, (value, at) in known.items() if hour - at < hours.get(f, VITALS_HOURS)}
        observations = Observations(
            age_years=patient_rows[0]["Age"], pregnant=False if row["Gender"] == 1 else None, **current
        )
        scores[hour] = json.loads(json.dumps([_plain(score) for score in rule_scores(observations)]))
    return scores


def _plain(score: Any) -> dict[str, Any]:
    return {name: getattr(score, name) for name in ("name", "value", "complete", "parts", "missing", "band")}


def run(folder: Path, jars: Path, archive: Path, when: str) -> dict[str, Any]:
    """Replay into a fresh cluster with the workers started before or after; returns outputs by event id."""
    folder.mkdir()
    with Cluster(folder / "kafka", jars=jars) as cluster:
        environment = worker_environment(cluster, folder / "home", CLOCK="feed")
        create_topics(environment)
        workers = Workers(environment, folder)
        bootstrap = ",".join(cluster.bootstrap_servers)
        try:
            if when == "live":
                workers.start(), workers.start()
            command = [WARDSTREAM, "replay", "challenge2019", archive, "--patients", str(PATIENTS)]
            subprocess.run(command, env=environment, check=True, timeout=300, capture_output=True)
            if when == "backlog":
                workers.start()
            return settled(environment, bootstrap)
        finally:
            workers.end()


def settled(environment: dict[str, str], bootstrap: str) -> dict[str, Any]:
    """Outputs once the lanes have read everything."""
    deadline = time.monotonic() + DEADLINE_S
    while not caught_up(environment, "admissions.v1", "labs.v1", "ticks.v1", "vitals.v1"):
        assert time.monotonic() < deadline, "the lanes are behind"
    return asyncio.run(read_all(bootstrap, ["scores.v1", "alerts.v1", "vitals.v1", "vitals.v1.dead", "labs.v1.dead"]))


def plain(found: dict[str, Any]) -> dict[str, Any]:
    """Every score and alert by its id, without what the wall clock may change: nothing."""
    outputs = {}
    for topic in ("scores.v1", "alerts.v1"):
        for record in found[topic]:
            message = json.loads(record.value)
            assert message["event_id"] not in outputs, "emitted twice"
            outputs[message["event_id"]] = message
    return outputs


def test_every_row_arrives_and_every_score_is_right(shared_data: Path, kafka_jars: Path, tmp_path: Path) -> None:
    """Replayed twice: first into a backlog, then with two workers at work; both times the same result."""
    archive = shared_data / ARCHIVE
    first = run(tmp_path / "first", kafka_jars, archive, "backlog")
    outputs = plain(first)
    assert not first["vitals.v1.dead"]
    assert not first["labs.v1.dead"]

    by_cause = {message["caused_by"]: message for message in outputs.values() if "scores" in message}
    causes = {}
    for record in first["vitals.v1"]:
        event = json.loads(record.value)
        hour = round((datetime.fromisoformat(event["observed_at"]) - EPOCH) / timedelta(hours=1))
        causes[event["patient_id"], hour] = event["event_id"]
    checked = 0
    for record_id, patient_rows in rows(archive):
        for hour, scores in expected(patient_rows).items():
            emitted = by_cause[causes.pop((f"cinc2019-{record_id}", hour))]
            of_bedside = emitted["scores"][: len(scores)]  # those of organs follow
            assert [{name: score.get(name, _DEFAULTS.get(name)) for name in _NAMES} for score in of_bedside] == [
                {name: score[name] for name in _NAMES} for score in scores
            ], (record_id, hour)
            checked += 1
    assert not causes, "events that no row explains"
    assert checked > 15_000

    second = plain(run(tmp_path / "second", kafka_jars, archive, "live"))
    different = [
        event_id for event_id in outputs.keys() | second.keys() if outputs.get(event_id) != second.get(event_id)
    ]
    assert not different, [(outputs.get(i), second.get(i)) for i in different[:2]]


_NAMES = ("name", "value", "complete", "parts", "missing", "band")
_DEFAULTS: dict[str, Any] = {"parts": {}, "missing": []}
