"""What a message of one feed becomes: rows for Kafka, ready to be kept on disk or sent.

Events are checked here as workers check them, so that what leaves cannot be refused later. What could not be mapped, or
is mapped and not valid, is a dead letter of the topic that it would have been on, from `hl7v2:<feed>`; its content is
the small message that `Reject` holds, so that `wardstream dead replay` can map it again when the feed was mended.
Names leave only sealed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import NamedTuple

import msgspec

from wardstream.agents.metrics import GATEWAY_EVENTS, GATEWAY_REJECTS, HL7_IGNORED, Meters
from wardstream.agents.streams.dead_letters import DeadLetters, RawRecord
from wardstream.agents.streams.outputs import MAX_ROW_BYTES
from wardstream.agents.tracing import Headers
from wardstream.client.publisher import encode_checked, topic_of
from wardstream.infra.dead import FEED
from wardstream.infra.gateways.coverage import shown_type
from wardstream.infra.gateways.delivery import Row
from wardstream.infra.identities import IdentitySeals, key_of
from wardstream.schemas.bad_event import BadEvent
from wardstream.schemas.decode import decoder, encode
from wardstream.schemas.hl7v2 import Feed, Header, Mapped, map_message
from wardstream.schemas.hl7v2.codes import is_known
from wardstream.schemas.hl7v2.reading import READ as SEGMENTS
from wardstream.schemas.hl7v2.values import TYPES
from wardstream.schemas.identities import TOPIC as IDENTITIES
from wardstream.schemas.identities import patient_of
from wardstream.schemas.pseudonym import Pseudonyms
from wardstream.schemas.topics import dead

GATEWAY = "mllp"
_FEW = 200  # series of a metric whose labels the senders make; further ones are counted together
_LABEL = re.compile(r"[A-Za-z0-9._^-]{1,40}")
_OTHER = "other"

MapMessage = Callable[[bytes, Feed, Pseudonyms, datetime], Mapped]


class Parcel(NamedTuple):
    """A message as it leaves, and whose it was; `dead` is how many of the rows are dead letters."""

    header: Header
    rows: tuple[Row, ...]
    dead: int

    def traced(self, headers: Headers) -> Parcel:
        """With these headers on all that has a key: dead letters have headers of their own."""
        rows = (msgspec.structs.replace(row, headers=headers) if row.key is not None else row for row in self.rows)
        return self._replace(rows=tuple(rows))


class Labels:
    """What senders write, as label of a metric: bounded in number, and never free text."""

    def __init__(self, most: int = _FEW) -> None:
        self._known: set[str] = set()
        self._most = most

    def __call__(self, text: str) -> str:
        if text in self._known:
            return text
        if len(self._known) >= self._most or _LABEL.fullmatch(text) is None:
            return _OTHER
        self._known.add(text)
        return text


class Mapper:
    """Maps the messages of one feed.

    Parameters
    ----------
    feed
        Its settings.
    pseudonyms
        Makes patient_ids.
    letters
        Seals what could not be mapped.
    identities
        Seals names; None: no names are kept.
    meters
        Counts.
    map_message
        The mapping itself.
    """

    def __init__(
        self,
        feed: Feed,
        pseudonyms: Pseudonyms,
        letters: DeadLetters,
        identities: IdentitySeals | None,
        meters: Meters,
        map_message: MapMessage = map_message,
    ) -> None:
        self.feed = feed
        self._pseudonyms, self._letters, self._identities = pseudonyms, letters, identities
        self._meters, self._map, self._ignored = meters, map_message, Labels()

    def __call__(self, raw: bytes, received_at: datetime) -> Parcel:
        """Map one message.

        Raises
        ------
        Malformed
            It is refused as a whole.
        """
        mapped = self._map(raw, self.feed, self._pseudonyms, received_at)
        rows: list[Row] = []
        letters: list[Row] = []
        for person in mapped.persons:
            if self._identities is not None:
                identity = self._identities.changed(person, self.feed.name, received_at)
                if identity is not None:
                    rows.append(Row(IDENTITIES.name, key_of(person), encode(identity)))
        for event in mapped.events:
            topic = topic_of(event)
            try:
                value = encode_checked(event, decoder(topic))
                if len(value) > MAX_ROW_BYTES:
                    raise BadEvent("too_large")
            except BadEvent as bad:
                letters.append(self._letter(topic, bad.reason, bad.fields, raw, received_at))
                continue
            rows.append(Row(topic, event.patient_id, value))
            self._meters.count(GATEWAY_EVENTS, (GATEWAY, topic))
        for reject in mapped.rejects:
            letters.append(self._letter(reject.topic, reject.reason, reject.fields, reject.raw, received_at))
        for kind, what in mapped.ignored:
            self._meters.count(HL7_IGNORED, (self.feed.name, kind, self._ignored(self._known(kind, what))))
        return Parcel(mapped.header, (*rows, *letters), len(letters))

    def _known(self, kind: str, what: str) -> str:
        """What was ignored, where the mapping or the feed's settings know it; else it may be whatever somebody sent."""
        if kind == "type" or (kind == "order" and "^" in what):
            return shown_type(what)
        if kind in ("code", "empty") and what not in SEGMENTS:
            code, _, system = what.partition("^^")
            known = self.feed.leaves_out(code, system) or self.feed.declared(code, system) or is_known(code, system)
            return what if known else _OTHER
        if kind == "value":
            return what if what in TYPES else _OTHER
        return what

    def undone(self, rows: Iterable[Row]) -> None:
        """Take rows for not written: their sender has gone before they were, and will send them again."""
        if self._identities is not None:
            for row in rows:
                if row.topic == IDENTITIES.name and row.key is not None:
                    self._identities.forget(patient_of(row.key))

    def _letter(self, topic: str, reason: str, fields: tuple[str, ...], raw: bytes, received_at: datetime) -> Row:
        self._meters.count(GATEWAY_REJECTS, (GATEWAY, topic, reason))
        at_ms = int(received_at.timestamp() * 1000)
        record = RawRecord(None, raw, (), at_ms)
        row = self._letters.seal(record, f"{FEED}{self.feed.name}", 0, at_ms, reason, fields)
        return Row(dead(topic), None, row.value or b"", row.headers)
