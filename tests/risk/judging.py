"""`python -m tests.risk.judging OUT`: how good what a stream told was, against what it could have told.

OUT is what `tests.risk.streaming` wrote. Every prediction is judged as it was before its label was known:

=============  =====================================================================================================
served         what was told at the time, by the snapshot of the champion that was approved then
champion       what the champion says when the label comes, before it learns from it: it has learned from two more days
challenger     the same of the challenger
stopped        the champion of the moment at which the shift's first patient is told of, learning no more; without a
               shift that of the patient from whom on parts are judged
frozen deep    the deep model's answer, among the inputs; it is for six hours, so its level is not that of the target
deep, again    the same through a logistic layer that learns online, so that its level is
NEWS2          points through such a layer
clock          hours since admission through such a layer
=============  =====================================================================================================

All are judged on the same hours: those with a label, an answer of `served`, and one of the deep model about that very
hour. `without_deep` counts those that lack only the last: Triton was too slow, or had ended. Intervals (95 %) are
of patients drawn with return. The curves are of windows of `WINDOW` predictions, in the order of the stream. With a
shift all is judged by parts, too: before it, for the first `AT_FIRST` patients after it, and from then on; without one
the same parts are judged, to compare with. All that was said goes to `hours.npz`, for `tests.risk.recovering`.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
from collections.abc import Iterator
from datetime import timedelta
from math import exp, log1p
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from tests.risk.streaming import APART
from wardstream.infra.feeds.records import EPOCH
from wardstream.models.risk.champion import Champion, Settings
from wardstream.models.risk.features import Inputs, columns
from wardstream.models.risk.learner import Learner, State
from wardstream.models.risk.learning import learnable
from wardstream.models.risk.platt import Platt, probability
from wardstream.models.risk.prequential import Tally
from wardstream.models.risk.target import CHALLENGER, SERVED, Target
from wardstream.models.training.measures import auprc, auroc
from wardstream.schemas.decode import decoder_of
from wardstream.schemas.training_examples import TrainingExample

WINDOW: Final = 8_000
STEP: Final = 1_000
DRAWS: Final = 200
AT_FIRST: Final = 400
SHOWN_EACH: Final = 20_000
SEPSIS: Final = "sepsis_logit"
FRESH_H: Final = 0.1
NAMES: Final = (
    *("served", "champion", "challenger", "stopped"),
    *("frozen deep", "deep, again", "NEWS2", "clock"),
)
DRAWN: Final = ("auroc", "auprc", "brier")
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
    """Of each hour: what each said, whether it happened, of which patient, at which example, which hour of the stay."""

    said: dict[str, Doubles]
    happened: npt.NDArray[np.int8]
    patient: npt.NDArray[np.int64]
    example: npt.NDArray[np.int64]
    hour: npt.NDArray[np.int64]
    without_deep: int = 0


def examples(path: Path) -> Iterator[TrainingExample]:
    """As they were told."""
    with gzip.open(path, "rb") as file:
        for line in file:
            yield _decode(line.rstrip(b"\n"))


def judged(path: Path, target: Target, stop_at: int) -> Judged:
    """Go through the stream once more; the learner comes to the same numbers.

    Patients are numbered in the order of their admission, as `tests.risk.streaming` did.
    """
    learner, layers = Learner(target, Settings()), {"deep, again": Layer(1), "NEWS2": Layer(1), "clock": Layer(2)}
    without_deep = 0
    rows, stopped = list[tuple[list[float], bool, int, int, int]](), learner
    for number, event in enumerate(examples(path)):
        patient = round((event.observed_at - timedelta(hours=event.hour) - EPOCH) / APART)
        if stopped is learner and patient >= stop_at:
            stopped = copied(learner)
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
        deep = one.inputs.get(SEPSIS)
        if SERVED in one.said and (deep is None or (deep.age_h or 0.0) > FRESH_H):
            without_deep += 1
        elif SERVED in one.said:
            said |= {"champion": learner.answer(one.inputs).probability}
            said |= {"challenger": of_challenger(learner, one.inputs)}
            said |= {"stopped": stopped.answer(one.inputs).probability}
            said |= {"served": one.said[SERVED], "frozen deep": 1.0 / (1.0 + exp(-known[SEPSIS]))}
            names = [name for name in NAMES if name in said]
            rows.append(([said[name] for name in names], one.happened, patient, learner.examples, one.hour))
        learner.learn(one)
    table = np.array([row[0] for row in rows])
    return Judged(
        {name: table[:, place] for place, name in enumerate(names)},
        np.array([row[1] for row in rows], np.int8),
        np.array([row[2] for row in rows]),
        np.array([row[3] for row in rows]),
        np.array([row[4] for row in rows]),
        without_deep,
    )


def of_challenger(learner: Learner, inputs: Inputs) -> float:
    """Its answer alone: what each input adds to it takes sixty times as long."""
    logit = learner._challenger.say(columns(inputs))
    return probability(learner._layers[CHALLENGER].apply(logit))


def copied(learner: Learner) -> Learner:
    """A learner that stays as this one is now."""
    return Learner.restored(msgspec.json.decode(msgspec.json.encode(learner.state()), type=State))


def of_patients(found: Judged, first: int, last: float) -> Judged:
    """The hours of some of the patients, by their numbers; `last` is not among them."""
    rows = (found.patient >= first) & (found.patient < last)
    said = {name: one[rows] for name, one in found.said.items()}
    return Judged(said, found.happened[rows], found.patient[rows], found.example[rows], found.hour[rows])


def measures(said: Doubles, happened: npt.NDArray[np.int8]) -> dict[str, float]:
    """All measures; ranking is exact."""
    counts = Tally()
    for one, came in zip(said.tolist(), happened.tolist(), strict=True):
        counts.add(one, bool(came))
    found = counts.measures()._asdict() | {"auroc": auroc(happened, said), "auprc": auprc(happened, said)}
    return {name: float(found[name]) for name in MEASURES}


def drawn(found: Judged) -> dict[str, dict[str, Doubles]]:
    """Each measure of `DRAWN` of each model, of patients drawn with return `DRAWS` times."""
    rng, number, came = np.random.default_rng(0), int(found.patient.max()) + 1, found.happened
    there = np.unique(found.patient)
    told = {name: {measure: np.empty(DRAWS) for measure in DRAWN} for name in found.said}
    for draw in range(DRAWS):
        weight = np.bincount(rng.choice(there, len(there)), minlength=number)[found.patient].astype(np.float64)
        for name, said in found.said.items():
            told[name]["auroc"][draw] = auroc(came, said, weight)
            told[name]["auprc"][draw] = auprc(came, said, weight)
            told[name]["brier"][draw] = (weight * (said - came) ** 2).sum() / weight.sum()
    return told


def interval(values: Doubles) -> tuple[float, float]:
    """95 % of them."""
    return float(np.nanquantile(values, 0.025)), float(np.nanquantile(values, 0.975))


def compared(found: Judged) -> dict[str, Any]:
    """All measures of each model, with intervals, and by how much what was served is better than each other one."""
    told = drawn(found)
    return {
        "hours": len(found.happened),
        "positive": int(found.happened.sum()),
        "patients": len(np.unique(found.patient)),
        "with_outcome": len(np.unique(found.patient[found.happened == 1])),
        "models": {name: measures(said, found.happened) for name, said in found.said.items()},
        "intervals": {name: {one: interval(values[one]) for one in DRAWN} for name, values in told.items()},
        "served_better_by": {
            name: {one: interval(better(told["served"][one], values[one], one)) for one in DRAWN}
            for name, values in told.items()
            if name != "served"
        },
    }


def better(served: Doubles, other: Doubles, measure: str) -> Doubles:
    """By how much: a Brier score is better if it is lower."""
    return other - served if measure == "brier" else served - other


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
        said = {measure: f"{values[measure]:.4f}" for measure in MEASURES}
        for measure, (low, high) in found["intervals"][name].items():
            said[measure] += f" ({low:.4f}–{high:.4f})"
        lines.append(f"| {name} | {' | '.join(said.values())} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--parts-from", type=int, help="the patient from whom on parts are judged, without a shift")
    options = parser.parse_args()
    folder: Path = options.out
    about = json.loads((folder / "promotions.json").read_text())
    target = Target(name="sepsis_onset", kinds=("sepsis_onset",), horizon_h=about["horizon"])
    first = options.parts_from if about["shift"] is None and options.parts_from is not None else about["shift_from"]
    seen = judged(folder / "examples.ndjson.gz", target, first)
    stays = {"happened": seen.happened, "patient": seen.patient, "hour": seen.hour}
    np.savez_compressed(folder / "hours.npz", **stays, **{f"said {name}": one for name, one in seen.said.items()})
    found = {"about": about, "without_deep": seen.without_deep} | compared(seen) | {"curves": curves(seen)}
    parts = {"before": (0, first), "at first": (first, first + AT_FIRST), "then": (first + AT_FIRST, float("inf"))}
    chosen = {name: of_patients(seen, *ends) for name, ends in parts.items()}
    found["parts"] = {name: compared(part) for name, part in chosen.items() if part.happened.any()}
    (folder / "judged.json").write_text(json.dumps(found, indent=1) + "\n")
    for name, one in {"all": found, **found["parts"]}.items():
        print(f"{name}: {one['hours']} hours, {one['positive']} positive, {one['patients']} patients\n\n{table(one)}\n")


if __name__ == "__main__":
    main()
