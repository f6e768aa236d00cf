"""How feeds spell units: what is known in which dimension, and that nothing is guessed."""

from __future__ import annotations

import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardstream.schemas import units
from wardstream.schemas.bounds import BOUNDS, LAB_BOUNDS
from wardstream.schemas.units import bedside_value, lab_unit


def test_examples() -> None:
    assert doctest.testmod(units).failed == 0


def test_every_field_is_known_in_its_own_unit() -> None:
    for name, bound in BOUNDS.items():
        if name != "age_years":
            assert bedside_value(bound.unit, 2.5, bound.unit) == 2.5, name
    for loinc, bound in LAB_BOUNDS.items():
        assert lab_unit(bound.unit, bound.unit) == bound.unit, loinc


@pytest.mark.parametrize(
    ("canonical", "unit"),
    [("/min", "mm[Hg]"), ("/min", ""), ("%", "/min"), ("Cel", "K"), ("mm[Hg]", "cm[H2O]"), ("kg", "st"), ("no", "no")],
)
def test_nothing_is_guessed(canonical: str, unit: str) -> None:
    assert bedside_value(canonical, 1.0, unit) is None


@given(st.text(max_size=40))
def test_whatever_the_text_is(unit: str) -> None:
    for bound in LAB_BOUNDS.values():
        travels = lab_unit(bound.unit, unit)
        assert travels in (None, unit, bound.unit)
