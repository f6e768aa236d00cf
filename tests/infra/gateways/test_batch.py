"""Batches as engines leave them: with marks and ends of lines before them, and documents of several lines in them."""

from __future__ import annotations

import pytest

from tests.schemas.hl7v2.messages import PID, PV1, message
from wardstream.infra.gateways.batch import is_batch, messages

FIRST, SECOND = message("EVN|A01|20260310101500", PID, PV1, kind="ADT^A01"), message(PID, "OBX|1|TX|1^n||one\ntwo")
BATCH = b"BHS|^~\\&|A\r" + FIRST + SECOND + b"BTS|2\r"


@pytest.mark.parametrize("before", [b"", b"\r\n", b"\n", b"\xef\xbb\xbf", b"\xef\xbb\xbf\r\n"])
def test_a_batch_is_known_and_read_whatever_stands_before_it(before: bytes) -> None:
    assert is_batch(before + BATCH)
    assert messages(before + BATCH) == [FIRST, SECOND]
    assert not is_batch(before + FIRST)


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_other_ends_of_lines(end: bytes) -> None:
    assert messages((b"BHS|^~\\&|A\r" + FIRST + FIRST + b"BTS|2\r").replace(b"\r", end)) == [FIRST, FIRST]
