"""What the admission events of a patient say of each other: their order, and which takes another back or repeats it."""

from collections.abc import Iterator

from wardstream.schemas.admissions import Admission

CANCELS: dict[str, str] = {
    "cancel_admit": "admit",
    "cancel_transfer": "transfer",
    "cancel_discharge": "discharge",
}
_RANK = {"admit": 0, "transfer": 1, "update": 1, "merge": 1, "discharge": 2}  # of what came at the same moment
WHO = ("age_years", "sex", "pregnant")
LASTING = (*WHO, "encounter_id", "facility", "patient_class", "acuity", "complaint", "code_status")
PLACE = ("unit", "room", "bed")


def order(event: Admission) -> tuple[object, ...]:
    """In which order events are folded: by when they happened; what takes back comes after it."""
    # A cancellation is often charted for the very minute of what it cancels.
    cancels = event.kind in CANCELS
    return event.observed_at, cancels, event.received_at, _RANK.get(event.kind, 3), event.event_id.int


def superseded(held: list[Admission]) -> Iterator[Admission]:
    """The updates after which another one of the same visit, before any movement, states all that they state."""
    newer: list[tuple[Admission, set[str]]] = []
    for event in reversed(held):
        if event.kind != "update":
            newer = []
            continue
        states = {name for name in (*LASTING, *PLACE) if getattr(event, name) is not None}
        if event.supersedes is None and any(_covers(event, states, *other) for other in newer):
            yield event
        else:
            newer.append((event, states))


def _covers(event: Admission, states: set[str], other: Admission, covered: set[str]) -> bool:
    one_place = "unit" not in states or event.unit == other.unit
    return event.encounter_id == other.encounter_id and states <= covered and one_place


def recorded_by(event: Admission, cancellation: Admission) -> bool:
    """Whether the event was on record, as both say, when the cancellation was recorded."""
    one, other = event.available_at, cancellation.available_at
    return one is not None and other is not None and one <= other


def cancels_admission(event: Admission) -> bool:
    """Whether it takes an admission back."""
    return event.kind == "cancel_admit" or (event.kind == "admit" and event.status == "cancelled")
