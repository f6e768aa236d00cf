"""Hourly bins: what was measured in each hour of a patient's stay, for models and for corrections.

A bin is the list of the hour's measurement sets, kept as rows of their own, so that the patient's row, which is written
with every batch, stays small. A row is JSON, one set a line: adding a set appends a line without reading the others. A
row that has grown past `ROW_BYTES` is followed by another; a past hour is written no more, unless a late or corrected
set revises it. Since the sets themselves are kept, a correction is exact, and a bin does not depend on the order in
which its sets came.
"""

from collections.abc import Iterable, Iterator
from typing import Protocol
from uuid import UUID

import msgspec

from wardstream.models.signals import HOUR

ROW_BYTES = 1500
KEPT_HOURS = 72  # beyond the longest look-back of a model here, and of KDIGO's 48 h

Value = float | bool | str


class MeasurementSet(msgspec.Struct, array_like=True, frozen=True):
    """What one event measured: when (s since 1970), when it came, by a device or not, and the values by code."""

    at: float
    received: float
    event_id: UUID
    device: bool
    values: dict[str, Value]


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
    """The bins of one patient."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def add(self, measured: MeasurementSet) -> None:
        """Put a set into its hour."""
        hour, part = int(measured.at // HOUR), 0
        row = self._rows.get(f"{hour}.0")
        if row is None:
            self._forget_before(hour - KEPT_HOURS)
        while row is not None and len(row) > ROW_BYTES:
            part += 1
            row = self._rows.get(f"{hour}.{part}")
        self._rows.put(f"{hour}.{part}", (row or b"") + _encoder.encode(measured) + b"\n")

    def remove(self, event_id: UUID, near: float) -> MeasurementSet | None:
        """Take out what an event measured and return it; None if it is not here. `near` is where to look first."""
        first = f"{int(near // HOUR)}."
        for name in sorted(self._rows.names(), key=lambda name: not name.startswith(first)):
            row = self._rows.get(name) or b""
            lines = row.splitlines(keepends=True)
            for index, line in enumerate(lines):
                measured = _decoder.decode(line)
                if measured.event_id == event_id:
                    del lines[index]
                    # An empty row stays while parts follow it: parts are found by counting up.
                    self._rows.put(name, b"".join(lines))
                    return measured
        return None

    def sets(self, since: float = float("-inf"), until: float = float("inf")) -> Iterator[MeasurementSet]:
        """All sets with `since <= at < until`, in no particular order."""
        for name in list(self._rows.names()):
            hour = int(name.partition(".")[0])
            if (hour + 1) * HOUR > since and hour * HOUR < until:
                for line in (self._rows.get(name) or b"").splitlines():
                    measured = _decoder.decode(line)
                    if since <= measured.at < until:
                        yield measured

    def _forget_before(self, hour: int) -> None:
        for name in [name for name in self._rows.names() if int(name.partition(".")[0]) < hour]:
            self._rows.put(name, None)


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
