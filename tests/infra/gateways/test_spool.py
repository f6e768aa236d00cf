"""The spool: what it promised is there, whatever happened between."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardstream.infra.gateways import spool as module
from wardstream.infra.gateways.spool import Spool, SpoolError, framed, unframed

RECORDS = st.lists(st.binary(min_size=1, max_size=60), min_size=1, max_size=12)


@asynccontextmanager
async def opened(folder: Path, limit: int = 1 << 20, segment: int = 1 << 16) -> AsyncIterator[Spool]:
    """A spool that runs; ended as kill -9 would end it: nothing is written at the end."""
    spool = Spool(folder, limit, segment)
    spool.open()
    running = asyncio.create_task(spool.run())
    try:
        yield spool
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        spool.close()


def segments(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.spool"))


def append(path: Path, data: bytes) -> None:
    path.write_bytes(path.read_bytes() + data)


async def keep(spool: Spool, *contents: bytes) -> None:
    for future in [await spool.offer(content) for content in contents]:
        await future


async def all_of(spool: Spool) -> list[bytes]:
    found: list[bytes] = []
    while len(found) < spool.records:
        found += await spool.take(5)
    return found


@given(RECORDS)
def test_frames_come_back(contents: list[bytes]) -> None:
    data = b"".join(map(framed, contents))
    assert [content for content, _ in unframed(data)] == contents
    assert [content for content, _ in unframed(data + bytes(100))] == contents, "zeros at the end are no records"


@given(RECORDS, st.data())
def test_a_cut_or_a_changed_byte_leaves_what_was_before_it(contents: list[bytes], data: st.DataObject) -> None:
    whole = b"".join(map(framed, contents))
    at = data.draw(st.integers(0, len(whole) - 1))
    ends = [end for _, end in unframed(whole)]
    intact = sum(end <= at for end in ends)
    assert [content for content, _ in unframed(whole[:at])] == contents[:intact]
    flipped = whole[:at] + bytes([whole[at] ^ data.draw(st.integers(1, 255))]) + whole[at + 1 :]
    assert [content for content, _ in unframed(flipped)][:intact] == contents[:intact]
    assert len(list(unframed(flipped))) <= len(contents)


@given(RECORDS, RECORDS, st.integers(0, 12), st.integers(0, 800), st.integers(20, 200))
def test_killed_at_any_byte(first: list[bytes], second: list[bytes], done: int, cut: int, segment: int) -> None:
    """Records of a first life, some delivered, then half a record: a second life has the rest, and goes on."""

    async def run(folder: Path) -> None:
        async with opened(folder, segment=segment) as spool:
            await keep(spool, *first)
            taken = (await all_of(spool))[: min(done, len(first))]
            if taken:
                spool.delivered(len(taken))
        append(segments(folder)[-1], framed(b"never acknowledged" * 40)[:cut])
        complete = cut >= len(framed(b"never acknowledged" * 40))
        async with opened(folder, segment=segment) as spool:
            expected = first[len(taken) :] + ([b"never acknowledged" * 40] if complete else [])
            assert spool.records == len(expected)
            await keep(spool, *second)
            assert await all_of(spool) == expected + second
            spool.delivered(spool.records)
            assert (spool.records, spool.bytes) == (0, 0)
        async with opened(folder, segment=segment) as spool:
            assert spool.records == 0

    with TemporaryDirectory() as name:
        asyncio.run(run(Path(name)))


@given(RECORDS, st.integers(0, 12), st.data())
def test_a_damaged_byte_costs_one_record(contents: list[bytes], done: int, data: st.DataObject) -> None:
    """Records of which some are delivered; a byte that the disk changed; all others come, once more at worst."""

    async def run(folder: Path) -> None:
        async with opened(folder) as spool:
            await keep(spool, *contents)
            taken = (await all_of(spool))[:done]
            if taken:
                spool.delivered(len(taken))
        (path,) = segments(folder)
        whole = path.read_bytes()
        at = data.draw(st.integers(0, len(whole) - 1))
        path.write_bytes(whole[:at] + bytes([whole[at] ^ data.draw(st.integers(1, 255))]) + whole[at + 1 :])
        hit = sum(end <= at for _, end in unframed(whole))
        expected = [content for number, content in enumerate(contents) if number != hit]
        waiting = [content for number, content in enumerate(contents) if number != hit and number >= len(taken)]
        async with opened(folder) as spool:
            found = await all_of(spool)
            again = hit == len(contents) - 1 and found == expected  # the end is gone, and the mark with it
            assert found == waiting or again
            followed = hit < len(contents) - 1
            assert (folder / "00000001.damaged").exists() == followed == (spool.damaged > 0)
            spool.delivered(spool.records)
            await keep(spool, b"more")
            assert await all_of(spool) == [b"more"]
            spool.delivered(spool.records)
        async with opened(folder) as spool:
            assert spool.records == 0

    with TemporaryDirectory() as name:
        asyncio.run(run(Path(name)))


async def test_damage_in_a_later_segment_loses_nothing_of_an_earlier_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(tmp_path, segment=20) as spool:
        for content in (b"first" * 5, b"second" * 5):
            await keep(spool, content)
        await keep(spool, b"third" * 5)
    later = segments(tmp_path)[1]
    append(later, framed(b"sound") + framed(b"too"))
    whole = later.read_bytes()
    later.write_bytes(whole.replace(b"second", b"zecond", 1))
    async with opened(tmp_path) as spool:
        assert await all_of(spool) == [b"first" * 5, b"sound", b"too", b"third" * 5]
        assert spool.damaged == len(framed(b"second" * 5))
    assert "zecond" not in caplog.text
    assert "are damaged" in caplog.text
    assert (tmp_path / "00000002.damaged").read_bytes() == framed(b"second" * 5).replace(b"second", b"zecond", 1)
    assert (tmp_path / "00000002.damaged").stat().st_mode & 0o077 == 0


async def test_delivered_segments_go(tmp_path: Path) -> None:
    async with opened(tmp_path, segment=100) as spool:
        for number in range(20):
            await keep(spool, b"x" * 60)
            assert len(await spool.take(10)) == 1
            spool.delivered(1)
            assert len(segments(tmp_path)) <= 2, number
    async with opened(tmp_path) as spool:
        assert spool.records == 0


async def test_a_mark_that_is_torn_delivers_again_rather_than_not_at_all(tmp_path: Path) -> None:
    async with opened(tmp_path) as spool:
        await keep(spool, b"a", b"b")
        await spool.take(2)
        spool.delivered(2)
    (tmp_path / "delivered").write_bytes(b"\x00" * 20)
    async with opened(tmp_path) as spool:
        assert await all_of(spool) == [b"a", b"b"]


async def test_when_it_is_full_it_waits(tmp_path: Path) -> None:
    async with opened(tmp_path, limit=100) as spool:
        await keep(spool, b"x" * 60)
        waiting = asyncio.create_task(spool.offer(b"y" * 60))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        await spool.take(1)
        spool.delivered(1)
        async with asyncio.timeout(60):
            await (await waiting)
        assert await all_of(spool) == [b"y" * 60]


async def test_many_at_once_cost_few_syncs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    sync = os.fdatasync
    monkeypatch.setattr(module.os, "fdatasync", lambda file: (synced.append(file), sync(file))[1])
    async with opened(tmp_path) as spool:
        await keep(spool, *(b"%d" % number for number in range(500)))
    assert len(synced) < 50


async def test_a_disk_that_refuses_promises_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened(tmp_path) as spool:
        await keep(spool, b"before")

        def full(file: int) -> None:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patched:
            patched.setattr(module.os, "fdatasync", full)
            with pytest.raises(SpoolError, match="No space left"):
                await keep(spool, b"lost")
        await keep(spool, b"after")
        assert await all_of(spool) == [b"before", b"after"]
    async with opened(tmp_path) as spool:
        assert await all_of(spool) == [b"before", b"after"]


async def test_one_process_at_a_time(tmp_path: Path) -> None:
    async with opened(tmp_path):
        with pytest.raises(SpoolError, match="another gateway"):
            Spool(tmp_path, 100).open()
    async with opened(tmp_path):
        pass


async def test_files_are_their_owners_alone(tmp_path: Path) -> None:
    async with opened(tmp_path / "spool") as spool:
        await keep(spool, b"a")
    assert (tmp_path / "spool").stat().st_mode & 0o077 == 0
    assert all(path.stat().st_mode & 0o077 == 0 for path in (tmp_path / "spool").iterdir())
