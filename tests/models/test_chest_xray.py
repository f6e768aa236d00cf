"""The chest model's contract: what it is asked, and what its answers mean."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from wardstream.infra.feeds.films import draw
from wardstream.models import chest_xray
from wardstream.models.chest_xray import CELLS, Contradiction
from wardstream.models.imaging.saliency import picture


def outputs(activation: np.ndarray) -> dict[str, np.ndarray]:  # type: ignore[type-arg]
    logit = activation.mean(axis=(1, 2))[:, None]
    probability = (1 / (1 + np.exp(-logit))).astype(np.float32)
    return {"probability": probability, "calibrated_probability": probability / 2, "activation": activation}


def cells(*strong: tuple[int, int, float]) -> np.ndarray:  # type: ignore[type-arg]
    activation = np.full((CELLS, CELLS), -1, np.float32)
    for row, column, value in strong:
        activation[row, column] = value
    return activation


def test_the_middle_square_is_seen() -> None:
    grey = np.zeros((100, 160), np.uint8)
    grey[:, 30:130] = 200
    tensor = chest_xray.prepare(grey)
    assert tensor.shape == (1, 28, 28)
    assert tensor.dtype == np.float32
    assert tensor.min() == tensor.max() == pytest.approx(200 / 255)


def test_a_film_of_the_models_own_size_is_not_touched() -> None:
    grey = (draw(side=28) * 255).astype(np.uint8)
    assert (chest_xray.prepare(grey)[0] == grey.astype(np.float32) / 255).all()


def test_answers() -> None:
    seen = chest_xray.answers(outputs(np.stack([cells((3, 3, 90.0)), cells()])), 2)
    assert [round(each.probability, 3) for each in seen] == [0.702, 0.269]
    assert seen[0].calibrated_probability == pytest.approx(seen[0].probability / 2)


@pytest.mark.parametrize("what", ["missing", "shape", "nan", "range", "sum", "count"])
def test_answers_that_contradict_themselves(what: str) -> None:
    given = outputs(cells((3, 3, 90.0))[None])
    match what:
        case "missing":
            del given["activation"]
        case "shape":
            given["activation"] = given["activation"][:, :3]
        case "nan":
            given["calibrated_probability"] = np.array([[np.nan]])
        case "range":
            given["calibrated_probability"] = np.array([[1.5]])
        case "sum":
            given["probability"] = given["probability"] + 0.01
    with pytest.raises(Contradiction):
        chest_xray.answers(given, 2 if what == "count" else 1)


def test_the_region_is_the_strongest_cell_and_its_like() -> None:
    found = chest_xray.region(cells((2, 3, 8.0), (2, 4, 5.0), (2, 5, 1.0), (6, 6, 7.0)), 700, 700)
    assert found is not None
    assert (found.left, found.top, found.right, found.bottom) == pytest.approx((3 / 7, 2 / 7, 5 / 7, 3 / 7))
    assert chest_xray.region(cells(), 700, 700) is None


def test_the_region_is_on_the_whole_film() -> None:
    found = chest_xray.region(cells((0, 0, 8.0)), 700, 1400)
    assert found is not None
    assert (found.left, found.top, found.right, found.bottom) == pytest.approx((0.25, 0, 450 / 1400, 1 / 7))


@pytest.mark.parametrize("side", [28, 320])
def test_the_saliency_picture_colours_where_the_answer_comes_from(side: int) -> None:
    grey = np.full((side, side), 100, np.uint8)
    image = np.asarray(Image.open(BytesIO(picture(grey, cells((1, 5, 9.0)), "widened"))))
    size = max(side, 256)
    assert image.shape == (size + 36, size, 3)
    strong = image[round(size * 1.5 / 7), round(size * 5.5 / 7)].astype(int)
    assert strong[0] > strong[2] + 60
    assert (image[round(size * 5 / 7), round(size * 2 / 7)] == 100).all()
    assert image[size:].max() == 255  # the words
    assert chest_xray.LABEL.isascii()  # the font has no more
