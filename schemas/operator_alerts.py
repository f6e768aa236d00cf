"""operator-alerts.v1: every transition in the life of what operators are alerted to, by the rules of `alerts.v1`.

It is about a feed, a model or a unit, never about a patient. Answers go to operator-answers.v1.
"""

from typing import Annotated, Final, Literal
from uuid import UUID

from msgspec import Meta, Struct

from wardstream.schemas.alerts import Priority, State, Suggestion, Transition
from wardstream.schemas.audit import Hash
from wardstream.schemas.bad_event import BadEvent
from wardstream.schemas.envelope import Label, Moment, Phrase, check_year
from wardstream.schemas.scores import Name
from wardstream.schemas.topic import YEAR_MS, Topic

OperatorKind = Literal["feed", "model", "data", "forecast"]


class OperatorAlert(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One transition. Carries no patient data."""

    event_id: Annotated[UUID, Meta(description="Identity of the record, from alert_id and number.")]
    source: Annotated[Label, Meta(description="wardstream.")]
    observed_at: Annotated[Moment, Meta(description="When it happened, in the stream's time.")]
    alert_id: Annotated[UUID, Meta(description="Identity of the alert over its life; the Kafka key.")]
    number: Annotated[Annotated[int, Meta(ge=1)], Meta(description="Of the transition, from 1 without a gap.")]
    condition: Annotated[Name, Meta(description="What is wrong, as the policy names it.", examples=["feed_silent"])]
    kind: Annotated[OperatorKind, Meta(description="What decides it; data and forecast are about a unit.")]
    subject: Annotated[Label, Meta(description="Name of the feed, the model or the unit.", examples=["lab", "4B"])]
    transition: Annotated[Transition, Meta(description="What happened to the alert.")]
    state: Annotated[State, Meta(description="How it stands after the transition.")]
    priority: Annotated[Priority, Meta(description="IEC 60601-1-8: high: immediate, medium: prompt, low: awareness.")]
    raised_at: Annotated[Moment, Meta(description="observed_at of its first transition.")]
    reason: Annotated[Phrase, Meta(description="One sentence for a person.")]
    caused_by: Annotated[UUID, Meta(description="event_id of the tick or answer that brought the transition about.")]
    values: Annotated[
        Annotated[dict[Name, float], Meta(max_length=16)],
        Meta(description="The numbers that decided, in the unit that the name ends with; shares from 0 to 1."),
    ] = {}
    stale: Annotated[bool, Meta(description="Whether what it stands on is missing by now: it may be over or not.")] = (
        False
    )
    tier: Annotated[
        Annotated[int, Meta(ge=0, le=16)], Meta(description="How far it has been escalated; 0: not yet.")
    ] = 0
    to: Annotated[
        Annotated[tuple[Label, ...], Meta(max_length=16)], Meta(description="Roles that are to be told, so far.")
    ] = ()
    until: Annotated[
        Moment | None, Meta(description="When a snooze ends, or an acknowledged alert is raised again; null: neither.")
    ] = None
    next_at: Annotated[Moment | None, Meta(description="When it is escalated next if nobody answers; null: not.")] = (
        None
    )
    assigned_to: Annotated[Label | None, Meta(description="Who has it in hand; null: nobody.")] = None
    actor: Annotated[Label | None, Meta(description="Who brought this transition about; null: nobody did.")] = None
    actor_role: Annotated[Label | None, Meta(description="Their role; null: not stated.")] = None
    useful: Annotated[bool | None, Meta(description="Whether a person found it useful; null: not said.")] = None
    suggestion: Annotated[Suggestion | None, Meta(description="What is usually done; null: the policy has none.")] = (
        None
    )
    policy: Annotated[Hash | None, Meta(description="SHA-256 of the policy that decided; null: not known.")] = None

    def check(self) -> None:
        """Check that times are sensible.

        Raises
        ------
        BadEvent
            With reason `inconsistent` or `out_of_bounds`.
        """
        check_year("observed_at", self.observed_at)
        if self.raised_at > self.observed_at:
            raise BadEvent("inconsistent", "raised_at", "observed_at")


TOPIC: Final = Topic(
    name="operator-alerts.v1",
    type=OperatorAlert,
    role="output",
    keyed_by="alert_id",
    partitions=1,
    retention_ms=YEAR_MS,
    description="Alerts to operators, every transition: silent feeds, degraded models, stale data, short beds.",
)
