"""From numbers to what a person would see: windows, and pictures made smaller. Pure."""

from typing import Any, Final

import numpy as np
from PIL import Image

from wardstream.models.imaging.film import Film, Unusable

KEPT_SIDE: Final = 512  # pixels of the longer side that are kept: far more than the models use, enough to look at
LEAST_SIDE: Final = 28  # of a film smaller than the models' own input something would be invented

Numbers = np.ndarray[Any, np.dtype[np.float32]]
Bytes = np.ndarray[Any, np.dtype[np.uint8]]


def window(values: Numbers, centre: float, width: float, function: str = "LINEAR") -> Numbers:
    """Grey levels 0–1 of values seen through a window (PS3.3 C.11.2.1.2 and C.11.2.1.3).

    Raises
    ------
    Unusable
        The window is not one (`unreadable`).
    """
    if not (np.isfinite(centre) and np.isfinite(width)) or width <= 0 or (function == "LINEAR" and width < 1):
        raise Unusable("unreadable")
    if function == "SIGMOID":
        return np.asarray(1 / (1 + np.exp(np.clip(-4 * (values - centre) / width, -80, 80))), np.float32)
    if function == "LINEAR":  # the standard's own: a width of 1 is a threshold
        centre, width = centre - 0.5, width - 1
        if width == 0:
            return np.asarray(values > centre, np.float32)
    return np.asarray(np.clip((values - centre) / width + 0.5, 0, 1), np.float32)


def spread(values: Numbers, known: np.ndarray[Any, np.dtype[np.bool_]] | None = None) -> Numbers:
    """Grey levels 0–1 where no window is given: from the lowest to the highest value, but for the outermost 0.5 %.

    `known` is False for padding, which then is black.

    Raises
    ------
    Unusable
        All values are the same (`blank`).
    """
    seen = values if known is None else values[known]
    if seen.size == 0:
        raise Unusable("blank")
    low, high = np.percentile(seen[:: max(1, seen.size // 1_000_000)], (0.5, 99.5))
    if not high > low:
        low, high = float(seen.min()), float(seen.max())
        if not high > low:
            raise Unusable("blank")
    return np.asarray(np.clip((values - low) / (high - low), 0, 1), np.float32)


def film(grey: Numbers, frame: int | None = None) -> Film:
    """A film of grey levels 0–1, [height, width], made smaller if need be: each pixel the mean of those it covers.

    Raises
    ------
    Unusable
        Smaller than any model's input (`too_small`), without any structure (`blank`), or not numbers (`unreadable`).
    """
    height, width = grey.shape
    if min(height, width) < LEAST_SIDE:
        raise Unusable("too_small")
    if not np.isfinite(grey).all():
        raise Unusable("unreadable")
    scale = KEPT_SIDE / max(height, width)
    if scale < 1:
        size = max(LEAST_SIDE, round(width * scale)), max(LEAST_SIDE, round(height * scale))
        grey = np.asarray(Image.fromarray(np.ascontiguousarray(grey)).resize(size, Image.Resampling.BOX), np.float32)
    kept: Bytes = np.asarray(np.rint(np.clip(grey, 0, 1) * 255), np.uint8)
    if kept.min() == kept.max():
        raise Unusable("blank")
    return Film(frame=frame, width=kept.shape[1], height=kept.shape[0], grey=kept.tobytes())
