"""Waiting times: quantiles that hold what they say, of what is known and of nothing."""

from __future__ import annotations

import numpy as np

from wardstream.models.flow.admission import Triage
from wardstream.models.flow.judging import judge_waiting
from wardstream.models.flow.waiting import WaitingTime, known


def patients(number: int) -> list[tuple[Triage, int, float]]:
    """Who wait some ten minutes for each who is seen before."""
    rng = np.random.default_rng(1)
    queue = rng.integers(0, 12, number)
    minutes = queue * 10.0 * rng.uniform(0.5, 1.5, number) + rng.exponential(5.0, number)
    return [(Triage(age_years=50.0, acuity=3), int(q), float(m)) for q, m in zip(queue, minutes, strict=True)]


def test_the_queue_says_more_than_a_constant_and_both_hold_what_they_say() -> None:
    drawn = patients(4000)
    constant = judge_waiting((known(None), minutes, i >= 2000) for i, (_, _, minutes) in enumerate(drawn))
    queue = judge_waiting(
        (known(triage, ahead), minutes, i >= 2000) for i, (triage, ahead, minutes) in enumerate(drawn)
    )
    for found in (constant, queue):
        assert abs(found.covered[0.5] - 0.5) < 0.06
        assert abs(found.covered[0.9] - 0.9) < 0.03
        assert found.patients == 2000
    assert queue.pinball[0.5] < 0.6 * constant.pinball[0.5]
    assert queue.pinball[0.9] < 0.6 * constant.pinball[0.9]


def test_quantiles_do_not_cross_and_are_no_less_than_nought() -> None:
    model = WaitingTime()
    for triage, ahead, minutes in patients(300):
        low, high = model.learn(known(triage, ahead), minutes)
        assert 0.0 <= low <= high
