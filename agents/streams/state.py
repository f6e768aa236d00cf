"""What a lane knows: one entity a patient, restored from the lane's compacted changelog.

Rows of the changelog (all written in the same transaction as a batch's outputs and offsets):

====================================  ==========================================================================
``\\0lane``                            positions in the inputs, and what else belongs to the lane itself
``p \\0 patient``                      the entity, encoded by the codec; small, for each batch rewrites it
``c \\0 patient \\0 name``              a row of the entity's own, such as an hourly bin: written when it changes
``i \\0 patient \\0 block``             ids of recent events (`recent`)
``m \\0 patient``                      that the entity has become part of another, see `Moved`
====================================  ==========================================================================

A batch changes nothing here. It works on a `Work`, an overlay that decodes entities when they are first touched; only
`absorb`, just before the commit, moves its changes in. So a failed handler is undone by forgetting its `Work`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from itertools import islice
from typing import Generic, NamedTuple, Protocol, TypeVar
from uuid import UUID

import msgspec

from wardstream.agents.streams.recent import Recent, digest

LANE_ROW = b"\0lane"
DECODED_LIMIT = 5_000  # entities a lane keeps decoded; the others are bytes until they are touched

E = TypeVar("E")


class Codec(Protocol[E]):
    """How the streams treat an entity they know nothing else about."""

    def new(self, key: str) -> E: ...
    def decode(self, row: bytes) -> E: ...
    def encode(self, entity: E) -> bytes: ...
    def due(self, entity: E) -> float:
        """When time alone must wake the entity, in seconds since 1970; `inf` for never."""
        ...


class Position(msgspec.Struct, array_like=True):
    """The next offset to apply of one input topic, and the id of the topic it counts in."""

    offset: int
    topic_id: UUID


class LaneRow(msgspec.Struct):
    """The row of the lane itself."""

    positions: dict[str, Position] = {}
    last_tick: float | None = None  # lane 0 only: the last minute that was published
    replayed: bool = False  # the last tick read was a replay's
    told_until: float | None = None  # all that was received before is applied, and the lane has said so


class Moved(msgspec.Struct, frozen=True):
    """Of an entity that is no more: its events go to another one.

    `order` says when that was decided, when it was received, and by which event: of two decisions the greater holds. It
    is forgotten after `until` (s since 1970).
    """

    to: str
    order: tuple[datetime, datetime, UUID]
    until: float


class _Entity:
    """An entity at rest."""

    __slots__ = ("children", "due", "recent", "row")

    def __init__(self) -> None:
        self.row: bytes | None = None
        self.children: dict[str, bytes] = {}
        self.recent = Recent()
        self.due = float("inf")


class LaneState(Generic[E]):
    """Everything a lane has applied and committed."""

    def __init__(self, codec: Codec[E], rows: Mapping[bytes, bytes]) -> None:
        self.codec = codec
        self.lane = LaneRow()
        self._entities: dict[str, _Entity] = {}
        self._decoded: dict[str, E] = {}
        self.moved: dict[str, Moved] = {}
        self.bytes = 0  # of rows, keys and ids apart
        self._restore(rows)

    def _restore(self, rows: Mapping[bytes, bytes]) -> None:
        known: dict[bytes, _Entity] = {}
        names: dict[bytes, str] = {}  # many patients have rows of the same names: one string for all
        for key, value in rows.items():
            if key == LANE_ROW:
                self.lane = msgspec.json.decode(value, type=LaneRow)
                continue
            kind, patient, *rest = key.split(b"\0", 2)
            entity = known.get(patient)
            if entity is None:
                entity = known[patient] = self._entities[patient.decode()] = _Entity()
            if kind == b"i":
                entity.recent.restore(int(rest[0]), value)
                continue
            if kind == b"m":
                moved = self.moved[patient.decode()] = msgspec.json.decode(value, type=Moved)
                entity.due = moved.until
                continue
            self.bytes += len(value)
            if kind == b"p":
                entity.row = value
                entity.due = self.codec.due(self.codec.decode(value))
            elif kind == b"c":
                name = names.get(rest[0])
                if name is None:
                    name = names[rest[0]] = rest[0].decode()
                entity.children[name] = value
            else:
                raise ValueError("a row of a kind that this version does not know")
        for name, entity in self._entities.items():
            if entity.row is None and name not in self.moved:
                entity.due = self._due_as_new(name)

    def _entity(self, key: str) -> _Entity:
        """The entity at rest."""
        entity = self._entities.get(key)
        if entity is None:
            entity = self._entities[key] = _Entity()
            entity.due = self._due_as_new(key)
        return entity

    def _due_as_new(self, key: str) -> float:
        """Of an entity of which only ids are kept: it is due like a new one, or it would be kept for ever."""
        return self.codec.due(self.codec.new(key))

    def __len__(self) -> int:
        return len(self._entities)

    def __contains__(self, key: str) -> bool:
        return key in self._entities

    def keys(self) -> Iterable[str]:
        return self._entities.keys()

    def decoded(self, key: str) -> E:
        """The entity as it was committed, taken out of the cache: whoever takes it may change it."""
        entity = self._decoded.pop(key, None)
        if entity is not None:
            return entity
        row = self._entities[key].row if key in self._entities else None
        return self.codec.new(key) if row is None else self.codec.decode(row)

    def children(self, key: str) -> Mapping[str, bytes]:
        entity = self._entities.get(key)
        return {} if entity is None else entity.children

    def due(self, at: float) -> list[str]:
        return [key for key, entity in self._entities.items() if entity.due <= at]

    def absorb(self, work: Work[E]) -> list[tuple[bytes, bytes | None]]:
        """Move a batch's changes in; returns the changelog rows (None: a tombstone) that make them durable.

        If the transaction that follows fails, the lane is restored from its changelog: there is no way back.
        """
        rows: list[tuple[bytes, bytes | None]] = []
        self.lane.told_until = work.told_until
        for key in work.forgotten:
            rows += [(row, None) for row in self._rows_of(key)]
            gone = self._entities.pop(key, None)
            self.bytes -= 0 if gone is None else _size(gone)
            self._decoded.pop(key, None)
            self.moved.pop(key, None)
        for key, value in work.touched.items():
            entity = self._entity(key)
            encoded = self.codec.encode(value)
            entity.due = self.codec.due(value)
            self._decoded[key] = value
            if encoded != entity.row:
                self.bytes += len(encoded) - len(entity.row or b"")
                entity.row = encoded
                rows.append((b"p\0" + key.encode(), encoded))
        for key, children in work.changed_children.items():
            entity = self._entity(key)
            for name, child in children.items():
                rows.append((f"c\0{key}\0{name}".encode(), child))
                self.bytes += len(child or b"") - len(entity.children.get(name, b""))
                if child is None:
                    entity.children.pop(name, None)
                else:
                    entity.children[name] = child
        for key, digests in work.digests.items():
            recent = self._entity(key).recent
            rows += [(f"i\0{key}\0{block}".encode(), recent.block(block)) for block in recent.add(digests)]
        for key, moved in work.moves.items():
            if moved is not None:
                self.moved[key] = moved
                self._entity(key).due = moved.until
                rows.append((b"m\0" + key.encode(), msgspec.json.encode(moved)))
            elif self.moved.pop(key, None) is not None:
                rows.append((b"m\0" + key.encode(), None))
        for key in list(islice(self._decoded, max(0, len(self._decoded) - DECODED_LIMIT))):  # the longest untouched
            del self._decoded[key]
        return rows

    def _rows_of(self, key: str) -> Iterator[bytes]:
        entity = self._entities.get(key)
        if entity is None:
            return
        yield b"p\0" + key.encode()
        yield from (f"c\0{key}\0{name}".encode() for name in entity.children)
        yield from (f"i\0{key}\0{block}".encode() for block in range(-(-len(entity.recent) // 16)))
        if key in self.moved:
            yield b"m\0" + key.encode()


def _size(entity: _Entity) -> int:
    return len(entity.row or b"") + sum(map(len, entity.children.values()))


class Mark(NamedTuple):
    """What a batch had done to an entity at one moment."""

    row: bytes | None
    children: dict[str, bytes | None] | None
    digests: dict[bytes, None] | None
    forgotten: bool
    moves: dict[str, Moved | None]


class Work(Generic[E]):
    """One attempt at a batch: what it changes. A late agent of an abandoned attempt writes into a Work nobody reads."""

    def __init__(self, state: LaneState[E]) -> None:
        self._state = state
        self.touched: dict[str, E] = {}
        self._dues: dict[str, float] = {}  # of those touched, until they are asked for again
        self.changed_children: dict[str, dict[str, bytes | None]] = {}
        self.digests: dict[str, dict[bytes, None]] = {}
        self.forgotten: set[str] = set()
        self.moves: dict[str, Moved | None] = {}
        self.told_until = state.lane.told_until

    def __getitem__(self, key: str) -> E:
        """The entity, new if it was not known; it counts as changed. Who changes it asks for it in each event anew."""
        self._dues.pop(key, None)
        entity = self.touched.get(key)
        if entity is None:
            fresh = key in self.forgotten
            entity = self.touched[key] = self._state.codec.new(key) if fresh else self._state.decoded(key)
        return entity

    def __contains__(self, key: str) -> bool:
        return key in self.touched or (key in self._state and key not in self.forgotten)

    def children(self, key: str) -> dict[str, bytes]:
        """Rows of the entity's own, by name, as this batch sees them."""
        rows = {} if key in self.forgotten else dict(self._state.children(key))
        for name, row in self.changed_children.get(key, {}).items():
            if row is None:
                rows.pop(name, None)
            else:
                rows[name] = row
        return rows

    def child(self, key: str, name: str) -> bytes | None:
        """One row of the entity's own."""
        changed = self.changed_children.get(key)
        if changed is not None and name in changed:
            return changed[name]
        return None if key in self.forgotten else self._state.children(key).get(name)

    def put_child(self, key: str, name: str, row: bytes | None) -> None:
        """Write a row of the entity's own; None deletes it."""
        self.changed_children.setdefault(key, {})[name] = row

    def first_sight(self, key: str, event_id: UUID) -> bool:
        """Whether this event of the entity is new; if so it is remembered."""
        item = digest(event_id)
        mine = self.digests.get(key)
        if mine is None:
            mine = self.digests[key] = {}
        elif item in mine:
            return False
        entity = self._state._entities.get(key)
        if entity is not None and item in entity.recent and key not in self.forgotten:
            return False
        mine[item] = None
        return True

    def remember(self, key: str, digests: Iterable[bytes]) -> None:
        """Take digests of events of the entity for seen, in place of its oldest."""
        self.digests.setdefault(key, {}).update(dict.fromkeys(digests))

    def newest_ids(self, key: str, number: int) -> list[bytes]:
        """The digests of the entity's newest events, the oldest of them first."""
        entity = None if key in self.forgotten else self._state._entities.get(key)
        known = [] if entity is None else entity.recent.newest(number)
        return [*known, *self.digests.get(key, ())][-number:]

    def rows(self, key: str) -> dict[str, bytes]:
        """All that is kept of the entity, ids apart, by name; its own row has none."""
        if key not in self:
            return {}
        return {"": self._state.codec.encode(self[key]), **self.children(key)}

    @property
    def moving(self) -> bool:
        """Whether any entity has been moved."""
        return bool(self.moves or self._state.moved)

    def moved(self, key: str) -> Moved | None:
        """Where the entity's events go; None: nowhere else."""
        if key in self.moves:
            return self.moves[key]
        return None if key in self.forgotten else self._state.moved.get(key)

    def move(self, key: str, moved: Moved) -> None:
        """Forget the entity; from now on its events go to another."""
        self.forget(key)
        self.moves[key] = moved

    def bring_back(self, key: str) -> None:
        """Have the events of an entity that was moved come to itself again."""
        self.moves[key] = None

    def due(self, at: float) -> list[str]:
        """Entities that time alone must wake at `at`."""
        codec, dues, touched = self._state.codec, self._dues, self.touched
        for key in touched.keys() - dues.keys():
            dues[key] = codec.due(touched[key])
        keys = [key for key in self._state.due(at) if key not in touched and key not in self.forgotten]
        return keys + [key for key in touched if dues[key] <= at]

    def mark(self, key: str) -> Mark:
        """What was done to an entity so far, to go `back` to."""
        entity, children, digests = self.touched.get(key), self.changed_children.get(key), self.digests.get(key)
        return Mark(
            None if entity is None else self._state.codec.encode(entity),
            None if children is None else dict(children),
            None if digests is None else dict(digests),
            key in self.forgotten,
            {key: self.moves[key]} if key in self.moves else {},
        )

    def back(self, key: str, mark: Mark) -> None:
        """Undo what was done to an entity since."""
        self.forget(key)
        if not mark.forgotten:
            self.forgotten.discard(key)
        self.moves |= mark.moves
        if mark.row is not None:
            self.touched[key] = self._state.codec.decode(mark.row)
        if mark.children is not None:
            self.changed_children[key] = mark.children
        if mark.digests is not None:
            self.digests[key] = mark.digests

    def forget(self, key: str) -> None:
        """Remove the entity and all its rows."""
        self.touched.pop(key, None)
        self._dues.pop(key, None)
        self.changed_children.pop(key, None)
        self.digests.pop(key, None)
        self.moves.pop(key, None)
        self.forgotten.add(key)
