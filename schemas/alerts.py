"""alerts.v1: every transition of an alert's life, with its evidence.

All transitions of an alert are in one partition: that of the patient who raised it. Where that id has since ceased in a
merge, later transitions carry the id that survives, and are still there. Which transitions there are, and when, says
`models.alerts.life`.
"""

from typing import Annotated, Final, Literal
from uuid import UUID

from msgspec import Meta, Struct

from wardstream.schemas.audit import Hash
from wardstream.schemas.envelope import Event, Label, Moment, Phrase
from wardstream.schemas.predictions import Contribution, Probability
from wardstream.schemas.scores import Name, Reading, Result, Score
from wardstream.schemas.topic import YEAR_MS, Topic

Kind = Literal["score", "prediction", "lab", "finding", "staleness"]
Priority = Literal["high", "medium", "low"]
State = Literal["raised", "escalated", "acknowledged", "snoozed", "resolved", "retracted", "expired", "closed"]
ENDED: Final = frozenset({"resolved", "retracted", "expired", "closed"})
"""States from which nothing leads back; a condition that comes again is another alert."""
Transition = Literal[
    "raised",
    "raised_again",
    "worsened",
    "escalated",
    "acknowledged",
    "snoozed",
    "handed_over",
    "rated",
    "moved",
    "went_stale",
    "current_again",
    "resolved",
    "retracted",
    "expired",
    "closed",
]


class Place(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Where a record is in Kafka."""

    topic: Annotated[Label, Meta(description="Its topic.")]
    partition: Annotated[Annotated[int, Meta(ge=0)], Meta(description="The partition.")]
    offset: Annotated[Annotated[int, Meta(ge=0)], Meta(description="The offset.")]


class Answer(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A prediction that an alert was decided from; the whole of it is on predictions.v1."""

    event_id: Annotated[UUID, Meta(description="event_id of the prediction.")]
    model: Annotated[Name, Meta(description="Which model.")]
    version: Annotated[Label, Meta(description="Its version.")]
    calibrated_probability: Annotated[Probability, Meta(description="What it said.")]
    horizon_h: Annotated[float, Meta(gt=0, le=8760, description="For the hours after the alert's observed_at.")]
    contributions: Annotated[
        Annotated[tuple[Contribution, ...], Meta(max_length=64)], Meta(description="The largest first.")
    ] = ()


class Seen(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A finding that an alert was decided from; the whole of it is on findings.v1."""

    event_id: Annotated[UUID, Meta(description="event_id of the finding.")]
    model: Annotated[Name, Meta(description="Which model.")]
    finding: Annotated[Name, Meta(description="What was looked for.")]
    calibrated_probability: Annotated[Probability, Meta(description="What it said.")]
    observed_at: Annotated[Moment, Meta(description="When the film was taken.")]


class Evidence(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What the alert stands on. Later transitions that decide nothing anew (escalations, answers) repeat that of the
    transition that raised or worsened it."""

    caused_by: Annotated[UUID, Meta(description="event_id of the input event (or tick) that decided.")]
    cause: Annotated[Place | None, Meta(description="Where that record is; null: not known.")] = None
    at: Annotated[Moment | None, Meta(description="As of when it was decided; null: as the transition.")] = None
    score: Annotated[Score | None, Meta(description="The score that decided; null: none did.")] = None
    result: Annotated[Result | None, Meta(description="The laboratory result that decided; null: none did.")] = None
    finding: Annotated[Seen | None, Meta(description="The finding that decided; null: none did.")] = None
    values: Annotated[
        Annotated[dict[Name, Reading], Meta(max_length=128)], Meta(description="The signals then, by name.")
    ] = {}
    prediction: Annotated[Answer | None, Meta(description="The prediction that decided; null: none did.")] = None


class Suggestion(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What is usually done, and who says so. A person decides."""

    text: Annotated[Phrase, Meta(description="A sentence or two.")]
    source: Annotated[Phrase, Meta(description="The guideline, or the policy's own.")]


class Alert(Event, frozen=True, kw_only=True, omit_defaults=True):
    """One transition; `observed_at` is when it happened, in the stream's time."""

    alert_id: Annotated[UUID, Meta(description="Identity of the alert over its life; the Kafka key.")]
    number: Annotated[Annotated[int, Meta(ge=1)], Meta(description="Of the transition, from 1 without a gap.")]
    condition: Annotated[
        Name, Meta(description="What is wrong; of a laboratory result with its analyte.", examples=["news2", "stale"])
    ]
    kind: Annotated[Kind, Meta(description="What decides it.")]
    transition: Annotated[Transition, Meta(description="What happened to the alert.")]
    state: Annotated[State, Meta(description="How it stands after the transition.")]
    priority: Annotated[Priority, Meta(description="IEC 60601-1-8: high: immediate, medium: prompt, low: awareness.")]
    raised_at: Annotated[Moment, Meta(description="observed_at of its first transition.")]
    reason: Annotated[Phrase, Meta(description="One sentence for a person.")]
    caused_by: Annotated[UUID, Meta(description="event_id of what brought the transition about: event, tick, answer.")]
    evidence: Annotated[Evidence, Meta(description="What it stands on.")]
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
        Moment | None,
        Meta(
            description="When a snooze ends, an acknowledged alert is raised again, or the comfort care ends that has "
            "closed it; null: none of them."
        ),
    ] = None
    next_at: Annotated[Moment | None, Meta(description="When it is escalated next if nobody answers; null: not.")] = (
        None
    )
    assigned_to: Annotated[Label | None, Meta(description="Pseudonym of who has it in hand; null: nobody.")] = None
    actor: Annotated[Label | None, Meta(description="Pseudonym of who brought this transition about; null: none.")] = (
        None
    )
    actor_role: Annotated[Label | None, Meta(description="Their role; null: not stated.")] = None
    useful: Annotated[bool | None, Meta(description="Whether a person found it useful; null: not said.")] = None
    suggestion: Annotated[Suggestion | None, Meta(description="What is usually done; null: the policy has none.")] = (
        None
    )
    code_status: Annotated[Label | None, Meta(description="Orders on resuscitation: shown, suppresses nothing.")] = None
    policy: Annotated[Hash | None, Meta(description="SHA-256 of the policy that decided; null: not known.")] = None
    unit: Annotated[Label | None, Meta(description="Where the patient was then; null: not known.")] = None
    bed: Annotated[Label | None, Meta(description="The bed then; null: not known.")] = None
    left: Annotated[
        Label | None, Meta(description="Transition moved: the unit that the patient has left; null: the same, or none.")
    ] = None

    @property
    def told_in(self) -> tuple[str | None, ...]:
        """The units that are told of the transition: where it happened and, of a move, the unit that was left."""
        return (self.unit,) if self.left is None else (self.unit, self.left)


TOPIC: Final = Topic(
    name="alerts.v1",
    type=Alert,
    role="output",
    keyed_by="alert_id",
    relayed=True,
    retention_ms=YEAR_MS,
    description="Every transition of an alert's life, in the partition of the patient who raised it.",
)
