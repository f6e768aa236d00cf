"""A patient's newest values in little memory: arrays of numbers, at most one value of a signal a minute."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from uuid import UUID

KEPT_S = 24 * 3600.0
MOST = 1500  # points of a signal: a day of minutes, and a little
_SLACK = 100  # cut together
_MINUTE = 60.0
_ID_BITS = (1 << 63) - 1


class Line:
    """One signal's values by time (s since 1970): of each minute the last one.

    Attributes
    ----------
    times, values : array of float
        In the order of time.
    """

    __slots__ = ("times", "values")

    def __init__(self) -> None:
        self.times, self.values = array("d"), array("d")

    def put(self, at: float, value: float) -> None:
        """Take a value in; an earlier one of the same minute goes, and it goes itself where a later one is there."""
        times, place = self.times, bisect_right(self.times, at)
        minute = at // _MINUTE
        if place and times[place - 1] // _MINUTE == minute:
            times[place - 1], self.values[place - 1] = at, value
        elif place == len(times) or times[place] // _MINUTE != minute:
            times.insert(place, at)
            self.values.insert(place, value)
            if len(times) > MOST + _SLACK:
                del times[:-MOST], self.values[:-MOST]

    def step(self, at: float, value: float) -> None:
        """Take a value in that holds until the next: one that says the same again is not kept."""
        if not self.times or (at >= self.times[-1] and value != self.values[-1]):
            self.put(at, value)

    def drop(self, at: float) -> None:
        """Take away the value of a time, where there is one."""
        place = bisect_left(self.times, at)
        if place < len(self.times) and self.times[place] == at:
            del self.times[place], self.values[place]

    def trim(self, before: float) -> None:
        """Forget what is older, but the last value: it may still be the newest."""
        if (place := min(bisect_left(self.times, before), len(self.times) - 1)) > 0:
            del self.times[:place], self.values[:place]

    def since(self, at: float) -> Iterator[tuple[float, float]]:
        """Times and values from a time on."""
        place = bisect_left(self.times, at)
        return zip(self.times[place:], self.values[place:], strict=True)


class Told:
    """Which event said what when, for those that are revised: 24 bytes each."""

    __slots__ = ("_ids", "_masks", "_times")

    def __init__(self) -> None:
        self._ids, self._times, self._masks = array("q"), array("d"), array("q")

    def add(self, event_id: UUID, at: float, mask: int) -> None:
        """Note an event: when it was observed, and which signals it had, as bits."""
        self._ids.append(event_id.int & _ID_BITS)
        self._times.append(at)
        self._masks.append(mask)
        if len(self._ids) > MOST + _SLACK:
            del self._ids[:-MOST], self._times[:-MOST], self._masks[:-MOST]

    def pop(self, event_id: UUID) -> tuple[float, int] | None:
        """Time and signals of an event, which is forgotten; None: it is not known."""
        try:
            place = self._ids.index(event_id.int & _ID_BITS)
        except ValueError:
            return None
        del self._ids[place]
        return self._times.pop(place), self._masks.pop(place)
