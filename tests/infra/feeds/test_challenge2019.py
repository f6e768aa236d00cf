"""Challenge 2019: every value of the files arrives, at the end of its hour, and nothing impossible does."""

from __future__ import annotations

import tarfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from wardstream.infra.feeds import challenge2019
from wardstream.infra.feeds.archive import SourceError
from wardstream.infra.feeds.records import EPOCH, Tally
from wardstream.schemas.admissions import Admission
from wardstream.schemas.envelope import Event
from wardstream.schemas.labs import Lab
from wardstream.schemas.outcomes import Outcome
from wardstream.schemas.vitals import Vitals

HEADER = (
    "HR|O2Sat|Temp|SBP|MAP|DBP|Resp|EtCO2|BaseExcess|HCO3|FiO2|pH|PaCO2|SaO2|AST|BUN|Alkalinephos|Calcium|Chloride|"
    "Creatinine|Bilirubin_direct|Glucose|Lactate|Magnesium|Phosphate|Potassium|Bilirubin_total|TroponinI|Hct|Hgb|PTT|"
    "WBC|Fibrinogen|Platelets|Age|Gender|Unit1|Unit2|HospAdmTime|ICULOS|SepsisLabel"
)
COLUMNS = HEADER.split("|")
ARCHIVE = "icu/challenge2019_setB_p100001-p106500.tar.gz"
START = datetime(2020, 5, 5, 5, tzinfo=UTC)


def psv(*rows: dict[str, object]) -> bytes:
    about = {"Age": 61.5, "Gender": 0, "Unit1": 0, "Unit2": 1, "HospAdmTime": -3.0, "SepsisLabel": 0}
    lines = ["|".join(COLUMNS)]
    for hour, row in enumerate(rows, start=1):
        values = {"ICULOS": hour, **about, **row}
        lines.append("|".join(str(values.get(column, "NaN")) for column in COLUMNS))
    return ("\n".join(lines) + "\n").encode()


def events_of(*rows: dict[str, object]) -> tuple[list[Event], Tally]:
    tally = Tally()
    return list(challenge2019.events("p1", psv(*rows), START, tally)), tally


def test_a_row_is_one_set_of_vitals_and_a_lab_event_for_each_result() -> None:
    events, tally = events_of({"HR": 90, "FiO2": 0.4, "WBC": 11.5, "Bilirubin_total": 1.2}, {}, {"Temp": 38.2})
    admitted, wbc, bilirubin, first, last = events[0], *events[1:4], events[4]
    if isinstance(wbc, Lab) and wbc.loinc != "6690-2":
        wbc, bilirubin = bilirubin, wbc
    assert isinstance(admitted, Admission)
    assert (admitted.kind, admitted.age_years, admitted.sex, admitted.pregnant) == ("admit", 61.5, "female", None)
    assert (admitted.unit, admitted.received_at) == ("SICU", START)
    assert isinstance(wbc, Lab)
    assert isinstance(bilirubin, Lab)
    assert (wbc.loinc, wbc.value, wbc.unit) == ("6690-2", 11.5, "10*3/uL")
    assert (bilirubin.loinc, bilirubin.value, bilirubin.unit) == ("1975-2", 1.2, "mg/dL")
    assert isinstance(first, Vitals)
    assert (first.heart_rate_bpm, first.fio2_fraction, first.temperature_celsius) == (90, 0.4, None)
    assert first.supplemental_oxygen is None, "what follows from FiO2 is not for the feed to say"
    assert first.received_at == first.available_at == first.observed_at == START + timedelta(hours=1)
    assert isinstance(last, Vitals)
    assert last.received_at == START + timedelta(hours=3), "an empty row sends nothing"
    assert tally.rows == 3
    assert not tally.rejected


def test_the_outcome_is_told_when_sepsis_begins_not_when_the_label_does() -> None:
    events, _ = events_of({"HR": 90}, {"HR": 91, "SepsisLabel": 1}, {"HR": 92, "SepsisLabel": 1})
    outcome, ended = events[-2:]
    assert isinstance(outcome, Outcome)
    assert outcome.kind == "sepsis_onset"
    assert outcome.occurred
    assert outcome.observed_at == outcome.available_at == outcome.received_at == START + timedelta(hours=2 + 6)
    assert isinstance(ended, Admission)
    assert (ended.kind, ended.provenance) == ("discharge", "derived")
    assert ended.received_at > outcome.received_at


def test_no_sepsis_is_told_at_the_end() -> None:
    events, _ = events_of({"HR": 90}, {"HR": 91})
    outcome = events[-2]
    assert isinstance(outcome, Outcome)
    assert (outcome.occurred, outcome.received_at) == (False, START + timedelta(hours=2))


def test_impossible_values_are_counted_and_the_rest_of_the_row_is_sent() -> None:
    events, tally = events_of(
        {"HR": 90, "FiO2": -50, "SBP": 80, "DBP": 120, "Calcium": 1.1},
        {"FiO2": 2.0},
    )
    assert [type(event) for event in events] == [Admission, Vitals, Outcome, Admission]
    vitals = events[1]
    assert isinstance(vitals, Vitals)
    assert (vitals.heart_rate_bpm, vitals.fio2_fraction) == (90, None)
    assert (vitals.systolic_mmhg, vitals.diastolic_mmhg) == (None, None)
    assert tally.rejected == {
        "FiO2 (out_of_bounds)": 2,
        "SBP (inconsistent)": 1,
        "DBP (inconsistent)": 1,
        "Calcium (out_of_bounds)": 1,
    }


