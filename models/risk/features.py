"""What is known of a patient at the end of an hour, as the numbers that the risk model takes.

Learning and serving make them here and nowhere else: an hour's `Inputs` are gathered once, when it is predicted from,
and travel with its example; `columns` makes of them, in both places, what the models see. So no example knows more than
its prediction did.

Each input has three columns: its value (those marked log as log(1 + value)), its age (log(1 + hours)) and whether it is
missing (1 or 0). A value that is not known, or no longer current by the windows of `signals`, is missing: its columns
are NaN, and a model leaves them out; nothing is imputed.

=========================  =============================================================================================
scores                     NEWS2, qSOFA, SIRS, MEWS, shock index, SOFA, KDIGO's stage. A partial score is a lower bound.
                           Its age is that of the oldest value in it
vital signs                the current value; oxygen is 1 if it is given, alert 1 if the patient is
trends                     of vital signs the current value minus their mean over six hours of the clock, of which the
                           last ended at least an hour ago; of results the newest minus the one before it
results                    the current result, in the unit of the name
deep models, findings      log-odds of the last calibrated answer: of `sepsis`, as of when it was asked (`agents.risk`
                           adds it, for it comes at the batch's end); of pneumonia in the newest chest film, as of that
notes                      of each class (the type, as its sender coded it: `schemas/notes.py`) how many were written in
                           the last 24 hours, with the age of the newest; missing where none was. No text is read
person and stay            age, whether male, hours since admission. They have no age of their own
=========================  =============================================================================================

A name is that of the signal in the topics, with its unit. One more input is another `VERSION`.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Final, NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from wardstream.models.bins import Bins, sets_in
from wardstream.models.labs.history import LabBins, Past
from wardstream.models.latest import Signals
from wardstream.models.patient import Patient
from wardstream.models.scores import Kidneys, kdigo, rule_scores, sofa
from wardstream.models.scores.kdigo import Collection, Result
from wardstream.models.scores.sofa import LABS as SOFA_LABS
from wardstream.models.signals import BY_CODE, BY_FIELD, DAY, FIELDS, HOUR
from wardstream.schemas.notes import Kind
from wardstream.schemas.scores import Score

VERSION: Final = "2"
"""Of the inputs and columns. A model that was made of another version is not fed by this code."""

Doubles = npt.NDArray[np.float64]


class Known(NamedTuple):
    """An input's value, and how old it is in hours; None: it has no age."""

    value: float
    age_h: float | None = None


Inputs = Mapping[str, Known]
"""What is known, by the name of the input; what is not there is missing."""


class Input(NamedTuple):
    """One input: its name, and whether its value is taken as a logarithm, for its distribution has a long tail."""

    name: str
    log: bool = False


SCORES: Final = ("news2", "qsofa", "sirs", "mews", "shock_index", "sofa", "kdigo")
VITALS: Final = ("hr", "rr", "spo2", "sbp", "dbp", "map", "temp", "gcs", "fio2", "etco2")
TRENDS: Final = ("hr", "rr", "spo2", "sbp", "map", "temp")
TREND_HOURS: Final = range(-8, -2)
"""Hours of the clock that a trend compares with, counted from the one that the present falls into."""
LABS: Final = (
    *("ph", "paco2", "pao2", "hco3", "be", "lactate", "na", "k", "cl", "ca", "mg", "phos", "gluc", "bun", "creat"),
    *("bili", "ast", "alp", "alb", "tni", "tnt", "crp", "pct", "wbc", "hgb", "plt", "inr", "aptt"),
)
LAB_CHANGES: Final = ("lactate", "creat", "hgb", "plt")
SEPSIS: Final = "sepsis_logit"
CHEST_XRAY: Final = "chest_xray_logit"
NOTES: Final = {kind: f"{kind}_notes_per_d" for kind in get_args(Kind)}
_LONG_TAILS: Final = frozenset(
    ("lactate", "gluc", "bun", "creat", "bili", "ast", "alp", "tni", "tnt", "crp", "pct", "wbc", "plt", "inr", "aptt")
)

