"""alerts.v1: every transition of an alert's life, with its evidence.

All transitions of an alert are in one partition: that of the patient who raised it. Where that id has since ceased in a
merge, later transitions carry the id that survives, and are still there.
"""

from typing import Annotated, Final, Literal
from uuid import UUID

from msgspec import Meta, Struct

from wardstream.schemas.envelope import Event, Label, Moment, Phrase
from wardstream.schemas.predictions import Contribution, Probability
from wardstream.schemas.scores import Name, Reading, Score
from wardstream.schemas.topic import YEAR_MS, Topic

Transition = Literal["raised", "worsened", "acknowledged", "snoozed", "escalated", "resolved", "retracted", "expired"]
Priority = Literal["high", "medium", "low"]


class Answer(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A prediction that an alert was decided from; the whole of it is on predictions.v1."""

    event_id: Annotated[UUID, Meta(description="event_id of the prediction.")]
    model: Annotated[Name, Meta(description="Which model.")]
    version: Annotated[Label, Meta(description="Its version.")]
    calibrated_probability: Annotated[Probability, Meta(description="What it said.")]
    horizon_h: Annotated[float, Meta(gt=0, le=8760, description="For the hours after the alert's observed_at.")]
    contributions: Annotated[
        Annotated[tuple[Contribution, ...], Meta(max_length=64)], Meta(description="The largest first.")
    ] = ()


class Evidence(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the transition was decided from."""

    caused_by: Annotated[UUID, Meta(description="event_id of the input event (or tick) that brought it about.")]
    score: Annotated[Score | None, Meta(description="The score that decided; null: none did (staleness).")] = None
    values: Annotated[
        Annotated[dict[Name, Reading], Meta(max_length=128)], Meta(description="The signals then, by name.")
    ] = {}
    prediction: Annotated[Answer | None, Meta(description="The prediction that decided; null: none did.")] = None


class Alert(Event, frozen=True, kw_only=True, omit_defaults=True):
    """One transition; `observed_at` is when it happened, in the stream's time."""

    alert_id: Annotated[UUID, Meta(description="Identity of the alert over its life; the Kafka key.")]
    condition: Annotated[Name, Meta(description="What is wrong.", examples=["news2", "stale"])]
    transition: Annotated[Transition, Meta(description="What happened to the alert.")]
    priority: Annotated[Priority, Meta(description="IEC 60601-1-8: high: immediate, medium: prompt, low: awareness.")]
    raised_at: Annotated[Moment, Meta(description="observed_at of its first transition.")]
    reason: Annotated[Phrase, Meta(description="One sentence for a person.")]
    evidence: Annotated[Evidence, Meta(description="What it was decided from.")]
    unit: Annotated[Label | None, Meta(description="Where the patient was then; null: not known.")] = None
    bed: Annotated[Label | None, Meta(description="The bed then; null: not known.")] = None


TOPIC: Final = Topic(
    name="alerts.v1",
    type=Alert,
    role="output",
    keyed_by="alert_id",
    retention_ms=YEAR_MS,
    description="Every transition of an alert's life, in the partition of the patient who raised it.",
)
