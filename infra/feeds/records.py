"""What the sources of replay have in common: a patient's record, what was not sent and why, ids, impossible values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, NamedTuple, TypeVar
from uuid import UUID, uuid5

from msgspec.structs import replace

from wardstream.models.labs.analytes import Analyte
from wardstream.schemas.bad_event import BadEvent
from wardstream.schemas.bounds import BOUNDS
from wardstream.schemas.decode import check
from wardstream.schemas.envelope import Event
from wardstream.schemas.vitals import Vitals

EPOCH: Final = datetime(2019, 1, 1, tzinfo=UTC)
"""Where records without a date of their own begin."""
LONGEST_H: Final = 10 * 8766
"""Hours of a stay that are believed: ten years. Later ones are faults of a file."""
OLDEST_YEARS: Final = BOUNDS["age_years"].high
"""An age that is believed; one below 0 or beyond this is a fault of a file."""
_IDS: Final = UUID("a0b6a4f7-5a0c-5f8e-8f0e-6d8a4f1f8f3b")  # namespace of the ids of replayed events

EventT = TypeVar("EventT", bound=Event)


@dataclass(slots=True)
class Tally:
    """What was read, and what was not sent.

    Attributes
    ----------
    rows : int
        Rows of the source that have been handled.
    rejected : Counter
        Values that are impossible or have the wrong unit: `column (reason)`.
    dropped : Counter
        Values left out by rule: `column (why)`.
    """

    rows: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)


class Fault(NamedTuple):
    """What is wrong with a line of a file, never with what value; `field` is empty for the whole line, lines from 1."""

    line: int
    field: str
    what: str

    def __str__(self) -> str:
        return ", ".join(filter(None, (f"line {self.line}", self.field))) + f": {self.what}"


def listed(file: str, faults: Iterable[Fault]) -> list[str]:
    """The faults of one file: a text for each field and kind, with the first line and how many there are."""
    found: dict[tuple[str, str], list[Fault]] = {}
    for fault in faults:
        found.setdefault((fault.field, fault.what), []).append(fault)
    return [f"{file}, {first}" + (f" ({len(rest) + 1} lines)" if rest else "") for first, *rest in found.values()]


@dataclass(frozen=True, slots=True)
class Record:
    """One patient of a source.

    Attributes
    ----------
    id : str
        The source's own number.
    rows : int
        How many rows it has, for progress.
    begins_at : datetime or None
        When its first event is; None: it has no date and begins where it is put.
    events : callable
        Yields its events in the order of `received_at`, given where to begin and what to count in.
    labels : callable or None
        The source's own label of each hour of the stay, for those who train and judge; None: it has none.
    faults : callable
        What is wrong with its file, as `listed`; with any, `events` and `labels` raise.
    """

    id: str
    rows: int
    begins_at: datetime | None
    events: Callable[[datetime, Tally], Iterator[Event]]
    labels: Callable[[], Mapping[int, int]] | None = None
    faults: Callable[[], Sequence[str]] = tuple


def event_id(source: str, record: str, row: int | str, kind: str) -> UUID:
    """Return the id of a replayed event: the same whenever it is replayed, so that a second time changes nothing."""
    return uuid5(_IDS, f"{source}/{record}/{row}/{kind}")


def possible_lab(analyte: Analyte, value: float, column: str, tally: Tally) -> bool:
    """Return whether a specimen can have this value; count it as rejected if not."""
    if analyte.low <= value <= analyte.high:
        return True
    tally.rejected[f"{column} (out_of_bounds)"] += 1
    return False


def possible(vitals: Vitals, columns: Mapping[str, str], tally: Tally) -> Vitals | None:
    """Return the event without its impossible values, or None when nothing is left.

    Parameters
    ----------
    vitals : Vitals
        With one field or more set.
    columns : mapping
        Column of the source by field of the event.
    tally : Tally
        Counts each value left out, by column and reason.
    """
    while True:
        try:
            check(vitals)
        except BadEvent as bad:
            if bad.reason == "empty":
                return None
            wrong = [name for name in bad.fields if name in columns]
            if not wrong:
                raise
            for name in wrong:
                tally.rejected[f"{columns[name]} ({bad.reason})"] += 1
            vitals = replace(vitals, **dict.fromkeys(wrong))
        else:
            return vitals
