"""How good answers about films are, with intervals over images (patients are not known: they may be too narrow)."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from wardstream.models.training.measures import BOOTSTRAPS, interval

Doubles = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int8]
Measure = Callable[[Labels, Doubles], float]


def balanced_accuracy(threshold: float) -> Measure:
    """Mean of sensitivity and specificity at a threshold that was fixed beforehand."""

    def measure(label: Labels, score: Doubles) -> float:
        said = score >= threshold
        if not (label == 1).any() or not (label == 0).any():
            return float("nan")
        return float((said[label == 1].mean() + (~said[label == 0]).mean()) / 2)

    return measure


def with_interval(measure: Measure, label: Labels, score: Doubles, seed: int) -> dict[str, Any]:
    """A measure and its 95 % bootstrap interval over images."""
    found = [measure(label[rows], score[rows]) for rows in _drawn(len(label), seed)]
    return {"value": measure(label, score), "interval": interval(found)}


def difference(
    measure: Measure, label: Labels, score: Doubles, other: Doubles, seed: int, level: float = 0.95
) -> dict[str, Any]:
    """How much better `score` is than `other` on the same films: paired bootstrap over images."""
    found = [measure(label[rows], score[rows]) - measure(label[rows], other[rows]) for rows in _drawn(len(label), seed)]
    return {"value": measure(label, score) - measure(label, other), "interval": interval(found, level)}


def _drawn(films: int, seed: int) -> list[npt.NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    return [rng.integers(0, films, films) for _ in range(BOOTSTRAPS)]
