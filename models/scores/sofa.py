"""SOFA, Sequential Organ Failure Assessment (Vincent and others, 1996; the reading of Sepsis-3, 2016).

Six organs, 0–4 points each. It was made from adults of intensive care; the rule has no age part, so an unknown age is
not missing, and a patient known to be under 18 is outside it (pSOFA has other limits). The published score takes the
worst value of a day; this one is of now, from values that are current (a laboratory result is for a day), so that it
falls when the patient gets better.

- Oxygenation needs the inspired fraction. Room air is 0.21; on oxygen without a fraction it is missing. The steps
  below 200 and 100 count under respiratory support only (invasive, non-invasive, CPAP): without it such a ratio is 2
  points. If nothing says how the patient breathes, it is 2 points and the device is missing.
- Mean pressure is as measured, or (systolic + 2 × diastolic) / 3. Vasopressors outrank it; as long as they are not
  known they are named as missing and the pressure's point is a bound. No score is complete without them.
- Kidneys: creatinine, or urine of a day if that gives more. A volume of 500 mL or more in a day or less, and any volume
  of a day or more, tell of a day's urine; what came in a few hours does not. Normal creatinine needs no urine.
- Bilirubin and creatinine have limits in mg/dL and in µmol/L, both in Vincent's table 3 and in table 1 of Sepsis-3, and
  the columns are rounded apart (creatinine of 2.0 mg/dL is 176.8 µmol/L, and its line begins at 171). Each value is
  compared in the unit in which it was reported.

There is no band: the score has no published steps that a ward acts on (Sepsis-3 counts a rise of 2).
"""

from bisect import bisect_right
from collections.abc import Sequence
from typing import Final

from wardstream.models.labs.units import stated_umol_per_l
from wardstream.models.scores.bedside import gcs_total, on_oxygen
from wardstream.models.scores.chart import not_applicable
from wardstream.models.scores.observations import Observations
from wardstream.schemas.scores import Score

NAME = "sofa"
VERSION = "vincent-1996.2"
"""Edition of the rule, then the revision of our reading of it."""

ADULT_YEARS = 18
_BEDSIDE: Final = (
    "fio2",
    "o2",
    "o2flow",
    "o2dev",
    "map",
    "sbp",
    "dbp",
    "gcs",
    "gcse",
    "gcsv",
    "gcsm",
    "urine",
    "urineh",
)
LABS: Final = ("pao2", "plt", "bili", "creat")
"""Codes of the laboratory signals it reads: without one of them there is no point in it."""
READS: Final = frozenset((*LABS, *_BEDSIDE))
"""Codes of all signals it reads."""
_SUPPORT: Final = frozenset(("invasive_ventilation", "non_invasive_ventilation", "cpap"))
_PLATELETS: Final = (20.0, 50.0, 100.0, 150.0)  # below: 4, 3, 2, 1
_BILIRUBIN: Final = (1.2, 2.0, 6.0, 12.0)  # from: 1, 2, 3, 4
_CREATININE: Final = (1.2, 2.0, 3.5, 5.0)  # from: 1, 2, 3, 4
_BILIRUBIN_UMOL: Final = (20.0, 33.0, 102.0, 204.1)  # the last: above 204
_CREATININE_UMOL: Final = (110.0, 171.0, 300.0, 440.1)  # the last: above 440
_GCS: Final = (6, 10, 13, 15)  # below: 4, 3, 2, 1
_PRESSURE: Final = 69.5  # charted as 70
_DRUGS: Final = {"none": 0.0, "low": 2.0, "medium": 3.0, "high": 4.0}
_DAY_H: Final = 24.0


def _lungs(o: Observations, missing: list[str]) -> float | None:
    fraction = o.fio2_fraction
    if fraction is None and on_oxygen(o) is False:
        fraction = 0.21
    if o.pao2_mmhg is None:
        missing.append("pao2_mmhg")
    if fraction is None:
        missing.append("fio2_fraction")
    if o.pao2_mmhg is None or fraction is None:
        return None
    ratio = o.pao2_mmhg / fraction
    if ratio >= 200:
        return 0.0 if ratio >= 400 else 1.0 if ratio >= 300 else 2.0
    if o.oxygen_device in _SUPPORT:
        return 3.0 if ratio >= 100 else 4.0
    if o.oxygen_device is None:
        missing.append("oxygen_device")
    return 2.0


