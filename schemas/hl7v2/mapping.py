"""One message to what becomes of it."""

import re
from datetime import datetime
from typing import Final

from wardstream.schemas.hl7v2.feed import Feed
from wardstream.schemas.hl7v2.mapped import Mapped
from wardstream.schemas.hl7v2.reading import read
from wardstream.schemas.hl7v2.types import mapper_of
from wardstream.schemas.hl7v2.work import Work
from wardstream.schemas.pseudonym import Pseudonyms

_TYPE: Final = re.compile(r"[A-Z][A-Z0-9]{2}(?:\^[A-Z][A-Z0-9]{2})?")
_ALONE: Final = {"ORU": "ORU^R01", "ORM": "ORM^O01", "RDE": "RDE^O01"}
"""Types that version 2.1 gives without an event: there was one of each."""
_SYSTEMS: Final = frozenset("PTD")
OTHER: Final = "other"
"""For a type that is none: what is counted must not be whatever somebody sends."""


def map_message(raw: bytes, feed: Feed, pseudonyms: Pseudonyms, received_at: datetime) -> Mapped:
    """Return what a message becomes. Pure: the same arguments give the same events, with the same ids.

    Parameters
    ----------
    raw : bytes
        One message, without MLLP's frame.
    feed : Feed
        Whom it came from.
    pseudonyms : Pseudonyms
        Replace record and visit numbers.
    received_at : datetime
        Aware; when the gateway had it. An observation that is later by more than five minutes is a reject.

    Raises
    ------
    Malformed
        It is no message, or does not say what it is. Nothing else is raised, whatever the bytes are.
    """
    message = read(raw)
    work = Work(message, feed, pseudonyms, received_at)
    kind = message.header.type
    kind = _ALONE.get(kind, kind)
    if kind == "ADT":  # version 2.1 says the event in EVN alone
        evn = message.first("EVN")
        kind = f"ADT^{evn.text(1)}" if evn is not None else kind
    mapper = None if kind in feed.ignored else mapper_of(kind)
    if message.header.processing_id in _SYSTEMS - feed.processing:
        work.ignore("processing", message.header.processing_id)
    elif mapper is None:
        work.ignore("type", kind if _TYPE.fullmatch(kind) else OTHER)
    else:
        mapper(work)
    return work.mapped()
