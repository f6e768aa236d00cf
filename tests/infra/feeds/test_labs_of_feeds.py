"""Every result that a feed sends reaches a signal: its code is known, its unit too, and its value is possible."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from wardstream.agents.labs import usable
from wardstream.infra.feeds import challenge2012, challenge2019, mimic_iv, specimens
from wardstream.infra.feeds.records import EPOCH, Tally
from wardstream.models.labs.analytes import BY_LOINC, Analyte
from wardstream.models.labs.units import convert
from wardstream.schemas.bounds import LAB_BOUNDS
from wardstream.schemas.labs import Lab

SENT: dict[str, list[Analyte]] = {
    "challenge2012": list(challenge2012.LABS.values()),
    "challenge2019": list(challenge2019.LABS.values()),
    "mimic-iv": [analyte for analyte, _ in mimic_iv.LABS.values()],
    "simulator": [normal.analyte for normal in (*specimens.ROUTINE, *specimens.ACUTE)],
}


@pytest.mark.parametrize("feed", SENT)
def test_what_a_feed_lists_is_known(feed: str) -> None:
    for analyte in SENT[feed]:
        assert BY_LOINC[analyte.loinc] is analyte
        bound = LAB_BOUNDS[analyte.loinc]
        assert bound.low <= analyte.low < analyte.high <= bound.high, "a feed would send what decoding refuses"


def test_the_units_of_mimic_iv_would_be_understood_as_they_are() -> None:
    unknown = {unit for analyte, unit in mimic_iv.LABS.values() if convert(analyte, 1.0, unit) is None}
    assert unknown == {"UNK"}  # INR: the file's word for "none"
    assert {BY_LOINC[loinc].code for loinc in mimic_iv.OTHER_LOINC.values()} == {"k"}


@pytest.mark.parametrize(
    ("feed", "folder", "patients", "at_least"),
    [
        (challenge2012, "challenge2012_set-a.tar.gz", 60, 3000),
        (challenge2019, "challenge2019_setB_p100001-p106500.tar.gz", 60, 2000),
        (mimic_iv, "mimic_iv_demo_v2.2", 3, 500),
    ],
    ids=["challenge2012", "challenge2019", "mimic-iv"],
)
def test_every_result_of_real_patients_is_used(
    feed: object, folder: str, patients: int, at_least: int, shared_data: Path
) -> None:
    if feed is mimic_iv:
        pytest.importorskip("pyarrow")
    uses: Counter[str] = Counter()
    for record in feed.records(shared_data / "icu" / folder, patients):  # type: ignore[attr-defined]
        for event in record.events(record.begins_at or EPOCH, Tally()):
            if isinstance(event, Lab):
                use, values = usable(event)
                uses[use] += 1
                assert len(values) == 1, (event.loinc, event.unit)
    assert set(uses) == {"scored", "kept"}
    assert uses.total() >= at_least
