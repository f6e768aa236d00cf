"""A change of the loss or of an input is told, and one that is none hardly ever."""

from __future__ import annotations

from random import Random

from wardstream.models.risk.drift import HOUR_TAKEN, LOSS, Change, Drift
from wardstream.models.risk.features import Known


def seen(drift: Drift, number: int, seed: int, pulse: float = 85.0, loss: float = 0.2) -> list[Change]:
    """So many patients, each with a day of hours."""
    draw, found = Random(seed), list[Change]()
    for patient in range(number):
        usual = draw.gauss(pulse, 15)
        for hour in (1, HOUR_TAKEN, 24):
            inputs = {"heart_rate_bpm": Known(usual), "age_years": Known(draw.gauss(60, 15))}
            found += drift.take(patient + 1, hour, draw.expovariate(1 / loss), inputs)
    return found


def test_no_change_is_told_of_what_stays() -> None:
    assert sum(len(seen(Drift(), 1_000, seed)) for seed in range(5)) <= 1


def test_an_input_that_shifts_is_told_with_its_means() -> None:
    drift = Drift()
    seen(drift, 1_000, 1)
    found = seen(drift, 300, 2, pulse=110.0)
    assert found
    assert {one.what for one in found} == {"heart_rate_bpm"}
    assert found[0].after > found[0].before + 5
    assert found[0].example <= 150


def test_a_model_that_fails_is_told() -> None:
    drift = Drift()
    seen(drift, 1_000, 1)
    assert LOSS in {one.what for one in seen(drift, 300, 2, loss=1.0)}


def test_a_patient_counts_once() -> None:
    drift = Drift()
    for hour in range(1, 2_000):
        if hour != HOUR_TAKEN:
            assert drift.take(hour, hour, 5.0 * (hour > 1_000), {}) == []


def test_restored_it_goes_on_as_before() -> None:
    drift = Drift()
    seen(drift, 500, 1)
    again = Drift.restored(drift.packed())
    assert seen(again, 400, 2, pulse=100.0) == seen(drift, 400, 2, pulse=100.0)
    assert again.packed() == drift.packed()
