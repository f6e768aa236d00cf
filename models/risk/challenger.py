"""The challenger: a Hoeffding adaptive tree (Bifet and Gavaldà 2009; River), one example at a time.

It looks at the values of the inputs that are known, without their ages: a tree of all columns learns four times slower,
and a value that is not known goes the way of most there already. It needs no scaling and no oversampling. Its state is
River's own objects; see `pickles`.
"""

from math import log
from typing import Final

import numpy as np
from river.tree import HoeffdingAdaptiveTreeClassifier

from wardstream.models.risk import pickles
from wardstream.models.risk.features import NAMES, Doubles

DEPTH: Final = 6
GRACE: Final = 500  # examples a leaf sees between looks for a split
SURE: Final = 1e-4  # no leaf is surer of anything: log-odds within ±9.2


class Challenger:
    """The tree."""

    def __init__(self, seed: int = 0) -> None:
        self._tree = HoeffdingAdaptiveTreeClassifier(grace_period=GRACE, max_depth=DEPTH, seed=seed)

    def say(self, row: Doubles) -> float:
        """Log-odds of a row of columns (`features.COLUMNS`); 0 before it has learned anything."""
        said = self._tree.predict_proba_one(_values(row))
        if not said:
            return 0.0
        happened = min(1.0 - SURE, max(SURE, float(said.get(True, 0.0))))
        return log(happened / (1.0 - happened))

    def learn(self, row: Doubles, happened: bool) -> None:
        """Learn from a row and its label."""
        self._tree.learn_one(_values(row), happened)

    def contributions(self, row: Doubles) -> list[tuple[str, float]]:
        """By how much the log-odds would be lower if an input were not known, of inputs that matter, largest first."""
        said, found = self.say(row), list[tuple[str, float]]()
        for place in np.flatnonzero(row[: len(NAMES)] == row[: len(NAMES)]).tolist():
            without = row.copy()
            without[place] = np.nan
            added = said - self.say(without)
            if added:
                found.append((NAMES[place], added))
        return sorted(found, key=lambda one: -abs(one[1]))

    def packed(self) -> bytes:
        """The tree as bytes."""
        return pickles.dump(self._tree, self._tree._rng)

    @staticmethod
    def restored(packed: bytes) -> "Challenger":
        """The tree of `packed`: only to be called on bytes whose signature holds.

        Raises
        ------
        pickles.Refused
            They are no such tree.
        """
        challenger = Challenger()
        challenger._tree = pickles.load(packed, HoeffdingAdaptiveTreeClassifier)
        return challenger


def _values(row: Doubles) -> dict[str, float]:
    values = row[: len(NAMES)]
    known = np.flatnonzero(values == values)
    return {NAMES[place]: value for place, value in zip(known.tolist(), values[known].tolist(), strict=True)}
