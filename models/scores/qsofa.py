"""qSOFA, quick Sequential Organ Failure Assessment (Sepsis-3, 2016): who with an infection may do badly.

Made from adults. The rule has no age part, so an unknown age is not missing; a patient known to be under 18 is outside
it.
"""

from wardstream.models.scores.bedside import gcs_below_15
from wardstream.models.scores.chart import add_criterion, add_rows, not_applicable, row
from wardstream.models.scores.observations import Observations
from wardstream.schemas.scores import Score

NAME = "qsofa"
VERSION = "sepsis3-2016.1"
"""Edition of the rule, then the revision of our reading of it."""

ADULT_YEARS = 18
POSITIVE = 2.0

_ROWS = (
    row("respiratory_rate_per_min", (22,), (0, 1)),
    row("systolic_mmhg", (101,), (1, 0)),
)


def qsofa(o: Observations) -> Score:
    """Score qSOFA, 0–3 points.

    Parts, one point each: respiration of 22 or more, systolic pressure of 100 or less, altered mentation
    (`consciousness`: Glasgow Coma Scale below 15; where none is known, anything but A on ACVPU). Vital signs count as
    charted (`chart`).

    Returns
    -------
    Score
        Bands: positive from 2 points, else negative; a partial score below 2 has no band. Not applicable under 18.

    References
    ----------
    Singer M et al. The Third International Consensus Definitions for Sepsis and Septic Shock (Sepsis-3). JAMA
    2016;315:801–810. Seymour CW et al. JAMA 2016;315:762–774.

    Examples
    --------
    >>> score = qsofa(Observations(respiratory_rate_per_min=24, systolic_mmhg=100))
    >>> score.value, score.band, score.missing
    (2.0, 'positive', ('consciousness',))
    """
    if o.age_years is not None and o.age_years < ADULT_YEARS:
        return not_applicable(NAME, VERSION, "under 18 years")
    parts: dict[str, float] = {}
    missing: list[str] = []
    add_rows(o, _ROWS, parts, missing)
    altered = gcs_below_15(o)
    if altered is None and o.consciousness is not None:
        altered = o.consciousness != "A"
    add_criterion("consciousness", altered, 1.0, parts, missing)
    value = sum(parts.values(), 0.0)
    return Score(
        name=NAME,
        version=VERSION,
        value=value,
        complete=not missing,
        parts=parts,
        missing=tuple(missing),
        band="positive" if value >= POSITIVE else None if missing else "negative",
    )
