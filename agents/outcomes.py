"""outcomes.v1: what really happened: labels and verdicts follow from it; a death ends the patient's alerts."""

from __future__ import annotations

from wardstream.agents import alert_value, risk
from wardstream.agents.patients import PatientBatch, Rules
from wardstream.agents.scoring import rescore
from wardstream.agents.streams.batch import Handler
from wardstream.models.patient import Death
from wardstream.schemas.outcomes import Outcome


def handler(rules: Rules) -> Handler:
    """The handler of outcomes.v1."""

    async def on_outcomes(batch: PatientBatch) -> None:
        """A death ends the patient's alerts; a correction of it brings the patient back."""
        async for received in batch:
            event: Outcome = received.event
            alert_value.report(batch, event, rules)
            if rules.risk is not None:
                risk.report(batch, event, rules.risk)
            if not _is_of_death(batch, event):
                continue
            patient = batch.state[event.patient_id]
            was_gone = patient.gone
            died = event.kind == "death" and event.occurred and event.status != "cancelled"
            at = event.observed_at.timestamp() if died else None
            patient.report_death(Death(event.event_id, event.supersedes, event.received_at.timestamp(), at))
            patient.hear(event.observed_at, event.received_at)
            if (patient.signals or patient.alerts) and patient.gone != was_gone:
                rescore(batch, event.patient_id, patient, received, rules)

    return on_outcomes


def _is_of_death(batch: PatientBatch, event: Outcome) -> bool:
    """Whether it says that the patient died, or revises that. "Not dead by then" is a label, and revises nothing."""
    if event.kind == "death":
        return event.occurred or event.supersedes is not None
    if event.supersedes is None or event.patient_id not in batch.state:
        return False
    return any(death.event_id == event.supersedes for death in batch.state[event.patient_id].deaths)
