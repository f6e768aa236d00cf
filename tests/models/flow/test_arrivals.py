"""Forecasts of arrivals: no look ahead, better than plain means, calibrated, and not thrown by surges and outages."""

from __future__ import annotations

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from wardstream.models.flow.arrivals import HORIZONS, Arrivals
from wardstream.models.flow.calendar import WEEK, Calendar
from wardstream.models.flow.calibration import LEVELS, Calibration
from wardstream.models.flow.counts import Doubles, mean_of, negative_binomial, quantile
from wardstream.models.flow.judging import CALIBRATED, COMBINED, judge_arrivals, poisson_floor
from wardstream.models.flow.state_space import StateSpace

FIRST = 400_000


def profile(hours: int) -> Doubles:
    """A day with a trough at night, and busier Mondays."""
    hour = np.arange(hours)
    return np.asarray(6.0 + 4.0 * np.sin(2.0 * np.pi * (hour % 24) / 24.0) + 2.0 * (hour % WEEK < 24))


def series(weeks: int, seed: int = 1) -> Doubles:
    return np.random.default_rng(seed).poisson(profile(weeks * WEEK)).astype(float)


def test_the_state_space_finds_the_profile() -> None:
    counts = series(30)
    model = StateSpace(Calendar())
    for i, count in enumerate(counts):
        model.learn(FIRST + i, count)
    said, variance = model.forecast(FIRST + len(counts) - 1, range(1, WEEK + 1))
    true = profile(len(counts) + WEEK)[-WEEK:]
    assert np.abs(said - true).mean() < 0.5
    # Two sigma of what it says it does not know hold what it did not know.
    assert (np.abs(said - true) < 3.0 * np.sqrt(variance)).mean() > 0.95


def test_log_rates_of_two_hours_share_what_disturbs_both() -> None:
    """Against the same thing step by step: covariance of x'(state) where the state moves as `learn(None)` moves it."""
    model = StateSpace(Calendar())
    for i, count in enumerate(series(2)):
        model.learn(FIRST + i, count)
    hour = FIRST + 2 * WEEK - 1
    mean, covariance = model.log_rates(hour, (1, 5, 24))
    assert np.allclose(covariance, covariance.T)
    assert (np.linalg.eigvalsh(covariance) > 0.0).all()
    for step in range(1, 25):
        model.learn(hour + step, None)
        if step in (1, 5, 24):
            row = model._row(hour + step)
            at = (1, 5, 24).index(step)
            assert mean[at] == pytest.approx(float(row @ model.mean))
            assert covariance[at, at] == pytest.approx(float(row @ model.covariance @ row))


def test_a_forecast_knows_nothing_of_later_hours() -> None:
    """Everything after an hour is changed, weather included: what had been said at that hour is the same."""
    counts, weeks = series(3), 3 * WEEK
    weather = np.linspace(-5.0, 25.0, weeks)
    other = counts.copy()
    other[-24:] += 30.0
    said = []
    for told, warmth in ((counts, weather), (other, weather + np.r_[np.zeros(weeks - 24), np.full(24, 40.0)])):
        arrivals = Arrivals(Calendar())
        for i in range(weeks - 24):
            arrivals.learn(FIRST + i, float(told[i]), float(warmth[i]))
        said.append(arrivals.forecast())
    assert np.array_equal(said[0].alone, said[1].alone)
    assert np.array_equal(said[0].calibrated, said[1].calibrated)


def test_the_combination_is_near_the_best_and_calibrated() -> None:
    counts = series(20)
    judged = judge_arrivals(FIRST, counts, np.zeros(len(counts)), Calendar(), 12 * WEEK, (1, 24))
    for h in (1, 24):
        by_name = judged.quality[h]
        best = min(one.crps.value for name, one in by_name.items() if name != CALIBRATED)
        assert by_name[CALIBRATED].crps.value < 1.01 * best
        assert by_name[CALIBRATED].crps.value < by_name["hour of week"].crps.value
        assert np.abs(by_name[CALIBRATED].pit - 0.1).max() < 0.035
        assert judged.mase[h][CALIBRATED] < 0.85


def test_hours_that_nobody_knows_are_no_hours_without_arrivals() -> None:
    counts = series(6)
    arrivals = Arrivals(Calendar())
    for i, count in enumerate(counts):
        arrivals.learn(FIRST + i, float(count))
    before = mean_of(arrivals.forecast().combined)
    hour, wider = FIRST + len(counts) - 1, arrivals.members["state space"].rates(FIRST + len(counts) - 1, (1,))[1]
    for i in range(1, WEEK + 1):
        arrivals.learn(hour + i, None)
    after = mean_of(arrivals.forecast().combined)
    assert after == pytest.approx(before, rel=0.1)
    grown = arrivals.members["state space"].rates(hour + WEEK, (1,))[1]
    assert wider is not None
    assert grown is not None
    assert grown[0] > wider[0]
    with pytest.raises(ValueError, match="one after the other"):
        arrivals.learn(hour + WEEK + 2, 3.0)


