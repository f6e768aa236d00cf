"""The processes that read image files for a worker, few and bounded.

A reader that takes too long, ends, or answers nonsense is ended and started anew; its file is `too_slow` or
`unreadable`. One that ends and has read others before may have ended on its own (out of memory, or killed): its file
goes to a new one, once. Answers are plain data and checked as if they came from anybody: a file may have taken its
reader over.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys

import msgspec

from wardstream.infra.imaging_reader import HEAD, MAX_ANSWER, Asked
from wardstream.models.imaging.film import REASONS, About, Reading, Unusable
from wardstream.models.imaging.suitability import Rules

READERS = 2
DEADLINE_S = 10.0  # a film of 13 million pixels, JPEG lossless, takes about a second
MEMORY_BYTES = 2 << 30  # of address space, libraries included
READ_BY_ONE = 200  # files; then a new process takes over, whatever decoders have leaked goes with the old one
_END_DEADLINE_S = 5.0
_ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}


class _Reader:
    """One process, and how many files it has read."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.read = 0

    async def ask(self, request: bytes) -> bytes:
        stdin, stdout = self.process.stdin, self.process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(len(request).to_bytes(HEAD, "big") + request)
        await stdin.drain()
        size = int.from_bytes(await stdout.readexactly(HEAD), "big")
        if size > MAX_ANSWER:
            raise ValueError("answer too large")
        self.read += 1
        return await stdout.readexactly(size)

    async def end(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.process.wait(), _END_DEADLINE_S)


class Readers:
    """Reads files in at most `count` processes at a time; those who wait are served in turn."""

    def __init__(self, count: int = READERS, deadline_s: float = DEADLINE_S, memory_bytes: int = MEMORY_BYTES) -> None:
        self._deadline_s = deadline_s
        self._memory_bytes = memory_bytes
        self._places = asyncio.Semaphore(count)
        self._idle: list[_Reader] = []
        self.started = 0

    async def __call__(self, raw: bytes, stated: About, rules: Rules) -> Reading:
        """What became of a file. Raises nothing but `CancelledError`."""
        request = msgspec.msgpack.encode(Asked(stated=stated, rules=rules, raw=raw))
        async with self._places:
            reader: _Reader | None = None
            try:
                async with asyncio.timeout(self._deadline_s):
                    answer: bytes | None = None
                    if self._idle:
                        reader = self._idle.pop()
                        with contextlib.suppress(OSError, EOFError):  # it may have died before it saw this file
                            answer = await reader.ask(request)
                    if answer is None:
                        await self._drop(reader)
                        reader = await self._start()
                        answer = await reader.ask(request)
                    reading = msgspec.msgpack.decode(answer, type=Reading)
            except TimeoutError:
                await self._drop(reader)
                return Reading(refused="too_slow")
            except (OSError, EOFError, ValueError):  # it has died (of its memory limit, as a rule), or talks nonsense
                await self._drop(reader)
                return Reading(refused="unreadable")
            except BaseException:
                await self._drop(reader)
                raise
            assert reader is not None  # one has answered
            if reader.read >= READ_BY_ONE:
                await self._drop(reader)
            else:
                self._idle.append(reader)
        return _checked(reading)

    async def close(self) -> None:
        """End the processes that are idle; one that reads is ended by whoever awaits it being cancelled."""
        while self._idle:
            await self._idle.pop().end()

    async def _start(self) -> _Reader:
        self.started += 1
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "wardstream.infra.imaging_reader",
            str(self._memory_bytes),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=_ENVIRONMENT,
            close_fds=True,
        )
        return _Reader(process)

    async def _drop(self, reader: _Reader | None) -> None:
        if reader is not None:
            await reader.end()


def _checked(reading: Reading) -> Reading:
    """A reading that is one: either films of the size they say, or a known reason."""
    if reading.refused is not None:
        return Reading(about=reading.about, refused=reading.refused if reading.refused in REASONS else "unreadable")
    try:
        for film in reading.films:
            film.array()
    except Unusable as unusable:
        return Reading(about=reading.about, refused=unusable.code)
    return reading if reading.films else Reading(about=reading.about, refused="no_pixels")
