"""Nets, with torch (`make train-env`): causal, exported as they compute, resumed as if never interrupted, shared."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.models.training.recorded import recorded, stays
from tests.models.training.test_judging import quiet, shuffled_after
from wardstream.models.sepsis import INPUTS, Inputs
from wardstream.models.training import boosting, measures, record
from wardstream.models.training.blending import Table
from wardstream.models.training.boosting import Setting
from wardstream.models.training.exporting import PARITY, export
from wardstream.models.training.fitting import Trial, as_tensors, fit, new_net, runner
from wardstream.models.training.learners import SEARCH, Bench
from wardstream.models.training.nets import Net, Shape
from wardstream.models.training.recipe import Settings, TooLittle
from wardstream.models.training.sepsis import RECIPE
from wardstream.models.training.serving import session
from wardstream.models.training.sharing import Team
from wardstream.models.training.stays import UNLABELLED
from wardstream.models.training.windows import answer, inputs, to_judge

pytestmark = pytest.mark.torch
ROOT = Path(__file__).resolve().parents[3]
KINDS = ("recurrent", "attention")
ALONE = Team(0, 1)


def net_of(kind: Any, **more: Any) -> Net:
    found = stays(20)
    return new_net(Trial(Shape(kind, 16, 2, **more)), found, np.arange(20), seed=3).eval()


@pytest.mark.parametrize("kind", KINDS)
def test_no_answer_depends_on_a_later_hour(kind: str) -> None:
    run, found = runner(net_of(kind)), stays(2)
    for t in (5, 47, 48, 55):
        before = answer(found.take([0]), [0], run, lambda done, of: None).logit
        after = answer(shuffled_after(found, 0, t), [0], run, lambda done, of: None).logit
        assert before[:t] == pytest.approx(after[:t], abs=1e-5)
        assert not np.allclose(before[t:], after[t:])


@pytest.mark.parametrize("kind", KINDS)
def test_one_file_computes_what_the_net_does(kind: str, tmp_path: Path) -> None:
    net, found = net_of(kind), stays(12)
    sample = inputs(found, to_judge(found, range(12))[:24])
    assert export(net, None, tmp_path / "model.onnx", sample) <= PARITY
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"], "weights inside"
    run = session(tmp_path / "model.onnx")
    assert run(sample) == pytest.approx(runner(net)(sample), abs=PARITY)


def test_a_blend_is_one_file_too(tmp_path: Path) -> None:
    net, found = net_of("attention"), stays(60)
    trees, _ = boosting.boost(found, np.arange(50), None, Setting(rounds=8), 1, lambda done, of: None)
    sample = inputs(found, to_judge(found, range(12))[:24])
    assert export(net, trees, tmp_path / "model.onnx", sample) <= PARITY
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]
    said = session(tmp_path / "model.onnx")(sample)
    assert said == pytest.approx((runner(net)(sample) + boosting.runner(trees, Setting())(sample)) / 2, abs=PARITY)
    assert not np.allclose(said, runner(net)(sample))
    assert export(None, trees, tmp_path / "trees.onnx", sample) <= PARITY
    assert session(tmp_path / "trees.onnx")(sample) == pytest.approx(
        boosting.runner(trees, Setting())(sample), abs=PARITY
    )


def test_the_features_of_boosting_are_those_of_its_file() -> None:
    found = stays(12)
    made = inputs(found, to_judge(found, range(12)))
    assert np.array_equal(Table()(*as_tensors(made)).numpy(), boosting.table(made), equal_nan=True)


@pytest.mark.parametrize("kind", KINDS)
def test_variants_do_not_see_what_they_are_without(kind: str) -> None:
    found = stays(4)
    made = inputs(found, to_judge(found, [2, 3]))
    later = made._replace(about=made.about + np.eye(5, dtype=np.float32)[4] * 30)
    often = made._replace(measured=1 - made.measured)
    assert not np.allclose(runner(net_of(kind))(made), runner(net_of(kind))(later))
    assert runner(net_of(kind, without=("clock",)))(made) == pytest.approx(
        runner(net_of(kind, without=("clock",)))(later), abs=1e-6
    )
    assert not np.allclose(runner(net_of(kind))(made), runner(net_of(kind))(often))
    assert runner(net_of(kind, without=("counts",)))(made) == pytest.approx(
        runner(net_of(kind, without=("counts",)))(often), abs=1e-6
    )


def test_a_fit_that_was_interrupted_ends_as_one_that_was_not(tmp_path: Path) -> None:
    found, learn, held = stays(60), np.arange(50), np.arange(50, 60)
    trial = Trial(Shape("recurrent", 16, 1), batch=16, epochs=4)

    def run(kept: Path, epochs: int) -> Net:
        net = new_net(trial, found, learn, seed=1)
        short = trial._replace(epochs=epochs)
        return fit(net, "labelled", short, found, learn, held, 1, kept, ALONE, quiet, "test").net

    whole = run(tmp_path / "whole.pt", 4)
    run(tmp_path / "parts.pt", 2)
    parts = run(tmp_path / "parts.pt", 4)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, parts.state_dict()[name]), name


def test_it_learns(tmp_path: Path) -> None:
    found, learn, held = stays(160), np.arange(120), np.arange(120, 160)
    trial = Trial(Shape("recurrent", 16, 1), batch=16, rate=1e-2, epochs=6)
    net = new_net(trial, found, learn, seed=1)
    fitted = fit(net, "labelled", trial, found, learn, held, 1, tmp_path / "kept", ALONE, quiet, "test")
    assert fitted.curve[-1]["loss"] < fitted.curve[0]["loss"]
    assert fitted.best > 0.8


@pytest.mark.parametrize("kind", KINDS)
def test_two_processes_reach_the_weights_of_one(kind: str, tmp_path: Path) -> None:
    """At equal global batch, within 1e-5, over 6 epochs with hiding, dropping and both tasks."""
    alone = [sys.executable, "-m", "tests.models.training.share"]
    both = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    both += ["-m", "tests.models.training.share"]
    for command, name in ((alone, "one"), (both, "two")):
        subprocess.run([*command, kind, str(tmp_path / name)], cwd=ROOT, check=True, timeout=200, capture_output=True)
    one, two = (torch.load(tmp_path / name, weights_only=True) for name in ("one", "two"))
    assert (int(one.pop("processes")), int(two.pop("processes"))) == (1, 2)
    assert one.keys() == two.keys()
    for name, value in one.items():
        assert torch.allclose(value, two[name], rtol=0, atol=1e-5), name


def test_a_run_leaves_a_candidate_that_reproduces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole recipe on made-up stays: compared, chosen, exported; and again from the start to the same answers."""
    small = Trial(Shape("recurrent", 8, 1), batch=64, rate=1e-2, epochs=1)
    monkeypatch.setitem(SEARCH, "recurrent", (small,))
    monkeypatch.setattr(measures, "BOOTSTRAPS", 20)
    monkeypatch.setitem(SEARCH, "boosting", (Setting(rounds=5), Setting(rounds=4)))
    learners = ("news2", "boosting", "recurrent", "boosting+recurrent", "recurrent-pretrained")
    data, settings = recorded(60), Settings(only=(*learners, "finish"))
    first = RECIPE.train(data, tmp_path / "a", settings, quiet)
    names = {path.name for path in first.iterdir()}
    assert names >= {"model.onnx", "record.json", "calibration.json", "fallback.json", "card.md", "config.pbtxt"}
    assert names >= {"reliability.png", "roc.png", "pr.png", "confusion.png", "curves.png"}
    made = record.load(first)
    assert set(made.compared) == {*learners, "boosting+recurrent-pretrained"}, "a mean of what is there costs nothing"
    assert made.model_hash == record.file_hash(first / "model.onnx")
    assert made.settings["tried"] == {"boosting": 2}
    assert "boosting 2; every other" in (first / "card.md").read_text()
    assert "| recurrent |" in (first / "card.md").read_text()
    second = RECIPE.train(data, tmp_path / "b", settings, quiet)
    assert record.load(second).compared == made.compared
    seen: list[str] = []
    again = RECIPE.train(data, tmp_path / "a", settings, lambda task, *_: seen.append(task))
    assert not [task for task in seen if "epoch" in task]
    assert again == first, "nothing is learnt twice"
    open_patients = 60 - len(RECIPE.locked(data))
    assert RECIPE.evaluate(first, data, quiet).metrics["counts"]["patients"] == open_patients


