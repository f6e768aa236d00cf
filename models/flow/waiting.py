"""How long a patient will wait after triage: two quantiles, learnt online.

A linear model of the logarithm of the wait for each level, by stochastic gradients of the pinball loss (Koenker and
Bassett 1978) with AdaGrad steps, so that rare complaints move as soon as common ones. The share of waits that fall
below is kept at the level by an offset of its own (adaptive conformal inference: Gibbs and Candès 2021). What may be
known is what triage knows (`admission.Triage`) and, where a department counts it, how many wait before the patient.

What it is worth depends on that count. Without it, over many hospitals, it says hardly more than a constant does.
"""

from __future__ import annotations

import math
from typing import Final

from wardstream.models.flow.admission import Feature, Triage, features

LEVELS: Final = (0.5, 0.9)
STEP: Final = 0.08
OFFSET_STEP: Final = 0.01
FIRST: Final = math.log1p(20.0)  # minutes


def known(triage: Triage | None, waiting: int | None = None) -> list[Feature]:
    """The features of a patient at triage, of whom `waiting` others will be seen before; None, nothing: a constant."""
    found: list[Feature] = [("", 1.0)]
    if triage is not None:
        found += [one for one in features(triage) if one[0] and not one[0].startswith("pair")]
    if waiting is not None:
        found += [("queue", math.log1p(waiting)), (f"queue:{min(waiting, 20)}", 1.0)]
    return found


class WaitingTime:
    """The quantiles of `LEVELS`, in minutes."""

    def __init__(self) -> None:
        self.weights: tuple[dict[str, float], ...] = tuple({"": FIRST} for _ in LEVELS)
        self.squares: tuple[dict[str, float], ...] = tuple({} for _ in LEVELS)
        self.offsets: list[float] = [0.0 for _ in LEVELS]

    def quantiles(self, found: list[Feature]) -> tuple[float, ...]:
        """Minutes that the wait will not exceed, with the probability of each level; they do not cross."""
        said = [self._log(i, found) + self.offsets[i] for i in range(len(LEVELS))]
        return tuple(max(math.expm1(min(log, 12.0)), 0.0) for log in (said[0], max(said)))

    def learn(self, found: list[Feature], minutes: float) -> tuple[float, ...]:
        """Take in how long it was; returns what was said before."""
        said = self.quantiles(found)
        wait = math.log1p(minutes)
        for i, level in enumerate(LEVELS):
            # Of whole minutes many are equal, and many are nought: half of those on the line count as below.
            below = 0.5 if minutes == round(said[i]) else float(minutes < said[i])
            self.offsets[i] += OFFSET_STEP * (level - below)
            gradient = float(self._log(i, found) + self.offsets[i] > wait) - level
            weights, squares = self.weights[i], self.squares[i]
            for name, x in found:
                step = gradient * x
                squares[name] = squares.get(name, 0.0) + step * step
                weights[name] = weights.get(name, 0.0) - STEP * step / math.sqrt(1e-2 + squares[name])
        return said

    def _log(self, i: int, found: list[Feature]) -> float:
        weights = self.weights[i]
        return sum(weights.get(name, 0.0) * x for name, x in found)
