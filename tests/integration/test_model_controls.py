"""Operators decide, and what runs obeys: a learner, a worker and the commands on a real broker."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiokafka import AIOKafkaProducer

from tests.events import WELL, admission, vitals
from tests.integration.test_learner import TARGET, position, published, send, snapshot, until
from tests.models.risk.rows import examples
from tests.reading import read_all
from tests.workers import WARDSTREAM, Workers, create_topics, worker_environment
from wardstream.infra.feeds.replay import timeline
from wardstream.infra.feeds.run import run_replay
from wardstream.infra.kafka.broker import Cluster
from wardstream.infra.model_controls import read_tables
from wardstream.infra.risk import learner_key
from wardstream.models.risk.champion import Settings
from wardstream.models.risk.features import VERSION, Known
from wardstream.models.risk.keys import key_id
from wardstream.models.risk.learner import Learner
from wardstream.models.risk.snapshots import Signed, opened
from wardstream.schemas.decode import decoder_of, encode
from wardstream.schemas.metrics import Metrics
from wardstream.schemas.notices import Notice
from wardstream.schemas.predictions import Prediction
from wardstream.schemas.risk_models import RiskModel
from wardstream.schemas.training_examples import Input, TrainingExample

pytestmark = [pytest.mark.connected, pytest.mark.timeout(900)]

HALF = 6_000
OUTCOMES = '["death", "icu_transfer"]'


class Site:
    """A broker with its topics, an operator's token, and what runs."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.client, self.bootstrap = cluster.client_options(), ",".join(cluster.bootstrap_servers)
        tokens = folder / "tokens.json"
        told = {"RISK_OUTCOMES": OUTCOMES, "CLOCK": "feed", "TOKENS_FILE": str(tokens)}
        self.environment = worker_environment(cluster, folder / "home", **told)
        self.home, self._folder = folder / "home", folder
        create_topics(self.environment)
        for role in ("operator", "viewer"):
            command = [WARDSTREAM, "tokens", "add", f"some {role}", "--role", role]
            token = subprocess.run(command, env=self.environment, check=True, timeout=60, capture_output=True).stdout
            self.environment[f"TOKEN_OF_{role.upper()}"] = token.decode().strip()
        self.environment["WARDSTREAM_TOKEN"] = self.environment["TOKEN_OF_OPERATOR"]
        self.workers = Workers(self.environment, folder)
        self.learners: list[subprocess.Popen[bytes]] = []

    def model(self, *arguments: str, **changed: str) -> tuple[int, str]:
        """`wardstream model …`: its exit code and what it says."""
        command = [WARDSTREAM, "model", *arguments]
        ran = subprocess.run(command, env=self.environment | changed, timeout=120, capture_output=True, check=False)
        return ran.returncode, (ran.stdout + ran.stderr).decode()

    def learn(self) -> None:
        log = (self._folder / f"learner{len(self.learners)}.log").open("wb")
        self.learners.append(subprocess.Popen([WARDSTREAM, "learner"], env=self.environment, stdout=log, stderr=log))

    def learned(self, upto: int) -> RiskModel:
        until(lambda: position(snapshot(self.client)) >= upto, self.learners[-1])
        found = snapshot(self.client)
        assert found is not None
        return found

    def obeyed(self, said: str) -> None:
        """Wait until a worker says so."""
        until(lambda: any(said in log.read_text("utf-8") for log in self._folder.glob("worker*.log")))

    def opened(self, model: RiskModel) -> Learner:
        key = learner_key(self.home).public_key()
        signed = Signed(key_id=model.key_id, signature=model.signature, payload=model.payload)
        return opened(signed, {key_id(key): key})[0]

    def records(self, topic: str, kind: type[Any]) -> list[Any]:
        found = asyncio.run(read_all(self.bootstrap, [topic]))[topic]
        return [decoder_of(kind)(record.value) for record in found if record.value is not None]

    def feed(self, *events: Any) -> None:
        asyncio.run(run_replay(self.client, timeline(events), speed=None))

    def predictions(self, number: int) -> list[Prediction]:
        """All there are, once there are so many."""
        found: list[Prediction] = []

        def enough() -> bool:
            found[:] = self.records("predictions.v1", Prediction)
            return len(found) >= number

        until(enough)
        return sorted(found, key=lambda one: one.observed_at)

    def deeds(self) -> list[tuple[str, str]]:
        """What is on the audit, and of what; its chain is whole."""
        subprocess.run([WARDSTREAM, "audit", "verify"], env=self.environment, check=True, timeout=60)
        found = [
            msgspec.json.decode(one.value) for one in asyncio.run(read_all(self.bootstrap, ["audit.v1"]))["audit.v1"]
        ]
        assert all(one["why"] for one in found)
        return [(one["who"], f"{one['what']}: {one['model']}") for one in found]

    def end(self) -> None:
        self.workers.end()
        for process in self.learners:
            if process.poll() is None:
                process.kill()
            process.wait(60)


