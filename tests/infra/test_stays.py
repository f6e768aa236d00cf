"""Recorded files become arrays by the events they are replayed as; `data check` and `evaluate` work on them."""

from __future__ import annotations

import hashlib
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from tests.infra.feeds.test_challenge2019 import psv
from tests.infra.test_model_store import run, site
from tests.models.training.tiny import write_candidate
from wardstream.infra.feeds import challenge2019
from wardstream.infra.feeds.archive import SourceError
from wardstream.infra.stays import read
from wardstream.models.sepsis import SIGNALS
from wardstream.models.training.stays import UNLABELLED

__all__ = ["site"]
ARCHIVE = "icu/challenge2019_setB_p100001-p106500.tar.gz"


def quiet(task: str, done: int, of: int, told: str = "") -> None:
    """No progress."""


def write(folder: Path, **patients: list[dict[str, Any]]) -> Path:
    folder.mkdir(exist_ok=True)
    for name, rows in patients.items():
        (folder / f"{name}.psv").write_bytes(psv(*rows))
    return folder


def cell(rows: np.ndarray, hour: int, code: str) -> float:
    return float(rows[hour - 1, SIGNALS.index(code)])


def test_row_t_is_hour_t_and_labels_stay_with_their_rows(tmp_path: Path) -> None:
    late = [{"HR": 90, "ICULOS": 3}, {"Temp": 38.5, "ICULOS": 4, "SepsisLabel": 1}, {"ICULOS": 5, "SepsisLabel": 1}]
    septic_first = [{"HR": 90, "SepsisLabel": 1}, {"HR": 91, "SepsisLabel": 1}]
    folder = write(
        tmp_path / "set", p1=[{"HR": 80, "WBC": 11.5}, {}, {"HR": 82, "Lactate": 2}], p2=late, p3=septic_first
    )
    found, tally = read([folder], tmp_path / "cache", quiet)
    stays = found.stays
    assert stays.ids.tolist() == ["cinc2019-p1", "cinc2019-p2", "cinc2019-p3"]
    assert cell(stays.rows(0), 1, "hr") == 80
    assert cell(stays.rows(0), 1, "wbc") == 11.5
    assert cell(stays.rows(0), 3, "lactate") == 2
    assert np.isnan(stays.rows(0)[1]).all()
    assert stays.labels(0).tolist() == [0, 0, 0]
    assert stays.labels(1).tolist() == [UNLABELLED, UNLABELLED, 0, 1, 1], "an empty last row is a row"
    assert cell(stays.rows(1), 4, "temp") == 38.5
    assert stays.onset(1) == 4 + 6
    assert np.isnan(stays.onset(0))
    assert np.isnan(stays.onset(2)), "positive from the first row: unknown"
    assert stays.who(0).age_years == 61.5
    assert stays.who(0).sex == "female"
    assert tally is not None


def test_arrays_are_kept_until_data_change(tmp_path: Path) -> None:
    folder, cache = write(tmp_path / "set", p1=[{"HR": 80}]), tmp_path / "cache"
    first, _ = read([folder], cache, quiet)
    again, tally = read([folder], cache, quiet)
    assert tally is None, "kept"
    assert np.array_equal(first.stays.grid, again.stays.grid, equal_nan=True)
    write(folder, p1=[{"HR": 99}])
    changed, tally = read([folder], cache, quiet)
    assert tally is not None
    assert cell(changed.stays.rows(0), 1, "hr") == 99
    assert changed.data_hash != first.data_hash
    with pytest.raises(SourceError, match="no such"):
        read([tmp_path / "absent"], cache, quiet)


def test_without_labels_there_is_no_outcome_and_all_hours_are_answered(site: Path) -> None:
    rows = [{"HR": 80, "Resp": 18, "O2Sat": 96, "SBP": 120}] * 5
    text = psv(*rows).decode().splitlines()
    folder = site / "set"
    folder.mkdir()
    (folder / "p1.psv").write_text("\n".join(line.rpartition("|")[0] for line in text) + "\n")
    record = challenge2019.records(folder)[0]
    assert record.labels is not None
    assert record.labels() == {}
    candidate = write_candidate(site / "candidate")
    told = site / "answers.ndjson"
    code, output = run("evaluate", "sepsis", folder, "--folder", candidate, "--json", "--predictions", told)
    assert code == 0, output
    answers = [orjson.loads(line) for line in told.read_bytes().splitlines()]
    assert [one["hour"] for one in answers] == [1, 2, 3, 4, 5]
    assert all(0 < one["calibrated_probability"] < 1 for one in answers)
    assert "auroc" not in orjson.loads(output[output.index("{") :])