def test_only_the_fold_that_chooses_is_seen_before_it_is_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With other labels of fold 1 its model, of a given length, learns the same, and says the same."""
    small = Trial(Shape("recurrent", 8, 1), batch=64, rate=1e-2, epochs=1)
    monkeypatch.setitem(SEARCH, "recurrent", (small,))
    monkeypatch.setitem(SEARCH, "boosting", (Setting(rounds=1, rate=0.3),))
    data, said = recorded(60), []
    split = RECIPE.split(data.stays)
    label = data.stays.label.copy()
    for i in split.folds[1]:
        rows = slice(data.stays.starts[i], data.stays.starts[i + 1])
        label[rows] = np.where(label[rows] == UNLABELLED, UNLABELLED, 1 - label[rows])
    for name, stays_ in (("a", data.stays), ("b", replace(data.stays, label=label))):
        bench = Bench(data._replace(stays=stays_), split, tmp_path / name, Settings(), quiet, ALONE)
        bench.out_of_fold("boosting+recurrent")
        said.append([bench.said("boosting+recurrent", fold).logit for fold in range(3)])
    assert np.array_equal(said[0][1], said[1][1])
    assert not np.array_equal(said[0][0], said[1][0]), "the labels of fold 1 are learnt from elsewhere"


def test_what_cannot_be_trained_is_told(tmp_path: Path) -> None:
    with pytest.raises(TooLittle, match="fewer than 10"):
        RECIPE.train(recorded(20), tmp_path, Settings(), quiet)
    with pytest.raises(ValueError, match="no learner guess"):
        RECIPE.train(recorded(60), tmp_path, Settings(only=("guess",)), quiet)


def test_tensors_are_in_the_order_of_the_contract() -> None:
    made = inputs(stays(1), to_judge(stays(1), [0])[:1])
    assert [tuple(one.shape) for one in as_tensors(made)] == [one.shape for one in made]
    assert Inputs._fields == INPUTS
