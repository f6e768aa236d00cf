"""Identities: sealed for those who hold a key, bound to their pseudonym, told only when they change."""

from __future__ import annotations

from datetime import date, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.events import START
from wardstream.infra import identities as module
from wardstream.infra.identities import IdentityError, IdentitySeals, key_of, together
from wardstream.schemas.decode import check, encode
from wardstream.schemas.hl7v2 import Person

OLD, NEW = bytes(range(32)), bytes(range(1, 33))
TEXTS = st.text(max_size=200)


def person(patient: str = "p-1", **fields: object) -> Person:
    given = {"authority": "north", "number": "4711", "family": "Meier", "birth_date": date(1951, 2, 3)} | fields
    return Person(patient_id=patient, **given)  # type: ignore[arg-type]


@given(TEXTS, TEXTS, TEXTS)
def test_sealed_is_opened_and_shows_nothing(family: str, given_name: str, number: str) -> None:
    seals = IdentitySeals([OLD])
    sealed = seals.seal(person(family=family, given=given_name, number=number), "icu", START)
    check(sealed)
    assert b"Meier" not in encode(sealed)
    assert seals.open(sealed) == person(family=family, given=given_name, number=number)


def test_only_a_key_opens_and_only_under_its_own_pseudonym() -> None:
    sealed = IdentitySeals([OLD]).seal(person(), "icu", START)
    with pytest.raises(IdentityError, match="p-1 was sealed with another key"):
        IdentitySeals([NEW]).open(sealed)
    with pytest.raises(IdentityError):
        IdentitySeals([OLD]).open(msgspec.structs.replace(sealed, patient_id="p-2"))
    with pytest.raises(IdentityError):
        IdentitySeals([OLD]).open(msgspec.structs.replace(sealed, sealed=sealed.sealed[:-8] + "AAAAAAAA"))


def test_a_new_key_seals_and_the_old_still_opens() -> None:
    old, both = IdentitySeals([OLD]), IdentitySeals([NEW, OLD])
    assert both.open(old.seal(person(), "icu", START)) == person()
    with pytest.raises(IdentityError):
        old.open(both.seal(person(), "icu", START))


def test_told_when_it_changes() -> None:
    seals = IdentitySeals([OLD])
    assert seals.changed(person(), "icu", START) is not None
    assert seals.changed(person(), "icu", START) is None
    assert seals.changed(person(family="Schulze"), "icu", START) is not None
    assert seals.changed(person("p-2"), "icu", START) is not None
    seals.forget("p-2")
    assert seals.changed(person("p-2"), "icu", START) is not None


def test_a_message_that_says_less_takes_nothing_away() -> None:
    """Most results carry a number and no name; the table keeps the last record of each key."""
    born, table = date(1951, 2, 3), {}
    seals = IdentitySeals([OLD])
    whole = person(given="Erika", sex="female")
    bare = person(family=None, birth_date=None)
    renamed = person(family="Schulze", birth_date=None)
    for minute, said in enumerate((whole, bare, renamed)):
        for each in (seals, IdentitySeals([OLD])):  # that goes on, or has just been started
            identity = each.changed(said, "icu", START + timedelta(minutes=minute))
            if identity is not None:
                table[key_of(said)] = identity
    assert seals.changed(bare, "icu", START) is None
    newest = sorted(table.values(), key=lambda row: row.changed_at, reverse=True)
    found = together(map(seals.open, newest))
    assert (found.number, found.family, found.given, found.birth_date) == ("4711", "Schulze", "Erika", born)
    assert seals.changed(whole, "icu", START) is not None, "the old name again"


def test_what_is_deleted_is_gone() -> None:
    null = person(family=None, removed=("family", "sex"), birth_date=None)
    found = together([null, person(sex="female")])
    assert (found.family, found.sex, found.birth_date) == (None, None, date(1951, 2, 3))
    seals = IdentitySeals([OLD])
    assert seals.changed(person(), "icu", START) is not None
    assert seals.changed(null, "icu", START) is not None


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_KNOWN", 3)
    seals = IdentitySeals([OLD])
    for number in range(10):
        seals.changed(person(f"p-{number}"), "icu", START)
    assert len(seals._known) == 3
    assert seals.changed(person("p-9"), "icu", START) is None
    assert seals.changed(person("p-0"), "icu", START) is not None
