"""How good hourly answers are: ranking, calibration, alerts, utility; with intervals over patients.

The primary measure is `lead_h`: how many hours before onset an alert is on, at the same burden of alerts for all who
are compared. An alert starts when the probability reaches the threshold and has not in the `QUIET` hours before, so it
stays on until it has been below for so long. The threshold is the lowest at which no more than `BURDEN` alerts start
per patient-day, over all patients, up to onset. A patient with a known onset counts with onset minus the first hour of
the `CREDITED` before it in which the probability is at the threshold, and with 0 if there is none; an alert before that
is a burden only. Patients whose onset is unknown or who have no sepsis count in the burden.

AUROC, AUPRC, Brier score and calibration are those of the challenge's own label, hour by hour: 1 from 6 h before onset.
An hour in which no answer was given counts with probability 0 in AUROC, AUPRC and utility, so that abstaining is no
way to look better, and is left out of calibration.
"""

from collections.abc import Callable, Mapping
from itertools import pairwise
from statistics import NormalDist
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from wardstream.models.training.utility import best, gains, normalised

BURDEN: Final = 0.2  # alerts per patient-day: about one in five patients' days; 0.1 and 0.4 are reported too
BURDENS: Final = (0.1, BURDEN, 0.4)
QUIET: Final = 6
CREDITED: Final = 12  # the challenge's own: nothing earlier earns anything there
BINS: Final = 15
BOOTSTRAPS: Final = 500
TAIL: Final = 5

Doubles = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


class Answers(NamedTuple):
    """Hourly answers, patient by patient and hour by hour.

    Attributes
    ----------
    patient : (rows,)
        Number of the patient, from 0 without gaps, ascending.
    hour : (rows,)
        Hour of the stay, ascending within a patient.
    label : (rows,)
        The challenge's: 0 or 1.
    probability : (rows,)
        NaN where no answer was given.
    onset : (patients,)
        Hour of onset; NaN where there is none, or it is unknown.
    """

    patient: Ints
    hour: Ints
    label: npt.NDArray[np.int8]
    probability: Doubles
    onset: Doubles

    @property
    def filled(self) -> Doubles:
        """Probabilities with 0 where no answer was given."""
        return np.nan_to_num(self.probability)

    def only(self, rows: Flags) -> "Answers":
        """Some rows, of all patients."""
        return self._replace(**{n: getattr(self, n)[rows] for n in ("patient", "hour", "label", "probability")})


def auroc(label: npt.NDArray[np.int8], score: Doubles, weight: Doubles | None = None) -> float:
    """Area under the ROC curve, ties counting half; NaN when one class is absent."""
    return _area(*Ranked.of(label, score).counts(weight))


def _area(positive: Doubles, negative: Doubles) -> float:
    total = positive.sum() * negative.sum()
    if not total:
        return float("nan")
    below = np.cumsum(negative) - negative
    return float((positive * (below + negative / 2)).sum() / total)


def auprc(label: npt.NDArray[np.int8], score: Doubles, weight: Doubles | None = None) -> float:
    """Average precision: precision at each threshold, weighted by the recall gained; NaN without a positive."""
    return _precision(*Ranked.of(label, score).counts(weight))


def _precision(positive: Doubles, negative: Doubles) -> float:
    positive, negative = positive[::-1], negative[::-1]
    if not positive.sum():
        return float("nan")
    found, shown = np.cumsum(positive), np.cumsum(positive + negative)
    precision = np.divide(found, shown, out=np.zeros_like(found), where=shown > 0)
    return float((positive * precision).sum() / positive.sum())


