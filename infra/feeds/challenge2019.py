"""PhysioNet/CinC Challenge 2019: hourly vitals and labs of ICU stays, with a sepsis label (one .psv file a patient).

Source: Reyna et al., Crit Care Med 2020;48:210; physionet.org/content/challenge-2019. CC BY 4.0.

Row t (ICULOS = t) sums up hour t of the stay. It is usable from the end of that hour: start + t hours is its
`observed_at`, `available_at` and `received_at`. So a value may be up to an hour older than it says; the files tell no
more. A row gives one Vitals event, if it has any vital sign, and one Lab event for each result.

Units: FiO2 is a fraction and is sent as such. Lactate is documented as mg/dL and magnesium as mmol/dL, but their values
(medians 2.0) are mmol/L and mg/dL and are sent as that. Calcium mixes total (mg/dL) with ionised (mmol/L): what is
impossible as total is rejected. Ages of 90 and more are recorded as 100.

SepsisLabel becomes 1 six hours before onset (Sepsis-3). The outcome is therefore sent as of first positive row + 6 h,
known then and not before; a record that is positive from its first row began at onset − 6 h or later, so its onset is
a bound. A record without a positive row ends with `occurred=False`, one without labels with no outcome.

The end of a record is no discharge that anybody charted; it is sent as one with provenance `derived`, a minute after
the last event, so that a finished record does not look like a silent monitor.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path, PurePath
from typing import Any, Final

from wardstream.infra.feeds.archive import NoRecords, SourceError, texts
from wardstream.infra.feeds.records import (
    LONGEST_H,
    OLDEST_YEARS,
    Fault,
    Record,
    Tally,
    event_id,
    listed,
    possible,
    possible_lab,
)
from wardstream.models.labs import analytes
from wardstream.schemas.admissions import Admission, Sex
from wardstream.schemas.envelope import Event
from wardstream.schemas.labs import Lab
from wardstream.schemas.outcomes import Outcome
from wardstream.schemas.vitals import Vitals

NAME: Final = "challenge2019"
VITALS: Final = {
    "HR": "heart_rate_bpm",
    "O2Sat": "spo2_percent",
    "Temp": "temperature_celsius",
    "SBP": "systolic_mmhg",
    "MAP": "mean_pressure_mmhg",
    "DBP": "diastolic_mmhg",
    "Resp": "respiratory_rate_per_min",
    "EtCO2": "etco2_mmhg",
    "FiO2": "fio2_fraction",
}
LABS: Final = {
    "BaseExcess": analytes.BASE_EXCESS_ARTERIAL,
    "HCO3": analytes.BICARBONATE,
    "pH": analytes.PH_ARTERIAL,
    "PaCO2": analytes.PCO2_ARTERIAL,
    "SaO2": analytes.SO2_ARTERIAL,
    "AST": analytes.AST,
    "BUN": analytes.UREA_NITROGEN,
    "Alkalinephos": analytes.ALP,
    "Calcium": analytes.CALCIUM,
    "Chloride": analytes.CHLORIDE,
    "Creatinine": analytes.CREATININE,
    "Bilirubin_direct": analytes.BILIRUBIN_DIRECT,
    "Glucose": analytes.GLUCOSE,
    "Lactate": analytes.LACTATE,
    "Magnesium": analytes.MAGNESIUM,
    "Phosphate": analytes.PHOSPHATE,
    "Potassium": analytes.POTASSIUM,
    "Bilirubin_total": analytes.BILIRUBIN,
    "TroponinI": analytes.TROPONIN_I,
    "Hct": analytes.HAEMATOCRIT,
    "Hgb": analytes.HAEMOGLOBIN,
    "PTT": analytes.APTT,
    "WBC": analytes.WBC,
    "Fibrinogen": analytes.FIBRINOGEN,
    "Platelets": analytes.PLATELETS,
}
SEX: Final[dict[float | None, Sex]] = {0: "female", 1: "male"}
DROPPED: Final = {"HospAdmTime": "hours from hospital to ICU admission: replay begins in the ICU"}
COLUMNS: Final = (*VITALS, *LABS, "Age", "Gender", "Unit1", "Unit2", "HospAdmTime", "ICULOS")
LABEL: Final = "SepsisLabel"
"""The one column that may be missing."""
LABEL_LEAD: Final = timedelta(hours=6)
_COLUMN_OF: Final = {field: column for column, field in VITALS.items()}


def records(path: Path, limit: int | None = None) -> list[Record]:
    """Return the patients under a path, ordered by number, the first `limit` of them.

    Raises
    ------
    NoRecords
        There is none.
    SourceError
        The path cannot be read.
    """

    def choose(names: list[str]) -> list[str]:
        return [name for name in names if name.endswith(".psv")][:limit]

    found = [
        Record(
            stem,
            text.count(b"\n") - 1,
            None,
            partial(events, stem, text),
            partial(labels, stem, text),
            partial(faults, name, text),
        )
        for name, stem, text in ((name, PurePath(name).stem, text) for name, text in texts(path, choose).items())
    ]
    if not found:
        raise NoRecords(f"no .psv files in {path}")
    return found


def labels(record: str, text: bytes) -> dict[int, int]:
    """Return the label of each row by its hour (ICULOS); empty where the file has no labels.

    Raises
    ------
    SourceError
        The file has another form.
    """
    return {int(row["ICULOS"]): int(row["SepsisLabel"]) for row in _rows(record, text) if "SepsisLabel" in row}


def faults(file: str, text: bytes) -> list[str]:
    """Return what is wrong with a file, as `records.listed`."""
    return listed(file, _parsed(text)[1])


def events(record: str, text: bytes, start: datetime, tally: Tally) -> Iterator[Event]:
    """Yield the events of one file, in the order of their time; admission, labs, vitals within one.

    Parameters
    ----------
    record : str
        Number of the patient.
    text : bytes
        The file.
    start : datetime
        When the stay in the ICU begins.
    tally : Tally
        Counts rows and what is not sent.

    Raises
    ------
    SourceError
        The file has another form.
    """
    rows = _rows(record, text)
    shared: dict[str, Any] = {"source": NAME, "patient_id": f"cinc2019-{record}", "encounter_id": record}
    first = rows[0]
    yield Admission(
        event_id=event_id(NAME, record, 0, "admit"),
        observed_at=start,
        received_at=start,
        kind="admit",
        age_years=first.get("Age"),
        sex=SEX.get(first.get("Gender")),
        patient_class="inpatient",
        unit="MICU" if first.get("Unit1") == 1 else "SICU" if first.get("Unit2") == 1 else None,
        **shared,
    )
    for column, why in DROPPED.items():
        tally.dropped[f"{column} ({why})"] += 1
    onset: datetime | None = None
    at = start
    for row in rows:
        tally.rows += 1
        hour = int(row["ICULOS"])
        at = start + timedelta(hours=hour)
        if row.get("SepsisLabel") == 1 and onset is None:
            onset = at + LABEL_LEAD
        known = {**shared, "observed_at": at, "available_at": at, "received_at": at}
        for column, analyte in LABS.items():
            value = row.get(column)
            if value is not None and possible_lab(analyte, value, column, tally):
                yield Lab(
                    event_id=event_id(NAME, record, hour, column),
                    loinc=analyte.loinc,
                    value=value,
                    unit=analyte.unit,
                    **known,
                )
        signs: dict[str, Any] = {field: row[column] for column, field in VITALS.items() if column in row}
        if signs:
            vitals = Vitals(event_id=event_id(NAME, record, hour, "vitals"), **known, **signs)
            if (sent := possible(vitals, _COLUMN_OF, tally)) is not None:
                yield sent
    told_at = max(at, onset) if onset else at
    if any("SepsisLabel" in row for row in rows):  # where nothing is said, nothing is known
        yield Outcome(
            event_id=event_id(NAME, record, "end", "sepsis_onset"),
            observed_at=onset or at,
            available_at=told_at,
            received_at=told_at,
            kind="sepsis_onset",
            occurred=onset is not None,
            definition="sepsis-3 (challenge 2019)",
            **shared,
        )
    ended_at = told_at + timedelta(minutes=1)
    yield Admission(
        event_id=event_id(NAME, record, "end", "discharge"),
        observed_at=ended_at,
        received_at=ended_at,
        kind="discharge",
        provenance="derived",
        **shared,
    )


def _rows(record: str, text: bytes) -> list[dict[str, float]]:
    """Return the values of each row by column, without those that are NaN."""
    rows, wrong = _parsed(text)
    if wrong:
        raise SourceError(f"{record}: {wrong[0]}")
    return rows


def _parsed(text: bytes) -> tuple[list[dict[str, float]], list[Fault]]:
    """Return the rows that have the form of the header, and all that is wrong with any row."""
    header, *lines = text.decode("ascii", "replace").splitlines() or [""]
    columns = header.split("|")
    rows, wrong, before = list[dict[str, float]](), list[Fault](), 0.0
    if "ICULOS" not in columns or not lines:
        return rows, [Fault(1, "", "no rows of the challenge of 2019")]
    for column in (*COLUMNS, LABEL):
        if (times := columns.count(column)) > 1:
            wrong.append(Fault(1, column, "this column comes more than once"))
        elif not times and column != LABEL:
            wrong.append(Fault(1, column, "this column is missing"))
    if set(columns) - {*COLUMNS, LABEL}:
        wrong.append(Fault(1, "", "a column that the challenge of 2019 does not have"))
    for number, line in enumerate(lines, start=2):
        cells = line.split("|")
        if len(cells) != len(columns):
            wrong.append(Fault(number, "", "no row of the challenge of 2019"))
            continue
        row: dict[str, float] = {}
        for column, cell in zip(columns, cells, strict=True):
            try:
                value = float(cell)
            except ValueError:
                wrong.append(Fault(number, column, "not a number"))
                continue
            if not math.isnan(value):
                row[column] = value
        rows.append(row)
        hour = row.get("ICULOS", math.nan)
        if not (1 <= hour <= LONGEST_H and hour.is_integer()):
            wrong.append(Fault(number, "ICULOS", f"not a whole hour from 1 to {LONGEST_H}"))
        elif hour <= before:
            wrong.append(Fault(number, "ICULOS", "not after the hour of the row before"))
        else:
            before = hour
        if not 0 <= row.get("Age", 0) <= OLDEST_YEARS:
            wrong.append(Fault(number, "Age", f"not from 0 to {OLDEST_YEARS:g} years"))
        if row.get("SepsisLabel", 0) not in (0, 1):
            wrong.append(Fault(number, "SepsisLabel", "neither 0 nor 1"))
    return rows, wrong
