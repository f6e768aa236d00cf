"""Closing what does not close."""

import asyncio

import pytest

from wardstream.infra.kafka.closing import close_all


async def test_what_hangs_or_fails_keeps_nobody(caplog: pytest.LogCaptureFixture) -> None:
    closed: list[str] = []

    async def ends() -> None:
        closed.append("in order")

    async def fails() -> None:
        raise OSError("p-7")

    async def cancelled() -> None:
        raise asyncio.CancelledError  # as aiokafka hands on that of a wait of its own

    async def hangs() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            closed.append("at last")

    await close_all(hangs, fails, cancelled, ends, most_s=0.05)
    assert closed == ["in order", "at last"]
    assert sorted(caplog.messages) == [
        "a connection is not closed in order: Kafka does not answer",
        "a connection is not closed in order: OSError",
    ]


async def test_what_will_not_be_cancelled_is_left() -> None:
    async def stays() -> None:
        while True:
            try:
                await asyncio.sleep(30)
            except asyncio.CancelledError:
                if done.is_set():
                    raise

    done = asyncio.Event()
    await close_all(stays, most_s=0.05)
    done.set()
