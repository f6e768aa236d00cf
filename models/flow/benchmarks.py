"""What a forecast of a census has to beat: four that need no model, each the numbers of some earlier hours.

*persistence*: who is there now, plus how the census changed over the same span from the same hour of the day, on each
of the last four weeks' days. *hour of week*: the census at that hour of each of the last eight weeks. *seasonal naive*:
of the last week. *moving average*: of the last 24 hours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from wardstream.models.flow.calendar import WEEK
from wardstream.models.flow.counts import Doubles

DAYS: Final = 28
WEEKS: Final = 8


def persistence(known: Sequence[float], h: int) -> Doubles:
    """Distribution of the census h hours after the last of `known`: (size,)."""
    now = len(known) - 1
    changes = [known[now - back + h] - known[now - back] for back in range(24, 24 * (DAYS + 1), 24) if h <= back <= now]
    return _sample(np.maximum(known[now] + np.array(changes or [0.0]), 0.0))


def hour_of_week(known: Sequence[float], h: int) -> Doubles:
    """As `persistence`."""
    at = len(known) - 1 + h
    found = [known[at - back] for back in range(WEEK, WEEK * (WEEKS + 1), WEEK) if 0 <= at - back < len(known)]
    return _sample(np.array(found or [known[-1]]))


def seasonal_naive(known: Sequence[float], h: int) -> Doubles:
    """As `persistence`."""
    at = len(known) - 1 + h - WEEK
    return _sample(np.array([known[at] if at >= 0 else known[-1]]))


def moving_average(known: Sequence[float], h: int) -> Doubles:
    """As `persistence`."""
    return _sample(np.array(known[-24:]))


BENCHMARKS: Final[dict[str, Callable[[Sequence[float], int], Doubles]]] = {
    "persistence": persistence,
    "hour of week": hour_of_week,
    "seasonal naive": seasonal_naive,
    "moving average": moving_average,
}


def _sample(values: Doubles) -> Doubles:
    return np.asarray(np.bincount(values.astype(int)) / len(values))
