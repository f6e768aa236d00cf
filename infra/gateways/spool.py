"""Records that survive: appended to files, on disk before anybody is told, dropped when they are delivered.

A spool is a folder of segments (`00000001.spool`, …), each a row of records: length, CRC-32, content. What came
together is written and synced together, so that syncs are not the limit. A process that is killed may leave half a
record at the end of a segment: nobody was told that it is kept, so it is cut off when the spool is opened. How far it
has been delivered is in the file `delivered`; that is not synced: after a power cut some records are delivered again,
which their ids make harmless. A segment goes when all of it is delivered.

Behind bytes that a disk has damaged, what is sound is found again when the spool is opened, and delivered. What is not
is kept aside (`00000001.damaged`): it was acknowledged, and a person may have to ask its sender for it.

What is in it is as the topics have it: pseudonymous events; names and raw bytes sealed.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
from collections import deque
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from struct import Struct
from typing import Final
from zlib import crc32

from wardstream.infra.failure import Failure

log = logging.getLogger(__name__)

SEGMENT_BYTES: Final = 8 << 20
_TAKEN_BYTES: Final = 1 << 20  # read at a time, or one record
_HEAD: Final = Struct("<II")  # length (0: the end, as a disk may leave zeros), CRC-32 of the content
_SEARCHED_BYTES: Final = 1 << 30  # checked, at most, to find a sound record behind damaged bytes
_DELIVERED: Final = Struct("<QQI")  # segment, offset, CRC-32 of both


class SpoolError(Failure):
    """The spool cannot be opened, or the disk did not take a record."""


def framed(content: bytes) -> bytes:
    """A record as it lies in a segment."""
    return _HEAD.pack(len(content), crc32(content)) + content


def unframed(data: bytes, at: int = 0) -> Iterator[tuple[bytes, int]]:
    """Each sound record from an offset on, with the offset of its end; stops at the first that is none."""
    while at + _HEAD.size <= len(data):
        length, checksum = _HEAD.unpack_from(data, at)
        end = at + _HEAD.size + length
        if length == 0 or end > len(data):
            return
        content = data[at + _HEAD.size : end]
        if crc32(content) != checksum:
            return
        yield content, end
        at = end


def sound(data: bytes) -> list[tuple[int, int]]:
    """Where each sound record begins and ends, those behind damaged bytes as well."""
    found: list[tuple[int, int]] = []
    at: int | None = 0
    while at is not None:
        for _, end in unframed(data, at):
            found.append((at, end))
            at = end
        at = _behind(data, at)
    return found


def _behind(data: bytes, at: int) -> int | None:
    """Where the first sound record behind a damaged one begins: where its length says, or else the next one found."""
    budget = _SEARCHED_BYTES
    if at + _HEAD.size <= len(data):
        told: int = at + _HEAD.size + _HEAD.unpack_from(data, at)[0]
        if next(unframed(data, told), None) is not None:
            return told
    for begin in range(at + 1, len(data) - _HEAD.size):
        length, checksum = _HEAD.unpack_from(data, begin)
        if 0 < length <= len(data) - begin - _HEAD.size:
            budget -= length
            if budget < 0:
                return None
            if crc32(data[begin + _HEAD.size : begin + _HEAD.size + length]) == checksum:
                return begin
    return None


class Spool:
    """One process's spool.

    Parameters
    ----------
    folder
        Made when absent; for this alone.
    limit_bytes
        How much may wait to be delivered; more has to wait outside.
    segment_bytes
        When a new segment is begun.

    Attributes
    ----------
    records, bytes : int
        What waits to be delivered.
    damaged : int
        Bytes that were found damaged and are kept aside, until a person removes their files.
    """

    def __init__(self, folder: Path, limit_bytes: int, segment_bytes: int = SEGMENT_BYTES) -> None:
        self._folder, self._limit, self._segment_bytes = folder, limit_bytes, segment_bytes
        self.records = self.bytes = self.damaged = 0
        self._sizes: dict[int, int] = {}  # sound bytes by number of segment; the last one is written to
        self._file = self._lock = self._mark = -1
        self._damaged = False  # the last write failed: what follows goes into a new segment
        self._delivered = (0, 0)  # segment and offset
        self._read = (0, 0)
        self._taken: deque[tuple[int, int, int]] = deque()  # segment, offset of the end, size
        self._offered: list[tuple[bytes, asyncio.Future[None]]] = []
        self._offered_bytes = 0
        self._something = asyncio.Event()  # was offered
        self._grown = asyncio.Event()  # has something to take
        self._shrunk = asyncio.Event()

    def open(self) -> None:
        """Take the folder, cut what was not finished, and stand where delivery had come to.

        Raises
        ------
        SpoolError
            Another process has it, or the disk refuses.
        """
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise SpoolError(f"{self._folder} is another gateway's spool: give each its own") from None
            self._mark = os.open(self._folder / "delivered", os.O_RDWR | os.O_CREAT, 0o600)
            self._recover()
        except OSError as error:
            raise SpoolError(f"{self._folder}: {error.strerror}") from None

    def close(self) -> None:
        """Let the folder go. What was offered and not yet written fails."""
        for _, future in self._offered:
            future.cancel()
        self._offered.clear()
        for descriptor in (self._file, self._mark, self._lock):
            if descriptor >= 0:
                os.close(descriptor)
        self._file = self._mark = self._lock = -1

    async def run(self) -> None:
        """Write what is offered, what came together at once. Runs until it is cancelled."""
        while True:
            await self._something.wait()
            self._something.clear()
            group, self._offered = self._offered, []
            if not group:
                continue
            data = b"".join(record for record, _ in group)
            writing = asyncio.ensure_future(asyncio.to_thread(self._write, data))
            try:
                written = await asyncio.shield(writing)
            except OSError as error:
                log.error("the spool's disk refuses: %s", error.strerror)
                for _, future in group:
                    if not future.done():
                        future.set_exception(SpoolError(f"the disk refuses: {error.strerror}"))
                        future.exception()  # its sender may have gone: nobody then has to hear it
                self._shrunk.set()
                continue
            except asyncio.CancelledError:
                await asyncio.wait({writing})  # never half: the file is closed next
                raise
            finally:
                self._offered_bytes -= len(data)
            self._count(len(group), written)
            for _, future in group:
                if not future.done():
                    future.set_result(None)

    async def offer(self, content: bytes) -> asyncio.Future[None]:
        """Hand a record over; wait while the spool is full. The future is done when it is on disk.

        The future raises SpoolError if the disk refuses: then nobody may be told that it is kept.
        """
        if not content:
            raise ValueError("a record has content")
        record = framed(content)
        while not self.has_room(len(record)):
            self._shrunk.clear()
            await self._shrunk.wait()
        future = asyncio.get_running_loop().create_future()
        self._offered.append((record, future))
        self._offered_bytes += len(record)
        self._something.set()
        return future

    def has_room(self, more: int) -> bool:
        """Whether there is room for so many bytes more; one record is always taken."""
        held = self.bytes + self._offered_bytes
        return held == 0 or held + more <= self._limit

    async def take(self, most: int) -> list[bytes]:
        """The next records, up to so many, in their order; waits until there is one. Each once, since the opening."""
        while True:
            self._grown.clear()
            if found := await asyncio.to_thread(self._next, most):
                return found
            await self._grown.wait()

    def delivered(self, count: int) -> None:
        """Drop the oldest `count` of the records that were taken."""
        for _ in range(count):
            segment, end, size = self._taken.popleft()
            self._delivered = segment, end
            self.records -= 1
            self.bytes -= size
        self._write_mark(*self._delivered)
        for segment in [number for number in self._sizes if number < self._delivered[0]]:
            del self._sizes[segment]
            self._path(segment).unlink(missing_ok=True)
        self._shrunk.set()

    def _recover(self) -> None:
        numbers = sorted(int(path.stem) for path in self._folder.glob("*.spool") if path.stem.isdecimal())
        mark = os.pread(self._mark, _DELIVERED.size, 0)
        segment = offset = 0
        if len(mark) == _DELIVERED.size and crc32(mark[:16]) == _DELIVERED.unpack(mark)[2]:
            segment, offset, _ = _DELIVERED.unpack(mark)
        for number in numbers:
            path = self._path(number)
            if number < segment:
                path.unlink()
                continue
            data = path.read_bytes()
            records = sound(data)
            if any(end != begin for (_, end), (begin, _) in pairwise([(0, 0), *records])):
                if number == segment:  # before the file: should this be cut short, the worst is to deliver again
                    self._write_mark(number, 0)
                    os.fsync(self._mark)
                data = self._mend(path, data, records, offset if number == segment else 0)
                offset = 0 if number == segment else offset
            ends = [0, *(end for _, end in unframed(data))]
            if ends[-1] < len(data):
                log.warning("%s: cut %d bytes: half a record, or a damaged disk", path.name, len(data) - ends[-1])
                os.truncate(path, ends[-1])
            self._sizes[number] = ends[-1]
            done = offset if number == segment and offset in ends else 0
            if number == segment:
                self._delivered = segment, done
            self.records += sum(end > done for end in ends)
            self.bytes += ends[-1] - done
        self.damaged = sum(path.stat().st_size for path in self._folder.glob("*.damaged"))
        first = min(self._sizes, default=1)
        if self._delivered[0] < first:
            self._delivered = first, 0
        self._read = self._delivered
        if not self._sizes:
            self._begin(max(segment, 0) + 1)
            self._read = self._delivered = max(self._sizes), 0
        else:
            self._file = os.open(self._path(max(self._sizes)), os.O_RDWR)
        self._grown.set()

    def _mend(self, path: Path, data: bytes, records: list[tuple[int, int]], delivered: int) -> bytes:
        """Write a segment anew with the sound records that were not delivered, and keep the damaged bytes aside."""
        cuts = [data[end:begin] for (_, end), (begin, _) in pairwise([(0, 0), *records]) if end < begin]
        aside = path.with_suffix(".damaged")
        left = b"".join(data[begin:end] for begin, end in records if end > delivered) + data[records[-1][1] :]
        log.error(
            "%s: %d bytes among sound records are damaged: they are kept in %s, and what they held is not delivered",
            *(path.name, sum(map(len, cuts)), aside.name),
        )
        new = path.with_suffix(".new")
        for file, how, content in ((aside, os.O_APPEND, b"".join(cuts)), (new, os.O_TRUNC, left)):
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | how, 0o600)
            with os.fdopen(descriptor, "wb") as written:
                written.write(content)
                written.flush()
                os.fsync(descriptor)
        new.replace(path)
        self._sync_folder()
        return left

    def _write_mark(self, segment: int, offset: int) -> None:
        place = segment.to_bytes(8, "little") + offset.to_bytes(8, "little")
        os.pwrite(self._mark, place + crc32(place).to_bytes(4, "little"), 0)

    def _sync_folder(self) -> None:
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)  # else a power cut may take the name of a file
        finally:
            os.close(folder)

    def _begin(self, number: int) -> None:
        """Begin a segment."""
        file = os.open(self._path(number), os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        self._sync_folder()
        if self._file >= 0:
            os.close(self._file)
        self._file = file
        self._sizes[number] = 0
        self._damaged = False

    def _write(self, data: bytes) -> tuple[int, int]:
        """Put records on disk; return the segment and how many bytes."""
        number = max(self._sizes)
        size = self._sizes[number]
        if self._damaged or size >= self._segment_bytes:
            number, size = number + 1, 0
            self._begin(number)
        try:
            view, at = memoryview(data), size
            while view:
                done = os.pwrite(self._file, view, at)
                view, at = view[done:], at + done
            os.fdatasync(self._file)
        except OSError:
            self._damaged = True  # after a failed sync nobody knows what is on disk
            os.ftruncate(self._file, size)
            raise
        return number, len(data)

    def _count(self, records: int, written: tuple[int, int]) -> None:
        number, size = written
        self._sizes[number] += size
        self.records += records
        self.bytes += size
        self._grown.set()

    def _next(self, most: int) -> list[bytes]:
        """Read on. In a thread of its own, one at a time."""
        found: list[bytes] = []
        segment, offset = self._read
        sizes = dict(self._sizes)
        while len(found) < most:
            left = sizes.get(segment, 0) - offset
            if left <= 0:
                later = [number for number in sizes if number > segment]
                if not later or found:
                    break
                segment, offset = min(later), 0
                continue
            file = os.open(self._path(segment), os.O_RDONLY)
            try:
                data = os.pread(file, min(left, _TAKEN_BYTES), offset)
                (length, _) = _HEAD.unpack_from(data)
                if _HEAD.size + length > len(data):
                    data = os.pread(file, min(left, _HEAD.size + length), offset)
            finally:
                os.close(file)
            begin, last = offset, 0
            for content, end in unframed(data):
                found.append(content)
                self._taken.append((segment, begin + end, end - last))
                offset, last = begin + end, end
                if len(found) == most:
                    break
            if not last:
                raise SpoolError(f"{self._path(segment).name} has changed on disk at byte {begin}")
            break
        self._read = segment, offset
        return found

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:08}.spool"
