"""Probabilities that can be taken at their word, kept so while the stream goes on: an online Platt layer.

A logistic regression on one number, the log-odds of a model (Platt 1999), that learns from each example by one step of
AdaGrad: the hours of a patient come one after the other, and steps of one size would make it follow the last patient.
A model that has learned from oversampled positives says too much, and needs it. It starts with slope 1 and intercept 0:
as if the model could be taken at its word.

Equal to River's `LogisticRegression(AdaGrad(rate))` on that feature and one that is 1, begun with these weights.
"""

from math import exp, log, sqrt

import msgspec

SURE = 1e-5  # a probability is taken no surer than that
EPSILON = 1e-8  # River's own
LOGIT_LIMIT = 12.0  # a probability of 6 in a million: beyond it a slope would follow single examples


class Platt(msgspec.Struct):
    """The layer: slope and intercept of the log-odds, AdaGrad's rate, and the sums of their squared gradients."""

    slope: float = 1.0
    intercept: float = 0.0
    rate: float = 0.05
    slope_square: float = 0.0
    intercept_square: float = 0.0

    def apply(self, logit: float) -> float:
        """The calibrated log-odds of a model's."""
        return self.slope * clipped(logit) + self.intercept

    def learn(self, logit: float, happened: bool) -> None:
        """Take one step towards what happened."""
        limited = clipped(logit)
        steep = pull(self.slope * limited + self.intercept, happened)
        self.slope_square += (steep * limited) ** 2
        self.slope -= self.rate / sqrt(self.slope_square + EPSILON) * steep * limited
        self.intercept_square += steep**2
        self.intercept -= self.rate / sqrt(self.intercept_square + EPSILON) * steep


def clipped(logit: float) -> float:
    """Log-odds within ±`LOGIT_LIMIT`."""
    return max(-LOGIT_LIMIT, min(LOGIT_LIMIT, logit))


def pull(logit: float, happened: bool) -> float:
    """Derivative of the log loss by the log-odds, as `river.optim.losses.Log.gradient` has it."""
    sign = 1 if happened else -1
    z = logit * sign
    if z > 18.0:
        return exp(-z) * -sign
    return float(-sign) if z < -18.0 else -sign / (exp(z) + 1.0)


def probability(logit: float) -> float:
    """Probability of log-odds, without overflow."""
    if logit >= 0:
        return 1.0 / (1.0 + exp(-logit))
    odds = exp(logit)
    return odds / (1.0 + odds)


def log_odds(probability: float) -> float:
    """Log-odds of a probability, finite."""
    limited = min(1.0 - SURE, max(SURE, probability))
    return log(limited / (1.0 - limited))
