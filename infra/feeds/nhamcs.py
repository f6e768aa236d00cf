"""Visits to US emergency departments as they stood at triage: NHAMCS public-use files, 2016 to 2020, one parquet file.

Source: National Center for Health Statistics; for statistics only, no re-identification. Negative codes mean missing,
TEMPF is in tenths of °F. Of the columns only those of `COLUMNS` are read: tests, medications, diagnoses and times
after triage never leave the file. The outcome is ADMITHOS (admitted to this hospital), the weight PATWT.

INJURY is not read either: it is coded after the visit, from the diagnoses as well (of the visits with an injury among
these and none among the reasons for coming 99.9 % have it).

IMMEDR is a level of 1 to 5; 0 and 7 (no triage) count as not known. The ten conditions were abstracted from the chart,
some of it written after triage.

The day of the month is not published: visits are in the order of year, month, day of the week and time of arrival.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from wardstream.infra.feeds.archive import SourceError
from wardstream.models.flow.admission import Triage

CONDITIONS: Final = ("CEBVD", "CKD", "COPD", "CHF", "CAD", "ETOHAB", "CANCER", "DIABTYP1", "DIABTYP2", "HTN")
_REASONS: Final = ("RFV1", "RFV2", "RFV3")
_TRIAGE: Final = (
    *("VMONTH", "VDAYR", "ARRTIME", "AGE", "SEX", "ARREMS", "AMBTRANSFER", "TEMPF", "PULSE", "RESPR", "BPSYS"),
    *("BPDIAS", "POPCT", "IMMEDR", "PAINSCALE", "SEEN72"),
)
COLUMNS: Final = ("YEAR", "ADMITHOS", "PATWT", *_TRIAGE, *_REASONS, *CONDITIONS)
# What a sensor or a clerk can have meant; anything else counts as not known.
_POSSIBLE: Final = {
    "TEMPF": (850, 1100),
    "PULSE": (20, 280),
    "RESPR": (4, 90),
    "BPSYS": (40, 300),
    "BPDIAS": (15, 200),
    "POPCT": (40, 100),
}


class TriagedVisit(NamedTuple):
    """A visit: what was known at triage, what became of it, and how many visits of its country it stands for."""

    year: int
    triage: Triage
    admitted: bool
    weight: float


def visits(path: Path, *, conditions: bool = True, every: int = 1) -> list[TriagedVisit]:
    """Read the file in the order of arrival.

    Parameters
    ----------
    conditions
        Whether the chart-abstracted conditions are read.
    every
        Only each so-manieth visit.

    Raises
    ------
    SourceError
        There is no such file, it is another, or the `replay` extra is not installed.
    """
    return [_visit(row, conditions=conditions) for row in _rows(path, COLUMNS)[::every]]


def waits(path: Path, year: int, every: int = 1) -> list[tuple[TriagedVisit, float]]:
    """All visits until a year with how long they waited to be seen, in minutes, where that is known.

    Raises
    ------
    SourceError
        As of `visits`.
    """
    rows = [row for row in _rows(path, (*COLUMNS, "WAITTIME")) if row["YEAR"] <= year][::every]
    found = [(_visit(row, conditions=True), float(-9 if row["WAITTIME"] is None else row["WAITTIME"])) for row in rows]
    return [(visit, minutes) for visit, minutes in found if minutes >= 0]


def lengths(path: Path, year: int) -> list[tuple[TriagedVisit, float]]:
    """The visits of a year with their lengths in minutes, negative where not known: for simulations, not for models.

    Raises
    ------
    SourceError
        As of `visits`.
    """
    rows = [row for row in _rows(path, (*COLUMNS, "LOV")) if row["YEAR"] == year]
    return [(_visit(row, conditions=True), float(row["LOV"] or -9)) for row in rows]


def _rows(path: Path, columns: Sequence[str]) -> list[dict[str, Any]]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ModuleNotFoundError as error:
        raise SourceError("NHAMCS needs the extra `replay`: pip install 'wardstream[replay]'") from error
    if not path.is_file():
        raise SourceError(f"no such file: {path}")
    try:
        table = parquet.read_table(path, columns=list(columns))
    except (pyarrow.ArrowInvalid, pyarrow.ArrowKeyError) as error:
        raise SourceError(f"{path} is no table of visits") from error
    rows: list[dict[str, Any]] = table.to_pylist()
    return sorted(rows, key=lambda row: (row["YEAR"], row["VMONTH"], row["VDAYR"], row["ARRTIME"]))


def _visit(row: dict[str, Any], *, conditions: bool) -> TriagedVisit:
    triage = triage_of(row, conditions=conditions)
    return TriagedVisit(row["YEAR"], triage, row["ADMITHOS"] == 1, float(row["PATWT"]))


def triage_of(row: dict[str, Any], *, conditions: bool) -> Triage:
    """What a row says of the time of triage."""
    known = {name: row[name] if low <= (row[name] or -9) <= high else None for name, (low, high) in _POSSIBLE.items()}
    time, level, pain = row["ARRTIME"], row["IMMEDR"], row["PAINSCALE"]
    temperature = known["TEMPF"]
    return Triage(
        age_years=float(row["AGE"]),
        sex={1: "f", 2: "m"}.get(row["SEX"]),
        hour=int(time) // 100 % 24 if time.isdigit() else None,
        weekday=(row["VDAYR"] + 5) % 7,  # 1 is Sunday
        month=row["VMONTH"],
        ambulance=_yes(row["ARREMS"]),
        transferred=_yes(row["AMBTRANSFER"]),
        acuity=level if 1 <= level <= 5 else None,
        pain=pain if 0 <= pain <= 10 else None,
        seen_in_72_h=_yes(row["SEEN72"]),
        temperature_c=None if temperature is None else (temperature / 10.0 - 32.0) / 1.8,
        heart_rate_bpm=known["PULSE"],
        respiratory_rate_bpm=known["RESPR"],
        systolic_mmhg=known["BPSYS"],
        diastolic_mmhg=known["BPDIAS"],
        spo2_percent=known["POPCT"],
        complaints=tuple(str(row[name]) for name in _REASONS if row[name] > 0),
        conditions=tuple(name.lower() for name in CONDITIONS if row[name] == 1) if conditions else (),
    )


def _yes(code: int) -> bool | None:
    return {1: True, 2: False}.get(code)
