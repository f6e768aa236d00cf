"""All sample messages: sound ones give events or are not for us, malformed ones are refused; README's table is so."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from tests.schemas.hl7v2.samples import PSEUDONYMS, READ_AT, SAMPLES_FEED, coverage, samples, table
from wardstream.schemas.hl7v2 import Malformed, map_message

README = Path(__file__).resolve().parents[3] / "README.md"


def test_every_sound_message_gives_events_or_is_not_for_us(shared_data: Path) -> None:
    """Or says in which place it has what nobody can use: a heart rate of "60~120", a swap without places."""
    places: Counter[tuple[str, str]] = Counter()
    total = 0
    for sample in samples(shared_data):
        if sample.sound:
            total += 1
            found = map_message(sample.raw, SAMPLES_FEED, PSEUDONYMS, READ_AT)
            if not found.events:
                assert found.rejects or found.ignored
                places.update((reject.reason, reject.fields[0]) for reject in found.rejects[:1])
    assert total == 1718 + 2
    assert places == {
        ("wrong_type", "OBX[1]-5"): 4,  # "60~120"
        ("wrong_type", "OBX[3]-5"): 1,
        ("missing_field", "OBR[1]-7"): 1,  # a result without any time
        ("missing_field", "PV1-3"): 1,  # a swap of beds that names none
    }


def test_every_malformed_message_is_refused(shared_data: Path) -> None:
    refused = 0
    for sample in samples(shared_data):
        if not sample.sound:
            with pytest.raises(Malformed):
                map_message(sample.raw, SAMPLES_FEED, PSEUDONYMS, READ_AT)
            refused += 1
    assert refused == 135


def test_no_event_holds_a_name_or_a_number(shared_data: Path) -> None:
    """Of those whose texts nobody writes: movements, vital signs and results."""
    for sample in samples(shared_data):
        if sample.sound:
            found = map_message(sample.raw, SAMPLES_FEED, PSEUDONYMS, READ_AT)
            for person in found.persons:
                for event in found.events:
                    assert person.number not in (event.patient_id, event.encounter_id)


def test_readme_has_the_table(shared_data: Path) -> None:
    found = re.search(r"<!-- hl7: .*?-->\n(.*?)\n<!-- /hl7 -->", README.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    if found[1].splitlines() != table(coverage(shared_data)):
        pytest.fail("\n".join(table(coverage(shared_data))))
