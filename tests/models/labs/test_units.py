"""Units: published conversions, the spellings of real feeds, round trips, and nothing guessed."""

from __future__ import annotations

import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardstream.models.labs import units
from wardstream.models.labs.analytes import ANALYTES, BY_CODE
from wardstream.models.labs.units import SUBSTANCES, convert, molar_mass
from wardstream.schemas.units import AMOUNT, CHARGE, MASS


# AMA Manual of Style, 11th ed. (2020), conversion to SI units: 1 conventional unit is so many SI units.
@pytest.mark.parametrize(
    ("code", "si", "per_conventional"),
    [
        ("bili", "umol/L", 17.104),
        ("dbili", "umol/L", 17.104),
        ("ca", "mmol/L", 0.25),
        ("chol", "mmol/L", 0.0259),
        ("creat", "umol/L", 88.4),
        ("gluc", "mmol/L", 0.0555),
        ("mg", "mmol/L", 0.411),
        ("phos", "mmol/L", 0.323),
        ("bun", "mmol/L", 0.357),
        ("hgb", "g/L", 10.0),
        ("hgb", "mmol/L", 0.6206),
        ("alb", "g/L", 10.0),
        ("fibr", "g/L", 0.01),
        ("alt", "ukat/L", 0.0167),
        ("tnt", "ug/L", 1.0),
        ("tnt", "ng/L", 1000.0),
        ("bnp", "pmol/L", 0.289),
        ("ntprobnp", "pmol/L", 0.118),
        ("ntprobnp", "ng/L", 1.0),
        ("paco2", "kPa", 0.133),
        ("pao2", "kPa", 0.133),
        ("hct", "1", 0.01),
        ("crp", "mg/dL", 0.1),
        ("ddimer", "ug/mL{FEU}", 0.001),
        ("tsh", "uIU/mL", 1.0),
    ],
)
def test_published_factors(code: str, si: str, per_conventional: float) -> None:
    canonical = convert(BY_CODE[code], per_conventional, si)
    assert canonical == pytest.approx(1.0, rel=0.005)  # they are printed to two or three digits


@pytest.mark.parametrize(
    ("code", "value", "unit", "canonical"),
    [
        ("ca", 5.0, "mEq/L", 10.02),  # valence 2: 1 mEq/L is 0.5 mmol/L, 2.004 mg/dL
        ("ica", 2.4, "meq/L", 1.2),
        ("ica", 4.81, "mg/dL", 1.2),
        ("mg", 1.5, "mEq/L", 1.823),
        ("na", 140.0, "mEq/L", 140.0),
        ("k", 4.2, "meq/l", 4.2),
        ("lactate", 18.02, "mg/dL", 2.0),
        ("be", -3.0, "mEq/L", -3.0),
        ("beb", -3.0, "mEq/L", -3.0),
        ("hba1c", 53.0, "mmol/mol", 7.0),  # the pairs that diabetologists know
        ("hba1c", 42.0, "mmol/mol", 6.0),
    ],
)
def test_charges_and_other_known_pairs(code: str, value: float, unit: str, canonical: float) -> None:
    assert convert(BY_CODE[code], value, unit) == pytest.approx(canonical, rel=0.001)


def test_molar_masses() -> None:
    """PubChem, rounded as there."""
    assert round(molar_mass("C6H12O6"), 2) == 180.16
    assert round(molar_mass("C4H7N3O"), 2) == 113.12
    assert round(molar_mass("C33H36N4O6"), 1) == 584.7
    assert round(molar_mass("C27H46O"), 1) == 386.7
    assert round(molar_mass("C3H6O3"), 2) == 90.08


