"""Where a patient is: the admission events folded into one present.

Events come late, twice, corrected and cancelled (HL7's A11 to A13 do not even say which event they cancel), so the
present is not changed in place: the stay's events are kept, and folded anew, in the order in which they happened,
whenever one comes. Of a long stay the oldest events are folded for good into the stay's `base`: they can be cancelled
no more.
"""

from collections.abc import Iterable
from typing import Literal

import msgspec

from wardstream.schemas.admissions import Admission

KEPT_EVENTS = 40

_CANCELS: dict[str, str] = {
    "cancel_admit": "admit",
    "cancel_transfer": "transfer",
    "cancel_discharge": "discharge",
}


class Stay(msgspec.Struct, omit_defaults=True):
    """The present of a stay. Times in seconds since 1970; None: not known."""

    phase: Literal["unknown", "preadmitted", "present", "left"] = "unknown"
    encounter_id: str | None = None
    patient_class: str | None = None
    unit: str | None = None
    room: str | None = None
    bed: str | None = None
    admitted_at: float | None = None
    left_at: float | None = None
    disposition: str | None = None
    age_years: float | None = None
    sex: str | None = None
    pregnant: bool | None = None
    acuity: int | None = None
    complaint: str | None = None
    code_status: str | None = None


_LASTING = ("encounter_id", "patient_class", "age_years", "sex", "pregnant", "acuity", "complaint", "code_status")
_PLACE = ("unit", "room", "bed")


def effective(events: Iterable[Admission]) -> list[Admission]:
    """The events that hold, in the order in which they happened: without those corrected or cancelled since."""
    ordered = sorted(events, key=lambda event: (event.observed_at, event.received_at, event.event_id.int))
    superseded = {event.supersedes for event in ordered if event.supersedes is not None}
    kept: list[Admission] = []
    for event in ordered:
        if event.event_id in superseded or event.status == "cancelled":
            continue
        cancelled = _CANCELS.get(event.kind)
        if cancelled is None:
            kept.append(event)
            continue
        # The last event of that kind before the cancellation; one that names its event has taken it out above.
        if event.supersedes is None:
            for index in range(len(kept) - 1, -1, -1):
                if kept[index].kind == cancelled:
                    del kept[index]
                    break
    return kept


def fold(events: Iterable[Admission], base: Stay | None = None) -> Stay:
    """The present that the events add up to, after what `base` already says."""
    stay = Stay() if base is None else msgspec.structs.replace(base)
    for event in effective(events):
        if event.kind == "admit" and stay.phase == "left":  # another stay: only who the patient is lasts
            stay = Stay(age_years=stay.age_years, sex=stay.sex)
        for name in _LASTING:
            value = getattr(event, name)
            if value is not None:
                setattr(stay, name, value)
        at = event.observed_at.timestamp()
        if event.kind in ("admit", "transfer"):  # a place is one statement: a new unit without a bed has no old bed
            if event.unit is not None or event.room is not None or event.bed is not None:
                stay.unit = event.unit if event.unit is not None else stay.unit
                stay.room, stay.bed = event.room, event.bed
            stay.phase = "preadmitted" if event.patient_class == "preadmit" else "present"
            stay.left_at = stay.disposition = None
            if stay.admitted_at is None and stay.phase == "present":
                stay.admitted_at = at
        elif event.kind == "discharge":
            stay.phase, stay.left_at, stay.disposition = "left", at, event.disposition
        else:  # update, merge
            for name in _PLACE:
                value = getattr(event, name)
                if value is not None:
                    setattr(stay, name, value)
    return stay


class StayLog(msgspec.Struct):
    """The events of a stay that may still be revised, and what the older ones add up to."""

    events: list[Admission] = []
    base: Stay = msgspec.field(default_factory=Stay)

    def add(self, event: Admission) -> Stay:
        """Take an event in; returns the present."""
        self.events.append(event)
        if len(self.events) > KEPT_EVENTS:
            oldest = min(self.events, key=lambda event: (event.observed_at, event.received_at))
            self.events.remove(oldest)
            self.base = fold([oldest], self.base)
        return fold(self.events, self.base)
