"""Recorded series of patient flow: read as they are, refused by name where they are something else."""

from __future__ import annotations

import gzip
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from wardstream.infra.feeds import nhamcs, uihc
from wardstream.infra.feeds.archive import SourceError

HEADER = f"Arrivals,Date,Hour,temp,{','.join(uihc.SPECIAL)}"
ROW = {
    **dict.fromkeys(nhamcs.COLUMNS, -9),
    "YEAR": 2019,
    "ADMITHOS": 1,
    "PATWT": 1500.0,
    "VMONTH": 3,
    "VDAYR": 1,
    "ARRTIME": "2359",
    "AGE": 71,
    "SEX": 2,
    "TEMPF": 1004,
    "PULSE": 998,  # a Doppler's mark, no pulse
    "IMMEDR": 7,
    "ARREMS": 1,
    "RFV1": 10501,
    "HTN": 1,
    "CHF": 0,
}


def table(path: Path, *lines: str) -> Path:
    path.write_bytes(gzip.compress("\n".join((HEADER, *lines)).encode()))
    return path


def test_hours_with_their_weather_and_special_days(tmp_path: Path) -> None:
    flags = ",".join("0.0" for _ in uihc.SPECIAL)
    christmas = ",".join("1.0" if name == "xmas" else "0.0" for name in uihc.SPECIAL)
    found = uihc.hours(
        table(tmp_path / "a.gz", f"5.0,2013-12-24,23.0,41.0,{flags}", f"2.0,2013-12-25,0.0,32.0,{christmas}")
    )
    assert found.counts.tolist() == [5.0, 2.0]
    assert found.temperature_c == pytest.approx([5.0, 0.0])
    assert found.calendar.at(found.first).hour_of_week == 24 + 23
    assert found.calendar.at(found.first + 1).special == ("xmas",)
    assert found.place(date(2013, 12, 25)) == 1


@pytest.mark.parametrize("lines", [(), ("x,2013-12-24,1.0,41.0" + ",0" * 8,), ("1.0,2013-12-24",)])
def test_another_table_is_refused(tmp_path: Path, lines: tuple[str, ...]) -> None:
    with pytest.raises(SourceError):
        uihc.hours(table(tmp_path / "a.gz", *lines))


def test_a_missing_hour_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="follow"):
        uihc.hours(
            table(tmp_path / "a.gz", "1,2013-12-24,1,41" + ",0" * 8, "1,2013-12-24,3,41" + ",0" * 8),
        )


def test_a_visit_as_it_stood_at_triage(tmp_path: Path) -> None:
    later = {"EKG": 1, "NUMMED": 4, "DIAG1": "I50-"}
    parquet.write_table(pa.Table.from_pylist([ROW | later]), tmp_path / "visits.parquet")
    (visit,) = nhamcs.visits(tmp_path / "visits.parquet")
    triage = visit.triage
    assert (visit.year, visit.admitted, visit.weight) == (2019, True, 1500.0)
    assert (triage.sex, triage.hour, triage.weekday, triage.ambulance) == ("m", 23, 6, True)
    assert (triage.acuity, triage.heart_rate_bpm, triage.transferred, triage.pain) == (None, None, None, None)
    assert triage.temperature_c == pytest.approx(38.0)
    assert (triage.complaints, triage.conditions) == (("10501",), ("htn",))
    (bare,) = nhamcs.visits(tmp_path / "visits.parquet", conditions=False)
    assert bare.triage.conditions == ()


def test_what_is_no_table_of_visits_is_refused(tmp_path: Path) -> None:
    parquet.write_table(pa.table({"other": [1]}), tmp_path / "other.parquet")
    (tmp_path / "text.parquet").write_text("no parquet")
    for name in ("other", "text", "absent"):
        with pytest.raises(SourceError):
            nhamcs.visits(tmp_path / f"{name}.parquet")


def test_the_recorded_hours(shared_data: Path) -> None:
    found = uihc.hours(shared_data / "flow/uihc_ed_hourly_arrivals_2013-07_2017-06.csv.gz", 24 * 365)
    assert len(found.counts) == 24 * 365
    assert 5.0 < found.counts.mean() < 8.0
    assert -35.0 < found.temperature_c.min() < found.temperature_c.max() < 45.0
    assert set(found.calendar.names) <= set(uihc.SPECIAL)
    assert np.isfinite(found.temperature_c).all()
