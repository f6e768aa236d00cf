"""Probabilities that can be taken at their word, kept so while the stream goes on: an online Platt layer.

A logistic regression on one number, the log-odds of a model (Platt 1999), that learns from each example by one step of
gradient descent. A model that has learned from oversampled positives says too much, and needs it. It starts with slope
1 and intercept 0: as if the model could be taken at its word.

Equal to River's `LogisticRegression(SGD(rate), intercept_lr=rate, initializer=Constant(1))` on that one feature.
"""

from math import exp, log

import msgspec

SURE = 1e-5  # a probability is taken no surer than that
LOGIT_LIMIT = 12.0  # a probability of 6 in a million: beyond it a slope would follow single examples


class Platt(msgspec.Struct):
    """The layer: slope and intercept of the log-odds, and the rate at which they are learned."""

    slope: float = 1.0
    intercept: float = 0.0
    rate: float = 0.01

    def apply(self, logit: float) -> float:
        """The calibrated log-odds of a model's."""
        return self.slope * clipped(logit) + self.intercept

    def learn(self, logit: float, happened: bool) -> None:
        """Take one step towards what happened."""
        limited = clipped(logit)
        step = self.rate * pull(self.slope * limited + self.intercept, happened)
        self.slope -= step * limited
        self.intercept -= step


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
