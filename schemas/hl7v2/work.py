"""One message at work: what the mappings read it with, and where they put what they find."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, Final, TypeVar
from uuid import UUID

import msgspec

from wardstream.schemas.bad_event import BadEvent
from wardstream.schemas.decode import check
from wardstream.schemas.envelope import Event
from wardstream.schemas.hl7v2.feed import Feed
from wardstream.schemas.hl7v2.mapped import Mapped, Person, Reject
from wardstream.schemas.hl7v2.reading import Message, Segment
from wardstream.schemas.hl7v2.redaction import redactor
from wardstream.schemas.hl7v2.times import Moments
from wardstream.schemas.output_id import output_id
from wardstream.schemas.pseudonym import Pseudonyms

EventT = TypeVar("EventT", bound=Event)

_NAMESPACE: Final = UUID("7a0e7a53-2d5c-5a6f-9d0e-3f5c1f0c6b27")
"""Of the ids of events that come from HL7 v2. Never changed: a resend would count as new."""
_CODE_LENGTH: Final = 64
MAX_REJECTED_BYTES: Final = 4 * 1024 * 1024
"""Of all rejects of a message: each repeats its header and its patient, which may be long."""


class Work:
    """A message, the feed that it came by, and what has been made of it.

    Attributes
    ----------
    message, feed, pseudonyms, received_at
        As `map_message` was given them.
    moments : Moments
        Reads the message's times.
    """

    __slots__ = (
        "_events",
        "_ignored",
        "_persons",
        "_redact",
        "_rejected_bytes",
        "_rejects",
        "feed",
        "message",
        "moments",
        "pseudonyms",
        "received_at",
    )

    def __init__(self, message: Message, feed: Feed, pseudonyms: Pseudonyms, received_at: datetime) -> None:
        self.message = message
        self.feed = feed
        self.pseudonyms = pseudonyms
        self.received_at = received_at
        self.moments = Moments(feed.zone, feed.ambiguous, message.header.sent_at)
        self._events: dict[UUID, Event] = {}
        self._persons: dict[str, Person] = {}
        self._redact: Callable[[str], str] | None = None
        self._rejects: list[Reject] = []
        self._rejected_bytes = 0
        self._ignored: list[tuple[str, str]] = []

    def about(self, patient: Person, encounter_id: str | None) -> dict[str, Any]:
        """Return the fields of the envelope that are the same for every event of a patient in this message."""
        return {
            "source": self.feed.name,
            "facility": self.feed.facility,
            "patient_id": patient.patient_id,
            "encounter_id": encounter_id,
            "received_at": self.received_at,
        }

    def event_id(self, *parts: object) -> UUID:
        """Return the id of an event: of the feed and of what identifies the event to its sender."""
        name = "\x1f".join(["" if part is None else str(part) for part in (self.feed.name, *parts)])
        return output_id(_NAMESPACE, name)

    def without_identity(self, text: str) -> str:
        """Return a free text without what the message says of who the patient is."""
        if self._redact is None:
            self._redact = redactor(self.message)
        return self._redact(text)

    def keep(self, event: Event) -> None:
        """Take an event; one that a message says twice counts once."""
        self._events[event.event_id] = event

    def know(self, person: Person) -> None:
        """Take what the message says of who somebody is."""
        self._persons[person.patient_id] = person

    def ignore(self, kind: str, what: str) -> None:
        """Count something that nothing is kept of. `what` is a code, a type or a place, never a value."""
        self._ignored.append((kind, what[:_CODE_LENGTH]))

    def reject(self, topic: str, reason: str, fields: Iterable[str], *segments: Segment | None) -> None:
        """Give a part of the message up, with the segments that are needed to map it again.

        Where the parts grow too large, the whole message stands for those that are left.
        """
        if self._rejected_bytes > MAX_REJECTED_BYTES:
            return
        raw = self.message.part(*segments)
        self._rejected_bytes += len(raw)
        if self._rejected_bytes > MAX_REJECTED_BYTES:
            raw = self.message.raw
        self._rejects.append(Reject(topic, reason, tuple(fields), raw))

    def mapped(self) -> Mapped:
        """Return what has become of the message."""
        return Mapped(
            self.message.header,
            tuple(self._events.values()),
            tuple(self._persons.values()),
            tuple(self._rejects),
            tuple(self._ignored),
        )


def made(kind: type[EventT], fields: Mapping[str, Any]) -> EventT:
    """Return the event that the fields make, checked as a decoded one is.

    Raises
    ------
    BadEvent
        It would be refused by every worker.
    """
    try:
        event = msgspec.convert(fields, kind)
    except msgspec.ValidationError:
        pass
    else:
        event.check()
        return event
    check(kind(**fields))  # says which field, without its value
    raise BadEvent("wrong_type")
