"""KDIGO's stages: each limit of creatinine and urine, what windows they look at, and what is missing."""

from __future__ import annotations

import doctest
import sys
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardstream.models.labs.analytes import BY_CODE
from wardstream.models.labs.units import convert
from wardstream.models.scores.kdigo import Collection, Kidneys, Result, kdigo
from wardstream.schemas.scores import Score

HOUR, DAY = 3600.0, 86_400.0
NOW = 100 * DAY


def by_creatinine(*results: tuple[float, float], age: float | None = 60, height: float | None = None) -> Score:
    """Stage a history given as (hours ago, mg/dL), oldest first."""
    history = [Result(NOW - ago * HOUR, value) for ago, value in results]
    return kdigo(Kidneys(NOW, history, age_years=age, height_cm=height))


@pytest.mark.parametrize(
    ("ago", "before", "now", "stage"),
    [
        (48, 80.0, 106.4, 0),
        (48, 80.0, 106.5, 1),  # 26.5, as the guideline says
        (48, 160.0, 186.5, 1),
        (48.1, 160.0, 186.5, 0),
        (72, 80.0, 120.0, 1),
        (72, 80.0, 160.0, 2),
        (72, 80.0, 240.0, 3),
        (48, 300.0, 353.5, 1),
        (48, 300.0, 353.6, 3),
        (48, 340.0, 353.6, 0),  # no criterion is met
    ],
)
def test_limits_in_micromoles_count_at_the_limit_itself(ago: float, before: float, now: float, stage: int) -> None:
    first, last = (convert(BY_CODE["creat"], value, "umol/L") for value in (before, now))
    assert first is not None
    assert last is not None
    assert by_creatinine((ago, first), (0, last)).value == stage


@pytest.mark.parametrize(
    ("ago", "before", "now", "stage"),
    [
        (48, 1.0, 1.29, 0),
        (48, 1.0, 1.3, 1),  # 0.3 in 48 h, both ends counted
        (48, 2.0, 2.3, 1),
        (48.1, 2.0, 2.3, 0),
        (72, 1.0, 1.49, 0),
        (72, 1.0, 1.5, 1),
        (168, 1.0, 1.5, 1),
        (72, 1.0, 1.99, 1),
        (72, 1.0, 2.0, 2),
        (72, 1.0, 2.99, 2),
        (72, 1.0, 3.0, 3),
        (72, 0.7, 2.1, 3),
        (24, 3.6, 3.89, 0),
        (24, 3.6, 3.9, 1),
        (24, 3.6, 3.99, 1),
        (24, 3.6, 4.0, 3),  # 4.0, and a rise of 0.3
        (24, 3.8, 4.0, 0),  # 4.0, but no injury: a chronic disease
        (24, 9.0, 9.2, 0),
        (24, 9.0, 9.3, 3),
        (72, 3.9, 4.3, 0),  # the rise is slower than 48 h, and less than half
    ],
)
def test_limits_of_creatinine(ago: float, before: float, now: float, stage: int) -> None:
    score = by_creatinine((ago, before), (0, now))
    assert score.parts == {"creatinine_mg_per_dl": stage}
    assert score.value == stage
    assert score.band == (f"stage {stage}" if stage else None)


def test_the_baseline_is_the_lowest_of_seven_days() -> None:
    assert by_creatinine((169, 0.5), (24, 1.0), (0, 1.2)).value == 0
    assert by_creatinine((167, 0.5), (24, 1.0), (0, 1.2)).value == 2
    assert by_creatinine((60, 2.0), (24, 1.0), (0, 1.2)).value == 0  # getting better
    assert by_creatinine((2, 3.0), (0, 1.0)).value == 0


@pytest.mark.parametrize("results", [[], [(1, 8.0)], [(170, 1.0), (1, 8.0)], [(30, 1.0), (24, 2.0)]])
def test_nothing_to_compare_is_missing_and_no_injury(results: Sequence[tuple[float, float]]) -> None:
    score = by_creatinine(*results)
    assert (score.value, score.parts, score.band) == (0, {}, None)
    assert score.missing == ("creatinine_mg_per_dl", "urine_output_ml", "renal_replacement")


def test_under_18_the_filtration_rate_counts() -> None:
    injured = ((24, 1.0), (0, 1.6))
    assert by_creatinine(*injured, age=10, height=130).value == 3  # 0.413 × 130 / 1.6 = 33.6
    assert by_creatinine(*injured, age=10, height=136).value == 1  # 35.1
    assert by_creatinine(*injured, age=18, height=130).value == 1
    assert "height_cm" in by_creatinine(*injured, age=10).missing
    assert "age_years" in by_creatinine(*injured, age=None).missing
    assert "height_cm" not in by_creatinine(*injured, age=60).missing
    well = by_creatinine((24, 1.6), (0, 1.6), age=10, height=130)  # low, but no injury
    assert (well.value, well.missing) == (0, ("urine_output_ml", "renal_replacement"))


def by_urine(rate: float, hours: int, weight: float | None = 80.0, until: float = 0.0) -> Score:
    """Stage hourly collections of so many mL/kg/h over so many hours, ending so many hours ago."""
    kg = 80.0 if weight is None else weight
    urine = [Collection(NOW - (until + ago) * HOUR, rate * kg, 1.0) for ago in reversed(range(hours))]
    return kdigo(Kidneys(NOW, urine=urine, weight_kg=weight, age_years=60))


