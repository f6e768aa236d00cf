"""Reading untrusted files in processes: bounded in time and memory, and nothing they do ends the worker."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest
from pydicom.data import get_testdata_files

from wardstream.infra import imaging_readers
from wardstream.infra.feeds.films import film
from wardstream.infra.imaging_readers import Readers
from wardstream.models.imaging.film import REASONS, About, Film, Reading
from wardstream.models.imaging.suitability import Rules

NOW = datetime(2026, 3, 1, 8, tzinfo=UTC)
RULES = Rules()
FILES = {name: Path(name).read_bytes() for name in sorted(get_testdata_files()) if Path(name).is_file()}


@pytest.fixture
async def readers() -> AsyncIterator[Readers]:
    readers = Readers(count=2)
    yield readers
    await readers.close()


def children() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if "imaging_reader" in " ".join(child.cmdline())]


async def test_a_film(readers: Readers) -> None:
    reading = await readers(film("a", NOW, 3), About(), RULES)
    assert reading.refused is None
    assert reading.about.age_years == 3
    assert reading.films[0].array().shape == (320, 320)


async def test_pydicoms_files_in_bounded_time_and_memory(readers: Readers) -> None:
    """All of them through the processes that serve: each a known reason, and none of them costs a process."""
    peak = 0
    for name, raw in FILES.items():
        reading = await readers(raw, About(), RULES)
        assert reading.refused in REASONS, name
        peak = max(peak, *(child.memory_info().rss for child in children()))
    assert readers.started == 1
    assert peak < 512 << 20


async def test_one_that_takes_too_long_is_ended() -> None:
    readers = Readers(count=1, deadline_s=30.0)
    await readers(film("a", NOW, 3), About(), RULES)
    (child,) = children()
    child.suspend()  # as one that is caught in a loop
    readers._deadline_s = 0.5
    assert (await readers(film("a", NOW, 3), About(), RULES)).refused == "too_slow"
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE
    readers._deadline_s = 30.0
    assert (await readers(film("a", NOW, 3), About(), RULES)).refused is None
    await readers.close()
    assert children() == []


async def test_one_that_dies_idle_costs_no_film(readers: Readers) -> None:
    await readers(film("a", NOW, 3), About(), RULES)
    (child,) = children()
    child.kill()
    child.wait(60)
    assert (await readers(film("a", NOW, 3), About(), RULES)).refused is None
    assert readers.started == 2


async def test_a_file_that_ends_its_readers_is_given_up(readers: Readers, monkeypatch: pytest.MonkeyPatch) -> None:
    await readers(film("a", NOW, 3), About(), RULES)
    ask = imaging_readers._Reader.ask

    async def die(reader: imaging_readers._Reader, request: bytes) -> bytes:
        reader.process.kill()
        return await ask(reader, request)

    monkeypatch.setattr(imaging_readers._Reader, "ask", die)
    assert (await readers(film("a", NOW, 3), About(), RULES)).refused == "unreadable"
    assert readers.started == 2
    assert children() == []


async def test_memory_is_bounded() -> None:
    """A deflated file of 1.5 MB that would grow to 1.5 GB, in a process that may have 1 GB."""
    readers = Readers(count=1, deadline_s=120, memory_bytes=1 << 30)  # it is about memory, on however busy a machine
    whole = film("a", NOW, 3)
    preamble = whole[:132]
    group = bytes.fromhex("02001000") + b"UI" + (22).to_bytes(2, "little") + b"1.2.840.10008.1.2.1.99"
    bomb = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = b"".join(bomb.compress(bytes(1 << 20)) for _ in range(1_500))
    packed += bomb.flush()
    assert len(packed) < 4 << 20
    length = bytes.fromhex("02000000") + b"UL" + (4).to_bytes(2, "little") + len(group).to_bytes(4, "little")
    reading = await readers(preamble + length + group + packed, About(), RULES)
    assert reading.refused in {"too_large", "unreadable"}
    await readers(film("a", NOW, 3), About(), RULES)  # whoever served that, the next one is served
    assert (await readers(film("a", NOW, 3), About(), RULES)).refused is None
    await readers.close()


async def test_many_at_once_share_the_processes(readers: Readers) -> None:
    readings = await asyncio.gather(*(readers(film("a", NOW, 3), About(), RULES) for _ in range(8)))
    assert all(reading.refused is None for reading in readings)
    assert readers.started == 2


async def test_a_cancelled_caller_leaves_no_process_behind(readers: Readers) -> None:
    task = asyncio.ensure_future(readers(film("a", NOW, 3), About(), RULES))
    await asyncio.wait({task}, timeout=0.05)
    assert len(children()) == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert children() == []


async def test_processes_are_renewed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imaging_readers, "READ_BY_ONE", 2)
    readers = Readers(count=1)
    for _ in range(4):
        assert (await readers(film("a", NOW, 3), About(), RULES)).refused is None
    assert readers.started == 2
    await readers.close()


def test_answers_are_checked() -> None:
    """A reader that was taken over may say anything."""
    check = imaging_readers._checked
    assert check(Reading(films=(Film(width=10, height=10, grey=b"x"),))).refused == "unreadable"
    assert check(Reading(refused="the patient's name")).refused == "unreadable"
    assert check(Reading()).refused == "no_pixels"
