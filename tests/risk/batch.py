"""What the online champion is held against: a logistic regression that has all examples at once.

The same columns, scaled by the training rows; what is not known is the mean. Fitted to the minimum of the penalised log
loss by L-BFGS.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

Doubles = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]
PENALTY = 1e-4  # of the squared weights, beside the mean log loss


class BatchRegression:
    """The regression, fitted to rows of columns (n, columns), NaN unknown, and labels (n,)."""

    def __init__(self, rows: Floats, labels: npt.NDArray[np.bool_]) -> None:
        with np.errstate(invalid="ignore", divide="ignore"):
            count = np.maximum((~np.isnan(rows)).sum(axis=0), 1)
            self._mean = np.nansum(rows, axis=0, dtype=np.float64) / count
            deviation = np.sqrt(
                np.nansum((rows - self._mean.astype(np.float32)) ** 2, axis=0, dtype=np.float64) / count
            )
        self._deviation = np.where(deviation > 0, deviation, np.inf)
        x, y = self._scaled(rows), labels.astype(np.float32)

        def loss(weights: Doubles) -> tuple[float, Doubles]:
            w = weights.astype(np.float32)
            logit = (x @ w[1:] + w[0]).astype(np.float64)
            said = 0.5 * (1 + np.tanh(0.5 * logit))
            off = (said - y) / len(y)
            gradient = np.concatenate([[off.sum()], (x.T @ off.astype(np.float32)).astype(np.float64)])
            gradient[1:] += 2 * PENALTY * weights[1:]
            value = np.mean(np.logaddexp(0, logit) - y * logit) + PENALTY * (weights[1:] ** 2).sum()
            return float(value), gradient

        self._weights = minimize(loss, np.zeros(x.shape[1] + 1), jac=True, method="L-BFGS-B",
                                 options={"maxiter": 500}).x  # fmt: skip

    def _scaled(self, rows: Floats) -> Floats:
        scaled = (rows - self._mean.astype(np.float32)) / self._deviation.astype(np.float32)
        return np.nan_to_num(scaled, nan=0.0).astype(np.float32)

    def say(self, rows: Floats) -> Doubles:
        """Log-odds, shape (n,)."""
        return (self._scaled(rows) @ self._weights[1:].astype(np.float32) + self._weights[0]).astype(np.float64)