INPUTS: Final = (
    *(Input(name) for name in SCORES),
    *(Input(FIELDS[code]) for code in VITALS),
    Input("oxygen"),
    Input("alert"),
    Input("urine_output_ml_per_h", log=True),
    *(Input(f"{FIELDS[code]}_trend") for code in TRENDS),
    *(Input(FIELDS[code], log=code in _LONG_TAILS) for code in LABS),
    *(Input(f"{FIELDS[code]}_change") for code in LAB_CHANGES),
    Input(SEPSIS),
    Input(CHEST_XRAY),
    *(Input(name) for name in NOTES.values()),
    Input("age_years"),
    Input("male"),
    Input("hours_since_admission", log=True),
)
NAMES: Final = tuple(one.name for one in INPUTS)
COLUMNS: Final = (*NAMES, *(f"{name}.age" for name in NAMES), *(f"{name}.missing" for name in NAMES))
"""What the models see, in this order."""

_NUMBER: Final = len(NAMES)
_PLACES: Final = {name: place for place, name in enumerate(NAMES)}
_LOGS: Final = np.array([place for place, one in enumerate(INPUTS) if one.log])
_EMPTY: Final = np.concatenate([np.full(2 * _NUMBER, np.nan), np.ones(_NUMBER)])
_RATIO: Final = ("heart_rate_bpm", "systolic_mmhg")
_OXYGEN: Final = ("o2", "fio2", "o2flow", "o2dev")
_CONSCIOUSNESS: Final = ("acvpu", "gcs")


def columns(inputs: Inputs) -> Doubles:
    """The columns of `COLUMNS`, shape (len(COLUMNS),): NaN where the value or the age is not known.

    Raises
    ------
    KeyError
        There is no such input in this version.
    """
    row = _EMPTY.copy()
    if inputs:
        where = np.array([_PLACES[name] for name in inputs])
        values, ages = zip(*inputs.values(), strict=True)
        row[where] = values
        row[where + _NUMBER] = np.log1p(np.array(ages, np.float64))  # None becomes NaN
        row[where + 2 * _NUMBER] = 0.0
        row[_LOGS] = np.log1p(np.maximum(row[_LOGS], 0.0))
    return row


def gather(patient: Patient, bins: LabBins, at: float) -> dict[str, Known]:
    """What is known of a patient as of a time (s since 1970); nothing that was observed later.

    Parameters
    ----------
    patient, bins : Patient, LabBins
        The patient's state.
    at : float
        Seconds since 1970.
    """
    signals = patient.as_of(bins, at)
    known = _Gathered(at, patient.current(at) if signals is None else signals)
    known.take_scores(patient, bins)
    known.take_vitals(bins)
    known.take_results(bins)
    known.take_film(patient)
    known.take_notes(patient)
    known.take_person(patient)
    return known.found


