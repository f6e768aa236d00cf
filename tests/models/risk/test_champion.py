"""The champion is River's scaler, oversampler and logistic regression, step by step; and comes back bit for bit."""

from __future__ import annotations

from random import Random

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from river import imblearn, linear_model, optim, preprocessing

from wardstream.models.risk.champion import Champion, Doubles, Numbers, Settings

WIDTH = 12


def rows(number: int, seed: int, rate: float) -> list[tuple[Doubles, bool]]:
    """Rows of which a third of the columns are not known, one has a single value, one is far from 0."""
    draw = np.random.default_rng(seed)
    values = draw.normal(size=(number, WIDTH)) * np.arange(1, WIDTH + 1) + 5
    values[:, 3] = 7.0
    values[:, 4] += 1e6
    happened = draw.random(number) < 1 / (1 + np.exp(-(0.5 * values[:, 0] - 2.5 + rate)))
    values[draw.random(values.shape) < 0.3] = np.nan
    return [(row, bool(label)) for row, label in zip(values, happened, strict=True)]


@pytest.mark.parametrize(("positives", "rate"), [(0.2, -4.0), (0.5, -2.0), (0.1, 1.0)])
def test_it_computes_what_river_computes(positives: float, rate: float) -> None:
    scaler = preprocessing.StandardScaler()
    optimizer = optim.AdaGrad(0.01)
    logistic = linear_model.LogisticRegression(optimizer, intercept_lr=0.0)
    sampler = imblearn.RandomOverSampler(logistic, {True: positives, False: 1 - positives}, seed=7)
    ours = Champion(WIDTH, Settings(rate=0.01, positives=positives, seed=7))
    learned = 0
    for row, happened in rows(1_500, 3, rate):
        known = {place: float(value) for place, value in enumerate(row) if value == value}
        said = ours.say(row)
        before = scaler.transform_one(known) | {"one": 1.0}
        assert said.logit == pytest.approx(logistic._raw_dot_one(before), rel=1e-9, abs=1e-9)
        scaler.learn_one(known)
        sampler.learn_one(scaler.transform_one(known) | {"one": 1.0}, happened)
        ours.learn(row, happened)
        learned += happened
    numbers = ours.numbers()
    assert learned > 20
    assert numbers.intercept == pytest.approx(logistic.weights["one"], rel=1e-9)
    assert numbers.intercept_square == pytest.approx(optimizer.g2["one"], rel=1e-9)
    assert dict(numbers.seen) == dict(sampler._actual_dist)
    assert numbers.pivot == sampler._pivot
    assert numbers.random == sampler._rng.getstate()  # so as many steps were made
    for place in range(WIDTH):
        assert numbers.counts[place] == scaler.counts[place]
        assert numbers.means[place] == pytest.approx(scaler.means[place], rel=1e-12)
        assert numbers.variances[place] == pytest.approx(scaler.vars[place], rel=1e-9)
        assert numbers.squares[place] == pytest.approx(optimizer.g2[place], rel=1e-8)
        assert numbers.weights[place] == pytest.approx(logistic.weights[place], rel=1e-8, abs=1e-10)


@given(st.integers(0, 300))
def test_it_goes_on_bit_for_bit(stop: int) -> None:
    known = rows(300, 5, -3.0)
    straight, stopped = Champion(WIDTH, Settings(seed=1)), Champion(WIDTH, Settings(seed=1))
    for row, happened in known:
        straight.learn(row, happened)
    for row, happened in known[:stop]:
        stopped.learn(row, happened)
    text = msgspec.json.encode(stopped.numbers())
    again = Champion.restored(msgspec.json.decode(text, type=Numbers))
    for row, happened in known[stop:]:
        again.learn(row, happened)
    assert msgspec.json.encode(again.numbers()) == msgspec.json.encode(straight.numbers())
    assert again.say(known[0][0]).logit == straight.say(known[0][0]).logit


def test_what_columns_added_is_all_there_is() -> None:
    model = Champion(WIDTH, Settings())
    for row, happened in rows(500, 1, -2.0):
        model.learn(row, happened)
    row = rows(1, 9, -2.0)[0][0]
    said = model.say(row)
    assert said.logit == pytest.approx(model.numbers().intercept + sum(said.added.tolist()))
    assert np.all(said.added[np.isnan(row)] == 0)


def test_nothing_known_teaches_the_base_rate_only() -> None:
    model, draw = Champion(3, Settings(positives=0.2)), Random(1)
    for _ in range(20_000):
        model.learn(np.full(3, np.nan), draw.random() < 0.02)
    assert model.numbers().weights == [0.0] * 3
    assert model.say(np.full(3, np.nan)).logit == pytest.approx(np.log(0.2 / 0.8), abs=0.5)


def test_a_first_positive_after_many_negatives_does_not_stop_the_stream() -> None:
    model = Champion(1, Settings(positives=0.5))
    for _ in range(3_000):
        model.learn(np.array([1.0]), False)
    before = model.say(np.array([1.0])).logit
    model.learn(np.array([1.0]), True)  # not 3,000 steps on one patient's hour
    assert before < model.say(np.array([1.0])).logit < 1.0
