"""Recipe of `sepsis`: the learners that are compared, the search of their settings, and how the best becomes a folder.

Learners (`--only`), each judged on patients of whom it has seen nothing, fold by fold:

- clock, news2: hours since admission alone; partial NEWS2
- boosting, recurrent, attention: on the same patients and inputs, each with the best of its `SEARCH` settings on fold 0
- recurrent-pretrained, attention-pretrained: begun from weights that rebuild hidden values of the stays of 2012 and of
  the patients that fold learns from
- …-no-clock, …-no-counts of boosting, recurrent and attention: without the hours since admission; without what was
  measured when
- boosting+… of each net: the mean of their log-odds
- finish: compare what is there, choose, export. Without `--only` all of these.

All that is finished is kept in the folder by its settings, the data and the code of the inputs, and not repeated.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from wardstream.models import sepsis as features
from wardstream.models.training import calibrating, card, judging, record, splits
from wardstream.models.training import measures as m
from wardstream.models.training.recipe import (
    LEARNT_FROM,
    LOCKED_OUT,
    MAYBE_LOCKED,
    Evaluation,
    Report,
    Settings,
    TooLittle,
    Verdict,
)
from wardstream.models.training.sepsis_gate import decide
from wardstream.models.training.serving import latency_s, session
from wardstream.models.training.splits import FOLDS, Split
from wardstream.models.training.stays import Recorded, Stays
from wardstream.models.training.windows import Hours

NETS: Final = ("recurrent", "attention")
PRETRAINED: Final = tuple(f"{kind}-pretrained" for kind in NETS)
BLENDS: Final = tuple(f"boosting+{kind}" for kind in (*NETS, *PRETRAINED))
LEARNERS: Final = (
    *("clock", "news2", "boosting", *NETS, *PRETRAINED, *BLENDS),
    *(f"{kind}-no-{what}" for kind in ("boosting", *NETS) for what in ("clock", "counts")),
)
FINISH: Final = "finish"
SERVABLE: Final = ("boosting", *NETS, *PRETRAINED, *BLENDS)
_SIGNALS: Final = len(features.SIGNALS)
_WIDTHS: Final = {"about": len(features.ABOUT)}
_INPUTS: Final = ",\n".join(
    f'  {{ name: "{name}" data_type: TYPE_FP32 dims: [ {features.LOOK_BACK}, {_WIDTHS.get(name, _SIGNALS)} ] }}'
    for name in features.INPUTS
)
CONFIG: Final = f"""backend: "onnxruntime"
max_batch_size: 256
input [
{_INPUTS}
]
output [ {{ name: "logit" data_type: TYPE_FP32 dims: [ {features.LOOK_BACK} ] }} ]
instance_group [ {{ kind: KIND_CPU count: 1 }} ]
parameters {{ key: "intra_op_thread_count" value: {{ string_value: "1" }} }}
dynamic_batching {{
  default_queue_policy {{
    timeout_action: REJECT
    default_timeout_microseconds: 1000000
    allow_timeout_override: true
    max_queue_size: 64
  }}
}}
"""
FEWEST_SEPTIC: Final = 2 * FOLDS  # of those that are not locked


class SepsisRecipe:
    """See the head of this module."""

    name = features.NAME
    baseline = "NEWS2"

    def split(self, stays: Stays) -> Split:
        """Locked and open patients."""
        return splits.split(stays.ids.tolist(), stays.positive)

    def locked(self, data: Recorded) -> list[str]:
        """Ids of the locked patients, sorted."""
        return sorted(data.stays.ids[self.split(data.stays).locked].tolist())

    def train(self, data: Recorded, folder: Path, settings: Settings, report: Report) -> Path:
        """Run the learners asked for, and `finish`; returns the folder of the candidate, or of the work so far.

        Raises
        ------
        TooLittle
            Too few patients with sepsis to have some in each fold.
        ValueError
            A learner that there is not.
        """
        from wardstream.models.training.learners import Bench
        from wardstream.models.training.sharing import team

        unknown = set(settings.only) - {*LEARNERS, FINISH}
        if unknown:
            raise ValueError(f"no learner {', '.join(sorted(unknown))}; there are {', '.join((*LEARNERS, FINISH))}")
        split = self.split(data.stays)
        if np.array(data.stays.positive)[split.open].sum() < FEWEST_SEPTIC:
            raise TooLittle(
                f"fewer than {FEWEST_SEPTIC} patients with sepsis, the locked apart: not some for each of {FOLDS} folds"
            )
        with team() as members:
            bench = Bench(data, split, folder, settings, report, members)
            for name in settings.only or LEARNERS:
                if name != FINISH:
                    bench.out_of_fold(name)
            if members.leads and (not settings.only or FINISH in settings.only):
                return finish(bench, data, settings, report)
        return bench.folder

    def evaluate(self, model: Path, data: Recorded, report: Report) -> Evaluation:
        """Judge a folder on any data of the format: with labels all measures, else how the answers are spread.

        Of the data of its training the locked patients are left out, and it is said that the others were learnt from.
        Of other data nobody is left out: their ids may be those of the training, but they need not be its patients. It
        is said how many would be locked.
        """
        stays = data.stays if len(data.stays) else data.unlabelled
        made, calibration = _loaded(model)
        locked = self.locked(data)
        of_training = len(data.stays) > 0 and splits.fingerprint(locked) == made.locked
        places = self.split(stays).open if of_training else np.arange(len(stays))
        hours = judging.ask(stays, places, session(model / record.MODEL), report, "evaluating")
        found = evaluation(stays, places, hours, calibration, made, of_training)
        lock = {LOCKED_OUT: len(locked) if of_training else 0, MAYBE_LOCKED: 0 if of_training else len(locked)}
        return msgspec.structs.replace(found, metrics={**found.metrics, **lock})

    def gate(self, candidate: Path, serving: Path | None, data: Recorded, look: int, report: Report) -> Verdict:
        """Judge on the locked patients; see `sepsis_gate`."""
        made, _ = _loaded(candidate)
        places = self.split(data.stays).locked
        ids = data.stays.ids[places].tolist()
        if splits.fingerprint(ids) != made.locked:
            return Verdict(
                outcome="not_enough_data",
                reasons=("the locked patients are not those of the training: give the data it was trained on",),
                measured={},
            )
        found = []
        for name, folder in (("candidate", candidate), ("serving", serving)):
            if folder is None:
                found.append(_rule_score(data.stays, places, report))
                continue
            _, calibration = _loaded(folder)
            hours = judging.ask(data.stays, places, session(folder / record.MODEL), report, f"the {name} version")
            said = judging.answers(data.stays, places, hours, judging.calibrated(calibration, hours))
            found.append((said, calibration.thresholds.get("utility", float("inf"))))
        run = session(candidate / record.MODEL, threads=1)
        batch = judging.sample(data.stays.take(places[:20]), 64)
        return decide(found[0], found[1], look, made.parity, latency_s(run, batch), made.inputs_version)


RECIPE: Final = SepsisRecipe()


def evaluation(
    stays: Stays,
    places: npt.NDArray[np.intp],
    hours: Hours,
    calibration: features.Calibration,
    made: record.Record | None = None,
    of_training: bool = False,
) -> Evaluation:
    """What `evaluate` says of answers."""
    said = judging.calibrated(calibration, hours)
    own = features.sigmoid(hours.logit)
    rows = [
        {
            "patient_id": str(stays.ids[places[stay]]),
            "hour": int(hour),
            "probability": float(p) if answered else None,
            "calibrated_probability": float(c) if answered else None,
        }
        for stay, hour, answered, p, c in zip(hours.stay, hours.hour, hours.answered, own, said, strict=True)
    ]
    spread = said[hours.answered]
    metrics: dict[str, Any] = {
        "model": None if made is None else {"chosen": made.chosen, "hash": made.model_hash, "made_at": made.made_at},
        LEARNT_FROM: of_training,
        "answers": {
            "patients": len(places),
            "hours": len(rows),
            "answered": int(hours.answered.sum()),
            "quantiles": _quantiles(spread),
        },
    }
    given = judging.answers(stays, places, hours, said)
    if len(given.label):
        thresholds = calibration.thresholds
        found = judging.judge(given, stays, places, thresholds.get("utility", float("inf")))
        fixed = thresholds.get("alert")
        if fixed is not None:
            found["alerts_as_trained"] = {
                "threshold": fixed,
                "per_patient_day": m.alerts_per_day(given, fixed),
                "lead_h": float(np.nanmean(lead)) if not np.isnan(lead := m.leads(given, fixed)).all() else None,
            }
        metrics |= found
    return Evaluation(metrics=record.plain(metrics), rows=rows)


def _quantiles(said: npt.NDArray[np.float64]) -> dict[str, float] | None:
    shares = (5, 25, 50, 75, 95)
    return {str(share): float(np.percentile(said, share)) for share in shares} if len(said) else None


def finish(bench: Any, data: Recorded, settings: Settings, report: Report) -> Path:
    """Compare what has been learnt, choose, export and write the candidate's folder."""
    from wardstream.models.training.explained import check
    from wardstream.models.training.exporting import export
    from wardstream.models.training.plots import draw

    done = [name for name in LEARNERS if bench.is_done(name)]
    servable = [name for name in done if name in SERVABLE]
    if not servable:
        raise ValueError(f"none of those that can serve has been trained: {', '.join(SERVABLE)}")
    places, given = bench.split.judged, {}
    compared: dict[str, Any] = {}
    for place, name in enumerate(done):
        report("judging", place, len(done), name)
        said, utility_at = bench.cross_calibrated(name)
        found = judging.judge(said, data.stays, places, utility_at)
        given[name] = (said, {"alert": found["alerts"]["threshold"], "utility": utility_at})
        compared[name] = found
    report("judging", len(done), len(done))
    against = "boosting" if "boosting" in done else done[0]
    differences = {
        name: judging.paired(one, given[against][0], at, given[against][1])
        for name, (one, at) in given.items()
        if name != against
    }
    chosen = choose({name: given[name] for name in servable})
    shown = {"clock", "news2", "boosting", *NETS, chosen}  # in plots: more lines than these cannot be told apart
    folder: Path = bench.folder / "candidate"
    folder.mkdir(parents=True, exist_ok=True)
    net, trees = bench.served(chosen)
    said = bench.said(chosen, 0)
    parity = export(net, trees, folder / record.MODEL, judging.sample(data.stays.take(places[:20]), 32))
    calibration = _calibration(data.stays, bench.split.folds[0], said)
    record.write(folder / record.CALIBRATION, calibration)
    record.write(folder / record.FALLBACK, _fallback(data.stays, bench.split.folds[0], report))
    batch = judging.sample(data.stays.take(places[:20]), 64)
    made = record.Record(
        model=features.NAME,
        made_at=datetime.now(UTC).isoformat(timespec="seconds"),
        data_hash=data.data_hash,
        code_hash=data.code_hash,
        inputs_version=features.VERSION,
        settings={
            "seed": settings.seed,
            "epochs": settings.epochs,
            "search": bench.chosen_settings(done),
            "tried": bench.tried(done),
        },
        sizes={
            "open": len(bench.split.open),
            "judged": len(places),
            "judged_septic": int(np.array(data.stays.positive)[places].sum()),
            "locked": len(bench.split.locked),
            "folds": FOLDS,
            "unlabelled": len(data.unlabelled),
        },
        compared=compared,
        differences=differences,
        against=against,
        chosen=chosen,
        curves={
            "learning": bench.curves(done),
            "points": {
                name: judging.score_curves(one.label, one.filled) for name, (one, _) in given.items() if name in shown
            },
        },
        explanations=check(net, session(folder / record.MODEL), data.stays, bench.split.folds[0], said, settings.seed),
        locked=splits.fingerprint(data.stays.ids[bench.split.locked].tolist()),
        parity=parity,
        latency_s=latency_s(session(folder / record.MODEL), batch),
        model_hash=record.file_hash(folder / record.MODEL),
    )
    record.write(folder / record.RECORD, made)
    made = record.load(folder)  # as it will be read
    draw(folder, made.compared[chosen], made.curves, ("hours at the alert threshold", "sepsis", "alert"))
    (folder / "config.pbtxt").write_text(CONFIG, encoding="utf-8")
    (folder / record.CARD).write_text(card.card(made), encoding="utf-8")
    return folder