def test_data_check_tells_what_must_be_mended(site: Path) -> None:
    good = write(site / "good", p1=[{"HR": 80, "FiO2": 2.0}], p2=[{"HR": 81}])
    code, output = run("data", "check", good, "--json")
    assert '"refused"' in output
    assert run("data", "check", good, "--json") == (code, output), "told each time, not only when it is first read"
    assert code == 0, output
    told = orjson.loads(output[output.index("{") :])
    assert told["labelled"]["patients"] == 2
    assert told["refused"] == {"FiO2 (out_of_bounds)": 1}
    assert told["labelled"]["measured_share"]["hr"] == 1.0
    bad = write(site / "bad", p1=[{"HR": 80}], p2=[{"HR": 80}], p3=[{"SepsisLabel": 1}, {}])
    code, output = run("data", "check", bad)
    assert code == 1
    assert "1 stays are copies of another under another number: cinc2019-p2\n" in output
    assert "1 stays have no measurement at all: cinc2019-p3\n" in output
    assert "1 stays have labels that go back from 1 to 0: cinc2019-p3\n" in output


def test_data_check_tells_the_faults_of_all_files(site: Path) -> None:
    """Each by file, line and field, never by value; what is sound is described."""
    folder = write(
        site / "set",
        p1=[{"HR": 80}, {"HR": 81}],
        p2=[{"SepsisLabel": 2}, {}, {"SepsisLabel": 2}],
        p3=[{"ICULOS": 2}, {"ICULOS": 1}],
        p4=[{"ICULOS": 1_000_000_000}],
        p5=[{"ICULOS": 1.5}, {"ICULOS": "NaN"}, {"ICULOS": -1}, {"ICULOS": "inf"}],
        p6=[{"HR": "7654 bpm"}],
    )
    (folder / "p7.psv").write_bytes(b"\x00\xff")
    (folder / "p8.psv").write_bytes(psv({}) + b"1|2\n")
    wanted = [
        "p2.psv, line 2, SepsisLabel: neither 0 nor 1 (2 lines)",
        "p3.psv, line 3, ICULOS: not after the hour of the row before",
        "p4.psv, line 2, ICULOS: not a whole hour from 1 to 87660",
        "p5.psv, line 2, ICULOS: not a whole hour from 1 to 87660 (4 lines)",
        "p6.psv, line 2, HR: not a number",
        "p7.psv, line 1: no rows of the challenge of 2019",
        "p8.psv, line 3: no row of the challenge of 2019",
    ]
    code, output = run("data", "check", folder, "--json")
    told = orjson.loads(output[output.index("{") :])
    assert (code, told["files"], told["problems"]) == (1, {"read": 8, "faulty": 7}, wanted)
    assert (told["labelled"]["patients"], told["labelled"]["hours"]) == (1, 2)
    code, output = run("data", "check", folder)
    assert (code, [line[2:] for line in output.splitlines() if line.startswith("- ")]) == (1, wanted)
    assert "7 of 8 files have faults" in output
    assert "7654" not in output
    candidate = write_candidate(site / "candidate")
    for number in range(2, 9):
        for arguments in (("train", "sepsis"), ("evaluate", "sepsis", "--folder", candidate)):
            code, output = run(*arguments, folder / f"p{number}.psv")
            assert code == 2
            assert f"p{number}: line " in output


def test_data_check_goes_on_after_what_cannot_be_read(site: Path) -> None:
    folder, other = write(site / "set", p1=[{"HR": 80}]), write(site / "other", p2=[{"HR": 81}], p3=[{"ICULOS": 0}])
    for name in ("p4.psv", "p5.psv"):
        (folder / name).symlink_to("/proc/self/mem")  # a file that exists and gives an error
    (site / "nothing").mkdir()
    code, output = run("data", "check", folder, other, site / "nothing", "--json")
    told = orjson.loads(output[output.index("{") :])
    assert code == 1
    assert told["files"] == {"read": 2, "faulty": 1}
    unread, empty, fault = told["problems"]
    assert "p4.psv (" in unread
    assert "p5.psv (" in unread
    assert "no .psv files" in empty
    assert fault.startswith("p3.psv, line 2, ICULOS")
    assert run("data", "check", site / "nothing")[0] == 2
    assert run("data", "check", site / "absent", folder)[0] == 2


def test_data_check_of_the_older_set(site: Path) -> None:
    (site / "set").mkdir()
    head = "Time,Parameter,Value\n00:00,RecordID,1\n00:00,Age,54\n"
    for name, lines in {
        "1": "00:30,HR,80\n",
        "2": "999999999999:00,HR,80\n02:00,HR,80\n01:00,HR,80\n03:00,GCS,nan\n03:00,Smith,x\n03:00\n",
    }.items():
        (site / "set" / f"{name}.txt").write_text(head + lines)
    code, output = run("data", "check", site / "set", "--json")
    told = orjson.loads(output[output.index("{") :])
    assert (code, told["files"]) == (1, {"read": 2, "faulty": 1})
    assert told["problems"] == [
        "2.txt, line 4, Time: not hours and minutes from 00:00 to 87660:00",
        "2.txt, line 6, Time: before the time of the line before",
        "2.txt, line 7, GCS: not a number",
        "2.txt, line 8, Value: not a number",
        "2.txt, line 9: no line of the challenge of 2012",
    ]
    (site / "set" / "Outcomes-a.txt").write_text("RecordID,Length_of_stay,In-hospital_death\n1,5,0\n2,long,1\n")
    code, output = run("data", "check", site / "set")
    assert (code, "Outcomes-a.txt: line 3 is no outcome" in output) == (2, True)
    (site / "set" / "Outcomes-a.txt").write_bytes(b"\x00\n\xff\n")
    assert run("data", "check", site / "set")[0] == 2


