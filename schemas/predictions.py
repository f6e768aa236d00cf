"""predictions.v1: one model's answer about one patient at one time, and how good it is."""

from typing import Annotated, Final, Literal
from uuid import UUID

from msgspec import Meta, Struct

from wardstream.schemas.bad_event import BadEvent
from wardstream.schemas.envelope import Event, Label, Moment, Phrase
from wardstream.schemas.scores import Name
from wardstream.schemas.topic import YEAR_MS, Topic

Probability = Annotated[float, Meta(ge=0, le=1)]
Quality = Literal["ok", "degraded", "abstained"]


class Contribution(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What one input added to the answer."""

    feature: Annotated[Name, Meta(description="The input.")]
    value: Annotated[float | None, Meta(description="Its value, in the unit its name ends with; null: missing.")] = None
    contribution: Annotated[float, Meta(description="Added to the logit: above 0 raises the probability.")]
    text: Annotated[Phrase | None, Meta(description="What was known of it, in words; null: its value says it.")] = None
    age_s: Annotated[
        Annotated[float, Meta(ge=0)] | None, Meta(description="Its age at observed_at, seconds; null: has none.")
    ] = None


class Prediction(Event, frozen=True, kw_only=True, omit_defaults=True):
    """One answer. `quality` (not the envelope's `status`, which is about revisions) says how far to trust it."""

    caused_by: Annotated[UUID, Meta(description="event_id of the input event after which it was made.")]
    model: Annotated[Name, Meta(description="Name of the model.")]
    version: Annotated[Label, Meta(description="Version of the model that answered.")]
    target: Annotated[Name, Meta(description="What is predicted, as in outcomes.v1.", examples=["sepsis_onset"])]
    horizon_h: Annotated[
        Annotated[float, Meta(gt=0, le=8760)], Meta(description="The probability is for the hours after observed_at.")
    ]
    quality: Annotated[
        Quality, Meta(description="degraded: made from a fallback or old inputs; abstained: no answer is given.")
    ] = "ok"
    reason: Annotated[Phrase | None, Meta(description="Why degraded or abstained; null when ok.")] = None
    probability: Annotated[Probability | None, Meta(description="The model's own; null: abstained.")] = None
    calibrated_probability: Annotated[
        Probability | None, Meta(description="After calibration: show this one; null: abstained or not calibrated.")
    ] = None
    contributions: Annotated[
        Annotated[tuple[Contribution, ...], Meta(max_length=64)], Meta(description="The largest first.")
    ] = ()
    input_from: Annotated[Moment | None, Meta(description="Time of the oldest input used; null: none was.")] = None
    input_until: Annotated[Moment | None, Meta(description="Time of the newest input used; null: none was.")] = None
    staleness_s: Annotated[
        Annotated[float, Meta(ge=0)] | None,
        Meta(description="Seconds from the newest input to observed_at; null: no input."),
    ] = None
    missing: Annotated[
        Annotated[tuple[Name, ...], Meta(max_length=256)], Meta(description="Inputs unknown or too old.")
    ] = ()

    silent: Annotated[
        bool, Meta(description="The model is being tried here: for operators, not to be shown or acted upon.")
    ] = False

    def check(self) -> None:
        """Add to the envelope's checks: an answer has a probability, an abstention none, both what explains them."""
        Event.check(self)
        if self.quality == "abstained":
            if self.probability is not None or self.calibrated_probability is not None:
                raise BadEvent("inconsistent", "quality", "probability", "calibrated_probability")
        elif self.probability is None:
            raise BadEvent("missing_field", "probability")
        if self.quality != "ok" and self.reason is None:
            raise BadEvent("missing_field", "reason")
        if self.input_from is not None and self.input_until is not None and self.input_from > self.input_until:
            raise BadEvent("inconsistent", "input_from", "input_until")


TOPIC: Final = Topic(
    name="predictions.v1",
    type=Prediction,
    role="output",
    retention_ms=YEAR_MS,
    description="Models' answers with calibration, contributions and staleness.",
)
