"""A hospital of 500 beds that is simulated, from recorded numbers, to try forecasts of beds on.

No public data tell the bed-level census of a whole hospital. Nothing here is drawn from a family of distributions that
the forecasters assume:

- as many come to the emergency department as came to UIHC's in the same hour of another year;
- who comes is a visit of NHAMCS 2020, drawn by its survey weight: age, triage level, length of visit, admitted or not;
- who is admitted lies in one of ten wards (by age, and by chance), for a stay of the Challenge 2012 ICU sets in whole
  days, and leaves at a time of day at which somebody left the hospitals of MIMIC-IV;
- elective patients come between 8 and 13 h on weekdays, as many as came to UIHC five hours before.

In the surge half as many come again, all of them 65 or older; they too are drawn from NHAMCS.

So some 420 of `BEDS` are taken (84 %), and in the surge more are needed than there are: beds needed are forecast, so
nobody is turned away.
"""

from __future__ import annotations

import csv
import io
import tarfile
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from heapq import heappop, heappush
from operator import attrgetter
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from wardstream.infra.feeds import nhamcs, uihc
from wardstream.infra.feeds.archive import SourceError, texts
from wardstream.models.flow.counts import Doubles
from wardstream.models.flow.emergency import Departure
from wardstream.models.flow.unit import Came, Delay, Present

EMERGENCY: Final = "ED"
WARDS: Final = tuple(f"W{i}" for i in range(10))
ALL_WARDS: Final = "wards"
BEGIN: Final = date(2015, 7, 1)  # of UIHC's hours
SURGE_H: Final = 7 * 24
BEDS: Final = 500
ELECTIVE: Final = range(8, 13)  # hours of the day
_LONGEST_D: Final = 60


class Stay(NamedTuple):
    """A time in one unit, in hours since 1970 with fractions."""

    key: str
    unit: str
    came: float
    left: float
    age_years: float
    acuity: int | None


class UnitHour(NamedTuple):
    """What a unit saw in an hour: who came, and who is there at its end."""

    came: Came
    present: dict[str, Present]


def is_planned(stay: Stay) -> bool:
    """Whether the patient was expected: not from the emergency department."""
    return "-e" in stay.key


class Simulated(NamedTuple):
    """All stays, and the hours they span."""

    first: int
    hours: int
    stays: tuple[Stay, ...]

    def hour_by_hour(self, names: Sequence[str]) -> Iterator[tuple[int, dict[str, UnitHour], list[Departure]]]:
        """Each hour, what these units saw in it, and who has left the emergency department."""
        units = {name: self.unit(name) for name in (EMERGENCY, *names)}
        wards = {stay.key: stay.unit for stay in self.stays if stay.unit != EMERGENCY}
        left = sorted((stay for stay in units[EMERGENCY].stays), key=attrgetter("left"))
        gone = 0
        for seen in zip(*units.values(), strict=True):
            hour = seen[0][0]
            found = {}
            for name, (_, arrived, present) in zip(units, seen, strict=True):
                new = [stay for stay in units[name].came_in(hour)]
                sent = 0 if name == EMERGENCY else sum(not is_planned(stay) for stay in new)
                planned = 0 if name == EMERGENCY else arrived - sent
                found[name] = UnitHour(Came(arrived, planned, sent), present)
            first = gone
            while gone < len(left) and left[gone].left < hour + 1:
                gone += 1
            departed = [
                Departure(stay.came, stay.age_years, stay.acuity, None, wards.get(stay.key))
                for stay in left[first:gone]
            ]
            yield hour, found, departed

    def inpatients(self) -> Doubles:
        """How many are in the wards at the end of each hour: (hours,)."""
        found = np.zeros(self.hours + 1)
        for stay in self.stays:
            if stay.unit != EMERGENCY:
                begin, end = (min(int(at) - self.first, self.hours) for at in (stay.came, stay.left))
                found[begin] += 1.0
                found[end] -= 1.0
        return np.asarray(np.cumsum(found)[:-1])

    def unit(self, name: str) -> Hourly:
        """What a unit sees hour by hour; `ALL_WARDS` is all wards as one."""
        mine = [stay for stay in self.stays if stay.unit == name or (name == ALL_WARDS and stay.unit in WARDS)]
        return Hourly(self.first, self.hours, tuple(sorted(mine, key=attrgetter("came"))))


