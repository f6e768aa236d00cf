"""Validity windows, and several ways to say one thing."""

from __future__ import annotations

import pytest

from tests.models.measuring import HOUR, MINUTE, T0, apply, said
from wardstream.models.latest import current
from wardstream.models.signals import BEDSIDE, BY_CODE, DAY, NEWS2_GROUPS, ONE_STATEMENT, SCORED, SIGNALS, WINDOWS_S
from wardstream.schemas.vitals import Vitals


@pytest.mark.parametrize(
    ("code", "device_s", "charted_s"),
    [
        ("hr", 15 * MINUTE, 12 * HOUR),
        ("rr", 15 * MINUTE, 12 * HOUR),
        ("spo2", 15 * MINUTE, 12 * HOUR),
        ("sbp", HOUR, 12 * HOUR),
        ("temp", HOUR, 12 * HOUR),
        ("acvpu", 12 * HOUR, 12 * HOUR),
        ("o2", 12 * HOUR, 12 * HOUR),
        ("wbc", DAY, DAY),
        ("paco2", 6 * HOUR, 6 * HOUR),
        ("kg", 7 * DAY, 7 * DAY),
        ("scale2", float("inf"), float("inf")),
    ],
)
def test_the_window_is_that_of_the_provenance(code: str, device_s: float, charted_s: float) -> None:
    assert WINDOWS_S[True][code] == device_s
    assert WINDOWS_S[False][code] == charted_s
    value = {"acvpu": "A", "o2": True, "scale2": True}.get(code, 40.0)
    for device, window in ((True, device_s), (False, charted_s)):
        patient, _, _ = apply([said("x", 0, device=device, **{code: value})])
        assert code in patient.current(T0)
        if window < float("inf"):
            assert code in patient.current(T0 + window - 0.001)
            assert code not in patient.current(T0 + window)


def test_the_newest_value_has_its_own_window() -> None:
    charted_last, _, _ = apply([said("monitor", 0, device=True, hr=80.0), said("nurse", 5, hr=82.0)])
    assert "hr" in charted_last.current(T0 + 11 * HOUR)
    device_last, _, _ = apply([said("nurse", 0, hr=82.0), said("monitor", 5, device=True, hr=80.0)])
    assert "hr" not in device_last.current(T0 + 21 * MINUTE)


@pytest.mark.parametrize(
    ("first", "second", "holds"),
    [
        ({"o2": False}, {"o2flow": 2.0}, {"o2flow"}),
        ({"o2flow": 2.0, "o2dev": "nasal_cannula"}, {"o2": False}, {"o2"}),
        ({"fio2": 0.4}, {"fio2": 0.35, "o2dev": "venturi_mask"}, {"fio2", "o2dev"}),
        ({"acvpu": "A"}, {"gcse": 4.0, "gcsv": 4.0, "gcsm": 6.0}, {"gcse", "gcsv", "gcsm"}),
        ({"gcse": 4.0, "gcsv": 5.0, "gcsm": 6.0}, {"gcse": 4.0, "gcsm": 6.0}, {"gcse", "gcsm"}),  # intubated since
        ({"gcs": 14.0}, {"acvpu": "A"}, {"acvpu"}),
    ],
)
def test_of_several_ways_to_say_it_the_newest_counts(
    first: dict[str, object], second: dict[str, object], holds: set[str]
) -> None:
    patient, _, _ = apply([said("second", 1, **second), said("first", 0, **first)])
    assert patient.current(T0 + MINUTE).keys() == holds


def test_an_older_statement_counts_again_when_the_newer_is_cancelled() -> None:
    patient, _, _ = apply([said("a", 0, o2=False), said("b", 1, o2flow=2.0), said("c", 2, revises="b")])
    assert patient.current(T0 + MINUTE).keys() == {"o2"}


def test_statements_of_one_moment_count_together() -> None:
    patient, _, _ = apply([said("a", 0, o2flow=2.0), said("b", 0, o2dev="nasal_cannula")])
    assert current(patient.signals, T0).keys() == {"o2flow", "o2dev"}


def test_the_table_is_whole() -> None:
    envelope = set(Vitals.__struct_fields__[: Vitals.__struct_fields__.index("heart_rate_bpm")])
    assert set(Vitals.__struct_fields__) - envelope - {"retracted"} <= {signal.field for signal in SIGNALS}
    assert len(BY_CODE) == len(SIGNALS)
    assert set(BY_CODE) >= SCORED > BEDSIDE
    assert {code for group in ONE_STATEMENT for code in group} <= {code for group in NEWS2_GROUPS for code in group}
