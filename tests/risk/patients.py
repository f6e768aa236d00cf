"""A recorded stay as the lanes would see it: an hour at a time, what was known, and its label when that was told.

The same functions as in the stream: the patient's state, `features.gather`, `WaitingHours` and `labels.label`. Only the
order is another: stays are gone through one by one, and `in_order` puts their hours into the order of the stream.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import msgspec

from tests.models.measuring import MemoryRows
from wardstream.models.labs.history import LabBins
from wardstream.models.patient import Patient
from wardstream.models.risk.features import VERSION, gather
from wardstream.models.risk.labels import Label, Report, report_of, together
from wardstream.models.risk.target import Target
from wardstream.models.risk.waiting import Waiting, WaitingHours
from wardstream.models.signals import HOUR
from wardstream.models.stay import StayLog
from wardstream.models.training.stays import result
from wardstream.models.vitals import measurements
from wardstream.schemas.admissions import Admission
from wardstream.schemas.envelope import Event
from wardstream.schemas.labs import Lab
from wardstream.schemas.outcomes import Outcome
from wardstream.schemas.output_id import output_id
from wardstream.schemas.vitals import Vitals

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Waiting).decode


class Hour(NamedTuple):
    """One hour of one patient: when it was predicted from and when told (s since 1970), what waited, its label."""

    at: float
    told_at: float
    patient_id: str
    row: bytes
    label: Label

    def waiting(self) -> Waiting:
        """What waited, decoded."""
        return _decode(self.row)


def hours(events: Iterable[Event], target: Target, at_most: int) -> list[Hour]:
    """The first `at_most` hours of a stay in which the patient was there, each with its label."""
    patient, bins, log = Patient(), LabBins(MemoryRows(), MemoryRows()), StayLog()
    waiting, reports, first = WaitingHours(MemoryRows()), tuple[Report, ...](), None
    for event in sorted(events, key=lambda event: event.received_at):
        now = event.received_at.timestamp()
        first = first or event
        _predict(patient, bins, waiting, first, now, at_most)
        patient.hear(event.observed_at, event.received_at)
        if isinstance(event, Admission):
            patient.stay = log.add(event)
        elif isinstance(event, Outcome):
            reports = together((*reports, report_of(event)))
        elif isinstance(event, Vitals):
            patient.measure(bins, measurements(event), event.supersedes)
        elif isinstance(event, Lab) and (measured := result(event)).values:
            patient.measure(bins, measured, event.supersedes)
    ends = waiting.ends()
    if first is None or ends is None:
        return []
    told = waiting.tell(target.told_at(ends[1]), reports, log, target)
    key = first.patient_id
    return [Hour(w.at, target.told_at(w.at), key, _encode(w), verdict.label) for w, verdict in told]


def _predict(patient: Patient, bins: LabBins, waiting: WaitingHours, first: Event, now: float, at_most: int) -> None:
    """Have every hour wait that is over; of several at once the first one first."""
    stay = patient.stay
    if stay.admitted_at is None:
        return
    last = min(patient.hour_ended(now), stay.admitted_at + at_most * HOUR)
    while (at := max(patient.predicted, stay.admitted_at) + HOUR) <= last:
        patient.predicted = at
        waiting.add(
            Waiting(
                prediction=output_id(first.event_id, str(at)),
                at=at,
                features=VERSION,
                inputs=gather(patient, bins, at),
                hour=round((at - stay.admitted_at) / HOUR),
                version="0",
                said={},
                unit=stay.unit,
            )
        )


class Moment(NamedTuple):
    """Something that happens in the stream: an hour is predicted from, or told."""

    at: float
    is_told: bool
    hour: Hour


def in_order(known: Sequence[Hour]) -> Iterator[Moment]:
    """What happens to all of them in the order of time; what is told at a moment is learned before it is predicted."""
    predicted = (Moment(hour.at, False, hour) for hour in sorted(known, key=lambda hour: hour[:3]))
    told = (Moment(hour.told_at, True, hour) for hour in sorted(known, key=lambda hour: (hour.told_at, *hour[:3])))
    return heapq.merge(predicted, told, key=lambda moment: (moment.at, not moment.is_told))
