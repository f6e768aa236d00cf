"""A ward in miniature: events that add a number to their patient, and stand-ins for Kafka."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import msgspec
from aiokafka import TopicPartition

from wardstream.agents.metrics import Meters
from wardstream.agents.streams.batch import Batch, Received
from wardstream.agents.streams.dead_letters import DeadLetters
from wardstream.agents.streams.lane import Dispatch, Lane, LaneSettings
from wardstream.agents.streams.outputs import Outputs, Row
from wardstream.agents.streams.state import LaneState, Work
from wardstream.schemas.bad_event import BadEvent

KEY = bytes(32)
TOPICS = ("labs", "vitals", "ticks")


class Beat(msgspec.Struct, kw_only=True):
    """An event: adds `n` to its patient's sum."""

    event_id: UUID
    patient_id: str
    received_at: datetime
    n: int = 1


class Minute(msgspec.Struct, kw_only=True):
    """A tick: about nobody."""

    event_id: UUID
    received_at: datetime
    source: str = "clock"


class Tally(msgspec.Struct):
    """An entity: what was added, and when time must wake it."""

    total: int = 0
    seen: list[str] = []
    due: float = float("inf")


class TallyCodec:
    def new(self, key: str) -> Tally:
        return Tally(due=0.0)

    def decode(self, row: bytes) -> Tally:
        tally = msgspec.json.decode(row, type=Tally)
        return msgspec.structs.replace(tally, due=float("inf") if tally.due is None else tally.due)

    def encode(self, entity: Tally) -> bytes:
        return msgspec.json.encode({"total": entity.total, "seen": entity.seen, "due": min(entity.due, 1e300)})

    def due(self, entity: Tally) -> float:
        return entity.due


def beat(patient: str = "p1", n: int = 1, at: float = 0.0, event_id: UUID | None = None) -> Beat:
    return Beat(event_id=event_id or uuid4(), patient_id=patient, received_at=datetime.fromtimestamp(at, UTC), n=n)


def minute(at: float, source: str = "clock") -> Minute:
    return Minute(event_id=uuid4(), received_at=datetime.fromtimestamp(at, UTC), source=source)


def decode_beat(raw: bytes) -> Beat:
    try:
        return msgspec.json.decode(raw, type=Beat)
    except (ValueError, TypeError):
        bad = BadEvent("malformed_json", "n")
    raise bad


def decode_minute(raw: bytes) -> Minute:
    try:
        return msgspec.json.decode(raw, type=Minute)
    except (ValueError, TypeError):
        bad = BadEvent("malformed_json")
    raise bad


class Record(NamedTuple):
    """A record as aiokafka returns it."""

    topic: str
    offset: int
    value: bytes | None
    partition: int = 0
    key: bytes | None = None
    headers: Sequence[tuple[str, bytes]] = ()
    timestamp: int = 1_000


def records(topic: str, *events: Any, start: int = 0, partition: int = 0) -> list[Record]:
    return [
        Record(topic, start + i, event if isinstance(event, bytes) else msgspec.json.encode(event), partition)
        for i, event in enumerate(events)
    ]


class Commit(NamedTuple):
    rows: dict[tuple[str, int], list[Row]]
    offsets: dict[TopicPartition, int]


class FakeProducer:
    """Keeps what was committed; `errors` are raised by the next commits, in turn (None: that one succeeds)."""

    def __init__(self) -> None:
        self.commits: list[Commit] = []
        self.errors: list[BaseException | None] = []
        self.closed = False

    async def commit(
        self, rows: Mapping[tuple[str, int], list[Row]], offsets: Mapping[TopicPartition, int], group: str
    ) -> None:
        error = self.errors.pop(0) if self.errors else None
        if error is not None:
            raise error
        self.commits.append(Commit({place: list(some) for place, some in rows.items()}, dict(offsets)))

    async def close(self) -> None:
        self.closed = True

    def rows(self, topic: str) -> list[Row]:
        """All rows of a topic, in the order in which they were committed."""
        return [
            row for commit in self.commits for (name, _), rows in commit.rows.items() if name == topic for row in rows
        ]

    def changelog(self) -> dict[bytes, bytes]:
        """What a restore would read."""
        kept: dict[bytes, bytes] = {}
        for row in self.rows("changelog"):
            assert row.key is not None
            if row.value is None:
                kept.pop(row.key, None)
            else:
                kept[row.key] = row.value
        return kept


def settings(**changes: Any) -> LaneSettings:
    values: dict[str, Any] = {
        "app_id": "app",
        "client": {},
        "topics": TOPICS,
        "clock_topic": "ticks",
        "changelog": "changelog",
        "decoders": {"labs": decode_beat, "vitals": decode_beat, "ticks": decode_minute},
        "encode": msgspec.json.encode,
        "codec": TallyCodec(),
        "dead_letters": DeadLetters(KEY),
        "lanes": 2,
        "lane_of": lambda patient: 1 if patient.startswith("stray") else 0,
        "meters": Meters(),
    }
    return LaneSettings(**values | changes)


IDS = {topic: UUID(int=number) for number, topic in enumerate(TOPICS, start=1)}
EMPTY = dict.fromkeys(TOPICS, 0)


def open_lane(rows: Mapping[bytes, bytes] | None = None, **changes: Any) -> tuple[Lane, FakeProducer]:
    """A lane that was opened with these rows of its changelog."""
    lane, producer = Lane(0, settings(**changes)), FakeProducer()
    lane.state = LaneState(lane.settings.codec, rows or {})
    lane._producer = producer  # type: ignore[assignment]
    lane.start_offsets(IDS, EMPTY, dict.fromkeys(TOPICS, 10**9))
    return lane, producer


async def add(batch: Batch[Any, Tally]) -> None:
    """The handler of beats: adds, and says so. A beat of 13 is one too many."""
    for received in batch:
        event: Beat = received.event
        tally = batch.state[event.patient_id]
        tally.total += event.n
        tally.seen.append(str(event.event_id))
        batch.emit("sums", event.patient_id, {"total": tally.total}, received)
        if event.n == 13:
            raise RuntimeError("the name of a patient")


def dispatch(*handlers: Callable[[Batch[Any, Any]], Awaitable[None]], failures: type[Exception]) -> Dispatch:
    """Runs a handler over a batch as the transport would have its agent do."""

    async def run(topic: str, batch: Batch[Any, Any]) -> None:
        for handler in handlers:
            try:
                await handler(batch)
            except Exception as error:
                raise failures(type(error).__name__) from error

    return run


def batch_of(*events: Any, topic: str = "vitals", state: LaneState[Any] | None = None) -> Batch[Any, Any]:
    received = [Received(event, offset, 1_000) for offset, event in enumerate(events)]
    state = LaneState(TallyCodec(), {}) if state is None else state
    return Batch(topic, received, Work(state), Outputs(0), msgspec.json.encode)
