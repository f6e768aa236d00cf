"""SOFA: every limit below, at and above; what is missing is named and never taken for normal."""

from __future__ import annotations

import doctest
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from wardstream.models.labs.analytes import BY_CODE as ANALYTES
from wardstream.models.labs.units import convert
from wardstream.models.scores import Observations, sofa
from wardstream.models.scores.sofa import LABS, READS
from wardstream.models.signals import BY_CODE

WELL: dict[str, Any] = {
    "pao2_mmhg": 95.0,
    "supplemental_oxygen": False,
    "platelets_10e9_per_l": 250.0,
    "bilirubin_mg_per_dl": 0.6,
    "mean_pressure_mmhg": 88.0,
    "vasopressors": "none",
    "gcs_total": 15,
    "creatinine_mg_per_dl": 0.9,
}


def score_of(**fields: Any) -> Any:
    return sofa(Observations(**(WELL | fields)))


# Vincent, table 3, in µmol/L: the first value of each line, 0 to 4 points.
COLUMNS = {"bili": (0, 20, 33, 102, 205), "creat": (0, 110, 171, 300, 441)}


@pytest.mark.parametrize("code", COLUMNS)
def test_what_was_reported_in_micromoles_is_read_from_their_column(code: str) -> None:
    field, column = BY_CODE[code].field, COLUMNS[code]
    for amount in range(500):
        value = convert(ANALYTES[code], amount, "umol/L")
        points = max(points for points, first in enumerate(column) if amount >= first)
        assert score_of(**{field: value}).value == points, amount
    assert score_of(**{field: convert(ANALYTES[code], column[4] - 0.9, "umol/L")}).value == 4, (
        "more than the line below"
    )


@pytest.mark.parametrize(("code", "limits"), [("bili", (1.2, 2.0, 6.0, 12.0)), ("creat", (1.2, 2.0, 3.5, 5.0))])
def test_what_was_reported_in_milligrams_is_read_from_theirs(code: str, limits: tuple[float, ...]) -> None:
    for thousandths in range(13_000):
        value = thousandths / 1000
        points = sum(value >= limit for limit in limits)
        assert score_of(**{BY_CODE[code].field: value}).value == points, value


def test_a_well_patient_has_none_and_the_score_is_complete() -> None:
    score = score_of()
    assert (score.value, score.complete, score.missing) == (0, True, ())
    assert len(score.parts) == 6


@pytest.mark.parametrize(
    ("field", "limits", "rising"),
    [
        ("platelets_10e9_per_l", (20, 50, 100, 150), False),
        ("bilirubin_mg_per_dl", (1.2, 2.0, 6.0, 12.0), True),
        ("creatinine_mg_per_dl", (1.2, 2.0, 3.5, 5.0), True),
    ],
)
def test_limits_of_laboratory_values(field: str, limits: tuple[float, ...], rising: bool) -> None:
    for number, limit in enumerate(limits):
        below, from_it = (number, number + 1) if rising else (4 - number, 3 - number)
        assert score_of(**{field: limit - 0.01}).parts[field] == below
        assert score_of(**{field: limit}).parts[field] == from_it
        assert score_of(**{field: limit + 0.01}).parts[field] == from_it


@pytest.mark.parametrize(
    ("total", "points"), [(15, 0), (14, 1), (13, 1), (12, 2), (10, 2), (9, 3), (6, 3), (5, 4), (3, 4)]
)
def test_coma(total: int, points: int) -> None:
    assert score_of(gcs_total=total).parts["gcs_total"] == points


def test_coma_by_its_parts() -> None:
    assert score_of(gcs_total=None, gcs_eye=3, gcs_verbal=4, gcs_motor=6).parts["gcs_total"] == 1
    score = score_of(gcs_total=None, gcs_eye=3, gcs_motor=6)  # intubated: not testable
    assert score.missing == ("gcs_total",)


@pytest.mark.parametrize(
    ("pao2", "points"),
    [(200.2, 0), (200, 0), (199.9, 1), (150, 1), (149.9, 2), (100, 2), (99.9, 3), (50, 3), (49.9, 4)],
)
def test_oxygenation_under_support(pao2: float, points: int) -> None:
    score = score_of(pao2_mmhg=pao2, fio2_fraction=0.5, supplemental_oxygen=True, oxygen_device="invasive_ventilation")
    assert score.parts["pao2_mmhg"] == points


@pytest.mark.parametrize("pao2", [60.0, 30.0])
def test_the_worst_two_steps_need_support(pao2: float) -> None:
    fields = {"pao2_mmhg": pao2, "fio2_fraction": 0.5, "supplemental_oxygen": True}
    on_a_mask = score_of(**fields, oxygen_device="simple_mask")
    assert (on_a_mask.parts["pao2_mmhg"], on_a_mask.complete) == (2, True)
    unknown = score_of(**fields)
    assert (unknown.parts["pao2_mmhg"], unknown.missing) == (2, ("oxygen_device",))


