"""What forecasts of beds are worth, hour by hour, against those that need no model (`benchmarks`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import numpy as np

from wardstream.models.flow.arrivals import HORIZONS
from wardstream.models.flow.benchmarks import BENCHMARKS
from wardstream.models.flow.calendar import Calendar
from wardstream.models.flow.counts import Doubles
from wardstream.models.flow.judging import Progress, stacked
from wardstream.models.flow.measures import Quality, quality
from wardstream.models.flow.unit import Came, Present, Unit

NAMES: Final = (*BENCHMARKS, "beds, raw", "beds")

Hour = tuple[int, int, Mapping[str, Present]]


def judge_beds(
    hours: Iterable[Hour],
    calendar: Calendar,
    scored_from: int,
    outage: range = range(0),
    horizons: Sequence[int] = HORIZONS,
    progress: Progress = lambda done: None,
) -> dict[int, dict[str, Quality]]:
    """Go through a unit's hours (hour, arrivals, who is there at its end), and score forecasts of the census.

    Parameters
    ----------
    scored_from
        The place of the first hour whose census is scored.
    outage
        Places of hours of which the forecaster is told nothing. They are not scored, nor is what was said in them.
    """
    unit = Unit(calendar)
    rows = [HORIZONS.index(h) for h in horizons]
    census: list[float] = []
    known: list[float] = []  # what the benchmarks know: in an outage, the last census
    said: dict[tuple[int, str], list[Doubles]] = {(h, name): [] for h in horizons for name in NAMES}
    observed: dict[int, list[int]] = {h: [] for h in horizons}
    for i, (hour, arrived, present) in enumerate(hours):
        census.append(float(len(present)))
        if i in outage:
            known.append(known[-1] if known else 0.0)
            unit.miss(hour)
            continue
        known.append(census[-1])
        unit.learn(hour, Came(arrived), present)
        beds = unit.say(hour)
        for h, row in zip(horizons, rows, strict=True):
            if i + h >= scored_from and i + h not in outage:
                observed[h].append(i + h)
                for name, benchmark in BENCHMARKS.items():
                    said[h, name].append(benchmark(known, h))
                said[h, "beds, raw"].append(beds.raw[row])
                said[h, "beds"].append(beds.needed[row])
        progress(i + 1)
    found: dict[int, dict[str, Quality]] = {}
    for h in horizons:
        came = [place for place in observed[h] if place < len(census)]
        truth = np.array([census[place] for place in came])
        found[h] = {name: quality(stacked(said[h, name][: len(came)]), truth) for name in NAMES}
    return found
