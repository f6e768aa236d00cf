"""What alerts were worth, on stays made by hand."""

from __future__ import annotations

from math import isnan

import pytest

from wardstream.models.alerts.retrospect import (
    Episode,
    Observed,
    is_true,
    threshold_for,
    worth,
)
from wardstream.models.alerts.retrospect import told as told_of

HOUR = 3600.0


def told(*hours: float, condition: str = "news2", horizon_h: float = 6.0) -> tuple[Episode, ...]:
    return tuple(Episode(condition, "high", hour * HOUR, horizon_h * HOUR) for hour in hours)


def stay(
    name: str,
    episodes: tuple[Episode, ...] = (),
    *,
    outcome_h: float | None = None,
    hours: float = 24.0,
    known: bool = True,
) -> Observed:
    return Observed(name, 0.0, hours * HOUR, None if outcome_h is None else outcome_h * HOUR, known, episodes)


@pytest.mark.parametrize(
    ("at_h", "true"),
    [(3.9, False), (4, True), (9.9, True), (10, False), (10.1, False)],
)
def test_an_episode_is_true_if_the_outcome_comes_within_its_horizon(at_h: float, true: bool) -> None:
    (episode,) = told(at_h)
    assert is_true(episode, stay("a", outcome_h=10)) is true
    assert not is_true(episode, stay("a"))


def test_each_episode_is_scored_by_its_own_horizon() -> None:
    long, short = told(1, horizon_h=12) + told(1, horizon_h=6)
    assert is_true(long, stay("a", outcome_h=10))
    assert not is_true(short, stay("a", outcome_h=10))


def test_measures_by_hand() -> None:
    stays = [
        stay("warned twice, and once for nothing", told(1, 6, 8), outcome_h=10),
        stay("warned once", told(17), outcome_h=20),
        stay("missed", outcome_h=20),
        stay("too early", told(1), outcome_h=20),
        stay("never septic", told(5, 6), hours=48),
        stay("when is not known", told(5, 6), outcome_h=7, known=False),
    ]
    found = worth(stays, draws=50)
    assert (found.episodes, found.true) == (9, 3)
    assert found.per_day.value == pytest.approx(9 / 7)
    assert found.ppv.value == pytest.approx(3 / 7), "those of whom it is not known when are left out"
    assert found.sensitivity.value == pytest.approx(2 / 4)
    assert found.lead_h.value == pytest.approx((4 + 3) / 2), "from the first true one"
    for estimate in found[2:]:
        assert estimate.low <= estimate.value <= estimate.high


def test_only_those_chosen_are_measured() -> None:
    stays = [stay("a", told(8) + told(9, condition="sepsis"), outcome_h=10)]
    found = worth(stays, lambda one: one.condition == "sepsis", draws=20)
    assert (found.episodes, found.true) == (1, 1)
    assert found.lead_h.value == 1


def test_nothing_to_measure_is_no_number() -> None:
    found = worth([stay("a")], draws=20)
    assert (found.episodes, found.per_day.value) == (0, 0)
    assert isnan(found.ppv.value)
    assert isnan(found.sensitivity.value)
    assert isnan(found.lead_h.value)
    assert isnan(found.ppv.low)
    assert worth([], draws=20).episodes == 0


def test_the_interval_is_over_patients_not_over_episodes() -> None:
    """A hundred episodes of one patient and none of nine others: who is drawn decides."""
    stays = [stay("loud", told(*(n / 10 for n in range(100))))] + [stay(f"quiet {n}") for n in range(9)]
    found = worth(stays, draws=400)
    assert found.per_day.value == 10
    assert found.per_day.low == 0, "in a third of the draws the loud one is not there"
    assert found.per_day.high >= 20


@pytest.mark.parametrize(
    ("said", "number"),
    [
        ([], 0),
        ([(0, 0.1), (1, 0.3)], 0),
        ([(20, 0.5)], 1),
        ([(20, 0.5), (21, 0.3), (22, 0.5)], 1),
        ([(20, 0.5), (21, 0.25), (22, 0.5)], 1),
        ([(20, 0.5), (21, 0.24), (22, 0.5)], 2),
        ([(0, 0.5)], 6),  # at 0, 4, … 20: at 24 the patient leaves
        ([(0, 0.5), (13, 0.1)], 4),
        ([(0, 0.5), (5, 0.9), (6, 0.1), (7, 0.5), (8, 0.1)], 3),
    ],
)
def test_how_often_a_run_of_probabilities_is_told(said: list[tuple[float, float]], number: int) -> None:
    course = [(hour * HOUR, probability) for hour, probability in said]
    assert told_of(course, 24 * HOUR, 0.5, 0.5, 4 * HOUR) == number


def test_the_threshold_tells_as_often_as_it_may_and_no_more() -> None:
    runs = [[0.1, 0.9, 0.1, 0.9], [0.8], [0.7, 0.2, 0.7], [0.3]]
    courses = [([((20 + n) * HOUR, p) for n, p in enumerate(run)], 24 * HOUR) for run in runs]

    def number(threshold: float) -> int:
        return sum(told_of(said, ends, threshold, 0.5, 12 * HOUR) for said, ends in courses)

    counts = {most: threshold_for(courses, most, 0.5, 12 * HOUR) for most in range(7)}
    for most, threshold in counts.items():
        assert number(threshold) <= most
    assert counts[0] > 0.9
    assert number(counts[2]) == 2
    assert sorted(counts.values(), reverse=True) == list(counts.values())
    with pytest.raises(ValueError, match="no probability"):
        threshold_for([([], 0.0)], 1, 0.5, HOUR)
