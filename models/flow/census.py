"""Who is in a unit, and who came and went in each hour: counted from the rows of occupancy.v1.

A row may be written any number of times, and withdrawn: each time what it had added is taken back and what it says now
is added. So counts follow from the rows alone, in whatever order and however often they came, and equal a recount from
the table's last rows. The census at the end of an hour is who is there now, less what moved since.

All is kept in rows of the unit's own: one for each patient's row of the table (`present/…`, `past/…`), and one a day of
movements (`day/…`). `forget` drops what is of long ago: a row whose patient has come and gone adds nothing to any
census. Should it be revised all the same, the census is right, and movements of forgotten hours are not told again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final, Literal, NamedTuple, Protocol, get_args

import msgspec
import numpy as np
import numpy.typing as npt

from wardstream.schemas.occupancy import Occupancy

Movement = Literal["admissions", "transfers_in", "discharges", "transfers_out", "lost"]
MOVEMENTS: Final[tuple[Movement, ...]] = get_args(Movement)
"""Came from outside (or nobody says from where), came from another unit, left the hospital, left for another unit, lost
sight of (at the time when that was said)."""
_SIGN: Final = np.array([1, 1, -1, -1, -1])
HOUR_S: Final = 3600.0
DAY_H: Final = 24
PRESENT, PAST, DAY = "present/", "past/", "day/"

Counts = npt.NDArray[np.int64]


class Kept(msgspec.Struct, frozen=True, array_like=True):
    """What is kept of a row of the table.

    Attributes
    ----------
    since
        When the patient came into the unit, the last time: hours since 1970, with fractions.
    movements
        Hour and number in `MOVEMENTS` of everything that the row tells.
    came_from, left_to
        The units before and after; None: from outside, out of the hospital, or not there yet.
    """

    since: float
    movements: tuple[tuple[int, int], ...]
    came_from: str | None
    left_to: str | None
    age_years: float | None
    acuity: int | None
    sex: str | None
    planned: bool = False


class Rows(Protocol):
    """Where rows of a unit are kept, by name."""

    def get(self, name: str) -> bytes | None: ...
    def put(self, name: str, row: bytes | None) -> None: ...
    def names(self) -> list[str]: ...


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


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Kept).decode
_decode_day = msgspec.json.Decoder(dict[int, list[int]]).decode


def hour_of(at: float) -> int:
    """Hours since 1970 of a time in seconds since 1970."""
    return int(at // HOUR_S)


class Census:
    """One unit's part of the table, and what is counted from it. Keys are those of the topic."""

    def __init__(self, rows: Rows, first: int = 0) -> None:
        self._rows = rows
        self._first = first  # hours before it are forgotten

    def put(self, key: str, row: Occupancy) -> tuple[Kept | None, Kept]:
        """Take in a row as it is now; returns what was kept of it before, and what is now."""
        before = self.drop(key)
        kept = Kept(
            since=row.since.timestamp() / HOUR_S,
            movements=tuple(_movements(row)),
            came_from=row.came_from,
            left_to=row.left_to,
            age_years=row.age_years,
            acuity=row.acuity,
            sex=row.sex,
            planned=row.planned,
        )
        self._rows.put((PRESENT if row.state == "present" else PAST) + key, _encode(kept))
        self._count(kept, 1)
        return before, kept

    def drop(self, key: str) -> Kept | None:
        """Take in that a row has been withdrawn; returns what was kept of it."""
        for kind in (PRESENT, PAST):
            row = self._rows.get(kind + key)
            if row is not None:
                self._rows.put(kind + key, None)
                kept = _decode(row)
                self._count(kept, -1)
                return kept
        return None

    def present(self) -> dict[str, Kept]:
        """Who is there, by key."""
        found = {}
        for name in sorted(self._rows.names()):  # in an order that does not depend on what came first
            if name.startswith(PRESENT):
                row = self._rows.get(name)
                assert row is not None
                found[name.removeprefix(PRESENT)] = _decode(row)
        return found

    def series(self, first: int, hours: int) -> Series:
        """Movements and census of some hours; of forgotten ones the movements are 0 and the census is not right."""
        names = self._rows.names()
        days = {int(name.removeprefix(DAY)): self._day(name) for name in names if name.startswith(DAY)}
        there = sum(name.startswith(PRESENT) for name in names)
        last = max((max(hours_of) for hours_of in days.values() if hours_of), default=first)
        moved = np.zeros((max(hours, last - first + 1), len(MOVEMENTS)), dtype=np.int64)
        for found in days.values():
            for hour, counts in found.items():
                if hour >= first:
                    moved[hour - first] = counts
        net = moved @ _SIGN
        census = there - (net.sum() - np.cumsum(net))
        return Series(first, moved[:hours], np.asarray(census[:hours]))

    @property
    def empty(self) -> bool:
        """Whether nobody is there, and nobody is known to have come or left."""
        return not any(name.startswith((PRESENT, PAST, DAY)) for name in self._rows.names())

    def forget(self, before: int) -> None:
        """Forget the movements before an hour (of whole days), and the rows of who came and went before it."""
        self._first = max(before, self._first)
        for name in self._rows.names():
            if name.startswith(PAST):
                row = self._rows.get(name)
                assert row is not None
                if all(hour < before for hour, _ in _decode(row).movements):
                    self._rows.put(name, None)  # without taking back: it has come and gone
            elif name.startswith(DAY) and (int(name.removeprefix(DAY)) + 1) * DAY_H <= before:
                self._rows.put(name, None)

    def _day(self, name: str) -> dict[int, list[int]]:
        row = self._rows.get(name)
        return {} if row is None else _decode_day(row)

    def _count(self, kept: Kept, by: int) -> None:
        for hour, kind in kept.movements:
            if hour >= self._first:
                name = f"{DAY}{hour // DAY_H}"
                day = self._day(name)
                counts = day.setdefault(hour, [0] * len(MOVEMENTS))
                counts[kind] += by
                if not any(counts):
                    del day[hour]
                self._rows.put(name, _encode(day) if day else None)


def changed_hours(before: Kept | None, after: Kept | None, until: int) -> range:
    """The hours up to `until` of which a revision may change movements or census."""
    one = Counter(before.movements if before is not None else ())
    other = Counter(after.movements if after is not None else ())
    changed = (one - other) + (other - one)
    if not changed:
        return range(0)
    stays = sum(int(_SIGN[kind]) * count for (_, kind), count in other.items())
    stayed = sum(int(_SIGN[kind]) * count for (_, kind), count in one.items())
    last = until if stays != stayed else min(until, max(hour for hour, _ in changed))
    return range(min(hour for hour, _ in changed), last + 1)


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
