"""The saliency picture: the film with the cells that speak for the finding in colour, and the model's limits below."""

from io import BytesIO
from typing import Any, Final

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from wardstream.models.chest_xray import LABEL, Grey, Tensor, square

BAR: Final = 36  # pixels below the film, for the words
SHOWN_SIDE: Final = 256  # at least, so that the words fit
_COLOUR: Final = np.array([255, 80, 0], np.float32)
_STRENGTH: Final = 0.5  # of the colour at the strongest cell: what lies below must stay visible


def picture(grey: Grey, activation: Tensor, note: str | None = None) -> bytes:
    """Draw a PNG.

    Parameters
    ----------
    grey : the film, 0–255, [height, width].
    activation : [7,7], from the model.
    note : a second line, as that the site has widened the ages.
    """
    height, width = grey.shape
    cut = square(height, width)
    cells = np.clip(activation, 0, None)
    cells = cells / max(float(cells.max()), 1e-6) * 255
    smooth = Image.fromarray(cells.astype(np.uint8)).resize((cut.side, cut.side), Image.Resampling.BICUBIC)
    weight: np.ndarray[Any, np.dtype[np.float32]] = np.zeros((height, width, 1), np.float32)
    weight[cut.top : cut.top + cut.side, cut.left : cut.left + cut.side, 0] = np.asarray(smooth, np.float32) / 255
    weight *= _STRENGTH
    mixed = grey[..., None] * (1 - weight) + _COLOUR * weight
    film = Image.fromarray(np.rint(mixed).astype(np.uint8))
    if (scale := SHOWN_SIDE / min(film.size)) > 1:
        film = film.resize((round(film.width * scale), round(film.height * scale)), Image.Resampling.BICUBIC)
    shown = Image.new("RGB", (film.width, film.height + BAR))
    shown.paste(film, (0, 0))
    font = ImageFont.load_default(size=12)
    for line, text in enumerate([LABEL, *([] if note is None else ["ages widened by this site: see the finding"])]):
        ImageDraw.Draw(shown).text((4, film.height + 2 + 16 * line), text, fill="white", font=font)
    out = BytesIO()
    shown.save(out, "PNG")
    return out.getvalue()