class Ranked(NamedTuple):
    """Rows by score, ascending: their order, where each distinct score starts in it, which are positive.

    Sorting is what takes the time of a bootstrap, and does not depend on what is drawn.
    """

    order: npt.NDArray[np.intp]
    starts: npt.NDArray[np.intp]
    hits: Flags

    @staticmethod
    def of(label: npt.NDArray[np.int8], score: Doubles) -> "Ranked":
        """Sort by score."""
        order = np.argsort(score, kind="stable")
        ranked = score[order]
        starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]]) if len(score) else order
        return Ranked(order, starts, label[order] == 1)

    def counts(self, weight: Doubles | None) -> tuple[Doubles, Doubles]:
        """Weight of positives and of negatives at each distinct score, ascending; `weight` is by row, None: 1."""
        if not len(self.order):
            return np.zeros(0), np.zeros(0)
        counted = np.ones(len(self.order)) if weight is None else weight[self.order]
        return np.add.reduceat(counted * self.hits, self.starts), np.add.reduceat(counted * ~self.hits, self.starts)


def brier(label: npt.NDArray[np.int8], probability: Doubles) -> float:
    """Mean squared error of the probability."""
    return float(np.mean((probability - label) ** 2)) if len(label) else float("nan")


class Bin(NamedTuple):
    """Rows of similar probability: how many, what was said on average, and the share that was positive."""

    rows: int
    said: float
    happened: float


