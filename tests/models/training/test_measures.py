"""Measures against hand-computed cases, the challenge's examples, and slow plain counting."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest

from wardstream.models.sepsis import sigmoid
from wardstream.models.training import measures as m
from wardstream.models.training.calibrating import fit, isotonic, logits, platt
from wardstream.models.training.recipe import level


def answers(*patients: tuple[list[float], float, int | None]) -> m.Answers:
    """Patients as (probability an hour, onset hour, first positive hour)."""
    patient, hour, label, said, onset = [], [], [], [], []
    for i, (probabilities, at, first) in enumerate(patients):
        for h, p in enumerate(probabilities, start=1):
            patient.append(i)
            hour.append(h)
            label.append(int(first is not None and h >= first))
            said.append(p)
        onset.append(at)
    return m.Answers(np.array(patient), np.array(hour), np.array(label, np.int8), np.array(said), np.array(onset))


NONE = float("nan")


def test_ranking_by_hand() -> None:
    label = np.array([0, 0, 1, 1, 0], np.int8)
    score = np.array([0.1, 0.4, 0.4, 0.8, 0.2])
    # pairs (positive, negative): 0.4 beats 0.1 and 0.2, ties 0.4; 0.8 beats all: 5.5 of 6
    assert m.auroc(label, score) == pytest.approx(5.5 / 6)
    # thresholds 0.8 (precision 1, recall +1/2), 0.4 (2/3, +1/2)
    assert m.auprc(label, score) == pytest.approx(0.5 + 0.5 * 2 / 3)
    assert np.isnan(m.auroc(np.zeros(3, np.int8), score[:3]))


def test_ranking_of_the_challenges_example() -> None:
    label, score = np.array([0, 0, 0, 0, 1, 1], np.int8), np.array([0.3, 0.4, 0.6, 0.7, 0.8, 0.8])
    assert m.auroc(label, score) == 1.0
    assert m.auprc(label, score) == 1.0


def test_weights_are_repetitions() -> None:
    rng = np.random.default_rng(2)
    label, score = (rng.random(80) < 0.3).astype(np.int8), rng.integers(0, 9, 80) / 9
    times = rng.integers(0, 4, 80)
    repeated = np.repeat(np.arange(80), times)
    for measure in (m.auroc, m.auprc):
        assert measure(label, score, times.astype(float)) == pytest.approx(measure(label[repeated], score[repeated]))


def count_alerts(given: m.Answers, threshold: float) -> int:
    """Hour by hour: one starts when reached and not reached in the six hours before."""
    total = 0
    for i in range(len(given.onset)):
        rows = np.flatnonzero(given.patient == i)
        for k, row in enumerate(rows):
            counted = np.isnan(given.onset[i]) or given.hour[row] < given.onset[i]
            on = given.filled[row] >= threshold
            before = any(given.filled[r] >= threshold for r in rows[max(0, k - m.QUIET) : k])
            total += bool(counted and on and not before)
    return total


def test_alerts_are_counted_as_they_start() -> None:
    given = answers(([0.9, 0.1, 0.9, *[0.1] * 7, 0.9], NONE, None), ([0.9, 0.9], NONE, None))
    assert m.alerts_per_day(given, 0.5) == pytest.approx(3 / (13 / 24))
    rng = np.random.default_rng(5)
    many = answers(*[(rng.random(int(rng.integers(1, 40))).tolist(), 20.0 if i % 3 else NONE, None) for i in range(30)])
    days = (np.isnan(many.onset[many.patient]) | (many.hour < many.onset[many.patient])).sum() / 24
    for threshold in (0.2, 0.6, 0.9, 0.97):
        assert m.alerts_per_day(many, threshold) == pytest.approx(count_alerts(many, threshold) / days)


def test_the_threshold_keeps_the_burden() -> None:
    rng = np.random.default_rng(6)
    given = answers(*[(rng.random(30).tolist(), NONE, None) for _ in range(40)])
    for burden in (0.1, 0.5, 1.0):
        threshold = m.threshold_at(given, burden)
        assert m.alerts_per_day(given, threshold) <= burden
        lower = given.filled[given.filled < threshold].max()
        assert m.alerts_per_day(given, lower) > burden
    assert m.threshold_at(given, 0.0) == float("inf")
    assert m.alerts_per_day(given, float("inf")) == 0.0


def test_lead_is_from_the_first_hour_in_the_twelve_before_onset() -> None:
    early = [0.1] * 30
    early[4] = 0.9  # hour 5, onset 25: a burden only
    late = list(early)
    late[14] = late[20] = 0.9  # hours 15 and 21
    after = [*[0.1] * 24, *[0.9] * 6]
    given = answers((early, 25.0, 19), (late, 25.0, 19), (after, 25.0, 19), (late, NONE, 1), (late, NONE, None))
    assert m.leads(given, 0.5).tolist() == pytest.approx([0.0, 10.0, 0.0, NONE, NONE], nan_ok=True)


def test_hours_without_an_answer_help_nobody() -> None:
    given = answers(([NONE, 0.2, 0.9], 3.0, 2), ([0.1, NONE, 0.1], NONE, None))
    assert given.filled.tolist() == [0, 0.2, 0.9, 0.1, 0, 0.1]
    functions = m.of_patients(given, 0.5, 0.5)
    assert functions["auroc"](None) == 1.0


def test_calibration_error_and_bins() -> None:
    label, said = np.array([0, 0, 1, 1], np.int8), np.array([0.2, 0.2, 0.2, 0.8])
    assert m.brier(label, said) == pytest.approx((0.04 + 0.04 + 0.64 + 0.04) / 4)
    assert [tuple(b) for b in m.reliability(label, said, 2)] == [(2, 0.2, 0.0), (2, 0.5, 1.0)]
    assert m.ece(np.array([0, 1] * 500, np.int8), np.full(1000, 0.5)) < 0.02


def test_platt_finds_the_line_back() -> None:
    rng = np.random.default_rng(8)
    logit = rng.normal(0, 2, 60_000)
    label = rng.random(60_000) < sigmoid(0.5 * logit - 1.5)
    slope, intercept = platt(label, logit)
    assert (slope, intercept) == (pytest.approx(0.5, abs=0.03), pytest.approx(-1.5, abs=0.05))
    again = platt(label, logits(fit(label, logit).apply(logit)))
    assert again == (pytest.approx(1.0, abs=0.01), pytest.approx(0.0, abs=0.01))
    with pytest.raises(ValueError, match="both labels"):
        platt(np.zeros(5), np.zeros(5))


def test_isotonic_pools_what_falls() -> None:
    at, risen = isotonic([0, 1, 0, 1, 1], [1.0, 2.0, 3.0, 4.0, 5.0])
    assert at == [1.0, 2.5, 4.5]
    assert risen == [0.0, 0.5, 1.0]


def test_intervals_come_from_patients_drawn_whole() -> None:
    drawn = m.weights(50, 20, seed=1)
    assert drawn.shape == (20, 50)
    assert (drawn.sum(axis=1) == 50).all()
    assert np.array_equal(drawn, m.weights(50, 20, seed=1))
    assert m.interval([float("nan")]) is None
    many = np.quantile(np.random.default_rng(1).normal(size=100_000), np.linspace(0, 1, 1001))
    assert m.interval(many) == pytest.approx([-1.96, 1.96], abs=0.05)


@pytest.mark.parametrize("look", [1, 4, 10, 50])
def test_an_interval_is_as_wide_as_its_level_however_few_the_draws(look: int) -> None:
    wanted = NormalDist().inv_cdf((1 + level(look)) / 2)
    drawn = np.random.default_rng(look).normal(size=m.BOOTSTRAPS)
    low, high = m.interval(drawn, level(look)) or (0.0, 0.0)
    assert (-low, high) == pytest.approx((wanted, wanted), rel=0.12)
