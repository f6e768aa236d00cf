"""How feeds spell units, and what a value in each is multiplied by: one table for mappings and for computing.

Few feeds write UCUM. Case, spaces and the sign for micro do not matter here, powers of ten may be written `10*9`,
`10^9`, `x10e9` or `10(9)`, and monitors name units as IEEE 11073-10101 does (`MDC_DIM_MMHG`, or its number, 266016).
Since case does not matter, no unit may have a twin that differs by case only: `G/L` is grams for a mass and 10⁹ for a
count, so each dimension has a table of its own. A unit that is not in the table of its dimension is not known: nobody
guesses what it means.

Mappings of feeds refuse what is not known here; `models/labs/units.py` converts laboratory results by the same tables,
with what only it knows (molar masses).

References
----------
UCUM, the Unified Code for Units of Measure; HL7 v2.5 chapter 7, figure 7-9 (ISO+ units); IEEE 11073-10101, codes of
units (`MDC_DIM_…`). Catalytic activity: 1 kat = 6 × 10⁷ U. Pressure: 1 mm[Hg] = 133.322 Pa; mass: 1 [lb_av] =
0.45359237 kg (both UCUM).
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

_PREFIX: Final = {"": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9, "p": 1e-12}
_VOLUME: Final = {"l": 1.0, "dl": 1e-1, "ml": 1e-3, "ul": 1e-6}
MASS: Final = {f"{p}g/{v}": x / y for p, x in _PREFIX.items() for v, y in _VOLUME.items()}
"""Concentrations by mass, in g/L."""
AMOUNT: Final = {f"{p}mol/{v}": x / y for p, x in _PREFIX.items() for v, y in _VOLUME.items()}
"""Concentrations by amount of substance, in mol/L."""
CHARGE: Final = {f"{p}eq/{v}": x / y for p, x in _PREFIX.items() for v, y in _VOLUME.items()}
"""Concentrations by charge, in eq/L."""

# Dimensions without substance: each spelling, and what a value in it is multiplied by to be in the canonical unit.
_COUNT: Final = dict.fromkeys(
    (
        *("10*3/ul", "10*9/l", "10*3/mm3", "10*3/mcl", "10*3/cumm", "k/ul", "k/mm3", "k/mcl", "k/cumm", "thou/ul"),
        *("thou/mm3", "thou/mcl", "th/ul", "th/mm3", "giga/l", "g/l", "/nl"),
    ),
    1.0,
) | dict.fromkeys(("/ul", "/mm3", "/mcl", "/cumm", "cells/ul", "cells/mm3", "cells/mcl", "10*6/l"), 1e-3)
_ENZYME: Final = {
    **dict.fromkeys(("u/l", "iu/l", "[iu]/l", "units/l", "mu/ml", "miu/ml", "m[iu]/ml"), 1.0),
    **dict.fromkeys(("u/ml", "iu/ml", "[iu]/ml", "ku/l"), 1e3),
    **{"ukat/l": 60.0, "nkat/l": 0.06},
}
_HORMONE: Final = {
    **dict.fromkeys(("m[iu]/l", "miu/l", "mu/l", "u[iu]/ml", "uiu/ml", "uu/ml"), 1.0),
    **dict.fromkeys(("m[iu]/ml", "miu/ml", "[iu]/l", "iu/l"), 1e3),
}
_PRESSURE: Final = dict.fromkeys(("mm[hg]", "mmhg", "torr"), 1.0) | {"kpa": 1000 / 133.322}
_SHARE: Final = dict.fromkeys(("%", "pct", "percent"), 1.0) | dict.fromkeys(("1", "l/l", "{fraction}"), 100.0)
_TIME: Final = dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1.0)
_INR: Final = dict.fromkeys(("{inr}", "inr", "1", "{ratio}", "ratio", ""), 1.0)
_PH: Final = dict.fromkeys(("[ph]", "ph", "phunits", "units", "1", ""), 1.0)
_FEU: Final = {
    spelling: factor * 1e6
    for unit, factor in MASS.items()
    for spelling in (unit, f"{unit}{{feu}}", f"{unit}feu")
    if unit in ("ng/ml", "ug/l", "ug/ml", "mg/l", "pg/ml", "ng/l")
}
LAB_UNITS: Final[Mapping[str, Mapping[str, float]]] = {
    "10*3/uL": _COUNT,
    "%": _SHARE,
    "U/L": _ENZYME,
    "m[IU]/L": _HORMONE,
    "mm[Hg]": _PRESSURE,
    "s": _TIME,
    "{INR}": _INR,
    "[pH]": _PH,
    "ng/mL{FEU}": _FEU,
}
"""Of laboratory results whose unit needs no substance to be converted: by canonical unit, factors by spelling."""
HBA1C_IFCC: Final = ("mmol/mol", "mmol/mol{hb}")
"""The other unit of HbA1c, whose conversion has an offset."""

_RATE: Final = dict.fromkeys(
    (
        *("/min", "1/min", "min-1", "bpm", "beats/min", "beat/min", "{beats}/min", "{beat}/min", "{heartbeats}/min"),
        *("breaths/min", "breath/min", "{breaths}/min", "{breath}/min", "{resp}/min", "resp/min", "rpm", "br/min"),
        *("mdc_dim_beat_per_min", "264864", "mdc_dim_resp_per_min", "264928"),
    ),
    1.0,
)
_PERCENT: Final = {**_SHARE, "mdc_dim_percent": 1.0, "262688": 1.0}
_BLOOD_PRESSURE: Final = {**_PRESSURE, "mdc_dim_mmhg": 1.0, "266016": 1.0, "mdc_dim_kilo_pascal": 1000 / 133.322}
_CELSIUS: Final = dict.fromkeys(("cel", "degc", "deg.c", "c", "°c", "celsius", "mdc_dim_degc", "268192"), 1.0)
_FAHRENHEIT: Final = ("[degf]", "degf", "deg.f", "f", "°f", "fahrenheit", "mdc_dim_fahr")
_FLOW: Final = dict.fromkeys(("l/min", "lpm", "liters/min", "litres/min", "mdc_dim_l_per_min"), 1.0)
_SCORE: Final = dict.fromkeys(("{score}", "score", "{points}", "points", "1", ""), 1.0)
_BULK: Final = {**dict.fromkeys(("ml", "cc", "cm3", "mdc_dim_milli_l", "263762"), 1.0), "l": 1000.0}
_HOURS: Final = {**dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), 1.0), "min": 1 / 60, "d": 24.0}
_BODY: Final = {
    **dict.fromkeys(("kg", "kgs", "mdc_dim_kilo_g", "263875"), 1.0),
    **{"g": 1e-3, "gm": 1e-3},
    **dict.fromkeys(("[lb_av]", "lb", "lbs", "mdc_dim_lb"), 0.45359237),
}
_BEDSIDE: Final[Mapping[str, Mapping[str, float]]] = {
    "/min": _RATE,
    "%": _PERCENT,
    "1": {spelling: factor / 100 for spelling, factor in _PERCENT.items()},
    "mm[Hg]": _BLOOD_PRESSURE,
    "Cel": _CELSIUS,
    "L/min": _FLOW,
    "{score}": _SCORE,
    "mL": _BULK,
    "h": _HOURS,
    "kg": _BODY,
}
_POWER: Final = re.compile(r"^[x×]?10(?:\*\*|\*|\^|e\+?|\()?0?(3|6|9)\)?(?=/)")
_SPELT: Final = str.maketrans({"µ": "u", "μ": "u", "³": "3", "⁶": "6", "⁹": "9", " ": None, "\u00a0": None})


def plain(unit: str) -> str:
    """Return a unit as the tables here spell it: lower case, `u` for micro, powers of ten as `10*9`."""
    text = unit.translate(_SPELT).lower().replace("mcg", "ug").replace("mcmol", "umol")
    return _POWER.sub(r"10*\1", text)


@lru_cache(maxsize=2048)
def lab_unit(canonical: str, unit: str) -> str | None:
    """Return a laboratory's unit as it should travel, or None if it is not known in this dimension.

    Parameters
    ----------
    canonical : str
        The UCUM unit in which the analyte is usually reported, as in `schemas.bounds.LAB_BOUNDS`.
    unit : str
        As the feed spelt it; empty: not stated.

    Returns
    -------
    str or None
        The canonical unit where that is what was meant; else the feed's own spelling (empty if there is none to have).

    Examples
    --------
    >>> lab_unit("mmol/L", "mmol/l"), lab_unit("mg/dL", "umol/L"), lab_unit("mmol/L", "mm[Hg]")
    ('mmol/L', 'umol/L', None)
    """
    spelt = plain(unit)
    table = LAB_UNITS.get(canonical)
    if table is None:
        known = spelt in MASS or spelt in AMOUNT or spelt in CHARGE
        return canonical if spelt == plain(canonical) else unit if known else None
    if canonical == "%" and spelt in HBA1C_IFCC:
        return unit
    factor = table.get(spelt)
    return None if factor is None else canonical if factor == 1.0 and spelt else unit


def bedside_value(canonical: str, value: float, unit: str) -> float | None:
    """Return a bedside measurement in its canonical unit, or None if the unit it came in is not known for it.

    Parameters
    ----------
    canonical : str
        The UCUM unit of the field, as in `schemas.bounds.BOUNDS`.
    value : float
        The number, in `unit`.
    unit : str
        As the feed spelt it; empty: not stated, which only scores may be.

    Returns
    -------
    float or None
        To ten significant digits; a value that is in the canonical unit already is returned as it is.

    Examples
    --------
    >>> bedside_value("Cel", 98.6, "[degF]"), bedside_value("1", 40, "%"), bedside_value("/min", 80, "")
    (37.0, 0.4, None)
    """
    spelt = plain(unit)
    if canonical == "Cel" and spelt in _FAHRENHEIT:
        return float(f"{(value - 32) / 1.8:.10g}")
    factor = _BEDSIDE.get(canonical, {}).get(spelt)
    if factor is None:
        return None
    return value if factor == 1.0 else float(f"{value * factor:.10g}")
