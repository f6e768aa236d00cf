"""Publishing lines: one JSON event a line, each validated; what is bad is told by line number, never by content."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from wardstream.client import Publisher
from wardstream.schemas.bad_event import BadEvent
from wardstream.schemas.decode import decoder
from wardstream.schemas.envelope import Event
from wardstream.schemas.topics import TOPICS

CHUNK_BYTES = 1 << 18
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
"""Of UTF-8: Windows puts it before every file, and it may be passed over (RFC 8259, section 8.1)."""


class Stream(Protocol):
    """A binary file or a pipe."""

    def read1(self, size: int, /) -> bytes:
        """Return what is there, at most `size` bytes; nothing at the end."""
        ...


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that was not published.

    Attributes
    ----------
    line : int
        Its number, from 1.
    reason : str
        One of `wardstream.schemas.bad_event.REASONS`.
    fields : tuple of str
        What is wrong, by name.
    """

    line: int
    reason: str
    fields: tuple[str, ...]


@dataclass(slots=True)
class Published:
    """What became of the lines."""

    published: int = 0
    rejected: list[BadLine] = field(default_factory=list)


def publishable() -> tuple[str, ...]:
    """Return the topics that take events from outside."""
    return tuple(name for name, topic in TOPICS.items() if topic.role == "input" and topic.keyed_by == "patient_id")


def parsed(topic: str, lines: Iterable[bytes], first: int = 1) -> Iterator[Event | BadLine]:
    """Yield each line as an event or as what is wrong with it; empty lines are skipped.

    Parameters
    ----------
    topic : str
        One of `publishable()`.
    lines : iterable of bytes
        UTF-8 JSON, an event each.
    first : int
        Number of the first line.
    """
    decode = decoder(topic)
    for number, line in enumerate(lines, start=first):
        text = line.strip()
        if not text:
            continue
        try:
            event = decode(text)
        except BadEvent as bad:
            yield BadLine(number, bad.reason, bad.fields)
        else:
            assert isinstance(event, Event)
            yield event


async def publish_lines(topic: str, stream: Stream, publisher: Publisher) -> Published:
    """Publish what is valid, as it comes, and return when all in-sync replicas have it.

    Raises
    ------
    PublishError
        The cluster did not take it.
    """
    result, number = Published(), 1
    async for lines in _chunks(stream):
        if number == 1 and lines:
            lines[0] = lines[0].removeprefix(BYTE_ORDER_MARK)
        for outcome in parsed(topic, lines, number):
            if isinstance(outcome, BadLine):
                result.rejected.append(outcome)
            else:
                await publisher.send(outcome)
                result.published += 1
        number += len(lines)
    await publisher.flush()
    return result


async def _chunks(stream: Stream) -> AsyncIterator[list[bytes]]:
    rest = b""
    # In a thread: a pipe may be silent for long, and what was read before must be sent meanwhile.
    while chunk := await asyncio.to_thread(stream.read1, CHUNK_BYTES):
        *lines, rest = (rest + chunk).split(b"\n")
        yield lines
    if rest:
        yield [rest]
