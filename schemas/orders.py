"""orders.v1: an order for pictures, and where it stands. What was taken is on imaging.v1, what was seen on notes.v1."""

from typing import Annotated, Final, Literal

from msgspec import Meta

from wardstream.schemas.bad_event import BadEvent
from wardstream.schemas.envelope import Event, Label, Moment, Phrase
from wardstream.schemas.imaging import Modality, Uid
from wardstream.schemas.topic import Topic

State = Literal["ordered", "scheduled", "held", "in_progress", "completed", "cancelled"]
Priority = Literal["stat", "urgent", "routine"]


class Order(Event, frozen=True, kw_only=True, omit_defaults=True):
    """One order as it stands at `observed_at`; the newest event of an `order_id` holds."""

    state: Annotated[State, Meta(description="Where it stands; ordered also after a change of what is asked for.")]
    order_id: Annotated[Label | None, Meta(description="Pseudonym of the order's number; null: not stated.")] = None
    procedure: Annotated[Phrase | None, Meta(description="Procedure in words or code; null: not stated.")] = None
    modality: Annotated[Modality | None, Meta(description="DICOM modality; null: not stated.")] = None
    priority: Annotated[Priority | None, Meta(description="How soon; null: not stated.")] = None
    scheduled_at: Annotated[Moment | None, Meta(description="When it is to be done; null: not stated.")] = None
    study_uid: Annotated[
        Uid | None, Meta(description="DICOM Study Instance UID of the pictures, pseudonymised; null: not stated.")
    ] = None

    def check(self) -> None:
        """Add to the envelope's checks: an order has a number, or says what is asked for."""
        Event.check(self)
        if self.order_id is None and self.procedure is None:
            raise BadEvent("missing_field", "order_id", "procedure")


TOPIC: Final = Topic(
    name="orders.v1", type=Order, role="input", description="Orders for pictures, and where they stand."
)
