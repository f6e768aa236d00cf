"""The calibration layer is River's logistic regression on one feature."""

from __future__ import annotations

from math import exp, inf
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from river import linear_model, optim

from wardstream.models.risk.platt import LOGIT_LIMIT, Platt, clipped, probability, pull


def test_it_learns_as_river_does() -> None:
    theirs = linear_model.LogisticRegression(optim.AdaGrad(0.01), intercept_lr=0.0)
    theirs.learn_one({"logit": 0.0, "one": 0.0}, False)  # so that there are weights to begin with
    theirs._weights["logit"] = 1.0
    ours, draw = Platt(rate=0.01), Random(1)
    for _ in range(2_000):
        logit = draw.gauss(-1, 3)
        happened = draw.random() < probability(0.5 * logit - 2)
        theirs.learn_one({"logit": clipped(logit), "one": 1.0}, happened)
        ours.learn(logit, happened)
        assert ours.slope == pytest.approx(theirs.weights["logit"], rel=1e-9)
        assert ours.intercept == pytest.approx(theirs.weights["one"], rel=1e-9, abs=1e-12)


def test_it_undoes_what_oversampling_does() -> None:
    """Log-odds that are 1 too high and not as steep as they should be."""
    layer, draw = Platt(), Random(2)
    for _ in range(40_000):
        truth = draw.gauss(-3, 1.5)
        layer.learn(0.7 * truth + 1, draw.random() < probability(truth))
    said = [(probability(layer.apply(0.7 * truth + 1)), probability(truth)) for truth in (-5.0, -3.0, -1.0)]
    assert all(abs(one - other) < 0.05 for one, other in said)


@given(st.floats(allow_nan=False))
def test_no_log_odds_are_too_large(logit: float) -> None:
    assert abs(clipped(logit)) <= LOGIT_LIMIT
    assert 0 <= probability(logit) <= 1
    if abs(logit) < inf:
        assert pull(logit, True) <= 0 <= pull(logit, False)


def test_the_pull_is_the_slope_of_the_loss() -> None:
    for logit in (-20.0, -3.0, 0.0, 0.7, 20.0):
        assert pull(logit, True) == pytest.approx(1 / (1 + exp(-logit)) - 1, rel=1e-6, abs=1e-8)
        assert pull(logit, False) == pytest.approx(1 / (1 + exp(-logit)), rel=1e-6, abs=1e-8)
