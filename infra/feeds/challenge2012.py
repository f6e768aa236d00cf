"""PhysioNet/CinC Challenge 2012: the first 48 hours of ICU stays, irregular times (one .txt file a patient).

Source: Silva et al., Comput Cardiol 2012;39:245; physionet.org/content/challenge-2012. ODC-By 1.0.

A line is `hh:mm,parameter,value`. What has one time becomes one Vitals event and one Lab event a result; when the
hospital's systems had it is not recorded, so `received_at` is that time. A repeated parameter begins a further Vitals.

Units: as documented, but for Mg, documented as mmol/L with values of mg/dL (median 2.0), and sent as that. FiO2 is a
fraction. −1 means not recorded. Ages above 89 are recorded as 90. MechVent (mechanical ventilation) is sent as the
oxygen device, ICUType as the unit. Dropped: Height (no field takes it), and cuff pressures of a minute that has
arterial ones too, since an event has one of each.

In-hospital death is in a file of its own (Outcomes-*.txt), in whole days: it is sent as of start + length of stay, the
end of the day on which it happened, and not at all where the length is not recorded. Survival after discharge is not
sent.

The record ends after 48 h while the stay goes on; a discharge with provenance `derived` marks the end, a minute after
its last event, so that a finished record does not look like a silent monitor.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import partial
from itertools import groupby
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

NAME: Final = "challenge2012"
VITALS: Final = {
    "HR": "heart_rate_bpm",
    "RespRate": "respiratory_rate_per_min",
    "Temp": "temperature_celsius",
    "SysABP": "systolic_mmhg",
    "DiasABP": "diastolic_mmhg",
    "MAP": "mean_pressure_mmhg",
    "NISysABP": "systolic_mmhg",
    "NIDiasABP": "diastolic_mmhg",
    "NIMAP": "mean_pressure_mmhg",
    "FiO2": "fio2_fraction",
    "GCS": "gcs_total",
    "Urine": "urine_output_ml",
    "Weight": "weight_kg",
    "MechVent": "oxygen_device",
}
ARTERIAL: Final = frozenset({"SysABP", "DiasABP", "MAP"})
CUFF: Final = frozenset({"NISysABP", "NIDiasABP", "NIMAP"})
LABS: Final = {
    "WBC": analytes.WBC,
    "Platelets": analytes.PLATELETS,
    "HCT": analytes.HAEMATOCRIT,
    "Na": analytes.SODIUM,
    "K": analytes.POTASSIUM,
    "Mg": analytes.MAGNESIUM,
    "HCO3": analytes.BICARBONATE,
    "BUN": analytes.UREA_NITROGEN,
    "Creatinine": analytes.CREATININE,
    "Glucose": analytes.GLUCOSE,
    "Lactate": analytes.LACTATE,
    "Bilirubin": analytes.BILIRUBIN,
    "ALT": analytes.ALT,
    "AST": analytes.AST,
    "ALP": analytes.ALP,
    "Albumin": analytes.ALBUMIN,
    "Cholesterol": analytes.CHOLESTEROL,
    "TroponinI": analytes.TROPONIN_I,
    "TroponinT": analytes.TROPONIN_T,
    "pH": analytes.PH_ARTERIAL,
    "PaCO2": analytes.PCO2_ARTERIAL,
    "PaO2": analytes.PO2_ARTERIAL,
    "SaO2": analytes.SO2_ARTERIAL,
}
SEX: Final[dict[float | None, Sex]] = {0: "female", 1: "male"}
UNITS: Final[dict[float | None, str]] = {1: "CCU", 2: "CSRU", 3: "MICU", 4: "SICU"}
ABOUT: Final = frozenset({"RecordID", "Age", "Gender", "Height", "ICUType"})
KNOWN: Final = frozenset({*VITALS, *LABS, *ABOUT})

Line = tuple[int, timedelta, str, float]  # number, time, parameter, value


def records(path: Path, limit: int | None = None) -> list[Record]:
    """Return the patients under a path, ordered by number, the first `limit` of them.

    Raises
    ------
    NoRecords
        There is none.
    SourceError
        The path cannot be read, or not its outcomes.
    """

    def choose(names: list[str]) -> list[str]:
        texts_ = [name for name in names if name.endswith(".txt")]
        return [*[n for n in texts_ if n[0].isdigit()][:limit], *[n for n in texts_ if n.startswith("Outcomes")]]

    found = texts(path, choose)
    died: dict[str, int] = {}
    for name in [name for name in found if name.startswith("Outcomes")]:
        for number, row in enumerate(csv.DictReader(io.StringIO(found.pop(name).decode("ascii", "replace"))), start=2):
            try:
                days = int(row["Length_of_stay"])
                if row["In-hospital_death"] == "1" and days > 0:
                    died[row["RecordID"]] = min(days, LONGEST_H // 24)
            except (KeyError, TypeError, ValueError) as error:
                raise SourceError(f"{name}: line {number} is no outcome of the challenge of 2012") from error
    if not found:
        raise NoRecords(f"no record files (number.txt) in {path}")
    return [
        Record(
            stem,
            text.count(b"\n") - 1,
            None,
            partial(events, stem, text, died.get(stem)),
            faults=partial(faults, name, text),
        )
        for name, stem, text in ((name, PurePath(name).stem, text) for name, text in found.items())
    ]


def faults(file: str, text: bytes) -> list[str]:
    """Return what is wrong with a file, as `records.listed`."""
    return listed(file, _parsed(text)[1])


def events(record: str, text: bytes, died_after_days: int | None, start: datetime, tally: Tally) -> Iterator[Event]:
    """Yield the events of one file, in the order of their time; admission, labs, vitals within one.

    Parameters
    ----------
    record : str
        Number of the record.
    text : bytes
        The file.
    died_after_days : int or None
        Length of the stay in which the patient died, days; None: not died, or not known when.
    start : datetime
        When the stay in the ICU begins.
    tally : Tally
        Counts rows and what is not sent.

    Raises
    ------
    SourceError
        The file has another form.
    """
    lines = _lines(record, text)
    tally.rows += len(lines)
    about = {parameter: value for _, time, parameter, value in lines if not time and parameter in ABOUT}
    shared: dict[str, Any] = {"source": NAME, "patient_id": f"cinc2012-{record}", "encounter_id": record}
    if about.get("Height", -1) != -1:
        tally.dropped["Height (no field)"] += 1
    age = about.get("Age", -1)
    yield Admission(
        event_id=event_id(NAME, record, 0, "admit"),
        observed_at=start,
        received_at=start,
        kind="admit",
        age_years=age if age >= 0 else None,
        sex=SEX.get(about.get("Gender")),
        patient_class="inpatient",
        unit=UNITS.get(about.get("ICUType")),
        **shared,
    )
    at = start
    measured = [line for line in lines if line[2] not in ABOUT]
    for time, group in groupby(measured, key=lambda line: line[1]):
        at = start + time
        yield from _at_one_time(record, list(group), {**shared, "observed_at": at, "received_at": at}, tally)
    if died_after_days is not None:
        died_at = max(at, start + timedelta(days=died_after_days))
        dead = Outcome(
            event_id=event_id(NAME, record, "end", "death"),
            observed_at=died_at,
            available_at=died_at,
            received_at=died_at,
            kind="death",
            definition="in hospital",
            **shared,
        )
    ended_at = at + timedelta(minutes=1)
    ended = Admission(
        event_id=event_id(NAME, record, "end", "discharge"),
        observed_at=ended_at,
        received_at=ended_at,
        kind="discharge",
        provenance="derived",
        **shared,
    )
    if died_after_days is None:
        yield ended
    else:
        yield from sorted((dead, ended), key=lambda event: event.received_at)


def _at_one_time(record: str, lines: list[Line], known: dict[str, Any], tally: Tally) -> Iterator[Event]:
    has_arterial = any(parameter in ARTERIAL for _, _, parameter, _ in lines)
    sets: list[tuple[int, dict[str, Any], dict[str, str]]] = []
    for number, _, parameter, value in lines:
        if value == -1:
            tally.dropped[f"{parameter} (not recorded)"] += 1
        elif parameter in LABS:
            analyte = LABS[parameter]
            if possible_lab(analyte, value, parameter, tally):
                yield Lab(
                    event_id=event_id(NAME, record, number, parameter),
                    loinc=analyte.loinc,
                    value=value,
                    unit=analyte.unit,
                    **known,
                )
        elif parameter in CUFF and has_arterial:
            tally.dropped[f"{parameter} (arterial at the same minute)"] += 1
        elif parameter == "GCS" and not value.is_integer():
            tally.rejected["GCS (not_whole)"] += 1
        elif parameter in VITALS:
            field = VITALS[parameter]
            if not sets or field in sets[-1][1]:
                sets.append((number, {}, {}))
            sets[-1][1][field] = (
                "invasive_ventilation" if parameter == "MechVent" else int(value) if parameter == "GCS" else value
            )
            sets[-1][2][field] = parameter
        else:
            tally.dropped[f"{parameter or 'no parameter'} (unknown)"] += 1
    for number, signs, columns in sets:
        vitals = Vitals(event_id=event_id(NAME, record, number, "vitals"), **known, **signs)
        if (sent := possible(vitals, columns, tally)) is not None:
            yield sent


def _lines(record: str, text: bytes) -> list[Line]:
    lines, wrong = _parsed(text)
    if wrong:
        raise SourceError(f"{record}: {wrong[0]}")
    return lines


def _parsed(text: bytes) -> tuple[list[Line], list[Fault]]:
    """Return the lines that can be read, and all that is wrong with any line."""
    lines, wrong, before = list[Line](), list[Fault](), timedelta()
    for number, line in enumerate(text.decode("ascii", "replace").splitlines()[1:], start=2):
        cells = line.split(",")
        if len(cells) != 3:
            wrong.append(Fault(number, "", "no line of the challenge of 2012"))
            continue
        time = _time(cells[0])
        if time is None:
            wrong.append(Fault(number, "Time", f"not hours and minutes from 00:00 to {LONGEST_H}:00"))
        elif time < before:
            wrong.append(Fault(number, "Time", "before the time of the line before"))
        else:
            before = time
        try:
            value = float(cells[2])
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            wrong.append(Fault(number, cells[1] if cells[1] in KNOWN else "Value", "not a number"))
        elif cells[1] == "Age" and value != -1 and not 0 <= value <= OLDEST_YEARS:
            wrong.append(Fault(number, "Age", f"neither -1 nor from 0 to {OLDEST_YEARS:g} years"))
        elif time is not None:
            lines.append((number - 1, time, cells[1], value))
    return lines, wrong


def _time(text: str) -> timedelta | None:
    hours, _, minutes = text.partition(":")
    if not (hours.isdecimal() and minutes.isdecimal() and len(hours) < 10 > len(minutes) and int(minutes) < 60):
        return None
    found = timedelta(hours=int(hours), minutes=int(minutes))
    return found if found <= timedelta(hours=LONGEST_H) else None
