"""KDIGO staging of acute kidney injury (2012), from the history of creatinine and urine: 0 (none) to 3.

Creatinine. The newest result is compared with the lowest of the 48 hours before it (a rise of 0.3 mg/dL) and with the
baseline (1.5, 2 and 3 times). The baseline is the lowest result of the seven days up to it: KDIGO wants the rise to
have happened within that time, and the patient's usual value is rarely known. It is not estimated from a formula. With
nothing to compare with, creatinine is missing, and no single value says that there is an injury: 4.0 mg/dL or more is
stage 3 only where one of the criteria above is met, as the guideline says of it (chronic kidney disease has such values
for years). So with an eGFR below 35 mL/min/1.73 m² under 18 years (bedside Schwartz: 0.413 × height / creatinine);
without age or height it is missing.

The guideline states its limits in both units: a rise of 0.3 mg/dL (26.5 µmol/L, definition 2.1.1), and 4.0 mg/dL (353.6
µmol/L, table 2). Those in µmol/L are a hair lower, by less than any laboratory's mg/dL can tell, and are the ones used.

Urine. Mean flow per kg over the last 6, 12 and 24 hours, each only if collections cover it without a gap: below 0.5
mL/kg/h over 6 hours is stage 1, over 12 hours stage 2; below 0.3 over 24 hours, or none at all in 12, stage 3. A
collection without a stated period began when the one before it ended. The newest must be of the last six hours.

The worst criterion wins: the value is the highest part, not their sum. Renal replacement makes it 3; nobody reports it
as long as procedures are not read: it is named as missing, and the stage is a lower bound.
"""

from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise
from typing import Final, NamedTuple

from wardstream.schemas.scores import Score

NAME = "kdigo_aki"
VERSION = "kdigo-2012.2"
"""Edition of the rule, then the revision of our reading of it."""

HOUR_S: Final = 3600.0
LOOK_BACK_S: Final = 7 * 24 * HOUR_S
CREATININE_HOLDS_S: Final = 24 * HOUR_S
URINE_HOLDS_S: Final = 6 * HOUR_S
LONGEST_COLLECTION_H: Final = 24.0
ADULT_YEARS: Final = 18
RISE_MG_PER_DL: Final = 0.299768  # 26.5 µmol/L; 0.3 mg/dL
SEVERE_MG_PER_DL: Final = 3.9999232  # 353.6 µmol/L; 4.0 mg/dL


class Result(NamedTuple):
    """One creatinine: when (s since 1970), mg/dL."""

    at: float
    mg_per_dl: float


class Collection(NamedTuple):
    """Urine of one collection: its end (s since 1970), mL, and the hours it took; None: since the one before."""

    at: float
    ml: float
    period_h: float | None


class Kidneys(NamedTuple):
    """What the stage is computed from, at one time (s since 1970); both histories in the order of time."""

    at: float
    creatinine: Sequence[Result] = ()
    urine: Sequence[Collection] = ()
    weight_kg: float | None = None
    age_years: float | None = None
    height_cm: float | None = None
    renal_replacement: bool | None = None


def _by_creatinine(k: Kidneys, missing: list[str]) -> float | None:
    last = k.creatinine[-1] if k.creatinine else None
    if last is None or last.at <= k.at - CREATININE_HOLDS_S:
        missing.append("creatinine_mg_per_dl")
        return None
    before = [one for one in k.creatinine if last.at - LOOK_BACK_S <= one.at < last.at]
    if not before:
        missing.append("creatinine_mg_per_dl")
        return None
    value = last.mg_per_dl
    baseline = min(one.mg_per_dl for one in before)
    lately = min((one.mg_per_dl for one in before if one.at >= last.at - 48 * HOUR_S), default=value)
    # Differences and ratios of decimals: 1.3 - 1.0 is a hair below 0.3, so both are rounded before they are compared.
    rise, ratio = round(value - lately, 9), round(value / baseline, 9) if baseline > 0 else 0.0
    if rise < RISE_MG_PER_DL and ratio < 1.5:
        return 0.0
    if ratio >= 3 or value >= SEVERE_MG_PER_DL:
        return 3.0
    if k.age_years is None:
        missing.append("age_years")
    elif k.age_years < ADULT_YEARS:
        if k.height_cm is None:
            missing.append("height_cm")
        elif 0.413 * k.height_cm / value < 35:
            return 3.0
    return 2.0 if ratio >= 2 else 1.0


