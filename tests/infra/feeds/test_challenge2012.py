"""Challenge 2012: irregular lines become events; deaths are told when they are known."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from wardstream.infra.feeds import challenge2012
from wardstream.infra.feeds.archive import SourceError
from wardstream.infra.feeds.records import EPOCH, Tally
from wardstream.schemas.admissions import Admission
from wardstream.schemas.envelope import Event
from wardstream.schemas.labs import Lab
from wardstream.schemas.outcomes import Outcome
from wardstream.schemas.vitals import Vitals

ABOUT = "00:00,RecordID,1\n00:00,Age,54\n00:00,Gender,1\n00:00,Height,-1\n00:00,ICUType,4\n00:00,Weight,-1\n"


def events_of(lines: str, died_after_days: int | None = None) -> tuple[list[Event], Tally]:
    tally = Tally()
    text = f"Time,Parameter,Value\n{ABOUT}{lines}".encode()
    return list(challenge2012.events("1", text, died_after_days, EPOCH, tally)), tally


def test_lines_of_one_time_become_one_set_and_results() -> None:
    events, tally = events_of("00:07,GCS,15\n00:07,HR,73\n00:07,Urine,900\n00:07,MechVent,1\n03:08,HCT,33.7\n")
    admitted, vitals, lab, ended = events
    assert isinstance(admitted, Admission)
    assert (admitted.age_years, admitted.sex, admitted.pregnant, admitted.unit) == (54, "male", None, "SICU")
    assert isinstance(vitals, Vitals)
    assert (vitals.gcs_total, vitals.heart_rate_bpm, vitals.urine_output_ml) == (15, 73, 900)
    assert vitals.urine_period_h is None
    assert vitals.oxygen_device == "invasive_ventilation"
    assert vitals.received_at == EPOCH + timedelta(minutes=7)
    assert isinstance(lab, Lab)
    assert (lab.loinc, lab.value, lab.unit) == ("4544-3", 33.7, "%")
    assert isinstance(ended, Admission)
    assert (ended.kind, ended.provenance) == ("discharge", "derived")
    assert ended.received_at == EPOCH + timedelta(hours=3, minutes=9)
    assert tally.rows == 11
    assert tally.dropped == {"Weight (not recorded)": 1}


def test_arterial_pressures_go_before_the_cuffs() -> None:
    events, tally = events_of(
        "01:00,DiasABP,60\n01:00,MAP,80\n01:00,NIDiasABP,70\n01:00,NIMAP,90\n01:00,NISysABP,130\n01:00,SysABP,120\n"
        "02:00,NIDiasABP,71\n02:00,NIMAP,91\n02:00,NISysABP,131\n"
    )
    first, second = events[1:3]
    assert isinstance(first, Vitals)
    assert isinstance(second, Vitals)
    assert (first.systolic_mmhg, first.diastolic_mmhg, first.mean_pressure_mmhg) == (120, 60, 80)
    assert (second.systolic_mmhg, second.diastolic_mmhg, second.mean_pressure_mmhg) == (131, 71, 91)
    assert sum(n for column, n in tally.dropped.items() if "arterial" in column) == 3


def test_a_repeated_parameter_is_not_lost() -> None:
    events, _ = events_of("01:00,HR,70\n01:00,Temp,37.0\n01:00,Temp,37.4\n")
    temperatures = [event.temperature_celsius for event in events if isinstance(event, Vitals)]
    assert temperatures == [37.0, 37.4]
    assert len({event.event_id for event in events}) == len(events)


def test_impossible_values_are_counted_by_column() -> None:
    events, tally = events_of("01:00,Temp,-17.8\n01:00,pH,735\n01:00,HR,80\n02:00,Temp,-17.8\n")
    assert [type(event) for event in events] == [Admission, Vitals, Admission]
    assert tally.rejected == {"Temp (out_of_bounds)": 2, "pH (out_of_bounds)": 1}


def test_a_death_is_told_when_its_day_is_over() -> None:
    events, _ = events_of("01:00,HR,80\n", died_after_days=5)
    assert [type(event) for event in events] == [Admission, Vitals, Admission, Outcome]
    died = events[-1]
    assert isinstance(died, Outcome)
    assert (died.kind, died.received_at) == ("death", EPOCH + timedelta(days=5))


def test_the_outcomes_file_is_read_beside_the_records(tmp_path: Path) -> None:
    for record in ("11", "12", "13"):
        (tmp_path / f"{record}.txt").write_text(f"Time,Parameter,Value\n{ABOUT}01:00,HR,80\n")
    (tmp_path / "Outcomes-a.txt").write_text(
        "RecordID,SAPS-I,SOFA,Length_of_stay,Survival,In-hospital_death\n11,6,1,5,-1,0\n12,9,1,7,6,1\n13,9,1,-1,6,1\n"
    )
    records = challenge2012.records(tmp_path)
    assert [record.id for record in records] == ["11", "12", "13"]
    deaths = {
        record.id: [event for event in record.events(EPOCH, Tally()) if isinstance(event, Outcome)]
        for record in records
    }
    assert [len(found) for found in deaths.values()] == [0, 1, 0], "not when the length of the stay is unknown"
    assert deaths["12"][0].received_at == EPOCH + timedelta(days=7)


@pytest.mark.parametrize("line", ["01:00,HR", "one,HR,80", "01:00,HR,fast"])
def test_a_file_of_another_form_is_told(line: str) -> None:
    with pytest.raises(SourceError, match="1"):
        events_of(line + "\n")


def test_a_folder_without_records_is_told(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no record files"):
        challenge2012.records(tmp_path)


def test_real_records_are_sent_but_for_what_is_counted(shared_data: Path) -> None:
    tally, values = Tally(), 0
    for record in challenge2012.records(shared_data / "icu" / "challenge2012_set-b.tar.gz", 40):
        for event in record.events(EPOCH, tally):
            if isinstance(event, Lab):
                values += 1
            elif isinstance(event, Vitals):
                values += sum(getattr(event, field) is not None for field in set(challenge2012.VITALS.values()))
    about = sum(n for name, n in tally.dropped.items() if name.startswith("Height"))
    lines_about_the_patient = 40 * len(challenge2012.ABOUT)
    left_out = tally.rejected.total() + tally.dropped.total() - about
    assert values == tally.rows - lines_about_the_patient - left_out
    assert values > 10_000
