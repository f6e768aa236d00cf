"""Delta checks: a result that differs from the patient's previous one by more than patients' results usually do.

A delta flag says: look whether this is the patient (bleeding, failing kidneys, a dangerous correction) or the specimen
(another patient's, diluted, haemolysed). It compares with the previous final result of the same analyte, if that is
within the limit's window and no older than the history that is kept (`history`).

Two kinds of limits. Changes that a guideline or definition names as dangerous come first. For the others there is no
published list that could be used as it is: CLSI EP33 (Use of delta checks in the medical laboratory, 2nd ed. 2023) has
each laboratory derive its limits from its own patients, and limits from biological variation (reference change values)
would flag 12 to 41 % of the pairs of results of a hospital (Lee et al., Clin Chim Acta 2016;463:18). So they are
measured as there, from patients' results: the central 99 % of changes between consecutive results at most 48 hours
apart, rounded to two digits, of the intensive-care patients of PhysioNet/CinC 2012 (set a), PhysioNet/CinC 2019
(hospital B, p100001–p106500; its calcium left out, for it mixes total and ionised) and MIMIC-IV demo 2.2, pooled. A
test measures them anew from the files. Patients of ordinary wards change less: the limits err on the silent side. An
analyte with fewer than 400 pairs (two beyond each end) has none, and is listed in `NO_LIMIT`.

Changes of what hovers around zero or is held tightly (sodium, pH, base excess …) are differences, others percentages.
"""

from typing import Final, Literal, NamedTuple

HOUR_S: Final = 3600.0
_MEASURED: Final = "central 99 % of changes within 48 h in intensive care"

Kind = Literal["difference", "percent"]
Direction = Literal["delta_down", "delta_up"]


class Limit(NamedTuple):
    """The change to one side from which it counts: positive; `on_limit`: whether the limit itself does.

    `in_si`: the same limit as the source states it in SI units too, converted, where it is a little smaller.
    """

    change: float
    kind: Kind
    window_s: float
    on_limit: bool
    source: str
    in_si: float | None = None


class Delta(NamedTuple):
    """The limits of one analyte; None: no source has one to that side."""

    down: Limit | None
    up: Limit | None
    measured: bool = True
    """Whether both sides are measured."""


def _measured(kind: Kind, down: float, up: float) -> Delta:
    return Delta(
        Limit(down, kind, 48 * HOUR_S, False, _MEASURED),
        Limit(up, kind, 48 * HOUR_S, False, _MEASURED),
    )


MEASURED: Final[dict[str, Delta]] = {
    "wbc": _measured("percent", 56, 150),
    "plt": _measured("percent", 56, 160),
    "hgb": _measured("difference", 4.3, 4.0),
    "hct": _measured("difference", 11, 11),
    "na": _measured("difference", 9, 9),
    "k": _measured("difference", 2.3, 2.1),
    "cl": _measured("difference", 8, 10),
    "hco3": _measured("difference", 7, 8),
    "ica": _measured("difference", 0.24, 0.32),
    "ca": _measured("difference", 1.6, 1.5),
    "mg": _measured("difference", 1.0, 1.5),
    "phos": _measured("difference", 3.3, 3.1),
    "lactate": _measured("percent", 72, 250),
    "bun": _measured("percent", 58, 100),
    "creat": _measured("percent", 46, 82),
    "gluc": _measured("percent", 64, 160),
    "bili": _measured("percent", 70, 300),
    "alb": _measured("difference", 1.6, 1.5),
    "alt": _measured("percent", 61, 870),
    "ast": _measured("percent", 72, 1100),
    "alp": _measured("percent", 50, 130),
    "fibr": _measured("percent", 68, 190),
    "inr": _measured("percent", 50, 63),
    "pt": _measured("percent", 49, 62),
    "aptt": _measured("percent", 81, 350),
    "tnt": _measured("percent", 79, 990),
    "tni": _measured("percent", 75, 1200),
    "ph": _measured("difference", 0.19, 0.20),
    "paco2": _measured("difference", 23, 22),
    "pao2": _measured("percent", 75, 320),
    "sao2": _measured("difference", 12, 15),
    "be": _measured("difference", 7.3, 8.0),
    "phb": _measured("difference", 0.16, 0.23),
    "pco2b": _measured("difference", 36, 22),
    "po2b": _measured("percent", 80, 590),
    "beb": _measured("difference", 6.0, 9.2),
}
"""By code of the analyte."""

