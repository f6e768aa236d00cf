"""What holds for every rule score: found through `ALL`, so that a new one is tested by being listed there."""

import doctest
import importlib
from typing import Any

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from wardstream.models.scores import ALL, Observations, news2, rule_scores
from wardstream.models.scores.news2 import RESPONSES
from wardstream.models.scores.sofa import LABS
from wardstream.models.signals import BY_CODE
from wardstream.schemas.bounds import BOUNDS
from wardstream.schemas.envelope import Event
from wardstream.schemas.scores import Score
from wardstream.schemas.vitals import Vitals

# Signals that say the same thing in several ways: they become known, or unknown, together.
CONSCIOUSNESS = ("consciousness", "gcs_eye", "gcs_verbal", "gcs_motor", "gcs_total")
OXYGEN = ("supplemental_oxygen", "fio2_fraction", "oxygen_flow_l_per_min", "oxygen_device")
GROUPS: tuple[tuple[str, ...], ...] = (
    ("heart_rate_bpm",),
    ("respiratory_rate_per_min",),
    ("spo2_percent",),
    ("systolic_mmhg",),
    ("temperature_celsius",),
    ("wbc_10e9_per_l",),
    ("bands_percent",),
    ("paco2_mmhg",),
    ("age_years",),
    ("pregnant",),
    CONSCIOUSNESS,
    OXYGEN,
)
HIGHEST = {"news2": 20, "news": 20, "qsofa": 3, "sirs": 4, "mews": 14, "shock_index": float("inf")}
BAND_ORDER = {
    "news2": (None, "low", "low-medium", "medium", "high"),
    "news": (None, "low", "medium", "high"),
    "qsofa": (None, "negative", "positive"),
    "sirs": (None, "negative", "positive"),
    "mews": (None, "low", "high"),
    "shock_index": (None, "low", "normal", "raised", "alert"),
}
DEVICES = ("room_air", "nasal_cannula", "invasive_ventilation")


