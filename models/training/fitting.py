"""Fitting a net: epochs over windows, stopped early, resumed where it was left; with or without labels.

Chance depends on seed, epoch and step only, so a run that was interrupted and one that was not see the same, and so do
several processes: what a step leaves to chance is drawn for its whole batch, before it is shared out.

Learning with labels: cross-entropy of each hour. A share of measurements is hidden in each step (`hide`), as if they
had never been taken, so that the net leans on no single one. Learning without labels: the same, with the hidden values
to be rebuilt from the hour's vector; only hours up to that one are seen.

What is judged and kept is a moving average of the weights, over about the last `AVERAGED` steps: the weights themselves
swing from epoch to epoch by more than learners differ, and other folds take over how long is learnt, not what was best
there.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel

from wardstream.models.sepsis import LOOK_BACK, SIGNALS, Inputs
from wardstream.models.training.measures import auroc
from wardstream.models.training.nets import Net, Shape
from wardstream.models.training.recipe import Report
from wardstream.models.training.sharing import Team
from wardstream.models.training.stays import Stays
from wardstream.models.training.windows import Cut, batches, inputs, labels, raw, to_learn

Task = Literal["labelled", "rebuild"]
REBUILT_SHARE: Final = 0.25  # of measurements hidden where they are to be rebuilt
_WINDOW: Final = (LOOK_BACK, len(SIGNALS))
AVERAGED: Final = 200
EPS: Final = 1e-6  # of Adam: its default turns the rounding of tiny gradients into whole steps


class Trial(NamedTuple):
    """Settings of one fit; what a search varies."""

    shape: Shape
    rate: float = 2e-3
    decay: float = 1e-2
    drop: float = 0.2
    hide: float = 0.1
    batch: int = 128
    epochs: int = 30
    patience: int = 5


class Fitted(NamedTuple):
    """The net of its best epoch, its score (None: nothing validated it), and the curve that led there."""

    net: Net
    best: float | None
    curve: list[dict[str, float | None]]


def spread_of(stays: Stays, places: npt.NDArray[np.intp]) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each signal over some stays, 0 and 1 where it was never measured."""
    grid = stays.take(places).grid.astype(np.float64)
    there = ~np.isnan(grid)
    n = np.maximum(there.sum(axis=0), 1)
    mean = np.where(there, grid, 0).sum(axis=0) / n
    sd = np.sqrt(np.where(there, (grid - mean) ** 2, 0).sum(axis=0) / n)
    return mean.tolist(), np.where(sd > 1e-6, sd, 1.0).tolist()


def new_net(trial: Trial, stays: Stays, learn: npt.NDArray[np.intp], seed: int) -> Net:
    """A net as it is before it has learnt anything."""
    torch.manual_seed(seed)
    return Net(trial.shape, *spread_of(stays, learn))


