"""Distributions of counts as plain arrays: entry k is the probability of k; what lies beyond the last is in the last.

All that forecasts say (quantiles, the chance that a unit is full, the shortfall) is read from such an array, and all
measures are taken on it.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.special import gammaln

Doubles = npt.NDArray[np.float64]

TAIL: Final = 10.0  # standard deviations beyond the mean that an array holds, at least
LEAST_VARIANCE: Final = 1e-6  # of a rate, relative to its square: as good as a Poisson distribution


def size_for(mean: float, rate_variance: float = 0.0) -> int:
    """How many entries hold a count of that mean, whose rate varies by so much."""
    return int(mean + TAIL * np.sqrt(max(mean + rate_variance, 1.0))) + 2


def negative_binomial(mean: Doubles, rate_variance: Doubles, size: int) -> Doubles:
    """A Poisson count whose rate is gamma distributed: mean `mean`, variance `mean + rate_variance`.

    Parameters
    ----------
    mean, rate_variance : (n,)
    size : entries of each array

    Returns
    -------
    (n, size)
    """
    mean = np.maximum(mean, 1e-9)[:, None]
    shape = mean**2 / np.maximum(rate_variance[:, None], LEAST_VARIANCE * mean**2)
    k = np.arange(size)
    log = gammaln(k + shape) - gammaln(shape) - gammaln(k + 1.0) + k * np.log(mean / (mean + shape))
    found: Doubles = np.exp(log - shape * np.log1p(mean / shape))
    found[:, -1] += np.maximum(1.0 - found.sum(axis=1), 0.0)
    return np.asarray(found / found.sum(axis=1, keepdims=True))


def mean_of(pmf: Doubles) -> Doubles:
    """The mean of each row."""
    found: Doubles = pmf @ np.arange(pmf.shape[-1], dtype=float)
    return found


def quantile(pmf: Doubles, level: float) -> npt.NDArray[np.int64]:
    """The least k whose distribution function reaches `level`, of each row."""
    reached = np.cumsum(pmf, axis=-1) >= level - 1e-12
    reached[..., -1] = True
    found: npt.NDArray[np.int64] = np.argmax(reached, axis=-1)
    return found


def crps(pmf: Doubles, observed: Doubles) -> Doubles:
    """Continuous ranked probability score, in counts: the sum over k of (F(k) - [observed <= k])²."""
    steps = np.arange(pmf.shape[-1]) >= observed[..., None]
    return np.asarray(((np.cumsum(pmf, axis=-1) - steps) ** 2).sum(axis=-1) + _beyond(pmf, observed))


def _beyond(pmf: Doubles, observed: Doubles) -> Doubles:
    # Past the array's end F is 1, and each step up to the observed count costs 1.
    return np.asarray(np.maximum(observed - pmf.shape[-1], 0.0))


def pit_bounds(pmf: Doubles, observed: Doubles) -> tuple[Doubles, Doubles]:
    """F(observed - 1) and F(observed): the randomised PIT is uniform between them."""
    cdf = np.cumsum(pmf, axis=-1)
    at = np.minimum(observed.astype(int), pmf.shape[-1] - 1)
    upper = np.take_along_axis(cdf, at[..., None], axis=-1)[..., 0]
    lower = upper - np.take_along_axis(pmf, at[..., None], axis=-1)[..., 0]
    return np.clip(lower, 0.0, 1.0), np.clip(upper, 0.0, 1.0)


def pinball(level: float, said: npt.NDArray[np.int64], observed: Doubles) -> Doubles:
    """Quantile loss."""
    over = observed - said
    return np.asarray(np.maximum(level * over, (level - 1.0) * over))
