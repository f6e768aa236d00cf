"""What a site declares of a sender."""

from __future__ import annotations

import msgspec
import pytest

from tests.schemas.hl7v2.messages import FEED, NOW, PID, PSEUDONYMS, PV1, message
from wardstream.schemas.hl7v2 import map_message

EVN = "EVN|A01|20260310101500|||||"


@pytest.mark.parametrize(("said", "taken"), [("P", True), ("P^T", True), ("", True), ("T", False), ("D^I", False)])
def test_of_other_systems_than_production_nothing_is_taken_where_the_feed_says_so(said: str, taken: bool) -> None:
    raw = message(EVN, PID, f"{PV1}{'|' * 25}202603101000", kind="ADT^A01^ADT_A01").replace(
        b"|P|", f"|{said}|".encode(), 1
    )
    strict = msgspec.structs.replace(FEED, processing=frozenset("P"))
    found = map_message(raw, strict, PSEUDONYMS, NOW)
    assert (len(found.events), len(found.persons)) == ((1, 1) if taken else (0, 0))
    assert found.ignored == (() if taken else (("processing", said[0]),))
    assert len(map_message(raw, FEED, PSEUDONYMS, NOW).events) == 1
