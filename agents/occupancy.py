"""occupancy.v1: the rows of a stay, told as they change: by admission events, merges, and when a patient is forgotten.

The stay's log is a row of the patient's own; this is where it is read and written.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from wardstream.agents.patients import PatientBatch, envelope
from wardstream.agents.streams.batch import Received
from wardstream.models.occupancy import revise, rows
from wardstream.models.patient import Patient
from wardstream.models.stay import StayLog, Visit
from wardstream.schemas.occupancy import MAX_EARLIER, RECEIVED_AT, Before, Occupancy
from wardstream.schemas.output_id import output_id

TOPIC = "occupancy.v1"
STAY_ROW = "stay"

decode_log = msgspec.json.Decoder(StayLog).decode


def log_of(batch: PatientBatch, key: str) -> StayLog:
    """The patient's stay log."""
    row = batch.state.child(key, STAY_ROW)
    return StayLog() if row is None else decode_log(row)


def tell(batch: PatientBatch, key: str, patient: Patient, log: StayLog, cause: Received[Any]) -> None:
    """Write the rows that have changed, and keep the log."""
    for row, visits in revise(key, log).items():
        if visits:
            _write(batch, key, patient, row, visits, cause)
        else:
            at = max(patient.heard, patient.scored, cause.event.received_at.timestamp())
            batch.withdraw(TOPIC, row, cause, ((RECEIVED_AT, repr(at).encode()),))
    batch.state.put_child(key, STAY_ROW, msgspec.json.encode(log))


def lose_sight(batch: PatientBatch, key: str, patient: Patient, cause: Received[Any]) -> None:
    """Say of a patient who is to be forgotten that nobody knows whether the bed is still taken."""
    log = log_of(batch, key)
    for row, visits in rows(key, log).items():
        if visits[-1].until is None:
            _write(batch, key, patient, row, visits, cause, lost=True)


def _write(
    batch: PatientBatch,
    key: str,
    patient: Patient,
    row: str,
    visits: Sequence[Visit],
    cause: Received[Any],
    lost: bool = False,
) -> None:
    visit = visits[-1]
    stay, event = visit.stay, cause.event
    at = max(patient.heard, patient.scored, event.received_at.timestamp())
    about = envelope(key, patient, event, at) | {
        "event_id": output_id(event.event_id, f"occupancy/{row}"),
        "facility": stay.facility or patient.facility,
        "encounter_id": stay.encounter_id,
    }
    left = visit.until is not None
    message = Occupancy(
        state="left" if left else "lost" if lost else "present",
        unit=visit.unit,
        room=stay.room,
        bed=stay.bed,
        patient_class=stay.patient_class,  # type: ignore[arg-type]  # as it was decoded
        since=_moment(visit.since),
        came_from=stay.came_from,
        admitted_at=None if stay.admitted_at is None else _moment(stay.admitted_at),
        left_at=None if visit.until is None else _moment(visit.until),
        left_to=visit.left_to,
        disposition=stay.disposition if left and visit.left_to is None else None,  # type: ignore[arg-type]
        age_years=stay.age_years,
        sex=stay.sex,  # type: ignore[arg-type]
        acuity=stay.acuity,
        planned=stay.planned,
        earlier=tuple(
            Before(
                since=_moment(one.since),
                left_at=_moment(one.until),
                came_from=one.stay.came_from,
                left_to=one.left_to,
            )
            for one in visits[-1 - MAX_EARLIER : -1]
            if one.until is not None
        ),
        **about,
    )
    batch.emit(TOPIC, row, message, cause)


def _moment(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)
