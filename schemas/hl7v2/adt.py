"""ADT (chapter 3): movements, their cancellations and merges, to admissions.v1.

**Ids.** A UUIDv5 of feed, patient, encounter, trigger, time, and of what the event says: an A08 that is sent again is
the same event, one that says something else in the same second is another. The message's control id is no part of it.

**Cancellations** (A11, A12, A13, A38) do not say which event they cancel; they are events of a kind of their own, and
`models/stay.py` finds what they take back.

**Times**: when it happened (EVN-6), else the visit's own time (PV1-44 of an admission, PV1-45 of a discharge), else
when it was recorded (EVN-2), else when it was sent (MSH-7). One that cannot be read, or had not come yet when it was
recorded, is passed over and counted as (`time`, place): a movement that is lost is worse than one with the time of its
recording, and a plan that has come true when the message is sent again, or late, must not become another event. PV1-44
of a registration (A05) is a plan and is not read. When it was recorded is `available_at`: by that a cancellation finds
what it takes back, though that was said to happen later. A discharge on a date alone was at the end of that day, for
the admission may have been on it too. A cancellation is not earlier than what it cancels, where its PV1 says when that
was.

An update (A08) of a visit that has ended by its PV1-45 says nothing of a place: nobody is there any more.

A swap (A17) is two transfers. A merge (A40 and its older forms) has PID and MRG for each patient who survives; each
number in MRG-1 of the kind that names patients is one that ceases (chapter 3, MRG-1: a list of prior identifiers), up
to `MOST_MERGES` in a message; those beyond are a reject. One that does not say who gave it was given by whom PID-3 says
of the number that survives. Where both are the same patient here, because only another
kind of number changed, it is ignored as (`merge`, place).
What was measured beside a movement is read by `observations.map_beside`; beside a merge it is ignored: (`segment`,
`OBX`).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from wardstream.schemas.admissions import Admission, Kind
from wardstream.schemas.bad_event import BadEvent
from wardstream.schemas.envelope import FUTURE_TOLERANCE
from wardstream.schemas.hl7v2.mapped import Person
from wardstream.schemas.hl7v2.observations import map_beside
from wardstream.schemas.hl7v2.patients import age_years, identifiers, person
from wardstream.schemas.hl7v2.reading import Segment
from wardstream.schemas.hl7v2.times import DAY, stated
from wardstream.schemas.hl7v2.visits import disposition, encounter_id, patient_class, place
from wardstream.schemas.hl7v2.work import Work, made

TOPIC: Final = "admissions.v1"
KINDS: Final[Mapping[str, Kind]] = {
    **dict.fromkeys(("A01", "A04", "A05"), "admit"),
    **dict.fromkeys(("A02", "A06", "A07", "A17"), "transfer"),
    "A03": "discharge",
    **dict.fromkeys(("A08", "A28", "A31"), "update"),
    **dict.fromkeys(("A11", "A38"), "cancel_admit"),
    "A12": "cancel_transfer",
    "A13": "cancel_discharge",
    **dict.fromkeys(("A18", "A30", "A34", "A36", "A39", "A40", "A46", "A47"), "merge"),
}
"""By trigger. A06 and A07 change the class; A28 and A31 are about the person, A30 to A47 join two record numbers."""
MOST_MERGES: Final = 1000
"""Of one message: each of the numbers in a field of some bytes becomes an event of hundreds."""
_OF_PERSON: Final = frozenset(("A28", "A31"))
_FIELDS: Final = {
    "observed_at": "EVN-2",
    "unit": "PV1-3",
    "room": "PV1-3",
    "bed": "PV1-3",
    "merged_patient_id": "MRG-1",
    "encounter_id": "PV1-19",
}


@dataclass(eq=False)
class _Part:
    """A PID with what belongs to it."""

    pid: Segment
    pv1: Segment | None = None
    mrg: list[Segment] = field(default_factory=list)


def map_admission(work: Work, trigger: str) -> None:
    """Map an ADT message of a trigger that is in `KINDS`."""
    kind, evn = KINDS[trigger], work.message.first("EVN")
    parts = list(_parts(work))
    room = MOST_MERGES
    if not parts:
        work.ignore("patient", "PID-3")
    for part in parts:
        patient = person(work, part.pid, TOPIC, evn, part.pv1, *part.mrg)
        if patient is None:
            continue
        at = _time(work, kind, evn, None if trigger == "A05" else part.pv1)
        if at is None:
            work.reject(TOPIC, *_no_time(work, evn), evn, part.pid, part.pv1, *part.mrg)
        elif kind == "merge":
            room -= _merge(work, part, patient, at, evn, trigger, room)
        else:
            said = {} if trigger in _OF_PERSON else _stay(work, part, kind, trigger)
            encounter = None if trigger in _OF_PERSON else encounter_id(work, part.pid, part.pv1)
            _keep(work, part, patient, at, evn, trigger, {"kind": kind, "encounter_id": encounter, **said})
    if kind != "merge":
        map_beside(work)
    elif work.message.first("OBX") is not None:
        work.ignore("segment", "OBX")  # a part of this message would make half a merge


def _parts(work: Work) -> Iterator[_Part]:
    part: _Part | None = None
    for segment in work.message.segments:
        if segment.name == "PID":
            if part is not None:
                yield part
            part = _Part(segment)
        elif part is not None and segment.name == "PV1":
            part.pv1 = part.pv1 or segment
        elif part is not None and segment.name == "MRG":
            part.mrg.append(segment)
    if part is not None:
        yield part


def _time(work: Work, kind: Kind, evn: Segment | None, pv1: Segment | None) -> datetime | None:
    of_visit = {"admit": 44, "discharge": 45}.get(kind)
    places = [(evn, 6), (pv1, of_visit) if of_visit else (None, 0), (evn, 2)]
    texts = []
    for segment, number in places:
        text = "" if segment is None else segment.text(number)
        if segment is not None and text:
            if _past(work, text, evn) is None:
                work.ignore("time", segment.place(number))
            else:
                texts.append(text)
    sent_at = work.message.header.sent_at
    at = work.moments.first((*texts, *([sent_at] if _past(work, sent_at, None) else [])))
    if at is None:
        return None
    if kind == "discharge" and texts and at == work.moments.read(date := texts[0][:8]):
        return _past(work, f"{date}235959{texts[0][8:]}", evn) or at
    undone = {"cancel_admit": 44, "cancel_discharge": 45}.get(kind)
    was = None if undone is None or pv1 is None else _past(work, pv1.text(undone), evn)
    return at if was is None else max(at, was)


def _past(work: Work, text: str, evn: Segment | None) -> datetime | None:
    """The moment that a time means; None: it cannot be told, or had not come yet."""
    at = work.moments.read(text) if text else None
    recorded = _recorded(work, evn)
    now = work.received_at if recorded is None else min(recorded, work.received_at)
    return None if at is None or at - now > FUTURE_TOLERANCE else at


def _recorded(work: Work, evn: Segment | None) -> datetime | None:
    """When the sender recorded it (EVN-2), or else sent it (MSH-7); None: neither says the hour, or both are ahead."""
    for text in ("" if evn is None else evn.text(2), work.message.header.sent_at):
        time = stated(text)
        at = None if time is None or time.parts <= DAY else work.moments.read(text)
        if at is not None and at - work.received_at <= FUTURE_TOLERANCE:
            return at
    return None


def _no_time(work: Work, evn: Segment | None) -> tuple[str, tuple[str, ...]]:
    """Why a movement has no time, and the place at fault."""
    recorded = "" if evn is None else evn.text(2)
    if recorded and work.moments.read(recorded) is not None:
        return "future", ("EVN-2",)
    ahead = work.moments.read(work.message.header.sent_at) is not None
    return ("future", ("MSH-7",)) if ahead else ("missing_field", ("EVN-2",))


def _stay(work: Work, part: _Part, kind: Kind, trigger: str) -> dict[str, Any]:
    """What the event says of the stay."""
    said = {**place(part.pv1), "patient_class": "preadmit" if trigger == "A05" else patient_class(part.pv1)}
    if kind == "update" and part.pv1 is not None and _past(work, part.pv1.text(45), work.message.first("EVN")):
        said |= place(None)
    if kind == "discharge":
        said["disposition"] = disposition(part.pid, part.pv1)
    return said


def _merge(work: Work, part: _Part, patient: Person, at: datetime, evn: Segment | None, trigger: str, room: int) -> int:
    """Merge all numbers that cease, as far as there is room; returns how much that took."""
    taken = 0
    if not part.mrg:
        work.reject(TOPIC, "missing_field", ("MRG-1",), evn, part.pid)
    for mrg in part.mrg:
        ceased, found = identifiers(work, mrg, 1, patient.authority)
        if not ceased:
            work.reject(TOPIC, "bad_format" if found else "missing_field", ("MRG-1",), evn, part.pid, mrg)
        elif len(ceased) > room - taken:
            work.reject(TOPIC, "too_large", ("MRG-1",), evn, part.pid, mrg)
        for number in ceased[: room - taken]:
            taken += 1
            merged = work.pseudonyms.patient(*number)
            if merged == patient.patient_id:
                work.ignore("merge", "MRG-1")
                continue
            said = {"kind": "merge", "encounter_id": None, "merged_patient_id": merged}
            _keep(work, part, patient, at, evn, trigger, said)
    return taken


def _keep(
    work: Work, part: _Part, patient: Person, at: datetime, evn: Segment | None, trigger: str, said: dict[str, Any]
) -> None:
    who = {"age_years": age_years(patient.birth_date, at), "sex": patient.sex}
    identity = (
        "adt",
        patient.patient_id,
        trigger,
        at.isoformat(),
        patient.birth_date,
        sorted(said.items()),
        patient.sex,
    )
    fields = {
        **work.about(patient, None),
        **who,
        **said,
        "event_id": work.event_id(*identity),
        "observed_at": at,
        "available_at": _recorded(work, evn),
    }
    try:
        work.keep(made(Admission, fields))
    except BadEvent as bad:
        places = sorted({_FIELDS.get(name, "PID") for name in bad.fields})
        work.reject(TOPIC, bad.reason, places, evn, part.pid, part.pv1, *part.mrg)
