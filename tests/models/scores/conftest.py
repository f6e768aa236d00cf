"""The patient whom the tests of the scores make ill, one value at a time."""

import pytest

from wardstream.models.scores import Observations


@pytest.fixture(scope="session")
def well() -> Observations:
    """Everything known, every score 0 (shock index 0.58)."""
    return Observations(
        heart_rate_bpm=72,
        respiratory_rate_per_min=14,
        spo2_percent=97,
        supplemental_oxygen=False,
        systolic_mmhg=124,
        temperature_celsius=36.8,
        consciousness="A",
        gcs_total=15,
        age_years=50,
        pregnant=False,
        wbc_10e9_per_l=7,
        bands_percent=2,
        paco2_mmhg=40,
    )
