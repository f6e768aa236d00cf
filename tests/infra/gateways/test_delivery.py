"""Delivery: each caller learns of its own, nothing is dropped, and waiting is bounded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.infra.gateways.senders import FakeWay
from wardstream.agents.metrics import DELIVERY_FAILURES, Meters
from wardstream.infra.gateways import delivery as module
from wardstream.infra.gateways.delivery import Delivery, Row


def row(name: str, size: int = 1) -> Row:
    return Row("vitals.v1", "p-1", name.encode() * size)


@asynccontextmanager
async def delivering(way: FakeWay, **options: Any) -> AsyncIterator[Delivery]:
    delivery = Delivery(lambda: way, options.pop("meters", Meters()), **options)
    running = asyncio.create_task(delivery.run())
    try:
        yield delivery
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(module, "_LONGEST_PAUSE_S", 0.02)


async def test_many_leave_together_in_their_order() -> None:
    way = FakeWay()
    async with delivering(way) as delivery:
        futures = [await delivery.offer([row(f"{number:03}")]) for number in range(300)]
        async with asyncio.timeout(60):
            await asyncio.gather(*futures)
    assert [value for _, _, value, _ in way.kept] == [f"{number:03}".encode() for number in range(300)]
    assert len(way.groups) < 10


async def test_nothing_to_deliver_is_delivered() -> None:
    async with delivering(FakeWay()) as delivery:
        assert (await delivery.offer([])).done()


async def test_what_kafka_does_not_take_is_sent_again_over_a_new_connection() -> None:
    way, meters = FakeWay(), Meters()
    async with delivering(way, meters=meters) as delivery:
        await (await delivery.offer([row("a")]))
        way.up.clear()
        futures = [await delivery.offer([row(name)]) for name in ("b", "c")]
        await asyncio.sleep(0.1)
        assert not any(future.done() for future in futures)
        way.up.set()
        async with asyncio.timeout(60):
            await asyncio.gather(*futures)
    assert [value for _, _, value, _ in way.kept] == [b"a", b"b", b"c"]
    assert way.opened > 1
    assert meters.total(DELIVERY_FAILURES) >= 1


async def test_too_much_waits_outside() -> None:
    way = FakeWay()
    way.up.clear()
    async with delivering(way, held_bytes=100) as delivery:
        first = await delivery.offer([row("a", 90)])
        waiting = asyncio.create_task(delivery.offer([row("b", 90)]))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        way.up.set()
        async with asyncio.timeout(60):
            await first
            await (await waiting)


async def test_who_goes_makes_room_and_leaves_nothing() -> None:
    way = FakeWay()
    way.up.clear()
    async with delivering(way, held_bytes=100) as delivery:
        gone = await delivery.offer([row("a", 90)])
        waiting = asyncio.create_task(delivery.offer([row("b", 90)]))
        await asyncio.sleep(0.05)
        gone.cancel()
        async with asyncio.timeout(60):
            stays = await waiting
            way.up.set()
            await stays
    assert [value for _, _, value, _ in way.kept] == [b"b" * 90]


async def test_one_larger_than_the_bound_is_taken_alone() -> None:
    way = FakeWay()
    async with delivering(way, held_bytes=10) as delivery, asyncio.timeout(60):
        await (await delivery.offer([row("a", 90)]))
    assert len(way.kept) == 1
