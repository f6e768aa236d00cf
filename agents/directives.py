"""directives.v1: a clinician's orders about one patient's alerts → comfort care, thresholds of the patient's own.

Comfort care closes the patient's alerts and raises none until it ends; what holds still then is raised. Other
thresholds judge the patient anew at once, when they end, and when they are taken back.
"""

from __future__ import annotations

from wardstream.agents.alerting import Judged
from wardstream.agents.patients import PatientBatch, Rules
from wardstream.agents.scoring import rescore
from wardstream.agents.streams.batch import Handler
from wardstream.models.patient import Order
from wardstream.schemas.directives import Directive


def handler(rules: Rules) -> Handler:
    """The handler of directives.v1."""

    async def on_directives(batch: PatientBatch) -> None:
        """Take orders in."""
        async for received in batch:
            event: Directive = received.event
            key, patient = event.patient_id, batch.state[event.patient_id]
            patient.hear(event.observed_at, event.received_at)
            at = max(patient.heard, patient.scored)
            order = Order(
                event.event_id,
                event.supersedes,
                event.received_at.timestamp(),
                None if event.status == "cancelled" else event.kind,
                event.expires_at.timestamp(),
                event.condition,
                event.thresholds,
            )
            patient.order(order, at)
            Judged(batch, key, patient, received, at, rules).orders()
            if patient.signals:
                rescore(batch, key, patient, received, rules)

    return on_directives
