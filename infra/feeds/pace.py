"""Sending a feed at a multiple of the clock: the one runner of the simulator and of replay.

A feed is an iterator of items in the order of its own time: events, raw bytes that a broken sender would send, and
minutes. It has no clock and knows no Kafka; here it meets both. Kafka's timestamps stay the wall clock, so latency is
measured as in production. A minute is written as ticks once everything before it is acknowledged.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

import structlog

from wardstream.client import Publisher
from wardstream.schemas.envelope import Event

BEHIND_S = 1.0  # wall seconds: beyond it a feed says that it is late
SAY_AGAIN_S = 10.0


@dataclass(frozen=True, slots=True)
class Send:
    """An event that leaves at `at`; a resend leaves later than its `received_at`."""

    at: datetime
    event: Event


@dataclass(frozen=True, slots=True)
class Raw:
    """Bytes that are no valid event, as a broken sender would publish them."""

    at: datetime
    topic: str
    key: str
    value: bytes
    fault: str


@dataclass(frozen=True, slots=True)
class Minute:
    """The feed's time has reached `at`; all that was received until then came before."""

    at: datetime


Item = Send | Raw | Minute


@dataclass(slots=True)
class Sent:
    """What a run has sent so far, and how late it was at worst (wall seconds)."""

    events: Counter[str] = field(default_factory=Counter)
    bad: Counter[str] = field(default_factory=Counter)
    minutes: int = 0
    first: datetime | None = None
    last: datetime | None = None
    worst_lag_s: float = 0.0
    wall_s: float = 0.0

    @property
    def total(self) -> int:
        """Events and bad events."""
        return self.events.total() + self.bad.total()


class FeedPublisher(Publisher):
    """A publisher that can also send what is not valid."""

    async def send_raw(self, topic: str, key: str, value: bytes) -> None:
        """Publish bytes as they are, in the partition of the key."""
        await self._add(topic, key, value)


async def send_paced(
    items: Iterable[Item],
    publisher: FeedPublisher,
    *,
    ticks: Literal["replay", "simulator"],
    speed: float | None,
    stop: asyncio.Event | None = None,
    progress: Callable[[Sent], None] | None = None,
) -> Sent:
    """Send a feed and return what was sent.

    Parameters
    ----------
    items : iterable of Item
        In the order of their `at`.
    publisher : FeedPublisher
        Connected.
    ticks : {"replay", "simulator"}
        The source that ticks name.
    speed : float or None
        Feed seconds a wall second; None: as fast as the cluster takes it.
    stop : asyncio.Event, optional
        Ends the run early when set.
    progress : callable, optional
        Called after each minute of the feed and at its end.

    Raises
    ------
    PublishError
        The cluster did not take it.
    """
    sent, begun, said = Sent(), time.monotonic(), float("-inf")
    stop = stop or asyncio.Event()
    log = structlog.get_logger()
    for count, item in enumerate(items):
        sent.first = sent.first or item.at
        if speed is not None:
            early = begun + (item.at - sent.first).total_seconds() / speed - time.monotonic()
            if early > 0.002:  # shorter sleeps cost more than they say
                await _sleep(early, stop)
            elif -early > sent.worst_lag_s:
                sent.worst_lag_s = -early
            if -early > BEHIND_S and time.monotonic() - said > SAY_AGAIN_S:
                said = time.monotonic()
                log.warning("feed_behind", lag_s=round(-early, 1), speed=speed)
        if count % 256 == 0:
            await asyncio.sleep(0)  # a feed that only buffers would starve what sends
        if stop.is_set():
            break
        if isinstance(item, Send):
            sent.events[await publisher.send(item.event)] += 1
        elif isinstance(item, Raw):
            await publisher.send_raw(item.topic, item.key, item.value)
            sent.bad[item.fault] += 1
        else:
            await publisher.publish_tick(item.at, ticks)
            sent.minutes += 1
            if progress is not None:
                progress(sent)
        sent.last = item.at
    await publisher.flush()
    sent.wall_s = time.monotonic() - begun
    if progress is not None:
        progress(sent)
    return sent


async def _sleep(seconds: float, stop: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        pass
