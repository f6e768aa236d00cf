"""One unit: what it learns in an hour, and the distribution of beds it will need.

The hour's arrivals teach `arrivals`; whether each who was there has left teaches `stays`. Beds needed at a horizon are
the present who stay plus those who will come and still be there (`beds`), given the shared effect of the day, mixed
over it, and calibrated online on the census that came.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np

from wardstream.models.flow.arrivals import HORIZONS, Arrivals
from wardstream.models.flow.beds import add, poisson_binomial, still_there
from wardstream.models.flow.calendar import Calendar
from wardstream.models.flow.calibration import Calibration
from wardstream.models.flow.counts import Doubles
from wardstream.models.flow.members import Space
from wardstream.models.flow.stays import Patients, RemainingStay

AHEAD: Final = max(HORIZONS)
RECENT: Final = 16  # of those who came last: what who will come is like
KEPT_FADES: Final = 0.98  # an arrival


class Present(NamedTuple):
    """One who is there. `since`: hours since 1970, with fractions; None: not known."""

    since: float
    age_years: float | None = None
    acuity: int | None = None


class Beds(NamedTuple):
    """Beds needed at each of `HORIZONS`, from the hour on that was learnt last.

    Attributes
    ----------
    needed : tuple of (size,)
        Distribution at each horizon, calibrated.
    raw : tuple of (size,)
        The same before calibration.
    expected : (AHEAD,)
        Mean number at the end of each hour ahead.
    discharges : (AHEAD,)
        Mean number of the present who will have left by the end of each hour ahead.
    """

    needed: tuple[Doubles, ...]
    raw: tuple[Doubles, ...]
    expected: Doubles
    discharges: Doubles

    @property
    def peak_h(self) -> int:
        """In how many hours most beds are expected to be needed."""
        return int(np.argmax(self.expected)) + 1


class Unit:
    """The forecaster of one unit. Hours come one after the other."""

    def __init__(self, calendar: Calendar) -> None:
        self.arrivals = Arrivals(calendar)
        self.stays = RemainingStay(calendar)
        self.calibration = Calibration(len(HORIZONS))
        self.present: dict[str, Present] | None = None
        self.recent: deque[Present] = deque(maxlen=RECENT)
        self.kept = 0.9  # share of who comes in an hour and is there at its end
        self.waiting: list[deque[Doubles]] = [deque(maxlen=h) for h in HORIZONS]

    def learn(
        self, hour: int, arrived: int, present: Mapping[str, Present], temperature_c: float | None = None
    ) -> Beds:
        """Take in an hour: how many came in it, and who is there at its end; returns the forecast from there."""
        for row, waiting in enumerate(self.waiting):
            if len(waiting) == HORIZONS[row]:
                self.calibration.learn([row], waiting[0][None], float(len(present)))
        if self.present is not None:
            before = list(self.present.items())
            left = np.array([key not in present or present[key].since != one.since for key, one in before], dtype=bool)
            self.stays.learn(hour, _people([one for _, one in before], hour), left)
        new = [one for one in present.values() if one.since >= hour]
        if arrived:
            fades = KEPT_FADES**arrived
            self.kept = fades * self.kept + (1.0 - fades) * min(len(new) / arrived, 1.0)
        self.recent.extend(sorted(new, key=lambda one: one.since))
        self.arrivals.learn(hour, float(arrived), temperature_c)
        self.present = dict(present)
        found = self.forecast(hour)
        for waiting, pmf in zip(self.waiting, found.raw, strict=True):
            waiting.append(pmf)
        return found

    def miss(self, hour: int) -> None:
        """Go on over an hour of which nobody knows anything (a feed was down): nor who has left in it."""
        self.arrivals.learn(hour, None)
        self.present = None
        for waiting in self.waiting:
            waiting.clear()

    def forecast(self, hour: int) -> Beds:
        """Beds needed from the end of an hour on, given who was there then."""
        there = _people(list((self.present or {}).values()), hour + 1)
        space = self.arrivals.members["state space"]
        assert isinstance(space, Space)
        log_mean, covariance = space.model.log_rates(hour, range(1, AHEAD + 1))
        rates = np.exp(log_mean + np.diag(covariance) / 2.0)
        like = _people(list(self.recent) or [Present(hour)], hour + 1)
        nodes, weights = self.stays.effects()
        mixed: list[Doubles] = [np.zeros(1) for _ in HORIZONS]
        expected, discharges = np.zeros(AHEAD), np.zeros(AHEAD)
        for effect, weight in zip(nodes, weights, strict=True):
            staying = self.stays.survival(hour, there, AHEAD, effect)
            coming = self.kept * self.stays.newcomers(hour, like, AHEAD, effect)
            expected += weight * (staying.sum(axis=0) + rates @ coming)
            discharges += weight * (1.0 - staying).sum(axis=0)
            for i, h in enumerate(HORIZONS):
                new = still_there(log_mean[:h], covariance[:h, :h], coming[:h, h - 1])
                mixed[i] = _sum(mixed[i], weight * add(poisson_binomial(staying[:, h - 1]), new))
        return Beds(
            tuple(self.calibration.apply_row(i, pmf) for i, pmf in enumerate(mixed)), tuple(mixed), expected, discharges
        )


def _people(present: list[Present], at: float) -> Patients:
    """At the beginning of an hour `at`."""
    unknown = float("nan")
    return Patients(
        np.array([at - one.since for one in present]),
        np.array([unknown if one.age_years is None else one.age_years for one in present]),
        np.array([unknown if one.acuity is None else one.acuity for one in present], dtype=float),
    )


def _sum(one: Doubles, other: Doubles) -> Doubles:
    found = np.zeros(max(len(one), len(other)))
    found[: len(one)] += one
    found[: len(other)] += other
    return found
