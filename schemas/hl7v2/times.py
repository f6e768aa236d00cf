"""HL7's DTM (chapter 2A, section 2.A.22) to moments: `YYYY[MM[DD[HH[MM[SS[.S[S[S[S]]]]]]]]][+/-ZZZZ]`.

Most times come without an offset. They are then in the zone that the site has declared for the sender; where MSH-7 has
an offset that is not that zone's at the time, its sender knows better, and its offset is the default (as 2.A.22 says).
An hour that comes twice, and the one that is left out, are read as the site has declared; but where MSH-7 has the
offset of one of the two, that one is meant, unless the message was sent before it.

A date alone is the beginning of that day, the earliest that it can mean, unless another field of the same message says
the hour of the same day. A month or a year is no time of anything here.
"""

import re
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta, timezone
from functools import lru_cache
from typing import Final, Literal, NamedTuple
from zoneinfo import ZoneInfo

from wardstream.schemas.envelope import FUTURE_TOLERANCE

_DTM: Final = re.compile(
    r"([0-9]{4})(?:([0-9]{2})(?:([0-9]{2})(?:([0-9]{2})(?:([0-9]{2})(?:([0-9]{2})(?:\.([0-9]{1,9}))?)?)?)?)?)?"
    r"([+-][0-9]{4})?"
)
_LONGEST: Final = 40  # what is longer is none, and is not remembered
DAY: Final = 3
"""Of the parts of a time, so many are a date."""

Ambiguous = Literal["earlier", "later", "reject"]


class Stated(NamedTuple):
    """A time as it was stated: `parts` is how many of year, month, day, hour, minute and second were."""

    naive: datetime
    parts: int
    offset: timezone | None


class Moments:
    """Reads the times of one message.

    Parameters
    ----------
    zone : ZoneInfo
        Of times without an offset.
    ambiguous : {"earlier", "later", "reject"}
        Which is meant by an hour that comes twice; see `Feed`.
    sent_at : str
        MSH-7, whose offset is the default if it is not that of the zone.
    """

    __slots__ = ("_ambiguous", "_offset", "_own", "_sent", "_zone")

    def __init__(self, zone: ZoneInfo, ambiguous: Ambiguous, sent_at: str = "") -> None:
        self._zone = zone
        self._ambiguous = ambiguous
        sent = stated(sent_at)
        self._offset: timezone | None = None  # not the zone's
        self._own: timezone | None = None  # one of the zone's
        self._sent: datetime | None = None
        if sent is not None and sent.offset is not None:
            here = {
                sent.naive.replace(tzinfo=zone, fold=fold).utcoffset() for fold in (0, 1)
            }  # in an hour that is twice
            if sent.offset.utcoffset(None) not in here:
                self._offset = sent.offset
            elif (at := _moment(sent_at, zone, ambiguous, None, None)) is not None:
                self._own, self._sent = sent.offset, at + FUTURE_TOLERANCE

    def read(self, text: str) -> datetime | None:
        """Return the moment that a time or a date means, in UTC; None: it cannot be told."""
        if len(text) > _LONGEST:
            return None
        moment = _moment(text, self._zone, self._ambiguous, self._offset, self._own)
        if moment is None or self._sent is None or moment <= self._sent:
            return moment
        earlier = _moment(text, self._zone, "earlier", self._offset, None)
        if earlier is not None and earlier <= self._sent:
            return earlier
        return _moment(text, self._zone, self._ambiguous, self._offset, None)

    def first(self, texts: Iterable[str]) -> datetime | None:
        """Return the moment of the first text that has one; a date is made more exact by a later time of that day."""
        day: Stated | None = None
        found: datetime | None = None
        for text in texts:
            time = stated(text)
            moment = None if time is None else self.read(text)
            if time is None or moment is None:
                continue
            if day is None and time.parts > DAY:
                return moment
            if day is None:
                day, found = time, moment
            elif time.parts > DAY and time.naive.date() == day.naive.date():
                return moment
        return found


def stated(text: str) -> Stated | None:
    """Return what a DTM says; None: it is none."""
    return _stated(text) if len(text) <= _LONGEST else None


@lru_cache(maxsize=4096)
def _stated(text: str) -> Stated | None:
    found = _DTM.fullmatch(text.strip())
    if found is None:
        return None
    *parts, fraction, offset = found.groups()
    numbers = [int(part) for part in parts if part is not None]
    zone: timezone | None = None
    try:
        if offset is not None:
            shift = timedelta(hours=int(offset[1:3]), minutes=int(offset[3:]))
            zone = timezone(-shift if offset[0] == "-" else shift)
        microsecond = 0 if fraction is None else int(fraction[:6].ljust(6, "0"))
        year, month, of_month, *clock = numbers + [1, 1][len(numbers) - 1 :]
        hour, minute, second = clock + [0] * (3 - len(clock))
        naive = datetime(year, month, of_month, hour, minute, second, microsecond)  # noqa: DTZ001
    except (ValueError, OverflowError):
        return None
    return Stated(naive, len(numbers), zone)


def day(text: str) -> date | None:
    """Return the date of a DTM that states at least the day."""
    time = stated(text)
    return None if time is None or time.parts < DAY else time.naive.date()


@lru_cache(maxsize=4096)
def _moment(
    text: str, zone: ZoneInfo, ambiguous: Ambiguous, offset: timezone | None, own: timezone | None
) -> datetime | None:
    time = stated(text)
    if time is None or time.parts < DAY:
        return None
    fixed = time.offset or offset
    try:
        if fixed is not None:
            return time.naive.replace(tzinfo=fixed).astimezone(UTC)
        earlier, later = (time.naive.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
        if earlier.utcoffset() == later.utcoffset():
            return earlier.astimezone(UTC)
        twice = earlier.astimezone(UTC) < later.astimezone(UTC)  # else the hour is left out; fold 0 is the old clock
        if twice and own is not None:
            return (later if later.utcoffset() == own.utcoffset(None) else earlier).astimezone(UTC)
        if ambiguous == "reject" and time.parts > DAY:
            return None
        return (later if twice and ambiguous == "later" else earlier).astimezone(UTC)
    except (OverflowError, ValueError):
        return None
