"""subscriptions.v1: who wants to be told of which alerts, and how: a table, one row a subscription.

`wardstream serve api` writes it, after the audit; `serve webhooks` follows it. A subscriber sees its own units only:
`scope` is what the token that made it may see, and `wanted` narrows that further.
"""

from typing import Annotated, Final

from msgspec import Meta, Struct

from wardstream.schemas.alerts import Alert, Kind, Priority, State, Transition
from wardstream.schemas.bad_event import BadEvent
from wardstream.schemas.envelope import Label, Moment, PatientId, check_year
from wardstream.schemas.scores import Name
from wardstream.schemas.topic import Topic


class Wanted(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which transitions; a field that is empty asks for all, of several fields each must hold."""

    units: Annotated[
        Annotated[tuple[Label, ...], Meta(max_length=1024)], Meta(description="In which units (where it happened).")
    ] = ()
    patients: Annotated[
        Annotated[tuple[PatientId, ...], Meta(max_length=1024)], Meta(description="Of which patients.")
    ] = ()
    priorities: Annotated[
        Annotated[tuple[Priority, ...], Meta(max_length=3)], Meta(description="Of which priorities.")
    ] = ()
    kinds: Annotated[Annotated[tuple[Kind, ...], Meta(max_length=16)], Meta(description="Of which kinds.")] = ()
    conditions: Annotated[
        Annotated[tuple[Name, ...], Meta(max_length=64)],
        Meta(description="Of which conditions; one of laboratory results with or without its analyte."),
    ] = ()
    states: Annotated[Annotated[tuple[State, ...], Meta(max_length=16)], Meta(description="Into which states.")] = ()
    transitions: Annotated[
        Annotated[tuple[Transition, ...], Meta(max_length=32)], Meta(description="Which transitions.")
    ] = ()
    roles: Annotated[
        Annotated[tuple[Label, ...], Meta(max_length=16)], Meta(description="That are to tell one of these roles.")
    ] = ()

    def matches(self, alert: Alert) -> bool:
        """Whether a transition is wanted."""
        return (
            (not self.units or not set(self.units).isdisjoint(alert.told_in))
            and (not self.patients or alert.patient_id in self.patients)
            and (not self.priorities or alert.priority in self.priorities)
            and (not self.kinds or alert.kind in self.kinds)
            and (
                not self.conditions or not {alert.condition, alert.condition.split(".")[0]}.isdisjoint(self.conditions)
            )
            and (not self.states or alert.state in self.states)
            and (not self.transitions or alert.transition in self.transitions)
            and (not self.roles or not set(self.roles).isdisjoint(alert.to))
        )


class Webhook(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where transitions are posted to."""

    url: Annotated[str, Meta(min_length=1, max_length=2048, description="https, of a network that is allowed.")]
    secret: Annotated[
        bytes, Meta(max_length=512, description="What signs, encrypted with the installation's key, in base64.")
    ]


class Subscription(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One subscription."""

    name: Annotated[Name, Meta(description="Its id; the Kafka key.")]
    at: Annotated[Moment, Meta(description="When it was made or last changed (wall clock).")]
    made_at: Annotated[Moment, Meta(description="When it was made: what happened before is not told (wall clock).")]
    who: Annotated[Label, Meta(description="Name of the token that made it, and alone may change what it asks for.")]
    scope: Annotated[
        Annotated[tuple[Label, ...], Meta(max_length=1024)] | None,
        Meta(description="Units that this token may see; null: all."),
    ] = None
    wanted: Annotated[Wanted, Meta(description="Which transitions.")] = Wanted()
    webhook: Annotated[
        Webhook | None, Meta(description="Where they are posted to; null: the subscriber reads a stream.")
    ] = None
    may_answer: Annotated[
        bool, Meta(description="Whether its token had the role clinician: what the webhook replies is an answer then.")
    ] = False
    paused: Annotated[bool, Meta(description="Whether it rests; what happens meanwhile is told afterwards.")] = False

    def matches(self, alert: Alert) -> bool:
        """Whether a transition is for this subscriber. One of an unknown unit is for who may see all units."""
        return (self.scope is None or not set(self.scope).isdisjoint(alert.told_in)) and self.wanted.matches(alert)

    def check(self) -> None:
        """Check that the times are sensible.

        Raises
        ------
        BadEvent
            With reason `out_of_bounds` or `inconsistent`.
        """
        check_year("at", self.at)
        check_year("made_at", self.made_at)
        if self.made_at > self.at:
            raise BadEvent("inconsistent", "made_at", "at")


TOPIC: Final = Topic(
    name="subscriptions.v1",
    type=Subscription,
    role="output",
    keyed_by="name",
    partitions=1,
    compacted=True,
    retention_ms=None,
    description="Who wants to be told of which alerts: a table, one row a subscription.",
)
