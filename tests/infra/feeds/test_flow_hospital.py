"""The simulated hospital: patients go from the emergency department to the wards, a surge brings more of the old."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from wardstream.infra.feeds.archive import SourceError
from wardstream.infra.feeds.flow_hospital import ALL_WARDS, EMERGENCY, WARDS, Simulated, simulate


@pytest.fixture(scope="module")
def hospital(shared_data: Path) -> Simulated:
    return simulate(shared_data, 21, surge_day=14)


def test_every_hour_adds_up(hospital: Simulated) -> None:
    for name in (EMERGENCY, ALL_WARDS):
        unit = hospital.unit(name)
        for hour, arrived, present in list(unit)[::37]:
            assert present.keys() == {one.key for one in unit.stays if one.came < hour + 1 <= one.left}
            assert arrived == sum(hour <= one.came < hour + 1 for one in unit.stays)


def test_who_is_admitted_comes_from_the_emergency_department(hospital: Simulated) -> None:
    left = {stay.key: stay.left for stay in hospital.stays if stay.unit == EMERGENCY}
    emergencies = [stay for stay in hospital.stays if stay.unit in WARDS and "e" not in stay.key]
    assert len(emergencies) > 100
    assert all(stay.came == left[stay.key] for stay in emergencies)
    assert all(stay.left > stay.came for stay in hospital.stays)


def test_the_surge_brings_half_as_many_again_of_the_old(hospital: Simulated) -> None:
    came = [stay for stay in hospital.stays if stay.unit == EMERGENCY]
    week = [int(stay.came - hospital.first) // 168 for stay in came]
    counts = np.bincount(week, minlength=3)
    assert counts[2] > 1.3 * counts[:2].mean()
    old = [np.mean([stay.age_years >= 65 for stay, w in zip(came, week, strict=True) if w == k]) for k in range(3)]
    assert old[2] > 1.5 * old[0]


def test_it_is_the_same_for_the_same_seed(shared_data: Path) -> None:
    one, other = (simulate(shared_data, 3, None, seed=4) for _ in range(2))
    assert one == other


def test_without_the_data_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(SourceError):
        simulate(tmp_path, 3, None)
