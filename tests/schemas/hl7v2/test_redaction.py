"""Free text without what its own message says of who the patient is."""

from __future__ import annotations

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


@given(st.text(max_size=80))
def test_any_text_that_says_nothing_of_the_patient_stays(text: str) -> None:
    assert redactor(read(message("PID|1||10334711^^^north^MR||Wurzelbrunft")))(text) == text
    assert redactor(read(message("PID|1")))(text) == text
