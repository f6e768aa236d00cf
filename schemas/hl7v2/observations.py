"""ORU, ORF and OUL, and OBX in ADT: observations to sets of vital signs, laboratory results and notes (chapter 7).

A message is read in groups: an OBR with its OBX. Each OBX is one of: a vital sign, and goes into the set of its time
(`vitals`); a laboratory result (`labs`); a line of a document (`notes`); or nothing that wardstream keeps, counted as
ignored: (`code`, code) has no meaning here, (`status`, letter) is no result, (`empty`, code) says nothing, (`value`,
type) is a picture, a sound or a pointer. A bad OBX is a reject of its own; the others go on.

IHE PCD-01 (device observations) is an ORU^R01 whose codes are MDC's and whose times are OBX-14's. The rows that only
say which device, module and channel a value came from (OBX-4 is their path) have no value, and are ignored by their
codes.
"""

from typing import Final

from wardstream.schemas.bounds import LAB_BOUNDS
from wardstream.schemas.hl7v2.codes import SATURATION, Meaning, local, meaning
from wardstream.schemas.hl7v2.groups import Group, Observation, groups
from wardstream.schemas.hl7v2.labs import map_labs
from wardstream.schemas.hl7v2.notes import is_report, map_reports
from wardstream.schemas.hl7v2.patients import identifier, person
from wardstream.schemas.hl7v2.reading import Segment
from wardstream.schemas.hl7v2.statuses import COUNTS, LEFT_OUT
from wardstream.schemas.hl7v2.values import TEXTS
from wardstream.schemas.hl7v2.vitals import map_vitals
from wardstream.schemas.hl7v2.work import Work

_READABLE: Final = TEXTS | {"NM", "SN"}
_TOPICS: Final = {"vital": "vitals.v1", "lab": "labs.v1", "note": "notes.v1"}


def map_observations(work: Work) -> None:
    """Map all observations of a message; each PID begins another patient."""
    if work.message.first("OBX") is None:
        work.ignore("empty", "OBX")
    for pid, own in _by_patient(work).items():
        counting = [one for group in own for one in _observations(work, group)]
        reports = [group for group in own if is_report(group)]
        if not counting and not reports:
            continue
        topic = _TOPICS[counting[0].meaning.kind] if counting else "notes.v1"
        patient = person(work, pid, topic, *(segment for group in own for segment in (*group.around, *group.obx)))
        if patient is None:
            continue
        map_vitals(work, patient, [one for one in counting if one.meaning.kind == "vital"])
        map_labs(work, patient, [one for one in counting if one.meaning.kind == "lab"])
        map_reports(work, patient, reports, [one for one in counting if one.meaning.kind == "note"])


def map_beside(work: Work) -> None:
    """Map what was measured beside a movement (ADT): vital signs, and results of analytes that are known here.

    They have no order, so each needs a time of its own; one without is ignored as (`time`, place). What else stands
    there, as the reason for the visit or the answers to a form, may have LOINC codes too and is no laboratory result:
    it is ignored by its code.
    """
    for pid, own in _by_patient(work).items():
        if pid is None or identifier(work, pid, 3)[0] is None:
            continue  # told of the movement
        for group in own:
            group.obx = [obx for obx in group.obx if _stands_alone(work, obx)]
        counting = [one for group in own for one in _observations(work, group)]
        patient = person(work, pid, _TOPICS["vital"]) if counting else None
        if patient is not None:
            map_vitals(work, patient, [one for one in counting if one.meaning.kind == "vital"])
            map_labs(work, patient, [one for one in counting if one.meaning.kind == "lab"])


def _stands_alone(work: Work, obx: Segment) -> bool:
    """Whether an OBX says by itself what was measured, and when."""
    known = meaning(work.feed, obx)
    if known is None:
        return True  # it is counted with all others
    if known.kind == "note" or (known.kind == "lab" and known.code not in LAB_BOUNDS):
        work.ignore("code", local(obx.text(3, 1) or obx.text(3, 2), obx.text(3, 3)))
        return False
    if not obx.text(14):
        work.ignore("time", obx.place(14))
    return bool(obx.text(14))


def _by_patient(work: Work) -> dict[Segment | None, list[Group]]:
    found: dict[Segment | None, list[Group]] = {}
    for group in groups(work.message.segments):
        found.setdefault(group.pid, []).append(group)
    return found


def _observations(work: Work, group: Group) -> list[Observation]:
    """The OBX of a group that count; the others are ignored or rejected here."""
    found: list[Observation] = []
    report = is_report(group)
    for obx in group.obx:
        code, system = obx.text(3, 1) or obx.text(3, 2), obx.text(3, 3)
        said, known = local(code, system), meaning(work.feed, obx)
        if work.feed.leaves_out(code, system) or (known is None and not report):
            work.ignore("code", said)
        elif known is not None:  # else it is a line of the report
            letter = obx.text(11).upper() or group.obr_text(25).upper()
            status = COUNTS.get(letter)
            if letter in LEFT_OUT:
                work.ignore("status", letter)
            elif status is None:
                work.reject(_TOPICS[known.kind], "bad_format", (obx.place(11),), *group.around, obx)
            elif status != "cancelled" and obx.text(2).upper() not in _READABLE:
                work.ignore("value", obx.text(2))
            elif status != "cancelled" and not obx.whole(5):
                work.ignore("empty", said)
            else:
                found.append(Observation(obx, group, known, status, said))
    if any(one.meaning.kind == "vital" for one in found):
        for one in found:
            if one.meaning.code == SATURATION:
                one.meaning = Meaning("vital", "spo2_percent", rank=1, unit=one.meaning.unit)
    return found
