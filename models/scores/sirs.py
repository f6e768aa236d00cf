"""SIRS, the systemic inflammatory response syndrome (ACCP/SCCM consensus, 1992).

Two criteria have an alternative: respiration or PaCO2, white cells or band forms. Respiration and the white cell count
are measured in most, the alternatives in few, and in practice a normal rate or count alone is taken as "not met". So:

- either input that is known and abnormal meets the criterion;
- a known, normal rate (or count) does not meet it, whether or not the alternative is known;
- an unknown rate (or count) with a normal or unknown alternative leaves it missing, under the first input's name.

A complete score can therefore still rise by a blood gas or a differential count that comes later.

Made from adults (children have limits by age of their own). The rule has no age part, so an unknown age is not
missing; a patient known to be under 18 is outside it.
"""

from wardstream.models.scores.chart import add_criterion, add_rows, not_applicable, row
from wardstream.models.scores.observations import Observations
from wardstream.schemas.scores import Score

NAME = "sirs"
VERSION = "accp-1992.1"
"""Edition of the rule, then the revision of our reading of it."""

ADULT_YEARS = 18
POSITIVE = 2.0

_ROWS = (
    row("temperature_celsius", (36.0, 38.1), (1, 0, 1), resolution=0.1),
    row("heart_rate_bpm", (91,), (0, 1)),
)
_FAST_BREATHING_FROM = 20.5  # charted as 21


def _fast_breathing(o: Observations) -> bool | None:
    """Tell whether respiration is above 20 /min or PaCO2 below 32 mmHg."""
    if o.paco2_mmhg is not None and o.paco2_mmhg < 32:
        return True
    rate = o.respiratory_rate_per_min
    return None if rate is None else rate >= _FAST_BREATHING_FROM


def _abnormal_white_cells(o: Observations) -> bool | None:
    """Tell whether white cells are above 12 or below 4 ×10⁹/L, or band forms above 10 %."""
    if o.bands_percent is not None and o.bands_percent > 10:
        return True
    count = o.wbc_10e9_per_l
    return None if count is None else count > 12 or count < 4


def sirs(o: Observations) -> Score:
    """Score SIRS, 0–4 criteria met.

    Parts, one point each: temperature above 38.0 or below 36.0 °C; heart rate above 90; respiration above 20 or PaCO2
    below 32 mmHg (`respiratory_rate_per_min`); white cells above 12 or below 4 ×10⁹/L or more than 10 % bands
    (`wbc_10e9_per_l`). Vital signs count as charted (`chart`), laboratory values as reported.

    Returns
    -------
    Score
        Bands: positive from 2 criteria, else negative; a partial score below 2 has no band. Not applicable under 18.

    References
    ----------
    Bone RC et al. Definitions for sepsis and organ failure and guidelines for the use of innovative therapies in
    sepsis. Chest 1992;101:1644–1655. Under 18: Goldstein B et al. Pediatr Crit Care Med 2005;6:2–8.

    Examples
    --------
    >>> score = sirs(Observations(temperature_celsius=38.4, heart_rate_bpm=88, respiratory_rate_per_min=18))
    >>> score.value, score.band, score.missing
    (1.0, None, ('wbc_10e9_per_l',))
    """
    if o.age_years is not None and o.age_years < ADULT_YEARS:
        return not_applicable(NAME, VERSION, "under 18 years")
    parts: dict[str, float] = {}
    missing: list[str] = []
    add_rows(o, _ROWS, parts, missing)
    add_criterion("respiratory_rate_per_min", _fast_breathing(o), 1.0, parts, missing)
    add_criterion("wbc_10e9_per_l", _abnormal_white_cells(o), 1.0, parts, missing)
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
