"""What would become of messages: counted by type, code, unit, time and place of what is wrong. Never a value."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from wardstream.schemas.envelope import Event
from wardstream.schemas.hl7v2 import Feed, Malformed, Mapped, map_message
from wardstream.schemas.hl7v2.codes import local, meaning
from wardstream.schemas.hl7v2.mapping import OTHER
from wardstream.schemas.hl7v2.reading import Message, read
from wardstream.schemas.hl7v2.redaction import redactor
from wardstream.schemas.hl7v2.times import stated
from wardstream.schemas.hl7v2.types import MAPPERS, NOT_FOR_US
from wardstream.schemas.pseudonym import Pseudonyms
from wardstream.schemas.topics import TOPICS

OUTCOMES: Final = ("events", "not for us", "rejected", "malformed")
"""Of a message: it gave events (what else it held may be rejected or ignored); nothing in it is kept; what would have
been kept cannot be; it is no message."""
_TOPIC_OF: Final = {topic.type: topic.name for topic in TOPICS.values()}
_TIMES: Final = (("EVN", 2), ("OBR", 7), ("OBX", 14))
_CODE: Final = re.compile(r"[A-Za-z0-9_.%/*+:\[\]-]{1,40}(?:\^{1,2}[A-Za-z0-9_.-]{1,20})?")
_UNIT: Final = re.compile(r"[A-Za-z0-9µμ°%/*.^+\[\]{}()_'\"-]{1,24}")
_TYPE: Final = re.compile(r"[A-Z]{3}(?:\^[A-Z][A-Z0-9][0-9])?")  # PPR^PC1 too; no word
NOT_SHOWN: Final = "(not printed)"
Redactor = Callable[[str], str]


@dataclass
class Coverage:
    """Counts of many messages.

    Attributes
    ----------
    outcomes : counter
        By type and one of `OUTCOMES`.
    topics : counter
        Events by type and topic.
    codes : counter
        OBX by code, unit and what they mean: `heart_rate_bpm`, a LOINC code, or `ignored`.
    times : counter
        By `with offset`, `without offset`, `no time`.
    rejects : counter
        By topic, place (without its number) and reason.
    malformed : counter
        By place and what is wrong.
    ignored : counter
        By kind and what.
    """

    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    topics: Counter[tuple[str, str]] = field(default_factory=Counter)
    codes: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    times: Counter[str] = field(default_factory=Counter)
    rejects: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    malformed: Counter[tuple[str, str]] = field(default_factory=Counter)
    ignored: Counter[tuple[str, str]] = field(default_factory=Counter)

    def take(self, raw: bytes, feed: Feed, pseudonyms: Pseudonyms, at: datetime) -> tuple[Event, ...]:
        """Count a message, and return its events."""
        try:
            mapped = map_message(raw, feed, pseudonyms, at)
        except Malformed as error:
            kind = "" if error.header is None else error.header.type
            self.outcomes[shown_type(kind), "malformed"] += 1
            self.malformed[error.location, error.text] += 1
            return ()
        outcome = "events" if mapped.events else "rejected" if mapped.rejects else "not for us"
        self.outcomes[shown_type(mapped.header.type), outcome] += 1
        message = read(raw)
        without = redactor(message)
        self._count(mapped, without)
        self._look(message, feed, without)
        return mapped.events

    def _count(self, mapped: Mapped, without: Redactor) -> None:
        kind = shown_type(mapped.header.type)
        for event in mapped.events:
            self.topics[kind, topic_of(event)] += 1
        for reject in mapped.rejects:
            for place in reject.fields or ("",):
                self.rejects[reject.topic, _unnumbered(place), reject.reason] += 1
        self.ignored.update(
            (kind, shown_type(what) if kind == "type" else shown(what, without)) for kind, what in mapped.ignored
        )

    def _look(self, message: Message, feed: Feed, without: Redactor) -> None:
        texts = [message.header.sent_at]
        for name, number in _TIMES:
            texts += [segment.text(number) for segment in message.all(name)]
        for text in filter(None, texts):
            time = stated(text)
            self.times["no time" if time is None else "with offset" if time.offset else "without offset"] += 1
        if message.header.type not in MAPPERS:
            return
        for obx in message.all("OBX"):
            code, system = obx.text(3, 1) or obx.text(3, 2), obx.text(3, 3)
            known = None if feed.leaves_out(code, system) else meaning(feed, obx)
            said = "ignored" if known is None else "note" if known.kind == "note" else known.code
            self.codes[shown(local(code, system), without), shown(obx.text(6), without, _UNIT), said] += 1

    def types(self) -> list[str]:
        """All types that came, those that are mapped first."""
        return sorted({kind for kind, _ in self.outcomes}, key=lambda kind: (kind not in MAPPERS, kind == OTHER, kind))


def outline(raw: bytes) -> list[str]:
    """Return what a message is made of, in lines: its type, its segments, and code and unit of each OBX; no value."""
    try:
        message = read(raw)
    except Malformed as error:
        return [f"no HL7 v2: {error.location}: {error.text}"]
    names = Counter(segment.name for segment in message.segments)
    told = ", ".join(name if count == 1 else f"{count} {name}" for name, count in names.items())
    lines = [f"HL7 v2: {shown_type(message.header.type)}: MSH, {told}"]
    without = redactor(message)
    for obx in message.all("OBX"):
        code, unit = local(obx.text(3, 1) or obx.text(3, 2), obx.text(3, 3)), obx.text(6)
        lines.append(
            f"  OBX[{obx.number}]: {shown(code, without) or 'no code'}, {shown(unit, without, _UNIT) or 'no unit'}"
        )
    return lines


def topic_of(event: Event) -> str:
    """Return the topic of an event."""
    return _TOPIC_OF[type(event)]


def shown_type(kind: str) -> str:
    """Return a type as it may be printed: one that is known here, or `other`."""
    known = kind in MAPPERS or kind in NOT_FOR_US or kind.partition("^")[0] in NOT_FOR_US
    return kind if known and _TYPE.fullmatch(kind) else OTHER


def type_rows(coverage: Coverage) -> list[tuple[str, ...]]:
    """Return, for each type, the counts of outcomes and what the events are; with a row of totals."""
    rows = []
    for kind in coverage.types():
        counts = [coverage.outcomes[kind, outcome] for outcome in OUTCOMES]
        topics = {topic: count for (of, topic), count in coverage.topics.items() if of == kind}
        made = ", ".join(f"{count} {topic}" for topic, count in sorted(topics.items()))
        rows.append((kind.replace("^", " "), *map(_shown, (sum(counts), *counts)), made))
    totals = [sum(count for (_, of), count in coverage.outcomes.items() if of == outcome) for outcome in OUTCOMES]
    return [*rows, ("all", *map(_shown, (sum(totals), *totals)), "")]


def most(counts: Counter[tuple[str, ...]]) -> Iterable[tuple[str, ...]]:
    """Return the largest counts as rows, in an order that is always the same."""
    rows = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [(*what, str(count)) for what, count in rows]


def _shown(count: int) -> str:
    return str(count) if count else ""


def _unnumbered(place: str) -> str:
    name, _, rest = place.partition("[")
    return f"{name}{rest.partition(']')[2]}" if rest else place


def shown(text: str, without: Redactor, like: re.Pattern[str] = _CODE) -> str:
    """Return a code or a unit as it may be printed: one that looks like none may be a name in the wrong place.

    So is one that holds what the message says of who the patient is; `without` takes that out.
    """
    return text if not text or (like.fullmatch(text) and without(text) == text) else NOT_SHOWN
