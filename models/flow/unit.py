"""One unit: what it learns in an hour, and the distribution of beds it will need.

The hour's arrivals teach `arrivals`; whether each who was there has left teaches `stays`. Beds needed at a horizon are
the present who stay, plus those who will come and still be there (`beds`), given the shared effect of the day, mixed
over it, and calibrated online on the census that came. Who will come to a ward are those who are in an emergency
department now, each by the probability of being admitted; those who have yet to come there (`emergency.Inflow`); and
all others. Without inflows, all who come are others.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np

from wardstream.models.flow.arrivals import HORIZONS, Arrivals
from wardstream.models.flow.beds import add, poisson_binomial, still_there
from wardstream.models.flow.benchmarks import BENCHMARKS, WEEKS
from wardstream.models.flow.calendar import WEEK, Calendar
from wardstream.models.flow.calibration import Calibration
from wardstream.models.flow.counts import Doubles
from wardstream.models.flow.measures import Score, score
from wardstream.models.flow.members import BASELINES, Space
from wardstream.models.flow.state_space import StateSpace
from wardstream.models.flow.stays import Patients, RemainingStay

AHEAD: Final = max(HORIZONS)
RECENT: Final = 16  # of those who came last: what who will come is like
KEPT_FADES: Final = 0.98  # an arrival
PLANNED_FADES: Final = 0.995  # an arrival
FORECAST: Final = "forecast"
_LEAST: Final = 1e-9  # of a distribution that waits for its hour: tails below are not kept


class Present(NamedTuple):
    """One who is there. `since`: hours since 1970, with fractions; None: not known."""

    since: float
    age_years: float | None = None
    acuity: int | None = None
    sex: str | None = None


class Inflow(NamedTuple):
    """Who will come to a unit from another one.

    Attributes
    ----------
    present : (n, AHEAD)
        Probability that each who is there now comes in the k-th hour ahead.
    log_mean, covariance : (AHEAD,), (AHEAD, AHEAD)
        Of the logarithm of the rate at which more will arrive there.
    newcomers : (AHEAD, AHEAD)
        Probability that who arrives there in the j-th hour comes here in the k-th.
    """

    present: Doubles
    log_mean: Doubles
    covariance: Doubles
    newcomers: Doubles


class Delay(NamedTuple):
    """What if: planned patients who would come within the next `within_h` hours come `by_h` hours later.

    Planned is who is known to have been expected (`Came.planned`); whoever else comes from outside is not delayed.
    """

    within_h: int
    by_h: int


class Outlook(NamedTuple):
    """What is expected at each of `HORIZONS`, from the hour on that was learnt last.

    Attributes
    ----------
    needed : tuple of (size,)
        Distribution of beds needed at each horizon, calibrated.
    raw : tuple of (size,)
        The same before calibration.
    arrivals : tuple of (size,)
        Distribution of who comes in the hour at each horizon, calibrated.
    leaving : tuple of (size,)
        Distribution of how many of the present will have left at each horizon.
    expected : (AHEAD,)
        Mean number at the end of each hour ahead.
    """

    needed: tuple[Doubles, ...]
    raw: tuple[Doubles, ...]
    arrivals: tuple[Doubles, ...]
    leaving: tuple[Doubles, ...]
    expected: Doubles

    @property
    def peak_h(self) -> int:
        """In how many hours most beds are expected to be needed."""
        return int(np.argmax(self.expected)) + 1


class Came(NamedTuple):
    """Who came in an hour: all, of them planned, and of them from an emergency department (None: all the same)."""

    all: int
    planned: int = 0
    from_emergency: int | None = None


class Unit:
    """The forecaster of one unit. Hours come one after the other: `learn` one, then `say` what is expected."""

    def __init__(self, calendar: Calendar) -> None:
        self._calendar = calendar
        self.arrivals = Arrivals(calendar)
        self.others: StateSpace | None = None  # of arrivals, those from emergency apart
        self.stays = RemainingStay(calendar)
        self.calibration = Calibration(len(HORIZONS))
        self.present: dict[str, Present] | None = None
        self.recent: deque[Present] = deque(maxlen=RECENT)
        self.kept = 0.9  # share of who comes in an hour and is there at its end
        self.from_elsewhere = self.planned_of_them = 0.0  # who came otherwise than from emergency; both fade
        self.census: deque[float] = deque(maxlen=WEEK * WEEKS)
        self.waiting: list[deque[tuple[Doubles, Doubles, Doubles]]] = [deque(maxlen=h) for h in HORIZONS]

    def learn(
        self, hour: int, came: Came, present: Mapping[str, Present], temperature_c: float | None = None
    ) -> list[tuple[str, Score]]:
        """Take in an hour: how many came in it, and who is there at its end.

        Returns
        -------
        list
            What was said of this hour before and has come to be judged: of `arrivals` or `beds`, and the score.
        """
        there = float(len(present))
        scores = self._judge(hour, float(came.all), there)
        for row, waiting in enumerate(self.waiting):
            if len(waiting) == HORIZONS[row]:
                self.calibration.learn([row], np.asarray(waiting[0][1], dtype=np.float64)[None], there)
        if self.present is not None:
            before = list(self.present.items())
            left = np.array([key not in present or present[key].since != one.since for key, one in before], dtype=bool)
            self.stays.learn(hour, _people([one for _, one in before], hour), left)
        new = [one for one in present.values() if one.since >= hour]
        if came.all:
            fades = KEPT_FADES**came.all
            self.kept = fades * self.kept + (1.0 - fades) * min(len(new) / came.all, 1.0)
        others = came.all - (came.from_emergency or 0)
        if others:
            fades = PLANNED_FADES**others
            self.from_elsewhere = fades * self.from_elsewhere + others
            self.planned_of_them = fades * self.planned_of_them + min(came.planned, others)
        if came.from_emergency is None:
            self.others = None
        else:
            self.others = self.others or StateSpace(self._calendar)
            self.others.learn(hour, float(others))
        self.recent.extend(sorted(new, key=lambda one: one.since))
        judged = {one.horizon_h for what, one in scores if what == "arrivals"}
        for name, by_horizon in self.arrivals.learn(hour, float(came.all), temperature_c).items():
            if name in BASELINES:  # in the hours in which the forecast is scored, and no others
                told = ((h, pmf) for h, pmf in by_horizon.items() if h in judged)
                scores += [("arrivals", score(name, h, pmf, float(came.all), hour)) for h, pmf in told]
        self.present = dict(present)
        self.census.append(there)
        return scores

    def go_to(self, hour: int) -> None:
        """Go on to an hour over those that nobody has told. Of weeks one is gone over: more change no season."""
        assert self.arrivals.hour is not None
        missed = hour - self.arrivals.hour - 1
        if missed > WEEK:
            missed = missed % WEEK or WEEK
            self.arrivals.hour = hour - missed - 1
        for one in range(hour - missed, hour):
            self.miss(one)

    def miss(self, hour: int) -> None:
        """Go on over an hour of which nobody knows anything (a feed was down): nor who has left in it."""
        self.arrivals.learn(hour, None)
        if self.others is not None:
            self.others.learn(hour, None)
        self.present = None
        self.census.append(self.census[-1] if self.census else 0.0)
        for waiting in self.waiting:
            waiting.clear()

    def say(self, hour: int, inflows: Sequence[Inflow] = ()) -> Outlook:
        """The forecast from the hour on that was learnt last; it will be judged, and is to be made once an hour."""
        found = self.forecast(hour, inflows)
        for row, waiting in enumerate(self.waiting):
            waiting.append((_short(found.needed[row]), _short(found.raw[row]), _short(found.arrivals[row])))
        return found

    def forecast(self, hour: int, inflows: Sequence[Inflow] = (), delay: Delay | None = None) -> Outlook:
        """What is expected from the end of an hour on, given who was there then. Changes nothing.

        Parameters
        ----------
        inflows
            Who will come from emergency departments.
        delay
            What if planned patients came later.
        """
        there = _people(list((self.present or {}).values()), hour + 1)
        space = self.others if inflows and self.others is not None else self.space
        log_mean, covariance = space.log_rates(hour, range(1, AHEAD + 1))
        rates = _mean_rates(log_mean, covariance)
        planned = np.zeros(AHEAD) if delay is None else self._planned_of(space, rates, hour)
        nodes, weights = self.stays.effects()
        mixed: list[Doubles] = [np.zeros(1) for _ in HORIZONS]
        leaving: list[Doubles] = [np.zeros(1) for _ in HORIZONS]
        expected = np.zeros(AHEAD)
        for effect, weight in zip(nodes, weights, strict=True):
            staying = self.stays.survival(hour, there, AHEAD, effect)
            arriving = self._still_there(hour, effect)
            coming = arriving if delay is None else _delayed(arriving, delay, planned)
            sent = [(inflow.present @ arriving, inflow.newcomers @ arriving, inflow) for inflow in inflows]
            here = np.vstack([staying, *(one for one, _, _ in sent)])
            expected += weight * (here.sum(axis=0) + rates @ coming)
            for _, later, inflow in sent:
                expected += weight * (_mean_rates(inflow.log_mean, inflow.covariance) @ later)
            for i, h in enumerate(HORIZONS):
                new = still_there(log_mean[:h], covariance[:h, :h], coming[:h, h - 1])
                for _, later, inflow in sent:
                    new = add(new, still_there(inflow.log_mean[:h], inflow.covariance[:h, :h], later[:h, h - 1]))
                mixed[i] = _sum(mixed[i], weight * add(poisson_binomial(here[:, h - 1]), new))
                leaving[i] = _sum(leaving[i], weight * poisson_binomial(1.0 - staying[:, h - 1]))
        return Outlook(
            tuple(self.calibration.apply_row(i, pmf) for i, pmf in enumerate(mixed)),
            tuple(mixed),
            tuple(self.arrivals.forecast().calibrated),
            tuple(leaving),
            expected,
        )

    def _planned_of(self, space: StateSpace, rates: Doubles, hour: int) -> Doubles:
        """Share of who comes in each hour ahead, at these rates of a space, who are planned: (AHEAD,)."""
        if space is self.others or self.others is None:
            return np.full(AHEAD, self.planned)
        others = _mean_rates(*self.others.log_rates(hour, range(1, AHEAD + 1)))  # the rates are of emergency, too
        return np.asarray(self.planned * np.minimum(others / rates, 1.0))

    @property
    def rate(self) -> float:
        """Arrivals an hour, on the average of the two days to come; before the first hour nobody knows of any."""
        if self.arrivals.hour is None:
            return 0.0
        return float(_mean_rates(*self.space.log_rates(self.arrivals.hour, range(1, AHEAD + 1))).mean())

    @property
    def planned(self) -> float:
        """Share of those who come otherwise than from an emergency department who are planned; at first, nobody."""
        return self.planned_of_them / (1.0 + self.from_elsewhere)

    @property
    def space(self) -> StateSpace:
        """What knows the rate of all arrivals."""
        space = self.arrivals.members["state space"]
        assert isinstance(space, Space)
        return space.model

    def people(self, hour: int) -> tuple[list[Present], Patients]:
        """Who is there at the end of an hour, as persons and as the model of stays wants them."""
        there = list((self.present or {}).values())
        return there, _people(there, hour + 1)

    def newcomers(self, hour: int, effect: float = 0.0) -> Doubles:
        """Probability that who comes in the k-th hour is there at the end of the j-th: (AHEAD, AHEAD)."""
        return self._still_there(hour, effect)

    def _still_there(self, hour: int, effect: float) -> Doubles:
        like = _people(list(self.recent) or [Present(hour)], hour + 1)
        return self.kept * self.stays.newcomers(hour, like, AHEAD, effect)

    def _judge(self, hour: int, arrived: float, there: float) -> list[tuple[str, Score]]:
        found = []
        for row, waiting in enumerate(self.waiting):
            h = HORIZONS[row]
            if len(waiting) == h:
                needed, _, arrivals = (np.asarray(pmf, dtype=np.float64) for pmf in waiting[0])
                found.append(("beds", score(FORECAST, h, needed, there, hour)))
                found.append(("arrivals", score(FORECAST, h, arrivals, arrived, hour)))
                known = list(self.census)[: len(self.census) - h + 1]
                found += [("beds", score(name, h, one(known, h), there, hour)) for name, one in BENCHMARKS.items()]
        return found


def _delayed(arriving: Doubles, delay: Delay, planned: Doubles) -> Doubles:
    """Of who would come in the k-th hour the planned share comes by so many hours later: is there when who comes then
    is."""
    later = np.zeros_like(arriving)
    if delay.by_h < AHEAD:
        later[: AHEAD - delay.by_h] = arriving[delay.by_h :]
    share = np.where(np.arange(AHEAD) < delay.within_h, planned, 0.0)[:, None]
    return np.asarray((1.0 - share) * arriving + share * later)


def _mean_rates(log_mean: Doubles, covariance: Doubles) -> Doubles:
    return np.asarray(np.exp(log_mean + np.diag(covariance) / 2.0))


def _short(pmf: Doubles) -> Doubles:
    """Without a tail that nobody will miss, in four bytes a number: it waits in the unit's state."""
    return np.asarray(pmf[: int(np.flatnonzero(pmf > _LEAST)[-1]) + 1], dtype=np.float32)


def _people(present: list[Present], at: float) -> Patients:
    """At the beginning of an hour `at`."""
    unknown = float("nan")
    return Patients(
        np.array([at - one.since for one in present]),
        np.array([unknown if one.age_years is None else one.age_years for one in present]),
        np.array([unknown if one.acuity is None else one.acuity for one in present], dtype=float),
    )


def _sum(one: Doubles, other: Doubles) -> Doubles:
    found = np.zeros(max(len(one), len(other)))
    found[: len(one)] += one
    found[: len(other)] += other
    return found
