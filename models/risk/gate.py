"""Whether a model may answer: enough labels, calibrated, and of the challenger: better with confidence.

Better is judged on what both say of the same hours when the label comes, before either learns it: by how much the
challenger's mean log loss is lower. The hours of a patient are no independent witnesses. So patients are dealt into
`GROUPS` groups by a hash of the id: what one group says about the difference is independent of the others, and the
interval is that of the jackknife over groups (Efron and Stein 1981).

A champion that has learned more takes the place of what it was before without being better: it needs the labels and the
calibration. Calibration is asked for since the start and, where the last predictions have labels enough, of those.

The limits are this project's choice. A hundred outcomes are what a calibration slope needs to be told from 1 at all
(Collins et al., Stat Med 2016;35:214).
"""

from hashlib import blake2b
from math import isnan, sqrt
from typing import Final, NamedTuple

import msgspec

from wardstream.models.risk.prequential import Measures

GROUPS: Final = 64
POSITIVES: Final = 100
PREDICTIONS: Final = 5_000
SLOPE: Final = (0.8, 1.25)
EXPECTED: Final = (0.8, 1.25)
ECE: Final = 0.02
CONFIDENCE: Final = 2.390  # one-sided 99 % of Student's t with 63 degrees of freedom (2.387), rounded up


class Paired(msgspec.Struct):
    """Of each group of patients: how many predictions, and the sum of the champion's loss less the challenger's."""

    counts: list[int] = msgspec.field(default_factory=lambda: [0] * GROUPS)
    sums: list[float] = msgspec.field(default_factory=lambda: [0.0] * GROUPS)

    def add(self, patient_id: str, champion: float, challenger: float) -> None:
        """Count the losses of one hour."""
        group = int.from_bytes(blake2b(patient_id.encode(), digest_size=4).digest(), "big") % GROUPS
        self.counts[group] += 1
        self.sums[group] += champion - challenger

    def better_by(self) -> tuple[float, float]:
        """By how much the challenger's mean loss is lower, and its standard error; infinite where that is not known."""
        count, total = sum(self.counts), sum(self.sums)
        if not count:
            return 0.0, float("inf")
        without = [
            (total - part) / (count - number)
            for part, number in zip(self.sums, self.counts, strict=True)
            if number and count > number
        ]
        if len(without) < GROUPS // 2:
            return total / count, float("inf")
        centre = sum(without) / len(without)
        spread = (len(without) - 1) / len(without) * sum((one - centre) ** 2 for one in without)
        return total / count, sqrt(spread)


class Passed(NamedTuple):
    """The gate's answer; `reasons`: why not, in words. Empty: it may."""

    reasons: tuple[str, ...]

    @property
    def allowed(self) -> bool:
        return not self.reasons


def ready(since_start: Measures, lately: Measures) -> Passed:
    """Whether a model may answer, by its own measures."""
    reasons = []
    if not _enough(since_start):
        reasons.append(
            f"not enough labels: {since_start.predictions} with {since_start.positives} positive, "
            f"of {PREDICTIONS} with {POSITIVES}"
        )
    reasons += _off(since_start, "since start")
    if _enough(lately):
        reasons += _off(lately, "lately")
    return Passed(tuple(reasons))


def gate(since_start: Measures, lately: Measures, paired: Paired) -> Passed:
    """Whether the challenger may answer, by its own measures and those paired with the champion's."""
    reasons = ready(since_start, lately).reasons
    better, error = paired.better_by()
    if not better - CONFIDENCE * error > 0:
        reasons += (f"not better with confidence: log loss lower by {better:.5f} ± {CONFIDENCE * error:.5f}",)
    return Passed(reasons)


def _enough(measures: Measures) -> bool:
    return measures.predictions >= PREDICTIONS and measures.positives >= POSITIVES


def _off(measures: Measures, when: str) -> list[str]:
    reasons = []
    for name, value, (low, high) in (
        ("calibration slope", measures.slope, SLOPE),
        ("expected over observed", measures.expected, EXPECTED),
    ):
        if isnan(value) or not low <= value <= high:
            reasons.append(f"not calibrated {when}: {name} {value:.2f}, not within {low} and {high}")
    if not measures.ece <= ECE:
        reasons.append(f"not calibrated {when}: calibration error {measures.ece:.3f}, above {ECE}")
    return reasons
