"""What was seen while a job ran, and the figures that follow from it. No I/O."""

from __future__ import annotations

import re
from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

import msgspec

SETTLED_S = 2.0  # after the first event of a fixed rate
SWING = (0.25, 0.75)  # of the outputs
STEPS = 6  # at the least, within


class Seen(NamedTuple):
    """Outputs and CPU time of a job up to a moment (all in s, counted from the job's start)."""

    at: float
    outputs: int
    cpu: float


class Figures(msgspec.Struct):
    """Of one run, or of a part of it."""

    per_s: float
    cpu_us: float
    """CPU time of the process for a message, in µs."""
    seconds: float


def figures(seen: Sequence[Seen], first: int, last: int) -> Figures:
    """Rate and cost between the moments when `first` and `last` outputs were there.

    Whoever writes in batches has work done that is not yet seen, at both ends of such a window the same, if the job is
    in full swing at both. So never from the first output (each lane may have a batch done by then) and never
    to the last. See `SWING`.

    Raises
    ------
    ValueError : so many outputs were never seen.
    """
    start = next((one for one in seen if one.outputs > 0 and one.outputs >= first), None)
    end = next((one for one in seen if one.outputs >= last), None)
    if start is None or end is None or end.at <= start.at:
        raise ValueError(f"{last} outputs were not seen one after the other")
    done, seconds = end.outputs - start.outputs, end.at - start.at
    return Figures(done / seconds, (end.cpu - start.cpu) / done * 1e6, seconds)


def full_swing(seen: Sequence[Seen], expected: int, begin: float = 0.0) -> Figures:
    """The figures of the middle half of the outputs from the share `begin` on.

    Raises
    ------
    ValueError : the job came in so few steps that there is no middle: it needs more events.
    """
    part = expected * (1 - begin)
    found = figures(seen, int(expected * begin + SWING[0] * part), int(expected * begin + SWING[1] * part))
    inside = [one for one in seen if SWING[0] * part <= one.outputs - expected * begin <= SWING[1] * part]
    if len(inside) < STEPS:
        raise ValueError(f"{expected} outputs came in too few steps ({len(inside)}) to measure; take more events")
    return found


def thinned(seen: Sequence[Seen], most: int = 80) -> list[Seen]:
    """Evenly chosen, for keeping."""
    return [seen[i * (len(seen) - 1) // (most - 1)] for i in range(most)] if len(seen) > most else list(seen)


class Spread(msgspec.Struct):
    """Median, lowest and highest of some runs."""

    median: float
    low: float
    high: float
    runs: int


def spread(values: Sequence[float]) -> Spread:
    """Summarise repeats; the spread is shown as it is, no run is left out."""
    return Spread(median(values), min(values), max(values), len(values))


def came_per_s(due: Sequence[float], came: Sequence[float]) -> float:
    """How many came a second while others were still due, from `SETTLED_S` after the first on; times in ms."""
    if not due or max(due) <= min(due) + SETTLED_S * 1000:
        return 0.0
    begin, end = min(due) + SETTLED_S * 1000, max(due)
    return sum(begin <= at <= end for at in came) / (end - begin) * 1000


def cpu_seconds(stat: str, ticks_per_s: int) -> float:
    """User and system time from the text of /proc/<pid>/stat; the name in it may hold spaces and brackets."""
    fields = re.sub(r"^\d+ \(.*\) ", "", stat, flags=re.DOTALL).split()
    return (int(fields[11]) + int(fields[12])) / ticks_per_s


def quantile(ordered: Sequence[float], q: float) -> float:
    """The q-quantile (nearest rank) of values in ascending order."""
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))]