@pytest.fixture
def site(own_kafka: Cluster, tmp_path: Path) -> Iterator[Site]:
    found = Site(own_kafka, tmp_path)
    try:
        yield found
    finally:
        found.end()


def hour(number: int, **fields: Any) -> Any:
    """A measurement in an hour of the stay, so that the hour ends with something known."""
    return vitals(f"v{number}", 60 * number - 20, **WELL | fields)


def inputs_of(example: TrainingExample) -> dict[str, Known]:
    return {name: Known(one.value, one.age_h) for name, one in example.inputs.items()}


def test_freezing_stops_learning_and_nothing_is_left_out(site: Site) -> None:
    def gauge(name: str) -> float | None:
        found = [one for one in site.records("metrics.v1", Metrics) if one.role == "learner"]
        last = max(found, key=lambda one: one.at, default=None)
        return None if last is None else last.gauges.get(name)

    events = published()
    asyncio.run(send(site.client, events[:HALF]))
    site.learn()
    site.learned(HALF)
    assert (
        site.model("freeze", "--why", "a sensor is off", WARDSTREAM_TOKEN=site.environment["TOKEN_OF_VIEWER"])[0] == 2
    )
    assert site.model("freeze", "--why", " ")[0] == 2
    assert site.deeds() == []
    code, said = site.model("freeze", "--why", "a sensor is off")
    assert (code, said) == (0, "learning rests\n")
    until(lambda: gauge("risk_frozen") == 1.0)
    asyncio.run(send(site.client, events[HALF : HALF + 3_000]))
    site.learners[-1].kill()  # and it comes back frozen
    site.learners[-1].wait(60)
    site.learn()
    until(lambda: gauge("risk_frozen") == 1.0 and gauge("risk_behind") == 3_000.0)
    assert position(snapshot(site.client)) == HALF
    assert "learning rests" in site.model("list")[1]
    assert site.model("unfreeze", "--why", "it is mended") == (0, "learning goes on\n")
    site.learned(HALF + 3_000)
    asyncio.run(send(site.client, events[HALF + 3_000 :]))
    model = site.learned(len(events))
    straight = Learner(TARGET, Settings())
    for event, one in zip(events, examples(len(events)), strict=True):
        if event.label is not None and event.features == VERSION:
            straight.learn(one)
    assert msgspec.json.encode(site.opened(model).state()) == msgspec.json.encode(straight.state())
    until(lambda: gauge("risk_behind") == 0.0 and gauge("risk_frozen") == 0.0)
    measures = {
        'risk_measure{model="logistic",over="start",measure="auroc"}',
        'risk_measure{model="logistic",over="lately",measure="slope"}',
        'risk_measure{model="tree",over="unit ICU",measure="ece"}',
    }
    assert {name for name in measures if gauge(name) is None} == set()
    assert site.deeds() == [("some operator", "model_frozen: risk"), ("some operator", "model_unfrozen: risk")]


