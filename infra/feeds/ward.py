"""The simulated hospital: units with rooms and beds, and who comes to it.

Monitored units have a device at each bed; in the others nurses chart. All of it is invented.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random
from typing import Final, Literal

from wardstream.schemas.admissions import CodeStatus

UnitName = Literal["ED", "ICU", "HDU", "Ward A", "Ward B"]


@dataclass(frozen=True, slots=True)
class Unit:
    """One unit.

    Attributes
    ----------
    name : str
        As in `Admission.unit`.
    share : float
        Part of the hospital's patients.
    monitored : bool
        Whether beds have monitors.
    cuff_every_min : int
        Minutes between blood pressures from the monitor; 1: an arterial line.
    chart_every_min : int
        Minutes between charted sets of a well patient.
    stay_h : float
        Median hours until a patient leaves the unit.
    """

    name: UnitName
    share: float
    monitored: bool
    cuff_every_min: int
    chart_every_min: int
    stay_h: float


UNITS: Final = {
    unit.name: unit
    for unit in (
        Unit("ED", 0.18, True, 15, 30, 4),
        Unit("ICU", 0.15, True, 1, 60, 60),
        Unit("HDU", 0.22, True, 5, 60, 48),
        Unit("Ward A", 0.225, False, 0, 240, 72),
        Unit("Ward B", 0.225, False, 0, 240, 72),
    )
}
SPARE: Final = 1.3  # beds a patient, so that transfers find one
BEDS_A_ROOM: Final = 2
COMPLAINTS: Final = (
    "fever and chills",
    "shortness of breath",
    "abdominal pain",
    "chest pain",
    "fall, hip pain",
    "productive cough",
    "vomiting",
    "weakness",
    "flank pain",
    "dizziness",
    "leg swelling",
    "black stools",
)


@dataclass(frozen=True, slots=True)
class Bed:
    """A place for one patient."""

    unit: Unit
    room: str
    name: str


class Beds:
    """Which beds are free."""

    def __init__(self, patients: int) -> None:
        self._free: dict[str, list[Bed]] = {}
        for number, unit in enumerate(UNITS.values(), start=1):
            count = math.ceil(unit.share * patients * SPARE) + 1
            beds = [Bed(unit, f"{number}{i // BEDS_A_ROOM + 1:02d}", f"{unit.name}-{i + 1:02d}") for i in range(count)]
            self._free[unit.name] = beds[::-1]

    def take(self, unit: UnitName) -> Bed | None:
        """Return a free bed and mark it taken; None: the unit is full."""
        free = self._free[unit]
        return free.pop() if free else None

    def give_back(self, bed: Bed) -> None:
        """Mark a bed as free."""
        self._free[bed.unit.name].insert(0, bed)  # the bed that was left last is made up last


@dataclass(frozen=True, slots=True)
class Person:
    """Who a patient is, as far as scores need it."""

    age_years: float
    sex: Literal["female", "male"]
    pregnant: bool
    retains_co2: bool
    frail: bool
    code_status: CodeStatus
    complaint: str


def draw_person(random: Random) -> Person:
    """Draw an adult. One of ten women under 45 is pregnant, one of 14 over 50 retains CO2, one of six is frail."""
    age = float(min(max(round(random.gauss(62, 18)), 18), 99))
    sex: Literal["female", "male"] = "female" if random.random() < 0.5 else "male"
    pregnant = sex == "female" and age < 45 and random.random() < 0.1
    retains_co2 = age > 50 and random.random() < 0.07
    frail = random.random() < (0.25 if age > 65 else 0.08)
    codes: tuple[CodeStatus, ...] = ("full", "dnr", "dnr_dni", "unknown")
    code = random.choices(codes, (85, 7, 4, 4))[0]
    return Person(age, sex, pregnant, retains_co2, frail, code, random.choice(COMPLAINTS))
