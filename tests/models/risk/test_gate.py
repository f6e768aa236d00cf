"""The gate between champion and challenger."""

from __future__ import annotations

from random import Random

import pytest

from wardstream.models.risk.gate import ECE, GROUPS, POSITIVES, PREDICTIONS, Paired, gate, ready
from wardstream.models.risk.prequential import Measures, Tally

GOOD = Measures(PREDICTIONS, POSITIVES, 0.8, 0.3, 0.05, 0.2, 1.0, 1.0, ECE)

NONE = Tally().measures()


def paired(better: float, patients: int = 2_000, hours: int = 24, seed: int = 1) -> Paired:
    """Patients, each with hours that say nearly the same thing."""
    found, draw = Paired(), Random(seed)
    for patient in range(patients):
        own = draw.gauss(better, 0.1)
        for _ in range(hours):
            found.add(f"P{patient}", 0.3 + own, 0.3 + draw.gauss(0, 0.01))
    return found


def test_a_better_one_passes() -> None:
    assert gate(GOOD, NONE, paired(0.02)).allowed
    assert ready(GOOD, NONE).allowed


@pytest.mark.parametrize(
    ("measures", "reason"),
    [
        (GOOD._replace(predictions=PREDICTIONS - 1), "not enough labels"),
        (GOOD._replace(positives=POSITIVES - 1), "not enough labels"),
        (GOOD._replace(slope=0.79), "calibration slope"),
        (GOOD._replace(slope=1.26), "calibration slope"),
        (GOOD._replace(slope=float("nan")), "calibration slope"),
        (GOOD._replace(expected=1.3), "expected over observed"),
        (GOOD._replace(ece=ECE + 0.001), "calibration error"),
        (GOOD._replace(ece=float("nan")), "calibration error"),
    ],
)
def test_what_holds_it_back_is_said(measures: Measures, reason: str) -> None:
    for found in (gate(measures, NONE, paired(0.02)), ready(measures, NONE)):
        assert not found.allowed
        assert len(found.reasons) == 1
        assert reason in found.reasons[0]


def test_what_was_calibrated_once_must_be_so_lately() -> None:
    off = GOOD._replace(slope=0.5)
    assert ready(GOOD, off).reasons == ("not calibrated lately: calibration slope 0.50, not within 0.8 and 1.25",)
    assert not gate(GOOD, off, paired(0.02)).allowed
    assert ready(GOOD, off._replace(positives=POSITIVES - 1)).allowed, "of too few nothing can be said"


def test_a_worse_or_equal_one_does_not_pass() -> None:
    for better in (-0.02, 0.0):
        assert "not better" in gate(GOOD, NONE, paired(better)).reasons[0]
    assert "not better" in gate(GOOD, NONE, Paired()).reasons[0]


def test_hours_of_few_patients_are_no_evidence() -> None:
    assert "not better" in gate(GOOD, NONE, paired(0.02, patients=20, hours=2_000)).reasons[0]


def test_the_interval_is_as_wide_as_patients_differ() -> None:
    """Over many draws its standard error is that of the mean of patients, not of hours."""
    drawn = [paired(0.0, patients=640, seed=seed).better_by() for seed in range(60)]
    spread = (sum(mean**2 for mean, _ in drawn) / len(drawn)) ** 0.5
    told = sum(error for _, error in drawn) / len(drawn)
    assert spread == pytest.approx(0.1 / 640**0.5, rel=0.3)
    assert told == pytest.approx(spread, rel=0.3)


def test_groups_depend_on_the_patient_alone() -> None:
    one, other = paired(0.01, seed=1), paired(0.01, seed=2)
    assert one.counts == other.counts
    assert sum(1 for count in one.counts if count) == GROUPS
