"""Hourly arrivals at one emergency department, with the weather: UIHC, 2013-07 to 2017-06.

Source: University of Iowa Hospitals and Clinics, released with an R package under GPL-3. One CSV, plain or gzip:
Arrivals, Date, Hour, temp (°F), and a column of 0 and 1 for each kind of special day.

Every day has 24 hours: the clock is the local one without summer time, so the calendar's zone is taken to be UTC. The
special days (holidays and the days after them, game days) are known long before they come; the temperature is not.
"""

from __future__ import annotations

import csv
import gzip
import io
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from wardstream.infra.feeds.archive import SourceError
from wardstream.models.flow.calendar import Calendar
from wardstream.models.flow.counts import Doubles

SPECIAL: Final = ("xmas", "xmas2", "nye", "nyd", "thx", "thx1", "ind", "game_day")


class Hours(NamedTuple):
    """The series: hours since 1970 from `first` on.

    Attributes
    ----------
    counts, temperature_c : (hours,)
    """

    first: int
    counts: Doubles
    temperature_c: Doubles
    calendar: Calendar

    def place(self, day: date) -> int:
        """The place of a day's first hour."""
        return _hour(day, 0) - self.first


def hours(path: Path, limit: int | None = None) -> Hours:
    """Read the file; the first `limit` hours.

    Raises
    ------
    SourceError
        There is no such file, a column is missing, or an hour is.
    """
    if not path.is_file():
        raise SourceError(f"no such file: {path}")
    raw = path.read_bytes()
    try:
        text = (gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw).decode()
        rows = list(csv.DictReader(io.StringIO(text)))[:limit]
        if not rows:
            raise SourceError(f"{path} has no hours")
        days = [date.fromisoformat(row["Date"]) for row in rows]
        at = np.array([_hour(day, int(float(row["Hour"]))) for day, row in zip(days, rows, strict=True)])
        counts = np.array([float(row["Arrivals"]) for row in rows])
        temperature = (np.array([float(row["temp"]) for row in rows]) - 32.0) / 1.8
        special = {
            day: tuple(name for name in SPECIAL if float(row[name]))
            for day, row in zip(days, rows, strict=True)
            if any(float(row[name]) for name in SPECIAL)
        }
    except (KeyError, TypeError, ValueError, OSError) as error:
        raise SourceError(f"{path} is no table of hourly arrivals: {type(error).__name__}") from error
    if (np.diff(at) != 1).any():
        raise SourceError(f"{path} has hours that do not follow each other")
    return Hours(int(at[0]), counts, temperature, Calendar(UTC, special))


def _hour(day: date, hour: int) -> int:
    return int(datetime(day.year, day.month, day.day, hour, tzinfo=UTC).timestamp()) // 3600
