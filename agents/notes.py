"""notes.v1: of clinical notes the risk model knows which class was written when; their text is not read.

A note's class is its type (`schemas/notes.py`), as its sender coded it. A corrected note stands for the one that it
corrects, a cancelled one counts no more. A note changes no score and raises no alert.
"""

from __future__ import annotations

from wardstream.agents.patients import PatientBatch, Rules
from wardstream.agents.streams.batch import Handler
from wardstream.models.patient import Written
from wardstream.schemas.notes import Note


def handler(rules: Rules) -> Handler:
    """The handler of notes.v1."""

    async def on_notes(batch: PatientBatch) -> None:
        """Keep what was written, and what was taken back, where a risk is learned."""
        if rules.risk is None:
            return
        for received in batch:
            event: Note = received.event
            kind = None if event.status == "cancelled" else event.kind
            patient = batch.state[event.patient_id]
            patient.hear(event.observed_at, event.received_at)
            at, known = event.observed_at.timestamp(), event.received_at.timestamp()
            patient.report_note(Written(event.event_id, event.supersedes, known, at, kind))

    return on_notes
