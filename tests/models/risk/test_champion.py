"""The champion is River's scaler, oversampler and logistic regression, step by step; it comes back bit for bit.

It may begin at log-odds in one of its columns.
"""

from __future__ import annotations

from random import Random

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from river import imblearn, linear_model, optim, preprocessing

from wardstream.models.risk.champion import WAITS_FOR, Champion, Doubles, Numbers, Settings

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


@given(st.integers(0, 300), st.sampled_from([None, 1]))
def test_it_goes_on_bit_for_bit(stop: int, begins_at: int | None) -> None:
    known = rows(300, 5, -3.0)
    straight, stopped = (Champion(WIDTH, Settings(seed=1), begins_at) for _ in range(2))
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


def test_it_begins_at_the_log_odds_of_a_column() -> None:
    """Where they are not known at their mean, and at 0 as long as none has come; what they add is from their mean."""
    model = Champion(3, Settings(), begins_at=1)
    unknown = np.array([1.0, np.nan, 2.0])
    assert model.say(unknown).logit == 0.0
    assert model.say(np.array([1.0, -3.0, 2.0])).logit == -3.0
    for logit in (-4.0, -2.0):
        model._learn_scale(np.array([1.0, logit, 2.0]))
    assert model.say(unknown).logit == -3.0
    assert model.say(unknown).added.tolist() == [0.0, 0.0, 0.0]
    said = model.say(np.array([1.0, -1.0, 2.0]))
    assert said.logit == -1.0
    assert said.added.tolist() == [0.0, 2.0, 0.0]


def test_what_it_begins_at_is_an_offset() -> None:
    """Always the same log-odds are as good as an intercept that begins there."""
    plain = Settings(rate=0.02, positives=0.3)
    alike = msgspec.structs.replace(plain, rate=9.0, positives=0.9, correcting_rate=0.02, correcting_positives=0.3)
    begins = Champion(WIDTH, alike, begins_at=3)
    numbers = Champion(WIDTH, plain).numbers()
    other = Champion.restored(msgspec.structs.replace(numbers, intercept=-2.5))
    for row, happened in rows(1_500, 3, -2.0):
        row[3] = -2.5
        assert begins.say(row).logit == pytest.approx(other.say(row).logit, rel=1e-9, abs=1e-9)
        begins.learn(row, happened)
        other.learn(row, happened)
    assert begins.numbers().weights == pytest.approx(other.numbers().weights)
    assert begins.numbers().intercept - 2.5 == pytest.approx(other.numbers().intercept)


def test_it_learns_what_is_to_be_added_to_log_odds() -> None:
    """They are 1.5 too low, and say nothing of the first column, which counts as well."""
    draw = np.random.default_rng(2)
    model = Champion(2, Settings(correcting_rate=0.05, correcting_positives=0.1), begins_at=1)
    for _ in range(20_000):
        row = np.array([draw.normal(), draw.normal(-4.0, 1.0)])
        model.learn(row, bool(draw.random() < 1 / (1 + np.exp(-(row[0] + row[1] + 1.5)))))
    numbers = model.numbers()
    assert numbers.weights == pytest.approx([1.0, 0.0], abs=0.2)
    assert 1.0 < numbers.intercept < 2.0


def test_until_the_first_log_odds_come_it_learns_to_scale_only() -> None:
    """Or the base rate that it had learned would be counted twice: in the intercept, and in the log-odds."""
    late, at_once = (Champion(WIDTH, Settings(), begins_at=6) for _ in range(2))
    for row, happened in rows(400, 4, -2.0):
        row[6] = np.nan
        assert late.waits(row)
        late.learn(row, happened)
    assert late.numbers().weights == [0.0] * WIDTH
    for row, happened in rows(2_000, 5, -2.0):
        row[6] = -2.0
        assert not late.waits(row)
        late.learn(row, happened)
        at_once.learn(row, happened)
    assert late.numbers().waited == 400
    assert late.numbers().intercept == pytest.approx(at_once.numbers().intercept, abs=0.05)
    assert late.say(row).logit == pytest.approx(at_once.say(row).logit, abs=0.3)


def test_log_odds_that_come_too_late_are_a_column_like_others() -> None:
    late = Champion(WIDTH, Settings(), begins_at=6)
    for row, happened in rows(WAITS_FOR + 2_000, 4, -2.0):
        row[6] = np.nan
        late.learn(row, happened)
    assert late.numbers().begins_at is None
    before = late.say(row).logit
    row[6] = -4.0
    assert not late.waits(row)
    assert late.say(row).logit == before, "nothing has been learned of it"
    again = Champion.restored(late.numbers())
    late.learn(row, False)
    again.learn(row, False)
    assert late.numbers() == again.numbers()


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
