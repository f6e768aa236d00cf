"""What leaves for the topics, of all sample messages: nobody's name, number, address or telephone in clear."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests.infra.gateways.senders import KEY
from tests.schemas.hl7v2.messages import FEED, NOW, OBR, PID, message
from tests.schemas.hl7v2.samples import PSEUDONYMS, READ_AT, SAMPLES_FEED, samples
from wardstream.agents.metrics import HL7_IGNORED, Meters
from wardstream.agents.streams.dead_letters import DeadLetters
from wardstream.infra.gateways.delivery import Row
from wardstream.infra.gateways.mapper import Mapper
from wardstream.infra.identities import IdentitySeals
from wardstream.schemas.hl7v2 import Malformed

_PERSONAL = (2, 3, 4, 5, 6, 9, 11, 13, 14, 19)
"""Of PID: numbers, names, mother's name, aliases, address, telephones, social security number."""
_LONG = 4  # shorter ones are found anywhere


def personal(raw: bytes) -> set[str]:
    """What a message says of who the patient is."""
    lines = re.split(r"[\r\n]+", raw.decode(errors="replace"))
    fields = [[*line.split("|"), *[""] * 20] for line in lines if line.startswith("PID|")]
    parts = (part.strip() for field in fields for n in _PERSONAL for part in re.split(r"[~^&]", field[n]))
    return {part for part in parts if len(part) >= _LONG}


def in_clear(row: Row, words: set[str]) -> Iterator[str]:
    """Those words that are somewhere in a record."""
    headers = (name.encode() + b"=" + value for name, value in row.headers)
    everything = b"\n".join(((row.key or "").encode(), row.value, *headers)).decode(errors="replace")
    for word in words:
        if word in everything and re.search(rf"(?<![A-Za-z0-9]){re.escape(word)}(?![A-Za-z0-9])", everything):
            yield word


def test_nobody_is_named_on_any_topic(shared_data: Path) -> None:
    mapper = Mapper(SAMPLES_FEED, PSEUDONYMS, DeadLetters(KEY), IdentitySeals([KEY]), Meters())
    rows: Counter[str] = Counter()
    found: Counter[tuple[str, str]] = Counter()
    said: set[str] = set()
    for sample in samples(shared_data):
        try:
            parcel = mapper(sample.raw, READ_AT)
        except Malformed:
            continue
        words = personal(sample.raw)
        said |= words
        for row in parcel.rows:
            rows[row.topic] += 1
            found.update((row.topic, word) for word in in_clear(row, words))
    assert len(said) > 1000
    assert rows.keys() >= {"admissions.v1", "identities.v1", "labs.v1", "labs.v1.dead", "medications.v1", "notes.v1"}
    assert rows["orders.v1"] > 0
    assert found == {("admissions.v1", "TEST"): 1}, "a unit called TEST, as a patient is"


def test_what_senders_write_is_no_label_unless_it_is_known_here() -> None:
    meters = Meters()
    mapper = Mapper(FEED, PSEUDONYMS, DeadLetters(KEY), None, meters)
    for kind in ("QUIBBLE^ZEBULON", "SIU^ZEBULON", "SIU^S12"):
        mapper(message(PID, kind=kind), NOW)
    codes = (("NM", "XYLOPHONY-0170555"), ("NM", "NOISE^^L"), ("NM", "12345-6"), ("SNORKELMANN", "8867-4^^LN"))
    lines = [f"OBX|{n}|{kind}|{code}||1|/min|||||F" for n, (kind, code) in enumerate(codes, 1)]
    mapper(message(PID, OBR, *lines), NOW)
    said = {labels[1:] for metric, labels in meters.values if metric is HL7_IGNORED}
    assert said == {("type", "other"), ("type", "SIU^S12"), ("code", "other"), ("code", "NOISE^^L"), ("value", "other")}


def test_it_would_be_found() -> None:
    words = personal(b"MSH|^~\\&|x\rPID|1||4711^^^N^MR||Invented^Ina^Q\r")
    assert words == {"4711", "Invented"}
    assert list(in_clear(Row("t", None, b'{"text":"Mrs. Invented came"}'), words)) == ["Invented"]
    assert list(in_clear(Row("t", "4711", b"{}"), words)) == ["4711"]
