"""What a shift cost is paired by hour of the same patient; who recovers comes back to what it was."""

from __future__ import annotations

import numpy as np
import pytest

from tests.risk.judging import Judged
from tests.risk.recovering import WINDOW, paired, recovery

SINCE, HOURS, RATE = 10, 8, 0.1


def told(served: float, later: float, frozen: float, skipped: int = 0) -> Judged:
    """Two windows after the shift: what is served says `served` in the first, `later` in the second."""
    patient = np.repeat(np.arange(SINCE + 2 * WINDOW), HOURS)
    hour = np.tile(np.arange(HOURS) + 1, SINCE + 2 * WINDOW)
    happened = (np.arange(len(hour)) % 10 == 0).astype(np.int8)  # at `RATE`
    said = {
        "served": np.where(patient < SINCE + WINDOW, served, later),
        "stopped": np.full(len(hour), frozen),
        "frozen deep": np.full(len(hour), frozen),
    }
    rows = np.arange(len(hour)) >= skipped
    said = {name: one[rows] for name, one in said.items()}
    return Judged(said, happened[rows], patient[rows], np.zeros(rows.sum(), np.int64), hour[rows])


def test_hours_are_paired_by_patient_and_hour() -> None:
    one, other = paired(told(0.1, 0.1, 0.1, skipped=100), told(0.3, 0.3, 0.3))
    assert np.array_equal(one.patient, other.patient)
    assert np.array_equal(one.hour, other.hour)
    assert np.array_equal(one.happened, other.happened)
    assert len(one.hour) == (SINCE + 2 * WINDOW) * HOURS - 100


def test_who_learns_recovers_and_who_stopped_does_not() -> None:
    first, then = recovery(told(RATE, RATE, RATE), told(0.4, RATE, 0.4), SINCE, same_patients=True)
    assert [first["patients"], then["patients"]] == [[SINCE, SINCE + WINDOW], [SINCE + WINDOW, SINCE + 2 * WINDOW]]
    assert first["paired_hours"] == WINDOW * HOURS
    for name in ("served", "stopped", "frozen deep"):
        assert first["dearer"][name]["interval"][0] > 0.1
    assert then["dearer"]["served"]["value"] == 0.0
    assert then["dearer"]["stopped"]["interval"][0] > 0.1
    assert first["lost"]["value"] == 0.0
    assert then["lost"]["value"] == pytest.approx(then["dearer"]["stopped"]["value"])
    assert first["level"]["served"]["value"] == pytest.approx(4.0)
    assert then["level"]["served"]["value"] == pytest.approx(1.0)
    assert then["level_without"]["stopped"]["value"] == pytest.approx(1.0)


def test_other_patients_are_not_paired() -> None:
    first, _ = recovery(told(RATE, RATE, RATE), told(0.4, RATE, 0.4), SINCE, same_patients=False)
    assert "dearer" not in first
    assert "lost" in first
