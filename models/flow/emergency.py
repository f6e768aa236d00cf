"""From the emergency department to the wards: who of those who are there will be admitted, when, and to which unit.

Each patient has a probability of admission from the time of triage (`admission`), learnt online from who left for
another unit and who left the hospital. On the stream the triage is what rows of occupancy.v1 say: age, sex, level and
time of arrival. When patients leave is said by the department's model of stays; where to, by where those of the same
age were admitted before.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec
import numpy as np

from wardstream.models.flow.admission import AGE_BANDS, AdmissionModel, Triage
from wardstream.models.flow.calendar import Calendar
from wardstream.models.flow.counts import Doubles
from wardstream.models.flow.unit import AHEAD, Inflow, Present, Unit

PLACES_FADE: Final = 0.995  # an admission of that age: half in 140
PRIOR_PLACES: Final = 5.0  # admissions of all ages that count for one age
ADMITTED_FADES: Final = 0.998  # a departure
_ALL: Final = "all"
_SEX: Final = {"female": "f", "male": "m"}


class Departure(msgspec.Struct, frozen=True, array_like=True):
    """Who left an emergency department: since when there, who, and for which unit (None: left the hospital)."""

    since: float
    age_years: float | None
    acuity: int | None
    sex: str | None
    left_to: str | None


class Emergency:
    """What is known of admissions from the emergency departments of a hospital."""

    def __init__(self, calendar: Calendar) -> None:
        self._calendar = calendar
        self.admission = AdmissionModel()
        self.places: dict[str, dict[str, float]] = {}  # by age band: admissions to each unit, fading
        self.admitted = 0.2  # share, fading

    def learn(self, departed: Iterable[Departure]) -> None:
        """Take in who left, in an order that does not depend on who was told first."""
        for one in sorted(departed, key=lambda one: (one.since, one.age_years or 0.0, one.left_to or "")):
            admitted = one.left_to is not None
            triage = self._triage(Present(one.since, one.age_years, one.acuity, one.sex))
            self.admission.learn(triage, admitted)
            self.admitted = ADMITTED_FADES * self.admitted + (1.0 - ADMITTED_FADES) * admitted
            if one.left_to is not None:
                for band in (_ALL, _band(one.age_years)):
                    places = self.places.setdefault(band, {})
                    for name in places:
                        places[name] *= PLACES_FADE
                    places[one.left_to] = places.get(one.left_to, 0.0) + 1.0

    def probability(self, present: Present) -> float:
        """That the patient will be admitted."""
        return self.admission.probability(self._triage(present))

    def shares(self, age_years: float | None) -> Mapping[str, float]:
        """To which units admitted patients of that age go: shares that sum to 1; none while nobody was admitted."""
        overall = self.places.get(_ALL, {})
        total = sum(overall.values())
        mine: Mapping[str, float] = self.places.get(_band(age_years), {})
        weight = sum(mine.values()) + PRIOR_PLACES
        return {name: (mine.get(name, 0.0) + PRIOR_PLACES * count / total) / weight for name, count in overall.items()}

    def inflows(self, department: Unit, hour: int) -> dict[str, Inflow]:
        """Who will come from a department, by unit."""
        there, people = department.people(hour)
        survival = department.stays.survival(hour, people, AHEAD)
        leaving = -np.diff(survival, prepend=1.0, axis=1)
        later = department.newcomers(hour)
        moving: Doubles = -np.diff(later, prepend=0.0, axis=1)
        moving[np.tril_indices(AHEAD)] = 0.0  # nobody leaves before coming
        log_mean, covariance = department.space.log_rates(hour, range(1, AHEAD + 1))
        chances: dict[str, Doubles] = defaultdict(lambda: np.zeros(len(there)))
        for i, one in enumerate(there):
            admitted = self.probability(one)
            for name, share in self.shares(one.age_years).items():
                chances[name][i] = admitted * share
        total = sum(self.places.get(_ALL, {}).values())
        return {
            name: Inflow(
                leaving * chances[name][:, None], log_mean, covariance, moving * (self.admitted * count / total)
            )
            for name, count in self.places.get(_ALL, {}).items()
        }

    def _triage(self, one: Present) -> Triage:
        slot = self._calendar.at(int(one.since)).hour_of_week
        known = Triage(age_years=one.age_years, sex=_SEX.get(one.sex or ""), acuity=one.acuity)
        return msgspec.structs.replace(known, hour=slot % 24, weekday=slot // 24)


def on_the_stream(triage: Triage) -> Triage:
    """What rows of occupancy.v1 say of a patient at triage, and nothing else."""
    return Triage(
        age_years=triage.age_years, sex=triage.sex, acuity=triage.acuity, hour=triage.hour, weekday=triage.weekday
    )


def _band(age_years: float | None) -> str:
    return "?" if age_years is None else str(sum(age_years >= edge for edge in AGE_BANDS))
