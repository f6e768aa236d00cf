"""imaging.v1: a study or an instance and where its pixels are. Pixels never travel in Kafka."""

from typing import Annotated, Final

from msgspec import Meta

from wardstream.schemas.bad_event import BadEvent
from wardstream.schemas.bounds import within
from wardstream.schemas.envelope import Event, Label, Phrase
from wardstream.schemas.topic import Topic

Uid = Annotated[str, Meta(max_length=64, pattern=r"^[0-9]+(\.[0-9]+)*$(?!\n)")]
"""A DICOM UID (PS3.5, 9.1)."""
Modality = Annotated[str, Meta(pattern=r"^[A-Z0-9]{1,16}$(?!\n)")]
"""A DICOM modality (PS3.3, C.7.3.1.1.1)."""
PixelUri = Annotated[str, Meta(max_length=2048, pattern=r"^(file|s3|gs|az|https)://[^\x00-\x20\x7f]+$(?!\n)")]
"""A file or an object in a store. Without credentials: they belong to whoever reads it."""


class Imaging(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A study (no `instance_uid`) or one of its instances; `observed_at` is the time of acquisition."""

    study_uid: Annotated[Uid, Meta(description="DICOM Study Instance UID, pseudonymised.")]
    series_uid: Annotated[Uid | None, Meta(description="Series Instance UID; null: the event is about the study.")] = (
        None
    )
    instance_uid: Annotated[Uid | None, Meta(description="SOP Instance UID; null: about the study or series.")] = None
    modality: Annotated[Modality, Meta(description="DICOM modality (PS3.3 C.7.3.1.1.1).", examples=["DX", "CT"])]
    body_part: Annotated[Label | None, Meta(description="DICOM body part examined; null: not stated.")] = None
    view: Annotated[Label | None, Meta(description="View position (PA, AP, LL); null: not stated.")] = None
    procedure: Annotated[Phrase | None, Meta(description="Procedure in words or code; null: not stated.")] = None
    age_years: Annotated[
        Annotated[float, within("age_years")] | None,
        Meta(description="Age at acquisition, for films that do not say it (PNG, JPEG); null: not stated here."),
    ] = None
    instances: Annotated[
        Annotated[int, Meta(ge=0, le=1_000_000)] | None, Meta(description="Number of instances; null: not known.")
    ] = None
    pixels_uri: Annotated[PixelUri | None, Meta(description="Where the pixels are; null: not stored (yet).")] = None
    pixels_sha256: Annotated[
        Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$(?!\n)")] | None,
        Meta(description="SHA-256 of what pixels_uri holds; null: not computed."),
    ] = None

    def check(self) -> None:
        """Add to the envelope's checks: a hash has something it is the hash of."""
        Event.check(self)
        if self.pixels_sha256 is not None and self.pixels_uri is None:
            raise BadEvent("missing_field", "pixels_uri")


TOPIC: Final = Topic(
    name="imaging.v1",
    type=Imaging,
    role="input",
    description="Imaging studies and instances, with a reference to their pixels.",
)
