"""Which answers a message wants (HL7 v2.5.1, chapter 2, section 2.9)."""

from __future__ import annotations

import pytest

from wardstream.infra.gateways import answers, batch
from wardstream.schemas.hl7v2 import Header, Malformed

BAD = Malformed("AE", "101", "PID-3", "required")


def header(accept: str, application: str, kind: str = "ADT^A01") -> Header:
    return Header(type=kind, accept_ack=accept, application_ack=application)


@pytest.mark.parametrize(
    ("accept", "application", "mode", "kept", "done", "refused"),
    [
        ("", "", "original", False, False, "AE"),
        ("AL", "NE", "enhanced", True, False, "CE"),
        ("AL", "AL", "enhanced", True, True, "CE"),
        ("SU", "AL", "enhanced", True, True, "AE"),
        ("ER", "ER", "enhanced", False, False, "CE"),
        ("NE", "AL", "enhanced", False, True, "AE"),
        ("NE", "SU", "enhanced", False, True, None),
        ("NE", "NE", "enhanced", False, False, None),
        ("", "AL", "enhanced", False, True, "AE"),
        ("AL", "", "enhanced", True, False, "CE"),
        ("al?", "", "enhanced", True, False, "CE"),
    ],
)
def test_modes(accept: str, application: str, mode: str, kept: bool, done: bool, refused: str | None) -> None:
    given = header(accept, application)
    assert answers.mode(given) == mode
    assert (answers.accepts(given), answers.applies(given)) == (kept, done)
    assert answers.refusal(given, BAD) == refused


@pytest.mark.parametrize("kind", ["ACK", "ACK^A01", "MCF"])
def test_answers_are_not_answered(kind: str) -> None:
    assert answers.mode(header("AL", "AL", kind)) == "none"
    assert answers.refusal(header("", "", kind), BAD) is None


@pytest.mark.parametrize("end", [b"\r", b"\n", b"\r\n"])
def test_batches(end: bytes) -> None:
    segments = (
        b"FHS|^~\\&",
        b"BHS|^~\\&",
        b"MSH|1",
        b"PID|1",
        b"",
        b"MSH|2",
        b"BTS|2",
        b"BHS|^~\\&",
        b"MSH|3",
        b"FTS|2",
    )
    block = end.join(segments)
    assert batch.is_batch(block)
    assert batch.messages(block) == [b"MSH|1\rPID|1\r", b"MSH|2\r", b"MSH|3\r"]
    assert batch.answer([b"MSH|a\rMSA|AA|1\r", b"MSH|b\rMSA|AA|2"]) == (
        b"BHS|^~\\&\rMSH|a\rMSA|AA|1\rMSH|b\rMSA|AA|2\rBTS|2\r"
    )
    assert not batch.is_batch(b"MSH|1")
    assert batch.messages(b"BHS|^~\\&\rBTS|0") == []
