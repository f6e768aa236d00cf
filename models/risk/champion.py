"""The champion: logistic regression on scaled inputs, with oversampling of the rarer label, one example at a time.

It computes what River's `StandardScaler() | RandomOverSampler(LogisticRegression(AdaGrad(rate)))` computes, step by
step (tests compare the two), as arrays over all columns at once; the intercept is the weight of a column that is 1.
River's own classes go through dictionaries key by key: at the width of `features.COLUMNS` a score takes them some five
times as long as the arrays (`make bench`, part risk), and a score is to cost no more than 30 µs in all. As plain
numbers it is restored bit for bit, besides.

The hours of a patient come one after the other, with nearly the same inputs and mostly the same label. Steps that are
right for independent examples make the weights follow the last patient: on stays of the Challenge of 2012, SGD at a
rate of 0.005 had an AUROC of .64 where a batch regression has .79. AdaGrad (Duchi et al., JMLR 2011;12:2121) begins
fast and becomes as small as it must: .78.

One column may be log-odds that another model gives of such an outcome: the champion then begins at these instead of at
nothing, and learns what is to be added to them, in smaller steps and with fewer positives. They are an offset of the
regression (of weight 1, not learned; McCullagh and Nelder 1989, section 6.3.2). Where they are not known, their mean
stands for them. A base rate that was learned without them would be counted twice once they come, so the champion waits:
until the first log-odds it learns only how to scale. Where none has come in `WAITS_FOR` examples, it begins at nothing,
for good: log-odds that come later are a column like the others.

Columns that are NaN are not known: they change no mean, add nothing to the answer and move no weight, as keys that are
absent do in River. The oversampler's random numbers are Python's Mersenne Twister; its state is part of the model's.
"""

from math import exp, sqrt
from random import Random
from typing import Final, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from wardstream.models.risk.platt import pull

Doubles = npt.NDArray[np.float64]
EPSILON: Final = 1e-8  # River's own
WAITS_FOR: Final = 1_000  # examples: in a stream with the deep model one of the first few hours has its answer
AT_MOST: Final = 200  # steps on one example: the first positive after very many negatives would make thousands


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """How it learns.

    Attributes
    ----------
    rate, positives : float
        AdaGrad's rate, and the share of positives after oversampling.
    correcting_rate, correcting_positives : float
        The same once another model's log-odds have come to begin at.
    seed : int
        Of the draws.
    """

    rate: float = 0.01
    positives: float = 0.2
    correcting_rate: float = 0.001
    correcting_positives: float = 0.05
    seed: int = 0


class Numbers(msgspec.Struct, frozen=True, kw_only=True):
    """The model as plain numbers: all there is to it. Lists are by column.

    Attributes
    ----------
    counts, means, variances : list
        Of the known values of each column.
    weights : list of float
        Of the scaled columns.
    squares : list of float
        Sums of the squared gradients of the weights: the optimiser's state.
    intercept, intercept_square : float
        Log-odds of the mean patient, without those that it begins at, and the same sum of its gradients.
    begins_at : int or None
        The column whose values are log-odds to begin at; None also where they came too late.
    waited : int
        How many examples came before the first of them.
    seen : list of (bool, int)
        How often each label came, in the order of its first coming.
    pivot : bool or None
        The more frequent label, which is not oversampled.
    random : list
        State of the Mersenne Twister (`random.Random.getstate`).
    """

    settings: Settings
    counts: list[int]
    means: list[float]
    variances: list[float]
    weights: list[float]
    squares: list[float]
    intercept: float
    intercept_square: float
    begins_at: int | None
    waited: int
    seen: list[tuple[bool, int]]
    pivot: bool | None
    random: tuple[int, tuple[int, ...], float | None]


class Said(NamedTuple):
    """Log-odds, and what each column added to them (weight × scaled value), shape (columns,).

    The column that it begins at added also by how much its value is above its mean.
    """

    logit: float
    added: Doubles


