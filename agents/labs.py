"""labs.v1: one result → the signals and hourly bins that rule scores look at, scores, alerts.

Rule scores use three results: white cells, bands and the arterial pCO2. Others are accepted and counted as without a
use here. A result with a comparator (`<0.1`) is no number to score with; a unit other than those below is never guessed
at: it is counted, and the result not used.
"""

from __future__ import annotations

from typing import Final

from wardstream.agents import metrics as m
from wardstream.agents.scoring import PatientBatch, Rules, bins_of, rescore
from wardstream.agents.streams.batch import Handler
from wardstream.models.bins import MeasurementSet
from wardstream.schemas.labs import Lab

# LOINC → code of the signal, and the UCUM units that mean the canonical one.
SCORED: Final[dict[str, tuple[str, frozenset[str]]]] = {
    "6690-2": ("wbc", frozenset({"10*3/uL", "10*9/L", "10*3/mm3", "K/uL"})),
    "764-1": ("bands", frozenset({"%"})),
    "26508-2": ("bands", frozenset({"%"})),
    "2019-8": ("paco2", frozenset({"mm[Hg]"})),
}


def handler(rules: Rules) -> Handler:
    """The handler of labs.v1."""

    async def on_labs(batch: PatientBatch) -> None:
        """Take a result in: the signals that rule scores look at."""
        for received in batch:
            event: Lab = received.event
            use, measured = measurements(event)
            batch.count(m.LABS, (use,))
            if measured is None:
                continue
            patient = batch.state[event.patient_id]
            outcome = patient.measure(bins_of(batch, event.patient_id), measured, event.supersedes)
            if event.supersedes is not None or outcome == "already_revised":
                batch.count(m.REVISIONS, (outcome,))
            if outcome not in ("late", "already_revised"):
                rescore(batch, event.patient_id, patient, received, rules, event.supersedes)

    return on_labs


def measurements(event: Lab) -> tuple[str, MeasurementSet | None]:
    """How the result is used (`scored`, `unscored`, `no_number`, `unknown_unit`), and what it measured."""
    known = SCORED.get(event.loinc)
    if known is None:
        return "unscored", None
    code, units = known
    values: dict[str, float | bool | str] = {}
    if event.status != "cancelled":
        if event.value is None or event.comparator is not None:
            return "no_number", None
        if event.unit not in units:
            return "unknown_unit", None
        values[code] = event.value
    return "scored", MeasurementSet(
        event.observed_at.timestamp(), event.received_at.timestamp(), event.event_id, False, values
    )
