"""Shock index: heart rate over systolic pressure (Allgöwer and Burri, 1967).

A ratio and no sum: with an input missing there is no value, not even a bound, and the one part is the ratio itself.

The limits are those of adults. The rule has no age part, so an unknown age is not missing; a patient known to be under
16 is outside it (children's limits depend on age: Acker 2015).
"""

from wardstream.models.scores.chart import not_applicable
from wardstream.models.scores.observations import Observations
from wardstream.schemas.scores import Score

NAME = "shock_index"
VERSION = "allgower-1967.1"
"""Edition of the rule, then the revision of our reading of it."""

ADULT_YEARS = 16


def _band(index: float) -> str:
    if index >= 0.9:
        return "alert"
    if index > 0.7:
        return "raised"
    return "normal" if index >= 0.5 else "low"


def shock_index(o: Observations) -> Score:
    """Compute the shock index, beats/min per mmHg, from the values as measured (not rounded).

    Returns
    -------
    Score
        Bands: low (below 0.5), normal (0.5–0.7), raised (above 0.7), alert (0.9 or more). Value None while heart rate
        or systolic pressure is missing. Not applicable under 16 years, or without a pressure to divide by.

    References
    ----------
    Allgöwer M, Burri C. "Schockindex". Dtsch Med Wochenschr 1967;92:1947–1950. Rady MY et al. Ann Emerg Med
    1994;24:685–690. Under 16: Acker SN et al. J Pediatr Surg 2015;50:331–334.

    Examples
    --------
    >>> score = shock_index(Observations(heart_rate_bpm=90, systolic_mmhg=100))
    >>> score.value, score.band
    (0.9, 'alert')
    """
    if o.age_years is not None and o.age_years < ADULT_YEARS:
        return not_applicable(NAME, VERSION, "under 16 years")
    rate, pressure = o.heart_rate_bpm, o.systolic_mmhg
    if pressure is not None and pressure < 1:  # none that a cuff or line can show; the ratio would have no bound
        return not_applicable(NAME, VERSION, "no systolic pressure to divide by")
    if rate is None or pressure is None:
        wanted = (("heart_rate_bpm", rate), ("systolic_mmhg", pressure))
        missing = tuple([name for name, value in wanted if value is None])
        return Score(name=NAME, version=VERSION, complete=False, missing=missing)
    index = rate / pressure
    return Score(
        name=NAME,
        version=VERSION,
        value=index,
        complete=True,
        parts={"ratio": index},
        band=_band(index),
    )
