"""The recipe of `chest_xray`: three ways to train one net, compared on the same folds; the best becomes the candidate.

Learners (`--only`): `logistic` (regression on the pixels: what a net must beat), `plain` (the net from scratch),
`augmented`, and `pretrained` (masked reconstruction of the fold's own training films, then as `augmented`). Each film
is judged by what has not seen it. The threshold of balanced accuracy is the share of pneumonia among the fold's
training films, on calibrated probabilities: nothing is tuned on what is judged. Calibration (Platt) comes from inner
validation films, that of the candidate as that of each fold: what is measured of the folds' calibration is what to
expect of the candidate's.

Each learner and fold that is done is kept by films, settings and code, so a run that was ended goes on where it was.
"""

import copy
import hashlib
from datetime import UTC, datetime
from pathlib import Path
from time import process_time
from typing import Annotated, Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from wardstream.models import chest_xray
from wardstream.models.sepsis import sigmoid
from wardstream.models.training import chest_films, judging, record
from wardstream.models.training import measures as m
from wardstream.models.training.calibrating import platt
from wardstream.models.training.chest_card import card
from wardstream.models.training.chest_films import FOLDS, Films
from wardstream.models.training.chest_gate import decide
from wardstream.models.training.chest_measures import balanced_accuracy, difference, with_interval
from wardstream.models.training.recipe import LEARNT_FROM, LOCKED_OUT, Evaluation, Report, Settings, Verdict
from wardstream.models.training.serving import latency_s, loaded
from wardstream.models.training.splits import fingerprint

NETS: Final = ("plain", "augmented", "pretrained")
LEARNERS: Final = ("logistic", *NETS)
EPOCHS: Final = 15
PATIENCE: Final = 4
PRETRAINED_EPOCHS: Final = 6
BATCH: Final = 64
INNER_SHARE: Final = 0.1  # of training films, for early stopping and the fold's calibration
BATCH_SERVED: Final = 16  # of the latency that the gate asks for
_OUTPUTS: Final = ("probability", "calibrated_probability")

Doubles = npt.NDArray[np.float64]
Said = dict[str, tuple[Doubles, Doubles]]
"""By shift: probabilities, and calibrated ones."""

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


class _Sizes(msgspec.Struct, frozen=True):
    open: Annotated[int, msgspec.Meta(ge=1)]
    open_with_pneumonia: Annotated[int, msgspec.Meta(ge=0)]


class _Made(msgspec.Struct, frozen=True):
    """What is read of a record."""

    locked: str
    parity: float
    sizes: _Sizes


