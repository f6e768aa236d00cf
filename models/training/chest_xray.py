"""The recipe of `chest_xray`: three ways to train one net, compared on the same folds; the best becomes the candidate.

Arms: `plain` (from scratch), `augmented`, and `pretrained` (masked reconstruction of the fold's own training films,
then as `augmented`). Each film is judged by a net that has not seen it. The threshold of balanced accuracy is the
share of pneumonia among the fold's training films, on calibrated probabilities: nothing is tuned on what is judged.
Calibration (Platt) comes from inner validation films, that of the candidate as that of each fold: what is measured of
the folds' calibration is what to expect of the candidate's.

Each arm and fold that is done is kept in `parts/`, so a run that was ended goes on where it was.
"""

import copy
import hashlib
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from time import process_time
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from wardstream.models import chest_xray
from wardstream.models.training import chest_films, chest_measures
from wardstream.models.training.chest_card import card
from wardstream.models.training.chest_films import Films
from wardstream.models.training.chest_measures import auroc, balanced_accuracy, platt, sigmoid
from wardstream.models.training.recipe import Evaluation, Report, Settings, TooLittle

ARMS: Final = ("plain", "augmented", "pretrained")
EPOCHS: Final = 15
PATIENCE: Final = 4
PRETRAINED_EPOCHS: Final = 6
BATCH: Final = 64
INNER_SHARE: Final = 0.1  # of training films, for early stopping and the fold's calibration
LEAST: Final = 20  # films of each label
Doubles = npt.NDArray[np.float64]

CONFIG: Final = """backend: "onnxruntime"
max_batch_size: 256
input [ { name: "image" data_type: TYPE_FP32 dims: [ 1, 28, 28 ] } ]
output [
  { name: "probability" data_type: TYPE_FP32 dims: [ 1 ] },
  { name: "calibrated_probability" data_type: TYPE_FP32 dims: [ 1 ] },
  { name: "activation" data_type: TYPE_FP32 dims: [ 7, 7 ] }
]
version_policy: { latest: { num_versions: 1 } }
instance_group [ { kind: KIND_CPU count: 1 } ]
parameters { key: "intra_op_thread_count" value: { string_value: "1" } }
dynamic_batching {
  default_queue_policy {
    timeout_action: REJECT
    default_timeout_microseconds: 1000000
    allow_timeout_override: true
    max_queue_size: 64
  }
}
"""


def open_films(films: Films) -> Films:
    """Labelled films that are not locked.

    Raises
    ------
    TooLittle
        Fewer than `LEAST` of a label.
    """
    rows = np.array([r for r, one in enumerate(films.ids) if films.label[r] >= 0 and not chest_films.is_locked(one)])
    found = films.only(rows.astype(np.int64))
    for value, name in ((0, "without"), (1, "with")):
        if (found.label == value).sum() < LEAST:
            raise TooLittle(f"fewer than {LEAST} films {name} pneumonia")
    return found


def train(data: Films, folder: Path, settings: Settings, report: Report) -> Path:
    """Compare the arms, fit the best on all open films, export it; returns the candidate's folder.

    Raises
    ------
    TooLittle
        The data are not enough.
    """
    films, began = open_films(data), process_time()
    arms = [arm for arm in ARMS if not settings.only or arm in settings.only]
    fold = chest_films.folds(films.label, settings.seed)
    parts = folder / "parts"
    parts.mkdir(parents=True, exist_ok=True)
    told: dict[str, Doubles] = {}
    for place, arm in enumerate(arms):
        for number in range(chest_films.FOLDS):
            report("cross-validation", place * chest_films.FOLDS + number, len(arms) * chest_films.FOLDS, arm)
            _part(parts, arm, number, films, fold, settings)
    report("cross-validation", len(arms) * chest_films.FOLDS, len(arms) * chest_films.FOLDS)
    compared: dict[str, Any] = {}
    for arm in arms:
        told[arm], compared[arm] = _judged(parts, arm, films, fold, settings.seed)
    chosen = max(arms, key=lambda arm: auroc(films.label, told[arm]))
    differences = {
        arm: chest_measures.difference(auroc, films.label, told[arm], told[arms[0]], settings.seed) for arm in arms[1:]
    }
    report("candidate", 0, 1, chosen)
    candidate = folder / "candidate"
    candidate.mkdir(exist_ok=True)
    from wardstream.models.training.chest_nets import export

    net, curve, slope, intercept = _fit(chosen, films, settings, chest_films.FOLDS)
    parity = export(net, slope, intercept, candidate / "model.onnx", films.pixels[:64, None].astype(np.float32))
    report("candidate", 1, 1)
    record = {
        "model": chest_xray.NAME,
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "data_hash": hashlib.sha256("".join(sorted(data.ids)).encode()).hexdigest(),
        "code_hash": _code_hash(),
        "settings": msgspec.to_builtins(settings)
        | {"epochs": settings.epochs or EPOCHS, "patience": PATIENCE, "batch": BATCH, "machine": platform.machine()},
        "sizes": {
            "films": len(data.ids),
            "open": len(films.ids),
            "open_with_pneumonia": int((films.label == 1).sum()),
            "locked": sum(map(chest_films.is_locked, data.ids)),
            "left_out": data.left_out,
            "folds": chest_films.FOLDS,
        },
        "compared": compared,
        "differences_from_" + arms[0]: differences,
        "chosen": chosen,
        "curves": {"candidate": curve},
        "parity": parity,
        "cpu_s": process_time() - began,
        "model_hash": hashlib.sha256((candidate / "model.onnx").read_bytes()).hexdigest(),
    }
    _write(candidate / "record.json", record)
    (candidate / "card.md").write_text(card(record), encoding="utf-8")
    _write(candidate / "calibration.json", {"method": "platt", "slope": slope, "intercept": intercept, "inside": True})
    (candidate / "config.pbtxt").write_text(f'name: "{chest_xray.NAME}"\n{CONFIG}', encoding="utf-8")
    return candidate