def test_the_approved_snapshot_answers_and_no_other(site: Site) -> None:
    asyncio.run(send(site.client, published()[:1_000]))
    site.learn()
    first = site.learned(1_000)
    worker = site.workers.start()
    site.feed(admission("in", 0, "admit", age_years=70.0, sex="male", unit="4B"), hour(1), hour(2))
    code, said = site.model("promote", "--why", "to begin with")
    assert code == 1
    assert "not enough labels" in said
    assert site.deeds() == []
    code, said = site.model("promote", "--why", "to begin with", "--force", "--alert-from", "0")
    assert (code, said) == (0, f"version {first.version}, logistic, answers; alerts from 0\n")
    assert site.deeds() == [("some operator", f"model_promoted_by_force: risk {first.version} logistic")]
    site.obeyed(f"snapshot {first.version} answers")
    site.feed(hour(3))
    (one,) = site.predictions(1)
    assert (one.model, one.version, one.silent) == ("risk", first.version, False)
    assert {part.feature for part in one.contributions} >= {"heart_rate_bpm", "news2", "age_years"}

    # A newer one that is not approved changes nothing, and a restart restores the approved one exactly.
    asyncio.run(send(site.client, published()[1_000:2_000]))
    site.learned(2_000)
    worker.kill()
    worker.wait(60)
    worker = site.workers.start()
    site.feed(hour(4))
    again = site.predictions(2)[-1]
    assert again.version == first.version
    learner = site.opened(first)
    known = {name: Known(value, age) for name, value, age in known_of(again)}
    assert learner.answer(known).probability == pytest.approx(again.calibrated_probability, abs=1e-6)

    # Silence: the prediction says so, the alert that people know goes on, and who is new is not told of.
    assert site.model("silence", "risk", "--unit", "5A", "--why", "a trial")[1] == "risk is silent in 5A\n"
    site.obeyed("silent from now on: risk in 5A")
    site.feed(
        admission("other", 241, "admit", patient_id="P9", age_years=80.0, sex="female", unit="5A"),
        vitals("w", 250, patient_id="P9", **WELL),
        hour(6),
    )
    silent = {one.patient_id: one.silent for one in site.predictions(5)[2:]}
    assert silent == {"P1": False, "P9": True}
    raised = {topic: raised_in(site, topic) for topic in ("alerts.v1", "silent-alerts.v1")}
    assert raised == {"alerts.v1": {"P1"}, "silent-alerts.v1": {"P9"}}

    # A snapshot that was changed after its approval is refused and audited; the last good one stays in service.
    second = site.learned(2_000)
    assert site.model("promote", "--why", "newer", "--force")[0] == 0
    tables = asyncio.run(read_tables(site.client))
    serving = tables.controls["risk"].serving
    assert serving is not None
    assert (serving.version, serving.alert_from) == (second.version, 0.0)
    site.obeyed(f"snapshot {second.version} answers")
    tampered = msgspec.structs.replace(
        tables.models[serving.snapshot], payload=tables.models[serving.snapshot].payload.replace(b"0.1", b"0.2", 1)
    )
    write(site, tampered)
    worker.kill()
    worker.wait(60)
    site.workers.start()
    until(lambda: any(deed.startswith("model_refused") for _, deed in site.deeds()))
    assert ("worker", f"model_refused: risk {second.version} logistic") in site.deeds()
    site.feed(hour(8))
    assert site.predictions(6)[-1].version == first.version
    code, said = site.model("promote", "--why", "again", "--force", "--version", second.version)
    assert code == 2
    assert "refused" in said

    # A foreign one cannot be promoted at all.
    (site.home / "other").mkdir()
    foreign = learner_key(site.home / "other")
    write(site, msgspec.structs.replace(second, name="learner", key_id=key_id(foreign.public_key())))
    code, said = site.model("promote", "--why", "why not", "--force")
    assert code == 2
    assert "not trusted here" in said
    assert site.model("rollback", "--why", "it is broken")[1] == f"version {first.version}, logistic, answers again\n"
    assert site.model("rollback", "--why", "none is good")[1] == "nothing answers\n"
    assert "answers" not in site.model("list")[1]


def known_of(prediction: Prediction) -> list[tuple[str, float, float | None]]:
    """The inputs, as far as a prediction tells them."""
    return [
        (one.feature, one.value, None if one.age_s is None else one.age_s / 3600)
        for one in prediction.contributions
        if one.value is not None
    ]


def raised_in(site: Site, topic: str) -> set[str]:
    found = asyncio.run(read_all(site.bootstrap, [topic]))[topic]
    alerts = [msgspec.json.decode(record.value) for record in found]
    return {one["patient_id"] for one in alerts if one["condition"] == "risk" and one["transition"] == "raised"}


def write(site: Site, model: RiskModel) -> None:
    async def one() -> None:
        async with AIOKafkaProducer(**site.client, max_request_size=4 << 20) as producer:
            await producer.send_and_wait("risk-models.v1", encode(model), model.name.encode(), 0)

    asyncio.run(one())


def test_what_has_changed_is_told_to_operators_once(site: Site) -> None:
    """A shift in the heart rate: one notice, however often the learner dies."""
    events = published()
    shifted = [
        msgspec.structs.replace(
            one,
            hour=6,
            inputs=one.inputs
            | {"heart_rate_bpm": Input(value=one.inputs["heart_rate_bpm"].value + 60.0 * (place > 2_000))},
        )
        for place, one in enumerate(events[:4_000])
    ]
    asyncio.run(send(site.client, shifted))
    site.learn()
    until(lambda: site.records("notices.v1", Notice), site.learners[-1])
    site.learners[-1].kill()
    site.learners[-1].wait(60)
    site.learn()
    site.learned(4_000)
    found = [one for one in site.records("notices.v1", Notice) if one.reason.startswith("heart_rate_bpm")]
    assert [(one.condition, one.feed, one.transition) for one in found] == [("drift", "risk", "raised")]
    assert "notice open" in site.model("show")[1]
    listed = subprocess.run(
        [WARDSTREAM, "feed", "notices"], env=site.environment, capture_output=True, timeout=60, check=True
    )
    assert b"drift: heart_rate_bpm has changed: mean" in listed.stdout
