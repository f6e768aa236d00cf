"""The sample messages of the reference data, and the settings of a feed that sends them all."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from wardstream.infra.gateways.coverage import OUTCOMES, Coverage, type_rows
from wardstream.infra.gateways.samples import split
from wardstream.schemas.hl7v2 import Code, Feed
from wardstream.schemas.pseudonym import Pseudonyms

READ_AT = datetime(2030, 1, 1, tzinfo=UTC)  # some samples are dated 2029
PSEUDONYMS = Pseudonyms(bytes(32))
_BLOOD = {
    "tt-0001-01": "14647-2",
    "tt-0002-01": "718-7",
    "tt-0002-06": "777-3",
    "tt-0002-07": "6690-2",
    "tt-0002-09": "751-8",
    "tt-0003-01": "2160-0",
    "tt-0003-02": "2823-3",
    "tt-0003-03": "2951-2",
    "tt-0003-04": "22664-7",
}
SAMPLES_FEED = Feed(
    name="samples",
    timezone="UTC",
    authority="samples",
    identifier_types=("MR", "MRN", "PI", "PT", "PK", "AN", "SR", "EPI", "GOOD HEALTH HOSPITAL", "SN", "SSN"),
    codes={
        **{f"{code}^^WinPath": Code(loinc=loinc) for code, loinc in _BLOOD.items()},
        "tt-0002-03^^WinPath": Code(loinc="4544-3", unit="1"),
        "tt-0005-01^^LOINC": Code(field="consciousness"),
        "tt-0005-03^^WelchAllyn": Code(field="fio2_fraction"),
        "tt-0005-10^^WelchAllyn": Code(field="oxygen_flow_l_per_min"),
        "tt-0005-11^^WelchAllyn": Code(field="oxygen_device"),
    },
    units={"UMOLL": "umol/L", "MMOLL": "mmol/L", "MDC_DIM_X_L_PER_MIN": "L/min"},
)


class Sample(NamedTuple):
    """One message, and whether it is a message at all."""

    raw: bytes
    sound: bool


def samples(shared_data: Path) -> Iterator[Sample]:
    """All of them, in the order of the file; two sound ones in one text are two."""
    with gzip.open(shared_data / "hl7v2" / "hl7v2_messages_dev.jsonl.gz", "rt", encoding="utf-8") as lines:
        for line in lines:
            found = json.loads(line)
            raw = found["message"].encode()
            for message in split(raw) if found["structurally_ok"] else (raw,):
                yield Sample(message, found["structurally_ok"])


def coverage(shared_data: Path) -> Coverage:
    """What becomes of all of them."""
    counted = Coverage()
    for sample in samples(shared_data):
        counted.take(sample.raw, SAMPLES_FEED, PSEUDONYMS, READ_AT)
    return counted


def table(counted: Coverage) -> list[str]:
    """The table of README, line by line."""
    heads = ("type", "messages", *OUTCOMES, "events of")
    rows = [heads, ("---",) * len(heads), *type_rows(counted)]
    return [f"| {' | '.join(row)} |" for row in rows]
