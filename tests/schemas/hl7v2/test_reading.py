"""Reading: what is a message, what is told where it is none, and what its fields say."""

from __future__ import annotations

from typing import Any

import pytest

from tests.schemas.hl7v2.messages import message
from wardstream.schemas.hl7v2.mapped import ERRORS, Malformed
from wardstream.schemas.hl7v2.reading import MAX_BYTES, MAX_SEGMENTS, read


def test_fields_components_repetitions_and_subcomponents() -> None:
    pid = read(message("PID|1||a&b^^^c&1.2.3&ISO^MR~second^^^d^PI||Fam^Giv")).segments[0]
    assert [pid.text(3), pid.text(3, 1, 2), pid.text(3, 4), pid.text(3, 4, 2), pid.text(3, 5)] == list(
        ("a", "b", "c", "1.2.3", "MR")
    )
    assert [pid.text(3, n, repetition=2) for n in (1, 4, 5, 6)] == ["second", "d", "PI", ""]
    assert pid.repetitions(3) == 2
    assert pid.repetitions(7) == pid.repetitions(30) == 0
    assert pid.text(3, repetition=3) == pid.text(30) == pid.text(5, 1, 2) == ""
    with pytest.raises(LookupError, match="PID-4"):
        pid.text(4)
    assert pid.whole(5) == "Fam^Giv"


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n", "\r\r", "\n\n"])
def test_line_ends(end: str) -> None:
    raw = message("EVN|A01|20260310", "PID|1||7").replace(b"\r", end.encode())
    assert [segment.name for segment in read(raw).segments] == ["EVN", "PID"]


def test_a_line_feed_within_a_segment_that_ends_in_cr_is_data() -> None:
    obx, other = read(message("OBX|1|TX|a||one\ntwo", "OBX|2|TX|b\nOBX|3|TX|c")).segments[:2]
    assert obx.whole(5) == "one\ntwo"
    assert other.text(3) == "b"


def test_a_document_whose_lines_were_wrapped_does_no_harm() -> None:
    found = read(message("OBX|1|ED|PDF||^AP^PDF^Base64^AAAA", "Abcd0123==|||||F", "OBX|2|NM|c||1"))
    assert [segment.text(3) for segment in found.segments] == ["PDF", "c"]


def test_frames_blank_lines_and_marks_of_order_around_a_message() -> None:
    assert read(b"\x0b" + message("PID|1||7") + b"\x1c\r").segments[0].text(3) == "7"
    assert read(b"\xef\xbb\xbf" + message("PID|1||7")).segments[0].text(3) == "7"


def test_own_delimiters() -> None:
    raw = b"MSH$%*!@$A$B$$$20260310$$ADT%A01$77$P$2.4\rPID$1$$4711%%%north@1.2@ISO%MR*8%%%x%PI$$Fam!S!ily%Giv\r"
    found = read(raw)
    pid = found.segments[0]
    assert found.header.type == "ADT^A01"
    assert (pid.text(3), pid.text(3, 4), pid.text(3, 4, 2), pid.text(3, repetition=2)) == ("4711", "north", "1.2", "8")
    assert pid.text(5) == "Fam%ily"


def test_a_sender_that_forgets_the_escape_character() -> None:
    raw = message("PID|1||4711^^^north&1.2&ISO^MR").replace(b"^~\\&", b"^~&")
    assert read(raw).segments[0].text(3, 4, 2) == "1.2"


@pytest.mark.parametrize(
    ("sent", "meant"),
    [
        (r"a\F\b\S\c\T\d\R\e\E\f", r"a|b^c&d~e\f"),
        (r"one\.br\two\.sp2\three", "one\ntwo\n\nthree"),
        (r"gr\XC3BC\n", "grün"),
        (r"\H\loud\N\ \Zxyz\ \C2842\end", "loud  end"),
        (r"\X4\ \XZZ\ ", ""),
        (r"C:\temp", r"C:\temp"),
        (r"\.sp999999999\x", "\n" * 100 + "x"),
        ('""', ""),
    ],
)
def test_escapes(sent: str, meant: str) -> None:
    obx = read(message(f"OBX|1|TX|c||{sent}")).segments[0]
    assert obx.whole(5) == obx.text(5) == meant.strip()


@pytest.mark.parametrize(
    ("charset", "raw", "text"),
    [
        ("UNICODE UTF-8", "Müller".encode(), "Müller"),
        ("8859/1", "Müller".encode("latin-1"), "Müller"),
        ("8859/5", "Иванов".encode("iso8859-5"), "Иванов"),
        ("8859/15~ISO IR87", "5 €".encode("iso8859-15"), "5 €"),
        ("", "Müller".encode(), "Müller"),
        ("", "Müller".encode("latin-1"), "Müller"),
        ("ASCII", "Müller".encode("latin-1"), "Müller"),
        ("no such", "Müller".encode(), "Müller"),
        ("GB 18030-2000", "王".encode("gb18030"), "王"),
    ],
)
def test_character_sets(charset: str, raw: bytes, text: str) -> None:
    header = f"MSH|^~\\&|A|B|||20260310||ADT^A01|1|P|2.5||||||{charset}\rPID|1||1||".encode()
    assert read(header + raw + b"\r").segments[0].text(5) == text


