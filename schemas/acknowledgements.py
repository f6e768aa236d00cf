"""acknowledgements.v1: a person's answer to an alert."""

from datetime import datetime, timedelta
from typing import Annotated, Final, Literal, Protocol
from uuid import UUID

from msgspec import Meta

from wardstream.schemas.bad_event import BadEvent
from wardstream.schemas.envelope import Event, Label, Moment, Phrase
from wardstream.schemas.topic import YEAR_MS, Topic

MAX_SNOOZE: Final = timedelta(hours=24)
"""An alert silenced for longer is an alert forgotten."""

Action = Literal["acknowledge", "snooze", "resolve", "hand_over", "rate"]


class Given(Protocol):
    """What a person's answer says, to an alert about a patient or to one for operators."""

    @property
    def observed_at(self) -> datetime: ...
    @property
    def alert_id(self) -> UUID: ...
    @property
    def action(self) -> Action: ...
    @property
    def actor(self) -> str: ...
    @property
    def seen(self) -> int | None: ...
    @property
    def role(self) -> str | None: ...
    @property
    def snooze_until(self) -> datetime | None: ...
    @property
    def handed_to(self) -> str | None: ...
    @property
    def useful(self) -> bool | None: ...


def check_action(given: Given) -> None:
    """Check that an action has what it needs.

    Raises
    ------
    BadEvent
        With reason `missing_field` or `out_of_bounds`.
    """
    if given.action == "snooze":
        if given.snooze_until is None:
            raise BadEvent("missing_field", "snooze_until")
        if not timedelta(0) < given.snooze_until - given.observed_at <= MAX_SNOOZE:
            raise BadEvent("out_of_bounds", "snooze_until")
    elif given.action == "hand_over" and given.handed_to is None:
        raise BadEvent("missing_field", "handed_to")
    elif given.action == "rate" and given.useful is None:
        raise BadEvent("missing_field", "useful")


class Acknowledgement(Event, frozen=True, kw_only=True, omit_defaults=True):
    """One answer; `observed_at` is when it was given."""

    alert_id: Annotated[UUID, Meta(description="The alert that is answered.")]
    action: Annotated[Action, Meta(description="What the person did; rate only says whether it was useful.")]
    actor: Annotated[Label, Meta(description="Pseudonym of the person, never a name.")]
    seen: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        Meta(description="Number of the last transition that the person saw; null: not stated."),
    ] = None
    role: Annotated[Label | None, Meta(description="The person's role; null: not stated.", examples=["nurse"])] = None
    snooze_until: Annotated[Moment | None, Meta(description="Action snooze: when it ends, in 24 h at most.")] = None
    handed_to: Annotated[Label | None, Meta(description="Action hand_over: pseudonym of the person or team.")] = None
    useful: Annotated[bool | None, Meta(description="Whether the alert was useful; null: not said.")] = None
    comment: Annotated[Phrase | None, Meta(description="What the person wrote; null: nothing.")] = None

    def check(self) -> None:
        """Add to the envelope's checks: each action has what it needs."""
        Event.check(self)
        check_action(self)


TOPIC: Final = Topic(
    name="acknowledgements.v1",
    type=Acknowledgement,
    role="input",
    retention_ms=YEAR_MS,
    description="People's answers to alerts.",
)
