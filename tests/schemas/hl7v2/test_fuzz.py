"""Whatever the bytes are: events that workers take, or `Malformed`. Of invented messages, and of the samples."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.schemas.hl7v2.messages import FEED, NOW, OBR, PID, PSEUDONYMS, PV1, message, utc
from tests.schemas.hl7v2.samples import SAMPLES_FEED, samples
from wardstream.schemas.bad_event import REASONS
from wardstream.schemas.decode import decoder_of, encode
from wardstream.schemas.hl7v2 import Feed, Malformed, acknowledgement, map_message
from wardstream.schemas.hl7v2.mapped import ERRORS
from wardstream.schemas.hl7v2.types import MAPPERS
from wardstream.schemas.topics import TOPICS

SEEDS = (
    message("EVN|A01|202603101015", PID, PV1, kind="ADT^A01"),
    message("EVN|A40|202603101015", PID, "MRG|1^^^north^MR", kind="ADT^A40"),
    message(
        *(PID, PV1, "ORC|RE|P-1|F-1", OBR, "OBX|1|NM|2823-3^K^LN||6.1|mmol/L|3.5-5.1|H|||F|||20260310091000"),
        *("OBX|2|SN|2160-0^C^LN||<^0.5|mg/dL|||||C", "OBX|3|NM|8867-4^HR^LN||82|/min|||||P|||20260310091000"),
        *("OBX|4|TX|11506-3^note^LN||Wohl\\.br\\auf~\\X41\\|||||F", "SPM|1|||BLD" + "|" * 13 + "202603100845"),
    ),
    message(PID, "TXA|1|DS|TX|202603101000||||||||D-1", "OBX|1|TX|x||Text|||||F", kind="MDM^T02"),
    message(
        *(PID, PV1, "ORC|NW|A-1^N|F-1||SC||||20260310080000", "TQ1|1||||||202603100930||S"),
        *("OBR|1|A-1^N|F-1|30745-4^Chest^LN|R||20260310||||||||||||||||||||^ONCE^^20260310^^S", "IPC|A|R|1.2.3|S|DX"),
        kind="OMI^O23",
    ),
    message(PID, "ORC|NW|1", "RXE||1^Inventol^NDC|5||mg", "RXR|PO", "TQ1|1||BID", kind="RDE^O11"),
)
words = st.sampled_from(
    (
        *("|", "^", "~", "\\", "&", "\r", "\n", "\x0b", "\x1c", "\x00", "\\X", "\\.sp9999\\", '""', "MSH|", "PID|"),
        *("OBX|", "^^^^", "~~~", "20260230", "-999", "1e400", "8867-4^^LN", "NaN", "é", "\ud7ff", "\U0001f600"),
        *("2823-3", "SN", "C", "9" * 400),
    )
)


def assert_mapped_or_malformed(raw: bytes, feed: Feed = FEED) -> None:
    try:
        found = map_message(raw, feed, PSEUDONYMS, NOW)
    except Malformed as error:
        malformed = error
    else:
        for event in found.events:
            assert decoder_of(type(event))(encode(event)) == event
            assert event.source == feed.name
        assert len({event.event_id for event in found.events}) == len(found.events)
        for reject in found.rejects:
            assert reject.reason in REASONS
            assert TOPICS[reject.topic].role == "input"
            map_message(reject.raw, feed, PSEUDONYMS, NOW)  # sound
        for _, what in found.ignored:
            assert len(what) <= 64
        acknowledgement(found.header, "AA", NOW)
        return
    assert malformed.ack in ("AE", "AR")
    assert malformed.error in ERRORS
    assert malformed.__context__ is None
    if malformed.header is not None:
        acknowledgement(malformed.header, malformed.ack, NOW, malformed)


@settings(max_examples=300)
@given(st.binary(max_size=300) | st.binary(max_size=300).map(lambda raw: b"MSH" + raw))
def test_random_bytes(raw: bytes) -> None:
    assert_mapped_or_malformed(raw)


@settings(max_examples=600)
@given(st.sampled_from(SEEDS), st.lists(st.tuples(st.integers(0, 900), st.integers(0, 6), words), max_size=6))
def test_changed_messages(seed: bytes, changes: list[tuple[int, int, str]]) -> None:
    text = seed.decode()
    for at, cut, put in changes:
        at %= len(text) + 1
        text = text[:at] + put + text[at + cut :]
    assert_mapped_or_malformed(text.encode())


@settings(max_examples=300)
@given(
    st.sampled_from(SEEDS),
    st.lists(st.tuples(st.integers(0, 900), st.integers(0, 3), st.binary(max_size=4)), max_size=4),
)
def test_changed_bytes(seed: bytes, changes: list[tuple[int, int, bytes]]) -> None:
    raw = bytearray(seed)
    for at, cut, put in changes:
        at %= len(raw) + 1
        raw[at : at + cut] = put
    assert_mapped_or_malformed(bytes(raw))


@settings(max_examples=300)
@given(
    st.sampled_from(sorted(MAPPERS)),
    st.lists(
        st.tuples(
            st.sampled_from(
                ["PID", "PV1", "MRG", "EVN", "ORC", "OBR", "OBX", "SPM", "TXA", "RXE", "RXA", "RXR", "TQ1", "IPC"]
            ),
            st.lists(words | st.text(max_size=8), max_size=25),
        ),
        max_size=8,
    ),
)
def test_segments_of_anything(kind: str, segments: list[tuple[str, list[str]]]) -> None:
    lines = (f"{name}|{'|'.join(fields)}" for name, fields in segments)
    assert_mapped_or_malformed("\r".join((message(kind=kind).decode().strip(), PID, *lines)).encode(errors="replace"))


@pytest.mark.parametrize("length", range(0, 900, 7))
def test_cut_messages(length: int) -> None:
    for seed in SEEDS:
        assert_mapped_or_malformed(seed[:length])


def test_samples_with_other_bytes(shared_data: Path) -> None:
    chance = random.Random(1)
    for sample in samples(shared_data):
        raw = bytearray(sample.raw)
        for _ in range(chance.randint(1, 8)):
            at = chance.randrange(len(raw) + 1)
            put = chance.choices(b'|^~\\&\r\n"019-.XC\x00\xff', k=chance.randint(0, 3))
            raw[at : at + chance.randint(0, 3)] = bytes(put)
        assert_mapped_or_malformed(bytes(raw), SAMPLES_FEED)


def test_it_is_pure() -> None:
    for seed in SEEDS:
        assert map_message(seed, FEED, PSEUDONYMS, NOW) == map_message(seed, FEED, PSEUDONYMS, NOW)
        later = map_message(seed, FEED, PSEUDONYMS, utc(2026, 3, 11, 12))
        now = map_message(seed, FEED, PSEUDONYMS, NOW)
        assert [event.event_id for event in later.events] == [event.event_id for event in now.events]
