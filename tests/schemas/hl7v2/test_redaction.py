"""Free text without what its own message says of who the patient is."""

from __future__ import annotations

import re
from typing import NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.schemas.hl7v2.messages import OBR, PV1, mapped, message, one
from wardstream.schemas.hl7v2.reading import read
from wardstream.schemas.hl7v2.redaction import redactor

PID = (
    "PID|1||10334711^^^north^MR||Wurzelbrunft-M\u00fcller^Kunigunde^van^^Dr|Unfried|19500101|F|||"
    "Kaffeestrasse 7^^Kaffstadt^XX^09876||030-5551234^^^k@nowhere.invalid|(0170) 99 88 77||||ACC-77|123-45-6789"
)
NK1 = "NK1|1|Unfried^Ottokar|SPO|5 Other Row^^Elsewhere|555 0000"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Frau WURZELBRUNFT-Mueller, Kunigunde:", "Frau [name]-Mueller, [name]:"),
        ("wurzelbrunft-muller und Wurzelbrunft-Mu\u0308ller", "[name]-[name] und [name]-[name]"),
        ("MRN 10334711, account ACC-77, SSN 123456789", "MRN [number], account [number], SSN [number]"),
        ("lives at Kaffeestrasse 7, 09876 Kaffstadt", "lives at [address], [address] [address]"),
        ("the kaffeestrasse", "the [address]"),
        ("call 030 555 12 34 or 0170/998877, k@nowhere.invalid", "call [telephone] or [telephone], [telephone]"),
        ("husband Ottokar Unfried, 5550000", "husband [name] [name], [telephone]"),
        ("Unfriedlich, van, Dr, XX, 103347112, V-12", "Unfriedlich, van, Dr, XX, 103347112, V-12"),
    ],
)
def test_what_the_message_says_of_the_patient_is_replaced(text: str, expected: str) -> None:
    assert redactor(read(message(PID, NK1, PV1)))(text) == expected


def test_it_is_taken_out_of_notes_results_and_procedures() -> None:
    said = "Frau Wurzelbrunft, 10334711"
    note = one(mapped(PID, PV1, "TXA|1|PN|TX|20260310090000||||||||D1", f"OBX|1|TX|1^n||{said}", kind="MDM^T02"))
    lab = one(mapped(PID, OBR, f"OBX|1|TX|6690-2^report^LN||{said}||||||F"))
    order = one(mapped(PID, PV1, "ORC|NW|P-1", f"OBR|1|P-1||1^{said}{'|' * 20}CT", kind="OMI^O23"))
    assert note.text == lab.text == order.procedure == "Frau [name], [number]"


def test_an_id_is_that_of_the_text_as_it_was_sent() -> None:
    def result(text: str) -> object:
        return one(mapped(PID, OBR, f"OBX|1|TX|6690-2^report^LN||{text}||||||F")).event_id

    assert result("Frau Wurzelbrunft") != result("Frau Kunigunde")


@given(st.text(max_size=80), st.text(st.characters(exclude_characters="|^~\\&\r\n", codec="utf-8"), max_size=12))
def test_whatever_the_fields_and_the_text_hold_is_found_whole_or_not_at_all(text: str, said: str) -> None:
    pid = f"PID|1||{said}^^^north^MR||{said}^{said}||||||{said}^^{said}||{said}"
    without = redactor(read(message(pid)))
    without(text)
    for within in (said, f"{text} {said} {text}"):
        found = without(within)
        if len(said) >= 4 and said.isascii() and said.isalnum():
            assert said.casefold() not in found.casefold()


@pytest.mark.parametrize("number", ["\u00a8" * 4, "\u00bd" * 4, "\ufb03" * 2, "\u0130" * 4])
def test_a_number_that_is_none(number: str) -> None:
    """Characters that are blanks or several characters without their accents."""
    assert redactor(read(message(f"PID|1||{number}^^^north^MR")))("Frau Wurzelbrunft") == "Frau Wurzelbrunft"


def test_what_is_not_in_a_text_becomes_no_pattern(monkeypatch: pytest.MonkeyPatch) -> None:
    """To compile one takes as long as all else that is done with a message."""
    made: list[str] = []

    def made_of(pattern: str, *_: object) -> NoReturn:
        made.append(pattern)
        raise AssertionError

    parsed = read(message(PID, NK1, PV1))
    with monkeypatch.context() as patched:
        for name in ("compile", "finditer"):
            patched.setattr(re, name, made_of)
        text = redactor(parsed)("no growth after 48 h")
    assert (text, made) == ("no growth after 48 h", [])


@given(st.text(max_size=80))
def test_any_text_that_says_nothing_of_the_patient_stays(text: str) -> None:
    assert redactor(read(message("PID|1||10334711^^^north^MR||Wurzelbrunft")))(text) == text
    assert redactor(read(message("PID|1")))(text) == text
