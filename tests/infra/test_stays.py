"""Recorded files become arrays by the events they are replayed as; `data check` and `evaluate` work on them."""

from __future__ import annotations

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
    assert "1 stays are copies" in output
    assert "no measurement at all" in output
    assert "go back from 1 to 0" in output


def test_labels_of_the_real_files_are_those_of_their_rows(shared_data: Path, tmp_path: Path) -> None:
    records = challenge2019.records(shared_data / ARCHIVE, 40)
    found, _ = read([shared_data / ARCHIVE], tmp_path, quiet, 40)
    assert len(found.stays) == 40
    for i, record in enumerate(records):
        assert record.labels is not None
        labels = record.labels()
        assert len(labels) == record.rows
        assert {h: int(v) for h, v in enumerate(found.stays.labels(i), 1) if v != UNLABELLED} == labels
