"""Documents: reports in ORU, and MDM (chapter 9), to notes.v1.

A report is an OBR of a section that examines pictures (OBR-24, table 0074): its lines of text are one note. So are the
lines of a code that LOINC or the site calls a document. An MDM is one note; those that only announce one (T01, T03, …)
and those whose document is a file (ED, RP) have no text, and nothing is kept of them.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from wardstream.schemas.bad_event import BadEvent
from wardstream.schemas.envelope import Status
from wardstream.schemas.hl7v2.codes import note_kind
from wardstream.schemas.hl7v2.groups import Group, Observation, when
from wardstream.schemas.hl7v2.mapped import Person
from wardstream.schemas.hl7v2.patients import person
from wardstream.schemas.hl7v2.reading import Segment
from wardstream.schemas.hl7v2.statuses import COUNTS, LEFT_OUT, version
from wardstream.schemas.hl7v2.values import TEXTS
from wardstream.schemas.hl7v2.visits import encounter_id
from wardstream.schemas.hl7v2.work import Work, made
from wardstream.schemas.notes import Kind, Note

TOPIC: Final = "notes.v1"
SECTIONS: Final = frozenset(
    ("RAD", "RX", "XRC", "CT", "CTH", "CUS", "MR", "MRI", "NMR", "NMS", "NM", "OUS", "RUS", "US", "VUS", "MG", "IMG")
)
"""Of OBR-24 (table 0074, and what is sent instead): they examine pictures."""
_MDM: Final[Mapping[str, Status]] = {
    **dict.fromkeys(("T02", "T04", "T06"), "final"),
    **dict.fromkeys(("T08", "T10"), "corrected"),
    "T11": "cancelled",
}
_UNFINISHED: Final = frozenset(("DI", "IN", "IP", "PA"))
"""Of TXA-17 (table 0271): dictated, incomplete, in progress, not authenticated yet."""
_KINDS: Final[Mapping[str, Kind]] = {
    **dict.fromkeys(("CN", "CONSULT"), "consult"),
    **dict.fromkeys(("DS", "DISCHARGE"), "discharge"),
    **dict.fromkeys(("HP", "HISTORY"), "history"),
    **dict.fromkeys(("OP", "SP"), "operative"),
    **dict.fromkeys(("PN", "PROGRESS"), "progress"),
    **dict.fromkeys(("DI", "RAD"), "radiology"),
    "ED": "triage",
}
"""Of TXA-2 (table 0270)."""


class _Document(NamedTuple):
    kind: Kind
    loinc: str | None
    title: str
    text: str


def is_report(group: Group) -> bool:
    """Return whether an OBR is about pictures, so that its lines are a report."""
    return group.obr_text(24).upper() in SECTIONS


def map_reports(work: Work, patient: Person, reports: Iterable[Group], documents: Sequence[Observation]) -> None:
    """Map the reports of one patient, and the observations that are documents by their code."""
    coded = {one.obx for one in documents}
    for group in reports:
        lines = [obx for obx in group.obx if obx not in coded and _is_text(obx)]
        if not lines:
            work.ignore("document", "no text")
            continue
        title = group.obr_text(4, 2) or group.obr_text(4)
        said = _Document("radiology", None, title, _text(lines))
        _observed(work, patient, group, lines, group.obr_text(4), said)
    together: dict[tuple[Group, str], list[Observation]] = {}
    for one in documents:
        together.setdefault((one.group, one.meaning.code), []).append(one)
    for (group, loinc), ones in together.items():
        lines = [one.obx for one in ones]
        title = lines[0].text(3, 2) or group.obr_text(4, 2)
        _observed(work, patient, group, lines, loinc, _Document(note_kind(loinc), loinc, title, _text(lines)))


def _observed(work: Work, patient: Person, group: Group, lines: Sequence[Segment], code: str, said: _Document) -> None:
    """A document that came as observations: of the status of its first line."""
    at, reason, place = when(work, ((group.obr, 7), (lines[0], 14), (group.obr, 22)))
    needed = (*group.around, *lines)
    letter = lines[0].text(11).upper() or group.obr_text(25).upper()
    status = COUNTS.get(letter)
    if letter in LEFT_OUT:
        work.ignore("status", letter)
    elif status is None:
        work.reject(TOPIC, "bad_format", (lines[0].place(11),), *needed)
    elif at is None:
        work.reject(TOPIC, reason, (place,), *needed)
    else:
        identity = ("note", patient.patient_id, group.order, code, lines[0].text(4), at.isoformat())
        encounter = group.encounter(work)
        _publish(work, patient, encounter, at, identity, status, said, lines[0].place(5), needed, group.obr_text(22))


def map_document(work: Work) -> None:
    """Map an MDM."""
    message = work.message
    trigger = message.header.type.partition("^")[2]
    pid, pv1, txa = message.first("PID"), message.first("PV1"), message.first("TXA")
    lines = [obx for obx in message.all("OBX") if _is_text(obx)]
    status = _MDM[trigger]
    if txa is None or (status != "cancelled" and not _text(lines)):
        work.ignore("document", "no text")
        return
    needed = (pid, pv1, txa, message.first("EVN"), *lines)
    patient = person(work, pid, TOPIC, *needed)
    if patient is None:
        return
    at, reason, place = when(work, ((txa, 4), (txa, 6), (txa, 7), (message.first("EVN"), 2)))
    if at is None:
        work.reject(TOPIC, reason, (place,), *needed)
        return
    if status == "final" and txa.text(17).upper() in _UNFINISHED:
        status = "preliminary"
    # A replacement is a document of its own number, which names its parent; an edited one keeps its number.
    number = txa.text(13) if trigger == "T10" and txa.text(13) else txa.text(12)
    identity = ("document", patient.patient_id, number or at.isoformat())
    title = txa.text(2, 2) or txa.text(2)
    said = _Document(_KINDS.get(txa.text(2).upper(), "other"), None, title, _text(lines))
    _publish(work, patient, encounter_id(work, pid, pv1), at, identity, status, said, txa.place(2), needed, txa.text(7))


def _publish(
    work: Work,
    patient: Person,
    encounter: str | None,
    at: datetime,
    identity: tuple[object, ...],
    status: Status,
    said: _Document,
    place: str,
    needed: Sequence[Segment | None],
    reported: str,
) -> None:
    gone = status == "cancelled"
    fields = {
        **work.about(patient, encounter),
        "observed_at": at,
        "kind": said.kind,
        "loinc": said.loinc,
        "title": work.without_identity(said.title)[:1000] or None,
        "text": None if gone else work.without_identity(said.text),
    }
    event_id, document_id = version(work, status, identity, said, reported)
    try:
        work.keep(made(Note, {**fields, "event_id": event_id, "status": status, "supersedes": document_id}))
    except BadEvent as bad:
        work.reject(TOPIC, bad.reason, (place,), *needed)


def _is_text(obx: Segment) -> bool:
    return obx.text(2).upper() in TEXTS and obx.repetitions(5) > 0


def _text(lines: Sequence[Segment]) -> str:
    """The lines as one text."""
    said = []
    for obx in lines:
        coded = obx.text(2).upper() in ("CE", "CWE", "CNE")
        parts = (
            [obx.text(5, 2) or obx.text(5)] if coded else [obx.whole(5, n) for n in range(1, obx.repetitions(5) + 1)]
        )
        said.append("\n".join(parts))
    return "\n".join(said).strip("\n")
