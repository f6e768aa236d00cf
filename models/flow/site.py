"""What a hospital states of its units, and what a lane keeps of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from wardstream.models.flow.calendar import WEEKDAYS, Calendar
from wardstream.models.flow.census import DAY_H
from wardstream.models.flow.emergency import Departure


@dataclass(frozen=True, kw_only=True)
class UnitRules:
    """What is stated of one unit. None: not stated.

    Attributes
    ----------
    staffed
        Beds with staff.
    patients_per_nurse
        How many patients one nurse looks after.
    emergency
        Whether it is an emergency department: who leaves it for another unit has been admitted; nobody comes planned.
    closed
        Days on which nobody comes, by the names of `WEEKDAYS` or of special days: that nobody does is no feed that is
        down, and is learnt.
    """

    staffed: int | None = None
    patients_per_nurse: float | None = None
    emergency: bool = False
    closed: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Site:
    """A hospital's calendar, its units by name, and what holds for all others."""

    calendar: Calendar = field(default_factory=Calendar)
    units: Mapping[str, UnitRules] = field(default_factory=dict)
    others: UnitRules = field(default_factory=UnitRules)

    def unit(self, name: str) -> UnitRules:
        """What is stated of a unit."""
        return self.units.get(name, self.others)

    def is_closed(self, name: str, hour: int) -> bool:
        """Whether a unit is closed in an hour."""
        moment = self.calendar.at(hour)
        return not self.unit(name).closed.isdisjoint((WEEKDAYS[moment.hour_of_week // DAY_H], *moment.special))

    @property
    def departments(self) -> frozenset[str]:
        """The emergency departments."""
        return frozenset(name for name, rules in self.units.items() if rules.emergency)


class FlowRow(msgspec.Struct, omit_defaults=True):
    """The row of a unit; and, under the empty name, that of the hospital.

    Attributes
    ----------
    over
        Hospital: the last hour that each lane has said to be over, by `partition/lane`.
    closed
        Hospital: the last hour that is closed.
    units
        Hospital: all units of which a row was ever seen, sorted.
    departed
        Hospital: who has left an emergency department since an hour was closed.
    first
        Unit: hours before it are forgotten.
    expected
        Unit: how many arrivals were expected in the hour to come.
    quiet
        Unit: how many were expected since somebody came or left.
    """

    over: dict[str, int] = {}
    closed: int | None = None
    units: tuple[str, ...] = ()
    departed: tuple[Departure, ...] = ()
    first: int = 0
    expected: float = 0.0
    quiet: float = 0.0


class FlowCodec:
    """How lanes keep it; time alone wakes nobody."""

    def __init__(self) -> None:
        self._encode = msgspec.json.Encoder().encode
        self._decode = msgspec.json.Decoder(FlowRow).decode

    def new(self, key: str) -> FlowRow:
        return FlowRow()

    def decode(self, row: bytes) -> FlowRow:
        return self._decode(row)

    def encode(self, entity: FlowRow) -> bytes:
        return self._encode(entity)

    def due(self, entity: FlowRow) -> float:
        return float("inf")
