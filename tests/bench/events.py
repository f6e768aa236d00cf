"""The events of the bench: the same for every contestant, made from their number alone."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count, islice
from uuid import UUID

from wardstream.schemas.decode import encode
from wardstream.schemas.vitals import Vitals

RELAY_BYTES = 244
START = datetime(2026, 11, 1, tzinfo=UTC)
_EVERY = timedelta(seconds=60)  # a monitor's set a minute from each patient


def relay_event(number: int, patients: int) -> tuple[str, bytes]:
    """Key and value of an event of the relay job: 244 bytes, flat JSON."""
    patient, round_ = f"p{number % patients}", number // patients
    time = START + _EVERY * round_ + timedelta(microseconds=number % patients)
    text = (
        f'{{"event_id":"{UUID(int=number)}","patient_id":"{patient}","received_at":"{time.isoformat()}",'
        f'"heart_rate_bpm":{60 + number % 61}.5,"spo2_percent":{90 + number % 10}.0,"source":""}}'
    )
    return patient, (text[:-2] + "m" * (RELAY_BYTES - len(text)) + text[-2:]).encode()


def vitals_event(number: int, patients: int, every: timedelta = _EVERY) -> tuple[str, bytes]:
    """Key and value of an event of the real job: a full set for NEWS2, from each patient one a minute, or so `every`.

    Values move with the patient's number and the hour, so that bands and alerts of all kinds come up.
    """
    index, round_ = number % patients, number // patients
    time = START + every * round_ + timedelta(microseconds=index)
    ill = (index * 7 + round_ // 30) % 10 / 10  # 0 well … 0.9 very ill; changes every half an hour
    event = Vitals(
        event_id=UUID(int=1 << 64 | number),
        source="monitor",
        patient_id=f"p{index}",
        observed_at=time,
        received_at=time,
        provenance="device",
        heart_rate_bpm=70.0 + 60 * ill + number % 5,
        respiratory_rate_per_min=14.0 + 12 * ill + number % 2,
        spo2_percent=98.0 - 8 * ill,
        systolic_mmhg=125.0 - 40 * ill + number % 4,
        diastolic_mmhg=70.0,
        mean_pressure_mmhg=85.0,
        temperature_celsius=37.0 + 2 * ill,
        consciousness="A" if ill < 0.9 else "V",
        supplemental_oxygen=ill > 0.6,
    )
    return event.patient_id, encode(event)


def events(job: str, number: int, patients: int, first: int = 0) -> Iterator[tuple[str, bytes]]:
    """The events `first` … `first + number - 1` of a job ("relay" or "vitals")."""
    make = relay_event if job == "relay" else vitals_event
    return (make(i, patients) for i in islice(count(first), number))


def rounds(number: int, patients: int, every: timedelta, first: int = 0) -> Iterator[tuple[str, bytes]]:
    """Events of the real job as `events` gives them, but so far apart."""
    return (vitals_event(i, patients, every) for i in islice(count(first), number))
