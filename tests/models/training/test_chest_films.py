"""Films for training: each once, split by what they are, shifted as said; and the measures that judge answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wardstream.infra.feeds.films import draw
from wardstream.models.training import chest_films, chest_measures
from wardstream.models.training.chest_films import Films
from wardstream.models.training.chest_gate import decide
from wardstream.models.training.measures import auroc


def drawn(count: int, seed: int = 0) -> np.ndarray:  # type: ignore[type-arg]
    rng = np.random.default_rng(seed)
    return (rng.random((count, 28, 28)) * 255).astype(np.uint8)


def test_each_film_counts_once() -> None:
    images, label = drawn(6), np.array([0, 1, 0, 1, 0, 1], np.int8)
    images[2] = images[0]  # the same, with the same label
    images[4] = images[0].astype(int) + (images[0] < 255)  # nearly
    images[5] = images[1]
    images[3] = images[1]
    images = np.concatenate([images, images[1:2], drawn(2, 9)])
    label = np.array([*label, 0, 1, -1], np.int8)  # the same film as 1, 3 and 5 with another label
    films = chest_films.single(images, label)
    assert films.left_out == {"exact": 4, "near": 1, "contradicting": 1}
    assert films.label.tolist() == [0, 1, -1]
    assert (films.pixels[0] * 255 == images[0]).all()


def test_films_that_only_look_alike_are_two() -> None:
    one, other = ((draw(seed=seed, side=28) + 0.05 * seed) * 200 for seed in (1, 2))
    films = chest_films.single(np.stack([one, other]).astype(np.uint8), np.array([0, 1], np.int8))
    assert len(films.ids) == 2


def test_reading(tmp_path: Path) -> None:
    path = tmp_path / "films.npz"
    np.savez(path, train_images=drawn(3), train_labels=np.array([[0], [1], [1]]), val_images=drawn(2, 5))
    films = chest_films.read(path)
    assert films.label.tolist() == [0, 1, 1, -1, -1]
    np.savez(path, train_images=drawn(3).astype(float))
    with pytest.raises(ValueError, match="train_images"):
        chest_films.read(path)
    np.savez(path, train_images=drawn(3), train_labels=np.array([0, 1, 7]))
    with pytest.raises(ValueError, match="train_labels"):
        chest_films.read(path)


def test_what_is_locked_follows_from_the_film_alone() -> None:
    images = drawn(1_000)
    films = chest_films.single(images, np.zeros(1_000, np.int8))
    again = chest_films.single(images[::-1], np.zeros(1_000, np.int8))
    locked = {one for one in films.ids if chest_films.is_locked(one)}
    assert locked == {one for one in again.ids if chest_films.is_locked(one)}
    assert 100 < len(locked) < 200


def test_folds_have_both_labels_alike() -> None:
    label = np.array([0] * 50 + [1] * 150, np.int8)
    fold = chest_films.folds(label, 3)
    assert [int((fold == number).sum()) for number in range(5)] == [40] * 5
    assert [int(label[fold == number].sum()) for number in range(5)] == [30] * 5
    assert (fold == chest_films.folds(label, 3)).all()
    assert (fold != chest_films.folds(label, 4)).any()


def test_shifts() -> None:
    pixels = np.full((2, 28, 28), 0.6, np.float32)
    found = dict(chest_films.shifts(pixels, 1))
    assert (found["none"] == pixels).all()
    assert found["brightness +0.2"].mean() == pytest.approx(0.8)
    assert found["contrast ×0.6"].mean() == pytest.approx(0.56)
    assert found["noise 0.10"].std() == pytest.approx(0.1, rel=0.1)
    assert all(shifted.min() >= 0 and shifted.max() <= 1 for shifted in found.values())


def test_measures_by_hand() -> None:
    label, score = np.array([0, 0, 1, 1], np.int8), np.array([0.1, 0.4, 0.4, 0.9])
    assert chest_measures.balanced_accuracy(0.4)(label, score) == pytest.approx(0.75)
    found = chest_measures.with_interval(auroc, np.tile(label, 50), np.tile(score, 50), 1)
    assert found["interval"][0] < found["value"] < found["interval"][1]
    same = chest_measures.difference(auroc, np.tile(label, 9), np.tile(score, 9), np.tile(score, 9), 1)
    assert same == {"value": 0, "interval": [0, 0]}


LABEL = np.tile(np.array([0, 1], np.int8), 200)


@pytest.mark.parametrize(
    ("change", "outcome", "said"),
    [
        ({}, "accepted", "better"),
        ({"label": LABEL[:150]}, "not_enough_data", "locked films"),
        ({"serving": "own"}, "rejected", "not shown to be better"),
        ({"said": "flat"}, "rejected", "calibration slope"),
        ({"shift": 0.3}, "rejected", "costs"),
        ({"parity": 1e-3}, "rejected", "differs from torch"),
        ({"latency_s": 0.2}, "rejected", "takes"),
    ],
)
def test_the_gate(change: dict[str, Any], outcome: str, said: str) -> None:
    rng = np.random.default_rng(3)
    probability = rng.beta(0.5, 0.5, 4_000)
    label = (rng.random(4_000) < probability).astype(np.int8)
    if "label" in change:
        probability, label = probability[:150], change["label"]
    own = 0.5 + (probability - 0.5) / 4 if change.get("said") == "flat" else probability
    shifted = np.where(rng.random(len(own)) < change.get("shift", 0.0), 1 - own, own)
    serving = own if change.get("serving") == "own" else rng.random(len(own))
    verdict = decide(
        label,
        {"none": own, "noise": shifted},
        0.5,
        (serving, 0.5),
        1,
        change.get("parity", 1e-6),
        change.get("latency_s", 0.01),
    )
    assert verdict.outcome == outcome
    assert said in " ".join(verdict.reasons)


def test_the_films_that_come_with_the_project() -> None:
    path = Path(__file__).resolve().parents[4] / "shared" / "data" / "imaging" / "pneumoniamnist_trainval.npz"
    if not path.is_file():
        pytest.skip("no ../shared/data/imaging")
    films = chest_films.read(path)
    assert len(films.ids) == len(set(films.ids)) == 5232 - sum(films.left_out.values())
    assert films.left_out["exact"] >= 6
    assert isinstance(films, Films)
