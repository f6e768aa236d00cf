"""Acknowledgements: to whom, in whose delimiters and character set, and how errors are told by version."""

from __future__ import annotations

import pytest

from tests.schemas.hl7v2.messages import message, utc
from wardstream.schemas.hl7v2 import Malformed, acknowledgement
from wardstream.schemas.hl7v2.reading import read

NOW = utc(2026, 3, 10, 12, 0, 5)


def header(version: str = "2.5", kind: str = "ADT^A01^ADT_A01") -> str:
    return f"MSH|^~\\&|LIS^1.2^ISO|NORTH|WS|HUB|20260310||{kind}|77|T|{version}|||AL|NE||8859/1"


def answer(msh: str, code: str = "AA", error: Malformed | None = None) -> list[str]:
    return acknowledgement(read(message(msh=msh)).header, code, NOW, error).decode("latin-1").split("\r")


def test_accepted() -> None:
    msh, msa, end = answer(header())
    assert msh == (
        "MSH|^~\\&|WS|HUB|LIS^1.2^ISO|NORTH|20260310120005+0000||ACK^A01^ACK|A20260310120005000000|T|2.5||||||8859/1"
    )
    assert (msa, end) == ("MSA|AA|77", "")


@pytest.mark.parametrize(
    ("version", "kind", "err"),
    [
        ("2.3", "ACK^A01", "ERR|PID^1^3^101&Required field missing&HL70357"),
        ("2.4", "ACK^A01", "ERR|PID^1^3^101&Required field missing&HL70357"),
        ("2.5", "ACK^A01^ACK", "ERR||PID^1^3|101^Required field missing^HL70357|E||||no patient"),
        ("2.8.1", "ACK^A01^ACK", "ERR||PID^1^3|101^Required field missing^HL70357|E||||no patient"),
    ],
)
def test_errors(version: str, kind: str, err: str) -> None:
    error = Malformed("AE", "101", "PID-3", "no patient")
    lines = answer(header(version), "AE", error)
    assert lines[1:3] == ["MSA|AE|77", err]
    assert lines[0].split("|")[8] == kind


def test_a_place_that_is_no_field_is_left_out() -> None:
    assert answer(header(), "AR", Malformed("AR", "100", "line 3", "x|y"))[2] == (
        "ERR|||100^Segment sequence error^HL70357|E||||line 3: x y"
    )
    assert answer(header("2.3"), "AR", Malformed("AR", "207", "OBX[2]-5", "x"))[2] == (
        "ERR|OBX^2^5^207&Application internal error&HL70357"
    )


def test_in_the_senders_delimiters() -> None:
    lines = answer("MSH$%*!@$A$B$C$D$20260310$$ADT%A01$77$P$2.5", "AE", Malformed("AE", "101", "PID-3", "none"))
    assert lines[0].startswith("MSH$%*!@$C$D$A$B$")
    assert lines[1:3] == ["MSA$AE$77", "ERR$$PID%1%3$101%Required field missing%HL70357$E$$$$none"]


def test_an_answer_can_be_read() -> None:
    for kind in ("ADT^A01", "ACK", "ORU^R01"):
        raw = acknowledgement(read(message(msh=header(kind=kind))).header, "AA", NOW)
        assert read(raw).header.type.startswith("ACK")


def test_the_answer_to_a_message_of_which_only_the_header_was_read() -> None:
    with pytest.raises(Malformed) as refused:
        read(b"MSH|^~\\&|A|B|C|D|E||ADT^A01||P|2.3\r")
    assert refused.value.header is not None
    lines = acknowledgement(refused.value.header, refused.value.ack, NOW, refused.value).decode().split("\r")
    assert lines[1:3] == ["MSA|AE", "ERR|MSH^1^10^101&Required field missing&HL70357"]
