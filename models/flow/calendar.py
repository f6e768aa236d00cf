"""What is known of an hour long before it comes: its place in the week and the year, and whether the day is special.

Hours are whole hours since 1970 (UTC). A unit lives by the clock on its wall: patterns are of local time. Where clocks
are put forward an hour of the wall is missing, and where they are put back one comes twice; nothing needs mending.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import NamedTuple

WEEK: int = 168
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


class Moment(NamedTuple):
    """An hour as the calendar knows it.

    `hour_of_week` counts from Monday 0:00. `season` are sine and cosine of the year's angle and of its double.
    `special` are the names of what the day is.
    """

    hour_of_week: int
    season: tuple[float, float, float, float]
    special: tuple[str, ...]


class Calendar:
    """The calendar of a place.

    Parameters
    ----------
    zone
        Its time zone.
    special
        What a local day is, by day: names of holidays, or of events that are known ahead. Each name has one effect.
    """

    def __init__(self, zone: tzinfo = UTC, special: Mapping[date, tuple[str, ...]] | None = None) -> None:
        self.zone, self._special = zone, dict(special or {})
        self.names = tuple(sorted({name for names in self._special.values() for name in names}))
        self.at = lru_cache(4096)(self._at)

    def _at(self, hour: int) -> Moment:
        local = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(hours=hour)).astimezone(self.zone)
        angle = 2.0 * math.pi * local.timetuple().tm_yday / 365.25
        return Moment(
            local.weekday() * 24 + local.hour,
            (math.sin(angle), math.cos(angle), math.sin(2.0 * angle), math.cos(2.0 * angle)),
            self._special.get(local.date(), ()),
        )
