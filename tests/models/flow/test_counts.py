"""Distributions of counts and the measures on them, against plain definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardstream.models.flow.calendar import WEEK
from wardstream.models.flow.counts import crps, mean_of, negative_binomial, pinball, pit_bounds, quantile, size_for
from wardstream.models.flow.measures import mase, over_weeks, pit, quality


@given(st.floats(0.05, 60.0), st.floats(0.0, 1.0))
def test_a_negative_binomial_has_the_mean_and_variance_asked_for(mean: float, relative: float) -> None:
    excess = relative * mean**2
    size = 4 * size_for(mean, excess)
    pmf = negative_binomial(np.array([mean]), np.array([excess]), size)
    k = np.arange(size)
    assert pmf.sum() == pytest.approx(1.0)
    assert mean_of(pmf)[0] == pytest.approx(mean, rel=0.03)
    assert float(pmf[0] @ (k - mean) ** 2) == pytest.approx(mean + excess, rel=0.05)


@given(st.lists(st.floats(0.0, 1.0), min_size=2, max_size=12).filter(sum), st.integers(0, 14))
def test_crps_is_that_of_its_definition_by_distances(weights: list[float], observed: int) -> None:
    """CRPS = E|X - y| - E|X - X'| / 2 (Gneiting and Raftery 2007)."""
    pmf = np.array(weights) / sum(weights)
    k = np.arange(len(pmf))
    plain = pmf @ np.abs(k - observed) - pmf @ np.abs(k[:, None] - k) @ pmf / 2.0
    assert float(crps(pmf, np.asarray(float(observed)))) == pytest.approx(float(plain), abs=1e-9)


def test_quantiles_are_the_least_counts_that_reach_the_level() -> None:
    pmf = np.array([[0.25, 0.25, 0.5, 0.0]])
    assert [int(quantile(pmf, level)[0]) for level in (0.0, 0.25, 0.26, 0.5, 0.51, 1.0)] == [0, 0, 1, 1, 2, 2]
    assert pit_bounds(pmf, np.array([1.0])) == (pytest.approx([0.25]), pytest.approx([0.5]))
    assert pinball(0.9, np.array([3]), np.array([5.0, 1.0])).tolist() == pytest.approx([1.8, 0.2])


def test_true_forecasts_have_a_flat_pit_and_cover_what_whole_counts_cover() -> None:
    """A Poisson count with mean 7: the central 80 % interval is 4 to 10 and covers 82 to 88 %, never 80 %."""
    rng = np.random.default_rng(7)
    rates = rng.uniform(4.0, 9.0, 20_000)
    pmf = negative_binomial(rates, np.zeros(len(rates)), 60)
    found = quality(pmf, rng.poisson(rates).astype(float))
    assert np.abs(found.pit - 0.1).max() < 0.01
    covered = found.coverage[0.8]
    assert covered.value == pytest.approx(found.expected[0.8], abs=0.01)
    assert covered.low < found.expected[0.8] < covered.high
    assert 0.85 < found.expected[0.8] < 0.89
    assert found.crps.low < found.crps.value < found.crps.high


def test_a_forecast_that_says_too_little_is_seen_in_its_pit() -> None:
    rng = np.random.default_rng(3)
    observed = rng.poisson(8.0, 4000).astype(float)
    assert pit(negative_binomial(np.full(4000, 5.0), np.zeros(4000), 60), observed)[-1] > 0.3


def test_intervals_are_over_weeks() -> None:
    """Errors that come in whole weeks: the interval is as wide as with so few weeks, not as with all hours."""
    weeks = np.repeat([0.0, 1.0], 10)
    blocks = over_weeks(np.repeat(weeks, WEEK))
    assert blocks.value == 0.5
    assert blocks.high - blocks.low > 0.3


def test_mase_of_the_seasonal_naive_is_one() -> None:
    counts = np.random.default_rng(1).poisson(6.0, 3 * WEEK).astype(float)
    assert mase(np.abs(counts[WEEK:] - counts[:-WEEK]), counts) == pytest.approx(1.0)
