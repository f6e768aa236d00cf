"""What requests and answers of the API hold. Of what is wrong the answers name fields, never values."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, TypeVar
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType
from starlette.datastructures import QueryParams

from wardstream.infra.gateways.http import Refused
from wardstream.schemas.acknowledgements import Action
from wardstream.schemas.alerts import Alert
from wardstream.schemas.decode import translated
from wardstream.schemas.directives import Kind as Order
from wardstream.schemas.directives import Thresholds
from wardstream.schemas.envelope import Label, Moment, PatientId, Phrase
from wardstream.schemas.scores import Name
from wardstream.schemas.subscriptions import Subscription, Wanted

BODY_BYTES = 64 * 1024
_NAME, _NAMES = 64, 16  # of what is unknown, in an answer
_UNKNOWN = re.compile(r"Object contains unknown field `([^`]*)`")  # as msgspec words it
BodyT = TypeVar("BodyT")
Secret = Annotated[str, Meta(pattern=r"^whsec_([A-Za-z0-9+/]{4}){8,21}([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$(?!\n)")]
"""As Standard Webhooks says: 24 to 64 bytes in base64."""


class Body(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a client sends."""


class Filters(Wanted, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """As `Wanted`, from a client: a filter with a slip of the pen would filter nothing."""

    def wanted(self) -> Wanted:
        """What is kept."""
        return msgspec.convert(self, Wanted, from_attributes=True)


class Answer(Body, frozen=True, kw_only=True):
    """An answer to an alert."""

    action: Annotated[Action, Meta(description="What the person did; rate only says whether it was useful.")]
    seen: Annotated[Annotated[int, Meta(ge=1)], Meta(description="Number of the last transition the person saw.")]
    event_id: Annotated[UUID | None, Meta(description="The same again is the same answer; null: one is made.")] = None
    role: Annotated[Label | None, Meta(description="The person's role; null: not stated.")] = None
    snooze_until: Annotated[Moment | None, Meta(description="Action snooze: when it ends, in 24 h at most.")] = None
    handed_to: Annotated[Label | None, Meta(description="Action hand_over: pseudonym of the person or team.")] = None
    useful: Annotated[bool | None, Meta(description="Whether the alert was useful; null: not said.")] = None
    comment: Annotated[Phrase | None, Meta(description="What the person wrote; null: nothing.")] = None


class Directive(Body, frozen=True, kw_only=True):
    """A clinician's order about one patient's alerts."""

    kind: Annotated[Order, Meta(description="What is ordered.")]
    expires_at: Annotated[Moment, Meta(description="When it ends: in a week at the latest.")]
    condition: Annotated[Name | None, Meta(description="Kind thresholds: of which condition; null: of none.")] = None
    thresholds: Annotated[Thresholds | None, Meta(description="Kind thresholds: the patient's own; null: none.")] = None
    why: Annotated[Phrase | None, Meta(description="The reason given; null: none.")] = None
    event_id: Annotated[UUID | None, Meta(description="The same again is the same order; null: one is made.")] = None
    status: Annotated[Literal["final", "corrected", "cancelled"], Meta(description="cancelled takes it back.")] = (
        "final"
    )
    supersedes: Annotated[UUID | None, Meta(description="event_id of the order that this revises; null: none.")] = None


class DirectiveView(Struct, frozen=True, kw_only=True):
    """An order that holds."""

    event_id: Annotated[UUID, Meta(description="What an order that revises it or takes it back `supersedes`.")]
    patient_id: PatientId
    unit: Annotated[Label | None, Meta(description="Where the patient was when it was given; null: not known.")]
    kind: Order
    ordered_by: Label
    ordered_at: datetime
    expires_at: datetime
    condition: Annotated[Name | None, Meta(description="Kind thresholds: of which condition; else null.")]
    thresholds: Annotated[Thresholds | None, Meta(description="Kind thresholds: the patient's own; else null.")]
    why: Annotated[Phrase | None, Meta(description="The reason given; null: none.")]


class Directives(Struct, frozen=True, kw_only=True):
    """Orders that hold, the first that ends first."""

    directives: list[DirectiveView]


class Given(Struct, frozen=True, kw_only=True):
    """An answer or order that is on its topic."""

    event_id: Annotated[UUID, Meta(description="Its event_id there.")]


class Hook(Body, frozen=True, kw_only=True):
    """Where transitions are to be posted to."""

    url: Annotated[str, Meta(min_length=1, max_length=2048, description="https; http on loopback.")]
    secret: Annotated[
        Secret | None,
        Meta(description="What signs (whsec_…); null: the one that was, or a new one is made and told once."),
    ] = None


class NewSubscription(Body, frozen=True, kw_only=True):
    """A subscription that is to be."""

    wanted: Annotated[Filters, Meta(description="Which transitions.")] = Filters()
    webhook: Annotated[Hook | None, Meta(description="Where they are posted to; null: a stream is read.")] = None
    paused: Annotated[bool, Meta(description="Whether it rests; what happens meanwhile is told afterwards.")] = False


class ChangedSubscription(Body, frozen=True, kw_only=True):
    """What is to change; what is absent stays."""

    wanted: Annotated[Filters | UnsetType, Meta(description="Which transitions, as a whole.")] = UNSET
    webhook: Annotated[Hook | UnsetType | None, Meta(description="Where they are posted to; null: nowhere.")] = UNSET
    paused: Annotated[bool | UnsetType, Meta(description="Whether it rests.")] = UNSET


class HookView(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where transitions are posted to."""

    url: str
    secret: Annotated[str | None, Meta(description="What signs, told this once; null: it was told before.")] = None


class SubscriptionView(Struct, frozen=True, kw_only=True):
    """A subscription."""

    id: Name
    who: Annotated[Label, Meta(description="Name of the token that made it, and alone may change it.")]
    made_at: datetime
    changed_at: datetime
    scope: Annotated[tuple[Label, ...] | None, Meta(description="Units that its token may see; null: all.")]
    wanted: Wanted
    webhook: HookView | None
    paused: bool


class Subscriptions(Struct, frozen=True, kw_only=True):
    """Those that are one's own; operators see all."""

    subscriptions: list[SubscriptionView]


class Alerts(Struct, frozen=True, kw_only=True):
    """How alerts stand: the newest transition of each."""

    alerts: list[Alert]
    silent: Annotated[list[Alert], Meta(description="Those of silent models, where they are asked for.")]
    more: Annotated[bool, Meta(description="Whether there are more than the limit.")]
    position: Annotated[str, Meta(description="A stream after this tells all that comes.")]
    as_of: Annotated[datetime, Meta(description="How they stood then: seconds ago, unless Kafka is away.")]


class Beat(Struct, frozen=True, kw_only=True):
    """What a stream says while nothing happens."""

    as_of: Annotated[datetime, Meta(description="All that was written until then has been told, as far as asked for.")]


class Transitions(Struct, frozen=True, kw_only=True):
    """The transitions of an alert in the last week, the oldest first."""

    transitions: list[Alert]


class Problem(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is wrong."""

    detail: str
    fields: tuple[str, ...] = ()


def moment(at: float) -> datetime:
    """A time, s since 1970, as clients are told it."""
    return datetime.fromtimestamp(round(at, 3), UTC)


def view(row: Subscription, secret: str | None = None) -> SubscriptionView:
    """A row as clients see it; `secret` where it is told."""
    hook = None if row.webhook is None else HookView(url=row.webhook.url, secret=secret)
    return SubscriptionView(
        id=row.name,
        who=row.who,
        made_at=row.made_at,
        changed_at=row.at,
        scope=row.scope,
        wanted=row.wanted,
        webhook=hook,
        paused=row.paused,
    )


def decoded(kind: type[BodyT], raw: bytes) -> BodyT:
    """A body.

    Raises
    ------
    Refused
        With 422: it is not what it should be.
    """
    try:
        return msgspec.json.decode(raw, type=kind)
    except (ValueError, RecursionError) as error:
        bad, unknown = translated(error), _UNKNOWN.match(str(error))
    if unknown is not None:
        raise Invalid("no such field", (".".join((*bad.fields, unknown[1][:_NAME])),))
    raise Invalid(bad.reason, bad.fields)


def wanted_of(query: QueryParams) -> Wanted:
    """The filters of a query: each may be there several times.

    Raises
    ------
    Refused
        With 422: a value is none that there is.
    """
    return _converted(Wanted, {name: query.getlist(name) for name in Wanted.__struct_fields__ if name in query})


class Page(Struct, frozen=True, kw_only=True):
    """What a list is limited to."""

    silent: Annotated[bool, Meta(description="With the alerts of silent models: for operators.")] = False
    ended: Annotated[bool, Meta(description="With those that ended in the last 24 hours.")] = False
    limit: Annotated[Annotated[int, Meta(ge=1, le=10_000)], Meta(description="How many at most.")] = 1000


class Following(Struct, frozen=True, kw_only=True):
    """What a stream begins with."""

    silent: Annotated[bool, Meta(description="With the alerts of silent models: for operators.")] = False
    subscription: Annotated[Name | None, Meta(description="Filters of this subscription; null: of the query.")] = None
    after: Annotated[
        Annotated[str, Meta(max_length=4096)] | None,
        Meta(description="id of the last event that was seen, as Last-Event-ID; null: what comes from now on."),
    ] = None


def options_of(kind: type[BodyT], query: QueryParams) -> BodyT:
    """The other parameters of a query; raises as `wanted_of`."""
    fields: tuple[str, ...] = kind.__struct_fields__  # type: ignore[attr-defined]  # all are structs
    return _converted(kind, {name: query[name] for name in fields if name in query})


def check_names(query: QueryParams, kinds: Iterable[type]) -> None:
    """Check that a query asks for nothing that is not there: a filter with a slip of the pen would filter nothing.

    Raises
    ------
    Refused
        With 422, naming the parameters.
    """
    known = {name for kind in kinds for name in kind.__struct_fields__}  # type: ignore[attr-defined]  # all are structs
    if unknown := sorted(query.keys() - known):
        raise Invalid("no such parameter", tuple(name[:_NAME] for name in unknown[:_NAMES]))


def _converted(kind: type[BodyT], given: dict[str, Any]) -> BodyT:
    try:
        return msgspec.convert(given, kind, strict=False)
    except ValueError as error:
        bad = translated(error)
    raise Invalid(bad.reason, bad.fields)


class Invalid(Refused):
    """A request whose content cannot be used."""

    def __init__(self, reason: str, fields: tuple[str, ...]) -> None:
        super().__init__(422, reason)
        self.fields = fields
