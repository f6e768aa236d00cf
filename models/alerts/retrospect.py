"""What alerts were worth on stays whose end is known: every episode is scored, with intervals over patients.

An episode begins when people are told anew: an alert is raised, raised again, or worsens. It is true if the outcome
comes after it, within its horizon: the prediction's own, or one that is the same for all others. All else is false:
before the horizon, after the outcome, or without one. Of a patient whose outcome's time is not known the episodes count
in the rate alone.

- rate: episodes a patient-day
- PPV: share of the episodes that are true
- sensitivity: share of the patients with an outcome of whom an episode is true
- lead time: from the first true episode to the outcome, median over the patients warned

Intervals are 95 % percentiles of a bootstrap over patients.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import isnan, nextafter
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from wardstream.models.training.measures import interval, weights
from wardstream.schemas.alerts import Priority

DRAWS: Final = 1000
DAY: Final = 86_400.0
HOUR: Final = 3600.0

Course = Sequence[tuple[float, float]]
Doubles = npt.NDArray[np.float64]


class Episode(NamedTuple):
    """People were told anew at a time (s since 1970), for so many seconds from then."""

    condition: str
    priority: Priority
    at: float
    horizon_s: float


class Observed(NamedTuple):
    """One stay: when it began and ended, when the outcome came (None: it did not), and what was told.

    `known`: whether the outcome's time is known, where there is one.
    """

    patient_id: str
    begins: float
    ends: float
    outcome: float | None
    known: bool
    episodes: tuple[Episode, ...]


class Estimate(NamedTuple):
    """A value and its 95 % interval; NaN where there is nothing to measure it by."""

    value: float
    low: float
    high: float


class Worth(NamedTuple):
    """What the episodes of one kind were worth; `lead_h` in hours."""

    episodes: int
    true: int
    per_day: Estimate
    ppv: Estimate
    sensitivity: Estimate
    lead_h: Estimate


def is_true(episode: Episode, stay: Observed) -> bool:
    """Whether the outcome comes after the episode, within its horizon."""
    return stay.outcome is not None and episode.at < stay.outcome <= episode.at + episode.horizon_s


def worth(stays: Sequence[Observed], chosen: Callable[[Episode], bool] = lambda _: True, draws: int = DRAWS) -> Worth:
    """Measure the episodes that are chosen.

    Parameters
    ----------
    stays : sequence of Observed
        Each patient once.
    draws : int
        Of the bootstrap.
    """
    number, counted, true, days, cases, lead = (np.zeros(len(stays)) for _ in range(6))
    for place, stay in enumerate(stays):
        episodes = [episode for episode in stay.episodes if chosen(episode)]
        days[place], number[place] = (stay.ends - stay.begins) / DAY, len(episodes)
        lead[place] = np.nan
        if not stay.known:
            continue
        hits = [episode.at for episode in episodes if is_true(episode, stay)]
        counted[place], true[place], cases[place] = len(episodes), len(hits), stay.outcome is not None
        if hits and stay.outcome is not None:
            lead[place] = (stay.outcome - min(hits)) / HOUR
    warned = ~np.isnan(lead)

    def measures(w: Doubles) -> tuple[float, float, float, float]:
        return (
            _ratio(w @ number, w @ days),
            _ratio(w @ true, w @ counted),
            _ratio(w @ (warned * cases), w @ cases),
            _median(lead[warned], w[warned]),
        )

    values = measures(np.ones(len(stays)))
    drawn = np.array([measures(w) for w in weights(len(stays), draws, seed=1)]) if len(stays) else np.empty((0, 4))
    estimates = [_estimate(value, drawn[:, column]) for column, value in enumerate(values)]
    return Worth(int(number.sum()), int(true.sum()), *estimates)


def told(said: Course, ends: float, threshold: float, end_share: float, again_s: float) -> int:
    """How often an alert on one patient's probabilities is told, if each time it is acknowledged at once.

    Parameters
    ----------
    said : sequence of (float, float)
        When (s since 1970) and what.
    ends : float
        When the stay does.
    threshold, end_share : float
        It is raised from the threshold on, and over below a share of it.
    again_s : float
        After how long it is raised again while it is not over.
    """
    number, last = 0, float("nan")
    for at, probability in (*said, (nextafter(ends, 0), float("nan"))):  # who leaves at that moment is not told of
        if not isnan(last):
            again = int((at - last) // again_s)
            number, last = number + again, last + again * again_s
        if isnan(last) and probability >= threshold:
            number, last = number + 1, at
        elif probability < threshold * end_share:
            last = float("nan")
    return number


def threshold_for(courses: Sequence[tuple[Course, float]], most: int, end_share: float, again_s: float) -> float:
    """The lowest threshold from which on, over all patients, alerts are told no more than so often.

    Parameters
    ----------
    courses : sequence
        Of each patient the probabilities with their times, and when the stay ends; the rest is as in `told`.

    Raises
    ------
    ValueError
        There is no probability.
    """
    every = np.array([probability for said, _ in courses for _, probability in said])
    if not len(every):
        raise ValueError("no probability")
    found = float(every.max()) * 1.0001
    for share in 1 - np.geomspace(1e-4, 1, 150):
        threshold = float(np.quantile(every, share))
        if threshold < found:
            if sum(told(said, ends, threshold, end_share, again_s) for said, ends in courses) > most:
                break
            found = threshold
    return found


def _ratio(part: Any, whole: Any) -> float:
    return float(part / whole) if whole > 0 else float("nan")


def _median(values: Doubles, w: Doubles) -> float:
    drawn = np.repeat(values, w.astype(int))
    return float(np.median(drawn)) if len(drawn) else float("nan")


def _estimate(value: float, drawn: Doubles) -> Estimate:
    found = interval(drawn)
    return Estimate(value, *(found or (float("nan"), float("nan"))))
