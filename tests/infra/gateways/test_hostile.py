"""Whatever is sent to a gateway: a bounded, clear refusal, and nobody else's connection suffers."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import aiohttp
import pytest
from hl7.mllp import InvalidBlockError
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.infra.gateways.running import running
from tests.infra.gateways.senders import Sender, pulse, until
from tests.infra.gateways.senders import message as plain
from tests.infra.gateways.test_http import lines, served
from tests.schemas.hl7v2.test_fuzz import SEEDS
from wardstream.agents.metrics import HL7_BLOCKS
from wardstream.infra.gateways import batch, web
from wardstream.infra.gateways.blocks import BLOCK_BYTES, BlockReader
from wardstream.infra.gateways.feeds import FeedsError, load_feeds
from wardstream.infra.gateways.samples import split
from wardstream.schemas.bad_event import REASONS
from wardstream.schemas.decode import encode
from wardstream.schemas.hl7v2 import map_message

HUNDRED_MB = 100_000_000
REAL = {"map_message": map_message}
FRAMES = (b"\x0b", b"\x1c", b"\r", b"\x1c\r", b"\x0b\x0b", b"MSH|^~\\&|", b"BHS|", b"FHS|", b"\n", b"\x00", b"|" * 50)

noise = st.binary(max_size=40) | st.sampled_from(FRAMES) | st.sampled_from(SEEDS)


def changed(raw: bytes, chance: random.Random) -> bytes:
    """Some bytes of it put in, taken out or replaced."""
    text = bytearray(raw)
    for _ in range(chance.randint(0, 6)):
        at = chance.randrange(len(text) + 1)
        text[at : at + chance.randint(0, 3)] = chance.choice((*FRAMES, chance.randbytes(3)))
    return bytes(text)


@settings(max_examples=200)
@given(st.lists(noise, max_size=12), st.lists(st.integers(1, 60), min_size=1, max_size=30))
def test_blocks_do_not_depend_on_how_the_bytes_are_cut(parts: list[bytes], sizes: list[int]) -> None:
    """And nothing but what is documented is raised."""

    async def blocks(raw: bytes, cuts: list[int]) -> list[bytes | str]:
        reader = BlockReader(limit=2000)
        at = 0
        for size in cuts:
            reader.feed_data(raw[at : at + size])
            at += size
        reader.feed_data(raw[at:])
        reader.feed_eof()
        found: list[bytes | str] = []
        while True:
            try:
                found.append(await reader.block())
            except InvalidBlockError:
                found.append("no_start")
            except asyncio.IncompleteReadError:
                return found
            except ValueError:
                return [*found, "too_large"]

    async def both() -> None:
        raw = b"".join(parts)
        assert await blocks(raw, sizes) == await blocks(raw, [])

    asyncio.run(both())


@settings(max_examples=200)
@given(st.lists(noise, max_size=12).map(b"".join))
def test_batches_and_samples_of_anything(raw: bytes) -> None:
    for found in (batch.messages(raw), list(split(raw))):
        assert sum(map(len, found)) <= 2 * len(raw)
    assert batch.answer(batch.messages(raw)).endswith(b"\r")


async def test_streams_of_garbage_leave_the_others_alone(tmp_path: Path) -> None:
    chance = random.Random(1)

    async def garbage(engine: Sender) -> None:
        with suppress(ConnectionError):
            for _ in range(chance.randint(1, 8)):
                framed = b"\x0b" + chance.choice(SEEDS) + b"\x1c\r"
                engine.write(changed(framed, chance))
                await engine.writer.drain()
            if chance.random() < 0.5:
                engine.writer.write_eof()
            await asyncio.sleep(0)

    async with running(tmp_path, map_with=REAL) as run, run.sender() as good:
        for number in range(60):
            async with run.sender() as bad:
                await garbage(bad)
            sound = SEEDS[0].replace(b"|LIS|", b"|HIS|").replace(b"|1|P|", b"|m%d|P|" % number)  # another sender
            assert await good.ask(sound) == ("CA", f"m{number}")
        await until(lambda: len(run.gateway._open) == 1)


async def test_a_hundred_megabytes_are_not_read(tmp_path: Path) -> None:
    async with running(tmp_path) as run, run.sender() as good, run.sender() as bad:
        answer = asyncio.create_task(bad.answer())
        sent = 0
        with suppress(ConnectionError):
            bad.write(b"\x0b" + plain("big"))
            while sent < HUNDRED_MB and not answer.done():
                bad.write(b"x" * BLOCK_BYTES)
                sent += BLOCK_BYTES
                await bad.writer.drain()
        assert (await answer)[0] == "AR"
        assert sent < HUNDRED_MB / 4
        assert await good.ask(plain("m1")) == ("AA", "m1")
        assert run.meters.values[HL7_BLOCKS, ("icu", "too_large")] == 1


async def test_a_million_segments(tmp_path: Path) -> None:
    async with running(tmp_path, map_with=REAL) as run, run.sender() as engine:
        assert await engine.ask(SEEDS[0].replace(b"|1|P|", b"|m1|P|") + b"\r" * 1_000_000 + b"NTE|1") == ("CR", "m1")
        assert await engine.ask(SEEDS[0].replace(b"|1|P|", b"|m2|P|") + b"OBX|1\r" * 150_000) == ("CR", "m2")
        assert await engine.ask(SEEDS[0].replace(b"|1|P|", b"|m3|P|")) == ("CA", "m3")


async def test_a_hundred_slow_senders_keep_nobody_waiting(tmp_path: Path) -> None:
    """They are cut off in time, all of them, and their places are free again."""
    short = partial(BlockReader, seconds=0.5)
    async with running(tmp_path, make_reader=short, connections=101) as run, run.sender() as good:
        slow = [await asyncio.open_connection("127.0.0.1", run.port) for _ in range(100)]
        for number, (_, writer) in enumerate(slow):
            writer.write((b"\x0b" + plain("slow"))[: number + 1])
        assert await good.ask(plain("m1")) == ("AA", "m1")
        await until(lambda: run.meters.values.get((HL7_BLOCKS, ("icu", "slow"))) == 100)
        await until(lambda: len(run.gateway._open) == 1)  # cut off, and then closed
        async with run.sender() as another:
            assert await another.ask(plain("m2")) == ("AA", "m2")
        for _, writer in slow:
            writer.close()


@settings(max_examples=100)
@given(st.text(max_size=60) | st.sampled_from(["[feeds.a]", "feeds = 1", "[[feeds]]", "[feeds]\na = 1", "\x00"]))
def test_feeds_files_of_anything(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    file = tmp_path_factory.mktemp("feeds") / "feeds.toml"
    file.write_bytes(text.encode(errors="surrogatepass"))
    with pytest.raises(FeedsError):
        load_feeds(file)


async def test_bodies_of_anything_have_a_result_each() -> None:
    chance, sound = random.Random(1), encode(pulse("a", 0))
    async with served() as gateway:
        for _ in range(100):
            body = b"\n".join(changed(sound, chance) for _ in range(chance.randint(1, 5)))
            status, answer, _ = await gateway.post(body)
            assert status == 200
            assert len(answer["results"]) == sum(bool(line.strip()) for line in body.split(b"\n"))
            assert {result.get("reason", "") for result in answer["results"]} <= {"", *REASONS}


async def test_http_of_a_hundred_megabytes_and_of_a_million_lines() -> None:
    sent = 0

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < HUNDRED_MB:
            sent += BLOCK_BYTES
            yield b"x" * BLOCK_BYTES

    async with served() as gateway:
        with suppress(aiohttp.ClientConnectionError):  # it may hang up before all was written
            assert (await gateway.post(chunks()))[0] == 413  # type: ignore[arg-type]  # of no declared length
        assert sent < HUNDRED_MB / 4
        with suppress(aiohttp.ClientConnectionError):
            assert (await gateway.post(b"x" * (BLOCK_BYTES * 8)))[0] == 413
        assert (await gateway.post(b"{}\n" * 1_000_000))[0] == 413
        assert (await gateway.post(lines(pulse("a", 0))))[0] == 200


async def test_http_heads_that_do_not_come(monkeypatch: pytest.MonkeyPatch) -> None:
    """Silent, slow in their first request or in their second: cut off, and others are served then."""
    monkeypatch.setattr(web, "HEAD_S", 0.5)
    body = lines(pulse("a", 0))
    async with served() as gateway:
        port = int(gateway.url.rpartition(":")[2])
        head = b"POST /v1/events/vitals.v1 HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-ndjson\r\n"

        async def drip(first: bytes) -> bytes:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(first)
            said = b""
            if first:
                said = await reader.readuntil(b"}]}")
            with suppress(ConnectionError):
                for byte in head * 10:
                    writer.write(bytes([byte]))
                    await writer.drain()
                    await asyncio.sleep(0.02)
            with suppress(ConnectionError):
                said += await reader.read()
            writer.close()
            return said

        silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(300)]
        whole = head + b"Content-Length: %d\r\n\r\n" % len(body) + body
        async with asyncio.timeout(60):
            assert await drip(b"") == b""
            for reader, writer in silent:
                with suppress(ConnectionError):
                    assert await reader.read() == b""
                writer.close()
            assert (await drip(whole)).startswith(b"HTTP/1.1 200")
        assert (await gateway.post(body))[0] == 200


async def test_http_of_random_bytes() -> None:
    chance = random.Random(1)
    async with served() as gateway:
        port = int(gateway.url.rpartition(":")[2])
        for _ in range(60):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(changed(b"POST /v1/events/vitals.v1 HTTP/1.1\r\nHost: x\r\n\r\n", chance))
            writer.write_eof()
            with suppress(ConnectionError):
                async with asyncio.timeout(60):
                    assert (await reader.read())[:9] in (b"", b"HTTP/1.1 ", b"HTTP/1.0 ")
            writer.close()
        assert (await gateway.post(lines(pulse("a", 0))))[0] == 200
