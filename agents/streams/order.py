"""The order in which a lane applies what it has read from several topics. No I/O.

Topics of one lane drain independently: after an outage an hour of ticks may be read before the vitals of that hour,
and would raise false alarms. So a lane sorts what it reads by `received_at`, in slices of a minute; within a slice the
topics follow each other in a fixed order (a tick first: it opens its slice), so that each agent gets its events as one
run. A topic that is behind holds the others back, but only while it is *known* to be behind; where all inputs are at
their end, everything is released at once, and the latency of a live stream is not touched.

A tick says that its time has passed. It is released only when every other input has reached that time, or was seen to
be at its end after the tick had been read.

Nothing is held longer than `HOLD_DEADLINE_S`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from itertools import islice
from typing import Generic, Protocol, TypeVar

SLICE_S = 60.0
QUEUE_LIMIT = 8_000  # records a topic; a topic whose queue is full is not polled
RELEASE_LIMIT = 4_000  # records a batch: bounds a transaction
HOLD_DEADLINE_S = 30.0


class Timed(Protocol):
    """A record with its time on the stream's clock: `received_at` in seconds since 1970."""

    time: float


T = TypeVar("T", bound=Timed)


class _Inlet(Generic[T]):
    """What was read of one topic and is not yet released."""

    __slots__ = ("queue", "reached")

    def __init__(self) -> None:
        self.queue: deque[T] = deque()
        self.reached = float("-inf")  # time of the last record read


class Order(Generic[T]):
    """Sorts the records of a lane's topics; `topics` in the order in which a slice is handled, the clock's apart."""

    def __init__(self, topics: Collection[str], clock_topic: str | None) -> None:
        self._inlets: dict[str, _Inlet[T]] = {topic: _Inlet() for topic in topics if topic != clock_topic}
        self._ticks: _Inlet[T] = _Inlet()
        self._clock_topic = clock_topic
        self._waiting_since: float | None = None
        self.holds_expired = 0

    def clear(self) -> None:
        """Forget all that was read."""
        for inlet in (*self._inlets.values(), self._ticks):
            inlet.queue.clear()
            inlet.reached = float("-inf")
        self._waiting_since = None

    def __len__(self) -> int:
        return sum(len(inlet.queue) for inlet in (*self._inlets.values(), self._ticks))

    def wanted(self, behind: Collection[str]) -> set[str]:
        """Topics to poll: all with room, and those that hold the others back."""
        wanted = {name for name, inlet in self._inlets.items() if len(inlet.queue) < QUEUE_LIMIT}
        wanted.update(name for name in behind if name in self._inlets and len(self._inlets[name].queue) < QUEUE_LIMIT)
        if self._clock_topic is not None and len(self._ticks.queue) < QUEUE_LIMIT:
            wanted.add(self._clock_topic)
        return wanted

    def add(self, topic: str, records: list[T]) -> None:
        """Take what a poll returned of one topic, in the order of its offsets."""
        inlet = self._ticks if topic == self._clock_topic else self._inlets[topic]
        inlet.queue.extend(records)
        if records:
            inlet.reached = records[-1].time

    def reached(self, topic: str) -> float:
        """Time of the last record read of a topic; -inf before the first."""
        return (self._ticks if topic == self._clock_topic else self._inlets[topic]).reached

    @property
    def first_tick(self) -> T | None:
        """The tick that waits longest."""
        return self._ticks.queue[0] if self._ticks.queue else None

    def release(self, behind: Collection[str], ended_since_tick: bool, now: float) -> list[T]:
        """The records to apply next, in order; at most `RELEASE_LIMIT`.

        Parameters
        ----------
        behind : topics known to hold more than was read of them.
        ended_since_tick : every other input was seen at its end after the first waiting tick had been read.
        now : a monotonic clock's reading in seconds, for the deadline.
        """
        bound, full = self._bound(behind)
        expired = self._waiting_since is not None and now - self._waiting_since > HOLD_DEADLINE_S
        if expired:
            self.holds_expired += 1
            bound = float("inf")
        taken: list[tuple[float, int, T]] = []
        limit = _slice(bound) + (1 if full else 0)
        for rank, inlet in enumerate(self._inlets.values(), start=1):
            key = float("-inf")
            for record in islice(inlet.queue, RELEASE_LIMIT):
                key = max(key, _slice(record.time))  # never before an earlier offset of its own topic
                if key >= limit:
                    break
                taken.append((key, rank, record))
        free_ticks = expired or (ended_since_tick and not behind)
        for record in islice(self._ticks.queue, RELEASE_LIMIT):
            if not (free_ticks or (behind and record.time <= bound)):
                break
            taken.append((_slice(record.time), 0, record))
        taken.sort(key=lambda entry: entry[:2])
        del taken[RELEASE_LIMIT:]
        inlets = [self._ticks, *self._inlets.values()]
        for _, rank, _ in taken:
            inlets[rank].queue.popleft()
        self._waiting_since = None if taken or not len(self) else (self._waiting_since or now)
        return [record for _, _, record in taken]

    def _bound(self, behind: Collection[str]) -> tuple[float, bool]:
        """Up to which time everything has been read, and whether the topic that bounds it has no room for more."""
        bound, full = float("inf"), False
        for name in behind:
            inlet = self._inlets.get(name)
            if inlet is not None and inlet.reached < bound:
                bound, full = inlet.reached, len(inlet.queue) >= QUEUE_LIMIT
        return bound, full


def _slice(time: float) -> float:
    return time // SLICE_S
