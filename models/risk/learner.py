"""The learner: champion and challenger, their calibration, and the watch over them; one example at a time, in order.

Each example is judged before it is learned from, and the calibration layers learn from what the models say before they
do. Given the same examples in the same order, and a snapshot at any place among them, the learner ends with the same
numbers, bit for bit.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec
import numpy as np

from wardstream.models.risk.challenger import Challenger
from wardstream.models.risk.champion import Champion, Numbers, Settings
from wardstream.models.risk.drift import Change, Drift
from wardstream.models.risk.features import COLUMNS, NAMES, SEPSIS, VERSION, Doubles, Inputs, columns
from wardstream.models.risk.gate import Paired, Passed, gate, ready
from wardstream.models.risk.platt import Platt, probability
from wardstream.models.risk.prequential import Prequential, loss
from wardstream.models.risk.target import CHALLENGER, CHAMPION, MODELS, SERVED, Target

KEPT_CHANGES: Final = 200
_NAMES: Final = np.array(NAMES, object)
_SEPSIS: Final = COLUMNS.index(SEPSIS)
_OF_SEPSIS: Final = frozenset({"sepsis_onset", "septic_shock"})
WATCHED: Final = (*MODELS, SERVED)
"""Whose predictions are judged: what each model says before it learns of an example, and what was told."""


class Example(msgspec.Struct, frozen=True, kw_only=True):
    """A patient-hour whose label is known: of whom and where, what was known, what was said then, what came.

    `said` is the probability of the snapshot that was approved then, by its model, and as what was told
    (`target.SERVED`).
    """

    patient_id: str
    hour: int
    inputs: Inputs
    happened: bool
    unit: str | None = None
    said: Mapping[str, float] = {}


class State(msgspec.Struct, frozen=True, kw_only=True):
    """All there is to a learner. `tree` and `drift` are packed (`pickles`).

    Attributes
    ----------
    features : str
        Version of the inputs.
    target : Target
        What is predicted.
    examples : int
        How many it has learned from.
    """

    features: str
    target: Target
    examples: int
    champion: Numbers
    tree: bytes
    layers: dict[str, Platt]
    watch: dict[str, Prequential]
    paired: Paired
    drift: bytes
    changes: list[Change]


Contributions = list[tuple[str, float]]
"""What inputs added to the log-odds, by name; plain tuples, for there are sixty a prediction."""


class Answer(NamedTuple):
    """A model's calibrated probability, its uncalibrated log-odds, and what each input added to them."""

    probability: float
    logit: float
    contributions: Contributions


class StateRefused(Exception):
    """A state of another version of the inputs, or of another form."""


