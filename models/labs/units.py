"""From the unit a result came in to the analyte's canonical one; a unit that is not known here is never guessed.

Three kinds of conversion: by factor between units of one dimension; between mass and amount of substance by a molar
mass computed here from a formula; and from milliequivalents by a valence. HbA1c alone has an offset.

How feeds spell units, and the factors within a dimension, are in `schemas/units.py`, which the mappings of feeds share.

Without a unit a result is used only where there is none to have: INR and pH. What LOINC says needs no repetition: a
D-dimer whose code means fibrinogen-equivalent units (FEU) may come in `ng/mL`; one in D-dimer units (`{DDU}`) is
refused, for their ratio depends on the assay.

References
----------
Atomic weights: CIAAW, abridged standard atomic weights (Prohaska et al., Pure Appl Chem 2022;94:573). Haemoglobin as
monomer, 16 114.5 g/mol: ICSH 1987 (WHO TRS 384). Urea nitrogen: two atoms of nitrogen a molecule; 1 mmol/L of it is 1
mmol/L of urea, as laboratories report it. NT-proBNP (76 amino acids) 8457 g/mol, BNP (32) 3464 g/mol: as their assays'
makers convert. HbA1c: NGSP = 0.09148 × IFCC + 2.152 (Hoelzel et al., Clin Chem 2004;50:166).
"""

import math
import re
from functools import lru_cache
from typing import Final, NamedTuple

from wardstream.models.labs.analytes import BY_CODE, Analyte
from wardstream.schemas.units import AMOUNT, CHARGE, HBA1C_IFCC, LAB_UNITS, MASS, plain

_WEIGHTS: Final = {
    "H": 1.008,
    "C": 12.011,
    "N": 14.007,
    "O": 15.999,
    "Na": 22.990,
    "Mg": 24.305,
    "P": 30.974,
    "Cl": 35.45,
    "K": 39.098,
    "Ca": 40.078,
}


def molar_mass(formula: str) -> float:
    """Return the molar mass of a formula such as `C6H12O6`, in g/mol."""
    return sum(_WEIGHTS[element] * int(count or 1) for element, count in re.findall(r"([A-Z][a-z]?)(\d*)", formula))


class Substance(NamedTuple):
    """What connects mass with amount and charge: molar mass in g/mol, and valence (0: has none of its own)."""

    molar_mass: float
    valence: int = 0


SUBSTANCES: Final = {
    "na": Substance(molar_mass("Na"), 1),
    "k": Substance(molar_mass("K"), 1),
    "cl": Substance(molar_mass("Cl"), 1),
    "hco3": Substance(molar_mass("HCO3"), 1),
    "ica": Substance(molar_mass("Ca"), 2),
    "ca": Substance(molar_mass("Ca"), 2),
    "mg": Substance(molar_mass("Mg"), 2),
    "phos": Substance(molar_mass("P")),  # reported as phosphorus; its valence depends on pH
    "lactate": Substance(molar_mass("C3H6O3"), 1),
    "bun": Substance(molar_mass("N2")),
    "creat": Substance(molar_mass("C4H7N3O")),
    "gluc": Substance(molar_mass("C6H12O6")),
    "chol": Substance(molar_mass("C27H46O")),
    "bili": Substance(molar_mass("C33H36N4O6")),
    "dbili": Substance(molar_mass("C33H36N4O6")),
    "hgb": Substance(16_114.5),
    "ntprobnp": Substance(8457),
    "bnp": Substance(3464),
}
"""By code of the analyte."""


class Conversion(NamedTuple):
    """canonical = factor × value + offset."""

    factor: float
    offset: float = 0.0


def convert(analyte: Analyte, value: float, unit: str | None) -> float | None:
    """Return a value in the analyte's canonical unit, or None if its unit is not known for this analyte.

    Parameters
    ----------
    analyte : Analyte
        What was measured.
    value : float
        The number, in `unit`.
    unit : str or None
        As the feed spelt it; None: not stated.

    Returns
    -------
    float or None
        To ten significant digits, so that nothing comes out as 3.9999999999999996; a value that is in the canonical
        unit already is returned as it is.

    Examples
    --------
    >>> convert(BY_CODE["creat"], 88.4, "µmol/L")
    0.9999808
    >>> convert(BY_CODE["mg"], 2.0, "mEq/L")
    2.4305
    >>> convert(BY_CODE["k"], 4.0, "mg/L") is None, convert(BY_CODE["k"], 4.0, None) is None
    (False, True)
    """
    if unit == analyte.unit:
        return value
    conversion = _conversion(analyte.code, unit or "")
    if conversion is None:
        return None
    factor, offset = conversion
    return value if factor == 1.0 and not offset else float(f"{factor * value + offset:.10g}")


def stated_umol_per_l(code: str, mg_per_dl: float) -> float | None:
    """Return the µmol/L in which a canonical value in mg/dL was reported, or None if it was not.

    Laboratories report µmol/L with one decimal at most, and mg/dL with three: what `convert` made of the one is, to its
    ten digits, a value that the other does not have.

    Examples
    --------
    >>> stated_umol_per_l("creat", 1.934352), stated_umol_per_l("creat", 1.93)
    (171.0, None)
    """
    amount = mg_per_dl * 1e4 / SUBSTANCES[code].molar_mass
    stated = round(amount, 1)
    return stated if math.isclose(amount, stated, rel_tol=2e-9) and mg_per_dl != round(mg_per_dl, 3) else None


@lru_cache(maxsize=2048)
def _conversion(code: str, unit: str) -> Conversion | None:
    canonical, spelt = BY_CODE[code].unit, plain(unit)
    if code == "hba1c" and spelt in HBA1C_IFCC:
        return Conversion(0.09148, 2.152)
    table = LAB_UNITS.get(canonical)
    if table is not None:
        factor = table.get(spelt)
    else:
        into = _grams_or_moles(code, plain(canonical), canonical)
        found = _grams_or_moles(code, spelt, canonical)
        factor = None if found is None or into is None else found / into
    return None if factor is None else Conversion(float(f"{factor:.12g}"))


def _grams_or_moles(code: str, spelt: str, canonical: str) -> float | None:
    """Return a unit of concentration in that of the canonical dimension: g/L, or mol/L."""
    substance = SUBSTANCES.get(code)
    grams: float | None = None
    moles: float | None = None
    if spelt in MASS:
        grams = MASS[spelt]
        moles = None if substance is None else grams / substance.molar_mass
    elif spelt in AMOUNT:
        moles = AMOUNT[spelt]
        grams = None if substance is None else moles * substance.molar_mass
    elif spelt in CHARGE and code in ("be", "beb"):
        return CHARGE[spelt]  # an excess of base is counted in charges
    elif spelt in CHARGE and substance is not None and substance.valence:
        moles = CHARGE[spelt] / substance.valence
        grams = moles * substance.molar_mass
    return moles if canonical == "mmol/L" else grams
