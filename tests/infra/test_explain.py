"""An alert is recomputed from what was read of the log: the same, or what is not the same and why."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from msgspec.structs import replace

from tests.events import WELL, admission, answer, event_id, lab, tick, topic_of, vitals
from tests.models.training.tiny import write_candidate
from wardstream.agents.patients import Rules
from wardstream.agents.streams.outputs import Row
from wardstream.infra.explain import Log, Recomputing, Site, differences, inputs_of, upto
from wardstream.infra.memory_lane import Line, MemoryLane
from wardstream.infra.model_store import Store
from wardstream.infra.policy_replay import OnnxModel
from wardstream.models.alerts.policy import Policy
from wardstream.models.alerts.policy_file import DEFAULT, parse_policy
from wardstream.models.serving import Served
from wardstream.models.training.sepsis import CONFIG
from wardstream.schemas.alerts import Alert
from wardstream.schemas.decode import decoder_of, encode
from wardstream.schemas.predictions import Prediction

MAN = admission("a", 0, "admit", age_years=70.0, sex="male", unit="4B")
ILL = WELL | {"respiratory_rate_per_min": 26.0, "heart_rate_bpm": 118.0, "spo2_percent": 92.0}
LANE, LANES = 0, 1
NOBODY = Site(frozenset(), Path("nowhere"))


class Past:
    """What was told of some events, and the log of them as it is read afterwards."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self.told: list[Alert] = []
        self.predictions: dict[UUID, Prediction] = {}
        self.events: list[Any] = []
        self.lines: list[Line] = []

    async def happen(self, *events: Any) -> None:
        offsets = dict[str, int]()
        for event in events:
            topic = topic_of(event)
            offset = offsets[topic] = offsets.get(topic, -1) + 1
            self.events.append(event)
            self.lines.append(Line(topic, offset, encode(event)))
        await MemoryLane(self._rules, self._written, LANE, LANES).take(self.lines)

    def _written(self, topic: str, row: Row) -> None:
        assert not topic.endswith(".dead")
        if topic in ("alerts.v1", "silent-alerts.v1") and row.value is not None:
            self.told.append(decoder_of(Alert)(row.value))
        elif topic == "predictions.v1" and row.value is not None:
            said = decoder_of(Prediction)(row.value)
            self.predictions[said.event_id] = said

    @property
    def log(self) -> Log:
        return Log(list(self.lines), list(self.events), self.predictions, [])

    def one(self, transition: str, condition: str = "news2") -> Alert:
        return next(one for one in self.told if (one.transition, one.condition) == (transition, condition))

    async def explain(self, told: Alert, policy: Policy = DEFAULT, site: Site = NOBODY) -> Recomputing:
        found = Recomputing(site, told, False, {})
        await found.run(policy, upto(self.log, told), LANE, LANES)
        return found


@pytest.fixture
async def past() -> Past:
    made = Past(Rules())
    await made.happen(
        MAN,
        vitals("other", 1, patient_id="P2", **ILL),
        vitals("v1", 2, **WELL),
        vitals("v2", 3, **ILL),
        *(tick(minute) for minute in range(4, 30)),
        vitals("v3", 30, **WELL),
    )
    return made


@pytest.mark.parametrize("transition", ["raised", "escalated", "resolved"])
async def test_each_transition_comes_out_again(past: Past, transition: str) -> None:
    told = next(one for one in past.told if one.transition == transition and one.patient_id == "P1")
    found = await past.explain(told)
    assert found.again == told
    assert found.state is not None
    assert len(found.state) == 64
    assert not found.notes
    assert (await past.explain(told)).state == found.state


async def test_the_inputs_are_those_it_stands_on(past: Past) -> None:
    told = next(one for one in past.told if one.transition == "escalated" and one.patient_id == "P1")
    (first, second) = inputs_of(told, upto(past.log, told), LANE)
    assert (first.topic, first.offset, first.event_id, first.is_cause) == ("vitals.v1", 2, event_id("v2"), True)
    assert (second.topic, second.event_id, second.is_cause) == ("ticks.v1", told.caused_by, True)


async def test_nothing_that_came_later_is_read(past: Past) -> None:
    told = next(one for one in past.told if one.transition == "raised" and one.patient_id == "P1")
    log = upto(past.log, told)
    assert max(event.received_at for event in log.events) == told.observed_at
    assert not log.notes


