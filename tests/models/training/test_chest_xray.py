"""The recipe, made short: needs torch, which an environment for training has."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from wardstream.infra.feeds.films import draw
from wardstream.models import chest_xray as contract
from wardstream.models.training import chest_films
from wardstream.models.training.chest_films import Films
from wardstream.models.training.chest_xray import RECIPE
from wardstream.models.training.recipe import Settings, TooLittle

pytestmark = pytest.mark.torch


def drawn(count: int = 200) -> Films:
    """Half of them with a shadow."""
    images = [draw("left" if n % 2 else "none", 28, n) for n in range(count)]
    pixels = (np.clip(np.stack(images) + np.random.default_rng(1).normal(0, 0.05, (count, 28, 28)), 0, 1) * 255).astype(
        np.uint8
    )
    return chest_films.single(pixels, (np.arange(count) % 2).astype(np.int8))


def quiet(*_: object) -> None:
    pass


def test_train_and_evaluate(tmp_path: Path) -> None:
    films, settings = drawn(), Settings(epochs=2, only=("logistic", "plain", "augmented"))
    candidate = RECIPE.train(films, tmp_path, settings, quiet)
    record = json.loads((candidate / "record.json").read_text())
    assert record["parity"] < 1e-4
    assert set(record["compared"]) == {"logistic", "plain", "augmented"}
    assert record["chosen"] != "logistic", "only nets are served"
    assert record["compared"]["plain"]["shifts"]["none"]["auroc"]["value"] > 0.8  # the shadow is plain to see
    assert "28×28 triage" in (candidate / "card.md").read_text(encoding="utf-8")
    assert {path.name for path in candidate.glob("*.png")} >= {"reliability.png", "roc.png", "confusion.png"}
    session = ort.InferenceSession(candidate / "model.onnx", providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    asked = films.pixels[:3, None]
    outputs = dict(zip(names, session.run(None, {"image": asked}), strict=True))
    assert len(contract.answers(outputs, 3)) == 3  # the contract's own check: the map adds up to the answer
    found = RECIPE.evaluate(candidate, films, quiet)
    assert found.metrics["learnt_from"] is True
    assert {row["film"] for row in found.rows} == set(chest_films.without_locked(films).ids)
    assert found.metrics["shifts"]["none"]["auroc"]["value"] > 0.8
    unlabelled = films._replace(label=np.full(len(films.ids), -1, np.int8))
    assert "shifts" not in RECIPE.evaluate(candidate, unlabelled, quiet).metrics
    parts = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("fold-*.npz")}
    again = RECIPE.train(films, tmp_path, settings, quiet)  # goes on where it was
    assert parts == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("fold-*.npz")}
    assert json.loads((again / "record.json").read_text())["compared"] == record["compared"]
    verdict = RECIPE.gate(candidate, None, films, 1, quiet)
    assert verdict.outcome == "not_enough_data"
    others = films.only(np.flatnonzero([not chest_films.is_locked(one) for one in films.ids]))
    assert "not those of the training" in RECIPE.gate(candidate, None, others, 1, quiet).reasons[0]


def test_too_little() -> None:
    with pytest.raises(TooLittle):
        chest_films.open_films(drawn(20))


def test_learners_that_are_not_there() -> None:
    for only, said in ((("deep",), "no learner deep"), (("logistic",), "a net is needed")):
        with pytest.raises(ValueError, match=said):
            RECIPE.train(drawn(), Path(), Settings(only=only), quiet)
