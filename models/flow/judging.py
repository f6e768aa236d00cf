"""What the forecasters are worth on recorded series: the stream's own order, each forecast made before it is scored."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from wardstream.models.flow.admission import AdmissionModel, Feature, Triage
from wardstream.models.flow.arrivals import HORIZONS, Arrivals
from wardstream.models.flow.calendar import WEEK, Calendar
from wardstream.models.flow.counts import Doubles, negative_binomial, quantile, size_for
from wardstream.models.flow.measures import Quality, mase, quality
from wardstream.models.flow.waiting import LEVELS as WAIT_LEVELS
from wardstream.models.flow.waiting import WaitingTime

Progress = Callable[[int], None]

COMBINED, CALIBRATED = "combined", "calibrated"


class Judged(NamedTuple):
    """Of the arrivals' forecasts.

    Attributes
    ----------
    quality : dict
        By horizon and forecaster.
    mase : dict
        By horizon and forecaster; the naive forecast of the scored span is 1.
    """

    quality: dict[int, dict[str, Quality]]
    mase: dict[int, dict[str, float]]


def judge_arrivals(
    first: int,
    counts: Doubles,
    temperature_c: Doubles,
    calendar: Calendar,
    scored_from: int,
    horizons: Sequence[int] = HORIZONS,
    progress: Progress = lambda done: None,
) -> Judged:
    """Go through a series hour by hour, and score the forecasts of the hours from the index `scored_from` on.

    The forecast of an hour at a horizon of h is the one made when the hour h before it had been learnt.
    """
    arrivals = Arrivals(calendar)
    rows = [HORIZONS.index(h) for h in horizons]
    names = (*arrivals.members, COMBINED, CALIBRATED)
    said: dict[tuple[int, str], list[Doubles]] = {(h, name): [] for h in horizons for name in names}
    for i, count in enumerate(counts):
        arrivals.learn(first + i, float(count), float(temperature_c[i]))
        if i + max(horizons) >= scored_from:
            opinion = arrivals.forecast()
            for h, row in zip(horizons, rows, strict=True):
                if scored_from <= i + h < len(counts):
                    alone = opinion.alone[:, row]
                    for name, pmf in zip(names, (*alone, opinion.combined[row], opinion.calibrated[row]), strict=True):
                        said[h, name].append(pmf.astype(np.float32))
        progress(i + 1)
    observed = counts[scored_from:]
    found: dict[int, dict[str, Quality]] = {}
    scaled: dict[int, dict[str, float]] = {}
    for h in horizons:
        for name in names:
            pmf = stacked(said.pop((h, name)))
            one = quality(pmf, observed)
            found.setdefault(h, {})[name] = one
            scaled.setdefault(h, {})[name] = mase(np.array([one.mae.value]), observed)
    return Judged(found, scaled)


class Floor(NamedTuple):
    """What is left to err where nothing but chance is: the true distribution is said, and counts are Poisson.

    Attributes
    ----------
    mae : float
        Mean absolute error of the median, counts.
    coverage : mapping
        What the central interval of whole counts covers, by its nominal share.
    """

    mae: float
    coverage: Mapping[float, float]


def poisson_floor(first: int, counts: Doubles, calendar: Calendar) -> Floor:
    """The floor for Poisson counts whose rates are those of each hour of the week in this very series."""
    slots = np.array([calendar.at(first + i).hour_of_week for i in range(len(counts))])
    rates = np.bincount(slots, counts, WEEK) / np.maximum(np.bincount(slots, minlength=WEEK), 1)
    said = negative_binomial(rates, np.zeros(WEEK), size_for(float(rates.max())))
    hours = np.bincount(slots, minlength=WEEK)
    numbers = np.arange(said.shape[1])
    errors = (said * np.abs(numbers - quantile(said, 0.5)[:, None])).sum(axis=1)
    coverage = {}
    for share in (0.8, 0.95):
        low, high = quantile(said, (1.0 - share) / 2.0)[:, None], quantile(said, (1.0 + share) / 2.0)[:, None]
        within = (said * ((low <= numbers) & (numbers <= high))).sum(axis=1)
        coverage[share] = float(np.average(within, weights=hours))
    return Floor(float(np.average(errors, weights=hours)), coverage)


def stacked(rows: Sequence[Doubles]) -> Doubles:
    """Distributions of different sizes as one array: (rows, size)."""
    found = np.zeros((len(rows), max(len(row) for row in rows)))
    for row, pmf in zip(found, rows, strict=True):
        row[: len(pmf)] = pmf
    return found


class Waits(NamedTuple):
    """What quantiles of waiting times were worth, by level.

    Attributes
    ----------
    covered : mapping
        Share of patients who did not wait longer.
    pinball : mapping
        Quantile loss, minutes.
    """

    covered: Mapping[float, float]
    pinball: Mapping[float, float]
    patients: int


def judge_waiting(patients: Iterable[tuple[list[Feature], float, bool]]) -> Waits:
    """Learn patients one by one (what was known, minutes), and score what was said of those that are to be scored."""
    model = WaitingTime()
    said, waited = [], []
    for found, minutes, scored in patients:
        before = model.learn(found, minutes)
        if scored:
            said.append(before)
            waited.append(minutes)
    truth, quantiles = np.array(waited), np.array(said)
    covered = {level: float((truth <= quantiles[:, i]).mean()) for i, level in enumerate(WAIT_LEVELS)}
    over = {level: truth - quantiles[:, i] for i, level in enumerate(WAIT_LEVELS)}
    losses = {q: float(np.maximum(q * beyond, (q - 1.0) * beyond).mean()) for q, beyond in over.items()}
    return Waits(covered, losses, len(truth))


class Outcome(Protocol):
    """A visit with what became of it."""

    @property
    def year(self) -> int: ...
    @property
    def triage(self) -> Triage: ...
    @property
    def admitted(self) -> bool: ...
    @property
    def weight(self) -> float: ...


class Answers(NamedTuple):
    """Of the visits of the scored year.

    Attributes
    ----------
    admitted, weight : (visits,)
    frozen : (visits,)
        Probability by a model that learnt nothing in that year.
    online : (visits,)
        Probability by one that went on learning, said before it learnt the visit.
    """

    admitted: Doubles
    weight: Doubles
    frozen: Doubles
    online: Doubles


def judge_admission(visits: Iterable[Outcome], year: int, progress: Progress = lambda done: None) -> Answers:
    """Learn the visits before a year one by one, then answer those of it; visits come in the order of time."""
    model = AdmissionModel()
    visits = list(visits)
    mean_weight = float(np.mean([visit.weight for visit in visits if visit.year < year]))
    before = [visit for visit in visits if visit.year < year]
    scored = [visit for visit in visits if visit.year == year]
    for i, visit in enumerate(before):
        model.learn(visit.triage, visit.admitted, visit.weight / mean_weight)
        progress(i + 1)
    frozen = [model.probability(visit.triage) for visit in scored]
    online = []
    for i, visit in enumerate(scored):
        online.append(model.learn(visit.triage, visit.admitted, visit.weight / mean_weight))
        progress(len(before) + i + 1)
    return Answers(
        np.array([float(visit.admitted) for visit in scored]),
        np.array([visit.weight for visit in scored]),
        np.array(frozen),
        np.array(online),
    )
