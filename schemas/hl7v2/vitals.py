"""Vital signs: all OBX of one time become one event of vitals.v1.

A value without a unit is refused unless the field has none (scores) or the site has declared one; so is a value that is
impossible. Each is a reject of its own, and the set goes on without it. Where two values of a set contradict each other
(a diastolic pressure above the systolic), both are rejected. Of two values for one field the better code's counts
(`codes`); the other is ignored as (`second`, code).

A set is one version: it is corrected if any of its values is, and preliminary if any is and none is corrected. A value
that is cancelled is left out of it; a set of which nothing is left is cancelled. The fields of a set are part of its
id, for nurses chart some now and some later for the same minute. A correction should repeat its set, as chapter 7 asks
of ORU. One that does not has another id; so it also says which of its fields it corrects or cancels (`retracted`), and
lanes take those out of what they have of that time.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from wardstream.schemas.bad_event import BadEvent
from wardstream.schemas.bounds import BOUNDS
from wardstream.schemas.envelope import Status
from wardstream.schemas.hl7v2.groups import Observation, units, when
from wardstream.schemas.hl7v2.mapped import Person
from wardstream.schemas.hl7v2.statuses import version
from wardstream.schemas.hl7v2.values import WORDS, Unreadable, value_of
from wardstream.schemas.hl7v2.work import Work, made
from wardstream.schemas.units import bedside_value
from wardstream.schemas.vitals import Vitals

TOPIC: Final = "vitals.v1"
_WHOLE: Final = frozenset(("gcs_eye", "gcs_verbal", "gcs_motor", "gcs_total"))


class Refused(ValueError):
    """A value that cannot be used: why, and in which field of the OBX."""

    def __init__(self, reason: str, number: int) -> None:
        super().__init__(reason)
        self.reason = reason
        self.number = number


def map_vitals(work: Work, patient: Person, observations: Sequence[Observation]) -> None:
    """Map the vital signs of one patient."""
    sets: dict[datetime, list[Observation]] = {}
    for one in observations:
        at, reason, place = when(work, ((one.obx, 14), (one.group.obr, 7)))
        if at is None:
            work.reject(TOPIC, reason, (place,), *one.needed)
        else:
            sets.setdefault(at, []).append(one)
    for at, ones in sets.items():
        _map_set(work, patient, at, ones)


def _map_set(work: Work, patient: Person, at: datetime, ones: Sequence[Observation]) -> None:
    """Read the values of a set, and publish those that can be used."""
    found: dict[str, tuple[Observation, Any]] = {}
    gone = [one for one in ones if one.status == "cancelled"]
    for one in sorted(ones, key=lambda one: one.meaning.rank):
        name = one.meaning.code
        if one.status == "cancelled":
            continue
        if name in found:
            work.ignore("second", one.code)
            continue
        try:
            found[name] = one, _read(work, one)
        except Refused as refused:
            work.reject(TOPIC, refused.reason, (one.obx.place(refused.number),), *one.needed)
    while found or gone:
        bad = _publish(work, patient, at, found, gone)
        if bad is None:
            return
        # The values that a set cannot have are rejected, and the rest goes on; where it is none of them, all are.
        wrong = [name for name in found if name in bad.fields]
        rejected = [found.pop(name)[0] for name in wrong or list(found)] or gone
        if rejected is gone:
            gone = []
        places = [one.obx.place(5 if wrong else 14) for one in rejected]
        work.reject(TOPIC, bad.reason, places, *(segment for one in rejected for segment in one.needed))


def _publish(
    work: Work,
    patient: Person,
    at: datetime,
    found: dict[str, tuple[Observation, Any]],
    gone: Sequence[Observation],
) -> BadEvent | None:
    """Keep the events of a set, or return why there cannot be one."""
    ones = [*(one for one, _ in found.values()), *gone]
    status = _status([one.status for one in ones], bool(found))
    values = {name: value for name, (_, value) in found.items()}
    orders, names = {one.group.order for one in ones}, {one.meaning.code for one in ones}
    identity = ("vitals", patient.patient_id, *sorted(orders), *sorted(names), at.isoformat())
    event_id, result_id = version(work, status, identity, sorted(values.items()), ones[0].group.obr_text(22))
    known = {"event_id": result_id} if status == "preliminary" else {"event_id": event_id, "supersedes": result_id}
    retracted = {one.meaning.code for one in ones if one.status in ("corrected", "cancelled")}
    device = any(one.meaning.device or one.obx.text(18) for one in ones)
    fields = {
        **work.about(patient, ones[0].group.encounter(work)),
        "observed_at": at,
        "provenance": "device" if device else "charted",
        **values,
        "status": status,
        "retracted": tuple(sorted(retracted)),
        **known,
    }
    try:
        work.keep(made(Vitals, fields))
    except BadEvent as bad:
        return bad
    return None


def _status(statuses: Sequence[Status], anything: bool) -> Status:
    if not anything:
        return "cancelled"
    if "cancelled" in statuses or "corrected" in statuses:
        return "corrected"
    return "preliminary" if "preliminary" in statuses else "final"


def _read(work: Work, one: Observation) -> Any:
    """The value of a vital sign in the unit of its field; `Refused` if it cannot be used."""
    name = one.meaning.code
    try:
        value = value_of(one.obx)
    except Unreadable:
        raise Refused("wrong_type", 5) from None
    if name in WORDS:
        word = WORDS[name].get((value.text or f"{value.number:g}").strip().lower())
        if word is None:
            raise Refused("bad_format", 5)
        return word
    if value.number is None or value.comparator is not None:
        raise Refused("wrong_type", 5)
    bound, spelt = BOUNDS[name], units(work, one)
    numbers = (bedside_value(bound.unit, value.number, unit) for unit in spelt)
    number = next((number for number in numbers if number is not None), None)
    if number is None:
        raise Refused("unknown_unit" if spelt[0] else "missing_field", 6)
    if not bound.low <= number <= bound.high:
        raise Refused("out_of_bounds", 5)
    if name not in _WHOLE:
        return number
    if not number.is_integer():
        raise Refused("wrong_type", 5)
    return int(number)
