"""vitals.v1: a set of bedside measurements → the patient's signals and hourly bins, scores, alerts."""

from __future__ import annotations

from wardstream.agents import metrics as m
from wardstream.agents.patients import PatientBatch, Rules
from wardstream.agents.scoring import take_in
from wardstream.agents.streams.batch import Handler
from wardstream.models.vitals import measurements, retracted
from wardstream.schemas.bounds import extremes
from wardstream.schemas.vitals import Vitals


def handler(rules: Rules) -> Handler:
    """The handler of vitals.v1."""

    async def on_vitals(batch: PatientBatch) -> None:
        """Take measurements in: signals, bins, scores, alerts."""
        async for received in batch:
            event: Vitals = received.event
            for field in extremes(event):
                batch.count(m.EXTREMES, (field,))
            take_in(batch, received, measurements(event), rules, retracted(event))

    return on_vitals