def _volume(intervals: Sequence[tuple[float, float, float]], hours: float) -> float | None:
    """Return the mL of the last hours before the newest collection's end; None if they are not covered."""
    end = intervals[-1][1]
    begin = end - hours * HOUR_S
    covered = volume = 0.0
    for start, stop, ml in intervals[bisect_left(intervals, begin, key=lambda interval: interval[1]) :]:
        share = (stop - max(start, begin)) / (stop - start)
        if share > 0:
            covered += share * (stop - start)
            volume += share * ml
    return volume if covered >= hours * HOUR_S - 1 else None


def _intervals(urine: Sequence[Collection]) -> list[tuple[float, float, float]]:
    """Return begin, end and mL of each collection, none overlapping another; those of one moment are one."""
    found: list[tuple[float, float, float]] = []
    for before, one in pairwise((None, *urine)):
        assert one is not None
        if found and found[-1][1] == one.at:
            begin, end, ml = found[-1]
            found[-1] = (begin, end, ml + one.ml)
            continue
        since = None if before is None else before.at
        if one.period_h is not None:
            begin = one.at - one.period_h * HOUR_S
            since = begin if since is None else max(since, begin)
        if since is not None and 0 < one.at - since <= LONGEST_COLLECTION_H * HOUR_S:
            found.append((since, one.at, one.ml))
    return found


def _by_urine(k: Kidneys, missing: list[str]) -> float | None:
    intervals = _intervals(k.urine)
    if not intervals or intervals[-1][1] <= k.at - URINE_HOLDS_S:
        missing.append("urine_output_ml")
        return None
    six, twelve, day = (_volume(intervals, hours) for hours in (6, 12, 24))
    if twelve == 0:
        return 3.0
    if k.weight_kg is None or k.weight_kg <= 0:
        missing.append("weight_kg")
        return None
    if six is None:
        missing.append("urine_output_ml")
        return None
    if day is not None and day / (24 * k.weight_kg) < 0.3:
        return 3.0
    if twelve is not None and twelve / (12 * k.weight_kg) < 0.5:
        return 2.0
    return 1.0 if six / (6 * k.weight_kg) < 0.5 else 0.0


def kdigo(k: Kidneys) -> Score:
    """Stage acute kidney injury.

    Parts, 0–3 each: `creatinine_mg_per_dl`, `urine_output_ml`, `renal_replacement` (3, or 0 where known not to be);
    the value is the highest of them.

    Returns
    -------
    Score
        Bands: "stage 1" to "stage 3", a lower bound while anything is missing; "none" only where nothing is.

    References
    ----------
    KDIGO Clinical Practice Guideline for Acute Kidney Injury. Kidney Int Suppl 2012;2:1–138, tables 1 and 2. Schwartz
    GJ et al. J Am Soc Nephrol 2009;20:629–637.

    Examples
    --------
    >>> day = 24 * HOUR_S
    >>> score = kdigo(Kidneys(2 * day, [Result(0, 1.0), Result(2 * day, 2.1)], age_years=60))
    >>> score.value, score.band, score.missing
    (2.0, 'stage 2', ('urine_output_ml', 'renal_replacement'))
    """
    parts: dict[str, float] = {}
    missing: list[str] = []
    for name, stage in (
        ("creatinine_mg_per_dl", _by_creatinine(k, missing)),
        ("urine_output_ml", _by_urine(k, missing)),
        ("renal_replacement", None if k.renal_replacement is None else 3.0 * k.renal_replacement),
    ):
        if stage is not None:
            parts[name] = stage
        elif name == "renal_replacement":
            missing.append(name)
    value = max(parts.values(), default=0.0)
    return Score(
        name=NAME,
        version=VERSION,
        value=value,
        complete=not missing,
        parts=parts,
        missing=tuple(missing),
        band=f"stage {value:.0f}" if value else None if missing else "none",
    )