class Champion:
    """The model.

    Parameters
    ----------
    width : int
        Number of columns.
    settings : Settings
        How it learns.
    begins_at : int or None
        The column whose values are log-odds to begin at; None: it begins at nothing.
    """

    def __init__(self, width: int, settings: Settings, begins_at: int | None = None) -> None:
        self.settings = settings
        self._begins_at = begins_at
        self._waited = 0
        self._counts = np.zeros(width)
        self._means, self._variances, self._weights = np.zeros(width), np.zeros(width), np.zeros(width)
        self._deviations = np.full(width, np.inf)  # √variance; ∞ where it is 0, so that the scaled value is
        self._squares = np.zeros(width)
        self._intercept = self._intercept_square = 0.0
        self._seen: dict[bool, int] = {}
        self._pivot: bool | None = None
        self._random = Random(settings.seed)

    def say(self, row: Doubles) -> Said:
        """Log-odds of a row of columns, and what each added."""
        added, usual = self._scaled(row) * self._weights, self._intercept
        if self._begins_at is not None:
            mean = float(self._means[self._begins_at])
            added[self._begins_at] += self._beginning(row) - mean
            usual += mean
        return Said(usual + float(np.add.reduce(added)), added)

    def learn(self, row: Doubles, happened: bool) -> None:
        """Learn from a row and its label."""
        waits = self.waits(row)
        self._learn_scale(row)
        if waits:
            self._waited += 1
            if self._waited == WAITS_FOR:
                self._begins_at = None
            return
        scaled, beginning = self._scaled(row), self._beginning(row)
        rate, positives = self.settings.rate, self.settings.positives
        if self._begins_at is not None:
            rate, positives = self.settings.correcting_rate, self.settings.correcting_positives
        for _ in range(self._draw(happened, positives)):
            steep = pull(beginning + self._intercept + float((scaled * self._weights).sum()), happened)
            gradient = steep * scaled
            self._squares += gradient * gradient
            self._weights -= rate / np.sqrt(self._squares + EPSILON) * gradient
            self._intercept_square += steep * steep
            self._intercept -= rate / sqrt(self._intercept_square + EPSILON) * steep

    def waits(self, row: Doubles) -> bool:
        """Whether it would not learn from a row, because it waits for log-odds to begin at."""
        begins_at = self._begins_at
        return begins_at is not None and not self._counts[begins_at] and bool(np.isnan(row[begins_at]))

    def _beginning(self, row: Doubles) -> float:
        """The log-odds to begin at: the mean where they are not known, 0 as long as none has come."""
        if self._begins_at is None:
            return 0.0
        known = float(row[self._begins_at])
        return known if known == known else float(self._means[self._begins_at])

    def _scaled(self, row: Doubles) -> Doubles:
        scaled: Doubles = (row - self._means) / self._deviations
        return np.where(scaled == scaled, scaled, 0.0)  # NaN is not itself

    def _learn_scale(self, row: Doubles) -> None:
        known = row == row
        self._counts += known
        counts, means, variances = self._counts, self._means, self._variances
        away = row - means
        np.add(means, away / np.maximum(counts, 1.0), out=means, where=known)
        np.add(variances, (away * (row - means) - variances) / np.maximum(counts, 1.0), out=variances, where=known)
        np.sqrt(variances, out=self._deviations)
        self._deviations[variances == 0.0] = np.inf

    def _draw(self, happened: bool, positives: float) -> int:
        """How often to learn from an example of a label (`river.imblearn.RandomOverSampler`)."""
        seen = self._seen
        seen[happened] = seen.get(happened, 0) + 1
        if happened == self._pivot:
            return 1
        wanted = {True: positives, False: 1.0 - positives}
        self._pivot = max(seen, key=lambda label: seen[label] / wanted[label])
        rate = seen[self._pivot] / wanted[self._pivot] * wanted[happened] / seen[happened]
        return self._poisson(min(rate, AT_MOST))

    def _poisson(self, rate: float) -> int:
        """`river.utils.random.poisson`."""
        limit, drawn, product = exp(-rate), 0, 1.0
        while product > limit:
            drawn += 1
            product *= self._random.random()
        return drawn - 1

    def numbers(self) -> Numbers:
        """All there is to it."""
        version, words, gauss = self._random.getstate()
        return Numbers(
            settings=self.settings,
            counts=[int(count) for count in self._counts],
            means=self._means.tolist(),
            variances=self._variances.tolist(),
            weights=self._weights.tolist(),
            squares=self._squares.tolist(),
            intercept=self._intercept,
            intercept_square=self._intercept_square,
            begins_at=self._begins_at,
            waited=self._waited,
            seen=list(self._seen.items()),
            pivot=self._pivot,
            random=(version, words, gauss),
        )

    @staticmethod
    def restored(numbers: Numbers) -> "Champion":
        """The model that `numbers` are of, bit for bit."""
        model = Champion(len(numbers.weights), numbers.settings, numbers.begins_at)
        model._waited = numbers.waited
        model._counts = np.array(numbers.counts, np.float64)
        model._means = np.array(numbers.means, np.float64)
        model._variances = np.array(numbers.variances, np.float64)
        model._weights = np.array(numbers.weights, np.float64)
        model._deviations = np.sqrt(model._variances)
        model._deviations[model._variances == 0.0] = np.inf
        model._squares = np.array(numbers.squares, np.float64)
        model._intercept, model._intercept_square = numbers.intercept, numbers.intercept_square
        model._seen = dict(numbers.seen)
        model._pivot = numbers.pivot
        model._random.setstate(numbers.random)
        return model
