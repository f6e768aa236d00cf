"""How much longer each present patient will stay: a discrete-time survival model of one unit, learnt online.

Every hour each patient who was there at its beginning has either left by its end or not: a Bernoulli trial whose
probability is a logistic regression (Cox 1972, section 6; Singer and Willett 1993) on how long the patient has been
there, the hour of the day (other ones on the first day than later: rounds come in the morning), the day of the week,
age and triage level. The coefficients are Gaussian and learnt from all patients of an hour at once (an extended Kalman
filter); they wander a little, for habits change. Who is still there is learnt from as well as who has left: no stay
has to end before it counts.

Patients of one day leave or stay together (rounds, transport, full wards downstream), so their number varies more than
independent trials. The variance of this shared effect on the log-odds is measured on days, and is part of a forecast
before patients are summed (`survival` at the nodes of `effects`).
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from wardstream.models.flow.calendar import Calendar
from wardstream.models.flow.counts import Doubles

ELAPSED_H: Final = (1, 2, 3, 4, 6, 8, 12, 18, 24, 36, 48, 72, 96, 144, 192, 288, 480)
AGES: Final = (5, 18, 40, 65, 80)
NODES: Final = 5  # at which a shared effect is integrated out (Gauss and Hermite)
WANDER: Final = 1e-6  # variance that each coefficient gains in an hour
DAYS_KEPT: Final = 0.98  # of what is known of the shared effect, a day: half in five weeks
FIRST_DAYS: Final = 14  # of a unit: what they err by is what is not learnt yet, and shared with nobody
DAY_H: Final = 24

_BIAS, _ELAPSED, _CLOCK = 0, 1, 2 + len(ELAPSED_H)
_DAY, _AGE = _CLOCK + 2 * DAY_H, _CLOCK + 2 * DAY_H + 7
_ACUITY = _AGE + len(AGES) + 2
_SIZE = _ACUITY + 6
_PRIOR: Final[Doubles] = np.concatenate(
    [[9.0], np.full(_CLOCK - 1, 1.0), np.full(_DAY - _CLOCK, 0.3), np.full(7, 0.05), np.full(_SIZE - _AGE, 0.2)]
)

Ints = npt.NDArray[np.int64]


class Patients(NamedTuple):
    """Who is there at the end of an hour; NaN where age or triage level are not known.

    Attributes
    ----------
    elapsed_h, age_years, acuity : (n,)
    """

    elapsed_h: Doubles
    age_years: Doubles
    acuity: Doubles


class RemainingStay:
    """The model of one unit."""

    def __init__(self, calendar: Calendar) -> None:
        self._calendar = calendar
        self.mean: Doubles = np.zeros(_SIZE)
        self.mean[0] = -3.0  # a stay of a day, before anything is known
        self.covariance: Doubles = np.diag(_PRIOR)
        self.excess, self.squares, self.days = 0.0, 1.0, 0  # of the shared effect, fading; days that were learnt
        self.today: Doubles = np.zeros(2)  # left beyond what was expected, and the variance of that, so far today

    def learn(self, hour: int, patients: Patients, left: npt.NDArray[np.bool_]) -> None:
        """Take in who, of those present when the hour began, has left in it."""
        self.covariance.flat[:: _SIZE + 1] += WANDER
        if len(left):
            columns = self._columns(patients, hour)
            rows = np.zeros((len(left), _SIZE))
            np.put_along_axis(rows, columns, 1.0, axis=1)
            p = _sigmoid(self.mean[columns].sum(axis=1))
            variance = p * (1.0 - p)
            self.today += (left - p).sum(), variance.sum()
            precision = np.linalg.inv(self.covariance) + rows.T @ (rows * variance[:, None])
            self.covariance = np.asarray(np.linalg.inv(precision), dtype=np.float64)
            self.mean = self.mean + self.covariance @ (rows.T @ (left - p))
        if self._calendar.at(hour).hour_of_week % DAY_H == DAY_H - 1:
            beyond, variance_sum = self.today
            self.days += 1
            if self.days > FIRST_DAYS:
                self.excess = DAYS_KEPT * self.excess + beyond**2 - variance_sum
                self.squares = DAYS_KEPT * self.squares + variance_sum**2
            self.today = np.zeros(2)

    @property
    def shared_variance(self) -> float:
        """Variance of the effect on the log-odds that all patients of a day share."""
        return float(np.clip(self.excess / self.squares, 0.0, 1.0))

    def effects(self) -> tuple[Doubles, Doubles]:
        """Nodes of the shared effect, and their weights (NODES,)."""
        nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
        return nodes * np.sqrt(self.shared_variance), weights / weights.sum()

    def survival(self, hour: int, patients: Patients, hours: int, effect: float = 0.0) -> Doubles:
        """Probability that each is still there at the end of the 1st, 2nd, … hour after `hour`: (n, hours)."""
        elapsed = patients.elapsed_h[:, None] + np.arange(hours)
        logit = (effect + self._of_persons(patients))[:, None] + self._of_hours(elapsed, self._slots(hour, hours))
        return np.asarray(np.cumprod(1.0 - _sigmoid(logit), axis=1))

    def newcomers(self, hour: int, like: Patients, hours: int, effect: float = 0.0) -> Doubles:
        """Probability that who comes in the k-th hour after `hour` is there at the end of the j-th.

        For one who is there at the end of the k-th, averaged over those who are `like` who will come; 0 for j < k.
        Their `elapsed_h` is not used: at the end of the hour in which they came they have been there for half of it.

        Returns
        -------
        (hours, hours)
        """
        since = np.arange(hours) - np.arange(hours)[:, None]
        elapsed = np.maximum(since - 0.5, 0.0)
        logit = self._of_hours(elapsed, self._slots(hour, hours)) + effect
        leave = _sigmoid(logit[..., None] + self._of_persons(like))
        leave[since < 1] = 0.0
        return np.asarray(np.triu(np.cumprod(1.0 - leave, axis=1).mean(axis=2)))

    def _slots(self, hour: int, hours: int) -> Ints:
        return np.array([self._calendar.at(hour + 1 + k).hour_of_week for k in range(hours)])

    def _of_persons(self, patients: Patients) -> Doubles:
        return np.asarray(self.mean[_BIAS] + self.mean[_person(patients)].sum(axis=1))

    def _of_hours(self, elapsed_h: Doubles, slots: Ints) -> Doubles:
        return np.asarray(
            self.mean[_ELAPSED + _elapsed_bin(elapsed_h)]
            + self.mean[_CLOCK + slots % DAY_H + DAY_H * (elapsed_h >= DAY_H)]
            + self.mean[_DAY + slots // DAY_H]
        )

    def _columns(self, patients: Patients, hour: int) -> Ints:
        """Which coefficients apply to each patient in an hour: (n, terms)."""
        slot = self._calendar.at(hour).hour_of_week
        elapsed = patients.elapsed_h
        return np.column_stack(
            [
                np.full(len(elapsed), _BIAS),
                _ELAPSED + _elapsed_bin(elapsed),
                _CLOCK + slot % DAY_H + DAY_H * (elapsed >= DAY_H),
                np.full(len(elapsed), _DAY + slot // DAY_H),
                _person(patients),
            ]
        )


def _elapsed_bin(elapsed_h: Doubles) -> Ints:
    return np.searchsorted(ELAPSED_H, elapsed_h, side="right")


def _person(patients: Patients) -> Ints:
    known = ~np.isnan(patients.age_years)
    age = np.where(known, np.searchsorted(AGES, np.nan_to_num(patients.age_years), side="right"), len(AGES) + 1)
    acuity = np.where(np.isnan(patients.acuity), 0, np.nan_to_num(patients.acuity)).astype(int)
    return np.column_stack([_AGE + age, _ACUITY + acuity])


def _sigmoid(z: Doubles) -> Doubles:
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(z, -30.0, 30.0))))