def test_the_inspired_fraction() -> None:
    assert score_of(pao2_mmhg=62.9).parts["pao2_mmhg"] == 2  # room air: a ratio of 299.5
    assert score_of(pao2_mmhg=63.1).parts["pao2_mmhg"] == 1
    on_oxygen = score_of(supplemental_oxygen=True)
    assert on_oxygen.missing == ("fio2_fraction",)
    assert "pao2_mmhg" not in on_oxygen.parts
    assert score_of(supplemental_oxygen=None).missing == ("fio2_fraction",)


def test_circulation() -> None:
    assert score_of(mean_pressure_mmhg=69.4).parts["mean_pressure_mmhg"] == 1
    assert score_of(mean_pressure_mmhg=69.5).parts["mean_pressure_mmhg"] == 0  # charted as 70
    by_cuff = {"mean_pressure_mmhg": None, "systolic_mmhg": 90.0}
    assert score_of(**by_cuff, diastolic_mmhg=59.0).parts["mean_pressure_mmhg"] == 1
    assert score_of(**by_cuff, diastolic_mmhg=60.0).parts["mean_pressure_mmhg"] == 0
    assert score_of(**by_cuff).missing == ("mean_pressure_mmhg",)
    for drugs, points in (("low", 2), ("medium", 3), ("high", 4)):
        assert score_of(vasopressors=drugs).parts["vasopressors"] == points
        assert score_of(vasopressors=drugs, mean_pressure_mmhg=None).complete


def test_unknown_vasopressors_leave_a_bound() -> None:
    score = score_of(vasopressors=None, mean_pressure_mmhg=60.0)
    assert (score.value, score.complete, score.missing) == (1, False, ("vasopressors",))


@pytest.mark.parametrize(
    ("volume", "hours", "points"),
    [
        (499, 24, 3),
        (500, 24, 0),
        (200, 24, 3),
        (199, 24, 4),
        (999, 48, 3),  # 499.5 a day
        (500, 6, 0),  # a day's urine cannot be less
        (100, 6, 0),  # tells nothing of a day
        (100, None, 0),
    ],
)
def test_urine_of_a_day(volume: float, hours: float | None, points: int) -> None:
    score = score_of(urine_output_ml=float(volume), urine_period_h=hours)
    assert score.value == points
    assert score.complete
    assert ("urine_output_ml" in score.parts) is (points > 0)


def test_kidneys_without_creatinine() -> None:
    few = score_of(creatinine_mg_per_dl=None, urine_output_ml=150.0, urine_period_h=24.0)
    assert (few.parts["urine_output_ml"], few.missing) == (4, ("creatinine_mg_per_dl",))
    enough = score_of(creatinine_mg_per_dl=None, urine_output_ml=1500.0, urine_period_h=24.0)
    assert (enough.value, enough.missing) == (0, ("creatinine_mg_per_dl",))
    worse = score_of(creatinine_mg_per_dl=5.1, urine_output_ml=300.0, urine_period_h=24.0)
    assert worse.parts["creatinine_mg_per_dl"] == 4


def test_nothing_known_is_all_missing_and_children_are_outside() -> None:
    score = sofa(Observations())
    assert (score.value, score.complete, score.parts) == (0, False, {})
    assert set(score.missing) == {
        *("pao2_mmhg", "fio2_fraction", "platelets_10e9_per_l", "bilirubin_mg_per_dl", "vasopressors"),
        *("mean_pressure_mmhg", "gcs_total", "creatinine_mg_per_dl"),
    }
    assert score_of(age_years=17.9).not_applicable == "under 18 years"
    assert score_of(age_years=18).complete


KNOWN = {
    "pao2_mmhg": st.floats(30, 500),
    "fio2_fraction": st.floats(0.21, 1),
    "oxygen_device": st.sampled_from(("room_air", "simple_mask", "invasive_ventilation")),
    "platelets_10e9_per_l": st.floats(0, 600),
    "bilirubin_mg_per_dl": st.floats(0, 40),
    "mean_pressure_mmhg": st.floats(20, 150),
    "vasopressors": st.sampled_from(("none", "low", "medium", "high")),
    "gcs_total": st.integers(3, 15),
    "creatinine_mg_per_dl": st.floats(0.1, 20),
}


@given(seen=st.fixed_dictionaries(KNOWN), forgotten=st.sets(st.sampled_from(sorted(KNOWN))))
def test_knowing_more_never_lowers_the_score(seen: dict[str, Any], forgotten: set[str]) -> None:
    full = Observations(**seen)
    fuller, partial = sofa(full), sofa(replace(full, **dict.fromkeys(forgotten)))
    assert fuller.complete
    assert fuller.value == sum(fuller.parts.values())
    assert fuller.value is not None
    assert partial.value is not None
    assert 0 <= partial.value <= fuller.value <= 24
    assert not set(partial.parts) & set(partial.missing)
    assert set(partial.missing) <= set(Observations.__struct_fields__)


def test_what_it_reads_are_signals_of_observations() -> None:
    assert {BY_CODE[code].field for code in READS} < set(Observations.__struct_fields__)
    assert set(LABS) < READS


def test_the_examples_in_the_docstring() -> None:
    results = doctest.testmod(sys.modules[sofa.__module__])
    assert results.attempted > 0
    assert results.failed == 0