@pytest.mark.parametrize("count", [0.0, 250.0])
def test_a_surge_or_an_empty_unit_breaks_nothing(count: float) -> None:
    arrivals = Arrivals(Calendar())
    for i in range(3 * WEEK):
        arrivals.learn(FIRST + i, 1.0 if i < 2 * WEEK else count)
    said = arrivals.forecast()
    assert np.isfinite(said.calibrated).all()
    assert said.calibrated.sum(axis=1) == pytest.approx(np.ones(len(HORIZONS)))
    assert (said.calibrated >= -1e-12).all()
    assert abs(mean_of(said.calibrated)[0] - count) < 0.3 * count + 0.5


def test_calibration_bends_what_says_too_little() -> None:
    """A forecast of 6 where the mean is 8, and too narrow: its calibrated quantiles are met as often as they say."""
    rng = np.random.default_rng(5)
    calibration = Calibration(1)
    said = negative_binomial(np.array([6.0]), np.array([0.0]), 60)
    observed = rng.negative_binomial(8, 0.5, 12_000)
    below = np.zeros(len(LEVELS))
    for i, count in enumerate(observed):
        if i >= 6_000:
            cdf = np.cumsum(calibration.apply(said)[0])
            left, right = (cdf[count - 1] if count else 0.0), cdf[min(count, 59)]
            below += np.clip((np.array(LEVELS) - left) / max(right - left, 1e-12), 0.0, 1.0) / 6_000
        calibration.learn([0], said, float(count))
    assert below == pytest.approx(np.array(LEVELS), abs=0.03)


def test_calibration_that_holds_the_median_leaves_the_point_alone() -> None:
    """Forecasts that are too narrow by far, and too low: the intervals widen, the median is the forecast's own."""
    rng = np.random.default_rng(5)
    calibration, held = Calibration(1), Calibration(1, median_held=True)
    said = negative_binomial(np.array([6.0]), np.array([0.0]), 60)
    for count in rng.negative_binomial(4, 1 / 3, 12_000).tolist():
        for one in (calibration, held):
            one.learn([0], said, float(count))
    own, bent, kept = (
        [int(quantile(pmf, level)[0]) for level in (0.1, 0.5, 0.9)]
        for pmf in (said, calibration.apply(said), held.apply(said))
    )
    assert bent[1] > own[1]
    assert kept[1] == own[1]
    assert kept[0] <= own[0] < own[2] < kept[2]
    assert (np.diff(held.levels) >= 0.0).all()


def test_what_is_told_of_arrivals_errs_as_little_as_the_combination() -> None:
    counts = series(8)
    judged = judge_arrivals(FIRST, counts, np.zeros(len(counts)), Calendar(), 4 * WEEK, (1, 24))
    for by_name in judged.quality.values():
        assert by_name[CALIBRATED].mae == by_name[COMBINED].mae


def test_calibration_leaves_a_true_forecast_alone() -> None:
    rng = np.random.default_rng(6)
    calibration = Calibration(1)
    said = negative_binomial(np.array([7.0]), np.array([0.0]), 60)
    for count in rng.poisson(7.0, 8_000):
        calibration.learn([0], said, float(count))
    assert calibration.levels[0] == pytest.approx(np.array(LEVELS), abs=0.05)


def test_the_calendar_is_the_wall_clock_s() -> None:
    calendar = Calendar(ZoneInfo("Europe/Berlin"), {date(2026, 3, 29): ("summer time",)})
    begin = int(datetime(2026, 3, 28, 23, tzinfo=UTC).timestamp()) // 3600
    hours = [calendar.at(begin + i).hour_of_week - 6 * 24 for i in range(4)]
    assert hours == [0, 1, 3, 4]  # clocks are put forward at 2:00
    assert calendar.at(begin).special == ("summer time",)
    assert calendar.at(begin - 1).special == ()


def test_the_floor_is_what_poisson_counts_leave() -> None:
    """Of counts drawn with these rates, the true distributions err by so much and cover so much."""
    counts = series(60)
    floor = poisson_floor(FIRST, counts, Calendar())
    rates = profile(60 * WEEK)
    said = negative_binomial(rates, np.zeros(len(rates)), 60)
    low, middle, high = (quantile(said, level) for level in (0.1, 0.5, 0.9))
    assert floor.mae == pytest.approx(float(np.abs(counts - middle).mean()), rel=0.03)
    assert floor.coverage[0.8] == pytest.approx(float(((low <= counts) & (counts <= high)).mean()), abs=0.02)
    assert 0.8 < floor.coverage[0.8] < floor.coverage[0.95] < 1.0
