"""The forecasters of arrivals that are combined: the three that any other must beat, River's, and the state space.

Each is told every hour in turn, learns, and says the mean rate of later hours; what it does not say itself, how
uncertain that is, is measured on its errors (`spread`). A forecaster that has learnt the hour t knows nothing of any
later hour but the calendar: the weather it may use is that of t, observed at least a horizon before what is forecast.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final, Protocol

import numpy as np
from river import linear_model, optim, preprocessing, time_series

from wardstream.models.flow.calendar import WEEK, Calendar
from wardstream.models.flow.counts import Doubles
from wardstream.models.flow.state_space import StateSpace

LEAST: Final = 0.02  # the lowest mean rate that is said: nothing is impossible


class Member(Protocol):
    """One forecaster of one series."""

    def learn(self, hour: int, count: float, temperature_c: float | None) -> None:
        """Take in an hour; hours come one after the other."""
        ...

    def rates(self, hour: int, horizons: Sequence[int]) -> tuple[Doubles, Doubles | None]:
        """Mean of the rate at `hour + h` for each horizon, and its variance where the forecaster knows it itself."""
        ...


class HourOfWeek:
    """The mean of all counts of that hour of the week: a baseline."""

    def __init__(self, calendar: Calendar) -> None:
        self._calendar = calendar
        self.sums: Doubles = np.zeros(WEEK)
        self.hours: Doubles = np.zeros(WEEK)

    def learn(self, hour: int, count: float, temperature_c: float | None) -> None:
        slot = self._calendar.at(hour).hour_of_week
        self.sums[slot] += count
        self.hours[slot] += 1.0

    def rates(self, hour: int, horizons: Sequence[int]) -> tuple[Doubles, None]:
        slots = [self._calendar.at(hour + h).hour_of_week for h in horizons]
        mean = self.sums.sum() / max(self.hours.sum(), 1.0)  # an hour of the week that was never seen
        return np.where(self.hours[slots] > 0, self.sums[slots] / np.maximum(self.hours[slots], 1.0), mean), None


class SeasonalNaive:
    """What was counted at that hour a week before: a baseline, and the unit of MASE."""

    def __init__(self) -> None:
        self.counts: deque[float] = deque(maxlen=WEEK)

    def learn(self, hour: int, count: float, temperature_c: float | None) -> None:
        self.counts.append(count)

    def rates(self, hour: int, horizons: Sequence[int]) -> tuple[Doubles, None]:
        last = len(self.counts) - 1
        return np.array([self.counts[max(last + h - WEEK, h % (last + 1)) if last >= 0 else 0] for h in horizons]), None


class MovingAverage:
    """The mean of the last 24 hours: a baseline."""

    def __init__(self) -> None:
        self.counts: deque[float] = deque(maxlen=24)

    def learn(self, hour: int, count: float, temperature_c: float | None) -> None:
        self.counts.append(count)

    def rates(self, hour: int, horizons: Sequence[int]) -> tuple[Doubles, None]:
        return np.full(len(horizons), sum(self.counts) / max(len(self.counts), 1)), None


class HoltWinters:
    """River's exponential smoothing with the week as its season."""

    def __init__(self) -> None:
        self.model = time_series.HoltWinters(alpha=0.01, beta=1e-5, gamma=0.03, seasonality=WEEK, multiplicative=True)
        self.mean = MovingAverage()  # until a week has been seen; a quiet week has no multiplicative season

    def learn(self, hour: int, count: float, temperature_c: float | None) -> None:
        self.mean.learn(hour, count, temperature_c)
        self.model.learn_one(count + LEAST)

    def rates(self, hour: int, horizons: Sequence[int]) -> tuple[Doubles, None]:
        if not self.model._initialized:
            return self.mean.rates(hour, horizons)
        said = self.model.forecast(max(horizons))
        return np.array([said[h - 1] - LEAST for h in horizons]), None


