"""training-examples.v1: what was known in a patient-hour, what was said of it, and what came: for those who learn.

Every hour that was predicted from comes here once, at the end of the prediction's horizon and a grace period, whatever
became of the patient. Would deaths be told at once and survival only at the end, a young stream would hold too many
deaths. What is reported after that changes no example (`late_outcomes_total` counts it).

There is one partition: one learner takes the examples in their order. The patient's id says which hours are of one
person, for those who split or resample by person.

An alert may have changed what happened: a patient is saved because of it, and the label is negative. `alerts` says
which were open, but how much they feed back into labels can be estimated only where alerts are kept silent at random.
"""

from typing import Annotated, Final, Literal
from uuid import UUID

from msgspec import Meta, Struct, field

from wardstream.schemas.bad_event import BadEvent
from wardstream.schemas.envelope import Event, Label, Moment
from wardstream.schemas.outcomes import Kind
from wardstream.schemas.predictions import Probability
from wardstream.schemas.scores import Name
from wardstream.schemas.topic import YEAR_MS, Topic

Why = Literal["outcome", "stayed", "left_home", "competing_death", "left_elsewhere", "not_there", "after_outcome"]


class Input(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One input of the model."""

    value: Annotated[float, Meta(description="Its value, in the unit its name ends with.")]
    age_h: Annotated[
        Annotated[float, Meta(ge=0)] | None, Meta(description="Its age at observed_at, hours; null: it has none.")
    ] = None


class TrainingExample(Event, frozen=True, kw_only=True, omit_defaults=True):
    """One patient-hour with its label. `observed_at` is its end, when it was predicted from."""

    prediction_id: Annotated[UUID, Meta(description="event_id of the prediction.")]
    model: Annotated[Name, Meta(description="Name of the model.", examples=["risk"])]
    version: Annotated[Label, Meta(description="Version that answered; 0: none had been approved.")]
    target: Annotated[Name, Meta(description="What is predicted.", examples=["deterioration"])]
    horizon_h: Annotated[Annotated[float, Meta(gt=0, le=8760)], Meta(description="Hours after observed_at.")]
    features: Annotated[Label, Meta(description="Version of the inputs.")]
    inputs: Annotated[
        Annotated[dict[Name, Input], Meta(max_length=256)],
        Meta(description="What was known at observed_at, by name; what is not there was missing."),
    ]
    hour: Annotated[Annotated[int, Meta(ge=1)], Meta(description="Of the stay, from 1.")]
    unit: Annotated[Label | None, Meta(description="Where the patient was; null: not known.")] = None
    label: Annotated[
        bool | None, Meta(description="Whether an outcome came within the horizon; null: it cannot be said.")
    ] = None
    why: Annotated[
        Why,
        Meta(
            description="What the label follows from. left_elsewhere, not_there: censored. after_outcome: an outcome "
            "had come before. These have no label."
        ),
    ]
    outcome: Annotated[Kind | None, Meta(description="The outcome that decided; null: none did.")] = None
    outcome_at: Annotated[Moment | None, Meta(description="When it happened; null: none did.")] = None
    said: Annotated[
        Annotated[dict[Name, Probability], Meta(max_length=16)],
        Meta(description="Calibrated probability at the time, by kind of model and as `served`; empty: none was told."),
    ] = field(default_factory=dict)
    alerts: Annotated[
        Annotated[tuple[Name, ...], Meta(max_length=16)],
        Meta(description="Conditions on which an alert was open after the prediction, its own among them."),
    ] = ()
    silent: Annotated[
        Annotated[tuple[Name, ...], Meta(max_length=16)], Meta(description="Those of `alerts` that nobody was told of.")
    ] = ()
    alert_id: Annotated[
        UUID | None, Meta(description="The alert that this prediction raised; null: none, or it was open already.")
    ] = None

    def check(self) -> None:
        """Add to the envelope's checks: a label has a reason that gives one, and a positive one its outcome."""
        Event.check(self)
        if (self.label is None) != (self.why in ("left_elsewhere", "not_there", "after_outcome")):
            raise BadEvent("inconsistent", "label", "why")
        if (self.label is True) != (self.why == "outcome"):
            raise BadEvent("inconsistent", "label", "why")
        if (self.why == "outcome") != (self.outcome is not None and self.outcome_at is not None):
            raise BadEvent("inconsistent", "why", "outcome", "outcome_at")


TOPIC: Final = Topic(
    name="training-examples.v1",
    type=TrainingExample,
    role="output",
    partitions=1,
    retention_ms=YEAR_MS,
    description="What was known in patient-hours, with the label that came late.",
)
