"""Sending at a speed, against a publisher that only remembers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from wardstream.infra.feeds.pace import FeedPublisher, Item, Minute, Raw, Send, send_paced
from wardstream.schemas.envelope import Event
from wardstream.schemas.vitals import Vitals

START = datetime(2026, 3, 1, tzinfo=UTC)


class Remembering(FeedPublisher):
    """What would have been published, with the time since it was made."""

    def __init__(self, slow_s: float = 0.0) -> None:
        super().__init__()
        self.slow_s, self.seen, self.begun = slow_s, list[tuple[float, object]](), time.monotonic()

    def _see(self, what: object) -> None:
        self.seen.append((time.monotonic() - self.begun, what))

    async def send(self, event: Event) -> str:
        await asyncio.sleep(self.slow_s)
        self._see(event)
        return "vitals.v1"

    async def send_raw(self, topic: str, key: str, value: bytes) -> None:
        self._see(value)

    async def publish_tick(self, at: datetime, source: str) -> None:
        self._see((at, source))

    async def flush(self) -> None:
        self._see("flush")


def item(after_s: float) -> Send:
    at = START + timedelta(seconds=after_s)
    return Send(
        at, Vitals(event_id=uuid4(), source="t", patient_id="p", observed_at=at, received_at=at, heart_rate_bpm=70)
    )


async def test_speed_is_kept_and_everything_counted() -> None:
    publisher, sends = Remembering(), [item(second) for second in range(0, 60, 6)]
    items: list[Item] = [*sends, Raw(sends[-1].at, "vitals.v1", "p", b"{", "truncated"), Minute(sends[-1].at)]
    sent = await send_paced(items, publisher, ticks="simulator", speed=100)
    assert sent.events == {"vitals.v1": 10}
    assert sent.bad == {"truncated": 1}
    assert (sent.minutes, sent.total, sent.first, sent.last) == (1, 11, START, sends[-1].at)
    assert [what for _, what in publisher.seen[-3:]] == [b"{", (sends[-1].at, "simulator"), "flush"]
    for (at_s, _), send in zip(publisher.seen, sends, strict=False):
        due_s = (send.at - START).total_seconds() / 100
        assert at_s >= due_s - 0.01
    assert 0 <= sent.worst_lag_s < sent.wall_s


async def test_as_fast_as_possible_waits_for_nothing() -> None:
    sent = await send_paced([item(0), item(10**7)], Remembering(), ticks="replay", speed=None)
    assert sent.worst_lag_s == 0


async def test_a_feed_that_cannot_keep_up_says_so() -> None:
    sent = await send_paced([item(i / 100) for i in range(8)], Remembering(0.02), ticks="simulator", speed=100)
    assert sent.worst_lag_s > 0.1


async def test_stop_ends_a_run_that_waits() -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().call_later(0.05, stop.set)
    sent = await send_paced([item(0), item(3600)], Remembering(), ticks="simulator", speed=1, stop=stop)
    assert sent.events.total() == 1


async def test_others_run_while_a_feed_only_buffers() -> None:
    others = 0

    async def other() -> None:
        nonlocal others
        while True:
            others += 1
            await asyncio.sleep(0)

    class Buffering(Remembering):
        async def send(self, event: Event) -> str:
            return "vitals.v1"

    def endless() -> Iterator[Item]:
        one = item(0)
        for _ in range(5000):
            yield one

    task = asyncio.create_task(other())
    await send_paced(endless(), Buffering(), ticks="replay", speed=None)
    task.cancel()
    assert others > 10


async def test_progress_is_told_each_minute_and_at_the_end() -> None:
    told = []
    await send_paced(
        [item(0), Minute(START), item(1), Minute(START + timedelta(minutes=1))],
        Remembering(),
        ticks="replay",
        speed=None,
        progress=lambda sent: told.append(sent.total),
    )
    assert told == [1, 2, 2]


async def test_an_unconnected_publisher_says_so() -> None:
    with pytest.raises(RuntimeError, match="async with"):
        await FeedPublisher().send_raw("vitals.v1", "p", b"")
