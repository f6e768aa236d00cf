"""What every model brings so that `wardstream train`, `evaluate` and `gate` can work on it by its name.

The commands know models by the table in `infra/recipes.py` only. A recipe's module may import torch only inside
`train`: `evaluate` and `gate` run where there is none, on ONNX Runtime.

A folder of a candidate, and of a deployed version, holds: model.onnx (weights inside), record.json (`record.Record`),
calibration.json, card.md, plots; where a rule score stands in for a silent server, fallback.json (its calibration); a
candidate also config.pbtxt, for a repository that has none for the model yet.
`evaluate` and `gate` need the first three.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

import msgspec

Metrics = Mapping[str, Any]
"""Numbers, and mappings and lists of them: what JSON can say."""

D = TypeVar("D", contravariant=True)


class Report(Protocol):
    """Shows progress: a task, how many steps are done, of how many; `told` is a few words of how it goes."""

    def __call__(self, task: str, done: int, of: int, told: str = "") -> None: ...


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the person who trains chooses.

    Attributes
    ----------
    seed : int
        Of everything that is left to chance.
    only : tuple of str
        Names of parts of the recipe to run (its docstring lists them); empty: all. Each part that is done is kept,
        so parts can be run one by one, on several days.
    epochs : int or None
        At most so many passes over the data; None: the recipe's own number.
    """

    seed: int = 1
    only: tuple[str, ...] = ()
    epochs: int | None = None


LEARNT_FROM: Final = "learnt_from"
"""In the metrics of an evaluation: whether these are the data of the training, of which the locked are left out."""


LOCKED_OUT: Final = "locked_left_out"
"""In the metrics of an evaluation: how many locked patients or films were left out."""

MAYBE_LOCKED: Final = "locked_if_of_training"
"""In the metrics of an evaluation: how many patients would be locked, if these are some of those of the training."""


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """What `evaluate` found.

    Attributes
    ----------
    metrics : mapping
        Without labels: only counts and the distribution of the answers.
    rows : list of mapping
        One answer each: whose, when, `probability`, `calibrated_probability`, or why there is none.
    """

    metrics: Metrics
    rows: list[dict[str, Any]]


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What `gate` decided.

    Attributes
    ----------
    outcome : str
        accepted, rejected, or not_enough_data (which blocks too).
    reasons : tuple of str
        What failed and what to improve, one line each; what was met when accepted.
    measured : mapping
        The numbers behind it.
    """

    outcome: str
    reasons: tuple[str, ...]
    measured: Metrics


class Recipe(Protocol[D]):
    """One model's way from data to a judged candidate. `D` is what its reader makes of the data.

    `baseline` says what a candidate is held against where no version serves yet.
    """

    name: str
    baseline: str

    def train(self, data: D, folder: Path, settings: Settings, report: Report) -> Path:
        """Train, and return the candidate's folder below `folder`. What an earlier run has finished is not repeated.

        Raises
        ------
        TooLittle
            The data are not enough.
        """
        ...

    def evaluate(self, model: Path, data: D, report: Report) -> Evaluation:
        """Judge the model in a folder on any data."""
        ...

    def gate(self, candidate: Path, serving: Path | None, data: D, look: int, report: Report) -> Verdict:
        """Judge a candidate against the serving version on the locked patients; `look` counts from 1."""
        ...

    def locked(self, data: D) -> list[str]:
        """Ids of the locked test patients among the data, sorted."""
        ...


ERROR = 0.05


def level(look: int) -> float:
    """The level of a gate's intervals at a look at the locked patients, counted from 1.

    They wear out: look n is held to the level 0.05 / (n (n + 1)), so that all looks together stay below 0.05 however
    many there are.
    """
    return 1 - ERROR / (look * (look + 1))


class TooLittle(ValueError):
    """The data are not enough for what was asked; the text says what is missing."""
