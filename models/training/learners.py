"""The bench of `sepsis`: every learner fitted fold by fold, each fit kept, so that nothing is done twice.

A fit is named by data, code, learner, setting and fold. Its folder holds what it said of its own fold (`said.npz`), the
curve of its learning, and what was learnt: weights of a net, trees of boosting. A fit that was interrupted goes on from
its last epoch. A blend (`boosting+attention`) is not fitted: it says the mean of the log-odds of its parts.
"""

import hashlib
from pathlib import Path
from typing import Any, Final

import joblib
import msgspec
import numpy as np
import numpy.typing as npt
import torch

from wardstream.models.training import boosting, fitting, judging, nets, windows
from wardstream.models.training import measures as m
from wardstream.models.training.boosting import Setting, boost, partial_news2
from wardstream.models.training.calibrating import fit as fit_calibration
from wardstream.models.training.fitting import Trial, fit, new_net, runner
from wardstream.models.training.nets import Net, Shape
from wardstream.models.training.recipe import Report, Settings
from wardstream.models.training.sharing import Team
from wardstream.models.training.splits import FOLDS, Split
from wardstream.models.training.stays import Recorded, Stays
from wardstream.models.training.windows import Hours, Run

Doubles = npt.NDArray[np.float64]

SEARCH: Final[dict[str, tuple[Any, ...]]] = {
    "recurrent": (
        Trial(Shape("recurrent", 64, 1)),
        Trial(Shape("recurrent", 96, 1), rate=1e-3, drop=0.3, hide=0.2),
        Trial(Shape("recurrent", 64, 2), rate=1e-3, drop=0.3, hide=0.1),
        Trial(Shape("recurrent", 32, 1), rate=3e-3, drop=0.1, hide=0.2),
    ),
    "attention": (
        Trial(Shape("attention", 64, 2), rate=1e-3),
        Trial(Shape("attention", 96, 2), rate=5e-4, drop=0.3, hide=0.2),
        Trial(Shape("attention", 64, 3), rate=1e-3, drop=0.3, hide=0.1),
        Trial(Shape("attention", 32, 2), rate=2e-3, drop=0.1, hide=0.2),
    ),
    "boosting": (
        Setting(),
        Setting(rate=0.03, leaves=15, least=200, rounds=700),
        Setting(rate=0.05, leaves=63, least=50, l2=5.0),
        Setting(rate=0.1, leaves=15, least=400, l2=10.0),
    ),
    "clock": (Setting(clock_only=True),),
    "news2": (None,),
}
"""Settings that are tried: four of each learner that is searched."""
PRETRAINING_EPOCHS: Final = 12


