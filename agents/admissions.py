"""admissions.v1: admit, transfer, discharge, update, their cancellations, merge → stay, occupancy, scores, alerts.

The stay's events are kept in a row of their own and folded anew with each (see `models.stay`). A merge begins a
hand-over between lanes as well (see `agents.handovers`).
"""

from __future__ import annotations

from wardstream.agents import alert_value, handovers, occupancy
from wardstream.agents import metrics as m
from wardstream.agents.alerting import Judged
from wardstream.agents.patients import PatientBatch, Rules
from wardstream.agents.scoring import rescore
from wardstream.agents.streams.batch import Handler
from wardstream.schemas.admissions import Admission


def handler(rules: Rules) -> Handler:
    """The handler of admissions.v1."""

    async def on_admissions(batch: PatientBatch) -> None:
        """Fold the event into the patient's stay."""
        async for received in batch:
            event: Admission = received.event
            if event.kind == "merge" and not handovers.merge(batch, received):
                continue
            key = event.patient_id
            log = occupancy.log_of(batch, key)
            if log.too_late(event):
                batch.count(m.LATE_ADMISSIONS, (event.kind,))
            stay = log.add(event)
            patient = batch.state[key]
            before = patient.observations({}), patient.stay.phase
            patient.stay = stay
            patient.hear(event.observed_at, event.received_at)
            occupancy.tell(batch, key, patient, log, received)
            alert_value.expect_death(batch, key, patient, rules)
            if patient.alerts:
                at = max(patient.heard, patient.scored)
                Judged(batch, key, patient, received, at, rules).move()
            # Age, sex and pregnancy decide whether NEWS2 applies; leaving ends alerts. A change of bed does neither.
            if (patient.signals or patient.alerts) and (patient.observations({}), stay.phase) != before:
                rescore(batch, key, patient, received, rules)

    return on_admissions