def test_the_inputs_of_what_serves_are_those_it_learnt_from(shared_data: Path, tmp_path: Path) -> None:
    """The code has changed since (`code_hash` of its record); what it makes of the files has not, to the bit."""
    stays = read([shared_data / ARCHIVE], tmp_path, quiet, 300)[0].stays
    made = hashlib.sha256(b"".join(array.tobytes() for array in (stays.starts, stays.grid, stays.label, stays.age)))
    assert made.hexdigest() == "b3dc27f1e463cfe0033c76b388cacf3fe36e4017128ebd5b7cfc53e701438606"


def test_labels_of_the_real_files_are_those_of_their_rows(shared_data: Path, tmp_path: Path) -> None:
    records = challenge2019.records(shared_data / ARCHIVE, 40)
    found, _ = read([shared_data / ARCHIVE], tmp_path, quiet, 40)
    assert len(found.stays) == 40
    for i, record in enumerate(records):
        assert record.labels is not None
        labels = record.labels()
        assert len(labels) == record.rows
        assert {h: int(v) for h, v in enumerate(found.stays.labels(i), 1) if v != UNLABELLED} == labels


def checked(*paths: Path) -> tuple[int, list[str]]:
    code, output = run("data", "check", *paths, "--json")
    found: list[str] = orjson.loads(output[output.index("{") :])["problems"] if "{" in output else [output]
    return code, found


def test_data_check_tells_columns_that_are_not_those_of_the_set(site: Path) -> None:
    text = psv({"HR": 80, "O2Sat": 97})
    (site / "set").mkdir()
    for name, wrong in {
        "p1": text.replace(b"HR|", b"Heart|", 1),
        "p2": text.replace(b"HR|", b"O2Sat|", 1),
        "p3": b"\n".join(line.partition(b"|")[2] for line in text.splitlines()),
        "p4": text.replace(b"SepsisLabel", b"Label"),
    }.items():
        (site / "set" / f"{name}.psv").write_bytes(wrong)
    foreign = "a column that the challenge of 2019 does not have"
    assert checked(site / "set") == (
        1,
        [
            "p1.psv, line 1, HR: this column is missing",
            f"p1.psv, line 1: {foreign}",
            "p2.psv, line 1, HR: this column is missing",
            "p2.psv, line 1, O2Sat: this column comes more than once",
            "p3.psv, line 1, HR: this column is missing",
            f"p4.psv, line 1: {foreign}",
        ],
    )


def test_data_check_tells_ages_that_nobody_has(site: Path) -> None:
    ages = {"p1": -4, "p2": 300, "p3": "inf", "p4": 100, "p5": "NaN"}
    folder = write(site / "set", **{name: [{"HR": 80 + n, "Age": age}] for n, (name, age) in enumerate(ages.items())})
    wanted = [f"{name}.psv, line 2, Age: not from 0 to 130 years" for name in ("p1", "p2", "p3")]
    assert checked(folder) == (1, wanted)
    (site / "older").mkdir()
    for name, age in {"1": "-4", "2": "300", "3": "-1"}.items():
        text = f"Time,Parameter,Value\n00:00,Age,{age}\n00:30,HR,{80 + int(name)}\n"
        (site / "older" / f"{name}.txt").write_text(text)
    wanted = [f"{name}.txt, line 2, Age: neither -1 nor from 0 to 130 years" for name in ("1", "2")]
    assert checked(site / "older") == (1, wanted)


def test_data_check_of_the_older_set_tells_what_is_silently_nothing(site: Path) -> None:
    (site / "set").mkdir()
    for name, line in {"1": "00:30,HR,7000", "2": "00:30,HR,80", "3": "00:61,HR,80", "4": "00:30,GCS,14.5"}.items():
        (site / "set" / f"{name}.txt").write_text(f"Time,Parameter,Value\n{line}\n")
    assert checked(site / "set") == (
        1,
        [
            "3.txt, line 2, Time: not hours and minutes from 00:00 to 87660:00",
            "2 stays have no value that can be used: 1, 4",
        ],
    )


def test_data_check_tells_files_of_one_name(site: Path) -> None:
    """Which of them the patient is, nobody knows; one of them was dropped without a word."""
    folder = site / "set"
    folder.mkdir()
    write(folder / "a", p1=[{"HR": 80}])
    write(folder / "b", p1=[{"HR": 81}], p2=[{"HR": 82}])
    with tarfile.open(site / "set.tar", "w") as archive:
        archive.add(folder)
    other = write(site / "other", p3=[{"HR": 83}])
    for path in (folder, site / "set.tar"):
        code, found = checked(path, other)
        assert code == 1
        assert found == [f"{path}: 1 names are of more than one file each: p1.psv"]
        assert checked(path)[0] == 2
