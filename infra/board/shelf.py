"""Rows for many readers: each encoded once when it changes, numbered, and told to whom it is for.

A reader has a number, its version, and asks what is newer: it gets the newest of each row, however many changes it
slept through, and which rows have left what it sees. No queue is kept for it. What has left is remembered for the last
`REMEMBERED` of them; who is further behind begins anew.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Hashable, Iterator
from typing import Generic, NamedTuple, TypeVar

REMEMBERED = 8192

Key = TypeVar("Key", bound=Hashable)


class Audience(NamedTuple):
    """Who reads: units whose rows are told (None: all, those of no unit too), and whether silent models' are, too."""

    units: frozenset[str] | None
    operator: bool

    def sees(self, unit: str | None) -> bool:
        """Whether what is in a unit (None: in none that is known) is told."""
        return self.units is None or unit in self.units


class Item:
    """A row: where it is, its version, and what of it is told to everybody and to operators (None: nothing)."""

    __slots__ = ("everybody", "operators", "unit", "version")

    def __init__(self, unit: str | None, version: int, everybody: bytes | None, operators: bytes | None) -> None:
        self.unit, self.version, self.everybody, self.operators = unit, version, everybody, operators

    def told(self, audience: Audience) -> bytes | None:
        """What an audience is told; None: nothing."""
        if not audience.sees(self.unit):
            return None
        return self.operators if audience.operator else self.everybody


class Changes(NamedTuple, Generic[Key]):
    """What is new: rows, and keys of rows that are no longer seen."""

    changed: list[bytes]
    gone: list[Key]

    def __bool__(self) -> bool:
        return bool(self.changed or self.gone)


class Shelf(Generic[Key]):
    """The rows by key, in the order of their versions."""

    def __init__(self, remembered: int = REMEMBERED) -> None:
        self._items = OrderedDict[Key, Item]()
        self._gone = deque[tuple[int, str | None, Key]]()
        self._remembered, self._begin = remembered, 0

    def put(self, key: Key, unit: str | None, everybody: bytes | None, operators: bytes | None, version: int) -> bool:
        """Put a row there with a version above all before; whether it is not what it was."""
        known = self._items.get(key)
        if known is not None:
            if (known.unit, known.everybody, known.operators) == (unit, everybody, operators):
                return False
            if known.unit != unit:
                self._leave(version, known.unit, key)
        self._items[key] = Item(unit, version, everybody, operators)
        self._items.move_to_end(key)
        return True

    def remove(self, key: Key, version: int) -> bool:
        """Take a row away; whether there was one."""
        known = self._items.pop(key, None)
        if known is not None:
            self._leave(version, known.unit, key)
        return known is not None

    def get(self, key: Key) -> Item | None:
        """A row."""
        return self._items.get(key)

    def whole(self, audience: Audience) -> list[bytes]:
        """All that an audience sees."""
        return [told for item in self._items.values() if (told := item.told(audience)) is not None]

    def units(self, audience: Audience) -> set[str]:
        """Units of the rows that an audience sees."""
        found = {item.unit for item in self._items.values() if audience.sees(item.unit)}
        return {unit for unit in found if unit is not None}

    def since(self, version: int, audience: Audience) -> Changes[Key] | None:
        """What is newer than a version; None: it is too old to know."""
        if version < self._begin:
            return None
        changed = [told for item in self._newer(version) if (told := item.told(audience)) is not None]
        changed.reverse()
        gone = dict.fromkeys(
            key
            for since, unit, key in self._gone_since(version)
            if audience.sees(unit) and ((item := self._items.get(key)) is None or item.told(audience) is None)
        )
        return Changes(changed, list(gone))

    def _newer(self, version: int) -> Iterator[Item]:
        for item in reversed(self._items.values()):
            if item.version <= version:
                return
            yield item

    def _gone_since(self, version: int) -> Iterator[tuple[int, str | None, Key]]:
        for one in reversed(self._gone):
            if one[0] <= version:
                return
            yield one

    def _leave(self, version: int, unit: str | None, key: Key) -> None:
        self._gone.append((version, unit, key))
        if len(self._gone) > self._remembered:
            self._begin, _, _ = self._gone.popleft()
