"""How long lanes stood still: what publishers were told against when a reader of scores.v1 had what it led to.

A lane stands still between two of its outputs, from when it had something to do: from when a publisher was told of an
event that had not come out by then. Times are those of the machine's monotonic clock, in seconds. Imports nothing of
wardstream.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

LATE_S = 2.0  # an output later than this after its event was acknowledged shows that a lane has not recovered

Interval = tuple[float, float]


class Stall(NamedTuple):
    """One lane that stood still."""

    lane: int
    begin: float
    end: float
    taken: float  # of it, seconds for which what lanes need had been taken away on purpose

    @property
    def seconds(self) -> float:
        return self.end - self.begin - self.taken


class Fault(NamedTuple):
    """When a fault struck, when the next one did, and when what lanes need was away on purpose."""

    struck: float
    until: float
    away: Interval | None


class Outcome(NamedTuple):
    """What a fault did: the longest stall that ended in its time, and how long until outputs came in time again."""

    stall_s: float
    recovered_s: float


def stalls(
    acked: Mapping[str, float], outputs: Iterable[tuple[float, int, str]], away: Sequence[Interval]
) -> list[Stall]:
    """Every time that a lane stood still.

    Parameters
    ----------
    acked : when publishers were told, by id of the event.
    outputs : when which lane put out what was caused by which event.
    away : when what lanes need was away on purpose.
    """
    by_lane: dict[int, list[tuple[float, float]]] = defaultdict(list)
    for at, lane, cause in outputs:
        by_lane[lane].append((at, acked.get(cause, float("inf"))))
    found = []
    for lane, times in by_lane.items():
        times.sort()
        waiting = float("inf")  # since when the first of those waits that come out from here on
        for (before, _), (at, since) in zip(reversed(times[:-1]), reversed(times[1:]), strict=True):
            waiting = min(waiting, since)
            begin = max(before, waiting)
            if begin < at:
                taken = sum(max(0.0, min(at, end) - max(begin, start)) for start, end in away)
                found.append(Stall(lane, begin, at, taken))
    return found


def outcomes(
    acked: Mapping[str, float], outputs: Sequence[tuple[float, int, str]], faults: Sequence[Fault]
) -> list[Outcome]:
    """What each fault did."""
    found = stalls(acked, outputs, [fault.away for fault in faults if fault.away is not None])
    late = [at for at, _, cause in outputs if cause in acked and at - acked[cause] > LATE_S]
    return [
        Outcome(
            round(max((one.seconds for one in found if fault.struck <= one.end < fault.until), default=0.0), 2),
            round(max((at for at in late if fault.struck <= at < fault.until), default=fault.struck) - fault.struck, 2),
        )
        for fault in faults
    ]


def longest(acked: Mapping[str, float], outputs: Sequence[tuple[float, int, str]], faults: Sequence[Fault]) -> float:
    """The longest time that any lane stood still, in seconds."""
    found = stalls(acked, outputs, [fault.away for fault in faults if fault.away is not None])
    return round(max((one.seconds for one in found), default=0.0), 2)