def test_ids_depend_on_the_record_and_row_only() -> None:
    row: dict[str, object] = {"HR": 90, "WBC": 11}
    here = [event.event_id for event in challenge2019.events("p1", psv(row), START, Tally())]
    there = [event.event_id for event in challenge2019.events("p1", psv(row), EPOCH, Tally())]
    other = [event.event_id for event in challenge2019.events("p2", psv(row), START, Tally())]
    assert here == there
    assert len(set(here)) == len(here)
    assert not set(here) & set(other)


def test_a_folder_a_file_and_an_archive_are_the_same(tmp_path: Path) -> None:
    folder = tmp_path / "set" / "deeper"
    folder.mkdir(parents=True)
    for name in ("p000002.psv", "p000001.psv", "notes.md"):
        (folder / name).write_bytes(psv({"HR": 80}, {"HR": 81}))
    archive = tmp_path / "set.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(tmp_path / "set", "set")
    for path in (tmp_path / "set", archive):
        records = challenge2019.records(path)
        assert [(record.id, record.rows) for record in records] == [("p000001", 2), ("p000002", 2)]
        assert [record.id for record in challenge2019.records(path, 1)] == ["p000001"]
    assert [record.id for record in challenge2019.records(folder / "p000002.psv")] == ["p000002"]


def test_what_is_not_there_or_damaged_is_told(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no such"):
        challenge2019.records(tmp_path / "nothing")
    with pytest.raises(SourceError, match=r"no \.psv"):
        challenge2019.records(tmp_path)
    whole = tmp_path / "whole.tar.gz"
    (tmp_path / "p1.psv").write_bytes(b"\n".join(psv({"HR": i / 7}) for i in range(400)))
    with tarfile.open(whole, "w:gz") as tar:
        tar.add(tmp_path / "p1.psv", "p1.psv")
    cut = tmp_path / "cut.tar.gz"
    cut.write_bytes(whole.read_bytes()[:-600])
    with pytest.raises(SourceError, match="damaged"):
        challenge2019.records(cut)


@pytest.mark.parametrize("rows", ["", "1|2|3\n", "|".join(["x"] * 41) + "\n"])
def test_a_file_of_another_form_is_told(rows: str) -> None:
    with pytest.raises(SourceError, match="p1"):
        list(challenge2019.events("p1", f"{HEADER}\n{rows}".encode(), START, Tally()))


PATIENTS = 60


def test_every_value_of_the_real_files_arrives(shared_data: Path) -> None:
    """Against a reading of its own: cell by cell, by the names that the challenge documents."""
    fields = dict(zip(("HR", "O2Sat", "Temp", "SBP", "MAP", "DBP", "Resp", "EtCO2", "FiO2"), (
        "heart_rate_bpm", "spo2_percent", "temperature_celsius", "systolic_mmhg", "mean_pressure_mmhg",
        "diastolic_mmhg", "respiratory_rate_per_min", "etco2_mmhg", "fio2_fraction"), strict=True))  # fmt: skip
    codes = dict(zip(COLUMNS, [None] * 8 + [
        "1925-7", "1963-8", None, "2744-1", "2019-8", "2708-6", "1920-8", "3094-0", "6768-6", "17861-6", "2075-0",
        "2160-0", "1968-7", "2345-7", "32693-4", "19123-9", "2777-1", "2823-3", "1975-2", "10839-9", "4544-3", "718-7",
        "14979-9", "6690-2", "3255-7", "777-3"] + [None] * 7, strict=True))  # fmt: skip
    expected: set[tuple[str, int, str, float]] = set()
    with tarfile.open(shared_data / ARCHIVE) as tar:
        files = sorted((member for member in tar if member.isfile()), key=lambda member: member.name)[:PATIENTS]
        for member in files:
            file = tar.extractfile(member)
            assert file is not None
            patient = "cinc2019-" + member.name.rpartition("/")[2].removesuffix(".psv")
            for line in file.read().decode().splitlines()[1:]:
                row = dict(zip(COLUMNS, map(float, line.split("|")), strict=True))
                for column, value in row.items():
                    name = fields.get(column) or codes.get(column)
                    if name is not None and value == value:
                        expected.add((patient, int(row["ICULOS"]), name, value))
    tally, arrived = Tally(), set[tuple[str, int, str, float]]()
    for record in challenge2019.records(shared_data / ARCHIVE, PATIENTS):
        for event in record.events(EPOCH, tally):
            hour = int((event.received_at - EPOCH) / timedelta(hours=1))
            if isinstance(event, Vitals):
                for name in fields.values():
                    if (value := getattr(event, name)) is not None:
                        arrived.add((event.patient_id, hour, name, value))
            elif isinstance(event, Lab):
                assert event.value is not None
                arrived.add((event.patient_id, hour, event.loinc, event.value))
    assert arrived <= expected
    missing = expected - arrived
    assert len(missing) == tally.rejected.total()
    assert all(name == "17861-6" and value < 2.5 for _, _, name, value in missing), "ionised calcium only"
    assert len(arrived) > 10_000
