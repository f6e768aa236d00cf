"""`python -m tests.risk.judging OUT`: how good what a stream told was, against what it could have told.

OUT is what `tests.risk.streaming` wrote. Every prediction is judged as it was before its label was known:

=============  =====================================================================================================
served         what was told at the time, by the snapshot that was approved then
learner        what the champion says when the label comes, before it learns from it (the labels are 36 hours older)
frozen deep    the deep model's answer, among the inputs; it is for six hours, so its level is not that of the target
deep, again    the same through a logistic layer that learns online, so that its level is
NEWS2          points through such a layer
clock          hours since admission through such a layer
=============  =====================================================================================================

All are judged on the same hours: those with a label and an answer of each of the first and third. Intervals are of
patients drawn with return. The curves are of windows of `WINDOW` predictions, in the order of the stream.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
from collections.abc import Iterator
from math import exp, log1p
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from wardstream.models.risk.champion import Champion, Settings
from wardstream.models.risk.learner import Learner
from wardstream.models.risk.learning import learnable
from wardstream.models.risk.platt import Platt, probability
from wardstream.models.risk.prequential import Tally
from wardstream.models.risk.target import SERVED, Target
from wardstream.models.training.measures import auprc, auroc
from wardstream.schemas.decode import decoder_of
from wardstream.schemas.training_examples import TrainingExample

WINDOW: Final = 8_000
STEP: Final = 1_000
DRAWS: Final = 200
SHOWN_EACH: Final = 20_000
SEPSIS: Final = "sepsis_logit"
MEASURES: Final = ("auroc", "auprc", "brier", "log_loss", "slope", "ece")

Doubles = npt.NDArray[np.float64]
_decode = decoder_of(TrainingExample)


class Layer:
    """A scaled logistic regression on a few numbers with an online Platt layer, as the champion's own."""

    def __init__(self, width: int) -> None:
        self._model, self._layer = Champion(width, Settings()), Platt()

    def take(self, values: list[float], happened: bool) -> float:
        """What it says before it learns; a value that is not known is NaN."""
        row = np.array(values, np.float64)
        logit = self._model.say(row).logit
        said = probability(self._layer.apply(logit))
        self._layer.learn(logit, happened)
        self._model.learn(row, happened)
        return said


class Judged(NamedTuple):
    """Of each hour: what each said, whether it happened, of which patient, at which example and hour of the stay."""

    said: dict[str, Doubles]
    happened: npt.NDArray[np.int8]
    patient: npt.NDArray[np.int64]
    example: npt.NDArray[np.int64]


def examples(path: Path) -> Iterator[TrainingExample]:
    """As they were told."""
    with gzip.open(path, "rb") as file:
        for line in file:
            yield _decode(line.rstrip(b"\n"))


def judged(path: Path, target: Target) -> Judged:
    """Go through the stream once more; the learner comes to the same numbers."""
    learner, layers = Learner(target, Settings()), {"deep, again": Layer(1), "NEWS2": Layer(1), "clock": Layer(2)}
    rows, patients = list[tuple[list[float], bool, int, int]](), dict[str, int]()
    names = ("served", "learner", "frozen deep", *layers)
    for number, event in enumerate(examples(path)):
        one = learnable(event, target)
        if number % SHOWN_EACH == 0:
            print(f"judged {number}", file=sys.stderr, flush=True)
        if one is None:
            continue
        known = {name: value.value for name, value in one.inputs.items()}
        hours = known.get("hours_since_admission", float("nan"))
        given = {
            "deep, again": [known.get(SEPSIS, float("nan"))],
            "NEWS2": [known.get("news2", float("nan"))],
            "clock": [hours, log1p(hours)],
        }
        said = {name: layer.take(given[name], one.happened) for name, layer in layers.items()}
        said["learner"] = learner.answer(one.inputs).probability
        learner.learn(one)
        if SERVED in one.said and SEPSIS in known:
            said |= {"served": one.said[SERVED], "frozen deep": 1.0 / (1.0 + exp(-known[SEPSIS]))}
            patient = patients.setdefault(one.patient_id, len(patients))
            rows.append(([said[name] for name in names], one.happened, patient, learner.examples))
    table = np.array([row for row, _, _, _ in rows])
    return Judged(
        {name: table[:, place] for place, name in enumerate(names)},
        np.array([row[1] for row in rows], np.int8),
        np.array([row[2] for row in rows]),
        np.array([row[3] for row in rows]),
    )