@pytest.mark.parametrize(
    ("rate", "hours", "stage"),
    [
        (0.5, 6, 0),
        (0.49, 6, 1),
        (0.49, 11, 1),
        (0.49, 12, 2),
        (0.5, 12, 0),
        (0.29, 12, 2),
        (0.3, 24, 2),
        (0.29, 24, 3),
        (0.29, 23, 2),
        (0.0, 11, 1),
        (0.0, 12, 3),
    ],
)
def test_limits_of_urine(rate: float, hours: int, stage: int) -> None:
    score = by_urine(rate, hours)
    assert score.parts == {"urine_output_ml": stage}
    assert score.value == stage


def test_urine_that_cannot_be_judged_is_missing() -> None:
    assert "urine_output_ml" in by_urine(0.1, 5).missing  # less than six hours
    assert "urine_output_ml" in by_urine(0.1, 12, until=6).missing  # too long ago
    assert by_urine(0.1, 12, until=5.9).value == 2
    without_weight = by_urine(0.1, 12, weight=None)
    assert (without_weight.value, "weight_kg" in without_weight.missing) == (0, True)
    assert by_urine(0.0, 12, weight=None).value == 3  # none is none at any weight


def test_a_gap_is_not_taken_for_dry() -> None:
    urine = [Collection(NOW - ago * HOUR, 10.0, 1.0) for ago in (9, 8, 7, 2, 1, 0)]
    assert "urine_output_ml" in kdigo(Kidneys(NOW, urine=urine, weight_kg=80)).missing


def test_a_collection_without_a_period_lasted_since_the_one_before() -> None:
    urine = [Collection(NOW - ago * HOUR, ml, None) for ago, ml in ((12, 900.0), (6, 200.0), (0, 200.0))]
    assert kdigo(Kidneys(NOW, urine=urine, weight_kg=80)).value == 2  # 400 mL in 12 h, 0.42 mL/kg/h
    late_night = [Collection(NOW - ago * HOUR, ml, None) for ago, ml in ((31, 900.0), (0, 200.0))]
    assert "urine_output_ml" in kdigo(Kidneys(NOW, urine=late_night, weight_kg=80)).missing


def test_two_routes_at_one_time_are_one_collection() -> None:
    urine = [Collection(NOW - ago * HOUR, 24.0, 1.0) for ago in (5, 5, 4, 4, 3, 3, 2, 2, 1, 1, 0, 0)]
    assert kdigo(Kidneys(NOW, urine=urine, weight_kg=80)).value == 0  # 48 mL/h, 0.6 mL/kg/h


def test_overlapping_collections_do_not_make_time_twice() -> None:
    urine = [Collection(NOW - 3 * HOUR, 100.0, 3.0), Collection(NOW, 200.0, 6.0)]
    score = kdigo(Kidneys(NOW, urine=urine, weight_kg=80))
    assert score.value == 0  # 300 mL in 6 h
    assert "urine_output_ml" in score.parts


def test_the_worst_criterion_wins_and_replacement_is_the_worst() -> None:
    creatinine = [Result(NOW - DAY, 1.0), Result(NOW, 1.4)]
    urine = [Collection(NOW - ago * HOUR, 20.0, 1.0) for ago in reversed(range(12))]
    both = Kidneys(NOW, creatinine, urine, weight_kg=80, age_years=60)
    assert (kdigo(both).value, kdigo(both).parts) == (2, {"creatinine_mg_per_dl": 1, "urine_output_ml": 2})
    assert kdigo(both).missing == ("renal_replacement",)
    assert kdigo(both._replace(renal_replacement=True)).value == 3
    known = kdigo(both._replace(renal_replacement=False))
    assert (known.value, known.complete, known.band) == (2, True, "stage 2")
    well = Kidneys(NOW, [Result(NOW - DAY, 1.0), Result(NOW, 1.0)], [Collection(NOW, 500, 6)], 80, 60)
    assert (kdigo(well).value, kdigo(well).band, kdigo(well).missing) == (0, None, ("renal_replacement",))
    assert kdigo(well._replace(renal_replacement=False)).band == "none"


@given(
    st.lists(st.tuples(st.floats(0, 200), st.floats(0.1, 20)), min_size=1, max_size=12),
    st.lists(st.tuples(st.floats(0, 60), st.floats(0, 800), st.none() | st.floats(0.1, 24)), max_size=12),
)
def test_it_is_between_0_and_3_and_names_what_is_missing(
    results: list[tuple[float, float]], collections: list[tuple[float, float, float | None]]
) -> None:
    creatinine = sorted(Result(NOW - ago * HOUR, value) for ago, value in results)
    urine = sorted((Collection(NOW - ago * HOUR, ml, hours) for ago, ml, hours in collections), key=lambda one: one.at)
    score = kdigo(Kidneys(NOW, creatinine, urine, weight_kg=70, age_years=60))
    assert score.value == max(score.parts.values(), default=0)
    assert score.value in (0, 1, 2, 3)
    assert not set(score.parts) & set(score.missing)
    assert "renal_replacement" in score.missing


def test_the_examples_in_the_docstring() -> None:
    results = doctest.testmod(sys.modules[kdigo.__module__])
    assert results.attempted > 0
    assert results.failed == 0