class Learner:
    """Learns and answers. A scorer is one that is never asked to learn.

    Where sepsis alone is predicted, the champion begins at the deep model's log-odds of its onset. Of other outcomes,
    or of several, these are no log-odds: there they are an input like others.

    Parameters
    ----------
    target : Target
        What is predicted.
    settings : Settings
        How the champion learns; the challenger has the same seed.
    """

    def __init__(self, target: Target, settings: Settings) -> None:
        self.target = target
        self.examples = 0
        self.watch = {name: Prequential() for name in WATCHED}
        self.paired = Paired()
        self.changes: list[Change] = []
        self._champion = Champion(len(COLUMNS), settings, _SEPSIS if _OF_SEPSIS.issuperset(target.kinds) else None)
        self._challenger = Challenger(settings.seed)
        self._layers = {name: Platt() for name in MODELS}
        self._drift = Drift()

    def answer(self, inputs: Inputs, kind: str = CHAMPION) -> Answer:
        """What a model says of a patient-hour, with the inputs' contributions.

        Those of the champion are weight × scaled value, of value, age and missing flag together, and of the log-odds
        that it begins at also how far they are above their mean; those of the challenger are by how much the log-odds
        would differ if that input were not known. The other model is not asked: it would take longer than the answer
        itself, and is judged when the label comes (`learn`).
        """
        row = columns(inputs)
        if kind == CHAMPION:
            logit, added = self._champion.say(row)
            found = contributions(added)
        else:
            logit, found = self._challenger.say(row), self._challenger.contributions(row)
        return Answer(probability(self._layers[kind].apply(logit)), logit, found)

    def learn(self, example: Example) -> list[Change]:
        """Judge what is said of an example, then learn from it; returns what it shows to have changed.

        The models are judged by what they say now, when the label has come: they have learned from the earlier hours of
        the same patient, which makes them look a little better than they were. So the two are compared by that alone,
        both with the same advantage. What was told at the time is judged as `target.SERVED`.
        """
        row, happened = columns(example.inputs), example.happened
        logits = {CHAMPION: self._champion.say(row).logit, CHALLENGER: self._challenger.say(row)}
        losses = {}
        for name, logit in logits.items():
            layer = self._layers[name]
            now = probability(layer.apply(logit))
            self.watch[name].add(now, happened, example.unit)
            losses[name] = loss(now, happened)
            if name != CHAMPION or not self._champion.waits(row):  # what it says then is no answer
                layer.learn(logit, happened)
        told = example.said.get(SERVED)
        if told is not None:
            self.watch[SERVED].add(told, happened, example.unit)
        self.paired.add(example.patient_id, losses[CHAMPION], losses[CHALLENGER])
        self._champion.learn(row, happened)
        self._challenger.learn(row, happened)
        self.examples += 1
        off = losses[CHAMPION] if told is None else loss(told, happened)
        changes = self._drift.take(self.examples, example.hour, off, example.inputs)
        self.changes = [*self.changes, *changes][-KEPT_CHANGES:]
        return changes

    def gate(self, kind: str = CHALLENGER) -> Passed:
        """Whether the champion as it is now may answer, or the challenger in its place."""
        watch = self.watch[kind]
        since_start, lately = watch.start.measures(), watch.lately()
        return ready(since_start, lately) if kind == CHAMPION else gate(since_start, lately, self.paired)

    def state(self) -> State:
        """All there is to it."""
        return State(
            features=VERSION,
            target=self.target,
            examples=self.examples,
            champion=self._champion.numbers(),
            tree=self._challenger.packed(),
            layers=self._layers,
            watch=self.watch,
            paired=self.paired,
            drift=self._drift.packed(),
            changes=self.changes,
        )

    @staticmethod
    def restored(state: State) -> "Learner":
        """The learner that a state is of; the state is not used any more after that.

        Raises
        ------
        StateRefused
            It is of another version of the inputs, or does not fit together.
        pickles.Refused
            Its tree or its detectors are none.
        """
        if state.features != VERSION:
            raise StateRefused("of another version of the inputs")
        numbers = state.champion
        widths = {
            len(one) for one in (numbers.counts, numbers.means, numbers.variances, numbers.weights, numbers.squares)
        }
        if widths != {len(COLUMNS)} or numbers.begins_at not in (None, _SEPSIS):
            raise StateRefused("of other columns")
        if state.layers.keys() != set(MODELS) or state.watch.keys() != set(WATCHED):
            raise StateRefused("of other models")
        learner = Learner(state.target, numbers.settings)
        learner.examples = state.examples
        learner.watch, learner.paired, learner.changes = state.watch, state.paired, state.changes
        learner._layers = state.layers
        learner._champion = Champion.restored(numbers)
        learner._challenger = Challenger.restored(state.tree)
        learner._drift = Drift.restored(state.drift)
        return learner


def contributions(added: Doubles) -> Contributions:
    """What each input added, if anything, the largest first; `added` by column, shape (len(COLUMNS),)."""
    by_input: Doubles = np.add.reduce(added.reshape(3, len(NAMES)))
    order = (-np.abs(by_input)).argsort(kind="stable")[: np.count_nonzero(by_input)]
    return list(zip(_NAMES[order].tolist(), by_input[order].tolist(), strict=True))