def fit(
    net: Net,
    task: Task,
    trial: Trial,
    stays: Stays,
    learn: npt.NDArray[np.intp],
    validate: npt.NDArray[np.intp] | None,
    seed: int,
    kept_at: Path,
    team: Team,
    report: Report,
    name: str,
) -> Fitted:
    """Fit a net; a checkpoint of each epoch is kept at a path, and gone on from if it is there.

    The best epoch is the one of the highest AUROC of the hours of `validate`, or of the lowest error of what is
    rebuilt. Without `validate` it is the last one of `trial.epochs`.
    """
    cuts = to_learn(stays, learn)
    judged = None if validate is None else list(batches(to_learn(stays, validate)))
    optimiser = torch.optim.AdamW(net.parameters(), lr=trial.rate, weight_decay=trial.decay, eps=EPS)
    averaged = AveragedModel(net, avg_fn=_average)
    state: dict[str, Any] = {"epoch": 0, "best": -np.inf, "since_best": 0, "curve": [], "weights": net.state_dict()}
    if kept_at.is_file():
        state = torch.load(kept_at, weights_only=True)
        net.load_state_dict(state["now"])
        averaged.load_state_dict(state["averaged"])
        optimiser.load_state_dict(state["optimiser"])
    steps = -(-len(cuts) // trial.batch)
    while state["epoch"] < trial.epochs and state["since_best"] < trial.patience:
        epoch = state["epoch"] + 1
        order = np.random.default_rng((seed, epoch)).permutation(len(cuts))
        loss = torch.zeros(2)
        net.train()
        for step in range(steps):
            chosen = [cuts[i] for i in order[step * trial.batch : (step + 1) * trial.batch]]
            loss += _step(net, task, trial, stays, chosen, (seed, epoch, step), optimiser, team)
            averaged.update_parameters(net)
            if step % 5 == 0:
                report(f"{name} epoch {epoch}", step, steps, _told(state["best"]))
        score = None if judged is None else _score(averaged.module, task, stays, judged, seed)
        better = score is None or score > state["best"]
        state["curve"].append({"epoch": epoch, "loss": float(loss[0] / loss[1]), "score": score})
        state |= {"epoch": epoch, "since_best": 0 if better else state["since_best"] + 1}
        if better:
            state |= {"best": score, "weights": {k: v.clone() for k, v in averaged.module.state_dict().items()}}
        if team.leads:
            part = kept_at.with_suffix(".part")
            now = {"now": net.state_dict(), "averaged": averaged.state_dict(), "optimiser": optimiser.state_dict()}
            torch.save(state | now, part)
            part.replace(kept_at)
        report(f"{name} epoch {epoch}", steps, steps, _told(state["best"]))
    net.load_state_dict(state["weights"])
    net.eval()
    return Fitted(net, state["best"], state["curve"])


def _average(averaged: Tensor, now: Tensor, steps: Any) -> Tensor:
    """A moving average that does not remember where it began."""
    return averaged + (now - averaged) * max(1 / AVERAGED, 2.0 / (2.0 + float(steps)))


def _told(best: float | None) -> str:
    return "" if best is None else f"best {best:.4f}"


def as_tensors(made: Inputs) -> tuple[Tensor, ...]:
    """The tensors of the contract, for torch."""
    return tuple(torch.from_numpy(np.ascontiguousarray(one)) for one in made)


def runner(net: Net) -> Callable[[Inputs], npt.NDArray[np.float32]]:
    """The net as `windows.answer` wants it."""
    net.eval()

    def run(made: Inputs) -> npt.NDArray[np.float32]:
        with torch.no_grad():
            return np.asarray(net(*as_tensors(made)).numpy(), np.float32)

    return run


def _step(
    net: Net,
    task: Task,
    trial: Trial,
    stays: Stays,
    chosen: Sequence[Cut],
    chance: tuple[int, ...],
    optimiser: torch.optim.Optimizer,
    team: Team,
) -> Tensor:
    """One step on a whole batch, of which this process computes its share; returns the share's loss and weight."""
    rng = np.random.default_rng(chance)
    shape = trial.shape
    hide = rng.random((len(chosen), *_WINDOW)) < (REBUILT_SHARE if task == "rebuild" else trial.hide)
    kept = (rng.random((len(chosen), 1, shape.width)) >= trial.drop).astype(np.float32) / (1 - trial.drop)
    rows = raw(stays, chosen)
    label, counts = labels(stays, chosen)
    hidden = hide & ~np.isnan(rows)
    weight = float(hidden.sum() if task == "rebuild" else counts.sum())
    mine = list(team.share(range(len(chosen))))
    optimiser.zero_grad()
    total = torch.zeros(2)
    if mine:
        seen = np.where(hide[mine], np.nan, rows[mine])
        made = as_tensors(inputs(stays, [chosen[i] for i in mine], seen))
        if task == "rebuild":
            loss = _rebuilding(net, made, rows[mine], hidden[mine])
        else:
            said = net(*made, torch.from_numpy(kept[mine]))
            each = functional.binary_cross_entropy_with_logits(said, torch.from_numpy(label[mine]), reduction="none")
            loss = (each * torch.from_numpy(counts[mine])).sum()
        loss.backward()
        total = torch.tensor([float(loss.detach()), weight * len(mine) / len(chosen)])
    team.sum_gradients(net.parameters(), weight)
    torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
    optimiser.step()
    return total


def _rebuilding(net: Net, made: tuple[Tensor, ...], rows: npt.NDArray[np.float64], hidden: Any) -> Tensor:
    truth = (torch.from_numpy(np.nan_to_num(rows).astype(np.float32)) - net.reading.mean) / net.reading.spread
    error = functional.huber_loss(net.rebuilt(*made), truth.clamp(-5.0, 5.0), reduction="none")
    return (error * torch.from_numpy(hidden.astype(np.float32))).sum()


def _score(net: Net, task: Task, stays: Stays, judged: Sequence[Sequence[Cut]], seed: int) -> float:
    net.eval()
    found: list[tuple[Any, Any]] = []
    error = weight = 0.0
    with torch.no_grad():
        for place, part in enumerate(judged):
            if task == "rebuild":
                rows = raw(stays, part)
                hidden = (np.random.default_rng((seed, 0, place)).random(rows.shape) < REBUILT_SHARE) & ~np.isnan(rows)
                made = as_tensors(inputs(stays, part, np.where(hidden, np.nan, rows)))
                error += float(_rebuilding(net, made, rows, hidden))
                weight += float(hidden.sum())
            else:
                label, counts = labels(stays, part)
                said = net(*as_tensors(inputs(stays, part))).numpy()
                found.append((label[counts > 0].astype(np.int8), said[counts > 0].astype(np.float64)))
    if task == "rebuild":
        return -error / max(weight, 1.0)
    return auroc(np.concatenate([a for a, _ in found]), np.concatenate([b for _, b in found]))
