"""Beds needed: sums of independent patients by plain convolution, wider where a day is shared; stays learnt online."""

from __future__ import annotations

from functools import reduce

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardstream.models.flow.beds import add, poisson_binomial, pressure, staying, still_there
from wardstream.models.flow.calendar import Calendar
from wardstream.models.flow.counts import Doubles, mean_of
from wardstream.models.flow.stays import Patients, RemainingStay

FIRST = 400_008  # a Monday's first hour is not needed: only that hours go on


@given(st.lists(st.floats(0.0, 1.0), max_size=40))
def test_poisson_binomial_is_the_convolution_of_its_trials(probabilities: list[float]) -> None:
    plain = reduce(np.convolve, [np.array([1.0 - p, p]) for p in probabilities], np.ones(1))
    assert np.allclose(poisson_binomial(np.array(probabilities)), plain, atol=1e-9)


def test_a_shared_effect_makes_the_sum_wider_and_leaves_its_mean() -> None:
    weights = np.array([0.5, 0.5])
    apart = poisson_binomial(np.full(100, 0.5))
    together = staying([np.full(100, 0.4), np.full(100, 0.6)], weights)
    k = np.arange(101)
    assert mean_of(together) == pytest.approx(50.0)
    assert together @ (k - 50.0) ** 2 > 4.0 * (apart @ (k - 50.0) ** 2)


def test_arrivals_of_hours_that_share_a_disturbance_vary_more() -> None:
    log_mean, there = np.log(np.full(24, 5.0)), np.full(24, 0.5)
    alone = still_there(log_mean, np.eye(24) * 0.04, there)
    shared = still_there(log_mean, np.full((24, 24), 0.04), there)
    assert mean_of(alone) == pytest.approx(24 * 2.5 * np.exp(0.02), rel=1e-3)
    assert mean_of(shared) == pytest.approx(mean_of(alone), rel=1e-3)
    variances = [float(pmf @ (np.arange(len(pmf)) - mean_of(pmf)) ** 2) for pmf in (alone, shared)]
    assert variances[1] > 2.0 * variances[0]


def test_arrivals_and_patients_against_drawing_them() -> None:
    """The distribution of their sum, against 200,000 draws of the same story: a shared rate, a shared day."""
    rng = np.random.default_rng(8)
    nodes, weights = np.array([-0.5, 0.5]), np.array([0.5, 0.5])
    chances = np.linspace(-1.0, 2.0, 30)
    survival = [1.0 / (1.0 + np.exp(-(chances - z))) for z in nodes]
    said = add(staying(survival, weights), still_there(np.log([4.0, 6.0]), np.full((2, 2), 0.03), np.array([0.6, 0.9])))
    day = rng.integers(0, 2, 200_000)
    shape = 1.0 / np.expm1(0.03)
    rate = (4.0 * 0.6 + 6.0 * 0.9) * np.exp(0.015) * rng.gamma(shape, 1.0 / shape, 200_000)
    drawn = (rng.random((200_000, 30)) < np.array(survival)[day]).sum(axis=1) + rng.poisson(rate)
    seen = np.bincount(drawn, minlength=len(said))[: len(said)] / len(drawn)
    assert np.abs(np.cumsum(seen) - np.cumsum(said)).max() < 0.005


def test_pressure_is_read_from_the_distribution() -> None:
    pmf = np.array([0.0, 0.2, 0.3, 0.4, 0.1])
    found = pressure(pmf, staffed=3, patients_per_nurse=2.0)
    assert found.expected == pytest.approx(2.4)
    assert found.full == pytest.approx(0.5)
    assert found.shortfall == pytest.approx(0.1)
    assert found.nurses == (1, 1, 2)
    assert pressure(pmf, None, None)[1:] == (None, None, None), "nothing is stated"


def chance(elapsed: Doubles, hour: int) -> Doubles:
    """Nobody leaves at night; after a day twice as many do."""
    return np.asarray(0.06 * (1.0 + (elapsed >= 24.0)) * (8 <= hour % 24 < 20))


def learnt(hours: int, shared: float = 0.0, seed: int = 1) -> RemainingStay:
    rng, model = np.random.default_rng(seed), RemainingStay(Calendar())
    elapsed = np.zeros(0)
    day = 1.0
    for i in range(hours):
        hour = FIRST + i
        if hour % 24 == 0:
            day = float(np.exp(rng.normal(0.0, shared)))
        elapsed = np.concatenate([elapsed + 1.0, np.full(rng.poisson(3.0), 0.5)])
        left = rng.random(len(elapsed)) < chance(elapsed, hour) * day
        model.learn(hour, people(elapsed), left)
        elapsed = elapsed[~left]
    return model


def people(elapsed: Doubles) -> Patients:
    return Patients(elapsed, np.full(len(elapsed), np.nan), np.full(len(elapsed), np.nan))


def test_remaining_stays_are_learnt() -> None:
    model, hours = learnt(24 * 60), 24 * 60
    elapsed = np.array([2.0, 30.0])
    said = model.survival(FIRST + hours - 1, people(elapsed), 24)
    true = np.cumprod(1.0 - np.stack([chance(elapsed + k, FIRST + hours + k) for k in range(24)], axis=1), axis=1)
    assert (np.diff(said, axis=1) <= 0.0).all()
    assert np.abs(said - true).max() < 0.08


def test_days_that_patients_share_are_seen() -> None:
    assert learnt(24 * 60, shared=0.0).shared_variance < 0.03
    assert learnt(24 * 60, shared=0.7).shared_variance > 0.1


def test_nobody_there_teaches_nothing_and_breaks_nothing() -> None:
    model = RemainingStay(Calendar())
    before = model.mean.copy()
    model.learn(FIRST, people(np.zeros(0)), np.zeros(0, dtype=bool))
    assert np.array_equal(model.mean, before)
    assert model.survival(FIRST, people(np.zeros(0)), 48).shape == (0, 48)
    nodes, weights = model.effects()
    assert weights.sum() == pytest.approx(1.0)
    assert mean_of(staying([np.zeros(0)] * len(nodes), weights)) == 0.0