class Bench:
    """Fits and what they said; see the head of this module."""

    def __init__(
        self, data: Recorded, split: Split, folder: Path, settings: Settings, report: Report, team: Team
    ) -> None:
        self.data, self.split, self.settings, self.report, self.team = data, split, settings, report, team
        sizes = f"{len(data.stays)} {len(data.unlabelled)}"
        about = f"{data.data_hash} {data.code_hash} {_code_hash()} {sizes} {settings.seed} {settings.epochs}"
        self.folder = folder / hashlib.sha256(about.encode()).hexdigest()[:12]
        self.folder.mkdir(parents=True, exist_ok=True)

    def out_of_fold(self, name: str) -> None:
        """Search the learner's settings on fold 0, and fit the best on all folds."""
        for part in parts(name):
            best = self._best(part)
            for fold in range(FOLDS):
                self._fit(part, best, fold)

    def is_done(self, name: str) -> bool:
        """Whether all folds of a learner are there."""
        return all(self._is_done(part) for part in parts(name))

    def _is_done(self, name: str) -> bool:
        kind = _kind(name)
        return all((self._at(kind, i, 0) / "said.npz").is_file() for i in range(len(SEARCH[kind]))) and all(
            (self._at(name, self._best(name), fold) / "said.npz").is_file() for fold in range(FOLDS)
        )

    def cross_calibrated(self, name: str) -> tuple[m.Answers, Doubles]:
        """What was said of the judged patients, each fold calibrated on the others, thresholds for utility likewise.

        The threshold stands for each row, since each fold has its own.
        """
        stays, folds = self.data.stays, self.split.folds[1:]
        said = [self.said(name, fold) for fold in range(1, FOLDS)]
        label = [np.concatenate([stays.labels(int(i)) for i in fold]) for fold in folds]
        probability, threshold = list[Doubles](), list[Doubles]()
        for k in range(len(folds)):
            others = [j for j in range(len(folds)) if j != k]
            logit = np.concatenate([said[j].logit for j in others])
            use = np.concatenate([said[j].answered & (label[j] >= 0) for j in others])
            fitted = fit_calibration(np.concatenate([label[j] for j in others])[use], logit[use])
            probability.append(fitted.apply(said[k].logit))
            seen = _joined([said[j] for j in others])
            places = np.concatenate([folds[j] for j in others])
            given = judging.answers(stays, places, seen, fitted.apply(seen.logit))
            threshold.append(np.full(len(label[k]), m.best_threshold(given)))
        order = np.argsort(np.concatenate(folds), kind="stable")
        hours = _joined(said)
        rows = np.argsort(_rank(order)[hours.stay], kind="stable")  # stays in their own order again
        again = Hours(_rank(order)[hours.stay][rows], hours.hour[rows], hours.logit[rows], hours.answered[rows])
        places = np.concatenate(folds)[order]
        labelled = np.concatenate([stays.labels(int(i)) for i in places]) >= 0
        return (
            judging.answers(stays, places, again, np.concatenate(probability)[rows]),
            np.concatenate(threshold)[rows][labelled],
        )

    def said(self, name: str, fold: int) -> Hours:
        """What a learner's best setting, or a blend, said of a fold."""
        found = [self._said(part, self._best(part), fold) for part in parts(name)]
        return found[0]._replace(logit=np.mean([one.logit for one in found], axis=0))

    def served(self, name: str) -> tuple[Net | None, Any]:
        """The net of fold 0, and the classifier of boosting; None for what is no part of the learner."""
        net, trees = None, None
        for part in parts(name):
            trial, at = self._trial(part, self._best(part)), self._at(part, self._best(part), 0)
            if isinstance(trial, Trial):
                net = new_net(trial, self.data.stays, self.split.learn(0), self.settings.seed)
                net.load_state_dict(torch.load(at / "weights.pt", weights_only=True))
            else:
                trees = joblib.load(at / "trees.joblib")
        return net, trees

    def chosen_settings(self, names: list[str]) -> dict[str, Any]:
        """What the search found, by learner."""
        return {name: repr(self._trial(name, self._best(name))) for name in names if len(parts(name)) == 1}

    def tried(self, names: list[str]) -> dict[str, int]:
        """How many settings were tried, by learner; pre-trained nets and those without inputs take what was found."""
        return {name: len(SEARCH[name]) for name in names if name in SEARCH and len(SEARCH[name]) > 1}

    def curves(self, names: list[str]) -> dict[str, Any]:
        """The curve of learning on fold 0, by learner that has one."""
        found = {}
        for name in names:
            if len(parts(name)) > 1:
                continue
            path = self._at(name, self._best(name), 0) / "curve.json"
            if path.is_file():
                found[name] = msgspec.json.decode(path.read_bytes())
        return found

    def _best(self, name: str) -> int:
        kind = _kind(name)
        if len(SEARCH[kind]) == 1:
            return 0
        scores = []
        for i in range(len(SEARCH[kind])):
            said = self._fit(kind, i, 0)
            given = judging.answers(self.data.stays, self.split.folds[0], said, said.logit - said.logit.min() + 1)
            scores.append(m.auroc(given.label, given.filled))
        return int(np.argmax(scores))

    def _trial(self, name: str, i: int) -> Any:
        found = SEARCH[_kind(name)][i]
        without = tuple(name.split("-no-")[1:])
        if isinstance(found, Trial):
            epochs = found.epochs if self.settings.epochs is None else self.settings.epochs
            return found._replace(shape=found.shape._replace(without=without), epochs=epochs)
        return found if found is None else found._replace(without=without)

    def _at(self, name: str, i: int, fold: int) -> Path:
        setting = hashlib.sha256(repr(self._trial(name, i)).encode()).hexdigest()[:8]
        return self.folder / name / setting / f"fold-{fold}"

    def _said(self, name: str, i: int, fold: int) -> Hours:
        with np.load(self._at(name, i, fold) / "said.npz") as found:
            return Hours(found["stay"], found["hour"], found["logit"], found["answered"])

    def _fit(self, name: str, i: int, fold: int) -> Hours:
        at = self._at(name, i, fold)
        self.team.wait()
        done = (at / "said.npz").is_file()
        self.team.wait()
        if not done:
            at.mkdir(parents=True, exist_ok=True)
            trial, label = self._trial(name, i), f"{name} {i + 1}/{len(SEARCH[_kind(name)])} fold {fold}"
            if isinstance(trial, Trial):
                run: Run = self._net(name, trial, i, fold, at, label)
            elif trial is None:
                run = partial_news2
            elif self.team.leads:
                run = self._boosting(name, trial, i, fold, at, label)
            if self.team.leads:
                said = judging.ask(self.data.stays, self.split.folds[fold], run, self.report, label)
                unfinished = at / "part.npz"
                np.savez_compressed(unfinished, **said._asdict())
                unfinished.replace(at / "said.npz")
            self.team.wait()
        return self._said(name, i, fold)

    def _length(self, name: str, i: int) -> int:
        """How many epochs or rounds were best on fold 0."""
        curve = msgspec.json.decode((self._at(name, i, 0) / "curve.json").read_bytes())
        return int(max(curve, key=lambda point: point["score"])["epoch"])

    def _boosting(self, name: str, trial: Setting, i: int, fold: int, at: Path, label: str) -> Run:
        held = None
        if fold == 0:
            held = self.split.folds[0]
        else:
            trial = trial._replace(rounds=max(1, self._length(name, i)))
        model, curve = boost(
            self.data.stays,
            self.split.learn(fold),
            held,
            trial,
            self.settings.seed,
            lambda done, of: self.report(label, done, of),
        )
        points = [{"epoch": k, "score": -loss} for k, loss in enumerate(curve)]
        (at / "curve.json").write_bytes(msgspec.json.encode(points))
        joblib.dump(model, at / "trees.joblib")
        return boosting.runner(model, trial)

    def _net(self, name: str, trial: Trial, i: int, fold: int, at: Path, label: str) -> Run:
        stays, learn, held = self.data.stays, self.split.learn(fold), None
        if fold == 0:
            held = self.split.folds[0]
        else:
            trial = trial._replace(epochs=self._length(name, i))
        net = new_net(trial, stays, learn, self.settings.seed)
        if name.endswith("-pretrained"):
            both, known, shown = _together(stays, learn, self.data.unlabelled)
            before = trial._replace(epochs=min(trial.epochs, PRETRAINING_EPOCHS), hide=0.0)
            keep = at / "before.pt"
            args = (
                before,
                both,
                known,
                shown,
                self.settings.seed,
                keep,
                self.team,
                self.report,
                f"{label} without labels",
            )
            net = fit(net, "rebuild", *args).net
        keep = at / "checkpoint.pt"
        fitted = fit(
            net, "labelled", trial, stays, learn, held, self.settings.seed, keep, self.team, self.report, label
        )
        if self.team.leads:
            torch.save(fitted.net.state_dict(), at / "weights.pt")
            (at / "curve.json").write_bytes(msgspec.json.encode(fitted.curve))
        return runner(fitted.net)