async def test_what_is_not_the_same_is_named(past: Past) -> None:
    told = next(one for one in past.told if one.transition == "raised" and one.patient_id == "P1")
    assert told.evidence.score is not None
    score = replace(told.evidence.score, value=9.0)
    other = replace(told, priority="medium", evidence=replace(told.evidence, score=score))
    assert differences(told, other) == ("evidence.score.value", "priority")
    assert differences(told, told) == ()


async def test_another_policy_another_result(past: Past) -> None:
    told = next(one for one in past.told if one.transition == "raised" and one.patient_id == "P1")
    higher = DEFAULT.text.replace("high = 7", "high = 9")
    found = await past.explain(told, parse_policy(higher))
    assert found.again is not None
    assert "priority" in differences(told, found.again)
    none = await past.explain(told, parse_policy(higher.replace("medium = 5", "medium = 8").replace("single", "#")))
    assert none.again is None
    assert "does not come out; what comes out is none of this alert" in none.notes[0]


async def test_a_gap_in_the_log_is_seen(past: Past) -> None:
    told = next(one for one in past.told if one.transition == "raised" and one.patient_id == "P1")
    whole = past.log
    without = [place for place, event in enumerate(whole.events) if event.event_id != told.caused_by]
    log = Log([whole.lines[i] for i in without], [whole.events[i] for i in without], {}, [])
    assert upto(log, told).notes == ["what brought it about is not in the log any more"]
    found = Recomputing(NOBODY, told, False, {})
    await found.run(DEFAULT, upto(log, told), LANE, LANES)
    assert found.again is None


async def test_answers_are_part_of_the_past() -> None:
    first = Past(Rules())
    await first.happen(MAN, vitals("v", 1, **ILL))
    alert = first.one("raised")
    made = Past(Rules())
    await made.happen(MAN, vitals("v", 1, **ILL), answer("k", 3, alert.alert_id, "acknowledge"), tick(10))
    told = made.one("acknowledged")
    found = await made.explain(told)
    assert found.again == told
    assert told.actor == "s-1"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    store = Store(tmp_path / "models", "sepsis")
    store.add(write_candidate(tmp_path / "candidate"))
    store.serve(1, "a test", CONFIG, None)
    return Site(frozenset(), tmp_path / "models")


@pytest.fixture
async def septic(site: Site) -> Past:
    """A patient whose heart races and whose lactate is high."""
    folder = site.models / "sepsis"
    made = Past(Rules(sepsis=Served(OnnxModel(folder / "1"), folder)))
    await made.happen(
        MAN,
        vitals("v", 30, **WELL | {"heart_rate_bpm": 120.0}),
        lab("l", 40, loinc="2524-7", unit="mmol/L", value=6.0),
        *(tick(minute) for minute in range(31, 70)),
    )
    return made


async def test_a_prediction_is_taken_as_recorded_and_asked_for_again(septic: Past, site: Site) -> None:
    told = septic.one("raised", "sepsis")
    found = await septic.explain(told, site=site)
    assert found.again == told
    assert found.model is not None
    assert told.evidence.prediction is not None
    said = f"{told.evidence.prediction.calibrated_probability:.4f}"
    assert found.notes == [f"the model answers {said} again; recorded: {said}"]


async def test_a_version_that_is_not_at_hand_is_said(septic: Past, site: Site) -> None:
    told = septic.one("raised", "sepsis")
    (site.models / "sepsis" / "1" / "model.onnx").unlink()
    found = await septic.explain(told, site=site)
    assert found.again == told, "its threshold is still there"
    assert found.notes == ["version 1 is not at hand: its answer is taken as recorded"]
    found = await septic.explain(told)
    assert found.again is None
    assert found.notes == ["sepsis 1 is not at hand, and so not its threshold: nothing was recomputed"]


async def test_a_prediction_that_is_gone_from_the_log_raises_nothing(septic: Past, site: Site) -> None:
    told = septic.one("raised", "sepsis")
    septic.predictions.clear()
    found = await septic.explain(told, site=site)
    assert found.again is None
    assert "does not come out" in found.notes[0]
