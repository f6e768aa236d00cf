"""Bands at their limits, and the patients for whom a score was not made."""

from typing import Any

import msgspec
import pytest

from wardstream.models.scores import Observations, mews, news, news2, qsofa, rule_scores, sirs


@pytest.mark.parametrize(
    ("changes", "value", "news2_band", "news_band"),
    [
        ({}, 0, "low", "low"),
        ({"respiratory_rate_per_min": 22, "supplemental_oxygen": True}, 4, "low", "low"),
        ({"consciousness": "V"}, 3, "low-medium", "medium"),
        ({"consciousness": "V", "heart_rate_bpm": 95}, 4, "low-medium", "medium"),
        ({"consciousness": "V", "heart_rate_bpm": 115}, 5, "medium", "medium"),
        ({"respiratory_rate_per_min": 22, "supplemental_oxygen": True, "heart_rate_bpm": 95}, 5, "medium", "medium"),
        ({"consciousness": "V", "systolic_mmhg": 90}, 6, "medium", "medium"),
        ({"consciousness": "V", "systolic_mmhg": 90, "heart_rate_bpm": 95}, 7, "high", "high"),
    ],
)
def test_bands_of_news(
    well: Observations, changes: dict[str, Any], value: float, news2_band: str, news_band: str
) -> None:
    seen = msgspec.structs.replace(well, **changes)
    assert (news2(seen).value, news2(seen).band) == (value, news2_band)
    assert (news(seen).value, news(seen).band) == (value, news_band)


@pytest.mark.parametrize(
    ("rule", "changes", "value", "band"),
    [
        (qsofa, {"systolic_mmhg": 100}, 1, "negative"),
        (qsofa, {"systolic_mmhg": 100, "respiratory_rate_per_min": 22}, 2, "positive"),
        (sirs, {"heart_rate_bpm": 91}, 1, "negative"),
        (sirs, {"heart_rate_bpm": 91, "wbc_10e9_per_l": 13}, 2, "positive"),
        (mews, {"heart_rate_bpm": 130, "consciousness": "V"}, 4, "low"),
        (mews, {"heart_rate_bpm": 130, "consciousness": "P"}, 5, "high"),
    ],
)
def test_bands_of_the_others(well: Observations, rule: Any, changes: dict[str, Any], value: float, band: str) -> None:
    score = rule(msgspec.structs.replace(well, **changes))
    assert (score.value, score.band) == (value, band)


def test_a_partial_score_claims_no_lowest_band_but_each_higher_one() -> None:
    calm = Observations(heart_rate_bpm=72)
    assert [score.band for score in rule_scores(calm)] == [None] * 6
    ill = Observations(
        heart_rate_bpm=140, respiratory_rate_per_min=35, systolic_mmhg=85, age_years=50, temperature_celsius=39.5
    )
    assert [score.band for score in rule_scores(ill)] == ["high", "high", "positive", "positive", "high", "alert"]
    assert [score.complete for score in rule_scores(ill)] == [False] * 5 + [True]


@pytest.mark.parametrize(
    ("age", "pregnant", "without_value"),
    [
        (15.99, False, {"news2", "news", "mews", "shock_index", "qsofa", "sirs"}),
        (15.99, None, {"news2", "news", "mews", "shock_index", "qsofa", "sirs"}),
        (16, False, {"qsofa", "sirs"}),
        (17.99, False, {"qsofa", "sirs"}),
        (18, False, set()),
        (30, True, {"news2", "news"}),
        (None, True, {"news2", "news"}),
        (None, None, set()),
    ],
)
def test_patients_for_whom_a_score_was_not_made(
    well: Observations, age: float | None, pregnant: bool | None, without_value: set[str]
) -> None:
    scores = rule_scores(msgspec.structs.replace(well, age_years=age, pregnant=pregnant))
    assert {score.name for score in scores if score.not_applicable} == without_value
    for score in scores:
        if score.not_applicable:
            assert (score.value, score.band, score.complete, score.parts, score.missing) == (None, None, False, {}, ())


def test_unknown_age_and_pregnancy_are_missing_from_news_only(well: Observations) -> None:
    scores = {score.name: score for score in rule_scores(msgspec.structs.replace(well, age_years=None, pregnant=None))}
    for name, score in scores.items():
        expected = ("age_years", "pregnant") if name in ("news", "news2") else ()
        assert score.missing == expected
        assert score.value is not None
