"""MIMIC-IV demo 2.2 as MEDS events: 100 patients, one parquet file.

Source: Johnson et al., physionet.org/content/mimic-iv-demo; MEDS form: columns subject_id, time, code, value. ODbL 1.0.

Times lie in 2110–2211, shifted a patient, so who was in hospital together is by chance. Only the time of an event is
in the file (specimen, charting), not when it was stored: `received_at` is that time, earlier than in reality.

Sent: admissions, transfers and discharges; results of the laboratory whose code has a LOINC (the list below), in the
unit of the list, else rejected; charted vitals; deaths, and admissions to an ICU, as outcomes. A date without a time of
day (deaths at home) counts as the end of that day. Values were stored as 32-bit floats and are rounded to 6 digits.

Not sent, and why: results without a number (their text is not in the file); charted copies of laboratory results (they
are in the laboratory's own; charted arterial gases are sent, because the laboratory's do not say that they are
arterial, and go by the codes for blood of any kind); cuff pressures at the same minute as arterial ones; medication,
infusions, diagnoses, procedures and billing (their mapping is still to come, or they are known only after discharge);
outpatient pressures and weights (their values are text). Oxygen devices and mental state are text too: missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, Final, NamedTuple

from wardstream.infra.feeds.archive import SourceError
from wardstream.infra.feeds.mimic_iv_stays import Movements
from wardstream.infra.feeds.records import Record, Tally, event_id, possible, possible_lab
from wardstream.models.labs import analytes
from wardstream.models.labs.analytes import Analyte
from wardstream.schemas.envelope import Event
from wardstream.schemas.labs import Lab
from wardstream.schemas.vitals import Vitals

NAME: Final = "mimic-iv"

LABS: Final[dict[str, tuple[Analyte, str]]] = {  # itemid: test, unit in the file (mEq/L of single charges is mmol/L)
    "51301": (analytes.WBC, "K/uL"),
    "51265": (analytes.PLATELETS, "K/uL"),
    "52075": (analytes.NEUTROPHILS, "K/uL"),
    "51144": (analytes.BANDS, "%"),
    "51222": (analytes.HAEMOGLOBIN, "g/dL"),
    "51221": (analytes.HAEMATOCRIT, "%"),
    "50983": (analytes.SODIUM, "mEq/L"),
    "50971": (analytes.POTASSIUM, "mEq/L"),
    "50822": (analytes.POTASSIUM, "mEq/L"),
    "50902": (analytes.CHLORIDE, "mEq/L"),
    "50882": (analytes.BICARBONATE, "mEq/L"),
    "50808": (analytes.CALCIUM_IONISED, "mmol/L"),
    "50893": (analytes.CALCIUM, "mg/dL"),
    "50960": (analytes.MAGNESIUM, "mg/dL"),
    "50970": (analytes.PHOSPHATE, "mg/dL"),
    "50813": (analytes.LACTATE, "mmol/L"),
    "51006": (analytes.UREA_NITROGEN, "mg/dL"),
    "50912": (analytes.CREATININE, "mg/dL"),
    "50931": (analytes.GLUCOSE, "mg/dL"),
    "50885": (analytes.BILIRUBIN, "mg/dL"),
    "50883": (analytes.BILIRUBIN_DIRECT, "mg/dL"),
    "50862": (analytes.ALBUMIN, "g/dL"),
    "50907": (analytes.CHOLESTEROL, "mg/dL"),
    "51214": (analytes.FIBRINOGEN, "mg/dL"),
    "50861": (analytes.ALT, "IU/L"),
    "50878": (analytes.AST, "IU/L"),
    "50863": (analytes.ALP, "IU/L"),
    "50910": (analytes.CK, "IU/L"),
    "50954": (analytes.LDH, "IU/L"),
    "50956": (analytes.LIPASE, "IU/L"),
    "51237": (analytes.INR, "UNK"),  # it has no unit
    "51274": (analytes.PT, "sec"),
    "51275": (analytes.APTT, "sec"),
    "51003": (analytes.TROPONIN_T, "ng/mL"),
    "50963": (analytes.NT_PROBNP, "pg/mL"),
    "50889": (analytes.CRP, "mg/L"),
    "50852": (analytes.HBA1C, "%"),
    "50993": (analytes.TSH, "uIU/mL"),
    "50820": (analytes.PH_BLOOD, "units"),
    "50818": (analytes.PCO2_BLOOD, "mm Hg"),
    "50821": (analytes.PO2_BLOOD, "mm Hg"),
    "50802": (analytes.BASE_EXCESS_BLOOD, "mEq/L"),
    "223830": (analytes.PH_ARTERIAL, "units"),
    "220235": (analytes.PCO2_ARTERIAL, "mmHg"),
    "220224": (analytes.PO2_ARTERIAL, "mmHg"),
    "224828": (analytes.BASE_EXCESS_ARTERIAL, "mEq/L"),
}
OTHER_LOINC: Final = {"50822": "6298-4"}  # potassium in whole blood


class _Sign(NamedTuple):
    field: str
    unit: str
    factor: float = 1.0
    offset: float = 0.0
    priority: int = 0  # of two values of a field at one time the higher is sent


VITALS: Final[dict[str, _Sign]] = {  # by itemid
    "220045": _Sign("heart_rate_bpm", "bpm"),
    "220210": _Sign("respiratory_rate_per_min", "insp/min"),
    "220277": _Sign("spo2_percent", "%"),
    "220050": _Sign("systolic_mmhg", "mmHg", priority=2),  # arterial
    "220051": _Sign("diastolic_mmhg", "mmHg", priority=2),
    "220052": _Sign("mean_pressure_mmhg", "mmHg", priority=2),
    "225309": _Sign("systolic_mmhg", "mmHg", priority=1),  # arterial, second line
    "225310": _Sign("diastolic_mmhg", "mmHg", priority=1),
    "225312": _Sign("mean_pressure_mmhg", "mmHg", priority=1),
    "220179": _Sign("systolic_mmhg", "mmHg"),  # cuff
    "220180": _Sign("diastolic_mmhg", "mmHg"),
    "220181": _Sign("mean_pressure_mmhg", "mmHg"),
    "223762": _Sign("temperature_celsius", "°C", priority=1),
    "223761": _Sign("temperature_celsius", "°F", factor=5 / 9, offset=-32),
    "220739": _Sign("gcs_eye", "UNK"),
    "223900": _Sign("gcs_verbal", "UNK"),
    "223901": _Sign("gcs_motor", "UNK"),
    "223835": _Sign("fio2_fraction", "UNK", factor=0.01),
    "223834": _Sign("oxygen_flow_l_per_min", "L/min"),
    "228640": _Sign("etco2_mmhg", "UNK"),
    "224639": _Sign("weight_kg", "kg", priority=2),
    "226512": _Sign("weight_kg", "kg", priority=1),
    "226531": _Sign("weight_kg", "UNK", factor=0.45359237),  # pounds
}
URINE: Final = frozenset(
    {"226557", "226558", "226559", "226560", "226561", "226563", "226564", "226565", "226567", "226584"}
)

Row = tuple[datetime | None, str, float | None]  # time, code, value
Numbered = tuple[int, str, float | None]  # row number, code, value


def records(path: Path, limit: int | None = None) -> list[Record]:
    """Return the patients of a MEDS parquet file, or of the one in a folder, ordered by number, the first `limit`.

    Raises
    ------
    SourceError
        There is no such file, or the `replay` extra is not installed.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ModuleNotFoundError as error:
        raise SourceError("MIMIC-IV needs the extra `replay`: pip install 'wardstream[replay]'") from error
    if path.is_dir():
        files = sorted(path.rglob("*meds*.parquet"))
        if not files:
            raise SourceError(f"no *meds*.parquet in {path}")
        path = files[0]
    elif not path.is_file():
        raise SourceError(f"no such file or folder: {path}")
    try:
        table = parquet.read_table(path, columns=["subject_id", "time", "code", "value"])
    except (pyarrow.ArrowInvalid, pyarrow.ArrowKeyError) as error:
        raise SourceError(f"{path} is no MEDS parquet file") from error
    found, begin = [], 0
    for subject, group in groupby(table["subject_id"].to_pylist()):
        length = len(list(group))
        found.append((subject, table.slice(begin, length)))
        begin += length
    return [_record(str(subject), part) for subject, part in sorted(found, key=itemgetter(0))[:limit]]


