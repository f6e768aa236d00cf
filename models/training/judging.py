"""What the card, `evaluate` and the gate say of a model, from its answers: one function for all three."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from wardstream.models.sepsis import Calibration, Inputs
from wardstream.models.training import measures as m
from wardstream.models.training.calibrating import logits, platt
from wardstream.models.training.recipe import Report
from wardstream.models.training.stays import UNLABELLED, Stays
from wardstream.models.training.windows import Hours, Run, answer

HOURS_OF_STAY: Final = ((1, 6), (7, 12), (13, 24), (25, 48), (49, 10_000))
AGES: Final = ((0, 45), (45, 65), (65, 80), (80, 200))
FEWEST: Final = 10  # positive rows and negative rows in a group, or its AUROC says nothing

Doubles = npt.NDArray[np.float64]
Places = Sequence[int] | npt.NDArray[np.intp]


def answers(stays: Stays, places: Places, hours: Hours, probability: Doubles) -> m.Answers:
    """Labelled hours with the probabilities given; NaN where serving would abstain."""
    label = np.concatenate([stays.labels(int(i)) for i in places])
    rows = label != UNLABELLED
    said = np.where(hours.answered, probability, np.nan)
    onset = np.array([stays.onset(int(i)) for i in places])
    return m.Answers(hours.stay[rows], hours.hour[rows], label[rows], said[rows], onset)


def ask(stays: Stays, places: Places, run: Run, report: Report, task: str) -> Hours:
    """All hours of some stays, with progress."""
    return answer(stays, places, run, lambda done, of: report(task, done, of))


def calibration_of(label: npt.NDArray[np.int8], probability: Doubles) -> dict[str, Any]:
    """Brier score, ECE, and slope and intercept of the log-odds (1 and 0 are perfect)."""
    try:
        slope, intercept = platt(label, logits(probability))
    except ValueError:  # one label only
        slope = intercept = float("nan")
    return {
        "brier": m.brier(label, probability),
        "ece": m.ece(label, probability),
        "slope": slope,
        "intercept": intercept,
    }


def judge(
    given: m.Answers, stays: Stays, places: Places, utility_at: float | Doubles, alert_at: float | None = None
) -> dict[str, Any]:
    """All measures, with intervals over patients, and by hour of stay, age and sex.

    Parameters
    ----------
    given : Answers
        Of the labelled hours.
    stays, places
        Whose they are.
    utility_at : float or (rows,)
        Threshold of the probability for the challenge's utility, found on other patients.
    alert_at : float or None
        Threshold for alerts; None: that of `BURDEN` in these answers themselves, as in comparisons.
    """
    threshold = m.threshold_at(given, m.BURDEN) if alert_at is None else alert_at
    functions = m.of_patients(given, threshold, utility_at)
    drawn = m.weights(len(given.onset), m.BOOTSTRAPS, seed=1)
    found: dict[str, Any] = {
        name: {"value": f(None), "interval": m.interval([f(w) for w in drawn])} for name, f in functions.items()
    }
    known = ~np.isnan(given.probability)
    said, label = given.probability[known], given.label[known]
    alarmed = given.filled >= threshold
    truly = int((alarmed & (given.label == 1)).sum())
    lead = m.leads(given, threshold)
    in_time = lead[~np.isnan(lead)] > 0
    return {
        **found,
        "calibration": calibration_of(label, said),
        "reliability": [bin_._asdict() for bin_ in m.reliability(label, said)],
        "alerts": {
            "threshold": threshold,
            "per_patient_day": m.alerts_per_day(given, threshold),
            "sensitivity_rows": truly / max(1, int((given.label == 1).sum())),
            "ppv_rows": truly / max(1, int(alarmed.sum())),
            "warned_share": float(in_time.mean()) if len(in_time) else None,
            "lead_h_by_burden": {
                str(burden): float(np.nanmean(m.leads(given, m.threshold_at(given, burden))))
                for burden in m.BURDENS
                if len(in_time)
            },
        },
        "confusion": confusion(given.label, alarmed),
        "counts": counts(given),
        "groups": groups(given, stays, places),
    }


def confusion(label: npt.NDArray[np.int8], alarmed: npt.NDArray[np.bool_]) -> dict[str, int]:
    """How many rows are alarmed rightly, missed, alarmed wrongly, left alone rightly."""
    positive = label == 1
    return {
        "true_positive": int((positive & alarmed).sum()),
        "false_negative": int((positive & ~alarmed).sum()),
        "false_positive": int((~positive & alarmed).sum()),
        "true_negative": int((~positive & ~alarmed).sum()),
    }


def counts(given: m.Answers) -> dict[str, int]:
    """How much the measures rest on."""
    return {
        "patients": len(given.onset),
        "septic_patients": len(np.unique(given.patient[given.label == 1])),
        "known_onsets": int((~np.isnan(given.onset)).sum()),
        "hours": len(given.label),
        "positive_hours": int((given.label == 1).sum()),
        "abstained_hours": int(np.isnan(given.probability).sum()),
    }


def groups(given: m.Answers, stays: Stays, places: Places) -> dict[str, dict[str, Any]]:
    """AUROC, AUPRC, calibration and what was said and happened on average, by group of hours or patients."""
    age = np.array([stays.age[int(i)] for i in places])[given.patient]
    sex = np.array([stays.sex[int(i)] for i in places])[given.patient]
    parts = {
        **{
            f"hour {a}–{b}" if b < 10_000 else f"hour {a} on": (given.hour >= a) & (given.hour <= b)
            for a, b in HOURS_OF_STAY
        },
        **{f"age {a}–{b - 1}" if b < 200 else f"age {a} on": (age >= a) & (age < b) for a, b in AGES},
        **{name: sex == name for name in ("female", "male")},
    }
    return {name: _group(given, rows) for name, rows in parts.items()}


def _group(given: m.Answers, rows: npt.NDArray[np.bool_]) -> dict[str, Any]:
    part = given.only(rows)
    positive = int((part.label == 1).sum())
    found: dict[str, Any] = {"hours": len(part.label), "positive_hours": positive}
    known = ~np.isnan(part.probability)
    if positive < FEWEST or len(part.label) - positive < FEWEST or not known.any():
        return found
    found |= {"auroc": m.auroc(part.label, part.filled), "auprc": m.auprc(part.label, part.filled)}
    said, label = part.probability[known], part.label[known]
    return {**found, "said": float(said.mean()), "happened": float(label.mean()), "ece": m.ece(label, said)}


def paired(
    one: m.Answers, other: m.Answers, at_one: Mapping[str, Any], at_other: Mapping[str, Any], level: float = 0.95
) -> dict[str, Any]:
    """Differences of two models on the same patients, with intervals: each draw of patients is the same for both.

    `at_…` are thresholds: alert, utility.
    """
    f = m.of_patients(one, at_one["alert"], at_one["utility"])
    g = m.of_patients(other, at_other["alert"], at_other["utility"])
    drawn = m.weights(len(one.onset), m.BOOTSTRAPS, seed=1)
    return {
        name: {
            "difference": f[name](None) - g[name](None),
            "interval": m.interval([f[name](w) - g[name](w) for w in drawn], level),
        }
        for name in f
    }


def score_curves(label: npt.NDArray[np.int8], score: Doubles, points: int = 200) -> dict[str, list[float]]:
    """Points of the ROC and of the precision-recall curve, for plots: evenly over the rows, and as many again ever
    closer to the highest scores, where precision changes fastest.
    """
    order = np.argsort(-score, kind="stable")
    hits = np.cumsum(label[order] == 1)
    shown = np.arange(1, len(order) + 1)
    evenly, closer = np.linspace(0, len(order) - 1, points), np.geomspace(1, max(1, len(order)), points) - 1
    at = np.unique(np.concatenate((evenly, closer)).astype(int))
    total = max(1, int(hits[-1])) if len(hits) else 1
    return {
        "recall": (hits[at] / total).tolist(),
        "false_positive_rate": ((shown - hits)[at] / max(1, len(order) - total)).tolist(),
        "precision": (hits[at] / shown[at]).tolist(),
    }


def calibrated(calibration: Calibration, hours: Hours) -> Doubles:
    """Calibrated probabilities of all hours."""
    return calibration.apply(hours.logit)


def sample(stays: Stays, size: int) -> Inputs:
    """Some windows of real stays: for parity and latency."""
    from wardstream.models.training.windows import inputs, to_judge

    cuts = to_judge(stays, range(len(stays)))
    step = max(1, len(cuts) // size)
    return inputs(stays, cuts[::step][:size])
