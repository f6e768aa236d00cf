"""MEWS, the Modified Early Warning Score as validated by Subbe and others (2001); hospitals use many variants of it.

Made from adult medical admissions. The rule has no age part, so an unknown age is not missing; a patient known to be
under 16 is outside it (the age at which NEWS begins; children have scores of their own).
"""

from wardstream.models.scores.bedside import gcs_total
from wardstream.models.scores.chart import add_rows, not_applicable, row
from wardstream.models.scores.observations import Observations
from wardstream.schemas.scores import Score

NAME = "mews"
VERSION = "subbe-2001.1"
"""Edition of the rule, then the revision of our reading of it."""

ADULT_YEARS = 16
HIGH = 5.0

_ROWS = (
    row("systolic_mmhg", (71, 81, 101, 200), (3, 2, 1, 0, 2)),
    row("heart_rate_bpm", (41, 51, 101, 111, 130), (2, 1, 0, 1, 2, 3)),
    row("respiratory_rate_per_min", (9, 15, 21, 30), (2, 0, 1, 2, 3)),
    row("temperature_celsius", (35.0, 38.5), (2, 0, 2), resolution=0.1),
)
_AVPU = {"A": 0.0, "C": 0.0, "V": 1.0, "P": 2.0, "U": 3.0}


def _consciousness(o: Observations) -> float | None:
    """Return the points of AVPU; of the Glasgow Coma Scale where there is none."""
    if o.consciousness is not None:
        return _AVPU[o.consciousness]
    total = gcs_total(o)
    if total is None:
        return None
    return 0.0 if total >= 15 else 1.0 if total >= 9 else 2.0 if total >= 4 else 3.0


def mews(o: Observations) -> Score:
    """Score MEWS, 0–14 points.

    Parts: systolic pressure, heart rate, respiration, temperature, consciousness (A 0, V 1, P 2, U 3); each named as
    its field. Vital signs count as charted (`chart`).

    AVPU has no C: a confused patient who is awake is alert (0). Without AVPU the Glasgow Coma Scale is turned into it:
    15 A, 9–14 V, 4–8 P, 3 U, around the medians 15, 13, 8 and 3 that Kelly found; 14 is V, for it is not proven alert.

    Returns
    -------
    Score
        Bands: high from 5 points (in the source, with death and intensive care), else low; a partial score below 5 has
        no band. Not applicable under 16 years.

    References
    ----------
    Subbe CP, Kruger M, Rutherford P, Gemmel L. Validation of a modified Early Warning Score in medical admissions. QJM
    2001;94:521–526. Kelly CA, Upex A, Bateman DN. Ann Emerg Med 2004;44:108–113.

    Examples
    --------
    >>> seen = Observations(
    ...     systolic_mmhg=78, heart_rate_bpm=49, respiratory_rate_per_min=22, temperature_celsius=34, consciousness="V"
    ... )
    >>> mews(seen).value, mews(seen).band
    (8.0, 'high')
    """
    if o.age_years is not None and o.age_years < ADULT_YEARS:
        return not_applicable(NAME, VERSION, "under 16 years")
    parts: dict[str, float] = {}
    missing: list[str] = []
    add_rows(o, _ROWS, parts, missing)
    points = _consciousness(o)
    if points is None:
        missing.append("consciousness")
    else:
        parts["consciousness"] = points
    value = sum(parts.values(), 0.0)
    return Score(
        name=NAME,
        version=VERSION,
        value=value,
        complete=not missing,
        parts=parts,
        missing=tuple(missing),
        band="high" if value >= HIGH else None if missing else "low",
    )