class ChestXrayRecipe:
    """See the head of this module."""

    name = chest_xray.NAME
    baseline = "the mean grey level"

    def locked(self, data: Films) -> list[str]:
        """Ids of the films that only the gate may look at."""
        return sorted(one for one in data.ids if chest_films.is_locked(one))

    def train(self, data: Films, folder: Path, settings: Settings, report: Report) -> Path:
        """Compare the learners, fit the best net on all open films, export it; returns the candidate's folder.

        Raises
        ------
        TooLittle
            The films are not enough.
        ValueError
            A learner that there is not, or no net among those asked for.
        """
        unknown = set(settings.only) - set(LEARNERS)
        if unknown:
            raise ValueError(f"no learner {', '.join(sorted(unknown))}; there are {', '.join(LEARNERS)}")
        learners = [name for name in LEARNERS if not settings.only or name in settings.only]
        if not set(learners) & set(NETS):
            raise ValueError(f"a net is needed: {', '.join(NETS)}")
        films, began = chest_films.open_films(data), process_time()
        about = f"{data.data_hash} {code_hash()} {settings.seed} {settings.epochs}"
        folder = folder / hashlib.sha256(about.encode()).hexdigest()[:12]
        fold = chest_films.folds(films.label, settings.seed)
        for place, name in enumerate(learners):
            for number in range(FOLDS):
                report("cross-validation", place * FOLDS + number, len(learners) * FOLDS, name)
                _part(folder, name, number, films, fold, settings)
        report("cross-validation", len(learners) * FOLDS, len(learners) * FOLDS)
        return _finish(folder, learners, data, films, fold, settings, began, report)

    def evaluate(self, model: Path, data: Films, report: Report, seed: int = 1) -> Evaluation:
        """Judge the model in a folder on any films, labelled or not, but never on locked ones, whoever's they are."""
        made, locked = _made(model), self.locked(data)
        of_training, data = fingerprint(locked) == made.locked, chest_films.without_locked(data)
        threshold, said = _threshold(made), _ask(model, data, report, seed)
        raw, calibrated = said["none"]
        known = data.label >= 0
        metrics: dict[str, Any] = {
            "films": len(data.ids),
            LEARNT_FROM: of_training,
            LOCKED_OUT: len(locked),
            "answers": {
                "mean": float(calibrated.mean()),
                "deciles": [float(v) for v in np.quantile(calibrated, np.arange(0, 1.1, 0.1))],
            },
        }
        if known.any() and 0 < data.label[known].mean() < 1:
            label, answers = data.label[known], {name: each[known] for name, (_, each) in said.items()}
            metrics |= {"threshold": threshold} | _measured(label, answers, threshold, seed)
        rows = [
            {"film": one, "probability": float(a), "calibrated_probability": float(b)}
            for one, a, b in zip(data.ids, raw, calibrated, strict=True)
        ]
        return Evaluation(metrics=metrics, rows=rows)

    def gate(self, candidate: Path, serving: Path | None, data: Films, look: int, report: Report) -> Verdict:
        """Judge on the locked films; see `chest_gate`."""
        made = _made(candidate)
        if fingerprint(self.locked(data)) != made.locked:
            why = "the locked films are not those of the training: give the data it was trained on"
            return Verdict(outcome="not_enough_data", reasons=(why,), measured={})
        rows = [r for r, one in enumerate(data.ids) if data.label[r] >= 0 and chest_films.is_locked(one)]
        films = data.only(np.array(rows, np.int64))
        said = {name: each for name, (_, each) in _ask(candidate, films, report, 1).items()}
        if serving is None:
            grey = films.pixels.mean(axis=(1, 2), dtype=np.float64)
            other, other_at = grey, float(np.median(grey))
        else:
            other, other_at = _ask(serving, films, report, 1)["none"][1], _threshold(_made(serving))
        run = loaded(candidate / record.MODEL, ("image",), _OUTPUTS, threads=1)
        latency = latency_s(run, {"image": films.pixels[:BATCH_SERVED, None]})
        return decide(films.label, said, _threshold(made), (other, other_at), look, made.parity, latency)


RECIPE: Final = ChestXrayRecipe()