def _code_hash() -> str:
    """Of what fits."""
    found = hashlib.sha256()
    for module in (boosting, fitting, nets, windows):
        found.update(Path(str(module.__file__)).read_bytes())
    return found.hexdigest()


def parts(name: str) -> list[str]:
    """The learners that a blend is of; of any other, itself."""
    return name.split("+")


def _kind(name: str) -> str:
    return name.split("-")[0]


def _rank(order: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    ranks = np.empty(len(order), np.intp)
    ranks[order] = np.arange(len(order))
    return ranks


def _joined(parts: list[Hours]) -> Hours:
    """Hours of several sets of stays, numbered on."""
    stay, begin = [], 0
    for part in parts:
        stay.append(part.stay + begin)
        begin += int(part.stay.max()) + 1
    return Hours(np.concatenate(stay), *(np.concatenate([getattr(p, n) for p in parts]) for n in Hours._fields[1:]))


def _together(
    stays: Stays, learn: npt.NDArray[np.intp], others: Stays
) -> tuple[Stays, npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """The patients a fold learns from and those without labels, as one; a twentieth is kept to see when to stop."""
    own = stays.take(learn)
    if len(others):
        own = Stays(
            np.concatenate([own.ids, others.ids]),
            np.concatenate([own.starts, others.starts[1:] + own.starts[-1]]),
            np.concatenate([own.grid, others.grid]),
            np.concatenate([own.label, others.label]),
            np.concatenate([own.age, others.age]),
            np.concatenate([own.sex, others.sex]),
        )
    places = np.arange(len(own))
    return own, places[places % 20 != 0], places[places % 20 == 0]
