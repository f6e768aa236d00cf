"""The envelope that every event about a patient has, and the types that several events share.

Why each topic's `check` is a method beside its fields: adding an event must touch its own file, not a table elsewhere.
Patterns end in `$(?!\\n)` because `$` alone lets a line feed pass in Python.
"""

import re
from datetime import datetime, timedelta
from typing import Annotated, Final, Literal
from uuid import UUID

from msgspec import Meta, Struct

from wardstream.schemas.bad_event import BadEvent

FUTURE_TOLERANCE: Final = timedelta(minutes=5)
"""How far `observed_at` may lie after `received_at`: bedside devices' clocks drift by minutes."""
FIRST_YEAR: Final = 1970
LAST_YEAR: Final = 2299
"""Times outside of these are errors (and would overflow in arithmetic); MIMIC-IV is shifted into 2100–2212."""

_PATIENT_ID: Final = r"^[A-Za-z0-9][A-Za-z0-9._:@-]*$(?!\n)"
_LABEL: Final = r"^[^\x00-\x1f\x7f-\x9f]+$(?!\n)"

PatientId = Annotated[str, Meta(min_length=1, max_length=128, pattern=_PATIENT_ID)]
"""A pseudonym, never a record number. No spaces or control characters: its UTF-8 is the Kafka key."""
Label = Annotated[str, Meta(min_length=1, max_length=128, pattern=_LABEL)]
"""A short name without control characters."""
Phrase = Annotated[str, Meta(min_length=1, max_length=1000)]
"""A line or two as a person wrote them."""
Moment = Annotated[datetime, Meta(tz=True)]
"""A time with its offset; `decode` turns it into UTC."""

# The same two for the envelope, whose `check` enforces the pattern: that costs 0.1 µs a field, msgspec's own 0.5 µs,
# and three fields of it doubled the time to decode vitals.
_PatientId = Annotated[str, Meta(min_length=1, max_length=128, extra_json_schema={"pattern": _PATIENT_ID})]
_Label = Annotated[str, Meta(min_length=1, max_length=128, extra_json_schema={"pattern": _LABEL})]

_is_patient_id: Final = re.compile(_PATIENT_ID).match
_is_label: Final = re.compile(_LABEL).match

Status = Literal["preliminary", "final", "corrected", "cancelled"]
Provenance = Literal["device", "charted", "derived"]


def check_year(field: str, at: datetime) -> None:
    """Check that a time lies in a year that is sensible.

    Raises
    ------
    BadEvent
        With reason `out_of_bounds`.
    """
    if not FIRST_YEAR <= at.year <= LAST_YEAR:
        raise BadEvent("out_of_bounds", field)


class Event(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What every event about a patient carries. Where null is allowed, absent means the same: not known."""

    event_id: Annotated[UUID, Meta(description="Identity of the event; a resend has the same. UUIDv5 for outputs.")]
    source: Annotated[_Label, Meta(description="The system that produced it.", examples=["monitor-gateway"])]
    facility: Annotated[_Label | None, Meta(description="Hospital or site; null: there is only one.")] = None
    patient_id: Annotated[_PatientId, Meta(description="Pseudonym of the patient; the Kafka key.")]
    encounter_id: Annotated[
        _Label | None, Meta(description="Pseudonym of the stay; null: not stated by the source.")
    ] = None
    observed_at: Annotated[Moment, Meta(description="When it was true (for a result: when the specimen was taken).")]
    available_at: Annotated[
        Moment | None, Meta(description="When the hospital's systems had it; null: not known, take received_at.")
    ] = None
    received_at: Annotated[
        Moment, Meta(description="When wardstream had it: the stream's clock, set by the publisher.")
    ]
    status: Annotated[Status, Meta(description="corrected and cancelled revise the event named in supersedes.")] = (
        "final"
    )
    supersedes: Annotated[
        UUID | None,
        Meta(description="event_id that this one revises, or that all versions of a result name; null: none."),
    ] = None
    provenance: Annotated[Provenance, Meta(description="Measured by a device, charted by a person, or computed.")] = (
        "charted"
    )
    trace: Annotated[
        Annotated[str, Meta(max_length=128)] | None, Meta(description="W3C traceparent; null: not traced.")
    ] = None

    def check(self) -> None:
        """Check what types cannot say. Topics extend it.

        Raises
        ------
        BadEvent
            With reason `bad_format`, `future`, `missing_field`, `inconsistent` or `out_of_bounds`.
        """
        if _is_patient_id(self.patient_id) is None:
            raise BadEvent("bad_format", "patient_id")
        source, encounter_id, facility = self.source, self.encounter_id, self.facility
        if not source.isprintable() and _is_label(source) is None:
            raise BadEvent("bad_format", "source")
        if encounter_id is not None and not encounter_id.isprintable() and _is_label(encounter_id) is None:
            raise BadEvent("bad_format", "encounter_id")
        if facility is not None and not facility.isprintable() and _is_label(facility) is None:
            raise BadEvent("bad_format", "facility")
        observed_at, received_at = self.observed_at, self.received_at
        if observed_at > received_at and observed_at - received_at > FUTURE_TOLERANCE:
            raise BadEvent("future", "observed_at")
        if observed_at.year < FIRST_YEAR:
            raise BadEvent("out_of_bounds", "observed_at")
        if received_at.year > LAST_YEAR:
            raise BadEvent("out_of_bounds", "received_at")
        if self.supersedes is None:
            if self.status == "corrected" or self.status == "cancelled":
                raise BadEvent("missing_field", "supersedes")
        elif self.supersedes == self.event_id:
            raise BadEvent("inconsistent", "supersedes", "event_id")
