"""A simulated hospital as a feed: the default of the demo.

`simulate` is pure: no clock, no Kafka; the same arguments give the same events. It starts in the middle of a day, with
patients already there. From 20 patients on, within the first hour: at least three patients pass NEWS2 5 upwards and
three pass 7, at least one falls from 7 or more to less than 5, at least two monitors are silent for over 20 minutes.
(Seen with each of 60 seeds, for 20 and for 40 patients; drawn, not proved.)
One event in 200 is sent twice, one set of a monitor in 100 comes minutes late, one charted set in 33 is corrected, and
for every hundred events a broken interface sends one that is none (`bad_share`).

Everything is invented (`physiology.py`); a figure made from it is about the software, not about patients.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random

from wardstream.infra.feeds.hospital import Hospital
from wardstream.infra.feeds.outbox import BAD_SHARE, Outbox
from wardstream.infra.feeds.pace import Item, Minute, Raw, Send
from wardstream.infra.feeds.radiology import Shot, visit


@dataclass(frozen=True, slots=True)
class Step:
    """One simulated minute.

    Attributes
    ----------
    at : datetime
        Its end.
    items : tuple of Send and Raw
        What leaves in it, in the order of time.
    """

    at: datetime
    items: tuple[Send | Raw, ...]


def simulate(
    *, seed: int, patients: int, start: datetime, bad_share: float = BAD_SHARE, films: Sequence[Shot] = ()
) -> Iterator[Step]:
    """Simulate a hospital for as long as the caller asks.

    Parameters
    ----------
    seed : int
        Chance.
    patients : int
        How many are in hospital, at least 1.
    start : datetime
        Aware. The first step is at `start` to the minute and tells who is there. Ids of patients and events follow
        from the seed and the start, so that a second run is not taken for a repetition of the first.
    bad_share : float
        Bad events for each good one, 0 to 1.
    films : sequence of Shot
        Taken in turn, one every few minutes, of people who come for that.

    Yields
    ------
    Step
        One for each minute, without end.
    """
    if patients < 1 or not 0 <= bad_share <= 1:
        raise ValueError("patients must be at least 1 and bad_share between 0 and 1")
    at = start.replace(second=0, microsecond=0)
    tag = hashlib.sha256(f"{seed}|{at.isoformat()}".encode()).hexdigest()[:6]
    outbox = Outbox(Random(f"{seed}|{at.isoformat()}:outbox"), bad_share)
    hospital = Hospital(seed, patients, at, tag, outbox)
    while True:
        yield Step(at, tuple(outbox.due(at)))
        at += timedelta(minutes=1)
        hospital.advance(at)
        for event in visit(films, at, tag, outbox.new_id):
            outbox.add(event)


def as_items(steps: Iterable[Step]) -> Iterator[Item]:
    """Flatten steps into what `send_paced` takes: after what leaves in a minute, the minute itself."""
    for step in steps:
        yield from step.items
        yield Minute(step.at)
