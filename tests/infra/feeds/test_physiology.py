"""Simulated signs: noise of the stated size around a baseline, and illness that grows and heals."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from random import Random
from statistics import fmean, stdev

import pytest

from wardstream.infra.feeds.physiology import SPREAD, Body, Course
from wardstream.infra.feeds.ward import Person

AT = datetime(2026, 3, 1, 11, tzinfo=UTC)  # the daily rhythm crosses zero
WELL = Person(50, "male", False, False, False, "full", "fall")


def test_signs_wander_around_a_baseline_by_their_spread() -> None:
    body = Body(Random("a"), WELL)
    seen = []
    for _ in range(6000):
        body.advance(AT)
        seen.append(body.signs(AT))
    rates = [signs.heart_rate_bpm for signs in seen]
    assert stdev(rates) == pytest.approx(SPREAD[0], rel=0.25)
    assert 55 < fmean(rates) < 95
    steps = [abs(b - a) for a, b in pairwise(rates)]
    assert fmean(steps) < SPREAD[0] / 2, "a minute changes less than a quarter of an hour"
    breaths = [signs.respiratory_rate_per_min for signs in seen]
    together = fmean((a - fmean(rates)) * (b - fmean(breaths)) for a, b in zip(rates, breaths, strict=True)) / (
        stdev(rates) * stdev(breaths)
    )
    assert together > 0.15, "a fast heart comes with fast breathing"


def test_illness_grows_until_treated_and_then_shrinks() -> None:
    course = Course("sepsis", AT, growth_h=4)
    grown = [course.severity(AT + timedelta(hours=h)) for h in range(-1, 6)]
    assert grown[:2] == [0, 0]
    assert grown == sorted(grown)
    assert grown[-1] == 1
    course.treated_at, course.half_life_h = AT + timedelta(hours=3), 1.0
    assert course.severity(AT + timedelta(hours=5)) == pytest.approx(grown[4] / 4)


def test_sepsis_moves_the_signs_as_sepsis_does() -> None:
    well, ill = Body(Random("b"), WELL), Body(Random("b"), WELL, Course("sepsis", AT - timedelta(hours=9), 9))
    healthy, septic = well.signs(AT), ill.signs(AT)
    assert septic.heart_rate_bpm > healthy.heart_rate_bpm + 30
    assert septic.respiratory_rate_per_min > healthy.respiratory_rate_per_min + 8
    assert septic.temperature_celsius > healthy.temperature_celsius + 1.5
    assert septic.systolic_mmhg < healthy.systolic_mmhg - 30
    assert septic.spo2_percent < healthy.spo2_percent - 5
    assert septic.diastolic_mmhg < septic.systolic_mmhg


def test_oxygen_raises_saturation_but_not_to_perfection() -> None:
    body = Body(Random("c"), WELL, Course("respiratory_failure", AT - timedelta(hours=3), 3))
    on_air = body.signs(AT).spo2_percent
    body.oxygen_l_per_min = 4
    on_oxygen = body.signs(AT).spo2_percent
    assert on_air < 88
    assert on_air + 2 < on_oxygen < 97
