"""Who is in an emergency department comes to the wards: in the sum of beds that they will need."""

from __future__ import annotations

import numpy as np
import pytest

from wardstream.models.flow.calendar import Calendar
from wardstream.models.flow.counts import mean_of
from wardstream.models.flow.emergency import Departure, Emergency
from wardstream.models.flow.unit import AHEAD, Came, Inflow, Present, Unit

FIRST = 400_008
HOURS = 24 * 12


def hospital(seed: int = 1) -> tuple[Unit, Unit, Emergency, dict[str, Present]]:
    """The old are admitted to ward A after four hours, the young go home: a department, and a ward that is told
    whom it will send."""
    rng = np.random.default_rng(seed)
    department, told, emergency = (*(Unit(Calendar()) for _ in range(2)), Emergency(Calendar()))
    there: dict[str, Present] = {}
    ward: dict[str, Present] = {}
    for hour in range(FIRST, FIRST + HOURS):
        gone = {key: one for key, one in there.items() if one.since < hour - 4}
        there = {key: one for key, one in there.items() if key not in gone}
        admitted = {key: one for key, one in gone.items() if (one.age_years or 0) >= 65}
        emergency.learn(
            Departure(one.since, one.age_years, 3, None, "A" if key in admitted else None) for key, one in gone.items()
        )
        ward = {key: one for key, one in ward.items() if rng.random() > 0.05}
        ward |= {key: Present(hour + 0.5, one.age_years, 3) for key, one in admitted.items()}
        arrived = int(rng.poisson(3.0))
        there |= {
            f"{hour}-{i}": Present(hour + float(rng.random()), float(rng.choice([30.0, 80.0])), 3)
            for i in range(arrived)
        }
        department.learn(hour, Came(arrived, arrived), there)
        department.say(hour)
        told.learn(hour, Came(len(admitted), 0, len(admitted)), ward)
        told.say(hour, list(emergency.inflows(department, hour).values()))
    return department, told, emergency, there


@pytest.fixture(scope="module")
def learnt() -> tuple[Unit, Unit, Emergency, dict[str, Present]]:
    return hospital()


def test_the_old_are_told_from_the_young(learnt: tuple[Unit, Unit, Emergency, dict[str, Present]]) -> None:
    emergency = learnt[2]
    old, young = (emergency.probability(Present(FIRST + 0.5, age, 3)) for age in (80.0, 30.0))
    assert old > 0.8
    assert young < 0.2
    assert emergency.shares(80.0) == {"A": pytest.approx(1.0)}


def test_a_full_department_is_beds_needed_in_the_ward(
    learnt: tuple[Unit, Unit, Emergency, dict[str, Present]],
) -> None:
    """Twenty old patients who have come an hour ago raise what the ward needs by nearly twenty in some hours."""
    department, told, emergency, there = learnt
    hour = FIRST + HOURS - 1
    usual = told.forecast(hour, list(emergency.inflows(department, hour).values()))
    department.present = dict(there) | {f"more-{i}": Present(hour - 0.5, 80.0, 3) for i in range(20)}
    crowded = told.forecast(hour, list(emergency.inflows(department, hour).values()))
    department.present = there
    more = [float(mean_of(b) - mean_of(a)) for a, b in zip(usual.raw, crowded.raw, strict=True)]
    assert more[0] < 3.0, "not in an hour"
    assert 12.0 < more[3] < 20.0, "in eight hours"
    assert usual.raw[3].sum() == pytest.approx(1.0)


def test_in_the_long_run_as_many_are_foreseen_as_come(
    learnt: tuple[Unit, Unit, Emergency, dict[str, Present]],
) -> None:
    department, _, emergency, _ = learnt
    (inflow,) = emergency.inflows(department, FIRST + HOURS - 1).values()
    assert isinstance(inflow, Inflow)
    rates = np.exp(inflow.log_mean + np.diag(inflow.covariance) / 2.0)
    coming = inflow.present.sum(axis=0) + rates @ inflow.newcomers
    assert coming[24:].sum() == pytest.approx((rates * emergency.admitted)[20:44].sum(), rel=0.15)
    assert emergency.admitted == pytest.approx(0.5, abs=0.1)
    assert len(coming) == AHEAD
