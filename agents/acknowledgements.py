"""acknowledgements.v1: what people say to alerts → the alert's next transition.

An answer that comes twice, or after the alert has gone on without it, changes nothing and is counted as what it is.
Who answered is on the transition, and so for 400 days on alerts.v1.
"""

from __future__ import annotations

from wardstream.agents import metrics as m
from wardstream.agents.alerting import Judged
from wardstream.agents.patients import PatientBatch, Rules
from wardstream.agents.streams.batch import Handler
from wardstream.schemas.acknowledgements import Acknowledgement


def handler(rules: Rules) -> Handler:
    """The handler of acknowledgements.v1."""

    async def on_acknowledgements(batch: PatientBatch) -> None:
        """Take answers in."""
        async for received in batch:
            event: Acknowledgement = received.event
            key = event.patient_id
            if event.status in ("preliminary", "cancelled") or key not in batch.state:
                batch.count(m.ANSWERS, (event.action, "unknown"))
                continue
            patient = batch.state[key]
            at = max(patient.heard, patient.scored, event.received_at.timestamp())
            outcome = Judged(batch, key, patient, received, at, rules).answer(event)
            batch.count(m.ANSWERS, (event.action, outcome))

    return on_acknowledgements