_KDIGO: Final = "KDIGO AKI 2012: 0.3 mg/dL within 48 h"
_KDIGO_SI: Final = 0.299768  # 26.5 µmol/L; no laboratory reports mg/dL so finely that one lies between
_HYPONATRAEMIA: Final = "Spasovski et al., Eur J Endocrinol 2014;170:G1: at most 10 mmol/L in 24 h, or myelinolysis"
_MAJOR_BLEED: Final = "ISTH, Schulman and Kearon, J Thromb Haemost 2005;3:692: a fall of 2 g/dL; the window is ours"
_HIT: Final = (
    "4Ts score, Lo et al., J Thromb Haemost 2006;4:759: a fall of more than 50 %; the window is ours (5–10 days)"
)
_ESC: Final = "ESC 2020 (Collet et al., Eur Heart J 2021;42:1289), 0/2 h, Elecsys: 10 ng/L; up to 3 h taken for two"

DELTA: Final[dict[str, Delta]] = MEASURED | {
    "creat": Delta(MEASURED["creat"].down, Limit(0.3, "difference", 48 * HOUR_S, True, _KDIGO, _KDIGO_SI), False),
    "na": Delta(MEASURED["na"].down, Limit(10, "difference", 24 * HOUR_S, False, _HYPONATRAEMIA), False),
    "hgb": Delta(Limit(2.0, "difference", 48 * HOUR_S, True, _MAJOR_BLEED), MEASURED["hgb"].up, False),
    "plt": Delta(Limit(50, "percent", 7 * 24 * HOUR_S, False, _HIT), MEASURED["plt"].up, False),
    "hstnt": Delta(
        Limit(10, "difference", 3 * HOUR_S, True, _ESC), Limit(10, "difference", 3 * HOUR_S, True, _ESC), False
    ),
}
"""By code of the analyte, in its canonical unit."""

_FEW: Final = "fewer than 400 pairs in the data, and no definition names a change"
NO_LIMIT: Final = {
    **dict.fromkeys(("neut", "bands", "chol", "dbili", "ck", "ldh", "lipase", "ddimer"), _FEW),
    **dict.fromkeys(("ntprobnp", "bnp", "crp", "pct", "hba1c", "tsh"), _FEW),
    "hstni": "ESC 2020 has a limit for each maker's assay, and results do not say which it was",
}
"""Why an analyte has no delta limit."""


def delta(code: str, value: float, at: float, previous: float, previous_at: float) -> tuple[Direction, Limit] | None:
    """Tell whether a result differs too much from the previous one, to which side and by which limit.

    Parameters
    ----------
    code : str
        Of the analyte.
    value, previous : float
        In its canonical unit.
    at, previous_at : float
        When they were observed, in seconds since 1970.

    Returns
    -------
    tuple of direction and Limit, or None
        None: it does not, the previous one is too old (or not earlier), or the analyte has no limit. A percentage of
        zero or less is no number: None.

    Examples
    --------
    >>> delta("creat", 1.3, 86_400.0, 1.0, 0.0)[0], delta("creat", 1.3, 3 * 86_400.0, 1.0, 0.0)
    ('delta_up', None)
    """
    limits = DELTA.get(code)
    apart = at - previous_at
    if limits is None or apart <= 0:
        return None
    change = value - previous
    limit = limits.down if change < 0 else limits.up
    if limit is None or apart > limit.window_s:
        return None
    size = abs(change)
    if limit.kind == "percent":
        if previous <= 0:
            return None
        size *= 100 / previous
    size = float(f"{size:.10g}")  # 1.3 - 1.0 is a hair above 0.3, 2.3 - 2.0 a hair below
    least = limit.change if limit.in_si is None else limit.in_si
    if size > least or (limit.on_limit and size == least):
        return ("delta_down" if change < 0 else "delta_up"), limit
    return None