def _record(subject: str, part: Any) -> Record:
    def read(start: datetime, tally: Tally) -> Iterator[Event]:
        columns = (part[name].to_pylist() for name in ("time", "code", "value"))
        return events(subject, zip(*columns, strict=True), tally)

    begins_at = part["time"].drop_null()[0].as_py().replace(tzinfo=UTC)
    return Record(subject, len(part), begins_at, read)


def events(subject: str, rows: Iterable[Row], tally: Tally) -> Iterator[Event]:
    """Yield the events of one patient, in the order of their time; admissions, labs, vitals, outcomes within one.

    Parameters
    ----------
    subject : str
        Number of the patient.
    rows : iterable of (time, code, value)
        In the order of time, rows without a time (sex) first; times are naive.
    tally : Tally
        Counts rows and what is not sent.
    """
    shared: dict[str, Any] = {"source": NAME, "patient_id": f"mimic4-{subject}"}
    movements = Movements(NAME, subject, shared)
    late: list[Event] = []  # outcomes that are known after they happened
    number = 0
    for time, group in groupby(rows, key=lambda row: row[0]):
        numbered = [(number + i, code, value) for i, (_, code, value) in enumerate(group)]
        number += len(numbered)
        tally.rows += len(numbered)
        if time is None:
            movements.about(code for _, code, _ in numbered)
            continue
        at = time.replace(tzinfo=UTC)
        before = [*movements.overdue(at), *(event for event in late if event.received_at < at)]
        late = [event for event in late if event.received_at >= at]
        yield from sorted(before, key=_received_at)
        yield from movements.at(at, numbered, tally)
        known = {
            **shared,
            "encounter_id": movements.encounter_id,
            "observed_at": at,
            "received_at": at,
        }
        yield from _labs(subject, numbered, known, tally)
        yield from _vitals(subject, numbered, known, tally)
        for outcome in movements.outcomes():
            if outcome.received_at > at:
                late.append(outcome)
            else:
                yield outcome
    yield from sorted([*movements.overdue(None), *late], key=_received_at)


