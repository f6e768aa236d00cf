"""What the risk model predicts, and how long its label is waited for.

The grace period is for outcomes that become known late: by default a day and a half, because sepsis is commonly
confirmed a day after its onset. Every hour waits for its whole horizon and the grace, whatever happens: would deaths be
told at once and survival only at the end, a young stream would hold too many deaths, and the model would be too sure.
"""

from typing import Final, get_args

import msgspec

from wardstream.schemas.outcomes import Kind

HOUR: Final = 3600.0
KINDS: Final = frozenset(get_args(Kind))
CHAMPION: Final = "logistic"
CHALLENGER: Final = "tree"
MODELS: Final = (CHAMPION, CHALLENGER)
"""The kinds of models that learn side by side."""
SERVED: Final = "served"
"""What was told at the time, by whichever model of the approved snapshot answered."""
DETERIORATION: Final[tuple[Kind, ...]] = (
    "icu_transfer",
    "cardiac_arrest",
    "respiratory_arrest",
    "death",
    "sepsis_onset",
    "septic_shock",
)


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """What is predicted.

    Attributes
    ----------
    name : str
        As `target` of the predictions.
    kinds : tuple of str
        Outcomes of which any counts (`schemas/outcomes.py`).
    horizon_h : float
        Hours after the prediction in which it counts.
    grace_h : float
        Hours after the horizon in which it may still become known.
    """

    name: str = "deterioration"
    kinds: tuple[Kind, ...] = DETERIORATION
    horizon_h: float = 12.0
    grace_h: float = 36.0

    def __post_init__(self) -> None:
        if not self.kinds or not KINDS.issuperset(self.kinds):
            raise ValueError("kinds names no outcome, or one that there is not")
        if not 0 < self.horizon_h <= 8760:
            raise ValueError("horizon_h is more than 0 and at most a year")
        if not 0 <= self.grace_h <= 8760:
            raise ValueError("grace_h is between 0 and a year")

    @property
    def horizon_s(self) -> float:
        return self.horizon_h * HOUR

    def told_at(self, at: float) -> float:
        """When the label of an hour that ended `at` is told (s since 1970): the same for every label."""
        return at + (self.horizon_h + self.grace_h) * HOUR
