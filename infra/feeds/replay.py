"""Replay of recorded patients: many records become one stream in the order of time, with its minutes.

Records are read lazily, a patient at a time within a heap merge: in memory are the texts of the records (or the
table), and one event each. `received_at` and the minutes belong to the records' time; nothing here looks at a clock.

Minutes are written while any patient is in hospital, for up to a day after the last event (long enough for everything
to go stale that can), and once after each event otherwise. Then time leaps to the next event: the demo patients of
MIMIC-IV are spread over a hundred years.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from heapq import merge
from pathlib import Path
from random import Random
from typing import Final, NamedTuple

from wardstream.infra.feeds import challenge2012, challenge2019, mimic_iv
from wardstream.infra.feeds.pace import Item, Minute, Send
from wardstream.infra.feeds.records import EPOCH, Record, Tally
from wardstream.schemas.admissions import Admission
from wardstream.schemas.envelope import Event

QUIET: Final = timedelta(days=1)
_ZERO: Final = datetime(1, 1, 1, tzinfo=UTC)


class Source(NamedTuple):
    """A source of records.

    Attributes
    ----------
    records : callable
        The records under a path, the first so many of them.
    tick_minutes : int
        Minutes between ticks unless the caller says otherwise: 15 for MIMIC-IV, whose stays add up to five years.
    """

    records: Callable[[Path, int | None], list[Record]]
    tick_minutes: int


SOURCES: Final = {
    challenge2012.NAME: Source(challenge2012.records, 1),
    challenge2019.NAME: Source(challenge2019.records, 1),
    mimic_iv.NAME: Source(mimic_iv.records, 15),
}


def merged(
    records: Sequence[Record], tally: Tally, *, stagger: timedelta = timedelta(0), seed: int = 0
) -> Iterator[Event]:
    """Yield the events of all records in the order of `received_at`.

    Parameters
    ----------
    records : sequence of Record
        Those without a date begin at `EPOCH`.
    tally : Tally
        Counts rows and what is not sent.
    stagger : timedelta
        Spreads their beginnings over this time instead, to the minute.
    seed : int
        Chance of the spread; a record's place depends on the seed and its id only.
    """
    minutes = int(stagger / timedelta(minutes=1))

    def begin(record: Record) -> datetime:
        if record.begins_at is not None or not minutes:
            return EPOCH
        return EPOCH + timedelta(minutes=Random(f"{seed}:{record.id}").randrange(minutes))

    return merge(*(record.events(begin(record), tally) for record in records), key=lambda event: event.received_at)


def timeline(events: Iterable[Event], tick_minutes: int = 1) -> Iterator[Item]:
    """Yield the events with the minutes between them; a minute comes after all that was received until then.

    One minute goes before the first event, and one more follows the one that ends the last.
    """
    step = timedelta(minutes=tick_minutes)
    tick: datetime | None = None
    last = _ZERO
    in_hospital: set[str] = set()
    for event in events:
        at = event.received_at
        if tick is None:
            tick = _rounded_up(at, step)
            yield Minute(tick - step)  # lanes know from the first tick on that this is a replay
        while tick < at:
            if tick - last >= (QUIET if in_hospital else step):
                tick = _rounded_up(at, step)
                break
            yield Minute(tick)
            tick += step
        yield Send(at, event)
        last = at
        if isinstance(event, Admission):
            if event.kind == "admit":
                in_hospital.add(event.patient_id)
            elif event.kind == "discharge":
                in_hospital.discard(event.patient_id)
    if tick is not None:  # two: lanes apply the last minute when the one after it has begun
        yield Minute(tick)
        yield Minute(tick + step)


def _rounded_up(at: datetime, step: timedelta) -> datetime:
    return at + (_ZERO - at) % step