def _finish(
    folder: Path,
    learners: list[str],
    data: Films,
    films: Films,
    fold: npt.NDArray[np.int64],
    settings: Settings,
    began: float,
    report: Report,
) -> Path:
    """Compare what has been learnt, choose, fit on all open films, export and write the candidate's folder."""
    from wardstream.models.training.chest_nets import export
    from wardstream.models.training.plots import draw

    told: dict[str, Doubles] = {}
    compared: dict[str, Any] = {}
    learning: dict[str, Any] = {}
    for name in learners:
        told[name], compared[name], curve = _judged(folder, name, films, fold, settings.seed)
        learning |= {name: curve} if curve else {}
    chosen = max((name for name in learners if name in NETS), key=lambda name: m.auroc(films.label, told[name]))
    against = learners[0]
    differences = {
        name: difference(m.auroc, films.label, said, told[against], settings.seed)
        for name, said in told.items()
        if name != against
    }
    report("candidate", 0, 1, chosen)
    candidate = folder / "candidate"
    candidate.mkdir(exist_ok=True)
    net, _, slope, intercept = _fit(chosen, films, settings, FOLDS)
    sample = films.pixels[:64, None].astype(np.float32)
    parity = export(net, slope, intercept, candidate / record.MODEL, sample)
    run = loaded(candidate / record.MODEL, ("image",), _OUTPUTS, threads=1)
    report("candidate", 1, 1)
    points = {name: judging.score_curves(films.label, said) for name, said in told.items()}
    curves = {"learning": learning, "points": points}
    made = {
        "model": chest_xray.NAME,
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "data_hash": data.data_hash,
        "code_hash": code_hash(),
        "settings": {"seed": settings.seed, "epochs": settings.epochs or EPOCHS, "patience": PATIENCE, "batch": BATCH},
        "sizes": {
            "films": len(data.ids),
            "open": len(films.ids),
            "open_with_pneumonia": int((films.label == 1).sum()),
            "locked": sum(map(chest_films.is_locked, data.ids)),
            "left_out": data.left_out,
            "folds": FOLDS,
        },
        "compared": compared,
        "differences": differences,
        "against": against,
        "chosen": chosen,
        "curves": curves,
        "locked": fingerprint(RECIPE.locked(data)),
        "parity": parity,
        "latency_s": latency_s(run, {"image": sample[:BATCH_SERVED]}),
        "cpu_s": process_time() - began,
        "model_hash": record.file_hash(candidate / record.MODEL),
    }
    record.write(candidate / record.RECORD, made)
    draw(candidate, compared[chosen], curves, ("films at the threshold", "pneumonia", "said"))
    (candidate / record.CARD).write_text(card(made), encoding="utf-8")
    inside = {"method": "platt", "slope": slope, "intercept": intercept, "inside": True}
    record.write(candidate / record.CALIBRATION, inside)
    (candidate / "config.pbtxt").write_text(CONFIG, encoding="utf-8")
    return candidate


def _measured(label: npt.NDArray[np.int8], said: dict[str, Doubles], cut: float | Doubles, seed: int) -> dict[str, Any]:
    """Measures of calibrated probabilities by shift; `cut` is the threshold, of all or of each film."""
    plain, alarmed = said["none"], said["none"] >= cut
    return {
        "shifts": {
            name: {
                "auroc": with_interval(m.auroc, label, each, seed),
                # relative to the threshold, so that one number serves all folds
                "balanced_accuracy": with_interval(balanced_accuracy(0.0), label, each - cut, seed),
            }
            for name, each in said.items()
        },
        "calibration": judging.calibration_of(label, plain),
        "reliability": [one._asdict() for one in m.reliability(label, plain, 10)],
        "confusion": judging.confusion(label, np.asarray(alarmed)),
    }


