"""An emergency department's queue that is simulated, from recorded numbers, to try forecasts of waits on.

As many come as came to UIHC's department in the same hour; who comes is a visit of NHAMCS 2020 with its triage level
and its length. A doctor sees the most urgent first, of equals who came first, and is busy for a share of the visit's
recorded length, such that all are busy for nine tenths of the time; at night there are half as many. Nothing here is
drawn from a family of distributions.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heappop, heappush
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from wardstream.infra.feeds import flow_hospital, uihc
from wardstream.models.flow.admission import Triage
from wardstream.models.flow.counts import Doubles

BUSY: Final = 0.9
DOCTORS: Final = 8  # by day; half as many from 23 to 7 h
NIGHT: Final = (23, 7)


class Waited(NamedTuple):
    """A patient: what was known at triage, how many were to be seen before, and how long it took (minutes)."""

    triage: Triage
    waiting: int
    minutes: float


def simulate(folder: Path, days: int, seed: int = 1) -> Iterator[Waited]:
    """Patients in the order in which they were seen.

    Raises
    ------
    SourceError
        Some of the data is not there.
    """
    rng = np.random.default_rng(seed)
    series = uihc.hours(folder / "flow/uihc_ed_hourly_arrivals_2013-07_2017-06.csv.gz")
    start = series.place(flow_hospital.BEGIN)
    counts = series.counts[start : start + days * 24].astype(int)
    visits, lengths = flow_hospital.visits_of_2020(folder)
    weights = np.array([visit.weight for visit in visits])
    drawn = rng.choice(len(visits), size=int(counts.sum()), p=weights / weights.sum())
    came = np.concatenate([hour + np.sort(rng.random(count)) for hour, count in enumerate(counts)])
    doctor_h = DOCTORS * days * (24 - 0.5 * (24 - NIGHT[0] + NIGHT[1]))
    busy = lengths[drawn] * (BUSY * doctor_h / (lengths[drawn].sum() / 60.0)) / 60.0
    return _seen(came, [visits[which].triage for which in drawn], busy)


def _seen(came: Doubles, triages: list[Triage], busy: Doubles) -> Iterator[Waited]:
    """Hours: `came` in order, `busy` for each."""
    queue: list[tuple[int, float, int, int]] = []  # level, came, number, how many before
    free_at: list[float] = []  # of the doctors who are busy
    number, now = 0, 0.0
    while number < len(came) or queue:
        while number < len(came) and came[number] <= now:
            level = triages[number].acuity or 3
            heappush(queue, (level, float(came[number]), number, sum(one[0] <= level for one in queue)))
            number += 1
        while free_at and free_at[0] <= now:
            heappop(free_at)
        there = DOCTORS // 2 if not NIGHT[1] <= now % 24 < NIGHT[0] else DOCTORS
        if queue and len(free_at) < there:
            _, at, which, before = heappop(queue)
            heappush(free_at, now + float(busy[which]))
            yield Waited(triages[which], before, (now - at) * 60.0)
        else:  # on to whatever comes first: a patient, a free doctor, the next hour's shift
            coming = [now // 1 + 1.0]
            coming += [float(came[number])] if number < len(came) else []
            coming += [free_at[0]] if free_at else []
            now = min(coming)
