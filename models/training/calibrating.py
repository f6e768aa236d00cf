"""Turning log-odds into probabilities that hold: Platt's line and isotonic steps, fitted on validation patients.

Sources: Platt, Advances in Large Margin Classifiers 1999;61; Zadrozny and Elkan, KDD 2002;694. Slope and intercept of
calibration: Cox, Biometrika 1958;45:562 (1 and 0 are perfect).
"""

import numpy as np
import numpy.typing as npt

from wardstream.models.sepsis import Calibration, sigmoid

Doubles = npt.NDArray[np.float64]


def platt(label: npt.ArrayLike, logit: npt.ArrayLike) -> tuple[float, float]:
    """Slope and intercept of the logistic regression of the label on the log-odds, by Newton's method.

    Raises
    ------
    ValueError
        There are not both labels.
    """
    y, x = np.asarray(label, np.float64), np.asarray(logit, np.float64)
    if not 0 < y.sum() < len(y):
        raise ValueError("calibration needs both labels")
    # Platt's own targets: slightly inside of 0 and 1, so that separable answers have a finite slope.
    targets = np.where(y == 1, (y.sum() + 1) / (y.sum() + 2), 1 / (len(y) - y.sum() + 2))
    design = np.stack([x, np.ones_like(x)], axis=1)
    found = np.array([1.0, float(np.log(y.mean() / (1 - y.mean())) - x.mean())])
    loss = _loss(design @ found, targets)
    for _ in range(100):
        said = sigmoid(design @ found)
        slopes = design.T @ (said - targets)
        bends = (design * (said * (1 - said))[:, None]).T @ design + 1e-9 * np.eye(2)
        step, size = np.linalg.solve(bends, slopes), 1.0
        while (new := _loss(design @ (found - size * step), targets)) > loss + 1e-12 and size > 1e-6:
            size /= 2
        found, before, loss = found - size * step, loss, new
        if abs(before - loss) < 1e-10 * len(y):
            break
    return float(found[0]), float(found[1])


def _loss(logit: Doubles, targets: Doubles) -> float:
    return float((np.logaddexp(0.0, logit) - targets * logit).sum())


def isotonic(label: npt.ArrayLike, logit: npt.ArrayLike) -> tuple[list[float], list[float]]:
    """Points of the rising step curve nearest to the labels (pool adjacent violators): log-odds and probabilities."""
    y, x = np.asarray(label, np.float64), np.asarray(logit, np.float64)
    order = np.argsort(x, kind="stable")
    blocks: list[list[float]] = []  # sum of labels, rows, sum of log-odds
    for at, value in zip(x[order], y[order], strict=True):
        blocks.append([value, 1.0, at])
        while len(blocks) > 1 and blocks[-2][0] * blocks[-1][1] >= blocks[-1][0] * blocks[-2][1]:
            last = blocks.pop()
            blocks[-1] = [a + b for a, b in zip(blocks[-1], last, strict=True)]
    return [at / n for _, n, at in blocks], [positive / n for positive, n, _ in blocks]


def fit(label: npt.ArrayLike, logit: npt.ArrayLike) -> Calibration:
    """Platt's line: with the few dozen septic patients of a fold, isotonic steps follow the noise."""
    slope, intercept = platt(label, logit)
    return Calibration(method="platt", slope=slope, intercept=intercept)


def logits(probability: npt.ArrayLike) -> Doubles:
    """Log-odds of probabilities, which are kept a millionth away from 0 and 1."""
    p = np.clip(np.asarray(probability, np.float64), 1e-6, 1 - 1e-6)
    return np.asarray(np.log(p / (1 - p)))
