"""Whether something has changed: ADWIN (Bifet and Gavaldà 2007; River) on the model's loss and on key inputs.

The hours of one patient say nearly the same thing, and a test that takes them for many would cry wolf. So each patient
counts once: with the example of hour `HOUR_TAKEN` of the stay, by when most has been measured.
"""

from typing import Final

import msgspec
from river.drift import ADWIN

from wardstream.models.risk import pickles
from wardstream.models.risk.features import Inputs

HOUR_TAKEN: Final = 6
WATCHED: Final = (
    "news2",
    "heart_rate_bpm",
    "respiratory_rate_per_min",
    "spo2_percent",
    "systolic_mmhg",
    "temperature_celsius",
    "age_years",
    "sepsis_logit",
)
LOSS: Final = "log_loss"
DELTA: Final = 0.002 / (1 + len(WATCHED))
"""Confidence of each detector: of a false alarm by any of them together, at most 0.002 at each look."""


class Change(msgspec.Struct, frozen=True):
    """What changed, at which example (counted from 1) and how: means before and after."""

    what: str
    example: int
    before: float
    after: float


class Drift:
    """The detectors, by what they watch."""

    def __init__(self) -> None:
        self._detectors = {name: ADWIN(delta=DELTA) for name in (LOSS, *WATCHED)}

    def take(self, example: int, hour: int, loss: float, inputs: Inputs) -> list[Change]:
        """Look at an example; returns what it shows to have changed.

        Parameters
        ----------
        example : int
            Its number.
        hour : int
            Of the stay.
        loss : float
            Of the prediction that was told.
        inputs : Inputs
            What was known.
        """
        if hour != HOUR_TAKEN:
            return []
        seen = {LOSS: loss} | {name: inputs[name].value for name in WATCHED if name in inputs}
        found = []
        for name, value in seen.items():
            detector = self._detectors[name]
            before = detector.estimation
            detector.update(value)
            if detector.drift_detected:
                found.append(Change(name, example, before, detector.estimation))
        return found

    def packed(self) -> bytes:
        """The detectors as bytes."""
        return pickles.dump(self._detectors)

    @staticmethod
    def restored(packed: bytes) -> "Drift":
        """The detectors of `packed`: only to be called on bytes whose signature holds.

        Raises
        ------
        pickles.Refused
            They are no such detectors.
        """
        drift = Drift()
        found = pickles.load(packed, dict)
        if found.keys() != drift._detectors.keys() or not all(isinstance(one, ADWIN) for one in found.values()):
            raise pickles.Refused("other detectors than these")
        drift._detectors = found
        return drift
