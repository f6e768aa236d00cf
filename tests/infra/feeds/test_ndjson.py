"""Lines are published or told by number, reason and field; a value is never told."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from uuid import uuid4

import orjson

from wardstream.infra.feeds import ndjson
from wardstream.infra.feeds.ndjson import BYTE_ORDER_MARK, BadLine, parsed, publish_lines, publishable
from wardstream.infra.feeds.pace import FeedPublisher
from wardstream.schemas.envelope import Event

NOW = datetime(2026, 3, 1, tzinfo=UTC)
SECRET = "Jane Doe 1951"


class Remembering(FeedPublisher):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Event] = []
        self.flushed = False

    async def send(self, event: Event) -> str:
        self.seen.append(event)
        return "vitals.v1"

    async def flush(self) -> None:
        self.flushed = True


def line(**fields: object) -> bytes:
    event = {"event_id": uuid4(), "source": "s", "patient_id": "p-1", "observed_at": NOW, "received_at": NOW}
    return orjson.dumps({**event, "heart_rate_bpm": 70, **fields})


LINES = [
    line(),
    b"",
    line(heart_rate_bpm=SECRET),
    b"{" + SECRET.encode(),
    line(patient_id=None),
    line(spo2_percent=140),
]


def test_bad_lines_are_told_without_values() -> None:
    good, *bad = parsed("vitals.v1", LINES)
    assert isinstance(good, Event)
    assert bad == [
        BadLine(3, "wrong_type", ("heart_rate_bpm",)),
        BadLine(4, "malformed_json", ()),
        BadLine(5, "wrong_type", ("patient_id",)),
        BadLine(6, "out_of_bounds", ("spo2_percent",)),
    ]
    assert SECRET not in repr(bad)


async def test_good_lines_are_published_whatever_the_chunks() -> None:
    text = b"\n".join(LINES + [line() for _ in range(40)])
    for size in (7, 100, 1 << 20):
        publisher = Remembering()
        stream = Trickle(text, size)
        result = await publish_lines("vitals.v1", stream, publisher)
        assert result.published == len(publisher.seen) == 41
        assert [bad.line for bad in result.rejected] == [3, 4, 5, 6]
        assert publisher.flushed


class Trickle(io.BytesIO):
    """A pipe that brings a few bytes at a time."""

    def __init__(self, text: bytes, size: int) -> None:
        super().__init__(text)
        self.size = size

    def read1(self, size: int | None = -1, /) -> bytes:
        return self.read(self.size)


async def test_no_lines_are_no_events() -> None:
    result = await publish_lines("vitals.v1", io.BytesIO(b""), Remembering())
    assert (result.published, result.rejected) == (0, [])


def test_only_topics_that_take_events_from_outside() -> None:
    assert "vitals.v1" in publishable()
    assert not {"ticks.v1", "alerts.v1", "metrics.v1", "scores.v1"} & set(publishable())
    assert ndjson.CHUNK_BYTES > 0


async def test_a_mark_that_windows_puts_before_a_file_is_no_part_of_the_first_line() -> None:
    publisher = Remembering()
    marked = io.BytesIO(BYTE_ORDER_MARK + line() + b"\n" + line())
    assert (await publish_lines("vitals.v1", marked, publisher)).rejected == []
    assert len(publisher.seen) == 2
