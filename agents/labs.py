"""labs.v1: one result → the signals and hourly bins that rule scores look at, scores, alerts.

Rule scores use three results: white cells, bands and the arterial pCO2. Others are accepted and counted as without a
use here. A result with a comparator (`<0.1`) is no number to score with; a unit other than those below is never guessed
at: it is counted, and the result not used.
"""

from __future__ import annotations

from typing import Final

from wardstream.agents import metrics as m
from wardstream.agents.scoring import PatientBatch, Rules, take_in
from wardstream.agents.streams.batch import Handler
from wardstream.models.bins import MeasurementSet, Value
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
            use, values = usable(event)
            batch.count(m.LABS, (use,))
            # A correction that is no use here may still take away a number that was: of an arterial specimen that was
            # a venous one, of a count that was a clot.
            if values or (event.supersedes is not None and (event.loinc in SCORED or event.patient_id in batch.state)):
                take_in(batch, received, measurements(event, values), rules)

    return on_labs


def usable(event: Lab) -> tuple[str, dict[str, Value]]:
    """How the result is used (`scored`, `unscored`, `no_number`, `unknown_unit`), and what it measured."""
    known = SCORED.get(event.loinc)
    if known is None:
        return "unscored", {}
    code, units = known
    if event.status == "cancelled":
        return "scored", {}
    if event.value is None or event.comparator is not None:
        return "no_number", {}
    return ("scored", {code: event.value}) if event.unit in units else ("unknown_unit", {})


def measurements(event: Lab, values: dict[str, Value]) -> MeasurementSet:
    """The result as a measurement set; without values it cancels what it revises."""
    return MeasurementSet(event.observed_at.timestamp(), event.received_at.timestamp(), event.event_id, False, values)