class _Gathered:
    """Inputs on their way; numbers are rounded, so that they travel in few characters."""

    def __init__(self, at: float, signals: Signals) -> None:
        self.at = at
        self.signals = signals
        self.found: dict[str, Known] = {}

    def put(self, name: str, value: float, since: float | None) -> None:
        age_h = None if since is None else round(max(0.0, self.at - since) / HOUR, 2)
        self.found[name] = Known(round(float(value), 4), age_h)

    def take_scores(self, patient: Patient, bins: LabBins) -> None:
        seen, signals = patient.observations(self.signals), self.signals
        for score in rule_scores(seen):
            if score.name in SCORES:
                self._score(score)
        if not signals.keys().isdisjoint(SOFA_LABS):
            self._score(sofa(seen))
        creatinine = [Result(one.at, one.value) for one in self._past(bins, "creat")]
        urine = [Collection(one.at, one.value, one.period_h) for one in self._past(bins, "urine")]
        if creatinine or urine:
            stage = kdigo(Kidneys(self.at, creatinine, urine, seen.weight_kg, seen.age_years))
            times = [*(one.at for one in creatinine[-1:]), *(one.at for one in urine[-1:])]
            if stage.value is not None and stage.parts:
                self.put("kdigo", stage.value, min(times))

    def _past(self, bins: LabBins, code: str) -> Sequence[Past]:
        return [one for one in bins.past(code) if one.at <= self.at]

    def _score(self, score: Score) -> None:
        if score.value is None or not score.parts:
            return
        parts = _RATIO if score.name == "shock_index" else score.parts
        codes = [BY_FIELD[part].code for part in parts if part in BY_FIELD]
        times = [self.signals[code].at for code in codes if code in self.signals]
        self.put(score.name, score.value, min(times, default=None))

    def take_vitals(self, bins: LabBins) -> None:
        signals = self.signals
        usual = _means(bins, self.at, TRENDS)
        for code in VITALS:
            latest = signals.get(code)
            if latest is not None and not isinstance(latest.value, str):
                self.put(FIELDS[code], latest.value, latest.at)
                if code in usual:
                    self.put(f"{FIELDS[code]}_trend", latest.value - usual[code], None)
        said = [signals[code] for code in _OXYGEN if code in signals]
        if said:
            newest = max(said, key=lambda latest: latest.at)
            self.put("oxygen", any(_gives(code, signals[code].value) for code in _OXYGEN if code in signals), newest.at)
        for code in _CONSCIOUSNESS:
            latest = signals.get(code)
            if latest is not None:
                self.put("alert", latest.value == ("A" if code == "acvpu" else 15), latest.at)
                break
        urine, period = signals.get("urine"), signals.get("urineh")
        if urine is not None and period is not None and float(period.value) > 0:
            self.put("urine_output_ml_per_h", float(urine.value) / float(period.value), urine.at)

    def take_results(self, bins: LabBins) -> None:
        for code in LABS:
            past = self._past(bins, code)
            if not past or past[-1].at + BY_CODE[code].charted_s <= self.at:
                continue
            self.put(FIELDS[code], past[-1].value, past[-1].at)
            if code in LAB_CHANGES and len(past) > 1:
                self.put(f"{FIELDS[code]}_change", past[-1].value - past[-2].value, past[-2].at)

    def take_film(self, patient: Patient) -> None:
        film = patient.film(self.at)
        if film is not None:
            self.put(CHEST_XRAY, *film)

    def take_notes(self, patient: Patient) -> None:
        for kind, times in patient.written(self.at - DAY, self.at).items():
            self.put(NOTES[kind], len(times), max(times))

    def take_person(self, patient: Patient) -> None:
        stay = patient.stay
        if stay.age_years is not None:
            self.put("age_years", stay.age_years, None)
        if stay.sex in ("male", "female"):
            self.put("male", stay.sex == "male", None)
        if stay.admitted_at is not None:
            self.put("hours_since_admission", max(0.0, self.at - stay.admitted_at) / HOUR, None)


def _gives(code: str, value: float | bool | str) -> bool:
    """Whether a statement on oxygen says that some is given."""
    if code == "o2dev":
        return value != "room_air"
    return float(value) > (0.21 if code == "fio2" else 0.0)


def _means(bins: Bins, at: float, codes: Iterable[str]) -> dict[str, float]:
    """Means of signals over `TREND_HOURS`, where there is a value."""
    now = int(at // HOUR)
    hours = [_sums(bins.rows(now + hour)) for hour in TREND_HOURS]
    found = {}
    for code in codes:
        sums = [hour[code] for hour in hours if code in hour]
        if sums:
            found[code] = sum(total for total, _ in sums) / sum(count for _, count in sums)
    return found


@lru_cache(maxsize=100_000)
def _sums(rows: tuple[bytes, ...]) -> Mapping[str, tuple[float, int]]:
    """Sum and count of an hour's values by signal: asked for six times, and the same as long as its rows are."""
    values: dict[str, list[float]] = {}
    for measured in sets_in(rows):
        for code in TRENDS:
            value = measured.values.get(code)
            if value is not None and not isinstance(value, str):
                values.setdefault(code, []).append(float(value))
    return {code: (sum(sorted(found)), len(found)) for code, found in values.items()}
