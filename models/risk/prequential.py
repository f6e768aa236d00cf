"""How good predictions were that were made before their label was learned from: since start, lately, and by unit.

What is judged is the probability that was told at the time of the prediction, so by a model that had learned only from
what had been told by then. A model that is asked when the label comes may have learned from the hours before of the
very same patient, and looks better than it is.

Counts are kept by steps of `STEP` of the log-odds, positives and negatives apart: a few hundred whole numbers say
ranking and calibration of any number of predictions, can be added and subtracted, and are restored exactly. Brier score
and log loss are sums of the probabilities themselves. "Lately" are the last `BLOCKS` blocks of `BLOCK` predictions.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from math import log
from typing import Final, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from wardstream.models.training.measures import auprc, auroc

STEP: Final = 0.05
LIMIT: Final = 12.0
STEPS: Final = int(2 * LIMIT / STEP)
BLOCK: Final = 500
BLOCKS: Final = 20
UNITS: Final = 64  # more units than that are one, `OTHER_UNITS`
OTHER_UNITS: Final = "other units"
BY_UNIT_FROM: Final = (200, 10)  # predictions, positives: of fewer nothing is said
SURE: Final = 1e-6  # a probability is taken no surer than that in the log loss
_NEWTON: Final = 50
_CALIBRATION_BINS: Final = 10

Doubles = npt.NDArray[np.float64]
_LOGITS: Final = np.linspace(-LIMIT + STEP / 2, LIMIT - STEP / 2, STEPS)
_SAID: Final = 0.5 * (1.0 + np.tanh(0.5 * _LOGITS))
_ROWS: Final = np.concatenate([_LOGITS, _LOGITS])
_LABELS: Final = np.repeat(np.array([0, 1], np.int8), STEPS)


class Measures(NamedTuple):
    """Of so many predictions, of which so many came true; NaN where it cannot be said.

    `slope`: of the logistic regression of the label on the log-odds: 1 is right, less is too sure of itself.
    `expected`: the sum of the probabilities over the number that came true.
    """

    predictions: int
    positives: int
    auroc: float
    auprc: float
    brier: float
    log_loss: float
    slope: float
    expected: float
    ece: float


class Bin(NamedTuple):
    """Predictions of a range: how many, the sum of their probabilities, and how many came true. Bins add up."""

    predictions: int
    expected: float
    positives: int


class Tally(msgspec.Struct):
    """Counts of predictions by step of their log-odds (sparse, by number of the step), and sums over them."""

    negative: dict[int, int] = {}
    positive: dict[int, int] = {}
    squares: float = 0.0
    losses: float = 0.0
    said: float = 0.0
    count: int = 0

    def add(self, probability: float, happened: bool) -> None:
        """Count one prediction."""
        limited = min(1.0 - SURE, max(SURE, probability))
        step = min(STEPS - 1, max(0, int((log(limited / (1.0 - limited)) + LIMIT) / STEP)))
        counts = self.positive if happened else self.negative
        counts[step] = counts.get(step, 0) + 1
        self.squares += (probability - happened) ** 2
        self.losses += loss(probability, happened)
        self.said += probability
        self.count += 1

    @property
    def positives(self) -> int:
        return sum(self.positive.values())

    def measures(self) -> Measures:
        """What they say."""
        weights = np.zeros(2 * STEPS)
        for step, count in self.negative.items():
            weights[step] = count
        for step, count in self.positive.items():
            weights[STEPS + step] = count
        count, positives = self.count, self.positives
        some = count > 0
        return Measures(
            count,
            positives,
            auroc(_LABELS, _ROWS, weights),
            auprc(_LABELS, _ROWS, weights),
            self.squares / count if some else float("nan"),
            self.losses / count if some else float("nan"),
            _slope(weights),
            self.said / positives if positives else float("nan"),
            _ece(weights) if some else float("nan"),
        )

    def bins(self, edges: Sequence[float]) -> list[Bin]:
        """Calibration: those up to each edge (ascending, the last one 1), to a step of the log-odds."""
        found = [Bin(0, 0.0, 0) for _ in edges]
        for counts, happened in ((self.negative, False), (self.positive, True)):
            for step, count in counts.items():
                place = min(bisect_left(edges, float(_SAID[step])), len(edges) - 1)
                predictions, expected, positives = found[place]
                found[place] = Bin(
                    predictions + count, expected + count * float(_SAID[step]), positives + count * happened
                )
        return found


def loss(probability: float, happened: bool) -> float:
    """Log loss of one prediction."""
    limited = min(1.0 - SURE, max(SURE, probability))
    return -log(limited if happened else 1.0 - limited)


def together(tallies: Iterable[Tally]) -> Tally:
    """The sum of several."""
    made = Tally()
    for one in tallies:
        for mine, theirs in ((made.negative, one.negative), (made.positive, one.positive)):
            for step, count in theirs.items():
                mine[step] = mine.get(step, 0) + count
        made.squares += one.squares
        made.losses += one.losses
        made.said += one.said
        made.count += one.count
    return made


class Prequential(msgspec.Struct):
    """All predictions of one model: since start, in blocks of late, and by unit since start."""

    start: Tally = msgspec.field(default_factory=Tally)
    blocks: list[Tally] = []
    units: dict[str, Tally] = {}

    def add(self, probability: float, happened: bool, unit: str | None) -> None:
        """Count one prediction; `unit` None: not known."""
        self.start.add(probability, happened)
        if not self.blocks or self.blocks[-1].count >= BLOCK:
            self.blocks = [*self.blocks[1 - BLOCKS :], Tally()]
        self.blocks[-1].add(probability, happened)
        if unit is not None:
            name = unit if unit in self.units or len(self.units) < UNITS else OTHER_UNITS
            self.units.setdefault(name, Tally()).add(probability, happened)

    def late(self) -> Tally:
        """The last blocks together, the present one among them."""
        return together(self.blocks)

    def lately(self) -> Measures:
        """Over the last blocks."""
        return self.late().measures()

    def by_unit(self) -> dict[str, Measures]:
        """Since start, of the units with enough of them (`BY_UNIT_FROM`)."""
        least, positives = BY_UNIT_FROM
        enough = {unit: one for unit, one in self.units.items() if one.count >= least and one.positives >= positives}
        return {unit: one.measures() for unit, one in sorted(enough.items())}


def _slope(weights: Doubles) -> float:
    """Slope of the weighted logistic regression of the label on the log-odds, by Newton's method.

    A step that overshoots is halved.
    """
    used = weights > 0
    x, y, w = _ROWS[used], _LABELS[used].astype(np.float64), weights[used] / weights.sum()
    if len(np.unique(x)) < 2 or not 0 < (w * y).sum() < w.sum():
        return float("nan")

    def off_by(slope: float, intercept: float) -> float:
        logit = slope * x + intercept
        return float((w * (np.logaddexp(0.0, logit) - y * logit)).sum())

    slope, intercept, now = 1.0, 0.0, off_by(1.0, 0.0)
    for _ in range(_NEWTON):
        p = 0.5 * (1.0 + np.tanh(0.5 * (slope * x + intercept)))
        off, bend = w * (y - p), w * p * (1.0 - p)
        a, b, c = bend.sum(), (bend * x).sum(), (bend * x * x).sum()
        determinant = a * c - b * b
        if determinant <= 1e-12 * a * c:  # separated, or as good as
            return float("nan")
        by_slope = float(a * (off * x).sum() - b * off.sum()) / determinant
        by_intercept = float(c * off.sum() - b * (off * x).sum()) / determinant
        share = 1.0
        while (then := off_by(slope + share * by_slope, intercept + share * by_intercept)) > now + 1e-12:
            share /= 2.0
        slope, intercept, now = slope + share * by_slope, intercept + share * by_intercept, then
        if abs(by_slope) + abs(by_intercept) < 1e-9:
            return float(slope)
    return float("nan")


def _ece(weights: Doubles) -> float:
    """Mean distance of said and happened over tenths of the predictions, by probability."""
    negative, positive = weights[:STEPS], weights[STEPS:]
    counts = negative + positive
    before = np.concatenate([[0.0], np.cumsum(counts)])
    tenth = np.minimum(((before[:-1] + before[1:]) / 2 / counts.sum() * _CALIBRATION_BINS).astype(int), 9)
    off = [abs(((counts * _SAID) - positive)[tenth == part].sum()) for part in range(_CALIBRATION_BINS)]
    return float(sum(off) / counts.sum())
