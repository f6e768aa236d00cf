"""The offline stream is the lanes' own: the same hours, inputs and labels, and nothing is known before its time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from tests.agents.bedside import Bedside
from tests.events import START, WELL, admission, lab, outcome, tick, vitals
from tests.risk.batch import BatchRegression
from tests.risk.died2012 import HOURS, SETS, days_in_hospital, read, stay
from tests.risk.patients import hours, in_order
from wardstream.agents.risk import Risk
from wardstream.infra.feeds import challenge2012
from wardstream.models.risk.features import Known
from wardstream.models.risk.target import Target
from wardstream.models.training.measures import auroc
from wardstream.schemas.admissions import Admission
from wardstream.schemas.outcomes import Outcome

TARGET = Target(horizon_h=3, grace_h=2)


def events() -> list[Any]:
    """Eight hours of a stay, with what comes late and is corrected."""
    measured = [
        vitals(f"v{minute}", minute, **WELL | {"heart_rate_bpm": 70.0 + minute / 10}) for minute in range(10, 480, 25)
    ]
    results = [
        lab("c", 65, received=130, loinc="2160-0", unit="mg/dL", value=1.5),
        lab("d", 200, loinc="2524-7", unit="mmol/L", value=3.5),
    ]
    what_happened = [outcome("o", 400, "sepsis_onset", received=470)]
    person = [admission("a", 0, "admit", age_years=60.0, sex="male", unit="4B")]
    return sorted([*person, *measured, *results, *what_happened], key=lambda event: event.received_at)


async def test_the_same_as_on_the_lanes() -> None:
    bedside, expected = Bedside(risk=Risk(TARGET)), []
    minute = 0
    for event in events():
        until = (event.received_at - START).total_seconds() / 60
        while minute + 1 < until:
            minute += 1
            expected += (await bedside.give(tick(minute))).examples
        await bedside.give(event)
    expected += (await bedside.give(*(tick(later) for later in range(minute + 1, 481)))).examples
    expected += (await bedside.give(tick(2_000))).examples
    found = [hour for hour in hours(events(), TARGET, at_most=99) if hour.at < (START.timestamp() + 480 * 60)]
    assert len(found) == 7
    for hour, example in zip(found, expected, strict=False):
        assert hour.at == example.observed_at.timestamp()
        assert hour.label == {True: "positive", False: "negative", None: "excluded"}[example.label]
        inputs = {name: Known(one.value, one.age_h) for name, one in example.inputs.items()}
        assert hour.waiting().inputs == inputs
    assert [hour.label for hour in found] == ["negative"] * 3 + ["positive"] * 3 + ["excluded"]


def test_the_order_of_the_stream() -> None:
    known = hours(events(), TARGET, at_most=99)
    moments = list(in_order(known))
    assert len(moments) == 2 * len(known)
    assert [moment.at for moment in moments] == sorted(moment.at for moment in moments)
    for moment in moments:
        assert moment.at == (moment.hour.told_at if moment.is_told else moment.hour.at)
    assert not moments[0].is_told


def test_the_batch_regression_finds_what_is_there() -> None:
    draw = np.random.default_rng(1)
    rows = draw.normal(size=(4_000, 5)).astype(np.float32)
    truth = draw.random(4_000) < 1 / (1 + np.exp(2 - 2 * rows[:, 1]))
    rows[:, 1] = 1_000 * rows[:, 1] + 7
    rows[draw.random(rows.shape) < 0.1] = np.nan
    said = BatchRegression(rows[:2_000], truth[:2_000]).say(rows[2_000:])
    known = ~np.isnan(rows[2_000:, 1])
    best = auroc(truth[2_000:][known].astype(np.int8), rows[2_000:, 1][known].astype(np.float64))
    assert auroc(truth[2_000:][known].astype(np.int8), said[known]) == pytest.approx(best, abs=0.01)
    assert np.mean(1 / (1 + np.exp(-said))) == pytest.approx(truth.mean(), abs=0.03)


def test_recorded_stays_end_on_the_day_of_death_or_discharge(shared_data: Path) -> None:
    path = shared_data / "icu" / SETS[0]
    known = days_in_hospital(path)
    assert sum(died for _, died in known.values()) > 500
    record = next(one for one in challenge2012.records(path, 5) if one.id in known)
    days, _ = known[record.id]
    for died, disposition in ((True, "died"), (False, "home")):
        found = list(stay(record, 3, days, died))
        last = found[-1]
        assert isinstance(last, Admission)
        assert (last.kind, last.disposition) == ("discharge", disposition)
        assert (last.observed_at - found[0].observed_at).days >= days
        assert any(isinstance(event, Outcome) for event in found) == died
        told = hours(found, Target(name="x", kinds=("death",), horizon_h=24.0 * days + 48), HOURS)
        assert 40 <= len(told) <= HOURS
        assert {hour.label for hour in told} == ({"positive"} if died else {"negative"})


def test_hours_travel(shared_data: Path) -> None:
    known, target, numbers = read(shared_data / "icu", 2, seed=1)
    assert len(numbers) >= 3
    assert target.kinds == ("death",)
    for hour in known:
        waiting = hour.waiting()
        assert msgspec.json.encode(waiting) == hour.row
        assert waiting.at == hour.at
        assert waiting.hour <= HOURS
