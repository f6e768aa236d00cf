"""labs.v1: one result → the patient's bins and history, flags, and the scores that read it.

Every result of a known analyte is converted to its canonical unit and becomes a measurement set in the patient's hourly
bins, where models find it, and in the history of its analyte. The seven that rule scores read are in the patient's row
as well. A unit that is not known for an analyte is never guessed at: the result is counted, by analyte, and not used;
neither is one that is impossible once converted. A text is no number to compute with, nor is the end of a measuring
range: a result with a comparator (`>10`) enters no score, no delta and no model, but it may be critical, and then it is
told as any other. An analyte that is not known here is accepted and counted.

Critical values and delta checks are published where the result's consequences are: as `results` of the record of
scores.v1 that the result caused. An analyte is named there when its newest result has a flag, and once more, without
flags, when they have ended: by a later result, a correction or a cancellation. So a ward sees at once which result it
was and where the limit comes from, and the policy for alerts needs to remember nothing but what it has raised: one
alert for each analyte, for a critical value that is known for days must not ring with each new specimen. A topic of
their own would put scores and flags of one result into two records, which consumers would have to join again.

A result that comes after a newer one of its analyte goes into bins and history and says nothing.
"""

from __future__ import annotations

from wardstream.agents import metrics as m
from wardstream.agents.patients import PatientBatch, Rules
from wardstream.agents.predicting import ask
from wardstream.agents.scoring import take_in
from wardstream.agents.streams.batch import Handler
from wardstream.models import sepsis
from wardstream.models.bins import MeasurementSet, Value
from wardstream.models.labs.analytes import BY_LOINC
from wardstream.models.labs.units import convert
from wardstream.models.signals import SCORED
from wardstream.schemas.bounds import LAB_BOUNDS, extremes
from wardstream.schemas.labs import Lab


def handler(rules: Rules) -> Handler:
    """The handler of labs.v1."""

    async def on_labs(batch: PatientBatch) -> None:
        """Take a result in: bins, history, flags, scores."""
        async for received in batch:
            event: Lab = received.event
            use, values = usable(event)
            batch.count(m.LABS, (use,))
            if use == "unknown_unit":
                batch.count(m.LAB_UNITS, (BY_LOINC[event.loinc].field,))
            for field in extremes(event):
                batch.count(m.EXTREMES, (field,))
            # A revision that is no use here may still take away a number that was: of an arterial specimen that was
            # a venous one, of a count that was a clot. Another analyte it becomes by a correction only.
            corrects = event.status in ("corrected", "cancelled") and event.patient_id in batch.state
            if values or (event.supersedes is not None and (event.loinc in BY_LOINC or corrects)):
                revised = take_in(batch, received, measurements(event, values), rules)
                if rules.sepsis is not None and any(code in sepsis.SIGNALS for code in (*values, *revised)):
                    patient = batch.state[event.patient_id]
                    at = max(patient.heard, event.received_at.timestamp())
                    ask(batch, event.patient_id, patient, received, at)

    return on_labs


def usable(event: Lab) -> tuple[str, dict[str, Value]]:
    """How the result is used, and what it measured, in the canonical unit.

    Returns
    -------
    use : str
        `scored`: a rule score reads it. `kept`: for models and flags. `beyond_range`: it has a comparator, and is for
        critical flags alone. `unknown_analyte`, `unknown_unit`, `impossible`,
        `no_number`: not used.
    values : dict
        The value by the code of its signal, or as in `BEYOND` where it has a comparator; empty where it is not used,
        or is cancelled.
    """
    analyte = BY_LOINC.get(event.loinc)
    if analyte is None:
        return "unknown_analyte", {}
    use = "scored" if analyte.code in SCORED else "kept"
    if event.status == "cancelled":
        return use, {}
    if event.value is None:
        return "no_number", {}
    value = convert(analyte, event.value, event.unit)
    if value is None:
        return "unknown_unit", {}
    bound = LAB_BOUNDS[analyte.loinc]
    if not bound.low <= value <= bound.high:  # decoding has looked at values in the canonical unit only
        return "impossible", {}
    if event.comparator is not None:
        return "beyond_range", {f"{event.comparator}{analyte.code}": value}
    return use, {analyte.code: value}


def measurements(event: Lab, values: dict[str, Value]) -> MeasurementSet:
    """The result as a measurement set; without values it cancels what it revises."""
    return MeasurementSet(event.observed_at.timestamp(), event.received_at.timestamp(), event.event_id, False, values)