def measures(said: Doubles, happened: npt.NDArray[np.int8]) -> dict[str, float]:
    """All measures; ranking is exact."""
    counts = Tally()
    for one, came in zip(said.tolist(), happened.tolist(), strict=True):
        counts.add(one, bool(came))
    found = counts.measures()._asdict() | {"auroc": auroc(happened, said), "auprc": auprc(happened, said)}
    return {name: float(found[name]) for name in MEASURES}


def differences(found: Judged, whose: str, than: str) -> dict[str, tuple[float, float]]:
    """By how much one is better than another, with an interval over patients (95 %)."""
    rng, number = np.random.default_rng(0), int(found.patient.max()) + 1
    drawn: dict[str, list[float]] = {"auroc": [], "auprc": [], "brier": []}
    one, other, came = found.said[whose], found.said[than], found.happened
    for _ in range(DRAWS):
        weight = np.bincount(rng.integers(0, number, number), minlength=number)[found.patient].astype(np.float64)
        drawn["auroc"].append(auroc(came, one, weight) - auroc(came, other, weight))
        drawn["auprc"].append(auprc(came, one, weight) - auprc(came, other, weight))
        squares = (other - came) ** 2 - (one - came) ** 2
        drawn["brier"].append(float((weight * squares).sum() / weight.sum()))
    return {
        name: (float(np.nanquantile(values, 0.025)), float(np.nanquantile(values, 0.975)))
        for name, values in drawn.items()
    }


def curves(found: Judged) -> dict[str, Any]:
    """AUROC, AUPRC and Brier score of each over windows, by the number of patients seen at the window's end."""
    ends = list(range(WINDOW, len(found.happened) + 1, STEP)) or [len(found.happened)]
    told: dict[str, Any] = {
        "examples": [int(found.example[end - 1]) for end in ends],
        "patients": [int(found.patient[:end].max()) + 1 for end in ends],
    }
    for name, said in found.said.items():
        parts = [(said[max(0, end - WINDOW) : end], found.happened[max(0, end - WINDOW) : end]) for end in ends]
        told[name] = {
            "auroc": [auroc(came, part) for part, came in parts],
            "auprc": [auprc(came, part) for part, came in parts],
            "brier": [float(((part - came) ** 2).mean()) for part, came in parts],
        }
    return told


def table(found: dict[str, Any]) -> str:
    """The measures as Markdown."""
    lines = [f"| | {' | '.join(MEASURES)} |", f"|{' --- |' * (len(MEASURES) + 1)}"]
    for name, values in found["models"].items():
        lines.append(f"| {name} | {' | '.join(f'{values[measure]:.4f}' for measure in MEASURES)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    folder = parser.parse_args().out
    about = json.loads((folder / "promotions.json").read_text())
    target = Target(name="sepsis_onset", kinds=("sepsis_onset",), horizon_h=about["horizon"])
    seen = judged(folder / "examples.ndjson.gz", target)
    found = {
        "about": about,
        "hours": len(seen.happened),
        "positive": int(seen.happened.sum()),
        "patients": int(seen.patient.max()) + 1,
        "models": {name: measures(said, seen.happened) for name, said in seen.said.items()},
        "served_better_than": {
            name: differences(seen, "served", name) for name in ("frozen deep", "deep, again", "NEWS2", "clock")
        },
        "curves": curves(seen),
    }
    (folder / "judged.json").write_text(json.dumps(found, indent=1) + "\n")
    print(table(found))
    print(json.dumps(found["served_better_than"], indent=1))


if __name__ == "__main__":
    main()
