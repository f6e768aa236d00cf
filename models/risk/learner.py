"""The learner: champion and challenger, their calibration, and the watch over them; one example at a time, in order.

Each example is judged before it is learned from, and the calibration layers learn from what the models say before they
do. Given the same examples in the same order, and a snapshot at any place among them, the learner ends with the same
numbers, bit for bit.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec

from wardstream.models.risk.challenger import Challenger
from wardstream.models.risk.champion import Champion, Numbers, Settings
from wardstream.models.risk.drift import Change, Drift
from wardstream.models.risk.features import COLUMNS, NAMES, VERSION, Doubles, Inputs, columns
from wardstream.models.risk.gate import Paired, Passed, gate
from wardstream.models.risk.platt import Platt, probability
from wardstream.models.risk.prequential import Prequential, loss
from wardstream.models.risk.target import CHALLENGER, CHAMPION, MODELS, Target

KEPT_CHANGES: Final = 50


class Example(msgspec.Struct, frozen=True, kw_only=True):
    """A patient-hour whose label is known: of whom and where, what was known, what was said then, what came.

    `said` are the probabilities told, by model, so before anything of this hour was learned; without them the hour is
    judged by what the models say when its label comes.
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


class Contribution(NamedTuple):
    """What one input added to the log-odds: its value, age and missing flag together."""

    name: str
    added: float


class Answer(NamedTuple):
    """Probabilities by model, the champion's log-odds before calibration, and what each input added to them."""

    said: dict[str, float]
    logit: float
    contributions: list[Contribution]


class StateRefused(Exception):
    """A state of another version of the inputs, or of another form."""


class Learner:
    """Learns and answers. A scorer is one that is never asked to learn.

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
        self.watch = {name: Prequential() for name in MODELS}
        self.paired = Paired()
        self.changes: list[Change] = []
        self._champion = Champion(len(COLUMNS), settings)
        self._challenger = Challenger(settings.seed)
        self._layers = {name: Platt() for name in MODELS}
        self._drift = Drift()

    def answer(self, inputs: Inputs, shown: int = 5) -> Answer:
        """What the models say of a patient-hour, with the `shown` largest contributions."""
        row = columns(inputs)
        said = self._champion.say(row)
        logits = {CHAMPION: said.logit, CHALLENGER: self._challenger.say(row)}
        probabilities = {name: probability(self._layers[name].apply(logit)) for name, logit in logits.items()}
        return Answer(probabilities, said.logit, contributions(said.added, shown))

    def learn(self, example: Example) -> list[Change]:
        """Judge what was said of an example, then learn from it; returns what it shows to have changed."""
        row, happened = columns(example.inputs), example.happened
        logits = {CHAMPION: self._champion.say(row).logit, CHALLENGER: self._challenger.say(row)}
        losses = {}
        for name, logit in logits.items():
            layer = self._layers[name]
            told = example.said.get(name)
            told = probability(layer.apply(logit)) if told is None else told
            losses[name] = loss(told, happened)
            self.watch[name].add(told, happened, example.unit)
            layer.learn(logit, happened)
        self.paired.add(example.patient_id, losses[CHAMPION], losses[CHALLENGER])
        self._champion.learn(row, happened)
        self._challenger.learn(row, happened)
        self.examples += 1
        changes = self._drift.take(self.examples, example.hour, losses[CHAMPION], example.inputs)
        self.changes = [*self.changes, *changes][-KEPT_CHANGES:]
        return changes

    def gate(self) -> Passed:
        """Whether the challenger may take the champion's place."""
        return gate(self.watch[CHALLENGER].start.measures(), self.paired)

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
        if widths != {len(COLUMNS)} or state.layers.keys() != set(MODELS) or state.watch.keys() != set(MODELS):
            raise StateRefused("of other columns or models")
        learner = Learner(state.target, numbers.settings)
        learner.examples = state.examples
        learner.watch, learner.paired, learner.changes = state.watch, state.paired, state.changes
        learner._layers = state.layers
        learner._champion = Champion.restored(numbers)
        learner._challenger = Challenger.restored(state.tree)
        learner._drift = Drift.restored(state.drift)
        return learner


def contributions(added: Doubles, shown: int) -> list[Contribution]:
    """What inputs added, the `shown` largest first; `added` by column, shape (len(COLUMNS),)."""
    by_input = added.reshape(3, len(NAMES)).sum(axis=0)
    largest = abs(by_input).argsort(kind="stable")[::-1][:shown].tolist()
    return [Contribution(NAMES[place], float(by_input[place])) for place in largest if by_input[place]]
