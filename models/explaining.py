"""Why `sepsis` said what it said: what its answer would have been without each group of inputs (occlusion).

A group is left out as if it had never been measured: values 0, masks 0, the longest time since. What that takes from
the log-odds is the group's contribution. Signals that say nearly the same thing are one group: left out one by one,
each would seem to matter nothing, since the others still say it. Contributions do not add up to the answer, and say
what the model looked at, not what made the patient ill. The hours since admission cannot be left out: they are always
known.

Zeiler and Fergus, ECCV 2014 (occlusion); Covert et al., JMLR 2021;22:209 (removal-based explanations).
"""

from collections.abc import Mapping
from typing import Final

import numpy as np

from wardstream.models.labs.analytes import ANALYTES
from wardstream.models.sepsis import SIGNALS, Doubles, Prepared
from wardstream.models.signals import FIELDS
from wardstream.schemas.bounds import BOUNDS
from wardstream.schemas.predictions import Contribution

GROUPS: Final[Mapping[str, tuple[str, ...]]] = {
    "heart_rate": ("hr",),
    "blood_pressure": ("sbp", "dbp", "map"),
    "breathing": ("rr", "etco2"),
    "oxygenation": ("spo2", "sao2", "fio2"),
    "temperature": ("temp",),
    "acid_and_base": ("ph", "paco2", "hco3", "be", "cl"),
    "lactate": ("lactate",),
    "kidneys": ("creat", "bun", "k", "phos"),
    "liver": ("bili", "dbili", "ast", "alp"),
    "white_cells": ("wbc",),
    "red_cells": ("hgb", "hct"),
    "clotting": ("plt", "aptt", "fibr"),
    "minerals": ("ca", "mg"),
    "glucose": ("gluc",),
    "troponin": ("tni",),
}
"""Codes of the signals of each group; every signal is in one."""
PERSON: Final = "age_and_sex"
SHOWN: Final = 5
"""Contributions told, the largest first."""

_PLACE: Final = {code: place for place, code in enumerate(SIGNALS)}
_UNITS: Final = {analyte.code: analyte.unit for analyte in ANALYTES} | {
    code: BOUNDS[FIELDS[code]].unit for code in SIGNALS if FIELDS[code] in BOUNDS
}


def groups_of(prepared: Prepared) -> list[str]:
    """The groups of which anything is known."""
    missing = set(prepared.missing)
    known = [name for name, codes in GROUPS.items() if not missing.issuperset(codes)]
    _, age, sex = prepared.who
    return [*known, PERSON] if age is not None or sex in ("male", "female") else known


def without(prepared: Prepared, group: str) -> Prepared:
    """The same inputs, as if a group had never been measured."""
    if group == PERSON:
        return prepared._replace(who=prepared.who._replace(age_years=None, sex=None))
    medians = prepared.medians.copy()
    medians[:, [_PLACE[code] for code in GROUPS[group]]] = np.nan
    return prepared._replace(medians=medians)


def contributions(prepared: Prepared, logit: float, others: Mapping[str, float]) -> tuple[Contribution, ...]:
    """What each group added to the log-odds, the largest first.

    Parameters
    ----------
    prepared : Prepared
        The inputs of the prediction.
    logit : float
        The answer to them.
    others : mapping of str to float
        The answers without each group.
    """
    found = sorted(((logit - other, name) for name, other in others.items()), key=lambda one: -abs(one[0]))
    return tuple(
        Contribution(feature=name, contribution=round(added, 4), text=_words(prepared, name))
        for added, name in found[:SHOWN]
    )


def _words(prepared: Prepared, group: str) -> str:
    """The latest values of a group with their times: "creatinine 2.1 mg/dL (3 h ago), …"."""
    if group == PERSON:
        _, age, sex = prepared.who
        sex = sex if sex in ("male", "female") else "sex not known"
        return sex if age is None else f"{age:.0f} years, {sex}"
    known = [latest for code in GROUPS[group] if (latest := _latest(code, prepared.medians)) is not None]
    return ", ".join(_reading(*latest) for latest in sorted(known, key=lambda latest: latest[2]))


def _latest(code: str, medians: Doubles) -> tuple[str, float, int] | None:
    """A signal, its newest value, and how many hours ago that was; None: it was never measured."""
    column = medians[:, _PLACE[code]]
    known = np.flatnonzero(~np.isnan(column))
    return (code, float(column[known[-1]]), len(column) - 1 - int(known[-1])) if len(known) else None


def _reading(code: str, value: float, hours: int) -> str:
    name = _name(code)
    when = "this hour" if hours == 0 else f"{hours} h ago"
    unit = _UNITS.get(code, "")
    number = np.format_float_positional(value, precision=3, fractional=False, trim="-")
    return f"{name} {number}{_PRINTED.get(unit, f' {unit}')} ({when})"


def _name(code: str) -> str:
    """The field's name without its unit."""
    known = {analyte.code: analyte.name for analyte in ANALYTES}
    return known.get(code) or _VITALS[code]


_PRINTED: Final = {
    **dict.fromkeys(("", "1", "[pH]", "{INR}"), ""),
    "10*3/uL": " × 10³/µL",
    "Cel": " °C",
    "mm[Hg]": " mmHg",
}
"""Units of UCUM that people write in another way, with what stands before them."""
_VITALS: Final = {
    "hr": "heart rate",
    "spo2": "SpO2",
    "temp": "temperature",
    "sbp": "systolic pressure",
    "map": "mean pressure",
    "dbp": "diastolic pressure",
    "rr": "respiratory rate",
    "etco2": "end-tidal CO2",
    "fio2": "FiO2",
}
