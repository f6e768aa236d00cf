"""NEWS2, the National Early Warning Score of the Royal College of Physicians (London 2017).

It differs from NEWS (2012) in a second SpO2 scale, in new confusion (C) among the levels of consciousness, and in a
band of its own for a single part of 3. Population and the handling of what is missing are as there.

Scale 2 is for patients with hypercapnic respiratory failure whose target is 88–92 %, and the RCP has it ordered in
writing by a competent clinician: without an order (None as well as False) the chart's default is scale 1. So the order
is the one input whose absence is an answer, and it is never missing.
"""

from types import MappingProxyType

from wardstream.models.scores.bedside import gcs_below_15, on_oxygen
from wardstream.models.scores.chart import add_criterion, add_rows, not_applicable, row
from wardstream.models.scores.news import COMMON_ROWS, SPO2, add_population, clinical_risk, excluded
from wardstream.models.scores.observations import Observations
from wardstream.schemas.scores import Score

NAME = "news2"
VERSION = "rcp-2017.1"
"""Edition of the rule, then the revision of our reading of it."""

RESPONSES = MappingProxyType(
    {
        "low": "observe at least every 12 h (total 0) or every 4–6 h (1–4): a registered nurse assesses and decides "
        "on more frequent observation or escalation",
        "low-medium": "observe at least hourly: urgent review by a ward-based doctor, who finds the cause and decides "
        "on escalation",
        "medium": "observe at least hourly: urgent assessment by a clinician or team competent in acute illness",
        "high": "observe continuously: emergency assessment by a team with critical-care and airway skills; consider "
        "higher-level care",
    }
)
"""What the RCP asks for, by band (paraphrased)."""

_SCALE_1 = (*COMMON_ROWS, SPO2)
_SCALE_2_ON_AIR = (*COMMON_ROWS, row("spo2_percent", (84, 86, 88), (3, 2, 1, 0)))
_SCALE_2_ON_OXYGEN = (*COMMON_ROWS, row("spo2_percent", (84, 86, 88, 93, 95, 97), (3, 2, 1, 0, 1, 2, 3)))
_OXYGEN_MATTERS_FROM = 92.5  # charted as 93: the two columns of scale 2 part here


def news2(o: Observations) -> Score:
    """Score NEWS2, 0–20 points.

    Parts: respiration, SpO2 (scale 2 only if ordered), oxygen (2), systolic pressure, heart rate, consciousness (0 or
    3), temperature; each named as its field. Vital signs count as charted (`chart`).

    On scale 2, an SpO2 of 93 % or more scores 0 on air and 1–3 on oxygen. If it is unknown whether oxygen is given, the
    SpO2 has no part (oxygen is what is missing).

    Consciousness is ACVPU, anything but A scoring 3. Without it, a Glasgow Coma Scale of 15 is alert and any below
    scores 3, for it means one of C, V, P, U.

    Returns
    -------
    Score
        Bands: low (0–4), low-medium (one part of 3), medium (5–6), high (7 or more); the responses are in `RESPONSES`.
        `complete` is False and the value a lower bound while anything is missing. Not applicable under 16 years or in
        pregnancy.

    References
    ----------
    Royal College of Physicians. National Early Warning Score (NEWS) 2: Standardising the assessment of acute-illness
    severity in the NHS. Updated report of a working party. London: RCP, 2017.

    Examples
    --------
    >>> seen = Observations(
    ...     respiratory_rate_per_min=22, spo2_percent=93, supplemental_oxygen=True, systolic_mmhg=118,
    ...     heart_rate_bpm=96, consciousness="A", temperature_celsius=38.04, age_years=64, pregnant=False,
    ... )
    >>> score = news2(seen)
    >>> score.value, score.band, score.complete
    (7.0, 'high', True)
    """
    reason = excluded(o)
    if reason is not None:
        return not_applicable(NAME, VERSION, reason)
    parts: dict[str, float] = {}
    missing: list[str] = []
    oxygen = on_oxygen(o)
    if not o.spo2_scale_2:
        add_rows(o, _SCALE_1, parts, missing)
    elif oxygen:
        add_rows(o, _SCALE_2_ON_OXYGEN, parts, missing)
    else:
        add_rows(o, _SCALE_2_ON_AIR, parts, missing)
        if oxygen is None and o.spo2_percent is not None and o.spo2_percent >= _OXYGEN_MATTERS_FROM:
            del parts["spo2_percent"]
    add_criterion("supplemental_oxygen", oxygen, 2.0, parts, missing)
    impaired = gcs_below_15(o) if o.consciousness is None else o.consciousness != "A"
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
        band=clinical_risk(value, parts, missing, single_three="low-medium"),
    )
