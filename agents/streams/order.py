"""The order in which a lane applies what it has read from several topics. No I/O.

Topics of one lane drain independently: after an outage an hour of ticks may be read before the vitals of that hour,
and would raise false alarms. So a lane sorts what it reads by `received_at`, in slices of a minute; within a slice the
topics follow each other in a fixed order (a tick first: it opens its slice), so that each agent gets its events as one
run. A topic that is behind holds the others back, but only while it is *known* to be behind; where all inputs are at
their end, everything is released at once, and the latency of a live stream is not touched.

A tick says that its time has passed. It is confirmed, and released, only when every other input has reached that time,
or was seen to be at its end after the tick had been read.

A replay publishes a tick after all events up to its time. So its confirmed ticks are watermarks: events wait for the
tick that ends their slice, and a replay gives the same result however fast it is read. (`paced_by_ticks`)

Nothing waits for a topic that is behind longer than `HOLD_DEADLINE_S`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from itertools import islice, takewhile
from math import isfinite
from operator import itemgetter
from typing import Generic, Protocol, TypeVar

SLICE_S = 60.0
QUEUE_LIMIT = 8_000  # records a topic; a topic whose queue is full is not polled
RELEASE_LIMIT = 4_000  # records a batch: bounds a transaction
HOLD_DEADLINE_S = 30.0
_INF = float("inf")
_SLICE_AND_RANK = itemgetter(0, 1)


class Timed(Protocol):
    """A record with its time on the stream's clock (`received_at`, seconds since 1970) and when it was read (ms)."""

    time: float
    read_ms: int


T = TypeVar("T", bound=Timed)


class _Inlet(Generic[T]):
    """What was read of one topic and is not yet released."""

    __slots__ = ("queue", "reached")

    def __init__(self) -> None:
        self.queue: deque[T] = deque()
        self.reached = -_INF  # time of the last record read

    @property
    def full(self) -> bool:
        return len(self.queue) >= QUEUE_LIMIT


class Order(Generic[T]):
    """Sorts the records of a lane's topics; `topics` in the order in which a slice is handled, the clock's apart."""

    def __init__(self, topics: Collection[str], clock_topic: str | None, release_limit: int | None = None) -> None:
        self._inlets: dict[str, _Inlet[T]] = {topic: _Inlet() for topic in topics if topic != clock_topic}
        self._ticks: _Inlet[T] = _Inlet()
        self._clock_topic = clock_topic
        self._release_limit = RELEASE_LIMIT if release_limit is None else release_limit
        self._watermark = -_INF  # time of the last confirmed tick
        self._waiting_since: float | None = None
        self.paced_by_ticks = False
        self.holds_expired = 0

    def clear(self) -> None:
        """Forget all that was read."""
        for inlet in (*self._inlets.values(), self._ticks):
            inlet.queue.clear()
            inlet.reached = -_INF
        self._watermark = -_INF
        self._waiting_since = None

    def __len__(self) -> int:
        return sum(len(inlet.queue) for inlet in (*self._inlets.values(), self._ticks))

    def wanted(self) -> set[str]:
        """Topics to poll: those with room."""
        wanted = {name for name, inlet in self._inlets.items() if not inlet.full}
        if self._clock_topic is not None and not self._ticks.full:
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

    def release(self, behind: Collection[str], ended_ms: int, now: float) -> list[T]:
        """The records to apply next, in order; at most the release limit.

        Parameters
        ----------
        behind : topics known to hold more than was read of them.
        ended_ms : when (ms, the clock of `read_ms`) every other input than the clock's last answered; what is not
            behind was at its end then.
        now : a monotonic clock's reading in seconds, for the deadline.
        """
        limit, bound = self._limits(behind)
        if self._waiting_since is not None and now - self._waiting_since > HOLD_DEADLINE_S:
            self.holds_expired += 1
            limit = bound = _INF
            ended_ms = max((tick.read_ms for tick in self._ticks.queue), default=0) + 1
        ticks = self._confirmed(bound, ended_ms)
        if self.paced_by_ticks and not any(inlet.full for inlet in self._inlets.values()):
            limit = min(limit, _slice(self._watermark))
        filled = [inlet for inlet in self._inlets.values() if inlet.queue]
        ready = (
            _first(filled[0], limit, self._release_limit)
            if len(filled) == 1 and not ticks
            else self._sorted(ticks, limit)
        )
        self._waiting_since = None if ready or not behind or not len(self) else (self._waiting_since or now)
        return ready

    def _confirmed(self, bound: float, ended_ms: int) -> list[T]:
        """The ticks that may go, not later than `bound`."""
        confirmed: list[T] = []
        for tick in islice(self._ticks.queue, self._release_limit):
            reached = all(inlet.reached >= tick.time for inlet in self._inlets.values())
            # One that was confirmed stays so: the events it lets pass must not pass it.
            if tick.time > self._watermark and (tick.time > bound or not (reached or tick.read_ms < ended_ms)):
                break
            confirmed.append(tick)
            self._watermark = tick.time
        return confirmed

    def _sorted(self, ticks: list[T], limit: float) -> list[T]:
        """Take ticks and events of slices earlier than `limit`, slice by slice and topic by topic."""
        taken: list[tuple[float, int, T]] = []
        for rank, records in enumerate([ticks, *(inlet.queue for inlet in self._inlets.values())]):
            key = end = -_INF  # its slice and that slice's end: a record is never before an earlier one of its topic
            for record in islice(records, self._release_limit):
                if record.time >= end:
                    key = _slice(record.time)
                    end = (key + 1) * SLICE_S
                    if key >= limit and rank:
                        break
                taken.append((key, rank, record))
        taken.sort(key=_SLICE_AND_RANK)
        del taken[self._release_limit :]
        inlets = [self._ticks, *self._inlets.values()]
        for _, rank, _ in taken:
            inlets[rank].queue.popleft()
        return [record for _, _, record in taken]

    def _limits(self, behind: Collection[str]) -> tuple[float, float]:
        """The slice that events must be earlier than, and the time that ticks must not be later than."""
        limit = bound = _INF
        for name in behind:
            if name == self._clock_topic:  # its next tick opens a later slice than the last one read
                limit = min(limit, _slice(self._ticks.reached) + 1)
            elif name in self._inlets:
                inlet = self._inlets[name]  # if it is full, what is read of its slice has to go, or nothing ever would
                limit = min(limit, _slice(inlet.reached) + (1 if inlet.full else 0))
                bound = min(bound, inlet.reached)
        return limit, bound


def _first(inlet: _Inlet[T], limit: float, most: int) -> list[T]:
    """Take the events of slices earlier than `limit`, where they are all there is: they are in order."""
    if limit == _INF and len(inlet.queue) <= most:  # a live stream: all of it goes
        ready = list(inlet.queue)
        inlet.queue.clear()
        return ready
    end = limit * SLICE_S
    ready = list(takewhile(lambda record: record.time < end, islice(inlet.queue, most)))
    for _ in ready:
        inlet.queue.popleft()
    return ready


def _slice(time: float) -> float:
    return time // SLICE_S if isfinite(time) else time
