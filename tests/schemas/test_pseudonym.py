"""Pseudonyms: the same for the same number, and nothing of the number in them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wardstream.schemas.partition import partition_of
from wardstream.schemas.pseudonym import KEY_BYTES, Pseudonyms

KEY = bytes(range(32))
OURS = Pseudonyms(KEY)


@given(st.text(), st.text())
def test_they_are_ids_that_every_topic_takes(authority: str, number: str) -> None:
    names = [give(authority, number) for give in (OURS.patient, OURS.encounter, OURS.order)]
    assert names[0] == Pseudonyms(KEY).patient(authority, number)
    assert len({name[2:] for name in names}) == 3
    for name in names:
        assert len(name) == 34
        assert name.isascii()
        assert name[2:].isalnum()


@given(st.tuples(st.text(), st.text()), st.tuples(st.text(), st.text()))
def test_other_numbers_have_others(one: tuple[str, str], other: tuple[str, str]) -> None:
    assert (OURS.patient(*one) == OURS.patient(*other)) == (one == other)


def test_no_two_inputs_are_joined_to_the_same_text() -> None:
    assert (
        len({OURS.patient(*pair) for pair in (("a", "bc"), ("ab", "c"), ("", "abc"), ("abc", ""), ("a1:b", "c"))}) == 5
    )


@given(st.text())
def test_a_uid_has_a_uid(uid: str) -> None:
    pseudonym = OURS.uid(uid)
    assert pseudonym == Pseudonyms(KEY).uid(uid) != Pseudonyms(bytes(32)).uid(uid)
    assert re.fullmatch(r"2\.25\.(0|[1-9][0-9]{0,38})", pseudonym)  # of 64 characters at most


def test_the_key_decides() -> None:
    assert OURS.patient("a", "1") != Pseudonyms(bytes(32)).patient("a", "1")
    with pytest.raises(ValueError, match=str(KEY_BYTES)):
        Pseudonyms(bytes(31))


def test_patients_are_spread_over_the_lanes() -> None:
    lanes = [partition_of(OURS.patient("a", str(number)), 4) for number in range(4000)]
    assert all(800 < lanes.count(lane) < 1200 for lane in range(4))
