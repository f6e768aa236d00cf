"""MIMIC-IV demo: rows of MEDS become movements, results, sets of vitals and outcomes."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from wardstream.infra.feeds import mimic_iv
from wardstream.infra.feeds.archive import SourceError
from wardstream.infra.feeds.records import EPOCH, Tally
from wardstream.schemas.admissions import Admission
from wardstream.schemas.envelope import Event
from wardstream.schemas.labs import Lab
from wardstream.schemas.outcomes import Outcome
from wardstream.schemas.vitals import Vitals

DAY = datetime(2180, 7, 23)  # noqa: DTZ001 - as in the file


def at(hour: int, minute: int = 0) -> datetime:
    return DAY + timedelta(hours=hour, minutes=minute)


def events_of(*rows: mimic_iv.Row) -> tuple[list[Event], Tally]:
    tally = Tally()
    about: list[mimic_iv.Row] = [(None, "GENDER//F", None), (datetime(2128, 1, 1), "MEDS_BIRTH", None)]  # noqa: DTZ001
    return list(mimic_iv.events("7", [*about, *rows], tally)), tally


def movements(events: list[Event]) -> list[tuple[str, str | None, str | None]]:
    return [(e.kind, e.unit, e.encounter_id) for e in events if isinstance(e, Admission)]


STAY: tuple[mimic_iv.Row, ...] = (
    (at(1), "ED_REGISTRATION", None),
    (at(1), "TRANSFER_TO//ED//Emergency Department", None),
    (at(5), "HOSPITAL_ADMISSION//EW EMER.//EMERGENCY ROOM", None),
    (at(6), "TRANSFER_TO//admit//Medicine", None),
    (at(9), "TRANSFER_TO//transfer//Medical Intensive Care Unit (MICU)", None),
    (at(9), "ICU_ADMISSION//Medical Intensive Care Unit (MICU)", None),
    (at(30), "HOSPITAL_DISCHARGE//DIED", None),
    (at(30, 1), "TRANSFER_TO//discharge//UNK", None),
)


def test_a_stay_told_twice_is_one_stay() -> None:
    events, tally = events_of(*STAY)
    assert movements(events) == [
        ("admit", "Emergency Department", "7-1"),
        ("update", None, "7-1"),
        ("transfer", "Medicine", "7-1"),
        ("transfer", "Medical Intensive Care Unit (MICU)", "7-1"),
        ("discharge", None, "7-1"),
    ]
    first, *_, last = [event for event in events if isinstance(event, Admission)]
    assert (first.sex, first.patient_class, first.pregnant) == ("female", "emergency", None)
    assert first.age_years == pytest.approx(52.56, abs=0.01)
    assert last.disposition == "died"
    assert [event.kind for event in events if isinstance(event, Outcome)] == ["icu_transfer"]
    assert tally.rows == len(STAY) + 2


def test_a_transfer_at_the_time_of_discharge_comes_before_it() -> None:
    events, _ = events_of(
        (at(1), "HOSPITAL_ADMISSION//EU OBSERVATION//PHYSICIAN REFERRAL", None),
        (at(9), "HOSPITAL_DISCHARGE//UNK", None),
        (at(9), "TRANSFER_TO//admit//Emergency Department Observation", None),
        (at(10), "TRANSFER_TO//discharge//UNK", None),
    )
    assert [kind for kind, _, _ in movements(events)] == ["admit", "transfer", "discharge"]


def test_a_visit_without_an_end_is_closed_before_the_next_event() -> None:
    events, _ = events_of(
        (at(1), "TRANSFER_TO//ED//Emergency Department", None),
        (at(24 * 9), "LAB//50971//mEq/L", 4.5),
        (at(24 * 10), "TRANSFER_TO//ED//Emergency Department", None),
    )
    assert movements(events) == [
        ("admit", "Emergency Department", "7-1"),
        ("discharge", None, "7-1"),
        ("admit", "Emergency Department", "7-2"),
        ("discharge", None, "7-2"),
    ]
    assert [event.received_at for event in events] == sorted(event.received_at for event in events)
    assert [event.provenance for event in events if isinstance(event, Admission)] == ["charted", "derived"] * 2
    lab = next(event for event in events if isinstance(event, Lab))
    assert lab.encounter_id is None


def test_results_are_sent_in_their_unit_or_rejected() -> None:
    events, tally = events_of(
        (at(1), "LAB//50971//mEq/L", 4.099999904632568),
        (at(1), "LAB//51301//%", 7.0),
        (at(1), "LAB//51301//K/uL", None),
        (at(1), "LAB//51301//K/uL", 12.5),
        (at(1), "LAB//50893//mg/dL", 1.1),
        (at(1), "LAB//51249//%", 33.0),
    )
    labs = [(event.loinc, event.value, event.unit) for event in events if isinstance(event, Lab)]
    assert labs == [("2823-3", 4.1, "mmol/L"), ("6690-2", 12.5, "10*3/uL")]
    assert tally.rejected == {"LAB//51301 (unit)": 1, "LAB//50893 (out_of_bounds)": 1}
    assert tally.dropped == {"LAB//51301 (no number)": 1, "LAB (not listed)": 1}


def test_what_is_charted_at_one_time_is_one_set() -> None:
    events, tally = events_of(
        (at(1), "LAB//220045//bpm", 91.0),
        (at(1), "LAB//223761//°F", 98.4000015258789),
        (at(1), "LAB//223835//UNK", 40.0),
        (at(1), "LAB//220179//mmHg", 130.0),
        (at(1), "LAB//220050//mmHg", 121.0),
        (at(1), "LAB//223901//UNK", 6.0),
        (at(1), "LAB//226531//UNK", 176.37),
        (at(1), "SUBJECT_FLUID_OUTPUT//226559//ml", 100.0),
        (at(1), "SUBJECT_FLUID_OUTPUT//226560//ml", 50.0),
        (at(2), "LAB//223762//°C", 99.0),
    )
    vitals = [event for event in events if isinstance(event, Vitals)]
    assert len(vitals) == 1
    one = vitals[0]
    assert one.heart_rate_bpm == 91
    assert one.temperature_celsius == pytest.approx(36.889, abs=0.001)
    assert one.fio2_fraction == 0.4
    assert one.systolic_mmhg == 121, "the arterial line goes before the cuff"
    assert one.gcs_motor == 6
    assert one.weight_kg == pytest.approx(80, abs=0.01)
    assert one.urine_output_ml == 150
    assert one.received_at == at(1).replace(tzinfo=UTC)
    assert tally.rejected == {"LAB//223762 (out_of_bounds)": 1}
    assert tally.dropped == {"LAB//220179 (another of the same time)": 1}


def test_a_death_with_a_date_only_is_known_when_the_day_is_over() -> None:
    events, _ = events_of(
        (at(0), "MEDS_DEATH", None), (at(5), "LAB//50971//mEq/L", 4.5), (at(30), "LAB//50971//mEq/L", 4.5)
    )
    assert [type(event) for event in events] == [Lab, Outcome, Lab]
    assert events[1].received_at == at(24).replace(tzinfo=UTC)


def test_without_the_extra_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(SourceError, match=r"wardstream\[replay\]"):
        mimic_iv.records(tmp_path)


def test_what_is_no_such_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no such"):
        mimic_iv.records(tmp_path / "nothing")
    with pytest.raises(SourceError, match=r"no .*parquet"):
        mimic_iv.records(tmp_path)
    (tmp_path / "meds.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(SourceError, match="no MEDS parquet"):
        mimic_iv.records(tmp_path)


def test_real_patients(shared_data: Path) -> None:
    tally = Tally()
    records = mimic_iv.records(shared_data / "icu" / "mimic_iv_demo_v2.2", 8)
    events = [event for record in records for event in record.events(EPOCH, tally)]
    assert tally.rows == sum(record.rows for record in records)
    assert len({event.event_id for event in events}) == len(events)
    kinds = [event.kind for event in events if isinstance(event, Admission)]
    assert kinds.count("admit") == kinds.count("discharge") >= 8
    for record in records:
        times = [event.received_at for event in record.events(EPOCH, Tally())]
        assert times == sorted(times)
        assert times[0].year > 2100
    wbc = [event.value for event in events if isinstance(event, Lab) and event.loinc == "6690-2"]
    assert 4 < sorted(value for value in wbc if value is not None)[len(wbc) // 2] < 15
    assert tally.rejected.total() < 0.01 * len(events)
