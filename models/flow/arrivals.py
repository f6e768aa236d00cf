"""Arrivals at one unit: several forecasters, combined by how well each did lately, and calibrated.

Every hour each forecaster says a distribution for each horizon. When the hour comes its count scores what was said of
it, by the logarithm of the probability that it was given; old scores fade. The combination is the mixture of the
distributions, each with a weight that follows from its score (dynamic model averaging: Raftery, Kárný and Ettler,
Technometrics 2010), a horizon by itself. The mixture is calibrated (`calibration`), its median held.

An hour that nobody knows (a feed was down) is no hour without arrivals: each forecaster is then told what the mixture
expected of it, the state space that it is unknown, and nobody is scored.
"""

from __future__ import annotations

from collections import deque
from typing import Final, NamedTuple

import numpy as np

from wardstream.models.flow.calendar import Calendar
from wardstream.models.flow.calibration import Calibration
from wardstream.models.flow.counts import Doubles, mean_of, negative_binomial, size_for
from wardstream.models.flow.members import LEAST, Member, Space, members

HORIZONS: Final = (1, 2, 4, 8, 12, 24, 48)
SCORE_FADES: Final = 0.9995  # an hour: half in eight weeks
TRUST: Final = 0.2  # in an hour's score: errors of one day are much alike, and count as fewer hours than they are
SPREAD_FADES: Final = 0.999  # half in four weeks
MOST: Final = 2.0  # times the highest count yet: what a forecaster says beyond that is an error of its own
LEAST_WEIGHT: Final = 0.001  # so that a forecaster comes back when its time has come


class Opinion(NamedTuple):
    """Forecasts of all horizons: by forecaster (members, horizons, size); combined and calibrated (horizons, size)."""

    alone: Doubles
    combined: Doubles
    calibrated: Doubles


class Arrivals:
    """The forecast of one series. `learn` goes on an hour; `forecast` says what is expected from there."""

    def __init__(self, calendar: Calendar) -> None:
        self.members: dict[str, Member] = members(calendar, HORIZONS)
        shape = (len(self.members), len(HORIZONS))
        self.hour: int | None = None
        self.highest = 0.0
        self.scores: Doubles = np.zeros(shape)
        self.excess: Doubles = np.zeros(shape)  # of squared errors over what Poisson counts have, fading
        self.squares: Doubles = np.full(shape, 1e-6)  # of the rates said, fading
        self.waiting: list[deque[Doubles]] = [deque(maxlen=h) for h in HORIZONS]
        self.calibration = Calibration(len(HORIZONS), median_held=True)

    def learn(
        self, hour: int, count: float | None, temperature_c: float | None = None
    ) -> dict[str, dict[int, Doubles]]:
        """Take in the hour's count; None: nobody knows it. The temperature is the hour's own, where it is known.

        Returns
        -------
        dict
            By forecaster and horizon: what was said of this hour before, alone.

        Raises
        ------
        ValueError
            The hour does not follow the last one.
        """
        if self.hour is not None and hour != self.hour + 1:
            raise ValueError("hours come one after the other; an hour that nobody knows has the count None")
        told = self._expected() if count is None else count
        said: dict[str, dict[int, Doubles]] = {}
        if count is not None:
            said = self._score(count)
            self.highest = max(self.highest, count)
        self.hour = hour
        for member in self.members.values():
            if count is None and isinstance(member, Space):
                member.model.learn(hour, None)
            else:
                member.learn(hour, told, temperature_c)
        rates = self._rates(hour)
        for i, waiting in enumerate(self.waiting):
            waiting.append(rates[:, i])
        return said

    def forecast(self) -> Opinion:
        """What is expected at each of `HORIZONS` after the last hour that was learnt."""
        rates = np.stack([waiting[-1] for waiting in self.waiting], axis=1)
        alone, combined = self._mixture(rates, list(range(len(HORIZONS))))
        return Opinion(alone, combined, self.calibration.apply(combined))

    def weights(self) -> Doubles:
        """(members, horizons)"""
        raised = np.exp(TRUST * (self.scores - self.scores.max(axis=0)))
        kept = np.maximum(raised / raised.sum(axis=0), LEAST_WEIGHT)
        found: Doubles = kept / kept.sum(axis=0)
        return found

    def _rates(self, hour: int) -> Doubles:
        """(members, horizons, 2): mean and variance of the rate."""
        found = np.empty((*self.scores.shape, 2))
        for i, member in enumerate(self.members.values()):
            mean, variance = member.rates(hour, HORIZONS)
            mean = np.clip(np.nan_to_num(mean, nan=LEAST), LEAST, MOST * (1.0 + self.highest))
            relative = np.clip(self.excess[i] / self.squares[i], 0.0, 1.0)
            found[i, :, 0] = mean
            found[i, :, 1] = mean**2 * relative if variance is None else variance
        return found

    def _mixture(self, rates: Doubles, rows: list[int]) -> tuple[Doubles, Doubles]:
        """The distributions of each forecaster, and of all combined, for some of the horizons."""
        flat = rates.reshape(-1, 2)
        size = max(size_for(mean, variance) for mean, variance in flat.tolist())
        alone = negative_binomial(flat[:, 0], flat[:, 1], size).reshape(*rates.shape[:2], size)
        return alone, np.einsum("mh,mhk->hk", self.weights()[:, rows], alone)

    def _expected(self) -> float:
        return float(mean_of(self.forecast().combined)[0]) if self.waiting[0] else 0.0

    def _score(self, count: float) -> dict[str, dict[int, Doubles]]:
        """Hold the count against what was said of this hour, at each horizon at which something was."""
        known = [i for i, waiting in enumerate(self.waiting) if len(waiting) == HORIZONS[i]]
        if not known:
            return {}
        rates = np.stack([self.waiting[i][0] for i in known], axis=1)
        alone, combined = self._mixture(rates, known)
        self.calibration.learn(known, combined, count)
        given = alone[:, :, min(int(count), alone.shape[2] - 1)]
        self.scores[:, known] = SCORE_FADES * self.scores[:, known] + np.log(np.maximum(given, 1e-12))
        error = (count - rates[:, :, 0]) ** 2 - rates[:, :, 0]
        self.excess[:, known] = SPREAD_FADES * self.excess[:, known] + error
        self.squares[:, known] = SPREAD_FADES * self.squares[:, known] + rates[:, :, 0] ** 2
        return {
            name: {HORIZONS[i]: pmf for i, pmf in zip(known, alone[row], strict=True)}
            for row, name in enumerate(self.members)
        }