def _received_at(event: Event) -> datetime:
    return event.received_at


def _labs(subject: str, rows: list[Numbered], known: dict[str, Any], tally: Tally) -> Iterator[Event]:
    for number, code, value in rows:
        table, _, rest = code.partition("//")
        if table != "LAB":
            continue
        item, _, unit = rest.partition("//")
        listed = LABS.get(item)
        if listed is None:
            if item not in VITALS:
                tally.dropped["LAB (not listed)"] += 1
            continue
        analyte, expected = listed
        if value is None:
            tally.dropped[f"LAB//{item} (no number)"] += 1
        elif unit != expected:
            tally.rejected[f"LAB//{item} (unit)"] += 1
        elif possible_lab(analyte, exact := float(f"{value:.6g}"), f"LAB//{item}", tally):
            yield Lab(
                event_id=event_id(NAME, subject, number, "lab"),
                loinc=OTHER_LOINC.get(item, analyte.loinc),
                value=exact,
                unit=analyte.unit,
                specimen_at=None if item.startswith("22") else known["observed_at"],
                **known,
            )


def _vitals(subject: str, rows: list[Numbered], known: dict[str, Any], tally: Tally) -> Iterator[Event]:
    """Join what was charted at one time into one event."""
    found: dict[str, tuple[int, Any, str]] = {}  # by field: priority, value, column
    first, urine_ml = 0, None
    for number, code, value in rows:
        table, _, rest = code.partition("//")
        item, _, unit = rest.partition("//")
        sign = VITALS.get(item) if table == "LAB" else None
        if table == "SUBJECT_FLUID_OUTPUT" and item in URINE and value is not None:
            urine_ml = (urine_ml or 0.0) + value  # several routes at one time are one volume
            found["urine_output_ml"] = (0, urine_ml, "urine")
        elif sign is None:
            continue
        elif value is None:
            tally.dropped[f"LAB//{item} (no number)"] += 1
            continue
        elif unit != sign.unit:
            tally.rejected[f"LAB//{item} (unit)"] += 1
            continue
        else:
            before = found.get(sign.field)
            if before is not None:
                lost = item if before[0] >= sign.priority else before[2].removeprefix("LAB//")
                tally.dropped[f"LAB//{lost} (another of the same time)"] += 1
            if before is None or sign.priority > before[0]:
                converted: float | int = float(f"{(value + sign.offset) * sign.factor:.6g}")
                if sign.field.startswith("gcs") and converted == int(converted):
                    converted = int(converted)
                found[sign.field] = (sign.priority, converted, f"LAB//{item}")
        first = first or number
    if found:
        vitals = Vitals(
            event_id=event_id(NAME, subject, first, "vitals"),
            **known,
            **{field: value for field, (_, value, _) in found.items()},
        )
        columns = {field: column for field, (_, _, column) in found.items()}
        if (sent := possible(vitals, columns, tally)) is not None:
            yield sent
