"""What becomes of a message: the contract between the mappings and the gateways."""

from collections.abc import Mapping
from datetime import date
from typing import Final, Literal, NamedTuple

from msgspec import Struct

from wardstream.schemas.admissions import Sex
from wardstream.schemas.envelope import Event

ERRORS: Final[Mapping[str, str]] = {
    "100": "Segment sequence error",
    "101": "Required field missing",
    "102": "Data type error",
    "103": "Table value not found",
    "200": "Unsupported message type",
    "207": "Application internal error",
}
"""The codes of HL7 table 0357 that are used here."""


class Header(NamedTuple):
    """The message header, MSH. Texts are as they were sent, in the message's own delimiters.

    Attributes
    ----------
    sending_application, sending_facility, receiving_application, receiving_facility : str
        MSH-3 to MSH-6.
    control_id : str
        MSH-10; not unique: senders use one twice.
    type : str
        MSH-9 as `ADT^A01`, whatever the message's delimiters; empty where there is none.
    version, processing_id, accept_ack, application_ack : str
        MSH-12.1, MSH-11.1, MSH-15, MSH-16.
    charset : str
        MSH-18, its first repetition.
    profiles : tuple of str
        MSH-21, an entity identifier each, with `^` between its components.
    sent_at : str
        MSH-7.
    delimiters : str
        The field separator and MSH-2.
    encoding : str
        The Python codec by which the message was read.
    """

    sending_application: str = ""
    sending_facility: str = ""
    control_id: str = ""
    type: str = ""
    version: str = ""
    processing_id: str = ""
    accept_ack: str = ""
    application_ack: str = ""
    charset: str = ""
    profiles: tuple[str, ...] = ()
    receiving_application: str = ""
    receiving_facility: str = ""
    sent_at: str = ""
    delimiters: str = "|^~\\&"
    encoding: str = "utf-8"


PARTS: Final = ("family", "given", "birth_date", "sex")
"""Of who somebody is, beside the number: what a message may say or leave out."""


class Person(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who a pseudonym stands for, as one message says it. In memory only: whoever keeps it, encrypts it.

    A part that is None was not said: what was known of it before stays. `removed` are the parts that the message
    deletes, by HL7's null (`""`; chapter 2, section 2.5.3).
    """

    patient_id: str
    authority: str
    number: str
    family: str | None = None
    given: str | None = None
    birth_date: date | None = None
    sex: Sex | None = None
    removed: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Person(patient_id={self.patient_id!r})"  # for whoever prints it

    @property
    def said(self) -> tuple[str, ...]:
        """The parts that the message says or deletes."""
        return tuple(part for part in PARTS if part in self.removed or getattr(self, part) is not None)


class Reject(NamedTuple):
    """One part of a sound message that could not be mapped.

    Attributes
    ----------
    topic : str
        Whose dead letters it belongs to.
    reason : str
        One of `bad_event.REASONS`.
    fields : tuple of str
        Where, as in `OBX[3]-6`: the third OBX of the message; never values.
    raw : bytes
        A small sound message: MSH, PID, PV1, OBR and the bad segment, to be mapped again once the feed is mended.
    """

    topic: str
    reason: str
    fields: tuple[str, ...]
    raw: bytes


class Mapped(NamedTuple):
    """What a message has become.

    `ignored` are kind and what: (`type`, `SIU^S12`), (`code`, `X12^^L`), (`status`, `O`), and others that `types` and
    `observations` name.
    """

    header: Header
    events: tuple[Event, ...] = ()
    persons: tuple[Person, ...] = ()
    rejects: tuple[Reject, ...] = ()
    ignored: tuple[tuple[str, str], ...] = ()


class Malformed(ValueError):
    """A message that is refused as a whole.

    Attributes
    ----------
    ack : {"AE", "AR"}
        How it is answered: AE: mend and send again; AR: not a message for us, in its type or its size.
    error : str
        Code of HL7 table 0357, one of `ERRORS`.
    location : str
        Where, as in `MSH-9`.
    text : str
        What is wrong; never a value.
    header : Header or None
        What could be read of it; None: not even that.
    """

    def __init__(
        self, ack: Literal["AE", "AR"], error: str, location: str, text: str, header: Header | None = None
    ) -> None:
        super().__init__(f"{location}: {text}")
        self.ack = ack
        self.error = error
        self.location = location
        self.text = text
        self.header = header

    def __reduce__(self) -> tuple[type["Malformed"], tuple[object, ...]]:
        return type(self), (self.ack, self.error, self.location, self.text, self.header)
