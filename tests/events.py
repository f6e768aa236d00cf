"""Events for tests, made in a line each, and checked as they would be when they came."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID, uuid5

from wardstream.schemas.acknowledgements import Acknowledgement
from wardstream.schemas.admissions import Admission
from wardstream.schemas.decode import decoder, encode
from wardstream.schemas.directives import Directive
from wardstream.schemas.envelope import Event
from wardstream.schemas.findings import Finding
from wardstream.schemas.labs import Lab
from wardstream.schemas.notes import Note
from wardstream.schemas.outcomes import Outcome
from wardstream.schemas.ticks import Tick
from wardstream.schemas.topics import TOPICS
from wardstream.schemas.vitals import Vitals

START = datetime(2026, 3, 1, 8, tzinfo=UTC)
EventT = TypeVar("EventT", bound=Event)
WELL: dict[str, Any] = {  # NEWS2 0, every part known
    "heart_rate_bpm": 72.0,
    "respiratory_rate_per_min": 14.0,
    "spo2_percent": 97.0,
    "supplemental_oxygen": False,
    "systolic_mmhg": 124.0,
    "temperature_celsius": 36.8,
    "consciousness": "A",
}


def at(minutes: float) -> datetime:
    """So many minutes after the tests' beginning."""
    return START + timedelta(minutes=minutes)


def event_id(name: str) -> UUID:
    """The id that an event of this name has."""
    return uuid5(UUID(int=1), name)


def _made(kind: type[EventT], name: str, minutes: float, received: float | None, fields: dict[str, Any]) -> EventT:
    supersedes = fields.pop("supersedes", None)
    envelope: dict[str, Any] = {
        "event_id": event_id(name),
        "source": "test",
        "patient_id": "P1",
        "observed_at": at(minutes),
        "received_at": at(minutes if received is None else received),
        "supersedes": None if supersedes is None else event_id(supersedes),
    }
    event = kind(**(envelope | fields))
    topic = next(topic.name for topic in TOPICS.values() if topic.type is kind)
    decoded = decoder(topic)(encode(event))  # as it would come: bounds and meaning are checked
    assert isinstance(decoded, kind)
    return decoded


def vitals(name: str, minutes: float, received: float | None = None, **fields: Any) -> Vitals:
    return _made(Vitals, name, minutes, received, fields)


def lab(name: str, minutes: float, received: float | None = None, **fields: Any) -> Lab:
    return _made(Lab, name, minutes, received, {"loinc": "6690-2", "unit": "10*3/uL"} | fields)


def admission(name: str, minutes: float, kind: str, received: float | None = None, **fields: Any) -> Admission:
    return _made(Admission, name, minutes, received, {"kind": kind} | fields)


def finding(name: str, minutes: float, received: float | None = None, **fields: Any) -> Finding:
    """Of pneumonia, with odds of four."""
    quality = fields.get("quality", "ok")
    about: dict[str, Any] = {"caused_by": event_id("film"), "model": "chest_xray", "finding": "pneumonia"}
    about |= {"caveat": "a test", "version": "1"}
    if quality != "abstained":
        about |= {"probability": 0.7, "calibrated_probability": 0.8}
    return _made(Finding, name, minutes, received, about | fields)


def note(name: str, minutes: float, received: float | None = None, **fields: Any) -> Note:
    return _made(Note, name, minutes, received, {"kind": "progress", "text": "As before."} | fields)


def outcome(name: str, minutes: float, kind: str, received: float | None = None, **fields: Any) -> Outcome:
    return _made(Outcome, name, minutes, received, {"kind": kind} | fields)


def answer(name: str, minutes: float, alert_id: UUID, action: str, **fields: Any) -> Acknowledgement:
    about = {"alert_id": alert_id, "action": action, "actor": "s-1", "role": "nurse"}
    return _made(Acknowledgement, name, minutes, None, about | fields)


def directive(name: str, minutes: float, kind: str, until: float, **fields: Any) -> Directive:
    """An order that ends so many minutes after the beginning."""
    return _made(Directive, name, minutes, None, {"kind": kind, "expires_at": at(until), "ordered_by": "s-2"} | fields)


def tick(minutes: float) -> Tick:
    return Tick(
        event_id=event_id(f"tick {minutes}"), source="simulator", observed_at=at(minutes), received_at=at(minutes)
    )


def topic_of(event: Any) -> str:
    return next(topic.name for topic in TOPICS.values() if topic.type is type(event))
