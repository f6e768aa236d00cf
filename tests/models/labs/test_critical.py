"""Critical values: below, at and above each limit; each limit has a source, each analyte a limit or a reason."""

from __future__ import annotations

import doctest

import pytest

from wardstream.models.labs import critical as module
from wardstream.models.labs.analytes import ANALYTES, BY_CODE
from wardstream.models.labs.critical import CRITICAL, NO_LIMIT, critical
from wardstream.models.labs.units import convert
from wardstream.schemas.bounds import LAB_BOUNDS

# What the sources say, written down a second time: low end, high end; [ and ]: the limit itself is critical.
EXPECTED = {
    "wbc": "2.0] [40",
    "neut": "0.5] -",
    "plt": "20] [1000",
    "hgb": "7.0] (21.0",
    "hct": "21] [65",
    "na": "120] [160",
    "k": "2.5] [6.5",
    "cl": "75] [126",
    "hco3": "10) (40",
    "ica": "0.78] [1.58",
    "ca": "6.0) (13.0",
    "mg": "1.0) (9.0",
    "phos": "1.0) (9.0",
    "lactate": "- [5.0",
    "bun": "- [84",
    "creat": "- [4.0",
    "gluc": "45] [450",
    "bili": "- (15",
    "alt": "- [900",
    "ast": "- (700",
    "ck": "- [5000",
    "alb": "2.0] [5.5",
    "fibr": "100) -",
    "inr": "- [5.0",
    "pt": "- [46.3",
    "aptt": "- [85",
    "tni": "- [0.30",
    "crp": "- [400",
    "ph": "7.25] [7.60",
    "paco2": "20] [60",
    "pao2": "40] -",
}


@pytest.mark.parametrize("code", EXPECTED)
def test_below_at_and_above_each_limit(code: str) -> None:
    low, high = EXPECTED[code].split()
    if low != "-":
        limit, on_limit = float(low[:-1]), low[-1] == "]"
        assert (found := critical(code, limit * 0.999)) is not None
        assert (found[0], found[1].value) == ("critical_low", limit)
        assert (critical(code, limit) is not None) is on_limit
        assert critical(code, limit * 1.001) is None
    if high != "-":
        limit, on_limit = float(high[1:]), high[0] == "["
        assert (found := critical(code, limit * 1.001)) is not None
        assert (found[0], found[1].value) == ("critical_high", limit)
        assert (critical(code, limit) is not None) is on_limit
        assert critical(code, limit * 0.999) is None
    known = CRITICAL[code]
    assert [known.low is None, known.high is None] == [low == "-", high == "-"]


@pytest.mark.parametrize("code", EXPECTED)
def test_with_a_comparator_only_what_is_certainly_critical_is(code: str) -> None:
    for limit, into, away, end in zip(CRITICAL[code], "<>", "><", ("critical_low", "critical_high"), strict=True):
        if limit is None:
            continue
        inside, outside = (0.999, 1.001) if into == ">" else (1.001, 0.999)
        for sign, at_limit in ((into, True), (f"{into}=", limit.on_limit)):
            assert critical(code, limit.compared * inside, comparator=sign) is None  # type: ignore[arg-type]
            assert (critical(code, limit.compared, comparator=sign) is not None) is at_limit  # type: ignore[arg-type]
            found = critical(code, limit.value * outside, comparator=sign)  # type: ignore[arg-type]
            assert found == (end, limit)
        for sign in (away, f"{away}="):
            assert critical(code, limit.value * outside, comparator=sign) is None  # type: ignore[arg-type]


def test_every_analyte_has_a_sourced_limit_or_a_reason() -> None:
    assert set(EXPECTED) == set(CRITICAL)
    assert not set(CRITICAL) & set(NO_LIMIT)
    assert set(CRITICAL) | set(NO_LIMIT) == {analyte.code for analyte in ANALYTES}
    assert all(reason for reason in NO_LIMIT.values())
    limits = [limit for known in CRITICAL.values() for limit in known if limit is not None]
    assert all(limit.source for limit in limits)
    assert all(any(limit is not None for limit in known) for known in CRITICAL.values())


def test_without_a_limit_nothing_is_critical() -> None:
    for code in NO_LIMIT:
        for value in (-1e9, 0.0, 1e9):
            assert critical(code, value) is None


def test_limits_lie_within_what_is_possible() -> None:
    for code, known in CRITICAL.items():
        bound = LAB_BOUNDS[BY_CODE[code].loinc]
        assert bound.unit == BY_CODE[code].unit
        for limit in known:
            if limit is not None:
                assert bound.low < limit.value < bound.high, code


@pytest.mark.parametrize(
    ("code", "value", "age", "is_critical"),
    [
        ("na", 119, 15.9, False),  # RCPath: 130 under 16; ours says nothing there
        ("na", 119, 16, True),
        ("na", 161, 3, True),  # the same at any age
        ("na", 119, None, True),
        ("k", 6.6, 0.0, True),
        ("creat", 4.1, 12, False),
        ("hgb", 6.9, 6 / 365.25, False),
        ("hgb", 6.9, 8 / 365.25, True),
    ],
)
def test_limits_that_depend_on_age(code: str, value: float, age: float | None, is_critical: bool) -> None:
    assert (critical(code, value, age) is not None) is is_critical


def test_a_limit_that_the_source_states_in_si_units_counts_at_the_limit_itself() -> None:
    def at_limit(code: str, value: float, unit: str) -> bool:
        canonical = convert(BY_CODE[code], value, unit)
        assert canonical is not None
        return critical(code, canonical, 50) is not None

    assert [at_limit("gluc", value, "mmol/L") for value in (2.4, 2.5, 2.51, 2.6)] == [True, True, False, False]
    assert [at_limit("gluc", value, "mg/dL") for value in (45, 46)] == [True, False]
    assert [at_limit("gluc", value, "mmol/L") for value in (24.9, 25.0)] == [False, True]
    assert [at_limit("bun", value, "mmol/L") for value in (29.9, 30.0)] == [False, True]
    assert [at_limit("creat", value, "umol/L") for value in (353.0, 354.0)] == [False, True]


def test_the_examples_in_the_docstrings() -> None:
    results = doctest.testmod(module)
    assert results.attempted > 0
    assert results.failed == 0
