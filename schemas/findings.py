"""findings.v1: what a model saw in a film or a signal, where, and how good the answer is.

A finding is a prediction about what was recorded, not about what will happen, so it has no horizon; it has a place
instead, and a sentence that has to stand wherever the finding is shown. No finding raises an alert by itself.

An image that cannot be judged has a finding too, `abstained` with its reason: who sent it learns what became of it.
"""

from typing import Annotated, Final
from uuid import UUID

from msgspec import Meta, Struct

from wardstream.schemas.bad_event import BadEvent
from wardstream.schemas.bounds import within
from wardstream.schemas.envelope import Event, Label, Phrase
from wardstream.schemas.imaging import PixelUri, Uid
from wardstream.schemas.predictions import Probability, Quality
from wardstream.schemas.scores import Name
from wardstream.schemas.topic import YEAR_MS, Topic

Share = Annotated[float, Meta(ge=0, le=1)]
"""Of the picture's width or height."""


class Region(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A box on the picture as it is shown, in shares of its width and height."""

    left: Annotated[Share, Meta(description="Of the box's left edge, from the picture's left.")]
    top: Annotated[Share, Meta(description="Of the box's upper edge, from the picture's top.")]
    right: Annotated[Share, Meta(description="Of the box's right edge, from the picture's left; beyond left.")]
    bottom: Annotated[Share, Meta(description="Of the box's lower edge, from the picture's top; beyond top.")]


class Finding(Event, frozen=True, kw_only=True, omit_defaults=True):
    """One answer about one picture or signal; `observed_at` is when that was acquired.

    `quality` (not the envelope's `status`, which is about revisions) says how far to trust it.
    """

    caused_by: Annotated[UUID, Meta(description="event_id of the input event that it is about.")]
    model: Annotated[Name, Meta(description="Name of the model.", examples=["chest_xray"])]
    version: Annotated[
        Label | None, Meta(description="Version of the model that answered; null: it was not asked.")
    ] = None
    finding: Annotated[Name, Meta(description="What was looked for.", examples=["pneumonia"])]
    quality: Annotated[
        Quality, Meta(description="degraded: answered on a doubtful input; abstained: no answer is given.")
    ] = "ok"
    reason: Annotated[Phrase | None, Meta(description="Why degraded or abstained; null when ok.")] = None
    reason_code: Annotated[
        Name | None, Meta(description="The reason as one word, for programs; null when ok.", examples=["age"])
    ] = None
    probability: Annotated[Probability | None, Meta(description="The model's own; null: abstained.")] = None
    calibrated_probability: Annotated[
        Probability | None, Meta(description="After calibration: show this one; null: abstained or not calibrated.")
    ] = None
    caveat: Annotated[Phrase, Meta(description="The limits of the model: must stand wherever the finding is shown.")]
    region: Annotated[
        Region | None,
        Meta(description="Where the answer comes from mostly; null: abstained, or nowhere in particular."),
    ] = None
    location: Annotated[
        Label | None, Meta(description="The place in words (a lead, a lobe); null: see region, or not known.")
    ] = None
    saliency_uri: Annotated[
        PixelUri | None, Meta(description="A picture (PNG) of where the answer comes from; null: none was stored.")
    ] = None
    study_uid: Annotated[Uid | None, Meta(description="DICOM Study Instance UID; null: not an image.")] = None
    series_uid: Annotated[Uid | None, Meta(description="Series Instance UID; null: not known.")] = None
    instance_uid: Annotated[
        Uid | None, Meta(description="SOP Instance UID; null: about the whole study, or not known.")
    ] = None
    frame: Annotated[
        Annotated[int, Meta(ge=1, le=1_000_000)] | None,
        Meta(description="Number of the frame, from 1; null: the instance has one or none."),
    ] = None
    age_years: Annotated[
        Annotated[float, within("age_years")] | None,
        Meta(description="The patient's age that was used; null: unknown."),
    ] = None
    age_note: Annotated[
        Phrase | None,
        Meta(description="Says that the site has widened the model's ages; must be shown too; null: it has not."),
    ] = None

    def check(self) -> None:
        """Add to the envelope's checks: an answer has a probability, an abstention none; a box has an inside."""
        Event.check(self)
        if self.quality == "abstained":
            if self.probability is not None or self.calibrated_probability is not None or self.region is not None:
                raise BadEvent("inconsistent", "quality", "probability", "calibrated_probability", "region")
        else:
            if self.probability is None:
                raise BadEvent("missing_field", "probability")
            if self.version is None:
                raise BadEvent("missing_field", "version")
        if self.quality != "ok" and self.reason is None:
            raise BadEvent("missing_field", "reason")
        region = self.region
        if region is not None and not (region.left < region.right and region.top < region.bottom):
            raise BadEvent("inconsistent", "region")


TOPIC: Final = Topic(
    name="findings.v1",
    type=Finding,
    role="internal",
    retention_ms=YEAR_MS,
    description="What models saw in images and signals, with place and caveat; for applications, too.",
)
