"""From a file's bytes to its films, or to the reason why there are none."""

import warnings
from collections.abc import Iterator
from typing import Protocol

from wardstream.models.imaging.dicom import DicomFile, is_dicom
from wardstream.models.imaging.film import About, Film, Reading, Unusable
from wardstream.models.imaging.raster import RasterFile, is_raster
from wardstream.models.imaging.suitability import Rules, refuse


class ImageFile(Protocol):
    """A file of which the header has been read."""

    @property
    def about(self) -> About: ...
    def films(self) -> Iterator[Film]: ...


def open_image(raw: bytes) -> ImageFile:
    """Read the header of a DICOM, PNG or JPEG file.

    Raises
    ------
    Unusable
        It is none of them, or damaged.
    """
    if is_dicom(raw):
        return DicomFile(raw)
    if is_raster(raw):
        return RasterFile(raw)
    raise Unusable("not_an_image")


def read(raw: bytes, stated: About, rules: Rules) -> Reading:
    """Judge what is stated, then decode: pixels of a film that is not suitable are never touched. Raises nothing."""
    about = About()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom's quote values
            image = open_image(raw)
            about = image.about
            refuse((stated, about), rules)
            return Reading(about=about, films=tuple(image.films()))
    except Unusable as unusable:
        return Reading(about=about, refused=unusable.code)
