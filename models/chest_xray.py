"""The model `chest_xray`: signs of pneumonia in a frontal chest film of a child of 1–5 years, seen at 28×28 pixels.

Tensor contract (models/repository/chest_xray):

==========================  ==================  =====================================================================
image                       float32 [n,1,28,28]  grey levels 0–1, air dark
probability                 float32 [n,1]        sigmoid of the mean of `activation`
calibrated_probability      float32 [n,1]        after Platt's scaling, whose two numbers are weights of the graph:
                                                 they cannot be those of another version
activation                  float32 [n,7,7]      what each cell adds to the logit, times 49
==========================  ==================  =====================================================================

`activation` is the class activation map of Zhou et al. (CVPR 2016): the last feature maps, weighted as the classifier
weighs them. Here the weighing is inside the graph (a 1×1 convolution before the mean), so that the map adds up to the
very logit it explains, and `answers` checks that it does. It shows where the answer comes from, at a seventh of the
film; it does not outline a disease.

Preprocessing is that of the training set (MedMNIST v2, Yang et al., Sci Data 2023;10:41): a square of the shorter side,
cut from the middle, resized to 28×28 by cubic interpolation.
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from PIL import Image

from wardstream.schemas.findings import Region

NAME: Final = "chest_xray"
FINDING: Final = "pneumonia"
SIDE: Final = 28
CELLS: Final = 7
CAVEAT: Final = (
    "28×28 triage, children of 1–5 years: a hint for the order of reading, no diagnosis. A person must read the film."
)
LABEL: Final = "28x28 triage, children of 1-5 years"  # drawn by a font that knows ASCII only
_TOLERANCE: Final = 1e-3  # a graph in half precision may differ by as much

Grey = np.ndarray[Any, np.dtype[np.uint8]]
Tensor = np.ndarray[Any, np.dtype[np.float32]]


class Square(NamedTuple):
    """The part of a film that the model sees, in pixels of the film."""

    left: int
    top: int
    side: int


class Seen(NamedTuple):
    """The model's answer about one film; `activation` is [7,7]."""

    probability: float
    calibrated_probability: float
    activation: Tensor


class Contradiction(ValueError):
    """An answer that cannot be one: wrong shape, not finite, or a map that does not add up to it."""


def square(height: int, width: int) -> Square:
    """The middle square of a film."""
    side = min(height, width)
    return Square((width - side) // 2, (height - side) // 2, side)


def prepare(grey: Grey) -> Tensor:
    """What the model is asked about one film of grey levels 0–255, [height, width]: float32 [1,28,28] of 0–1."""
    cut = square(*grey.shape)
    middle = grey[cut.top : cut.top + cut.side, cut.left : cut.left + cut.side]
    small = Image.fromarray(np.ascontiguousarray(middle)).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    return np.asarray(small, np.float32)[None] / np.float32(255)


def stack(films: Sequence[Tensor]) -> Tensor:
    """Several films as one tensor, [n,1,28,28]."""
    return np.stack(films)


def answers(outputs: dict[str, np.ndarray[Any, Any]], films: int) -> list[Seen]:
    """The model's answers about so many films.

    Raises
    ------
    Contradiction
        They are not what the contract says.
    """
    try:
        raw, calibrated = outputs["probability"], outputs["calibrated_probability"]
        activation = np.asarray(outputs["activation"], np.float32)
    except KeyError as error:
        raise Contradiction(f"no output {error}") from None
    if raw.shape != (films, 1) or calibrated.shape != (films, 1) or activation.shape != (films, CELLS, CELLS):
        raise Contradiction("shape")
    if not all(np.isfinite(each).all() for each in (raw, calibrated, activation)):
        raise Contradiction("not finite")
    if ((raw < 0) | (raw > 1) | (calibrated < 0) | (calibrated > 1)).any():
        raise Contradiction("not a probability")
    logits = np.clip(activation.mean(axis=(1, 2)), -80, 80)
    if np.abs(1 / (1 + np.exp(-logits)) - raw[:, 0]).max(initial=0) > _TOLERANCE:
        raise Contradiction("the activation does not add up to the probability")
    return [Seen(float(raw[i, 0]), float(calibrated[i, 0]), activation[i]) for i in range(films)]


def region(activation: Tensor, height: int, width: int) -> Region | None:
    """The box around the strongest cell and its neighbours of at least half its strength, on the whole film.

    None where no cell speaks for the finding.
    """
    peak = np.unravel_index(int(activation.argmax()), activation.shape)
    strongest = float(activation[peak])
    if strongest <= 0:
        return None
    found, open_cells = {(int(peak[0]), int(peak[1]))}, [(int(peak[0]), int(peak[1]))]
    while open_cells:
        row, column = open_cells.pop()
        for cell in ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)):
            if cell not in found and min(cell) >= 0 and max(cell) < CELLS and activation[cell] >= strongest / 2:
                found.add(cell)
                open_cells.append(cell)
    rows, columns = [row for row, _ in found], [column for _, column in found]
    cut = square(height, width)
    step = cut.side / CELLS
    return Region(
        left=(cut.left + min(columns) * step) / width,
        top=(cut.top + min(rows) * step) / height,
        right=min(1.0, (cut.left + (max(columns) + 1) * step) / width),
        bottom=min(1.0, (cut.top + (max(rows) + 1) * step) / height),
    )
