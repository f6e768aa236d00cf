"""Films from PNG and JPEG, by Pillow. They say nothing about the patient: the event has to."""

from collections.abc import Iterator
from io import BytesIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from wardstream.models.imaging.dicom import MAX_PIXELS, MAX_SIDE
from wardstream.models.imaging.film import About, Film, Unusable
from wardstream.models.imaging.grey import film

_FORMATS = ("PNG", "JPEG")  # none of Pillow's others is ever tried
_DEEP = ("I", "I;16", "I;16B", "I;16L")


def is_raster(raw: bytes) -> bool:
    """Whether it starts as a PNG or JPEG file."""
    return raw.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"))


class RasterFile:
    """A picture of which the header has been read.

    Raises
    ------
    Unusable
        It is neither PNG nor JPEG, or damaged.
    """

    about = About()

    def __init__(self, raw: bytes) -> None:
        try:
            self._image = Image.open(BytesIO(raw), formats=_FORMATS)
        except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
            raise Unusable("unreadable") from error
        except Image.DecompressionBombError as error:
            raise Unusable("too_large") from error

    def films(self) -> Iterator[Film]:
        """The one film there is.

        Raises
        ------
        Unusable
            See `film.REASONS`.
        """
        width, height = self._image.size
        if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE:
            raise Unusable("too_large")
        try:
            image = ImageOps.exif_transpose(self._image)  # upright, as viewers show it
            if image.mode in _DEEP:  # 16 bits of grey, which Pillow would cut off at 255
                grey = np.asarray(image, np.float32) / np.float32(65_535)
            else:
                grey = np.asarray(image.convert("L"), np.float32) / np.float32(255)
        except MemoryError as error:
            raise Unusable("too_large") from error
        except Exception as error:
            raise Unusable("unreadable") from error
        yield film(grey)