class Snarimax:
    """River's SNARIMAX: the last hours, the same hour one and two weeks before, and the calendar."""

    def __init__(self, calendar: Calendar) -> None:
        self._calendar = calendar
        regressor = preprocessing.StandardScaler() | linear_model.LinearRegression(
            optimizer=optim.SGD(0.001), intercept_lr=0.001, l2=1e-4
        )
        self.model = time_series.SNARIMAX(p=2, d=0, q=1, m=WEEK, sp=2, sd=0, sq=0, regressor=regressor)
        self._known = lru_cache(256)(self._known_of)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_known"}  # a cache is made anew

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._known = lru_cache(256)(self._known_of)

    def _known_of(self, hour: int) -> dict[str, float]:
        moment = self._calendar.at(hour)
        week = 2.0 * np.pi * moment.hour_of_week / WEEK
        found = {f"{name}{k}": float(f(k * week)) for k in (1, 7, 14) for name, f in _WAVES}
        # No special days: scaled by a deviation of next to nothing, the first one would end the model.
        return found | {f"season{i}": value for i, value in enumerate(moment.season)}

    def learn(self, hour: int, count: float, temperature_c: float | None) -> None:
        self.model.learn_one(count, self._known(hour))

    def rates(self, hour: int, horizons: Sequence[int]) -> tuple[Doubles, None]:
        ahead = range(1, max(horizons) + 1)
        said = self.model.forecast(len(ahead), [self._known(hour + h) for h in ahead])
        return np.array([said[h - 1] for h in horizons]), None


_WAVES = (("sin", np.sin), ("cos", np.cos))


class Linear:
    """River's linear model on the log scale, one a horizon: the calendar of the hour, the weather and counts before."""

    def __init__(self, calendar: Calendar, horizons: Sequence[int]) -> None:
        self._calendar = calendar
        self.models = {
            h: linear_model.LinearRegression(
                loss=optim.losses.Poisson(), optimizer=optim.AdaGrad(0.05), intercept_lr=0.01, l2=1e-5
            )
            for h in horizons
        }
        self.waiting: dict[int, deque[dict[str, float]]] = {h: deque(maxlen=h) for h in horizons}
        self.mean = MovingAverage()
        self.temperature = 0.0

    def _at(self, hour: int) -> dict[str, float]:
        moment = self._calendar.at(hour)
        slot = moment.hour_of_week
        found = {f"hour{slot % 24}": 1.0, f"day{slot // 24}": 1.0, f"slot{slot}": 0.5}
        found |= {f"season{i}": value for i, value in enumerate(moment.season)}
        found |= dict.fromkeys(moment.special, 1.0)
        lately = self.mean.rates(hour, (1,))[0][0]
        return found | {"temperature": self.temperature, "lately": float(np.log(max(lately, LEAST)))}

    def learn(self, hour: int, count: float, temperature_c: float | None) -> None:
        for h, model in self.models.items():
            if len(self.waiting[h]) == h:
                model.learn_one(self.waiting[h][0], count)
        self.mean.learn(hour, count, temperature_c)
        if temperature_c is not None:
            self.temperature = (temperature_c - 10.0) / 10.0
        for h in self.models:
            self.waiting[h].append(self._at(hour + h))

    def rates(self, hour: int, horizons: Sequence[int]) -> tuple[Doubles, None]:
        return np.array([self.models[h].predict_one(self.waiting[h][-1]) for h in horizons]), None


class Space:
    """The state space (`state_space`), which knows how uncertain it is."""

    def __init__(self, calendar: Calendar) -> None:
        self.model = StateSpace(calendar)

    def learn(self, hour: int, count: float, temperature_c: float | None) -> None:
        self.model.learn(hour, count)

    def rates(self, hour: int, horizons: Sequence[int]) -> tuple[Doubles, Doubles]:
        return self.model.forecast(hour, horizons)


def members(calendar: Calendar, horizons: Sequence[int]) -> dict[str, Member]:
    """All of them, new. The first three are the baselines."""
    return {
        "hour of week": HourOfWeek(calendar),
        "seasonal naive": SeasonalNaive(),
        "moving average": MovingAverage(),
        "Holt-Winters": HoltWinters(),
        "SNARIMAX": Snarimax(calendar),
        "linear": Linear(calendar, horizons),
        "state space": Space(calendar),
    }


BASELINES: Final = ("hour of week", "seasonal naive", "moving average")