def test_declared_utf_8_that_is_none_is_refused() -> None:
    with pytest.raises(Malformed) as refused:
        read(message("PID|1||7||").rstrip(b"\r") + b"M\xfcller\r")
    assert (refused.value.ack, refused.value.error, refused.value.location) == ("AE", "102", "MSH-18")
    assert refused.value.header is not None
    assert refused.value.header.control_id == "1"


def test_header() -> None:
    msh = (
        "MSH|^~\\&|APP^1.2^ISO|FAC|REC|HUB|20260310120000+0100||ORU^R01^ORU_R01|77^x|T^A|2.6^DEU|||AL|NE||8859/1~||"
        "|IHE_PCD_001^IHE PCD^1.3.6.1.4.1.19376.1.6.1.1.1^ISO~OTHER"
    )
    header = read(message(msh=msh)).header
    assert header._asdict() == {
        "sending_application": "APP^1.2^ISO",
        "sending_facility": "FAC",
        "receiving_application": "REC",
        "receiving_facility": "HUB",
        "control_id": "77^x",
        "type": "ORU^R01",
        "version": "2.6",
        "processing_id": "T",
        "accept_ack": "AL",
        "application_ack": "NE",
        "charset": "8859/1",
        "profiles": ("IHE_PCD_001^IHE PCD^1.3.6.1.4.1.19376.1.6.1.1.1^ISO", "OTHER"),
        "sent_at": "20260310120000+0100",
        "delimiters": "|^~\\&",
        "encoding": "iso8859-1",
    }


@pytest.mark.parametrize(
    ("raw", "ack", "error", "location"),
    [
        (b"", "AR", "100", "MSH"),
        (b"GET / HTTP/1.1\r\n\r\n", "AR", "100", "MSH"),
        (b"MSH", "AR", "100", "MSH"),
        (b"MSH\rPID|1", "AR", "100", "MSH"),
        (b"MSH|^~\\&|a|b|c|d|e||ADT^A01||P|2.5\r", "AE", "101", "MSH-10"),
        (b"MSH|^~\\&|a|b|c|d|e|||7|P|2.5\r", "AR", "101", "MSH-9"),
        (b"MSH|^~\\&|a|b\r", "AR", "101", "MSH-9"),
        (b"MSH|||a|b|c|d|e||ADT^A01|7|P|2.5\r", "AE", "102", "MSH-2"),
        (b"MSH|ab~\\&|b|c|d|e||ADT^A01|7|P|2.5\r", "AE", "102", "MSH-2"),
        (message("PID|1", "not a segment", "PV1|1"), "AE", "100", "line 3"),
        (message("PID|1", "{}|1"), "AE", "100", "line 3"),
        (message("PIDX|1"), "AE", "100", "line 2"),
        (message("PID|1") + message("PID|2"), "AE", "100", "line 3"),
        (message(*["OBX|1"] * (MAX_SEGMENTS + 1)), "AR", "207", "message"),
        (message("OBX|1|TX|c||" + "~" * 200_000), "AR", "207", "message"),
        (message("NTE|" + "x" * MAX_BYTES), "AR", "207", "message"),
        (b"\x0b" * (MAX_BYTES + 1), "AR", "207", "message"),
        (b"MSH|" * 300_000, "AR", "207", "message"),
    ],
)
def test_what_is_malformed(raw: bytes, ack: str, error: str, location: str) -> None:
    with pytest.raises(Malformed) as refused:
        read(raw)
    assert (refused.value.ack, refused.value.error, refused.value.location) == (ack, error, location)
    assert error in ERRORS
    assert refused.value.__context__ is None


def test_what_is_too_large_can_still_be_answered() -> None:
    with pytest.raises(Malformed) as refused:
        read(message("NTE|" + "x" * 20_000_000, control_id="big"))
    assert refused.value.header is not None
    assert refused.value.header.control_id == "big"


def test_malformed_says_no_value() -> None:
    with pytest.raises(Malformed) as refused:
        read(message("PID|1||4711||Secret^Name", "garbage Secret"))
    assert "Secret" not in str(refused.value)


def test_segments_that_nobody_reads_are_not_parsed() -> None:
    found = read(message("PID|1||7", "GT1|1|x", "ZZZ|1", "IN1|" + "|" * 150_000))
    assert [segment.name for segment in found.segments] == ["PID"]


def test_a_part_is_a_sound_message_of_its_own() -> None:
    found = read(message("PID|1||7||Bj\u00f6rk", "OBX|1|NM|a", "OBX|2|NM|b"))
    part = read(found.part(found.segments[0], found.segments[2]))
    assert [segment.raw for segment in part.segments] == ["PID|1||7||Bj\u00f6rk", "OBX|2|NM|b"]
    assert part.header == found.header


def test_what_the_splitter_raises_is_contained(monkeypatch: pytest.MonkeyPatch) -> None:
    import hl7

    def broken(*_: Any) -> None:
        raise AssertionError("PID|Secret")

    monkeypatch.setattr(hl7, "parse", broken)
    with pytest.raises(Malformed) as refused:
        read(message("PID|1||7"))
    assert refused.value.error == "207"
    assert refused.value.__context__ is None