def reliability(label: npt.NDArray[np.int8], probability: Doubles, bins: int = BINS) -> list[Bin]:
    """Bins of equal numbers of rows, by probability."""
    order = np.argsort(probability, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    return [Bin(len(part), float(probability[part].mean()), float(label[part].mean())) for part in parts]


def ece(label: npt.NDArray[np.int8], probability: Doubles) -> float:
    """Expected calibration error: mean distance of said and happened over `BINS` bins of equal size."""
    found = reliability(label, probability)
    return float(sum(b.rows * abs(b.said - b.happened) for b in found) / len(label)) if found else float("nan")


def starts_and_peaks(answers: Answers) -> tuple[Doubles, Doubles]:
    """Each row's probability, and the largest of the `QUIET` hours before it in the same patient (−1: none).

    An alert of threshold h starts where the first is ≥ h and the second is not.
    """
    said = answers.filled
    before = np.full(len(said), -1.0)
    for back in range(1, QUIET + 1):
        same = (answers.patient[back:] == answers.patient[:-back]) & (
            answers.hour[back:] - answers.hour[:-back] <= QUIET
        )
        before[back:] = np.where(same, np.maximum(before[back:], said[:-back]), before[back:])
    return said, before


def _counted(answers: Answers) -> Flags:
    """Rows in which alerts are a burden: up to onset."""
    onset = answers.onset[answers.patient]
    return np.asarray(np.isnan(onset) | (answers.hour < onset))


def threshold_at(answers: Answers, burden: float) -> float:
    """The lowest threshold with at most `burden` alerts a patient-day; infinite when even the highest has more."""
    rows = _counted(answers)
    said, before = (column[rows] for column in starts_and_peaks(answers))
    allowed = burden * rows.sum() / 24
    levels = np.unique(said[said > 0])[::-1]
    # Alerts that start at level h: rows with said ≥ h, less those that were on already (the smaller of both ≥ h).
    reached = np.searchsorted(np.sort(-said), -levels, side="right")
    going_on = np.searchsorted(np.sort(-np.minimum(said, before)), -levels, side="right")
    too_many = np.flatnonzero(reached - going_on > allowed)
    usable = levels if not len(too_many) else levels[: too_many[0]]
    return float(usable[-1]) if len(usable) else float("inf")


def alerts_per_day(answers: Answers, threshold: float) -> float:
    """Alerts that start per patient-day, up to onset."""
    rows = _counted(answers)
    said, before = starts_and_peaks(answers)
    return float((rows & (said >= threshold) & (before < threshold)).sum() / (rows.sum() / 24))


def leads(answers: Answers, threshold: float) -> Doubles:
    """Hours before onset of each patient, 0 without an alert in time; NaN where there is no known onset."""
    onset = answers.onset[answers.patient]
    credited = (answers.hour >= onset - CREDITED) & (answers.hour < onset) & (answers.filled >= threshold)
    first = np.full(len(answers.onset), np.inf)
    np.minimum.at(first, answers.patient[credited], answers.hour[credited].astype(float))
    return np.where(np.isfinite(first), answers.onset - first, np.where(np.isnan(answers.onset), np.nan, 0.0))


def accounts(answers: Answers, threshold: float | Doubles) -> Doubles:
    """Utility of each patient: rows of (earned, best, nothing)."""
    yes, no, possible = _gains(answers)
    patients = len(answers.onset)
    earned = np.bincount(answers.patient, np.where(answers.filled >= threshold, yes, no), patients)
    return np.stack([earned, possible, np.bincount(answers.patient, no, patients)], axis=1)


def _gains(answers: Answers) -> tuple[Doubles, Doubles, Doubles]:
    """What saying yes and no earns in each row, and the best series of each patient."""
    yes, no, possible = np.zeros(len(answers.label)), np.zeros(len(answers.label)), np.zeros(len(answers.onset))
    cuts = np.r_[0, np.flatnonzero(np.diff(answers.patient)) + 1, len(answers.patient)]
    for begin, end in pairwise(cuts):
        if end > begin:
            yes[begin:end], no[begin:end] = gains(answers.label[begin:end])
            possible[answers.patient[begin]] = best(answers.label[begin:end])
    return yes, no, possible


def best_threshold(answers: Answers, steps: int = 60) -> float:
    """The threshold of the highest utility, among quantiles of the answers: to be found on validation patients."""
    said = answers.filled[answers.filled > 0]
    if not len(said):
        return float("inf")
    levels = np.unique(np.quantile(said, np.linspace(0.5, 0.995, steps)))
    yes, no, _ = _gains(answers)
    more, filled = yes - no, answers.filled
    return float(max(levels, key=lambda level: (more[filled >= level].sum(), level)))  # all else is the same for each


def weights(patients: int, times: int, seed: int) -> Doubles:
    """Bootstrap over patients: how often each is drawn, shape (times, patients)."""
    rng = np.random.default_rng(seed)
    return np.stack(
        [np.bincount(rng.integers(0, patients, patients), minlength=patients) for _ in range(times)]
    ).astype(np.float64)


def of_patients(
    answers: Answers, alert_at: float, utility_at: float | Doubles
) -> Mapping[str, Callable[[Doubles | None], float]]:
    """Measures as functions of how often each patient counts (None: once); for intervals and paired differences."""
    lead, ranked = leads(answers, alert_at), Ranked.of(answers.label, answers.filled)
    earned = accounts(answers, utility_at)

    def weighted(measure: Callable[[Doubles, Doubles], float]) -> Callable[[Doubles | None], float]:
        return lambda w: measure(*ranked.counts(None if w is None else w[answers.patient]))

    def mean_lead(w: Doubles | None) -> float:
        known = ~np.isnan(lead)
        counted = known.astype(float) if w is None else w * known
        return float((np.nan_to_num(lead) * counted).sum() / counted.sum()) if counted.sum() else float("nan")

    return {
        "lead_h": mean_lead,
        "auroc": weighted(_area),
        "auprc": weighted(_precision),
        "utility": lambda w: normalised(earned, w),
    }


def interval(values: npt.ArrayLike, level: float = 0.95) -> list[float] | None:
    """The middle share of bootstrap values; None when there is none.

    A tail with fewer than `TAIL` values is not told by them: then it is the normal one of their mean and spread.
    """
    known = np.asarray(values, np.float64)
    known = known[~np.isnan(known)]
    if not len(known):
        return None
    if len(known) * (1 - level) / 2 < TAIL:
        reach = NormalDist().inv_cdf((1 + level) / 2) * float(known.std())
        return [float(known.mean()) - reach, float(known.mean()) + reach]
    return [float(v) for v in np.quantile(known, [(1 - level) / 2, (1 + level) / 2])]
