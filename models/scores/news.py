"""NEWS, the first National Early Warning Score (Royal College of Physicians, London 2012).

For patients of 16 and over who are not pregnant. Age and pregnancy are therefore needed like a vital sign: unknown,
they are named as missing and the points are still summed, for most patients are of age and not pregnant; but the score
is not complete.
"""

from wardstream.models.scores.bedside import gcs_below_15, on_oxygen
from wardstream.models.scores.chart import add_criterion, add_rows, not_applicable, row
from wardstream.models.scores.observations import Observations
from wardstream.schemas.scores import Score

NAME = "news"
VERSION = "rcp-2012.1"
"""Edition of the rule, then the revision of our reading of it."""

ADULT_YEARS = 16

COMMON_ROWS = (
    row("respiratory_rate_per_min", (9, 12, 21, 25), (3, 1, 0, 2, 3)),
    row("systolic_mmhg", (91, 101, 111, 220), (3, 2, 1, 0, 3)),
    row("heart_rate_bpm", (41, 51, 91, 111, 131), (3, 1, 0, 1, 2, 3)),
    row("temperature_celsius", (35.1, 36.1, 38.1, 39.1), (3, 1, 0, 1, 2), resolution=0.1),
)
"""The rows that NEWS2 took over as they were."""

SPO2 = row("spo2_percent", (92, 94, 96), (3, 2, 1, 0))
"""All of NEWS; scale 1 of NEWS2."""

_ROWS = (*COMMON_ROWS, SPO2)


def excluded(o: Observations) -> str | None:
    """Say why NEWS and NEWS2 are not for this patient; None if nothing known speaks against them."""
    if o.age_years is not None and o.age_years < ADULT_YEARS:
        return "under 16 years"
    if o.pregnant:
        return "pregnant"
    return None


def add_population(o: Observations, missing: list[str]) -> None:
    """Name age and pregnancy as missing where they are unknown."""
    if o.age_years is None:
        missing.append("age_years")
    if o.pregnant is None:
        missing.append("pregnant")


def clinical_risk(value: float, parts: dict[str, float], missing: list[str], single_three: str) -> str | None:
    """Return the band: high from 7, medium from 5, `single_three` if one part alone has 3, else low.

    More points never lower the band, so a partial score's band is a lower bound too. Only "low" would claim something
    about the parts that are missing: there it is None.
    """
    if value >= 7:
        return "high"
    if value >= 5:
        return "medium"
    if 3.0 in parts.values():
        return single_three
    return None if missing else "low"


def news(o: Observations) -> Score:
    """Score NEWS (2012), 0–20 points.

    Parts: respiration, SpO2, oxygen (2), systolic pressure, heart rate, consciousness (0 or 3), temperature; each named
    as its field. Vital signs count as charted (`chart`).

    Consciousness is AVPU, which has no C: a confused patient who is awake is alert (0). Without AVPU, a Glasgow Coma
    Scale of 15 is alert and any below scores 3: a total of 14 does not tell confusion from drowsiness, and the graver
    is taken.

    Returns
    -------
    Score
        Bands: low; medium (5–6, or one part of 3); high (7 or more). `complete` is False and the value a lower bound
        while anything is missing. Not applicable under 16 years or in pregnancy.

    References
    ----------
    Royal College of Physicians. National Early Warning Score (NEWS): Standardising the assessment of acute-illness
    severity in the NHS. London: RCP, 2012.

    Examples
    --------
    >>> score = news(Observations(respiratory_rate_per_min=26, systolic_mmhg=104, age_years=71, pregnant=False))
    >>> score.value, score.band, score.complete
    (4.0, 'medium', False)
    >>> score.missing
    ('heart_rate_bpm', 'temperature_celsius', 'spo2_percent', 'supplemental_oxygen', 'consciousness')
    """
    reason = excluded(o)
    if reason is not None:
        return not_applicable(NAME, VERSION, reason)
    parts: dict[str, float] = {}
    missing: list[str] = []
    add_rows(o, _ROWS, parts, missing)
    add_criterion("supplemental_oxygen", on_oxygen(o), 2.0, parts, missing)
    impaired = gcs_below_15(o) if o.consciousness is None else o.consciousness not in ("A", "C")
    add_criterion("consciousness", impaired, 3.0, parts, missing)
    add_population(o, missing)
    value = sum(parts.values(), 0.0)
    return Score(
        name=NAME,
        version=VERSION,
        value=value,
        complete=not missing,
        parts=parts,
        missing=tuple(missing),
        band=clinical_risk(value, parts, missing, single_three="medium"),
    )
