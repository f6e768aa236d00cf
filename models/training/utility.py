"""The utility of the PhysioNet/CinC Challenge 2019, as its organisers score it.

Source: Reyna et al., Crit Care Med 2020;48:210, and their evaluation code (github.com/physionetchallenges/
evaluation-2019, compute_prediction_utility): a prediction at hour t of a patient with onset t_sepsis (first positive
row + 6 h) earns up to 1 between 12 h before and 3 h after onset, best at 6 h before; a miss costs up to 2; a false
alarm 0.05. Normalised: 1 is the best possible series of predictions, 0 none at all.
"""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

EARLY: Final = -12
OPTIMAL: Final = -6
LATE: Final = 3
MAX_TP: Final = 1.0
MIN_FN: Final = -2.0
FP: Final = -0.05
TN: Final = 0.0

Doubles = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int8]


class Gains(NamedTuple):
    """What saying yes and saying no earns in each row."""

    yes: Doubles
    no: Doubles


def gains(labels: Labels) -> Gains:
    """Of one patient's rows, hour by hour, with their labels (0 or 1)."""
    rows = len(labels)
    positive = np.flatnonzero(labels)
    t = np.arange(rows, dtype=np.float64)
    if not len(positive):
        return Gains(np.full(rows, FP), np.full(rows, TN))
    since = t - (positive[0] - OPTIMAL)  # hours after onset
    scored = since <= LATE
    rising = MAX_TP / (OPTIMAL - EARLY) * (since - EARLY)
    falling = -MAX_TP / (LATE - OPTIMAL) * (since - LATE)
    yes = np.where(since <= OPTIMAL, np.maximum(rising, FP), falling)
    missed = MIN_FN / (LATE - OPTIMAL) * (since - OPTIMAL)
    no = np.where(since <= OPTIMAL, 0.0, missed)
    return Gains(np.where(scored, yes, 0.0), np.where(scored, no, 0.0))


def best(labels: Labels) -> float:
    """What the organisers hold to be the best series of predictions earns on one patient."""
    positive = np.flatnonzero(labels)
    if not len(positive):
        return 0.0
    onset = int(positive[0]) - OPTIMAL
    yes, no = gains(labels)
    said = np.zeros(len(labels), bool)
    said[max(0, onset + EARLY) : onset + LATE + 1] = True
    return float(np.where(said, yes, no).sum())


def normalised(accounts: npt.NDArray[np.float64], weights: npt.NDArray[np.float64] | None = None) -> float:
    """The utility of all patients; NaN without sepsis.

    Rows of `accounts` are (earned, best, earned by saying nothing), each counted `weights` times.
    """
    earned, possible, nothing = accounts.sum(axis=0) if weights is None else weights @ accounts
    return float((earned - nothing) / (possible - nothing)) if possible > nothing else float("nan")
