"""Hourly bins: what was measured in each hour of a patient's stay, for models and for corrections.

A bin is the list of the hour's measurement sets, kept as rows of their own, so that the patient's row, which is written
with every batch, stays small. A row is JSON, one set a line: adding a set appends a line without reading the others.
Part 0 of an hour is the row that grows; past `ROW_BYTES` it becomes the hour's next part, and an empty one takes its
place. A past hour is written no more, unless a late or corrected set revises it. Since the sets themselves are kept, a
correction is exact, and a bin does not depend on the order in which its sets came. What is older than `KEPT_HOURS`,
counted from the newest hour, is not kept, however it came.
"""

from collections.abc import Collection, Iterable, Iterator
from itertools import count
from typing import Literal, Protocol
from uuid import UUID

import msgspec
from msgspec.structs import replace

from wardstream.models.signals import HOUR

ROW_BYTES = 1500
KEPT_HOURS = 72  # beyond the longest look-back of a model here, and of KDIGO's 48 h

Value = float | bool | str


class MeasurementSet(msgspec.Struct, array_like=True, frozen=True):
    """What one event measured: when (s since 1970), when it came, by a device or not, and the values by code.

    Without values it is a cancellation. `revised` are the events in whose place it stands (see `revisions`).
    """

    at: float
    received: float
    event_id: UUID
    device: bool
    values: dict[str, Value]
    revised: tuple[UUID, ...] = ()


Reach = Literal["everywhere", "its hour"]
"""Where to look for what a set revises: in all bins, or in those of its own hour alone."""


class Rows(Protocol):
    """The patient's rows of their own, by name."""

    def get(self, name: str) -> bytes | None: ...
    def put(self, name: str, row: bytes | None) -> None: ...
    def names(self) -> Iterable[str]: ...


class Summary(msgspec.Struct, frozen=True):
    """One signal in one hour; statistics of the numeric values."""

    count: int
    mean: float
    low: float
    high: float
    last: float


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(MeasurementSet)


class Bins:
    """The bins of one patient. Hours are counted from 1970."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def add(self, measured: MeasurementSet) -> None:
        """Put a set into its hour."""
        hour = int(measured.at // HOUR)
        name = f"{hour}.0"
        row = self._rows.get(name)
        if row is None and not self._make_room(hour):
            return
        if row is not None and len(row) > ROW_BYTES:
            part = 1
            while self._rows.get(f"{hour}.{part}") is not None:
                part += 1
            self._rows.put(f"{hour}.{part}", row)
            row = None
        self._rows.put(name, (row or b"") + _encoder.encode(measured) + b"\n")

    def take_out(self, event_ids: Collection[UUID], near: float, reach: Reach = "everywhere") -> list[MeasurementSet]:
        """Remove and return the sets that stand for some events: their own, or one that revised them.

        `near` is where to look first. The search ends when there is a set for each.
        """
        wanted = [str(event_id).encode() for event_id in event_ids]
        hour = int(near // HOUR)
        found: list[MeasurementSet] = []
        for name, row in self._of_hour(hour) if reach == "its hour" else self._from(hour):
            if any(text in row for text in wanted):
                lines = row.splitlines(keepends=True)
                hits = [line for line in lines if any(text in line for text in wanted)]
                found += map(_decoder.decode, hits)
                # An empty row stays while parts follow it: parts are found by counting up.
                self._rows.put(name, b"".join(line for line in lines if line not in hits))
                if len(found) >= len(wanted):
                    break
        return found

    def take_from(self, codes: Collection[str], at: float, *, device: bool) -> list[MeasurementSet]:
        """Remove values from the sets of a time; return those sets as they were.

        If any of them has the provenance asked for, only those: a set of which one value is a device's is a device's.
        """
        holding = [
            measured
            for measured in self.hour(int(at // HOUR))
            if measured.at == at and not measured.values.keys().isdisjoint(codes)
        ]
        hit = [measured for measured in holding if measured.device == device] or holding
        for measured in hit:
            self.take_out({measured.event_id}, at, "its hour")
            left = {code: value for code, value in measured.values.items() if code not in codes}
            self.add(replace(measured, values=left))
        return hit

    def hours(self) -> list[int]:
        """The hours that have a row, the newest first."""
        return sorted({int(name.partition(".")[0]) for name in self._rows.names()}, reverse=True)

    def rows(self, hour: int) -> tuple[bytes, ...]:
        """One hour as it is kept; equal rows hold equal sets. See `sets_in`."""
        found: list[bytes] = []
        while (row := self._rows.get(f"{hour}.{len(found)}")) is not None:
            found.append(row)
        return tuple(found)

    def hour(self, hour: int) -> Iterator[MeasurementSet]:
        """The sets of one hour, in no particular order."""
        return sets_in(self.rows(hour))

    def sets(self, since: float = float("-inf"), until: float = float("inf")) -> Iterator[MeasurementSet]:
        """All sets with `since <= at < until`, in no particular order."""
        for hour in self.hours():
            if (hour + 1) * HOUR > since and hour * HOUR < until:
                yield from (measured for measured in self.hour(hour) if since <= measured.at < until)

    def _of_hour(self, hour: int) -> Iterator[tuple[str, bytes]]:
        """The rows of an hour, with their names."""
        for part in count():
            name = f"{hour}.{part}"
            row = self._rows.get(name)
            if row is None:
                return
            yield name, row

    def _from(self, hour: int) -> Iterator[tuple[str, bytes]]:
        """All rows, with their names; those of an hour first."""
        first = f"{hour}."
        for name in sorted(self._rows.names(), key=lambda name: not name.startswith(first)):
            yield name, self._rows.get(name) or b""

    def _make_room(self, hour: int) -> bool:
        """Forget what a new hour pushes out; False if that is the new hour itself."""
        names = list(self._rows.names())
        hours = [int(name.partition(".")[0]) for name in names]
        first = max(hour, *hours) - KEPT_HOURS if hours else hour
        for name, known in zip(names, hours, strict=True):
            if known < first:
                self._rows.put(name, None)
        return hour >= first


def sets_in(rows: Iterable[bytes]) -> Iterator[MeasurementSet]:
    """The sets that rows hold."""
    return (_decoder.decode(line) for row in rows for line in row.splitlines())


def summarise(sets: Iterable[MeasurementSet]) -> dict[int, dict[str, Summary]]:
    """Hourly statistics of the numeric signals: by hour (since 1970) and code. Order of the sets does not matter."""
    values: dict[tuple[int, str], list[tuple[float, float, float]]] = {}
    for measured in sets:
        for code, value in measured.values.items():
            if not isinstance(value, str | bool):
                entry = (measured.at, measured.received, float(value))
                values.setdefault((int(measured.at // HOUR), code), []).append(entry)
    hours: dict[int, dict[str, Summary]] = {}
    for (hour, code), entries in values.items():
        entries.sort()
        numbers = [value for _, _, value in entries]
        hours.setdefault(hour, {})[code] = Summary(
            len(numbers), sum(numbers) / len(numbers), min(numbers), max(numbers), numbers[-1]
        )
    return hours
