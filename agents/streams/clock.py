"""The live clock: when it is time for the ticks of `ticks.v1`.

The owner of lane 0 writes them, one record a partition each minute, in transactions of lane 0: whoever is fenced writes
no more. The last minute written is part of lane 0's state, so that after an outage the missed minutes follow one by one
(a day's at the most) and time never jumps for the patients. Replays and the simulator write their own ticks instead.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from uuid import UUID, uuid5

from wardstream.schemas.ticks import Tick

TICK_S = 60.0
CATCH_UP_LIMIT = 1440  # minutes
_NAMESPACE = UUID("5f8a0a86-6c0f-5d0b-9c58-0f3c3f2f6c11")


def due_ticks(last: float | None, now: float) -> list[float]:
    """Minutes (seconds since 1970) that have passed since the last tick and are to be published.

    Without a last tick the clock starts with the minute that has begun.
    """
    current = now // TICK_S * TICK_S
    if last is None:
        return [current]
    first = max(last + TICK_S, current - (CATCH_UP_LIMIT - 1) * TICK_S)
    return [first + TICK_S * step for step in range(int((current - first) // TICK_S) + 1)]


def tick(at: float) -> Tick:
    """The tick of a minute; the same minute always has the same id."""
    time = datetime.fromtimestamp(at, UTC)
    return Tick(event_id=uuid5(_NAMESPACE, str(int(at))), source="clock", observed_at=time, received_at=time)


Now = Callable[[], float]
