"""The published examples of akiFlagger (MIT), creatinine series with the KDIGO stage that it gives each result.

Every file of the folder is accounted for: run, or listed with the reason why it cannot be. The five cases of AKIN name
criteria and no values; where both rules have a criterion, values that meet it get the same stage from KDIGO's.
"""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.models.scores.gdl import points
from wardstream.models.scores.kdigo import Collection, Kidneys, Result, kdigo

RUN = {
    "example1.csv": 3,
    "example2.csv": 3,
    "example3.csv": 3,
    "bc_out.csv": 5,
    "rw_out.csv": 5,
    "rw_flagged.csv": 6,
}
"""How many results of each file get their stage."""

NOT_RUN = {
    "example0.csv": "rows picked from a longer series: the results that its stages rest on are not in it",
    **dict.fromkeys(
        ("00test.csv", "01test.csv", "02test.csv", "01test.json", "testDATA.json", "toy.csv", "toy_demo.csv"),
        "series without expected stages",
    ),
}


def _rows(path: Path) -> list[tuple[str, float, float, int]]:
    """Patient, seconds, creatinine and expected stage; the header of one file is in capitals."""
    found = []
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            one = {name.lower(): value for name, value in row.items() if name}
            time = datetime.fromisoformat(one["time"]).replace(tzinfo=UTC).timestamp()
            found.append((one.get("patient_id") or one["pat_mrn_id"], time, float(one["creatinine"]), int(one["aki"])))
    return found


@pytest.mark.parametrize("name", RUN)
def test_each_result_gets_its_stage(name: str, shared_data: Path) -> None:
    rows = _rows(shared_data / "scores" / "akiflagger" / name)
    history: dict[str, list[Result]] = {}
    staged = []
    for patient, at, value, _ in rows:
        known = history.setdefault(patient, [])
        known.append(Result(at, value))
        staged.append(kdigo(Kidneys(at, known, age_years=60)).value)
    assert staged == [stage for _, _, _, stage in rows]
    assert len(rows) == RUN[name]


def test_the_stages_of_example_0_cannot_follow_from_its_rows(shared_data: Path) -> None:
    """A first result, and a lower one two days later, with stages 1 and 2: what was before is missing."""
    rows = _rows(shared_data / "scores" / "akiflagger" / "example0.csv")
    assert [stage for _, _, _, stage in rows] == [1, 2, 2]
    assert len({patient for patient, _, _, _ in rows}) == 2


def test_series_without_expectations_have_none(shared_data: Path) -> None:
    for name, why in NOT_RUN.items():
        if why == "series without expected stages":
            text = (shared_data / "scores" / "akiflagger" / name).read_text().lower()
            assert "aki" not in text
            assert "stage" not in text


def test_every_file_is_accounted_for(shared_data: Path) -> None:
    files = {path.name for path in (shared_data / "scores" / "akiflagger").iterdir() if path.is_file()}
    assert files == set(RUN) | set(NOT_RUN)


DAY, HOUR = 86_400.0, 3600.0
AKIN_CREATININE = {0: (1.0, 1.1), 1: (1.0, 1.3), 3: (1.0, 3.1)}  # two days apart
AKIN_URINE = {0: (0.6, 12), 1: (0.4, 6), 2: (0.4, 24)}  # mL/kg/h, hours


def test_akin_s_cases_agree_where_the_rules_do(shared_data: Path) -> None:
    cases = json.loads((shared_data / "scores" / "gdl_score_test_cases.json").read_bytes())
    of_akin = cases["akin_classification_for_acute_kidney_injury.v1"]
    assert len(of_akin) == 5
    for case in of_akin:
        given = {name: points(coded) for name, coded in case["input"].items()}
        before, now = AKIN_CREATININE[int(given["Creatinine"])]
        rate, hours = AKIN_URINE[int(given["Urine output"])]
        score = kdigo(
            Kidneys(
                10 * DAY,
                [Result(8 * DAY, before), Result(10 * DAY, now)],
                [Collection(10 * DAY - ago * HOUR, rate * 70, 1) for ago in reversed(range(hours))],
                weight_kg=70,
                age_years=60,
                renal_replacement=given["Renal replacement therapy"] > 0,
            )
        )
        assert f"AKI Stage {score.value:.0f}" in case["expected"]["Stage"], case["id"]
        assert score.complete
