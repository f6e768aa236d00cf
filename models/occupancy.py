"""Which rows of occupancy.v1 a stay makes, and which of them have changed since they were told.

All rows of a patient are computed anew from the stay's events and compared with what was told: so the last row of each
key follows from the events alone, in whatever order and however often they came, and a row that no event calls for any
more is withdrawn.
"""

from collections.abc import Mapping, Sequence
from hashlib import blake2b

import msgspec

from wardstream.models.stay import StayLog, Visit
from wardstream.schemas.occupancy import row_key

_encode = msgspec.json.Encoder().encode
_DIGEST_BYTES = 8


def rows(patient_id: str, log: StayLog) -> Mapping[str, Sequence[Visit]]:
    """The visits of units by the key of their row, in their order: the last one is what the row says."""
    found: dict[str, list[Visit]] = {}
    for visit in log.visits():
        found.setdefault(row_key(visit.unit, visit.stay.encounter_id, patient_id), []).append(visit)
    return found


def revise(patient_id: str, log: StayLog) -> Mapping[str, Sequence[Visit]]:
    """What has to be told now, by key; no visits: the row is withdrawn. The log then holds it as told."""
    found = rows(patient_id, log)
    told = {key: _digest(patient_id, visits) for key, visits in found.items()}
    changed = {key: visits for key, visits in found.items() if log.told.get(key) != told[key]}
    withdrawn: dict[str, Sequence[Visit]] = {key: () for key in log.told if key not in found}
    log.told = told
    return withdrawn | changed


def _digest(patient_id: str, visits: Sequence[Visit]) -> str:
    return blake2b(_encode((patient_id, visits)), digest_size=_DIGEST_BYTES).hexdigest()
