"""operator-answers.v1: an operator's answer to an alert of operator-alerts.v1."""

from typing import Annotated, Final
from uuid import UUID

from msgspec import Meta, Struct

from wardstream.schemas.acknowledgements import Action, check_action
from wardstream.schemas.envelope import Label, Moment, Phrase, check_year
from wardstream.schemas.topic import YEAR_MS, Topic


class OperatorAnswer(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One answer; `observed_at` is when it was given."""

    event_id: Annotated[UUID, Meta(description="Identity of the answer; a resend has the same.")]
    source: Annotated[Label, Meta(description="The system that produced it.", examples=["wardstream"])]
    observed_at: Annotated[Moment, Meta(description="When it was given.")]
    received_at: Annotated[Moment, Meta(description="When wardstream had it.")]
    alert_id: Annotated[UUID, Meta(description="The alert that is answered; the Kafka key.")]
    action: Annotated[Action, Meta(description="What the person did; rate only says whether it was useful.")]
    actor: Annotated[Label, Meta(description="The person, as the audit names them.")]
    seen: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        Meta(description="Number of the last transition that the person saw; null: not stated."),
    ] = None
    role: Annotated[Label | None, Meta(description="The person's role; null: not stated.")] = None
    snooze_until: Annotated[Moment | None, Meta(description="Action snooze: when it ends, in 24 h at most.")] = None
    handed_to: Annotated[Label | None, Meta(description="Action hand_over: the person or team.")] = None
    useful: Annotated[bool | None, Meta(description="Whether the alert was useful; null: not said.")] = None
    comment: Annotated[Phrase | None, Meta(description="What the person wrote; null: nothing.")] = None

    def check(self) -> None:
        """Check that times are sensible, and that each action has what it needs.

        Raises
        ------
        BadEvent
            With reason `missing_field` or `out_of_bounds`.
        """
        check_year("observed_at", self.observed_at)
        check_year("received_at", self.received_at)
        check_action(self)


TOPIC: Final = Topic(
    name="operator-answers.v1",
    type=OperatorAnswer,
    role="input",
    keyed_by="alert_id",
    partitions=1,
    retention_ms=YEAR_MS,
    description="Operators' answers to their alerts.",
)
