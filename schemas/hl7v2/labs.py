"""Laboratory results: one OBX, one event of labs.v1.

`observed_at` is the time of the specimen: SPM-17 or OBR-7, else OBX-14, which many laboratories fill with the time of
the analysis. A unit travels as UCUM writes it where that is what was meant, and as it was spelt otherwise; one that is
not known for an analyte with bounds (`schemas.bounds.LAB_BOUNDS`) is refused, and so is a missing one. Of other
analytes nothing is known that a unit could contradict.

Lines of one text (the same code and sub-id, one OBX after the other) are one result.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from wardstream.schemas.bad_event import BadEvent
from wardstream.schemas.bounds import LAB_BOUNDS
from wardstream.schemas.hl7v2.groups import Observation, units, when
from wardstream.schemas.hl7v2.mapped import Person
from wardstream.schemas.hl7v2.statuses import version
from wardstream.schemas.hl7v2.values import Unreadable, Value, flag, reference_range, value_of
from wardstream.schemas.hl7v2.work import Work, made
from wardstream.schemas.labs import Lab
from wardstream.schemas.units import lab_unit

TOPIC: Final = "labs.v1"
_FIELDS: Final = {"value": 5, "text": 5, "unit": 6, "loinc": 3, "observed_at": 14, "specimen_at": 14}
"""Where fields of the event come from."""


class _Read(NamedTuple):
    """A result as it was read; `more` are the further lines of its text. One that was rejected still counts."""

    one: Observation
    value: Value
    unit: str | None
    more: tuple[str, ...] = ()
    rejected: bool = False


def map_labs(work: Work, patient: Person, observations: Sequence[Observation]) -> None:
    """Map the laboratory results of one patient."""
    seen: dict[tuple[object, ...], int] = {}
    for read in _joined(_read(work, observations)):
        one, group = read.one, read.one.group
        times = ((group.spm, 17), (group.obr, 7), (one.obx, 14), (group.obr, 22))
        at, reason, place = when(work, times)
        if at is None and read.rejected:
            continue
        if at is None:
            work.reject(TOPIC, reason, (place,), *one.needed)
            continue
        identity = ("lab", patient.patient_id, group.order, one.code, one.obx.text(4), at.isoformat())
        seen[identity] = count = seen.get(identity, 0) + 1  # of results that nothing else tells apart
        if read.rejected:
            continue
        try:
            _keep(work, patient, read, at, (*identity, count))
        except BadEvent as bad:
            places = sorted({one.obx.place(_FIELDS.get(name, 3)) for name in bad.fields})
            work.reject(TOPIC, bad.reason, places, *one.needed)


def _read(work: Work, observations: Iterable[Observation]) -> Iterable[_Read]:
    for one in observations:
        if one.status == "cancelled":
            yield _Read(one, Value(), None)
            continue
        try:
            value = value_of(one.obx)
        except Unreadable:
            work.reject(TOPIC, "wrong_type", (one.obx.place(5),), *one.needed)
            yield _Read(one, Value(), None, rejected=True)
            continue
        unit = _unit(work, one) if value.number is not None else None
        if unit is None and value.number is not None:
            reason = "unknown_unit" if one.obx.whole(6) else "missing_field"
            work.reject(TOPIC, reason, (one.obx.place(6),), *one.needed)
            yield _Read(one, Value(), None, rejected=True)
            continue
        yield _Read(one, value, unit or None)


def _unit(work: Work, one: Observation) -> str | None:
    """The unit as it should travel, empty where there is none to have; None: it cannot be used."""
    bound, spelt = LAB_BOUNDS.get(one.meaning.code), units(work, one)
    if bound is None:
        return spelt[0]
    known = (lab_unit(bound.unit, unit) for unit in spelt)
    return next((unit for unit in known if unit is not None), None)


def _joined(results: Iterable[_Read]) -> Iterable[_Read]:
    """Join the lines of texts."""
    last: _Read | None = None
    for read in results:
        if last is not None and _continues(last, read):
            last = last._replace(more=(*last.more, read.value.text))
            continue
        if last is not None:
            yield last
        last = read
    if last is not None:
        yield last


def _continues(last: _Read, read: _Read) -> bool:
    one, other = last.one, read.one
    return bool(
        last.value.text
        and read.value.text
        and one.group is other.group
        and (one.code, one.status, one.obx.text(4)) == (other.code, other.status, other.obx.text(4))
        and other.obx.text(2).upper() in ("TX", "FT", "ST")
    )


def _keep(work: Work, patient: Person, read: _Read, at: datetime, identity: tuple[object, ...]) -> None:
    one, value, group = read.one, read.value, read.one.group
    low, high = reference_range(one.obx.whole(7)) if value.number is not None else (None, None)
    taken = work.moments.first(
        segment.text(field) for segment, field in ((group.spm, 17), (group.obr, 7)) if segment is not None
    )
    result: dict[str, Any] = {
        "value": value.number,
        "comparator": value.comparator,
        "text": "\n".join((value.text, *read.more)) or None,
        "unit": read.unit,
        "reference_low": low,
        "reference_high": high,
        "flag": None if one.status == "cancelled" else flag(one.obx),
    }
    said = sorted(result.items(), key=lambda item: item[0])
    result["text"] = result["text"] and work.without_identity(result["text"])
    reported = work.moments.read(group.obr_text(22))
    fields = {
        **work.about(patient, group.encounter(work)),
        "observed_at": at,
        "available_at": reported,
        "loinc": one.meaning.code,
        "specimen_at": taken,
        **result,
    }
    event_id, result_id = version(work, one.status, identity, said, group.obr_text(22))
    work.keep(made(Lab, {**fields, "event_id": event_id, "status": one.status, "supersedes": result_id}))
