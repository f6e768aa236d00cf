"""The links that faults cut and slow down, on an echo server."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.faults.proxy import Proxies, Trouble

OURS = frozenset({os.getpid()})


@asynccontextmanager
async def echo() -> AsyncIterator[tuple[Proxies, asyncio.StreamReader, asyncio.StreamWriter]]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(100):
            writer.write(chunk)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    proxies = Proxies(2, lambda: [os.getpid()])
    try:
        upstream = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        await asyncio.to_thread(proxies.start, [upstream, upstream])
        host, port = proxies.addresses[1].split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        yield proxies, reader, writer
        writer.close()
    finally:
        await asyncio.to_thread(proxies.close)
        server.close()


async def ping(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, text: bytes) -> float:
    started = time.monotonic()
    writer.write(text)
    async with asyncio.timeout(60):
        assert await reader.readexactly(len(text)) == text
    return time.monotonic() - started


async def test_a_link_can_be_slow() -> None:
    async with echo() as (proxies, reader, writer):
        await ping(reader, writer, b"fast")
        proxies.afflict(Trouble(frozenset({1}), OURS, delay_s=(0.1, 0.1)))
        assert await ping(reader, writer, b"slow") > 0.2
        proxies.afflict(Trouble(frozenset({0}), OURS, delay_s=(120, 120)))
        await ping(reader, writer, b"another's")
        proxies.afflict(Trouble(frozenset({1}), frozenset({1}), delay_s=(120, 120)))
        await ping(reader, writer, b"another's")


async def test_what_was_under_way_arrives_after_a_cut() -> None:
    async with echo() as (proxies, reader, writer):
        await ping(reader, writer, b"before")
        proxies.afflict(Trouble(frozenset({1}), OURS, cut=True))
        writer.write(b"under way")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(100), 0.3)
        proxies.mend()
        assert await asyncio.wait_for(reader.read(100), 60) == b"under way"


async def test_or_the_connection_is_reset() -> None:
    async with echo() as (proxies, reader, writer):
        await ping(reader, writer, b"before")
        proxies.afflict(Trouble(frozenset({1}), cut=True))
        writer.write(b"under way")
        await asyncio.sleep(0.1)
        proxies.mend(reset=True)
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            async with asyncio.timeout(60):
                await reader.readexactly(1)
