"""Who is in each unit, and who came and went in each hour: counted from the rows of occupancy.v1.

A row may be written any number of times, and withdrawn: each time what it had added is taken back and what it says now
is added. So counts follow from the rows alone, in whatever order and however often they came, and equal a recount from
the table's last rows.

Rows of who has left stay in the table for ever. `forget` drops those of long ago, together with the hours in which they
came and went; a row that is forgotten has come and gone, so it adds nothing to the census. Should it be revised all the
same, the census is right, and its movements of forgotten hours are not told again.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from wardstream.schemas.occupancy import Occupancy

Movement = Literal["admissions", "transfers_in", "discharges", "transfers_out", "lost"]
MOVEMENTS: Final[tuple[Movement, ...]] = get_args(Movement)
"""Came from outside (or nobody says from where), came from another unit, left the hospital, left for another unit, lost
sight of (at the time when that was said)."""
_SIGN: Final = np.array([1, 1, -1, -1, -1])
HOUR_S: Final = 3600.0

Counts = npt.NDArray[np.int64]


def hour_of(at: float) -> int:
    """Hours since 1970 of a time in seconds since 1970."""
    return int(at // HOUR_S)


class Series(NamedTuple):
    """Hours of one unit, from `first` on.

    Attributes
    ----------
    first : int
        The first hour, in hours since 1970.
    movements : (hours, len(MOVEMENTS))
    census : (hours,)
        Who was there at the end of each hour.
    """

    first: int
    movements: Counts
    census: Counts

    @property
    def arrivals(self) -> Counts:
        """Who came, from outside or from another unit: (hours,)."""
        return np.asarray(self.movements[:, :2].sum(axis=1))


class _Unit:
    __slots__ = ("base", "hours", "present")

    def __init__(self) -> None:
        self.present: dict[str, Occupancy] = {}
        self.hours: dict[int, Counts] = {}
        self.base = 0  # of the census, from the hours that are forgotten


class Census:
    """The table of occupancy.v1, and what is counted from it. Keys are those of the topic."""

    def __init__(self) -> None:
        self._rows: dict[str, Occupancy] = {}
        self._units: dict[str, _Unit] = {}
        self._first: int | None = None  # hours before it are forgotten

    def put(self, key: str, row: Occupancy) -> None:
        """Take in a row as it is now."""
        self.drop(key)
        self._rows[key] = row
        unit = self._units.setdefault(row.unit, _Unit())
        self._count(unit, row, 1)
        if row.state == "present":
            unit.present[key] = row

    def drop(self, key: str) -> None:
        """Take in that a row has been withdrawn."""
        row = self._rows.pop(key, None)
        if row is not None:
            unit = self._units[row.unit]
            self._count(unit, row, -1)
            unit.present.pop(key, None)

    def units(self) -> list[str]:
        """All units of which any row was ever seen, sorted."""
        return sorted(self._units)

    def present(self, unit: str) -> list[Occupancy]:
        """Who is there."""
        return list(self._units[unit].present.values()) if unit in self._units else []

    def series(self, unit: str, first: int, hours: int) -> Series:
        """Movements and census of some hours; of forgotten ones the movements are 0 and the census is not right."""
        known = self._units.get(unit, _Unit())
        movements = np.stack([known.hours.get(hour, _NOTHING) for hour in range(first, first + hours)])
        before = known.base + sum(int(_SIGN @ found) for hour, found in known.hours.items() if hour < first)
        return Series(first, movements, before + np.cumsum(movements @ _SIGN))

    def forget(self, before: int) -> None:
        """Forget the movements before an hour, and the rows of who came and went before it."""
        self._first = before if self._first is None else max(before, self._first)
        for key, row in list(self._rows.items()):
            if row.state != "present" and all(hour < before for hour, _ in _movements(row)):
                del self._rows[key]  # without taking back: it has come and gone
        for unit in self._units.values():
            for hour in [hour for hour in unit.hours if hour < before]:
                unit.base += int(_SIGN @ unit.hours.pop(hour))

    def _count(self, unit: _Unit, row: Occupancy, by: int) -> None:
        for hour, kind in _movements(row):
            if self._first is not None and hour < self._first:
                unit.base += by * int(_SIGN[kind])
            else:
                unit.hours.setdefault(hour, np.zeros(len(MOVEMENTS), dtype=np.int64))[kind] += by


_NOTHING: Final = np.zeros(len(MOVEMENTS), dtype=np.int64)


def _movements(row: Occupancy) -> Iterator[tuple[int, int]]:
    """Hour and number in `MOVEMENTS` of everything that a row tells."""
    for visit in row.earlier:
        yield hour_of(visit.since.timestamp()), 0 if visit.came_from is None else 1
        yield hour_of(visit.left_at.timestamp()), 2 if visit.left_to is None else 3
    yield hour_of(row.since.timestamp()), 0 if row.came_from is None else 1
    if row.left_at is not None:
        yield hour_of(row.left_at.timestamp()), 2 if row.left_to is None else 3
    elif row.state == "lost":
        yield hour_of(row.observed_at.timestamp()), 4
