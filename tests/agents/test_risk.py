"""The risk model on the lanes: hours wait for their label, are told once, and an approved model answers."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.agents.bedside import Bedside, Said
from tests.agents.lanes import Killed, Lanes
from tests.events import WELL, admission, at, event_id, lab, outcome, tick, vitals
from tests.models.risk.rows import examples
from wardstream.agents import risk
from wardstream.agents.patients import Rules
from wardstream.models.risk.champion import Settings
from wardstream.models.risk.features import Known, gather
from wardstream.models.risk.learner import Learner
from wardstream.models.risk.platt import probability
from wardstream.models.risk.target import CHAMPION, SERVED, Target
from wardstream.schemas.decode import decoder_of
from wardstream.schemas.training_examples import TrainingExample

HOUR = 60.0
TARGET = Target(horizon_h=2, grace_h=3)
TOLD = 5 * HOUR


class Approval:
    """Nothing at first, then a learner of synthetic examples."""

    def __init__(self) -> None:
        self.now: risk.Approved | None = None

    def __call__(self) -> risk.Approved | None:
        return self.now

    def approve(self, kind: str = CHAMPION, alert_from: float | None = None) -> None:
        learner = Learner(TARGET, Settings())
        for one in examples(500):
            learner.learn(one)
        self.now = risk.Approved("1.500", learner, kind, alert_from)


@pytest.fixture
def approval() -> Approval:
    return Approval()


@pytest.fixture
def bedside(approval: Approval) -> Bedside:
    return Bedside(risk=risk.Risk(TARGET, approval))


def admitted(name: str = "a", minutes: float = 0, **fields: Any) -> Any:
    return admission(name, minutes, "admit", **{"age_years": 60.0, "sex": "female", "unit": "4B"} | fields)


def ticks(first: float, last: float) -> list[Any]:
    return [tick(minute) for minute in range(int(first), int(last) + 1)]


def labels(said: Said) -> list[tuple[int, bool | None, str]]:
    return [(one.hour, one.label, one.why) for one in said.examples]


async def test_every_hour_is_told_once_at_its_time(bedside: Bedside) -> None:
    said = await bedside.give(admitted(), vitals("v", 10, **WELL), *ticks(11, 61 + TOLD - 2))
    assert said.examples == []
    assert said.predictions == [], "none is approved"
    said = await bedside.give(tick(60 + TOLD))
    (one,) = said.examples
    assert isinstance(one, TrainingExample)
    assert (one.observed_at, one.received_at) == (at(60), at(60 + TOLD))
    assert (one.label, one.why, one.version, one.hour, one.unit) == (False, "stayed", "0", 1, "4B")
    assert (one.target, one.horizon_h, one.said, one.alerts) == ("deterioration", 2.0, {}, ())
    assert one.inputs["heart_rate_bpm"].value == 72.0
    assert one.inputs["heart_rate_bpm"].age_h == pytest.approx(50 / 60, abs=0.01)
    said = await bedside.give(*ticks(61 + TOLD, 60 + 3 * HOUR + TOLD))
    assert labels(said) == [(hour, False, "stayed") for hour in (2, 3, 4)]
    assert said.counts["training_examples_total", ("negative",)] == 3


async def test_after_a_restart_the_same_is_told(bedside: Bedside) -> None:
    await bedside.give(admitted(), vitals("v", 10, **WELL), *ticks(11, 200))
    await bedside.give(outcome("o", 150, "icu_transfer", received=400))
    bedside.restart()
    said = await bedside.give(*ticks(201, 200 + TOLD))
    assert labels(said) == [(1, True, "outcome"), (2, True, "outcome"), (3, None, "after_outcome")]
    first = said.examples[0]
    assert (first.outcome, first.outcome_at) == ("icu_transfer", at(150))


async def test_a_batch_tells_hours_in_their_order(bedside: Bedside) -> None:
    """After an outage many hours are told by one tick."""
    await bedside.give(admitted(), vitals("v", 10, **WELL), *ticks(11, 250))
    said = await bedside.give(tick(2_000))
    assert [hour for hour, _, _ in labels(said)] == [1, 2, 3, 4]


async def test_who_has_left_is_kept_until_the_last_hour_is_told() -> None:
    bedside = Bedside(risk=risk.Risk(Target(horizon_h=12, grace_h=36)))
    await bedside.give(admitted(), vitals("v", 10, **WELL), *ticks(11, 61))
    await bedside.give(admission("leave", 90, "discharge", disposition="home"))
    said = await bedside.give(*(tick(minutes) for minutes in range(100, 48 * 60 + 59)))
    assert said.examples == []
    said = await bedside.give(tick(49 * 60))
    assert labels(said) == [(1, False, "left_home")]
    await bedside.give(tick(49 * 60 + 1))
    assert bedside.rows == {}, "and then nothing is kept"


async def test_a_late_outcome_is_counted(bedside: Bedside) -> None:
    await bedside.give(admitted(), vitals("v", 10, **WELL), *ticks(11, 70))
    said = await bedside.give(outcome("o", 30, "death", received=31), outcome("p", 30, "death", received=210))
    assert said.counts["late_outcomes_total", ("death",)] == 1


async def test_a_correction_of_the_inputs_does_not_reach_the_example(bedside: Bedside) -> None:
    creatinine = {"loinc": "2160-0", "unit": "mg/dL"}
    await bedside.give(admitted(), lab("c", 30, value=4.0, **creatinine), *ticks(31, 61))
    await bedside.give(lab("d", 30, received=70, value=1.0, status="corrected", supersedes="c", **creatinine))
    said = await bedside.give(*ticks(71, 60 + TOLD))
    assert said.examples[0].inputs["creatinine_mg_per_dl"].value == 4.0


async def test_an_approved_one_answers(bedside: Bedside, approval: Approval) -> None:
    await bedside.give(admitted(), vitals("v", 10, **WELL), *ticks(11, 61))
    approval.approve()
    assert approval.now is not None
    said = await bedside.give(vitals("w", 100, **WELL | {"heart_rate_bpm": 140.0}), *ticks(101, 121))
    (prediction,) = said.predictions
    assert (prediction.model, prediction.version, prediction.target) == ("risk", "1.500", "deterioration")
    assert (prediction.observed_at, prediction.caused_by) == (at(120), event_id("tick 121"))
    assert (prediction.quality, prediction.horizon_h) == ("ok", 2.0)
    assert prediction.contributions[0].value is not None or prediction.contributions[0].age_s is None
    added = {one.feature: one.contribution for one in prediction.contributions}
    assert "heart_rate_bpm" in added
    learned = approval.now.learner.state().champion
    assert prediction.probability == pytest.approx(probability(learned.intercept + sum(added.values())), abs=1e-3)
    assert "lactate_mmol_per_l" in prediction.missing
    assert (prediction.input_until, prediction.staleness_s) == (at(100.2), pytest.approx(1200, abs=20))
    said = await bedside.give(*ticks(122, 120 + TOLD))
    first, second = said.examples
    assert (first.version, first.said) == ("0", {})
    assert (second.version, second.prediction_id) == ("1.500", prediction.event_id)
    inputs = {name: Known(one.value, one.age_h) for name, one in second.inputs.items()}
    again = approval.now.learner.answer(inputs).probability
    assert second.said == {CHAMPION: again, SERVED: again}, "the learner sees what the scorer saw, bit for bit"
    assert again == prediction.calibrated_probability


async def test_the_alerts_that_were_open_are_told(bedside: Bedside) -> None:
    ill = WELL | {"respiratory_rate_per_min": 30.0, "spo2_percent": 85.0, "heart_rate_bpm": 140.0}
    await bedside.give(admitted(), vitals("v", 50, **ill), *ticks(51, 61))
    said = await bedside.give(*ticks(62, 60 + TOLD))
    assert said.examples[0].alerts == ("news2",)


async def test_without_a_target_nothing_waits() -> None:
    bedside = Bedside()
    said = await bedside.give(admitted(), vitals("v", 10, **WELL), *ticks(11, 500), outcome("o", 150, "sepsis_onset"))
    assert said.examples == []
    assert not [key for key in bedside.rows if key.startswith(b"c\0P1\0risk/")]


async def test_what_waits_is_what_is_known(bedside: Bedside) -> None:
    await bedside.give(admitted(), vitals("v", 10, **WELL), *ticks(11, 61))
    patient = bedside.patient()
    assert patient.waiting == (at(60 + TOLD).timestamp(), at(60 + TOLD).timestamp())
    expected = gather(patient, bedside.lab_bins(), at(60).timestamp())
    said = await bedside.give(*ticks(62, 60 + TOLD))
    assert {name: Known(one.value, one.age_h) for name, one in said.examples[0].inputs.items()} == expected


async def test_after_a_merge_the_hours_of_both_ids_are_told() -> None:
    """Also when the outcome comes under the id that has ceased, from another lane, and workers die in between."""
    lanes = Lanes(rules=Rules(risk=risk.Risk(TARGET)))
    a, b = (next(f"P{n}" for n in range(60) if lanes.lane_of(f"P{n}") == lane) for lane in (0, 1))
    await lanes.give(
        admitted("in", patient_id=a, encounter_id="E1"),
        admitted("up", 30, patient_id=b, encounter_id="E1"),
        vitals("v", 31, patient_id=a, **WELL),
        *ticks(31, 95),  # an hour of each: until 9:00 and 9:30
    )
    assert lanes.children(a, "risk/").keys() != lanes.children(b, "risk/").keys()
    await lanes.give(outcome("early", 80, "acute_kidney_injury", patient_id=a))
    lanes.restart()
    await lanes.give(
        admission("merge", 96, "merge", patient_id=b, merged_patient_id=a),
        outcome("o", 130, "icu_transfer", received=140, patient_id=a),
    )
    lanes.restart()
    assert lanes.patient(a) is None
    merged = lanes.patient(b)
    assert merged is not None
    assert merged.waiting == (at(60 + TOLD).timestamp(), at(90 + TOLD).timestamp())
    await lanes.give(*ticks(141, 90 + TOLD))
    told = [record for record in lanes._records("training-examples.v1")]
    assert {record.partition for record in told} == {0}
    found = [decoder_of(TrainingExample)(record.value) for record in told]
    assert [(one.patient_id, one.observed_at, one.label) for one in found[:2]] == [
        (b, at(60), True),
        (b, at(90), True),
    ]
    assert len({one.event_id for one in found}) == len(found)


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_death_in_the_commit_tells_nothing_twice(moment: str) -> None:
    lanes = Lanes(rules=Rules(risk=risk.Risk(TARGET)))
    await lanes.give(admitted("in"), vitals("v", 10, **WELL), *ticks(11, 61))
    calls = iter(range(99))

    def kill() -> None:
        if next(calls) == (0 if moment == "before" else 1):
            raise Killed

    lanes.kill = kill
    await lanes.give(*ticks(62, 60 + TOLD))
    (told,) = lanes._records("training-examples.v1")
    assert decoder_of(TrainingExample)(told.value).observed_at == at(60)


ILL = WELL | {"respiratory_rate_per_min": 30.0, "heart_rate_bpm": 150.0}


def told_of_risk(alerts: list[Any]) -> list[tuple[str, Any]]:
    """What was decided; that nobody has answered is not."""
    told = [one for one in alerts if one.condition == "risk" and one.transition != "escalated"]
    return [(one.transition, one.observed_at) for one in told]


async def test_an_alert_rises_from_the_risk_and_its_example_says_so(bedside: Bedside, approval: Approval) -> None:
    approval.approve(alert_from=0.0)
    said = await bedside.give(admitted(), vitals("v", 50, **ILL), *ticks(51, 61))
    (alert,) = [one for one in said.alerts if one.condition == "risk"]
    (prediction,) = said.predictions
    assert (alert.transition, alert.priority, alert.unit, alert.observed_at) == ("raised", "medium", "4B", at(60))
    assert alert.reason.startswith("probability of deterioration within 2 h: ")
    evidence = alert.evidence.prediction
    assert evidence is not None
    assert (evidence.event_id, evidence.model, evidence.version) == (prediction.event_id, "risk", "1.500")
    assert evidence.contributions == prediction.contributions
    assert not prediction.silent
    await bedside.give(*ticks(62, 121))
    said = await bedside.give(*ticks(122, 120 + TOLD + 1))
    first, second = said.examples
    assert first.alert_id == alert.alert_id
    assert (first.alerts, first.silent) == (("news2", "risk"), ())
    assert first.said["served"] == first.said["logistic"] == prediction.calibrated_probability
    assert (second.alert_id, second.alerts) == (None, ("news2", "risk")), "it was open already"


async def test_the_alert_ends_with_the_risk_and_with_the_model(bedside: Bedside, approval: Approval) -> None:
    approval.approve(alert_from=0.01)
    said = await bedside.give(admitted(), vitals("v", 50, **ILL), *ticks(51, 61))
    assert told_of_risk(said.alerts) == [("raised", at(60))]
    approval.approve(alert_from=1.0)
    assert told_of_risk((await bedside.give(*ticks(62, 121))).alerts) == [("resolved", at(120))]
    approval.approve(alert_from=0.01)
    assert told_of_risk((await bedside.give(*ticks(122, 181))).alerts) == [("raised", at(180))]
    approval.approve(alert_from=None)
    assert told_of_risk((await bedside.give(*ticks(182, 241))).alerts) == [("closed", at(240))]
    approval.approve(alert_from=0.01)
    assert told_of_risk((await bedside.give(*ticks(242, 301))).alerts) == [("raised", at(300))]
    approval.now = None
    assert told_of_risk((await bedside.give(*ticks(302, 361))).alerts) == [("closed", at(360))]


async def test_the_challenger_may_answer(bedside: Bedside, approval: Approval) -> None:
    approval.approve(kind="tree")
    said = await bedside.give(admitted(), vitals("v", 50, **ILL), *ticks(51, 61))
    (prediction,) = said.predictions
    said = await bedside.give(*ticks(62, 60 + TOLD))
    told = said.examples[0].said
    assert told == {"tree": prediction.calibrated_probability, "served": prediction.calibrated_probability}
    assert approval.now is not None
    inputs = {name: Known(one.value, one.age_h) for name, one in said.examples[0].inputs.items()}
    assert told["tree"] == approval.now.learner.answer(inputs, "tree").probability


async def test_in_silence_all_is_computed_and_nothing_is_delivered(approval: Approval) -> None:
    silent = {"4B"}
    bedside = Bedside(
        risk=risk.Risk(TARGET, approval), is_silent=lambda model, unit: model == "risk" and unit in silent
    )
    approval.approve(alert_from=0.0)
    said = await bedside.give(admitted(), vitals("v", 50, **ILL), *ticks(51, 61))
    assert said.predictions[0].silent
    assert told_of_risk(said.alerts) == []
    assert told_of_risk(said.silent_alerts) == [("raised", at(60))]
    assert [one.condition for one in said.alerts] == ["news2"], "what is not silent is told as ever"
    assert said.counts["silent_alert_transitions_total", ("risk", "raised")] == 1
    assert said.counts["alert_transitions_total", ("risk", "raised")] == 0
    bedside.restart()
    silent.clear()
    said = await bedside.give(*ticks(62, 121))
    assert told_of_risk(said.silent_alerts) == [("expired", at(120))], "what was silent ends in silence"
    assert told_of_risk(said.alerts) == [("raised", at(120))], "and people are told of what still holds"
    silent.add("4B")
    said = await bedside.give(*ticks(122, 181), admission("leave", 182, "discharge", disposition="home"))
    assert told_of_risk(said.silent_alerts) == [], "what people know goes on until it ends"
    assert [one for one, _ in told_of_risk(said.alerts)] == ["closed"]
    said = await bedside.give(*ticks(183, 180 + TOLD + 1))
    first, second, third = said.examples
    assert (first.alerts, first.silent, first.alert_id is not None) == (("news2", "risk"), ("risk",), True)
    assert (second.alerts, second.silent) == (("news2", "risk"), ())
    assert second.alert_id != first.alert_id
    assert third.alert_id is None


async def test_who_moves_out_of_a_silent_unit_is_told_of(approval: Approval) -> None:
    bedside = Bedside(risk=risk.Risk(TARGET, approval), is_silent=lambda model, unit: unit == "4B")
    approval.approve(alert_from=0.0)
    await bedside.give(admitted(), vitals("v", 50, **ILL), *ticks(51, 61), admission("up", 70, "transfer", unit="5A"))
    said = await bedside.give(*ticks(71, 121))
    assert told_of_risk(said.alerts) == [("raised", at(120))]
    assert not said.predictions[0].silent


def reports_of(story: str) -> list[Any]:
    """What is reported after the first hour (8 to 9 o'clock), of which something may have happened at 10."""
    came = outcome("o", 120, "icu_transfer", received=130)
    stories: dict[str, list[Any]] = {
        "once": [came],
        "twice": [came, came],
        "late, but within the grace": [outcome("o", 120, "icu_transfer", received=350)],
        "too late": [outcome("o", 120, "icu_transfer", received=365)],
        "contradicted": [came, outcome("no", 180, "icu_transfer", received=200, occurred=False)],
        "contradicted, and said again": [
            came,
            outcome("no", 180, "icu_transfer", received=200, occurred=False),
            outcome("yes", 120, "icu_transfer", received=220),
        ],
        "withdrawn": [came, outcome("x", 120, "icu_transfer", received=200, status="cancelled", supersedes="o")],
        "withdrawn before it came": [
            outcome("x", 120, "icu_transfer", received=140, status="cancelled", supersedes="o"),
            came,
        ],
        "withdrawn too late": [
            came,
            outcome("x", 120, "icu_transfer", received=365, status="cancelled", supersedes="o"),
        ],
        "corrected to another time": [
            came,
            outcome("y", 220, "icu_transfer", received=230, status="corrected", supersedes="o"),
        ],
        "corrected to another kind": [
            came,
            outcome("y", 120, "readmission", received=230, status="corrected", supersedes="o"),
        ],
        "of a stay that was no stay": [came, admission("undo", 240, "cancel_admit")],
    }
    return stories[story]


@pytest.mark.parametrize(
    ("story", "label"),
    [
        ("once", True),
        ("twice", True),
        ("late, but within the grace", True),
        ("too late", False),
        ("contradicted", False),
        ("contradicted, and said again", True),
        ("withdrawn", False),
        ("withdrawn before it came", False),
        ("withdrawn too late", True),
        ("corrected to another time", False),
        ("corrected to another kind", False),
        ("of a stay that was no stay", None),
    ],
)
@pytest.mark.parametrize("merged", [False, True])
async def test_what_is_reported_of_an_hour_makes_one_label(story: str, label: bool | None, merged: bool) -> None:
    """In any way in which reports come, through restarts, and for an id that ceases in a merge meanwhile."""
    lanes = Lanes(rules=Rules(risk=risk.Risk(TARGET)))
    a, b = (next(f"P{n}" for n in range(60) if lanes.lane_of(f"P{n}") == lane) for lane in (0, 1))
    await lanes.give(admitted("in", patient_id=a, encounter_id="E1"), vitals("v", 10, patient_id=a, **WELL))
    await lanes.give(*ticks(11, 61))
    minute = 62
    for number, event in enumerate(reports_of(story)):
        until = int((event.received_at - at(0)).total_seconds() // 60)
        await lanes.give(*ticks(minute, until))
        minute = max(minute, until + 1)
        await lanes.give(msgspec.structs.replace(event, patient_id=a))
        lanes.restart()
        if merged and number == 0:  # what comes after it still comes under the old id
            await lanes.give(admission("merge", minute, "merge", patient_id=b, merged_patient_id=a))
    await lanes.give(*ticks(minute, 60 + int(TOLD) + 10))
    found = [decoder_of(TrainingExample)(record.value) for record in lanes._records("training-examples.v1")]
    first = [one for one in found if one.observed_at == at(60)]
    told_of = b if merged and story != "too late" else a  # by then it was told already
    assert [(one.patient_id, one.label) for one in first] == [(told_of, label)]
