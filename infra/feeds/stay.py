"""One simulated patient in hospital: what is known, and what is planned."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any, Final, Literal

from wardstream.infra.feeds.physiology import Body, Course, Illness
from wardstream.infra.feeds.ward import Bed, Person, Unit

FACILITY: Final = "simulated"
ILL_SHARE: Final = 0.2  # of patients without a part in the opening scene
OXYGEN_STEPS: Final = (0.0, 2.0, 4.0, 6.0, 10.0, 15.0)  # L/min

Role = Literal["well", "worsening", "recovering", "silent"]


@dataclass(slots=True)
class Stay:
    """A patient from admission to discharge.

    Attributes
    ----------
    number : int
        Counts stays; the patient's and the encounter's ids are made from it.
    second : float
        Second of the minute at which this bed's monitor sends.
    leave_at : datetime
        When the patient is to leave the unit.
    chart_at : datetime
        When the next set is charted.
    silent_from, silent_until : datetime or None
        When the monitor sends nothing, and nobody charts.
    recognised : bool
        Whether the illness has been noticed.
    treat_at, dies_at : datetime or None
        When treatment is tried; when it has failed for good.
    """

    patient_id: str
    person: Person
    body: Body
    bed: Bed
    random: Random
    admitted_at: datetime
    leave_at: datetime
    chart_at: datetime
    second: float
    habit: dict[str, float] = field(default_factory=dict)
    silent_from: datetime | None = None
    silent_until: datetime | None = None
    recognised: bool = False
    treat_at: datetime | None = None
    treatments: int = 0
    dies_at: datetime | None = None

    @property
    def envelope(self) -> dict[str, Any]:
        """Fields that all events of the stay share."""
        return {"facility": FACILITY, "patient_id": self.patient_id, "encounter_id": f"{self.patient_id}-1"}

    def silent(self, at: datetime) -> bool:
        """Whether nothing comes from this bed at a time."""
        return (
            self.silent_from is not None
            and self.silent_until is not None
            and self.silent_from <= at < self.silent_until
        )

    def chart_interval(self, at: datetime) -> timedelta:
        """Return the time until the next charted set: the iller, the sooner."""
        severity = self.body.severity(at)
        usual = self.bed.unit.chart_every_min
        minutes = usual if severity < 0.2 else min(usual, 60) if severity < 0.4 else 15
        if self.treatments or (self.recognised and self.body.oxygen_l_per_min > 0):
            minutes = min(minutes, 15)  # somebody is at the bedside
        return timedelta(minutes=minutes * self.random.uniform(0.85, 1.15))

    def adjust_oxygen(self, spo2_percent: float, at: datetime) -> None:
        """Give more oxygen when saturation is low, less when it is no longer needed."""
        step = OXYGEN_STEPS.index(self.body.oxygen_l_per_min)
        low, high = (88, 92) if self.person.retains_co2 else (92, 95)
        if spo2_percent < low and step < len(OXYGEN_STEPS) - 1:
            self.body.oxygen_l_per_min = OXYGEN_STEPS[step + 1]
        elif spo2_percent >= high and step > 0 and self.body.severity(at) < 0.35:
            self.body.oxygen_l_per_min = OXYGEN_STEPS[step - 1]


def unit_stay(random: Random, unit: Unit) -> timedelta:
    """Draw how long a patient stays in a unit: log-normal around its median."""
    return timedelta(hours=unit.stay_h * math.exp(random.gauss(0, 0.5)))


def opening_course(random: Random, role: Role, start: datetime) -> Course | None:
    """Return the illness of a patient with a part in the opening scene.

    Worsening: a fifth to a third of the way at the start, most of the way an hour later. Recovering: very ill, and a
    treatment that works begins (a bronchodilator, fluids): half as ill every 15 to 20 minutes.
    """
    illness: Illness
    if role == "worsening":
        illness = random.choices(("sepsis", "respiratory_failure", "bleeding"), (5, 3, 2))[0]
        growth_h = random.uniform(1.7, 2.3)
        return Course(illness, start - timedelta(hours=growth_h * random.uniform(0.2, 0.33)), growth_h)
    if role == "recovering":
        illness = random.choices(("sepsis", "respiratory_failure"))[0]
        growth_h = random.uniform(2, 3)
        treated_at = start + timedelta(minutes=random.uniform(1, 4))
        onset = treated_at - timedelta(hours=growth_h * random.uniform(0.74, 0.86))
        return Course(illness, onset, growth_h, treated_at, random.uniform(0.25, 0.33))
    return None


def later_course(random: Random, begin: datetime, end: datetime) -> Course | None:
    """Return an illness somewhere in a stay, for one patient in five."""
    if random.random() >= ILL_SHARE:
        return None
    illness: Illness = random.choices(("sepsis", "respiratory_failure", "bleeding"), (5, 3, 2))[0]
    return Course(illness, begin + (end - begin) * random.random(), random.uniform(2.5, 9))
