"""Counts an hour as a Poisson state space: what is likely to be the best single forecaster, and the cheapest.

The logarithm of the hourly rate is a sum: a level that wanders, a profile of the week in sines and cosines, the season,
effects of special days, and disturbances that fade within hours and within days. All are Gaussian and estimated
together (a dynamic generalised linear model: West, Harrison and Migon, JASA 1985): a count, Poisson given its rate,
moves them in proportion to how uncertain each is. So the first weeks teach the level, the first months the week, years
the season, and a busy morning raises the afternoon; nothing is tuned to a unit. The prior of the log rate at each hour
is matched to a gamma, its conjugate; the forecast is hence negative binomial, and its over-dispersion is what is not
known of the rate.

Why sines and not 168 means: a profile with few degrees of freedom is learnt in months, and rough hours average out.
The constants were chosen on one emergency department's arrivals of 2015-07 to 2016-06, where they hardly matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

import numpy as np

from wardstream.models.flow.calendar import WEEK, Calendar
from wardstream.models.flow.counts import Doubles

HARMONICS: Final = (*range(1, 43), 49, 56, 63)  # cycles a week
FADING: Final = ((0.8, 0.001), (0.97, 0.003))  # what is left after an hour, and variance, of each disturbance
WANDER: Final = 2e-6  # variance that the level gains in an hour: a tenth (one sigma) in 200 days
FIRST_LEVEL: Final = 1.0  # variance of the logarithm of a unit's rate before anything is seen

_angles = 2.0 * np.pi * np.outer(np.arange(WEEK), HARMONICS) / WEEK
_PROFILE: Final[Doubles] = np.hstack([np.sin(_angles), np.cos(_angles)])
_DAILY = np.array([k % 7 == 0 for k in HARMONICS])
_PROFILE_VARIANCE: Final[Doubles] = np.tile(np.where(_DAILY, 0.3, 0.06) / (1.0 + (np.array(HARMONICS) / 7) ** 2), 2)
_SEASON_VARIANCE, _SPECIAL_VARIANCE = 0.01, 0.02


class StateSpace:
    """The forecaster of one series. `mean` and `covariance` are all it knows.

    Restored with a calendar that names other special days, it keeps what it knows of those that are named still.
    """

    def __init__(self, calendar: Calendar, first_rate: float = 1.0) -> None:
        self._calendar = calendar
        self._special = calendar.names  # in the order of their effects
        stays, drifts = len(FADING), 1 + len(_PROFILE_VARIANCE) + 4 + len(calendar.names)
        self._keeps = np.ones(drifts + stays)
        self._keeps[drifts:] = [kept for kept, _ in FADING]
        self._gains = np.zeros(drifts + stays)
        self._gains[0] = WANDER
        self._gains[drifts:] = [(1.0 - kept**2) * variance for kept, variance in FADING]
        self._fades = np.outer(self._keeps, self._keeps)
        self.mean: Doubles = np.zeros(drifts + stays)
        self.mean[0] = np.log(first_rate)
        self.covariance: Doubles = np.diag(
            np.concatenate(
                [
                    [FIRST_LEVEL],
                    _PROFILE_VARIANCE,
                    np.full(4, _SEASON_VARIANCE),
                    np.full(len(calendar.names), _SPECIAL_VARIANCE),
                    [variance for _, variance in FADING],
                ]
            )
        )
        self._row = lru_cache(4096)(self._row_of)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_row"}  # a cache is made anew

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._row = lru_cache(4096)(self._row_of)
        if self._special != self._calendar.names:
            self._rename()

    def _rename(self) -> None:
        """Keep the effects of special days by their names; those of new names are as before anything was seen."""
        mean, covariance = self.mean, self.covariance
        begin = len(mean) - len(FADING) - len(self._special)
        old = {name: begin + i for i, name in enumerate(self._special)}
        names = self._calendar.names
        came = [*range(begin), *(old.get(name, -1) for name in names), *range(len(mean) - len(FADING), len(mean))]
        self.__init__(self._calendar)  # type: ignore[misc]
        known = [i for i, place in enumerate(came) if place >= 0]
        places = [came[i] for i in known]
        self.mean[known] = mean[places]
        self.covariance[np.ix_(known, known)] = covariance[np.ix_(places, places)]

    def _row_of(self, hour: int) -> Doubles:
        moment = self._calendar.at(hour)
        special = [float(name in moment.special) for name in self._calendar.names]
        return np.concatenate([[1.0], _PROFILE[moment.hour_of_week], moment.season, special, np.ones(len(FADING))])

    def learn(self, hour: int, count: float | None) -> None:
        """Go on to an hour, and take in its count; None: nobody knows it (a feed was down)."""
        self.mean *= self._keeps
        self.covariance *= self._fades
        self.covariance.flat[:: len(self.mean) + 1] += self._gains
        if count is None:
            return
        row = self._row(hour)
        shared = self.covariance @ row
        variance = float(row @ shared)
        before = float(row @ self.mean)
        shape = 1.0 / variance  # of the gamma that has this log-mean and log-variance, nearly
        rate = np.exp(before + variance / 2.0)
        self.mean += shared * (np.log((shape + count) / (shape + rate)) / variance)
        left = 1.0 / (shape + count)
        self.covariance -= np.outer(shared, shared) * ((1.0 - left / variance) / variance)

    def log_rates(self, hour: int, horizons: Sequence[int]) -> tuple[Doubles, Doubles]:
        """Mean vector and covariance matrix of the log rates at `hour + h`, for a state that has come to `hour`.

        Shared by all hours is what makes a sum of them wider than a sum of independent counts.
        """
        steps = np.asarray(horizons)[:, None]
        kept = self._keeps**steps
        rows = np.stack([self._row(hour + h) for h in horizons])
        seen = rows * kept
        # What is added on the way to the earlier of two hours is in both, faded.
        with np.errstate(divide="ignore", invalid="ignore"):
            grown = np.where(
                self._keeps == 1.0, steps * self._gains, self._gains * (1 - kept**2) / (1 - self._keeps**2)
            )
        earlier = np.minimum(steps, steps.T)
        later = np.maximum(steps, steps.T) - earlier
        order = np.argsort(steps[:, 0])
        position = np.searchsorted(steps[order, 0], earlier)
        on_the_way = np.zeros(earlier.shape)
        for i in np.flatnonzero(self._gains):
            on_the_way += np.outer(rows[:, i], rows[:, i]) * grown[order, i][position] * self._keeps[i] ** later
        return seen @ self.mean, seen @ self.covariance @ seen.T + on_the_way

    def forecast(self, hour: int, horizons: Sequence[int]) -> tuple[Doubles, Doubles]:
        """Mean of the rate and its variance at `hour + h`, for each horizon h."""
        log_mean, covariance = self.log_rates(hour, horizons)
        variance = np.diag(covariance)
        mean = np.exp(log_mean + variance / 2.0)
        return mean, mean**2 * np.expm1(variance)
