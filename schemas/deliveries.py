"""deliveries.v1: what became of each transition that a webhook was to be told.

`serve webhooks` writes it in one transaction with the subscription's position: at least one row for each transition.
After a kill, transitions that had ended while one before them had not are told again and have another row: who counts
takes each (name, event_id) once. What was given up or rejected is the
dead letter: the place says where the transition itself is, and `wardstream webhooks retry` posts it again.
"""

from typing import Annotated, Final, Literal
from uuid import UUID

from msgspec import Meta, Struct

from wardstream.schemas.acknowledgements import Action
from wardstream.schemas.alerts import Place
from wardstream.schemas.envelope import Label, Moment, check_year
from wardstream.schemas.scores import Name
from wardstream.schemas.topic import Topic

Outcome = Literal["delivered", "gave_up", "rejected"]


class Delivery(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The end of one delivery. Of the patient it holds the alert's id only, and nothing of what was answered."""

    name: Annotated[Name, Meta(description="Which subscription; the Kafka key.")]
    event_id: Annotated[UUID, Meta(description="event_id of the transition: the webhook-id that was sent.")]
    alert_id: Annotated[UUID, Meta(description="Which alert.")]
    number: Annotated[Annotated[int, Meta(ge=1)], Meta(description="Of the transition.")]
    place: Annotated[Place, Meta(description="Where the transition is.")]
    outcome: Annotated[
        Outcome,
        Meta(description="rejected: the receiver will never take it; gave_up: it did not until the limit."),
    ]
    at: Annotated[Moment, Meta(description="When it ended (wall clock).")]
    attempts: Annotated[Annotated[int, Meta(ge=1)], Meta(description="How often it was tried since the last start.")]
    status: Annotated[
        Annotated[int, Meta(ge=100, le=999)] | None, Meta(description="The last HTTP status; null: there was none.")
    ] = None
    reason: Annotated[
        Label | None, Meta(description="What went wrong last; null: nothing.", examples=["timeout", "not_allowed"])
    ] = None
    answered: Annotated[Action | None, Meta(description="What the receiver replied; null: no answer.")] = None

    def check(self) -> None:
        """Check that the time is sensible.

        Raises
        ------
        BadEvent
            With reason `out_of_bounds`.
        """
        check_year("at", self.at)


TOPIC: Final = Topic(
    name="deliveries.v1",
    type=Delivery,
    role="output",
    keyed_by="name",
    partitions=1,
    description="What became of each transition that a webhook was to be told; dead letters among them.",
)
