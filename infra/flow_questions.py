"""What if, asked each noon of the simulated hospital, and what its simulator says to the same.

*delayed*: planned patients of the next day come a day later. *closed*: from now on there are two beds fewer than
patients; who comes waits for a bed, first come, first served.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from wardstream.infra.feeds.flow_hospital import Simulated
from wardstream.models.flow.arrivals import HORIZONS
from wardstream.models.flow.counts import Doubles, quantile
from wardstream.models.flow.unit import Delay, Inflow, Unit

DELAY: Final = Delay(within_h=24, by_h=24)
CLOSED: Final = 2
ASKED_H: Final = (8, 24)
NOON: Final = 11  # the hour that ends then
Answer = tuple[bool, float]  # whether the simulator was within, and the probability that it would be


class Questions:
    """Asks the wards from an hour on."""

    def __init__(self, simulated: Simulated, wards: Sequence[str], first: int) -> None:
        self._units = {name: simulated.unit(name) for name in wards}
        self._span = range(first, simulated.first + simulated.hours - max(ASKED_H) - 1)
        self._answers: dict[tuple[str, int], list[Answer]] = defaultdict(list)

    def __call__(self, hour: int, name: str, unit: Unit, inflows: Sequence[Inflow]) -> None:
        """Ask, if it is noon."""
        if name not in self._units or hour not in self._span or hour % 24 != NOON:
            return
        now = hour + 1
        there = self._units[name]
        delayed = unit.forecast(hour, inflows, DELAY)
        usual = unit.forecast(hour, inflows)
        beds = max(len(unit.present or ()) - CLOSED, 0)
        for h in ASKED_H:
            row = HORIZONS.index(h)
            self._judge(
                "planned patients delayed by a day", h, delayed.needed[row], there.there_if_delayed(now, DELAY, now + h)
            )
            short = _beyond(usual.needed[row], beds)
            self._judge("beds closed: who waits", h, short, there.waiting_if(now, beds, now + h))

    def answered(self) -> Iterator[tuple[str, int, list[Answer]]]:
        """What was asked, hours ahead, and the answers."""
        for (what, h), answers in sorted(self._answers.items()):
            yield what, h, answers

    def _judge(self, what: str, h: int, pmf: Doubles, came: int) -> None:
        low, high = (int(quantile(pmf[None], level)[0]) for level in (0.1, 0.9))
        self._answers[what, h].append((low <= came <= high, float(pmf[low : high + 1].sum())))


def _beyond(pmf: Doubles, beds: int) -> Doubles:
    """Distribution of how many are beyond some beds."""
    return np.concatenate([[pmf[: beds + 1].sum()], pmf[beds + 1 :]])
