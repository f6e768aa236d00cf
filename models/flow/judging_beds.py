"""What forecasts of beds are worth, hour by hour, against those that need no model (`benchmarks`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, Protocol

import numpy as np

from wardstream.models.flow.arrivals import HORIZONS
from wardstream.models.flow.benchmarks import BENCHMARKS
from wardstream.models.flow.calendar import Calendar
from wardstream.models.flow.counts import Doubles
from wardstream.models.flow.emergency import Departure, Emergency
from wardstream.models.flow.judging import Progress, stacked
from wardstream.models.flow.measures import Quality, quality
from wardstream.models.flow.unit import Came, Inflow, Present, Unit

ALONE: Final = "beds, emergency not known"
NAMES: Final = (*BENCHMARKS, ALONE, "beds, raw", "beds")


class Seen(Protocol):
    """What a unit saw in an hour."""

    @property
    def came(self) -> Came: ...
    @property
    def present(self) -> Mapping[str, Present]: ...


Hour = tuple[int, Mapping[str, Seen], Sequence[Departure]]
Asked = Callable[[int, str, Unit, Sequence[Inflow]], None]


def judge_beds(
    hours: Iterable[Hour],
    department: str | None,
    calendar: Calendar,
    scored_from: int,
    outage: range = range(0),
    horizons: Sequence[int] = HORIZONS,
    progress: Progress = lambda done: None,
    asked: Asked = lambda hour, name, unit, inflows: None,
) -> dict[str, dict[int, dict[str, Quality]]]:
    """Go through the hours of some units, and score forecasts of the census.

    Parameters
    ----------
    department
        The emergency department among the units, which says whom it will send; None: there is none.
    scored_from
        The place of the first hour whose census is scored.
    outage
        Places of hours of which the forecasters are told nothing. They are not scored, nor is what was said in them.
    asked
        Called with each scored hour and unit, to ask what if.

    Returns
    -------
    dict
        By unit, horizon and forecaster.
    """
    units: dict[str, Unit] = {}
    emergency = Emergency(calendar)
    census: dict[str, list[float]] = {}
    known: dict[str, list[float]] = {}  # what the benchmarks know: in an outage, the last census
    said: dict[tuple[str, int, str], list[Doubles]] = {}
    places: dict[tuple[str, int], list[int]] = {}
    for i, (hour, seen, departed) in enumerate(hours):
        for name, one in seen.items():
            census.setdefault(name, []).append(float(len(one.present)))
            unit = units.setdefault(name, Unit(calendar))
            before = known.setdefault(name, [])
            before.append((before[-1] if before else 0.0) if i in outage else census[name][-1])
            if i in outage:
                unit.miss(hour)
            else:
                unit.learn(hour, one.came if department is not None else Came(one.came.all), one.present)
        if i in outage:
            continue
        sent: dict[str, Inflow] = {}
        if department is not None:
            emergency.learn(departed)
            sent = emergency.inflows(units[department], hour)
        for name, unit in units.items():
            inflows = [sent[name]] if name in sent else []
            outlook = unit.say(hour, inflows)
            if i + max(horizons) < scored_from:
                continue
            alone = unit.forecast(hour) if inflows else outlook
            asked(hour, name, unit, inflows)
            for h in horizons:
                if i + h >= scored_from and i + h not in outage:
                    row = HORIZONS.index(h)
                    places.setdefault((name, h), []).append(i + h)
                    told = {one: benchmark(known[name], h) for one, benchmark in BENCHMARKS.items()}
                    told |= {ALONE: alone.raw[row], "beds, raw": outlook.raw[row], "beds": outlook.needed[row]}
                    for forecaster, pmf in told.items():
                        said.setdefault((name, h, forecaster), []).append(pmf.astype(np.float32))
        progress(i + 1)
    found: dict[str, dict[int, dict[str, Quality]]] = {name: {} for name in units}
    for (name, h), at in sorted(places.items()):
        came = [place for place in at if place < len(census[name])]
        truth = np.array([census[name][place] for place in came])
        found[name][h] = {one: quality(stacked(said[name, h, one][: len(came)]), truth) for one in NAMES}
    return found
