"""`wardstream flow …`: tables from recorded series, and clear refusals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa
import pytest
from pyarrow import parquet
from typer.testing import CliRunner

from tests.infra.feeds.test_flow_series import HEADER, ROW
from wardstream.infra.cli import main
from wardstream.infra.feeds.uihc import SPECIAL
from wardstream.infra.flow_show import file_name
from wardstream.infra.flow_trials import over_wards
from wardstream.models.flow.measures import Quality, quality


@pytest.fixture
def series(tmp_path: Path) -> Path:
    flags = ",".join("0" for _ in SPECIAL)
    lines = [f"{3 + hour % 5},2013-12-{day:02},{hour},40,{flags}" for day in range(1, 15) for hour in range(24)]
    path = tmp_path / "hours.csv"
    path.write_text("\n".join((HEADER, *lines)))
    return path


def test_arrivals_are_scored_by_horizon_and_forecaster(series: Path) -> None:
    command = ["flow", "arrivals", str(series), "--scored-from", "2013-12-10", "--horizons", "1,24"]
    ran = CliRunner().invoke(main, [*command, "--json"])
    assert ran.exit_code == 0, ran.output
    found = orjson.loads(ran.stdout)
    assert set(found) == {"1", "24"}
    assert {"hour of week", "seasonal naive", "moving average", "combined", "calibrated"} < set(found["24"])
    assert sum(found["24"]["calibrated"]["pit"]) == pytest.approx(1.0)
    table = CliRunner().invoke(main, command)
    assert "seasonal naive" in table.stdout
    assert "Poisson" in table.stdout
    bare = CliRunner().invoke(main, [*command, "--without", "weather", "--without", "special-days", "--json"])
    assert orjson.loads(bare.stdout)["1"]["hour of week"] == found["1"]["hour of week"]
    assert orjson.loads(bare.stdout)["1"]["linear"] != found["1"]["linear"]


@pytest.mark.parametrize("wrong", [("--scored-from", "tomorrow"), ("--scored-from", "2015-01-01"), ("--horizons", "3")])
def test_what_cannot_be_scored_is_said(series: Path, wrong: tuple[str, str]) -> None:
    ran = CliRunner().invoke(main, ["flow", "arrivals", str(series), "--scored-from", "2013-12-10", *wrong])
    assert ran.exit_code == 2
    assert "--" in ran.output or "horizons" in ran.output


def test_admission_with_the_conditions_and_without(tmp_path: Path) -> None:
    rows = [
        ROW | {"YEAR": year, "AGE": 20 + 60 * (i % 2), "ADMITHOS": int(i % 4 in (1, 3) or i % 8 == 0)}
        for year in (2019, 2020)
        for i in range(60)
    ]
    parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "visits.parquet")
    ran = CliRunner().invoke(main, ["flow", "admission", str(tmp_path / "visits.parquet"), "--json"])
    assert ran.exit_code == 0, ran.output
    found = orjson.loads(ran.stdout)
    assert found["without conditions"]["frozen"]["AUROC"] > 0.8
    assert "complaints" in found["fields"]
    assert found["all fields"]["online"]["visits"] == 60


def test_means_over_wards() -> None:
    def ward(pmf: list[float]) -> dict[int, dict[str, Quality]]:
        return {24: {"beds": quality(np.tile(np.array(pmf), (300, 1)), np.zeros(300))}}

    rows = list(over_wards([ward([1.0, 0.0]), ward([0.0, 1.0])]))
    assert rows == [("wards, mean", "24", "beds", "0.500", "0.500", "0.500, 1.000", "0.500, 1.000")]


def test_each_unit_has_a_picture_of_its_own() -> None:
    units = ["W/1", "W_1", "W%2F1", "内科", "外科", "..", "Ward 4B"]
    names = [file_name(unit) for unit in units]
    assert len(set(names)) == len(units)
    assert not any("/" in name for name in names)
    assert names[-1] == "Ward 4B"


@pytest.mark.parametrize("long", ["内" * 128, "/" * 128, "é" * 121, "W" * 241])
def test_a_long_name_of_a_unit_is_a_name_of_a_file(long: str, tmp_path: Path) -> None:
    units = [long[:-1] + last for last in "AB内"]
    names = [file_name(unit) for unit in (*units, long[:30])]
    assert len(set(names)) == len(names)
    for name in names:
        (tmp_path / f"{name}.svg").write_text("")
    assert len(list(tmp_path.iterdir())) == len(names)


@pytest.mark.parametrize("beds", ["3000000000000000000000", "-10001"])
def test_more_beds_than_any_hospital_has_are_refused(beds: str) -> None:
    ran = CliRunner().invoke(main, ["flow", "ask", "ED", "--beds", beds])
    assert ran.exit_code == 2
    assert "--beds" in ran.output
    assert not isinstance(ran.exception, OverflowError)
