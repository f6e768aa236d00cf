"""Invented messages and a feed, for the tests of the mappings."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from wardstream.schemas.decode import decoder_of, encode
from wardstream.schemas.envelope import Event
from wardstream.schemas.hl7v2 import Code, Feed, Mapped, map_message
from wardstream.schemas.pseudonym import Pseudonyms

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
PSEUDONYMS = Pseudonyms(bytes(range(32)))
FEED = Feed(
    name="lab-1",
    facility="north",
    timezone="Europe/Berlin",
    authority="north",
    identifier_types=("MR", "PI"),
    codes={
        "K^^L": Code(loinc="2823-3", unit="mmol/L"),
        "HF": Code(field="heart_rate_bpm", unit="/min"),
        "AVPU": Code(field="consciousness"),
    },
    units={"UMOLL": "umol/L"},
    ignored=frozenset({"NOISE^^L", "ORU^R32"}),
)
PATIENT = PSEUDONYMS.patient("north", "4711")
PID = "PID|1||4711^^^north^MR~999^^^state^SS||Invented^Ina^Q||19600229|F|||1 No Street^^Nowhere"
PV1 = f"PV1|1|I|W3^12^B^north{'|' * 16}V-1^^^north"
OBR = f"OBR|1|P-1|F-1|24323-8^panel^LN|||20260310090000{'|' * 15}20260310093000||LAB|F"


def message(*segments: str, kind: str = "ORU^R01", control_id: str = "1", msh: str = "") -> bytes:
    """A message of version 2.5 in UTF-8, sent at noon of the tenth of March 2026 by the clock of Berlin."""
    header = msh or f"MSH|^~\\&|LIS|NORTH|WS|HUB|20260310120000||{kind}|{control_id}|P|2.5|||AL|NE||UNICODE UTF-8"
    return "\r".join((header, *segments, "")).encode()


def mapped(*segments: str, feed: Feed = FEED, now: datetime = NOW, **header: Any) -> Mapped:
    """What a message becomes; every event is one that a worker takes."""
    found = map_message(message(*segments, **header), feed, PSEUDONYMS, now)
    for event in found.events:
        assert decoder_of(type(event))(encode(event)) == event
    return found


def one(found: Mapped) -> Any:
    """The only event."""
    assert found.rejects == ()
    (event,) = found.events
    return event


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type,misc]


def facts(event: Event) -> dict[str, Any]:
    """What an event says beyond its envelope."""
    return {
        name: value
        for name in event.__struct_fields__
        if name not in (*Event.__struct_fields__, "retracted") and (value := getattr(event, name)) is not None
    }
