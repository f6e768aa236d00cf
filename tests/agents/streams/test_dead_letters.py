"""Dead letters: nothing lost, nothing readable, and a header for each question."""

from __future__ import annotations

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wardstream.agents.streams.dead_letters import DeadLetters, RawRecord
from wardstream.agents.streams.outputs import MAX_ROW_BYTES

KEY = bytes(range(32))
raws = st.builds(
    RawRecord,
    st.none() | st.binary(max_size=50),
    st.none() | st.binary(max_size=500),
    st.lists(st.tuples(st.text(max_size=9), st.none() | st.binary(max_size=20)), max_size=3).map(tuple),
    st.integers(0, 2**45),
)


@settings(max_examples=50)
@given(raws)
def test_what_is_sealed_can_be_opened(raw: RawRecord) -> None:
    letters = DeadLetters(KEY)
    row = letters.seal(raw, "vitals.v1", 3, 42, "wrong_type", ("heart_rate_bpm", "n"))
    assert letters.open(row.value or b"", row.headers) == raw


def test_headers_say_why_and_where_from_and_nothing_of_the_content() -> None:
    raw = RawRecord(b"Smith", b'{"name":"Smith"}', (("from", b"Smith"),), 7)
    row = DeadLetters(KEY).seal(raw, "vitals.v1", 3, 42, "wrong_type", ("heart_rate_bpm", "n"))
    assert dict(row.headers) == {
        "reason": b"wrong_type",
        "fields": b"heart_rate_bpm,n",
        "topic": b"vitals.v1",
        "partition": b"3",
        "offset": b"42",
    }
    assert row.key is None
    assert row.timestamp_ms == 7
    assert b"Smith" not in (row.value or b"")


def test_another_key_or_another_place_opens_nothing() -> None:
    row = DeadLetters(KEY).seal(RawRecord(None, b"x", (), 0), "vitals.v1", 0, 1, "empty", ())
    with pytest.raises(ValueError, match="another key, or was changed"):
        DeadLetters(bytes(32)).open(row.value or b"", row.headers)
    moved = tuple((name, b"2" if name == "offset" else value) for name, value in row.headers)
    with pytest.raises(ValueError, match="another key, or was changed"):
        DeadLetters(KEY).open(row.value or b"", moved)


def test_the_same_record_never_looks_the_same() -> None:
    letters, raw = DeadLetters(KEY), RawRecord(None, b"x", (), 0)
    assert letters.seal(raw, "t", 0, 0, "empty", ()).value != letters.seal(raw, "t", 0, 0, "empty", ()).value


def test_a_key_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        DeadLetters(b"short")


@pytest.mark.parametrize(
    "raw",
    [
        RawRecord(b"k", os.urandom(5_000_000), (), 0),  # was small when it came, compressed
        RawRecord(os.urandom(2_000_000), b"v", (), 0),
        RawRecord(b"k", b"v", (("h", os.urandom(2_000_000)),), 0),
    ],
)
def test_of_what_is_too_large_to_be_written_the_beginning_is_kept(raw: RawRecord) -> None:
    letters = DeadLetters(KEY)
    row = letters.seal(raw, "vitals.v1", 0, 0, "too_large", ())
    assert row.size <= MAX_ROW_BYTES
    assert int(dict(row.headers)["cut"]) > MAX_ROW_BYTES
    opened = letters.open(row.value or b"", row.headers)
    assert raw.value is not None
    assert raw.value.startswith(opened.value or b"?")
    assert len(opened.value or b"") == min(900_000, len(raw.value))
