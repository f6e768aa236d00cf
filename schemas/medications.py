"""medications.v1: an order for a drug, a change of it, or an administration."""

from typing import Annotated, Final, Literal

from msgspec import Meta

from wardstream.schemas.bad_event import BadEvent
from wardstream.schemas.envelope import Event, Label, Moment, Phrase
from wardstream.schemas.topic import Topic

Kind = Literal["order", "change", "stop", "dispense", "administration", "not_given"]
CodeSystem = Literal["rxnorm", "atc", "ndc", "snomed", "local"]
Route = Literal[
    "oral",
    "enteral_tube",
    "intravenous",
    "intramuscular",
    "subcutaneous",
    "inhaled",
    "nasal",
    "topical",
    "transdermal",
    "rectal",
    "sublingual",
    "epidural",
    "intrathecal",
    "ophthalmic",
    "other",
]
Amount = Annotated[float, Meta(ge=0, le=1e9)]


class Medication(Event, frozen=True, kw_only=True, omit_defaults=True):
    """What was ordered or done with one drug; `observed_at` is when (for an infusion: when this rate began)."""

    kind: Annotated[Kind, Meta(description="What happened; stop ends an order or an infusion.")]
    name: Annotated[Phrase | None, Meta(description="The drug in words; null: see code.")] = None
    code: Annotated[Label | None, Meta(description="The drug's code; null: see name.")] = None
    code_system: Annotated[CodeSystem | None, Meta(description="What code is from; null: no code or not stated.")] = (
        None
    )
    order_id: Annotated[Label | None, Meta(description="Joins an administration to its order; null: not stated.")] = (
        None
    )
    dose: Annotated[Amount | None, Meta(description="Amount at a time, in dose_unit; null: not stated.")] = None
    dose_unit: Annotated[Label | None, Meta(description="UCUM unit of dose.")] = None
    rate: Annotated[Amount | None, Meta(description="Rate of an infusion, in rate_unit; 0: paused.")] = None
    rate_unit: Annotated[Label | None, Meta(description="UCUM unit of rate.", examples=["ug/kg/min"])] = None
    route: Annotated[Route | None, Meta(description="How it is given; null: not stated.")] = None
    frequency: Annotated[Phrase | None, Meta(description="Schedule as ordered; null: not stated.")] = None
    starts_at: Annotated[Moment | None, Meta(description="Begin of the order or infusion; null: observed_at.")] = None
    ends_at: Annotated[Moment | None, Meta(description="Its end; null: open or not known.")] = None

    def check(self) -> None:
        """Add to the envelope's checks: a drug is named, and its time does not end before it begins."""
        Event.check(self)
        if self.name is None and self.code is None and self.status != "cancelled":
            raise BadEvent("missing_field", "name", "code")
        if self.starts_at is not None and self.ends_at is not None and self.ends_at < self.starts_at:
            raise BadEvent("inconsistent", "starts_at", "ends_at")


TOPIC: Final = Topic(
    name="medications.v1", type=Medication, role="input", description="Orders and administrations of drugs."
)
