"""The simulated hospital: patients go from the emergency department to the wards, a surge brings more of the old."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from wardstream.infra.feeds import flow_queue
from wardstream.infra.feeds.archive import SourceError
from wardstream.infra.feeds.flow_hospital import (
    ALL_WARDS,
    BEDS,
    EMERGENCY,
    WARDS,
    Hourly,
    Simulated,
    Stay,
    is_planned,
    simulate,
)
from wardstream.models.flow.unit import Delay


@pytest.fixture(scope="module")
def hospital(shared_data: Path) -> Simulated:
    return simulate(shared_data, 21, surge_day=14)


def test_it_is_a_hospital_of_500_beds_most_of_them_taken(shared_data: Path) -> None:
    simulated = simulate(shared_data, 60, None)
    there = simulated.inpatients()
    wards = simulated.unit(ALL_WARDS)
    assert [len(present) for _, _, present in wards] == there.tolist()
    assert 0.75 * BEDS < np.median(there[40 * 24 :]) < 0.95 * BEDS


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


def test_hour_by_hour_everybody_is_told(hospital: Simulated) -> None:
    planned = sent = gone = admitted = 0
    assert not any(seen[EMERGENCY].came.planned for _, seen, _ in hospital.hour_by_hour(()))
    for _, seen, departed in hospital.hour_by_hour(WARDS):
        planned += sum(seen[name].came.planned for name in WARDS)
        sent += sum(seen[name].came.from_emergency or 0 for name in WARDS)
        gone += len(departed)
        admitted += sum(one.left_to is not None for one in departed)
    end = hospital.first + hospital.hours
    came = [stay for stay in hospital.stays if stay.unit in WARDS and stay.came < end]
    assert planned == sum(is_planned(stay) for stay in came)
    assert sent == sum(not is_planned(stay) for stay in came) == admitted
    assert gone == sum(stay.unit == EMERGENCY and stay.left < end for stay in hospital.stays)


def hourly(*stays: tuple[str, float, float]) -> Hourly:
    found = tuple(Stay(key, "W0", came, left, 50.0, None) for key, came, left in stays)
    return Hourly(100, 48, found)


def test_who_would_be_there_had_planned_patients_come_later() -> None:
    unit = hourly(("1-0", 100.5, 140.0), ("2-e0", 106.0, 130.0), ("3-e0", 120.0, 140.0))
    delay = Delay(within_h=12, by_h=10)
    assert [unit.there_if_delayed(105.0, delay, at) for at in (110.0, 117.0, 135.0, 141.0)] == [1, 2, 3, 0]


def test_who_waits_for_a_bed_gets_the_next_that_is_free() -> None:
    unit = hourly(("1", 100.5, 112.0), ("2", 101.0, 120.0), ("3", 106.0, 126.0), ("4", 107.0, 109.0))
    assert [unit.waiting_if(105.0, 2, at) for at in (106.5, 108.0, 113.0, 125.0)] == [1, 2, 1, 0]
    assert unit.waiting_if(105.0, 1, 106.5) == 2, "of two beds one was closed: somebody in a bed has to go elsewhere"
    assert unit.waiting_if(105.0, 9, 108.0) == 0


def test_a_simulated_queue_makes_the_less_urgent_wait(shared_data: Path) -> None:
    queue = list(flow_queue.simulate(shared_data, 30))
    assert len(queue) > 4000
    assert min(one.minutes for one in queue) >= 0.0
    urgent, others = (
        [one.minutes for one in queue if (one.triage.acuity or 3) in levels] for levels in ({1, 2}, {4, 5})
    )
    assert np.mean(others) > 2.0 * np.mean(urgent)
    assert np.mean([one.minutes for one in queue if one.waiting >= 5]) > np.mean([one.minutes for one in queue])
