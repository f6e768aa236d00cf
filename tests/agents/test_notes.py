"""notes.v1: which class of note was written when joins the risk model's inputs, until it is taken back."""

from __future__ import annotations

from typing import Any

import pytest

from tests.agents.bedside import Bedside, Said
from tests.agents.lanes import Lanes
from tests.events import WELL, admission, note, tick, vitals
from wardstream.agents import risk
from wardstream.agents.patients import Rules
from wardstream.models.patient import KEPT_NOTES
from wardstream.models.risk.features import NOTES
from wardstream.models.risk.target import Target
from wardstream.schemas.decode import decoder_of
from wardstream.schemas.training_examples import Input, TrainingExample

TARGET = Target(horizon_h=2, grace_h=3)
TOLD = 5 * 60
ADMIT = admission("a", 0, "admit", age_years=70.0, sex="female", unit="4B")


def ticks(first: int, last: int) -> list[Any]:
    return [tick(minute) for minute in range(first, last + 1)]


def written(example: TrainingExample) -> dict[str, Input]:
    """What an example knew of notes, by class."""
    return {kind: example.inputs[name] for kind, name in NOTES.items() if name in example.inputs}


async def told(bedside: Bedside, *events: Any, hours: int) -> list[dict[str, Input]]:
    """What the examples of the first hours knew of notes."""
    await bedside.give(ADMIT, vitals("v", 10, **WELL), *events, *ticks(11, 61))
    bedside.restart()
    examples = list[TrainingExample]()
    for hour in range(1, hours + TOLD // 60):
        said: Said = await bedside.give(tick(hour * 60 + 40), tick(hour * 60 + 61))
        examples += said.examples
    return [written(one) for one in examples[:hours]]


async def test_classes_are_known_from_the_next_hour_on_with_count_and_age() -> None:
    found = await told(
        Bedside(risk=risk.Risk(TARGET)),
        *(note("n", 20), note("m", 50), note("r", 30, kind="radiology"), note("later", 90, 91, kind="consult")),
        hours=2,
    )
    progress, radiology = Input(value=2.0, age_h=0.17), Input(value=1.0, age_h=0.5)
    assert found[0] == {"progress": progress, "radiology": radiology}
    assert found[1]["progress"] == Input(value=2.0, age_h=1.17)
    assert found[1]["consult"] == Input(value=1.0, age_h=0.5)


async def test_a_day_later_they_are_missing() -> None:
    found = await told(Bedside(risk=risk.Risk(TARGET)), note("n", 30), hours=26)
    assert found[23]["progress"] == Input(value=1.0, age_h=23.5)
    assert found[24] == {}


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([note("n", 20), note("x", 20, 30, status="cancelled", supersedes="n", text=None)], {}),
        ([note("x", 20, 30, status="cancelled", supersedes="n", text=None), note("n", 20, 31)], {}),
        ([note("n", 20), note("n", 20)], {"progress": Input(value=1.0, age_h=0.67)}),
        (
            [note("n", 20), note("c", 20, 30, status="corrected", supersedes="n", kind="consult")],
            {"consult": Input(value=1.0, age_h=0.67)},
        ),
    ],
    ids=["taken back", "taken back before it came", "twice", "of another class"],
)
async def test_what_holds_counts_once(events: list[Any], expected: dict[str, Input]) -> None:
    assert (await told(Bedside(risk=risk.Risk(TARGET)), *events, hours=1))[0] == expected


async def test_no_score_no_alert_and_no_words_are_kept() -> None:
    bedside = Bedside(risk=risk.Risk(TARGET))
    await bedside.give(ADMIT, vitals("v", 10, **WELL), *ticks(11, 20))
    said = await bedside.give(*(note(f"n{n}", 21, text="Rather unwell.") for n in range(KEPT_NOTES + 5)))
    assert not said.scores
    assert not said.alerts
    rows = [row for row in bedside.rows.values() if row is not None]
    assert any(b"progress" in row for row in rows)
    assert not any(b"unwell" in row for row in rows)


async def test_where_no_risk_is_learned_nothing_is_kept() -> None:
    bedside = Bedside()
    await bedside.give(note("n", 30))
    assert not [key for key in bedside.rows if key.startswith(b"p\0")]


async def test_after_a_merge_notes_of_both_ids_are_known() -> None:
    lanes = Lanes(rules=Rules(risk=risk.Risk(TARGET)))
    a, b = (next(f"P{n}" for n in range(60) if lanes.lane_of(f"P{n}") == lane) for lane in (0, 1))
    await lanes.give(
        admission("in", 0, "admit", age_years=70.0, unit="4B", patient_id=b),
        vitals("v", 10, patient_id=b, **WELL),
        note("n", 30, patient_id=a),
        *ticks(31, 61),
        admission("merge", 62, "merge", patient_id=b, merged_patient_id=a),
    )
    lanes.restart()
    await lanes.give(*ticks(63, 121), note("m", 150, patient_id=a))
    await lanes.give(*ticks(151, 181))
    await lanes.give(tick(181 + TOLD))
    found = [decoder_of(TrainingExample)(record.value) for record in lanes._records("training-examples.v1")]
    assert [(one.patient_id, written(one)) for one in found[:3]] == [
        (b, {}),
        (b, {"progress": Input(value=1.0, age_h=1.5)}),
        (b, {"progress": Input(value=2.0, age_h=0.5)}),
    ]
