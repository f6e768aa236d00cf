"""A simulated body: vital signs that wander around their owner's baseline, and illness that moves them.

Each sign is an Ornstein–Uhlenbeck process: it forgets a deviation with a time constant of its own, and the noise that
drives the signs is correlated, so that a fast heart comes with fast breathing. A daily rhythm and an illness of a given
severity are added. The numbers are this project's own choices, made to look like a ward's charts; nothing is fitted to
patients and no figure derived from them says anything about any hospital.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import datetime
from random import Random
from typing import Final, Literal

from wardstream.infra.feeds.ward import Person

Illness = Literal["sepsis", "respiratory_failure", "bleeding"]


@dataclass(frozen=True, slots=True)
class Signs:
    """One set of vital signs, unrounded; units as in `Vitals`."""

    heart_rate_bpm: float
    respiratory_rate_per_min: float
    spo2_percent: float
    systolic_mmhg: float
    diastolic_mmhg: float
    temperature_celsius: float


#            heart   breathing  SpO2   systolic  diastolic  temperature
SPREAD: Final = (5.0, 1.5, 0.7, 7.0, 4.5, 0.15)  # standard deviation around the baseline
MEMORY_MIN: Final = (15.0, 10.0, 10.0, 25.0, 25.0, 120.0)  # time constants, minutes
RHYTHM: Final = (4.0, 0.7, 0.0, 6.0, 3.0, 0.3)  # half of the day's swing; highest at 17:00
CORRELATION: Final = (
    (1.0, 0.4, -0.2, -0.15, -0.1, 0.3),
    (0.4, 1.0, -0.3, 0.0, 0.0, 0.2),
    (-0.2, -0.3, 1.0, 0.0, 0.0, -0.1),
    (-0.15, 0.0, 0.0, 1.0, 0.7, 0.0),
    (-0.1, 0.0, 0.0, 0.7, 1.0, 0.0),
    (0.3, 0.2, -0.1, 0.0, 0.0, 1.0),
)
AT_WORST: Final[dict[Illness, tuple[float, ...]]] = {  # what severity 1 adds
    "sepsis": (46.0, 13.0, -7.0, -44.0, -24.0, 2.2),
    "respiratory_failure": (32.0, 17.0, -14.0, 6.0, 4.0, 0.5),
    "bleeding": (52.0, 10.0, -3.0, -48.0, -22.0, -0.4),
}
LIMITS: Final = ((28.0, 215.0), (4.0, 60.0), (55.0, 100.0), (45.0, 250.0), (22.0, 150.0), (33.0, 41.8))


def _cholesky(matrix: tuple[tuple[float, ...], ...]) -> list[list[float]]:
    lower: list[list[float]] = []
    for i, row in enumerate(matrix):
        line: list[float] = []
        for j in range(i + 1):
            rest = row[j] - sum(line[k] * (lower[j][k] if j < i else line[k]) for k in range(j))
            line.append(math.sqrt(rest) if i == j else rest / lower[j][j])
        lower.append(line)
    return lower


_LOWER: Final = _cholesky(CORRELATION)
_KEEP: Final = tuple(math.exp(-1 / minutes) for minutes in MEMORY_MIN)
_DRIVE: Final = tuple(sd * math.sqrt(1 - keep * keep) for sd, keep in zip(SPREAD, _KEEP, strict=True))


@dataclass(slots=True)
class Course:
    """An illness: it grows from its onset, and shrinks once a treatment works.

    Attributes
    ----------
    illness : Illness
        What it does to the signs.
    onset : datetime
        When severity leaves 0.
    growth_h : float
        Hours from onset to severity 1, untreated.
    treated_at : datetime or None
        When a treatment begins that works; None: none does yet.
    half_life_h : float
        Hours in which the treatment halves the severity.
    """

    illness: Illness
    onset: datetime
    growth_h: float
    treated_at: datetime | None = None
    half_life_h: float = 1.0

    def severity(self, at: datetime) -> float:
        """Return 0 (none) to 1 (worst) at a time."""
        if self.treated_at is not None and at > self.treated_at:
            hours = (at - self.treated_at).total_seconds() / 3600
            return float(self._untreated(self.treated_at) * 0.5 ** (hours / self.half_life_h))
        return self._untreated(at)

    def _untreated(self, at: datetime) -> float:
        grown = (at - self.onset).total_seconds() / 3600 / self.growth_h
        grown = min(max(grown, 0.0), 1.0)
        return grown * grown * (3 - 2 * grown)


@dataclass(slots=True)
class Body:
    """One patient's physiology; `advance` it a minute at a time, then read `signs`."""

    random: Random
    person: Person
    course: Course | None = None
    oxygen_l_per_min: float = 0.0
    _baseline: tuple[float, ...] = field(init=False)
    _deviation: list[float] = field(init=False)

    def __post_init__(self) -> None:
        draw, old = self.random.gauss, max(0.0, self.person.age_years - 40) / 40
        frail = 1.0 if self.person.frail else 0.0  # whose chart is never quite normal
        self._baseline = (
            min(max(draw(74 + 2 * old + 14 * frail, 7), 56), 86 + 14 * frail),
            min(max(draw(15.5 + old + 2 * frail, 1.2), 13), 18.5 + 2 * frail),
            min(max(draw(90.5, 0.8), 89), 92)
            if self.person.retains_co2
            else min(max(draw(97.4 - 0.4 * old - 2.2 * frail, 0.6), 96.6 - 3 * frail), 99),
            min(max(draw(122 + 9 * old, 9), 114), 155),
            min(max(draw(73 - 2 * old, 6), 60), 88),
            min(max(draw(36.8, 0.15), 36.5), 37.2),
        )
        self._deviation = [draw(0, 1) * sd for sd in SPREAD]

    def advance(self, at: datetime) -> None:
        """Go on by one minute, to `at`."""
        noise = [self.random.gauss(0, 1) for _ in SPREAD]
        deviation = self._deviation
        for i, row in enumerate(_LOWER):
            driven = sum(weight * noise[k] for k, weight in enumerate(row))
            deviation[i] = deviation[i] * _KEEP[i] + _DRIVE[i] * driven

    def severity(self, at: datetime) -> float:
        """Return how ill the body is, 0 to 1."""
        return self.course.severity(at) if self.course else 0.0

    def signs(self, at: datetime) -> Signs:
        """Return the signs at a time, as devices and nurses would find them but for rounding."""
        hour = at.hour + at.minute / 60
        rhythm = math.cos((hour - 17) / 24 * 2 * math.pi)
        worst = AT_WORST[self.course.illness] if self.course else None
        severity = self.severity(at)
        found = []
        for i, (low, high) in enumerate(LIMITS):
            value = self._baseline[i] + self._deviation[i] + RHYTHM[i] * rhythm
            if worst is not None:
                value += worst[i] * severity
            if i == 2 and self.oxygen_l_per_min > 0 and value < 97:
                value += min(0.9 * self.oxygen_l_per_min, 0.75 * (97 - value))  # oxygen helps, it does not cure
            found.append(min(max(value, low), high))
        found[4] = min(found[4], found[3] - 12)  # a pulse pressure is left
        return Signs(*found)
