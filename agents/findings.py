"""findings.v1: what a model saw in a chest film joins what the risk model knows of the patient.

Films are judged in a group of their own (`imaging`), and its findings come here as events, so that nothing of the
bedside ever waits for one. They carry the stream's time, that of the film or of the tick on which it was tried again:
the answer may have taken a while, but time does not jump, not even in a replay. One that comes after the end of an hour
is of use from the next hour on. A finding that is taken back counts no more; one that holds changes no score. The
policy says whether it raises an alert.
"""

from __future__ import annotations

from wardstream.agents.alerting import Judged
from wardstream.agents.patients import PatientBatch, Rules
from wardstream.agents.streams.batch import Handler
from wardstream.models import chest_xray
from wardstream.models.patient import Film
from wardstream.models.risk.platt import log_odds
from wardstream.schemas.findings import Finding


def handler(rules: Rules) -> Handler:
    """The handler of findings.v1."""

    async def on_findings(batch: PatientBatch) -> None:
        """Keep what was seen, and what was taken back, and judge the patient's alert."""
        async for received in batch:
            event: Finding = received.event
            seen = event.calibrated_probability if event.quality == "ok" and event.status != "cancelled" else None
            if seen is None and event.supersedes is None:  # an abstention says nothing
                continue
            patient = batch.state[event.patient_id]
            patient.hear(event.observed_at, event.received_at)
            if rules.risk is not None and (event.model, event.finding) == (chest_xray.NAME, chest_xray.FINDING):
                logit = None if seen is None else log_odds(seen)
                at, known = event.observed_at.timestamp(), event.received_at.timestamp()
                patient.report_film(Film(event.event_id, event.supersedes, known, at, logit))
            now = max(patient.heard, patient.scored)
            Judged(batch, event.patient_id, patient, received, now, rules).finding(event)

    return on_findings
