"""outcomes.v1: what really happened. A death ends the patient's alerts; learners read the topic itself."""

from __future__ import annotations

from wardstream.agents.scoring import PatientBatch, Rules, rescore
from wardstream.agents.streams.batch import Handler
from wardstream.schemas.outcomes import Outcome


def handler(rules: Rules) -> Handler:
    """The handler of outcomes.v1."""

    async def on_outcomes(batch: PatientBatch) -> None:
        """A death ends the patient's alerts."""
        for received in batch:
            event: Outcome = received.event
            if event.kind != "death":
                continue
            patient = batch.state[event.patient_id]
            patient.clock = max(patient.clock, event.observed_at.timestamp())
            dead = event.occurred and event.status != "cancelled"
            patient.died_at = event.observed_at.timestamp() if dead else None
            if patient.signals:
                rescore(batch, event.patient_id, patient, received, rules, event.supersedes)

    return on_outcomes
