"""outcomes.v1: what really happened. A death ends the patient's alerts; learners read the topic itself."""

from __future__ import annotations

from wardstream.agents.scoring import PatientBatch, Rules, rescore
from wardstream.agents.streams.batch import Handler
from wardstream.models.patient import Death
from wardstream.schemas.outcomes import Outcome


def handler(rules: Rules) -> Handler:
    """The handler of outcomes.v1."""

    async def on_outcomes(batch: PatientBatch) -> None:
        """A death ends the patient's alerts; a correction of it brings the patient back."""
        for received in batch:
            event: Outcome = received.event
            key = event.patient_id
            died = event.kind == "death" and event.occurred and event.status != "cancelled"
            if not (died or event.supersedes is not None and (event.kind == "death" or key in batch.state)):
                continue
            patient = batch.state[key]
            if event.kind != "death" and not any(death.event_id == event.supersedes for death in patient.deaths):
                continue
            was_gone = patient.gone
            at = event.observed_at.timestamp() if died else None
            patient.report_death(Death(event.event_id, event.supersedes, event.received_at.timestamp(), at))
            patient.hear(event.observed_at, event.received_at)
            if (patient.signals or patient.alerts) and patient.gone != was_gone:
                rescore(batch, key, patient, received, rules)

    return on_outcomes