def evaluate(model: Path, data: Films, report: Report, seed: int = 1) -> Evaluation:
    """Judge the model in a folder on any films, labelled or not; without torch."""
    import onnxruntime

    run = onnxruntime.InferenceSession(model / "model.onnx", providers=["CPUExecutionProvider"])
    said: dict[str, tuple[Doubles, Doubles]] = {}
    shifted = list(chest_films.shifts(data.pixels, seed))
    for done, (name, pixels) in enumerate(shifted):
        report("evaluate", done, len(shifted), name)
        found = [
            run.run(["probability", "calibrated_probability"], {"image": part[:, None]})
            for part in np.array_split(pixels, max(1, len(pixels) // 256))
            if len(part)
        ]
        raw, calibrated = (np.concatenate([one[k] for one in found])[:, 0].astype(np.float64) for k in (0, 1))
        said[name] = raw, calibrated
    report("evaluate", len(shifted), len(shifted))
    raw, calibrated = said["none"]
    known = data.label >= 0
    metrics: dict[str, Any] = {
        "films": len(data.ids),
        "answers": {
            "mean": float(calibrated.mean()),
            "deciles": [float(v) for v in np.quantile(calibrated, np.arange(0, 1.1, 0.1))],
        },
    }
    if known.any() and 0 < data.label[known].mean() < 1:
        threshold = _threshold(model)
        label = data.label[known]
        metrics["shifts"] = {
            name: {
                "auroc": chest_measures.with_interval(auroc, label, each[known], seed),
                "balanced_accuracy": chest_measures.with_interval(
                    balanced_accuracy(threshold), label, each[known], seed
                ),
            }
            for name, (_, each) in said.items()
        }
        metrics |= {
            "threshold": threshold,
            "brier": chest_measures.brier(label, calibrated[known]),
            "ece": chest_measures.ece(label, calibrated[known]),
            "reliability": chest_measures.reliability(label, calibrated[known]),
        }
    rows = [
        {"film": one, "probability": float(a), "calibrated_probability": float(b)}
        for one, a, b in zip(data.ids, raw, calibrated, strict=True)
    ]
    return Evaluation(metrics=metrics, rows=rows)


def locked(data: Films) -> list[str]:
    """Ids of the films that only the gate may look at."""
    return sorted(one for one in data.ids if chest_films.is_locked(one))


def _threshold(model: Path) -> float:
    """The share of pneumonia among the films the model was made of."""
    sizes = msgspec.json.decode((model / "record.json").read_bytes())["sizes"]
    return float(sizes["open_with_pneumonia"] / sizes["open"])


def _part(parts: Path, arm: str, number: int, films: Films, fold: npt.NDArray[np.int64], settings: Settings) -> None:
    """Train one arm without one fold, and keep what it says of that fold under each shift."""
    path = parts / f"{arm}-{number}.npz"
    mark = hashlib.sha256(f"{settings}{_code_hash()}{''.join(films.ids)}".encode()).hexdigest()
    if path.exists():
        with np.load(path) as kept:
            if str(kept["mark"]) == mark:
                return
    import torch

    from wardstream.models.training.chest_nets import logits

    inside = films.only(np.flatnonzero(fold != number))
    outside = films.only(np.flatnonzero(fold == number))
    net, curve, slope, intercept = _fit(arm, inside, settings, number)
    answers = {
        name: logits(net, torch.from_numpy(pixels[:, None])) for name, pixels in chest_films.shifts(outside.pixels, 1)
    }
    part = path.with_suffix(".part.npz")
    kept_now: dict[str, Any] = {f"said/{name}": values for name, values in answers.items()}
    kept_now |= {"mark": mark, "line": [slope, intercept], "share": (inside.label == 1).mean(), "curve": curve}
    np.savez(part, **kept_now)
    part.replace(path)


def _judged(
    parts: Path, arm: str, films: Films, fold: npt.NDArray[np.int64], seed: int
) -> tuple[Doubles, dict[str, Any]]:
    """An arm's out-of-fold log-odds (calibrated by each fold's own line), and how good they are under each shift."""
    said: dict[str, Doubles] = {}
    cut, curves = np.zeros(len(fold)), []
    for number in range(chest_films.FOLDS):
        with np.load(parts / f"{arm}-{number}.npz") as kept:
            slope, intercept = kept["line"]
            cut[fold == number] = kept["share"]
            curves.append(kept["curve"].tolist())
            for name in kept.files:
                if name.startswith("said/"):
                    column = said.setdefault(name[5:], np.zeros(len(fold)))
                    column[fold == number] = kept[name] * slope + intercept
    probability = sigmoid(said["none"])
    measured = {
        "shifts": {
            name: {
                "auroc": chest_measures.with_interval(auroc, films.label, values, seed),
                # relative to each fold's own threshold, so that one number serves all
                "balanced_accuracy": chest_measures.with_interval(
                    balanced_accuracy(0.0), films.label, sigmoid(values) - cut, seed
                ),
            }
            for name, values in said.items()
        },
        "brier": chest_measures.brier(films.label, probability),
        "ece": chest_measures.ece(films.label, probability),
        "reliability": chest_measures.reliability(films.label, probability),
        "curves": curves,
    }
    return said["none"], measured


def _fit(arm: str, films: Films, settings: Settings, number: int) -> tuple[Any, list[list[float]], float, float]:
    """Train until the inner validation films say no more; returns the best net, its curve and its calibration."""
    import torch
    from torch.nn import functional as F

    from wardstream.models.training.chest_nets import ChestNet, augmented, logits, pretrain

    seed = settings.seed * 1_000 + number
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    inner = chest_films.folds(films.label, seed, round(1 / INNER_SHARE)) == 0
    pixels, label = torch.from_numpy(films.pixels[:, None]), torch.from_numpy(films.label.astype(np.float32))
    seen, asked = pixels[~inner], pixels[inner]
    truth, wanted = label[~inner], label[inner]
    net = ChestNet()
    epochs = settings.epochs or EPOCHS
    if arm == "pretrained":
        pretrain(net, seen, min(PRETRAINED_EPOCHS, epochs), BATCH, seed)
    optimiser = torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=1e-2)
    steps = epochs * -(-len(seen) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, total_steps=steps)
    best, state, since, curve = float("inf"), copy.deepcopy(net.state_dict()), 0, []
    for epoch in range(epochs):
        net.train()
        total = 0.0
        for rows in torch.randperm(len(seen), generator=generator).split(BATCH):
            shown = seen[rows] if arm == "plain" else augmented(seen[rows], generator)
            loss = F.binary_cross_entropy_with_logits(net(shown).mean(dim=(1, 2)), truth[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            total += float(loss.detach()) * len(rows)
        held = torch.from_numpy(logits(net, asked)).float()
        inner_loss = float(F.binary_cross_entropy_with_logits(held, wanted))
        curve.append([float(epoch), total / len(seen), inner_loss])
        since += 1
        if inner_loss < best:
            best, since, state = inner_loss, 0, copy.deepcopy(net.state_dict())
        if since >= PATIENCE:
            break
    net.load_state_dict(state)
    slope, intercept = platt(films.label[inner], logits(net, asked))
    return net.eval(), curve, slope, intercept


def _code_hash() -> str:
    """Of what makes the model: this module, the films, the net."""
    here = Path(__file__).resolve().parent
    names = ("chest_films.py", "chest_nets.py", "chest_xray.py")
    return hashlib.sha256(b"".join((here / name).read_bytes() for name in names)).hexdigest()


def _write(path: Path, value: Mapping[str, Any]) -> None:
    path.write_bytes(msgspec.json.format(msgspec.json.encode(value), indent=1) + b"\n")
