"""admissions.v1: admit, transfer, discharge, update and their cancellations → the patient's stay, scores, alerts.

The stay's events are kept in a row of their own and folded anew with each (see `models.stay`). A merge joins what is
known of the surviving identity only; what had come under the other stays with it, and is forgotten when it falls
silent.
"""

from __future__ import annotations

import msgspec

from wardstream.agents.scoring import PatientBatch, Rules, rescore
from wardstream.agents.streams.batch import Handler
from wardstream.models.stay import StayLog
from wardstream.schemas.admissions import Admission

_ROW = "stay"
_decoder = msgspec.json.Decoder(StayLog)


def handler(rules: Rules) -> Handler:
    """The handler of admissions.v1."""

    async def on_admissions(batch: PatientBatch) -> None:
        """Fold the event into the patient's stay."""
        for received in batch:
            event: Admission = received.event
            key = event.patient_id
            row = batch.state.child(key, _ROW)
            log = StayLog() if row is None else _decoder.decode(row)
            stay = log.add(event)
            batch.state.put_child(key, _ROW, msgspec.json.encode(log))
            patient = batch.state[key]
            before = patient.observations({}), patient.stay.phase
            patient.stay = stay
            patient.hear(event.observed_at, event.received_at)
            # Age, sex and pregnancy decide whether NEWS2 applies; leaving ends alerts. A change of bed does neither.
            if (patient.signals or patient.alerts) and (patient.observations({}), stay.phase) != before:
                rescore(batch, key, patient, received, rules)

    return on_admissions