def _circulation(o: Observations, missing: list[str]) -> float | None:
    pressure = o.mean_pressure_mmhg
    if pressure is None and o.systolic_mmhg is not None and o.diastolic_mmhg is not None:
        pressure = (o.systolic_mmhg + 2 * o.diastolic_mmhg) / 3
    if o.vasopressors is None:
        missing.append("vasopressors")
    elif o.vasopressors != "none":
        return _DRUGS[o.vasopressors]
    if pressure is None:
        missing.append("mean_pressure_mmhg")
        return None
    return 1.0 if pressure < _PRESSURE else 0.0


def _urine(o: Observations) -> float | None:
    """Points by a day's urine; None if nothing tells of a day."""
    volume, hours = o.urine_output_ml, o.urine_period_h
    if volume is None or hours is None:
        return None
    if hours >= _DAY_H:
        volume *= _DAY_H / hours
    elif volume < 500:
        return None
    return 0.0 if volume >= 500 else 3.0 if volume >= 200 else 4.0


def _points(code: str, mg_per_dl: float, limits: Sequence[float], limits_umol: Sequence[float]) -> float:
    """Points by the column of the unit in which the value was reported."""
    umol = stated_umol_per_l(code, mg_per_dl)
    return float(bisect_right(limits, mg_per_dl) if umol is None else bisect_right(limits_umol, umol))


def sofa(o: Observations) -> Score:
    """Score SOFA, 0–24 points.

    Parts, 0–4 points each: `pao2_mmhg` (over the inspired fraction), `platelets_10e9_per_l`, `bilirubin_mg_per_dl`,
    `mean_pressure_mmhg` (or `vasopressors`), `gcs_total`, `creatinine_mg_per_dl` (or `urine_output_ml`, where that
    gives more). Laboratory values are compared as reported, the pressure as charted.

    Returns
    -------
    Score
        No bands. Not applicable under 18 years.

    References
    ----------
    Vincent JL et al. The SOFA (Sepsis-related Organ Failure Assessment) score to describe organ dysfunction/failure.
    Intensive Care Med 1996;22:707–710. Singer M et al. JAMA 2016;315:801–810. Under 18: Matics TJ, Sanchez-Pinto LN.
    JAMA Pediatr 2017;171:e172352.

    Examples
    --------
    >>> score = sofa(Observations(platelets_10e9_per_l=90, bilirubin_mg_per_dl=1.3, gcs_total=15))
    >>> score.value, score.parts["platelets_10e9_per_l"], score.missing[-1]
    (3.0, 2.0, 'creatinine_mg_per_dl')
    """
    if o.age_years is not None and o.age_years < ADULT_YEARS:
        return not_applicable(NAME, VERSION, "under 18 years")
    parts: dict[str, float] = {}
    missing: list[str] = []
    lungs = _lungs(o, missing)
    if lungs is not None:
        parts["pao2_mmhg"] = lungs
    platelets, bilirubin = o.platelets_10e9_per_l, o.bilirubin_mg_per_dl
    if platelets is None:
        missing.append("platelets_10e9_per_l")
    else:
        parts["platelets_10e9_per_l"] = 4.0 - bisect_right(_PLATELETS, platelets)
    if bilirubin is None:
        missing.append("bilirubin_mg_per_dl")
    else:
        parts["bilirubin_mg_per_dl"] = _points("bili", bilirubin, _BILIRUBIN, _BILIRUBIN_UMOL)
    circulation = _circulation(o, missing)
    if circulation is not None:
        parts["vasopressors" if circulation > 1 else "mean_pressure_mmhg"] = circulation
    coma = gcs_total(o)
    if coma is None:
        missing.append("gcs_total")
    else:
        parts["gcs_total"] = 4.0 - bisect_right(_GCS, coma)
    creatinine, by_urine = o.creatinine_mg_per_dl, _urine(o)
    by_creatinine = None if creatinine is None else _points("creat", creatinine, _CREATININE, _CREATININE_UMOL)
    if by_creatinine is None:
        missing.append("creatinine_mg_per_dl")
    if by_urine is not None and by_urine > (by_creatinine or 0.0):
        parts["urine_output_ml"] = by_urine
    elif by_creatinine is not None:
        parts["creatinine_mg_per_dl"] = by_creatinine
    return Score(
        name=NAME,
        version=VERSION,
        value=sum(parts.values(), 0.0),
        complete=not missing,
        parts=parts,
        missing=tuple(missing),
    )
