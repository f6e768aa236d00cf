"""How good forecasts of counts are, and how sure that is.

Intervals are over blocks of a week, drawn with replacement (a block bootstrap: Künsch, Ann Stat 1989): errors of
neighbouring hours, and of the same surge, are not independent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np

from wardstream.models.flow.calendar import WEEK
from wardstream.models.flow.calibration import LEVELS
from wardstream.models.flow.counts import Doubles, crps, pinball, pit_bounds, quantile

DRAWS: Final = 1000
PIT_BINS: Final = 10
GOLDEN: Final = 0.6180339887498949
_MEDIAN: Final = LEVELS.index(0.5)


class Measure(NamedTuple):
    """A mean over hours, with the 95 % interval over weeks."""

    value: float
    low: float
    high: float


class Quality(NamedTuple):
    """What one forecaster's distributions of one horizon were worth.

    Attributes
    ----------
    mae : Measure
        Mean absolute error of the median, counts.
    crps : Measure
        Counts.
    pinball : float
        Mean over `LEVELS`, counts.
    coverage : mapping of Measure
        Share of hours within the central interval, by its nominal share; in whole counts an interval covers more.
        Forecasts two days ahead overlap, and their hours are not independent: the interval over weeks allows for it.
    expected : mapping
        What the same intervals would cover if the forecasts were true: the excess that is due to whole counts.
    pit : (PIT_BINS,)
        Share of hours by randomised PIT, as its expectation: each is 1/PIT_BINS where the forecast is calibrated.
    """

    mae: Measure
    crps: Measure
    pinball: float
    coverage: Mapping[float, Measure]
    expected: Mapping[float, float]
    pit: Doubles


class Score(NamedTuple):
    """What one distribution was worth when its hour had come; see `Quality`.

    Attributes
    ----------
    within_80, within_95 : bool
        Whether the central interval held what came.
    pit : int
        The class of the randomised PIT, 0 to `PIT_BINS` - 1.
    """

    forecaster: str
    horizon_h: int
    absolute: float
    crps: float
    pinball: float
    within_80: bool
    within_95: bool
    pit: int


def score(forecaster: str, horizon_h: int, pmf: Doubles, observed: float, hour: int) -> Score:
    """Score one distribution.

    The PIT is randomised by the hour's place in the golden-ratio sequence: evenly spread, and the same when repeated.
    """
    cdf = np.cumsum(pmf)
    last = len(pmf) - 1
    at = min(int(observed), last)
    low, high = (float(cdf[at - 1]) if at else 0.0), float(cdf[at])
    place = low + (high - low) * (hour * GOLDEN % 1.0)
    said = np.minimum(np.searchsorted(cdf, np.array(LEVELS) - 1e-12), last)
    over = observed - said
    steps = cdf.copy()
    steps[at:] -= 1.0
    return Score(
        forecaster,
        horizon_h,
        float(abs(over[_MEDIAN])),
        float(steps @ steps + max(observed - len(pmf), 0.0)),
        float(np.maximum(np.array(LEVELS) * over, (np.array(LEVELS) - 1.0) * over).mean()),
        bool(said[1] <= observed <= said[-2]),
        bool(said[0] <= observed <= said[-1]),
        min(int(place * PIT_BINS), PIT_BINS - 1),
    )


def quality(pmf: Doubles, observed: Doubles) -> Quality:
    """Measure forecasts.

    Parameters
    ----------
    pmf : (hours, size)
        In the order of time, without gaps.
    observed : (hours,)
    """
    coverage, expected = {}, {}
    cdf = np.cumsum(pmf, axis=1)
    for share in (0.8, 0.95):
        low, high = quantile(pmf, (1.0 - share) / 2.0), quantile(pmf, (1.0 + share) / 2.0)
        coverage[share] = over_weeks(((low <= observed) & (observed <= high)).astype(float))
        below = np.where(low > 0, np.take_along_axis(cdf, np.maximum(low - 1, 0)[:, None], axis=1)[:, 0], 0.0)
        expected[share] = float((np.take_along_axis(cdf, high[:, None], axis=1)[:, 0] - below).mean())
    return Quality(
        mae=over_weeks(np.abs(observed - quantile(pmf, 0.5))),
        crps=over_weeks(crps(pmf, observed)),
        pinball=float(np.mean([pinball(level, quantile(pmf, level), observed).mean() for level in LEVELS])),
        coverage=coverage,
        expected=expected,
        pit=pit(pmf, observed),
    )


def pit(pmf: Doubles, observed: Doubles) -> Doubles:
    """Histogram of the randomised PIT in its expectation (Czado, Gneiting and Held, Biometrics 2009); sums to 1."""
    lower, upper = pit_bounds(pmf, observed)
    edges = np.linspace(0.0, 1.0, PIT_BINS + 1)[:, None]
    found: Doubles = np.diff(np.clip((edges - lower) / np.maximum(upper - lower, 1e-12), 0.0, 1.0).mean(axis=1))
    return found


def over_weeks(losses: Doubles, seed: int = 1) -> Measure:
    """Mean of hourly losses with its interval over blocks of a week; the last block may be short."""
    starts = np.arange(0, len(losses), WEEK)
    sums = np.add.reduceat(losses, starts)
    hours = np.diff(np.r_[starts, len(losses)])
    drawn = np.random.default_rng(seed).integers(0, len(starts), (DRAWS, len(starts)))
    means = sums[drawn].sum(axis=1) / hours[drawn].sum(axis=1)
    low, high = np.quantile(means, (0.025, 0.975))
    return Measure(float(losses.mean()), float(low), float(high))


def mase(errors: Doubles, counts: Doubles) -> float:
    """Mean absolute error over that of the seasonal naive forecast of a week (Hyndman and Koehler, IJF 2006).

    Parameters
    ----------
    errors : (hours,)
        Absolute errors.
    counts : (hours,)
        The series that the naive forecast is measured on; NaN where it is no longer than a week.
    """
    if len(counts) <= WEEK:
        return float("nan")
    return float(errors.mean() / np.abs(counts[WEEK:] - counts[:-WEEK]).mean())
