"""What is read from an image file, before anything is made of it, and why an image cannot be judged.

These travel between the process that reads untrusted files and the worker, as MessagePack: plain data, so that a reader
that was taken over by what it read can at the worst lie about one picture.
"""

from typing import Annotated, Any, Final

import numpy as np
from msgspec import Meta, Struct

REASONS: Final = {
    "modality": "not a radiograph (CR, DX or RG)",
    "modality_unknown": "the modality is not stated",
    "body_part": "not a film of the chest",
    "body_part_unknown": "the body part is not stated",
    "view": "not a frontal view (PA or AP)",
    "view_unknown": "the view is not stated",
    "age": "the patient's age is outside of the range that the model may be used for",
    "age_unknown": "the patient's age is not stated",
    "age_contradicted": "the file's age and date of birth contradict each other",
    "for_processing": "raw detector data, not meant for display",
    "localizer": "not an original film: a localizer, or derived from other images",
    "no_pixels": "there are no pixels, or it is not stated where they are",
    "not_an_image": "neither DICOM nor PNG nor JPEG",
    "unreadable": "the file is damaged, truncated, or contradicts itself",
    "compression": "compressed in a way that cannot be read here",
    "too_large": "larger than the limit on bytes, pixels or frames",
    "too_small": "smaller than the model's own input",
    "blank": "every pixel is the same, padding apart",
    "too_slow": "it could not be read in time",
    "no_time": "its images could not all be fetched and read in time (yet)",
    "study_too_large": "the study has more images than are judged at once",
    "empty_study": "no image was found there",
    "not_allowed": "its place is not one that this site has allowed",
    "not_found": "nothing is there (yet)",
    "store_unavailable": "the image store did not answer in time",
    "hash": "what is there is not what was announced (SHA-256)",
    "model_unavailable": "the model server did not answer in time",
    "model_output": "the model's answer contradicts itself",
    "withdrawn": "the image was withdrawn or corrected",
}
"""Every reason for which a film is not judged, by its code."""

RETRIED: Final = frozenset({"not_found", "store_unavailable", "no_time", "model_unavailable"})
"""Reasons that time may mend."""


class Unusable(Exception):
    """The image is not judged. `code` is one of `REASONS`; nothing of what was read is in it."""

    def __init__(self, code: str) -> None:
        super().__init__(REASONS[code])
        self.code = code


class About(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a source (the event, or the file's own header) states about a film; None: nothing.

    Attributes
    ----------
    modality, body_part, view : str
        As DICOM has them (CR; CHEST; PA), in capitals.
    age_years : float
        At the time of acquisition.
    intent : str
        Presentation Intent Type: FOR PRESENTATION or FOR PROCESSING.
    image_type : tuple of str
        DICOM Image Type, in capitals.
    """

    modality: str | None = None
    body_part: str | None = None
    view: str | None = None
    age_years: float | None = None
    intent: str | None = None
    image_type: tuple[str, ...] = ()
    series_uid: str | None = None
    instance_uid: str | None = None


class Film(Struct, frozen=True, kw_only=True):
    """One frame as a person would see it, reduced to a size that is kept.

    `grey` holds `height` × `width` bytes, row by row: 0 is black, 255 white; air is dark and bone light, whatever the
    file's photometric interpretation. `frame` counts from 1, None where the file has one only.
    """

    frame: int | None = None
    width: int
    height: int
    grey: Annotated[bytes, Meta(max_length=1 << 20)]

    def array(self) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """The picture, [height, width].

        Raises
        ------
        Unusable
            Its size is not what it says.
        """
        if self.width < 1 or self.height < 1 or len(self.grey) != self.width * self.height:
            raise Unusable("unreadable")
        return np.frombuffer(self.grey, np.uint8).reshape(self.height, self.width)


class Reading(Struct, frozen=True, kw_only=True):
    """What became of a file: its films, or the code of why there are none."""

    about: About = About()
    films: tuple[Film, ...] = ()
    refused: str | None = None
