"""vitals.v1: a set of bedside measurements → the patient's signals and hourly bins, scores, alerts."""

from __future__ import annotations

from wardstream.agents import metrics as m
from wardstream.agents.scoring import PatientBatch, Rules, take_in
from wardstream.agents.streams.batch import Handler
from wardstream.models.bins import MeasurementSet, Value
from wardstream.models.signals import SIGNALS
from wardstream.schemas.bounds import extremes
from wardstream.schemas.vitals import Vitals

_MEASURED = tuple((signal.field, signal.code) for signal in SIGNALS if signal.field in Vitals.__struct_fields__)


def handler(rules: Rules) -> Handler:
    """The handler of vitals.v1."""

    async def on_vitals(batch: PatientBatch) -> None:
        """Take measurements in: signals, bins, scores, alerts."""
        for received in batch:
            event: Vitals = received.event
            for field in extremes(event):
                batch.count(m.EXTREMES, (field,))
            take_in(batch, received, measurements(event), rules)

    return on_vitals


def measurements(event: Vitals) -> MeasurementSet:
    """What the event says, by the codes of the state; nothing if it cancels."""
    values: dict[str, Value] = {}
    if event.status != "cancelled":
        for field, code in _MEASURED:
            value = getattr(event, field)
            if value is not None:
                values[code] = float(value) if type(value) is int else value
    return MeasurementSet(
        event.observed_at.timestamp(),
        event.received_at.timestamp(),
        event.event_id,
        event.provenance == "device",
        values,
    )
