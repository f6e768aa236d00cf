"""findings.v1: what was seen in a film joins the risk model's inputs, in the stream's time, until it is taken back."""

from __future__ import annotations

from typing import Any

import pytest

from tests.agents.bedside import Bedside, Said
from tests.agents.lanes import Lanes
from tests.events import WELL, admission, at, finding, tick, vitals
from wardstream.agents import risk
from wardstream.agents.patients import Rules
from wardstream.agents.streams.order import Order
from wardstream.models.risk.features import CHEST_XRAY
from wardstream.models.risk.target import Target
from wardstream.schemas.decode import decoder_of
from wardstream.schemas.training_examples import Input, TrainingExample

TARGET = Target(horizon_h=2, grace_h=3)
TOLD = 5 * 60
ADMIT = admission("a", 0, "admit", age_years=3.0, sex="female", unit="4B")
ODDS_OF_FOUR = Input(value=1.3863, age_h=0.5)


def ticks(first: int, last: int) -> list[Any]:
    return [tick(minute) for minute in range(first, last + 1)]


def seen(said: Said) -> list[Input | None]:
    """What each example knew of films."""
    return [one.inputs.get(CHEST_XRAY) for one in said.examples]


async def test_what_was_seen_is_known_from_the_next_hour_on_with_the_age_of_the_film() -> None:
    bedside = Bedside(risk=risk.Risk(TARGET))
    await bedside.give(ADMIT, vitals("v", 10, **WELL), *ticks(11, 61))
    said = await bedside.give(finding("f", 90, 92, calibrated_probability=0.8))
    assert not said.scores
    assert not said.alerts
    bedside.restart()
    await bedside.give(*ticks(93, 182))
    said = await bedside.give(*ticks(183, 182 + TOLD))
    assert seen(said)[:3] == [None, ODDS_OF_FOUR, Input(value=1.3863, age_h=1.5)]


@pytest.mark.parametrize(
    "event",
    [
        finding("f", 30, quality="abstained", reason="no", reason_code="age", calibrated_probability=None),
        finding("f", 30, calibrated_probability=None),
        finding("f", 30, quality="degraded", reason="doubtful"),
        finding("f", 30, finding="fracture"),
        finding("f", 30, model="another"),
    ],
    ids=["abstained", "not calibrated", "degraded", "other finding", "other model"],
)
async def test_what_is_no_good_answer_about_pneumonia_is_not_known(event: Any) -> None:
    bedside = Bedside(risk=risk.Risk(TARGET))
    await bedside.give(ADMIT, vitals("v", 10, **WELL), event, *ticks(11, 61))
    said = await bedside.give(tick(61 + TOLD))
    assert seen(said) == [None]


async def test_what_is_taken_back_is_known_no_more() -> None:
    bedside = Bedside(risk=risk.Risk(TARGET))
    await bedside.give(ADMIT, vitals("v", 10, **WELL), finding("f", 30), *ticks(31, 61))
    await bedside.give(finding("x", 30, 70, status="cancelled", supersedes="f", quality="abstained", reason="no"))
    await bedside.give(*ticks(71, 121))
    said = await bedside.give(tick(121 + TOLD))
    assert seen(said)[:2] == [ODDS_OF_FOUR, None]


async def test_where_no_risk_is_learned_no_film_is_kept() -> None:
    bedside = Bedside()
    await bedside.give(finding("f", 30))
    assert bedside.patient().films == ()


async def test_after_a_merge_films_of_both_ids_are_known() -> None:
    """Those that were found before, and those whose films came under the id that has ceased."""
    lanes = Lanes(rules=Rules(risk=risk.Risk(TARGET)))
    a, b = (next(f"P{n}" for n in range(60) if lanes.lane_of(f"P{n}") == lane) for lane in (0, 1))
    await lanes.give(
        admission("in", 0, "admit", age_years=3.0, unit="4B", patient_id=b),
        vitals("v", 10, patient_id=b, **WELL),
        finding("f", 30, patient_id=a),
        *ticks(31, 61),
        admission("merge", 62, "merge", patient_id=b, merged_patient_id=a),
    )
    lanes.restart()
    await lanes.give(*ticks(63, 121), finding("g", 150, calibrated_probability=0.5, patient_id=a))
    await lanes.give(*ticks(151, 181))
    await lanes.give(tick(181 + TOLD))
    found = [decoder_of(TrainingExample)(record.value) for record in lanes._records("training-examples.v1")]
    assert [(one.patient_id, one.inputs.get(CHEST_XRAY)) for one in found[:3]] == [
        (b, None),
        (b, Input(value=1.3863, age_h=1.5)),
        (b, Input(value=0.0, age_h=0.5)),
    ]


class Read:
    """A record as lanes order them."""

    def __init__(self, minutes: float) -> None:
        self.time, self.read_ms = at(minutes).timestamp(), 0


def test_a_finding_that_took_long_holds_nothing_back() -> None:
    """It carries the time of its film: one that is read hours later, in the stream's time, is of the past and goes."""
    order = Order[Read](("findings.v1", "vitals.v1"), None)
    order.add("vitals.v1", [Read(500)])
    assert len(order.release((), 1, 0.0)) == 1
    order.add("findings.v1", [Read(30)])
    order.add("vitals.v1", [Read(501)])
    assert [record.time for record in order.release((), 1, 0.0)] == [at(30).timestamp(), at(501).timestamp()]