def _maybe(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | values


def _bounded(name: str) -> st.SearchStrategy[float | None]:
    bound = BOUNDS[name]
    likely = st.floats(max(bound.low, bound.extreme_low - 10), min(bound.high, bound.extreme_high + 10))
    return _maybe(likely | st.floats(bound.low, bound.high))


OBSERVATIONS = st.builds(
    Observations,
    **{
        name: _bounded(name)
        for name in (
            "heart_rate_bpm",
            "respiratory_rate_per_min",
            "spo2_percent",
            "systolic_mmhg",
            "temperature_celsius",
            "fio2_fraction",
            "oxygen_flow_l_per_min",
            "age_years",
        )
    },
    spo2_scale_2=_maybe(st.booleans()),
    supplemental_oxygen=_maybe(st.booleans()),
    oxygen_device=_maybe(st.sampled_from(DEVICES)),
    consciousness=_maybe(st.sampled_from("ACVPU")),
    gcs_eye=_maybe(st.integers(1, 4)),
    gcs_verbal=_maybe(st.integers(1, 5)),
    gcs_motor=_maybe(st.integers(1, 6)),
    gcs_total=_maybe(st.integers(3, 15)),
    pregnant=_maybe(st.booleans()),
    wbc_10e9_per_l=_maybe(st.floats(0, 500)),
    bands_percent=_maybe(st.floats(0, 100)),
    paco2_mmhg=_maybe(st.floats(5, 150)),
)
EVERY_SCORE = pytest.mark.parametrize(("name", "rule"), ALL, ids=[name for name, _ in ALL])


@EVERY_SCORE
@given(seen=OBSERVATIONS)
def test_a_score_agrees_with_itself(name: str, rule: Any, seen: Observations) -> None:
    score = rule(seen)
    assert score.name == name
    assert score == rule(seen)
    if score.not_applicable is not None:
        assert (score.value, score.band, score.complete, score.parts, score.missing) == (None, None, False, {}, ())
        return
    assert score.complete is (not score.missing)
    assert not set(score.parts) & set(score.missing)
    assert len(set(score.missing)) == len(score.missing)
    assert set(score.missing) <= set(Observations.__struct_fields__)
    assert all(getattr(seen, field) is None for field in score.missing)
    assert score.band in BAND_ORDER[name]
    if score.complete:
        assert score.band is not None
    if name == "shock_index":
        assert (score.value is None) is bool(score.missing)
    else:
        assert score.value is not None
    if score.value is not None:
        assert score.value == sum(score.parts.values())
        assert 0 <= score.value <= HIGHEST[name]


@EVERY_SCORE
@given(seen=OBSERVATIONS, forgotten=st.sets(st.sampled_from(GROUPS)))
def test_knowing_more_never_lowers_a_score(
    name: str, rule: Any, seen: Observations, forgotten: set[tuple[str, ...]]
) -> None:
    fuller = rule(seen)
    assume(fuller.not_applicable is None)
    partial = rule(msgspec.structs.replace(seen, **{field: None for group in forgotten for field in group}))
    if partial.value is not None:
        assert fuller.value is not None
        assert partial.value <= fuller.value
        assert set(partial.parts) <= set(fuller.parts)
    bands = BAND_ORDER[name]
    assert bands.index(partial.band) <= bands.index(fuller.band)
    if partial.complete:
        assert fuller.complete


@EVERY_SCORE
@given(seen=OBSERVATIONS)
def test_a_score_travels(name: str, rule: Any, seen: Observations) -> None:
    score = rule(seen)
    raw = msgspec.json.encode(score)
    again = msgspec.json.decode(raw, type=Score)
    assert again == score
    assert msgspec.json.encode(again) == raw


def test_bounds_are_reached_and_rest_is_zero() -> None:
    worst = Observations(
        heart_rate_bpm=150,
        respiratory_rate_per_min=35,
        spo2_percent=80,
        supplemental_oxygen=True,
        systolic_mmhg=60,
        temperature_celsius=34,
        consciousness="U",
        wbc_10e9_per_l=20,
        age_years=50,
        pregnant=False,
    )
    assert {score.name: score.value for score in rule_scores(worst)} == {**HIGHEST, "shock_index": 2.5}
    assert all(score.complete for score in rule_scores(worst))
    assert [score.value for score in rule_scores(Observations())] == [0, 0, 0, 0, 0, None]


def test_nothing_known_is_all_missing() -> None:
    vital_signs = ("respiratory_rate_per_min", "systolic_mmhg", "heart_rate_bpm", "temperature_celsius")
    seven = (*vital_signs, "spo2_percent", "supplemental_oxygen", "consciousness", "age_years", "pregnant")
    assert {score.name: score.missing for score in rule_scores(Observations())} == {
        "news2": seven,
        "news": seven,
        "qsofa": ("respiratory_rate_per_min", "systolic_mmhg", "consciousness"),
        "sirs": ("temperature_celsius", "heart_rate_bpm", "respiratory_rate_per_min", "wbc_10e9_per_l"),
        "mews": ("systolic_mmhg", "heart_rate_bpm", "respiratory_rate_per_min", "temperature_celsius", "consciousness"),
        "shock_index": ("heart_rate_bpm", "systolic_mmhg"),
    }


def test_all_is_what_is_computed_and_every_name_is_unique() -> None:
    names = [name for name, _ in ALL]
    assert [score.name for score in rule_scores(Observations())] == names
    assert len(set(names)) == len(names)
    assert set(names) == set(HIGHEST) == set(BAND_ORDER)


def test_observations_carry_every_measurement_of_vitals_under_its_name() -> None:
    measured = set(Vitals.__struct_fields__) - set(Event.__struct_fields__) - {"retracted"}
    labs = {"wbc_10e9_per_l", "bands_percent", "paco2_mmhg"} | {BY_CODE[code].field for code in LABS}
    beyond = {"age_years", "pregnant", "vasopressors"} | labs
    assert set(Observations.__struct_fields__) == measured | beyond


def test_every_band_of_news2_has_a_response() -> None:
    assert set(RESPONSES) == set(BAND_ORDER["news2"]) - {None}
    assert news2(Observations(consciousness="V")).band in RESPONSES


@EVERY_SCORE
def test_the_examples_in_the_docstrings(name: str, rule: Any) -> None:
    results = doctest.testmod(importlib.import_module(rule.__module__))
    assert results.attempted > 0
    assert results.failed == 0