def _ask(model: Path, films: Films, report: Report, seed: int) -> Said:
    """What the model in a folder says of films under each shift."""
    run, said = loaded(model / record.MODEL, ("image",), _OUTPUTS), {}
    shifted = list(chest_films.shifts(films.pixels, seed))
    for done, (name, pixels) in enumerate(shifted):
        report("evaluate", done, len(shifted), name)
        parts = [run({"image": part[:, None]}) for part in np.array_split(pixels, -(-len(pixels) // 256)) if len(part)]
        raw, calibrated = (np.concatenate([one[k] for one in parts])[:, 0].astype(np.float64) for k in (0, 1))
        said[name] = raw, calibrated
    report("evaluate", len(shifted), len(shifted))
    return said


def _made(model: Path) -> _Made:
    """A folder's record; raises as `record.read`."""
    return record.read(model / record.RECORD, _Made)


def _threshold(made: _Made) -> float:
    """The share of pneumonia among the films the model was made of."""
    return made.sizes.open_with_pneumonia / made.sizes.open


def _part(folder: Path, name: str, number: int, films: Films, fold: npt.NDArray[np.int64], settings: Settings) -> None:
    """Train one learner without one fold, and keep what it says of that fold under each shift."""
    path = folder / name / f"fold-{number}.npz"
    if path.is_file():
        return
    inside = films.only(np.flatnonzero(fold != number))
    outside = films.only(np.flatnonzero(fold == number))
    fit = _regression if name == "logistic" else _fit
    net, curve, slope, intercept = fit(name, inside, settings, number)
    kept: dict[str, Any] = {
        f"said/{shift}": _logits(net, pixels) for shift, pixels in chest_films.shifts(outside.pixels, 1)
    }
    kept |= {"line": [slope, intercept], "share": (inside.label == 1).mean(), "curve": curve}
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part.npz")
    np.savez(part, **kept)
    part.replace(path)


def _logits(net: Any, pixels: npt.NDArray[np.float32]) -> Doubles:
    """Log-odds of a net, or of a regression."""
    if hasattr(net, "decision_function"):
        return np.asarray(net.decision_function(pixels.reshape(len(pixels), -1)), np.float64)
    import torch

    from wardstream.models.training.chest_nets import logits

    return logits(net, torch.from_numpy(pixels[:, None]))


def _judged(
    folder: Path, name: str, films: Films, fold: npt.NDArray[np.int64], seed: int
) -> tuple[Doubles, dict[str, Any], list[dict[str, float]]]:
    """A learner's calibrated out-of-fold probabilities, how good they are, and how fold 0 was learnt."""
    said: dict[str, Doubles] = {}
    cut, curve = np.zeros(len(fold)), list[dict[str, float]]()
    for number in range(FOLDS):
        with np.load(folder / name / f"fold-{number}.npz") as kept:
            slope, intercept = kept["line"]
            cut[fold == number] = kept["share"]
            if number == 0:
                curve = [{"epoch": row[0], "score": -row[2]} for row in kept["curve"].tolist()]
            for entry in kept.files:
                if entry.startswith("said/"):
                    column = said.setdefault(entry[5:], np.zeros(len(fold)))
                    column[fold == number] = sigmoid(kept[entry] * slope + intercept)
    return said["none"], _measured(films.label, said, cut, seed), curve


def _inner(films: Films, seed: int) -> npt.NDArray[np.bool_]:
    """Which films are for early stopping and calibration."""
    return np.asarray(chest_films.folds(films.label, seed, round(1 / INNER_SHARE)) == 0)


def _regression(name: str, films: Films, settings: Settings, number: int) -> tuple[Any, list[Any], float, float]:
    """Logistic regression on the pixels, as `_fit`."""
    from sklearn.linear_model import LogisticRegression

    inner = _inner(films, settings.seed * 1_000 + number)
    rows = films.pixels.reshape(len(films.pixels), -1)
    model: Any = LogisticRegression(C=0.1, max_iter=2_000).fit(rows[~inner], films.label[~inner])
    slope, intercept = platt(films.label[inner], model.decision_function(rows[inner]))
    return model, [], slope, intercept


def _fit(name: str, films: Films, settings: Settings, number: int) -> tuple[Any, list[list[float]], float, float]:
    """Train until the inner validation films say no more; returns the best net, its curve and its calibration."""
    import torch
    from torch.nn import functional as F

    from wardstream.models.training.chest_nets import ChestNet, augmented, logits, pretrain

    seed = settings.seed * 1_000 + number
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    inner = _inner(films, seed)
    pixels, label = torch.from_numpy(films.pixels[:, None]), torch.from_numpy(films.label.astype(np.float32))
    seen, asked = pixels[~inner], pixels[inner]
    truth, wanted = label[~inner], label[inner]
    net = ChestNet()
    epochs = settings.epochs or EPOCHS
    if name == "pretrained":
        pretrain(net, seen, min(PRETRAINED_EPOCHS, epochs), BATCH, seed)
    optimiser = torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=1e-2)
    steps = epochs * -(-len(seen) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, total_steps=steps)
    best, state, since, curve = float("inf"), copy.deepcopy(net.state_dict()), 0, []
    for epoch in range(epochs):
        net.train()
        total = 0.0
        for rows in torch.randperm(len(seen), generator=generator).split(BATCH):
            shown = seen[rows] if name == "plain" else augmented(seen[rows], generator)
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


def code_hash() -> str:
    """Of what makes the model, training included: this module, the films, the net."""
    here = Path(__file__).resolve().parent
    names = ("chest_films.py", "chest_nets.py", "chest_xray.py")
    return hashlib.sha256(b"".join((here / name).read_bytes() for name in names)).hexdigest()
