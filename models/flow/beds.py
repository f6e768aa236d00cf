"""Beds needed, as a distribution: who of the present stays, plus who will have come and still be there.

What all patients share enters before they are summed: given the day's effect patients are independent and their number
is Poisson-binomial; the mixture over the effect is wider than any sum of independent patients. Arrivals share the
disturbances of the log rate (`state_space.log_rates`): their covariance between hours goes into the variance of the
summed rate, which is matched to a gamma. In a surge, sums of independent hours would be far too narrow.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from wardstream.models.flow.counts import Doubles, mean_of, negative_binomial, quantile, size_for


def poisson_binomial(probabilities: Doubles) -> Doubles:
    """Distribution of the number of successes of independent trials: (n + 1,).

    By the discrete Fourier transform of the characteristic function (Hong, Comput Stat Data Anal 2013).
    """
    size = len(probabilities) + 1
    turns = np.exp(2j * np.pi * np.arange(size // 2 + 1) / size)
    half = np.prod(1.0 + probabilities[:, None] * (turns - 1.0), axis=0)
    # irfft takes the transform with the other sign of the exponent, hence the conjugate.
    pmf = np.maximum(np.fft.irfft(np.conj(half), n=size), 0.0)
    return np.asarray(pmf / pmf.sum())


def staying(survival: Sequence[Doubles], weights: Doubles) -> Doubles:
    """How many of the present are still there: a mixture over the nodes of the shared effect.

    Parameters
    ----------
    survival
        At each node, each patient's probability of being there: (n,).
    weights : (nodes,)
    """
    return np.asarray(sum(w * poisson_binomial(p) for w, p in zip(weights, survival, strict=True)))


def still_there(log_mean: Doubles, covariance: Doubles, survival: Doubles) -> Doubles:
    """How many of those who will come in some hours are still there after the last of them.

    Parameters
    ----------
    log_mean, covariance : (hours,), (hours, hours)
        Of the logarithm of the rate of arrivals.
    survival : (hours,)
        The probability that who comes in that hour is there at the end of the last.
    """
    rates = np.exp(log_mean + np.diag(covariance) / 2.0) * survival
    mean = float(rates.sum())
    variance = float(rates @ np.expm1(covariance) @ rates)
    found: Doubles = negative_binomial(np.array([mean]), np.array([variance]), size_for(mean, variance))[0]
    return found


def add(one: Doubles, other: Doubles) -> Doubles:
    """Distribution of the sum of two counts that are independent, given all that was integrated out."""
    return np.asarray(np.convolve(one, other))


class Pressure(NamedTuple):
    """What a distribution of beds needed means for a unit.

    Attributes
    ----------
    expected : float
        Mean number of beds needed.
    full : float or None
        Probability that all staffed beds are needed, or more.
    shortfall : float or None
        Expected number of patients without a staffed bed.
    nurses : tuple of int or None
        Nurses needed (nurse hours in an hour) at the 10th, 50th and 90th percentile of patients.
    """

    expected: float
    full: float | None
    shortfall: float | None
    nurses: tuple[int, int, int] | None


def pressure(pmf: Doubles, staffed: int | None, patients_per_nurse: float | None) -> Pressure:
    """Read a distribution of beds needed against what is staffed. None: not known, and so is what follows from it."""
    full = shortfall = nurses = None
    if staffed is not None:
        full = min(float(pmf[staffed:].sum()), 1.0)
        shortfall = float(pmf @ np.maximum(np.arange(len(pmf)) - staffed, 0))
    if patients_per_nurse is not None:
        low, middle, high = (int(np.ceil(int(quantile(pmf, q)) / patients_per_nurse)) for q in (0.1, 0.5, 0.9))
        nurses = (low, middle, high)
    return Pressure(float(mean_of(pmf)), full, shortfall, nurses)