@dataclass(frozen=True)
class Hourly:
    """The stays of a unit, in the order of coming."""

    first: int
    hours: int
    stays: tuple[Stay, ...]

    def came_in(self, hour: int) -> tuple[Stay, ...]:
        """Who came in an hour."""
        begin, end = (bisect_left(self.stays, at, key=attrgetter("came")) for at in (hour, hour + 1))
        return self.stays[begin:end]

    def there_if_delayed(self, now: float, delay: Delay, at: float) -> int:
        """Who would be there at a time, had planned patients been delayed from `now` on."""
        found = 0
        for stay in self.stays:
            later = delay.by_h if is_planned(stay) and now <= stay.came < now + delay.within_h else 0
            found += stay.came + later < at <= stay.left + later
        return found

    def waiting_if(self, now: float, beds: int, at: float) -> int:
        """Who would wait for a bed at a time, had there been so many from `now` on: first come, first served."""
        taken = sorted(stay.left for stay in self.stays if stay.came < now <= stay.left)
        queue: list[Stay] = []
        for stay in (*(stay for stay in self.stays if now <= stay.came < at), None):
            until = at if stay is None else stay.came
            while taken and taken[0] < until:
                freed = heappop(taken)
                if queue and len(taken) < beds:
                    first = queue.pop(0)
                    heappush(taken, freed + first.left - first.came)
            if stay is not None and len(taken) < beds:
                heappush(taken, stay.left)
            elif stay is not None:
                queue.append(stay)
        return len(queue) + max(len(taken) - beds, 0)

    def __iter__(self) -> Iterator[tuple[int, int, dict[str, Present]]]:
        """Each hour, how many came in it, and who is there at its end."""
        present: dict[str, Present] = {}
        leaving: list[tuple[float, str]] = []
        coming = 0
        for hour in range(self.first, self.first + self.hours):
            before = coming
            while coming < len(self.stays) and self.stays[coming].came < hour + 1:
                stay = self.stays[coming]
                present[stay.key] = Present(stay.came, stay.age_years, stay.acuity)
                heappush(leaving, (stay.left, stay.key))
                coming += 1
            while leaving and leaving[0][0] < hour + 1:
                del present[heappop(leaving)[1]]
            yield hour, coming - before, dict(present)


def simulate(folder: Path, days: int, surge_day: int | None, seed: int = 1) -> Simulated:
    """Draw a hospital; it begins empty, and is as full as it gets after some forty days.

    Parameters
    ----------
    folder
        With the reference data: `flow/` and `icu/`.
    surge_day
        The day on which a surge of a week begins.

    Raises
    ------
    SourceError
        Some of the data is not there.
    """
    rng = np.random.default_rng(seed)
    series = uihc.hours(folder / "flow/uihc_ed_hourly_arrivals_2013-07_2017-06.csv.gz")
    start = series.place(BEGIN)
    counts = series.counts[start : start + days * 24].astype(int)
    first = series.first + start
    visits, minutes = visits_of_2020(folder)
    weights = np.array([visit.weight for visit in visits])
    old = np.array([(visit.triage.age_years or 0.0) >= 65.0 for visit in visits])
    beds, clocks = _stays_days(folder), _leaving_clock(folder)
    stays: list[Stay] = []

    def ward(key: str, came: float, age: float, acuity: int | None) -> None:
        day = came // 24.0 + float(rng.choice(beds))
        left = max(day * 24.0 + float(rng.choice(clocks)), came + 6.0)
        band = min(int(age // 18), 4)
        stays.append(Stay(key, WARDS[2 * band + int(rng.integers(2))], came, left, age, acuity))

    for i, count in enumerate(counts):
        in_surge = surge_day is not None and surge_day * 24 <= i < surge_day * 24 + SURGE_H
        extra = (count + int(rng.integers(2))) // 2 if in_surge else 0
        for number in range(count + extra):
            weight = weights if number < count else weights * old
            which = int(rng.choice(len(visits), p=weight / weight.sum()))
            came = first + i + float(rng.random())
            left = came + float(minutes[which]) / 60.0
            triage, key = visits[which].triage, f"{i}-{number}"
            age = triage.age_years or 0.0
            stays.append(Stay(key, EMERGENCY, came, left, age, triage.acuity))
            if visits[which].admitted:
                ward(key, left, age, triage.acuity)
        moment = series.calendar.at(first + i)
        if moment.hour_of_week < 5 * 24 and moment.hour_of_week % 24 in ELECTIVE:
            for number in range(int(counts[i - 5]) if i >= 5 else 0):
                like = visits[int(rng.choice(len(visits)))].triage
                ward(f"{i}-e{number}", first + i + float(rng.random()), like.age_years or 0.0, None)
    return Simulated(first, days * 24, tuple(stays))


def visits_of_2020(folder: Path) -> tuple[list[nhamcs.TriagedVisit], Doubles]:
    """Visits of 2020 of known length, and their lengths in minutes."""
    found = [
        (visit, minutes)
        for visit, minutes in nhamcs.lengths(folder / "flow/nhamcs_ed_2016_2020.parquet", 2020)
        if minutes > 0
    ]
    return [visit for visit, _ in found], np.array([minutes for _, minutes in found])


def _stays_days(folder: Path) -> Doubles:
    """Lengths of stay of the Challenge 2012, in days."""
    found = texts(folder / "icu/challenge2012_set-a.tar.gz", lambda names: [n for n in names if "Outcomes" in n])
    rows = csv.DictReader(io.StringIO(next(iter(found.values())).decode()))
    days = np.array([float(row["Length_of_stay"]) for row in rows])
    return np.asarray(days[(days > 0) & (days <= _LONGEST_D)])


def _leaving_clock(folder: Path) -> Doubles:
    """The hours of the day, with fractions, at which somebody was discharged."""
    path = folder / "icu/mimic_iv_demo_v2.2/core_csv.tar.xz"
    try:
        with tarfile.open(path) as files:
            name = next(name for name in files.getnames() if name.endswith("admissions.csv"))
            file = files.extractfile(name)
            rows = list(csv.DictReader(io.TextIOWrapper(file, encoding="utf-8"))) if file is not None else []
    except (OSError, tarfile.TarError, StopIteration) as error:
        raise SourceError(f"{path} has no admissions") from error
    times = [datetime.fromisoformat(row["dischtime"]) for row in rows if row["dischtime"]]
    return np.array([time.hour + time.minute / 60.0 for time in times])
