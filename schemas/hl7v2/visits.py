"""Which stay and where: PV1 to encounter, unit, room, bed, class and disposition."""

from collections.abc import Mapping
from typing import Any, Final

from wardstream.schemas.admissions import Disposition, PatientClass
from wardstream.schemas.hl7v2.patients import authority
from wardstream.schemas.hl7v2.reading import Segment
from wardstream.schemas.hl7v2.work import Work

_CLASSES: Final[Mapping[str, PatientClass | None]] = {
    **dict.fromkeys(("E", "ER", "ED", "EMER", "EMERGENCY"), "emergency"),
    **dict.fromkeys(("I", "IP", "IMP", "INPATIENT"), "inpatient"),
    **dict.fromkeys(("O", "OP", "AMB", "OUTPATIENT", "R"), "outpatient"),  # R: recurring
    **dict.fromkeys(("P", "PREADMIT"), "preadmit"),
    **dict.fromkeys(("OBS", "OBSENC", "OBSERVATION"), "observation"),
    **dict.fromkeys(("N", "U"), None),  # not applicable, unknown: no statement
}
"""Table 0004, the codes of FHIR's v3-ActCode and the words that are sent instead; B, C and local ones are `other`."""

_DIED: Final = frozenset((*map(str, range(20, 30)), "40", "41", "42", "EXP", "EXPIRED", "DIED", "DEAD"))
_DISPOSITIONS: Final[Mapping[str, Disposition]] = {
    **dict.fromkeys(("01", "1", "06", "6", "08", "8", "HOME"), "home"),
    **dict.fromkeys(("02", "2", "03", "3", "04", "4", "05", "5", "43", "70"), "transfer"),
    **dict.fromkeys(("61", "62", "63", "64", "65", "66"), "transfer"),
    **dict.fromkeys(("07", "7", "AMA"), "against_advice"),
    **dict.fromkeys(("50", "51", "HOSPICE"), "hospice"),
    **dict.fromkeys(_DIED, "died"),
}
"""Table 0112 (as UB-04, form locator 17); 20–29 and 40–42: expired."""


def encounter_id(work: Work, pid: Segment | None, pv1: Segment | None) -> str | None:
    """Return the pseudonym of the visit (PV1-19), or else of the account that it is billed to (PID-18)."""
    for segment, field in ((pv1, 19), (pid, 18)):
        number = "" if segment is None else segment.text(field)
        if segment is not None and number:
            return work.pseudonyms.encounter(authority(work, segment, field), number)
    return None


def place(pv1: Segment | None) -> dict[str, Any]:
    """Return unit, room and bed of PV1-3, an assigned location (PL)."""
    if pv1 is None:
        return {"unit": None, "room": None, "bed": None}
    return {"unit": _label(pv1, 3, 1), "room": _label(pv1, 3, 2), "bed": _label(pv1, 3, 3)}


def patient_class(pv1: Segment | None) -> PatientClass | None:
    """Return the class of the stay, PV1-2."""
    code = "" if pv1 is None else pv1.text(2).upper()
    return _CLASSES.get(code, "other") if code else None


def disposition(pid: Segment | None, pv1: Segment | None) -> Disposition | None:
    """Return where a discharged patient went: PV1-36, and PID-30 of those who died."""
    if pid is not None and pid.text(30).upper() == "Y":
        return "died"
    code = "" if pv1 is None else pv1.text(36).upper()
    return _DISPOSITIONS.get(code, "other") if code else None


def _label(segment: Segment, field: int, component: int) -> str | None:
    return " ".join(segment.text(field, component).split()) or None