@pytest.mark.parametrize(
    ("code", "spellings"),
    [
        (
            "wbc",
            "10*3/uL 10*9/L K/uL K/µL 10^9/L 10^3/uL x10^9/L x10e9/L 10e3/uL 10E3/uL X10(9)/L 10(3)/mcL ×10⁹/L G/L /nL",
        ),
        ("plt", "10*3/mm3 K/mm3 Thou/uL K/cumm"),
        ("creat", "mg/dL mg/dl MG/DL"),
        ("na", "mmol/L mmol/l MMOL/L mEq/L meq/L MEQ/L"),
        ("alt", "U/L u/l IU/L [IU]/L"),
        ("paco2", "mm[Hg] mmHg mmhg Torr"),
        ("pt", "s sec seconds"),
        ("inr", "{INR} INR 1 {ratio} ratio"),
        ("ph", "[pH] pH units 1"),
        ("tsh", "m[IU]/L mIU/L uIU/mL u[IU]/mL µIU/mL mU/L"),
        ("ddimer", "ng/mL{FEU} ng/mL ug/L ng/mLFEU"),
        ("tnt", "ng/mL ug/L µg/L μg/L mcg/L"),
        ("hct", "% pct"),
    ],
)
def test_spellings_of_one_unit(code: str, spellings: str) -> None:
    for unit in spellings.split():
        assert convert(BY_CODE[code], 1.5, unit) == 1.5, unit
    assert convert(BY_CODE[code], 1.5, f" {spellings.split()[0]} ") == 1.5


@pytest.mark.parametrize(
    ("code", "unit"),
    [
        ("k", "%"),
        ("k", "mol"),
        ("k", "furlong"),
        ("wbc", "10*12/L"),
        ("wbc", "%"),
        ("neut", "%"),  # a share of the white cells is another quantity
        ("phos", "mEq/L"),  # its valence depends on pH
        ("gluc", "mEq/L"),
        ("alb", "umol/L"),  # no molar mass is agreed upon
        ("crp", "nmol/L"),
        ("alt", "mg/dL"),
        ("ddimer", "ng/mL{DDU}"),
        ("inr", "%"),
        ("inr", "s"),
        ("ph", "nmol/L"),
        ("pt", "%"),
        ("pt", "{INR}"),
        ("aptt", "{ratio}"),
        ("paco2", "mbar"),
    ],
)
def test_what_is_not_known_is_not_guessed(code: str, unit: str) -> None:
    assert convert(BY_CODE[code], 1.5, unit) is None


def test_without_a_unit_only_what_has_none_is_used() -> None:
    used = {analyte.code for analyte in ANALYTES if convert(analyte, 5.0, None) is not None}
    assert used == {"inr", "ph", "phb"}
    assert used == {analyte.code for analyte in ANALYTES if convert(analyte, 5.0, "") is not None}


@given(
    analyte=st.sampled_from(ANALYTES),
    unit=st.sampled_from(sorted({*MASS, *AMOUNT, *CHARGE})),
    value=st.floats(1e-3, 1e6),
)
def test_factors_are_linear_and_there_and_back_is_the_same(analyte: units.Analyte, unit: str, value: float) -> None:
    canonical = convert(analyte, value, unit)
    if canonical is None:
        return
    one = units._conversion(analyte.code, unit)
    assert one is not None
    assert one.offset == 0
    assert canonical / one.factor == pytest.approx(value, rel=1e-9)
    assert convert(analyte, 2 * value, unit) == pytest.approx(2 * canonical, rel=1e-9)


@given(value=st.floats(0.01, 1e4))
def test_mass_and_amount_agree_for_every_substance(value: float) -> None:
    for code, substance in SUBSTANCES.items():
        by_mass, by_amount = convert(BY_CODE[code], value, "g/L"), convert(BY_CODE[code], value, "mol/L")
        assert by_mass is not None
        assert by_amount is not None
        assert by_amount / by_mass == pytest.approx(substance.molar_mass, rel=1e-8)


def test_every_canonical_unit_is_known_in_its_own_spelling() -> None:
    for analyte in ANALYTES:
        assert convert(analyte, 1.25, analyte.unit) == 1.25
        assert convert(analyte, 1.25, f"{analyte.unit} ") == 1.25  # the table's entry, not the short cut


def test_the_examples_in_the_docstrings() -> None:
    results = doctest.testmod(units)
    assert results.attempted > 0
    assert results.failed == 0