def choose(given: Mapping[str, tuple[m.Answers, Mapping[str, Any]]]) -> str:
    """The learner to serve: of the longest lead; of those that cannot be told from it, that of the highest AUROC."""
    best, *others = sorted(
        given, key=lambda name: -m.of_patients(given[name][0], given[name][1]["alert"], 0.0)["lead_h"](None)
    )
    alike = [best]
    for name in others:
        low = judging.paired(given[best][0], given[name][0], given[best][1], given[name][1])["lead_h"]["interval"]
        if low is None or low[0] <= 0:
            alike.append(name)
    return max(alike, key=lambda name: m.auroc(given[name][0].label, given[name][0].filled))


def _calibration(
    stays: Stays,
    places: npt.NDArray[np.intp],
    said: Hours,
) -> features.Calibration:
    """Of the served model, on the patients that stopped it early: none of them is on the card."""
    label = np.concatenate([stays.labels(int(i)) for i in places])
    use = said.answered & (label >= 0)
    fitted = calibrating.fit(label[use], said.logit[use])
    given = judging.answers(stays, places, said, fitted.apply(said.logit))
    thresholds = {"alert": m.threshold_at(given, m.BURDEN), "utility": m.best_threshold(given)}
    known = {name: value for name, value in thresholds.items() if np.isfinite(value)}
    return msgspec.structs.replace(fitted, thresholds=known)


