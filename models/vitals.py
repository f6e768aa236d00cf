"""What an event of vitals.v1 measured, by the codes of the state."""

from operator import attrgetter

from wardstream.models.bins import MeasurementSet, Value
from wardstream.models.signals import SIGNALS
from wardstream.schemas.vitals import Vitals

_MEASURED = tuple(signal for signal in SIGNALS if signal.field in Vitals.__struct_fields__)
_CODES = tuple(signal.code for signal in _MEASURED)
_values = attrgetter(*(signal.field for signal in _MEASURED))
_COUNTS = [code for code in _CODES if code.startswith("gcs")]  # whole numbers in the event


_BY_FIELD = {signal.field: signal.code for signal in _MEASURED}


def retracted(event: Vitals) -> tuple[str, ...]:
    """What a revision corrects or cancels, by the codes of the state."""
    if event.status not in ("corrected", "cancelled"):
        return ()
    return tuple(_BY_FIELD[field] for field in event.retracted if field in _BY_FIELD)


def measurements(event: Vitals) -> MeasurementSet:
    """The event as a measurement set; without values if it cancels."""
    values: dict[str, Value] = {}
    if event.status != "cancelled":
        values = {code: value for code, value in zip(_CODES, _values(event), strict=True) if value is not None}
        for code in _COUNTS:
            if code in values:
                values[code] = float(values[code])
    return MeasurementSet(
        event.observed_at.timestamp(),
        event.received_at.timestamp(),
        event.event_id,
        event.provenance == "device",
        values,
    )
