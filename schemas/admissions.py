"""admissions.v1: where a patient is: admit, transfer, discharge, update, their cancellations, and merge.

A merge cannot be taken back: of two histories that were joined nobody knows any more which event was whose. A message
that undoes one (HL7 A37, A43 and the like) has no event here; a person sorts it out, and the two ids go on as one.
"""

from typing import Annotated, Final, Literal

from msgspec import Meta

from wardstream.schemas.bad_event import BadEvent
from wardstream.schemas.bounds import within
from wardstream.schemas.envelope import Event, Label, PatientId, Phrase
from wardstream.schemas.topic import YEAR_MS, Topic

Kind = Literal[
    "admit", "transfer", "discharge", "update", "cancel_admit", "cancel_transfer", "cancel_discharge", "merge"
]
Sex = Literal["female", "male", "other", "unknown"]
PatientClass = Literal["emergency", "inpatient", "outpatient", "preadmit", "observation", "other"]
Disposition = Literal["home", "transfer", "hospice", "against_advice", "died", "other"]
CodeStatus = Literal["full", "dnr", "dni", "dnr_dni", "comfort", "unknown"]


class Admission(Event, frozen=True, kw_only=True, omit_defaults=True):
    """One movement or correction of a stay. Null: no statement, what was known before stays."""

    kind: Annotated[Kind, Meta(description="What happened.")]
    age_years: Annotated[
        Annotated[float, within("age_years")] | None, Meta(description="Age at observed_at, years (0.5: six months).")
    ] = None
    sex: Annotated[Sex | None, Meta(description="Administrative sex.")] = None
    pregnant: Annotated[bool | None, Meta(description="Whether pregnant; null: not stated, never assumed no.")] = None
    acuity: Annotated[
        Annotated[int, Meta(ge=1, le=5)] | None, Meta(description="Triage level (ESI, KTAS): 1 most urgent, 5 least.")
    ] = None
    complaint: Annotated[Phrase | None, Meta(description="Presenting complaint in words.")] = None
    patient_class: Annotated[PatientClass | None, Meta(description="Class of the stay (HL7 table 0004).")] = None
    unit: Annotated[Label | None, Meta(description="Ward or unit; after a transfer the new one.")] = None
    room: Annotated[Label | None, Meta(description="Room in the unit.")] = None
    bed: Annotated[Label | None, Meta(description="Bed in the room or unit.")] = None
    disposition: Annotated[Disposition | None, Meta(description="Where a discharged patient went.")] = None
    code_status: Annotated[CodeStatus | None, Meta(description="Orders on resuscitation and intubation.")] = None
    merged_patient_id: Annotated[
        PatientId | None,
        Meta(description="Kind merge: the id that ceases, for good; patient_id survives. Else null."),
    ] = None

    def check(self) -> None:
        """Add to the envelope's checks: a merge names two patients and is final, a transfer says where to."""
        Event.check(self)
        kind, merged = self.kind, self.merged_patient_id
        if kind == "merge":
            if self.supersedes is not None:  # nor is it ever undone: two states that were joined are one
                raise BadEvent("inconsistent", "kind", "supersedes")
            if merged is None:
                raise BadEvent("missing_field", "merged_patient_id")
            if merged == self.patient_id:
                raise BadEvent("inconsistent", "merged_patient_id", "patient_id")
        elif merged is not None:
            raise BadEvent("inconsistent", "merged_patient_id", "kind")
        # Hospitals omit units, or send a transfer that only changes the class: anything that says where to will do.
        if (
            kind == "transfer"
            and self.unit is None
            and self.room is None
            and self.bed is None
            and self.patient_class is None
            and self.status != "cancelled"
        ):
            raise BadEvent("missing_field", "unit")


TOPIC: Final = Topic(
    name="admissions.v1",
    type=Admission,
    role="input",
    retention_ms=YEAR_MS,
    description="Where patients are: admit, transfer, discharge, update, their cancellations, merge.",
)