def _fallback(stays: Stays, places: npt.NDArray[np.intp], report: Report) -> features.Calibration:
    """Partial NEWS2 as a probability, on the same patients: what is said while the model server is silent."""
    from wardstream.models.training.boosting import partial_news2

    hours = judging.ask(stays, places, partial_news2, report, "NEWS2")
    label = np.concatenate([stays.labels(int(i)) for i in places])
    use = hours.answered & (label >= 0)
    return calibrating.fit(label[use], hours.logit[use])


def _loaded(folder: Path) -> tuple[record.Record, features.Calibration]:
    made = record.load(folder)
    if made.inputs_version != features.VERSION:
        raise ValueError(
            f"{folder.name} was trained on inputs of version {made.inputs_version}, not {features.VERSION}"
        )
    return made, record.read(folder / record.CALIBRATION, features.Calibration)


def _rule_score(stays: Stays, places: npt.NDArray[np.intp], report: Report) -> tuple[m.Answers, float]:
    """What serves where no version does: partial NEWS2, points as probabilities, medium alert from 5 points."""
    from wardstream.models.training.boosting import partial_news2

    hours = judging.ask(stays, places, partial_news2, report, "NEWS2")
    return judging.answers(stays, places, hours, hours.logit / 20.0), 5 / 20.0
