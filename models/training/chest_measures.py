"""How good answers about films are, with intervals over images (patients are not known: they may be too narrow)."""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import numpy.typing as npt

BOOTSTRAPS: Final = 500
BINS: Final = 10

Doubles = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int8]
Measure = Callable[[Labels, Doubles], float]


def auroc(label: Labels, score: Doubles) -> float:
    """Area under the ROC curve, ties counting half; NaN when one class is absent."""
    positive = int((label == 1).sum())
    negative = len(label) - positive
    if not positive or not negative:
        return float("nan")
    _, place, count = np.unique(score, return_inverse=True, return_counts=True)
    rank = (np.cumsum(count) - (count - 1) / 2)[place]
    return float((rank[label == 1].sum() - positive * (positive + 1) / 2) / (positive * negative))


def balanced_accuracy(threshold: float) -> Measure:
    """Mean of sensitivity and specificity at a threshold that was fixed beforehand."""

    def measure(label: Labels, score: Doubles) -> float:
        said = score >= threshold
        if not (label == 1).any() or not (label == 0).any():
            return float("nan")
        return float((said[label == 1].mean() + (~said[label == 0]).mean()) / 2)

    return measure


def brier(label: Labels, probability: Doubles) -> float:
    """Mean squared error of the probability."""
    return float(np.mean((probability - label) ** 2))


def reliability(label: Labels, probability: Doubles) -> list[dict[str, float]]:
    """Bins of equal numbers of films: how many, what was said on average, what share had it."""
    parts = np.array_split(np.argsort(probability, kind="stable"), BINS)
    return [
        {"films": len(part), "said": float(probability[part].mean()), "happened": float(label[part].mean())}
        for part in parts
        if len(part)
    ]


def ece(label: Labels, probability: Doubles) -> float:
    """Expected calibration error over those bins."""
    found = reliability(label, probability)
    return float(sum(b["films"] * abs(b["said"] - b["happened"]) for b in found) / len(label))


def with_interval(measure: Measure, label: Labels, score: Doubles, seed: int) -> dict[str, Any]:
    """A measure and its 95 % bootstrap interval over images."""
    rng = np.random.default_rng(seed)
    drawn = [rng.integers(0, len(label), len(label)) for _ in range(BOOTSTRAPS)]
    found = np.array([measure(label[rows], score[rows]) for rows in drawn])
    low, high = np.nanquantile(found, (0.025, 0.975))
    return {"value": measure(label, score), "interval": [float(low), float(high)]}


def difference(measure: Measure, label: Labels, score: Doubles, other: Doubles, seed: int) -> dict[str, Any]:
    """How much better `score` is than `other` on the same films: paired bootstrap over images."""
    rng = np.random.default_rng(seed)
    drawn = [rng.integers(0, len(label), len(label)) for _ in range(BOOTSTRAPS)]
    found = np.array([measure(label[rows], score[rows]) - measure(label[rows], other[rows]) for rows in drawn])
    low, high = np.nanquantile(found, (0.025, 0.975))
    return {"value": measure(label, score) - measure(label, other), "interval": [float(low), float(high)]}


def platt(label: Labels, logit: Doubles) -> tuple[float, float]:
    """Slope and intercept of the logistic regression of the label on the log-odds (Platt 1999, with his targets)."""
    positive, count = float((label == 1).sum()), len(label)
    if not 0 < positive < count:
        raise ValueError("calibration needs both labels")
    targets = np.where(label == 1, (positive + 1) / (positive + 2), 1 / (count - positive + 2))
    design, found = (
        np.stack([logit, np.ones(count)], axis=1),
        np.array([0.0, float(np.log(positive / (count - positive)))]),
    )
    for _ in range(100):
        said = sigmoid(design @ found)
        step = np.linalg.solve(
            design.T @ (design * (said * (1 - said))[:, None]) + 1e-9 * np.eye(2), design.T @ (said - targets)
        )
        found = found - step * min(1.0, 2.0 / float(np.abs(step).max() + 1e-12))
        if np.abs(step).max() < 1e-9:
            break
    return float(found[0]), float(found[1])


def sigmoid(logit: Doubles) -> Doubles:
    """The probability of log-odds."""
    return np.asarray(1 / (1 + np.exp(-np.clip(logit, -80, 80))))
