"""What a candidate of `chest_xray` must show on the locked films before it may serve. Declared before any look.

1. Enough data: `FEWEST` locked films of each label. Fewer block, whatever else is shown.
2. Better: the paired interval of AUROC lies above 0.
3. No worse: the paired interval of balanced accuracy does not lie wholly below 0.
4. Calibrated: slope in `SLOPES`, expected calibration error at most `ECE_AT_MOST`.
5. Robust: under no shift (`chest_films.shifts`) is AUROC lower by more than `SHIFT_COST`.
6. Parity with torch within 1e-4, and a batch of 16 within `LATENCY_S` on one thread.

All intervals are over images, of the level that the look is held to (`recipe.level`).
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from wardstream.models.training import judging
from wardstream.models.training import measures as m
from wardstream.models.training.chest_measures import balanced_accuracy, difference
from wardstream.models.training.recipe import Verdict, level
from wardstream.models.training.record import plain

FEWEST: Final = 100
SLOPES: Final = (0.7, 1.4)
ECE_AT_MOST: Final = 0.05
SHIFT_COST: Final = 0.05
PARITY: Final = 1e-4
LATENCY_S: Final = 0.05

Doubles = npt.NDArray[np.float64]


def decide(
    label: npt.NDArray[np.int8],
    said: Mapping[str, Doubles],
    cut: float,
    serving: tuple[Doubles, float],
    look: int,
    parity: float,
    latency_s: float,
) -> Verdict:
    """Accept, reject, or say that the films are too few.

    Parameters
    ----------
    label : (films,)
        0 or 1, of the locked films.
    said : mapping of (films,)
        The candidate's calibrated probabilities by shift.
    cut : float
        Its threshold.
    serving : (films,), float
        What the serving version, or the baseline, says of the films unshifted, and its threshold.
    look : int
        From 1.
    parity, latency_s : float
        As measured.
    """
    few = min(int((label == 0).sum()), int((label == 1).sum()))
    if few < FEWEST:
        why = f"{few} locked films of one label, and {FEWEST} are needed: add data"
        return Verdict(outcome="not_enough_data", reasons=(why,), measured={"films_of_the_rarer_label": few})
    own, (other, other_at) = said["none"], serving
    better = difference(m.auroc, label, own, other, 1, level(look))
    balanced = difference(balanced_accuracy(0.0), label, own - cut, other - other_at, 1, level(look))
    calibration = judging.calibration_of(label, own)
    shifted = {name: m.auroc(label, each) for name, each in said.items()}
    cost = {name: shifted["none"] - each for name, each in shifted.items()}
    improve = []
    if better["interval"] is None or not better["interval"][0] > 0:
        improve.append(f"AUROC not shown to be better: it differs by {better['value']:.3f}: add films, or improve it")
    if balanced["interval"] is not None and balanced["interval"][1] < 0:
        improve.append(f"worse in balanced accuracy by {-balanced['value']:.3f}")
    if not SLOPES[0] <= calibration["slope"] <= SLOPES[1]:
        improve.append(f"calibration slope {calibration['slope']:.2f}, wanted {SLOPES[0]} to {SLOPES[1]}")
    if not calibration["ece"] <= ECE_AT_MOST:
        improve.append(f"expected calibration error {calibration['ece']:.3f}, at most {ECE_AT_MOST}")
    worst = max(cost, key=lambda name: cost[name])
    if not cost[worst] <= SHIFT_COST:
        improve.append(f"{worst} costs {cost[worst]:.3f} of AUROC, at most {SHIFT_COST}: augment more")
    if not parity <= PARITY:
        improve.append(f"ONNX Runtime differs from torch by {parity:.2g}: export again")
    if not latency_s <= LATENCY_S:
        improve.append(f"a batch of 16 takes {latency_s:.3f} s, over {LATENCY_S} s: a smaller net")
    measured: dict[str, Any] = {
        "look": look,
        "level": level(look),
        "auroc_difference": better,
        "balanced_accuracy_difference": balanced,
        "calibration": calibration,
        "auroc_by_shift": shifted,
        "parity": parity,
        "latency_s": latency_s,
        "films": {str(value): int(np.count_nonzero(label == value)) for value in (0, 1)},
    }
    if improve:
        return Verdict(outcome="rejected", reasons=tuple(improve), measured=plain(measured))
    reasons = ("better, no worse, calibrated, robust, same as torch, fast",)
    return Verdict(outcome="accepted", reasons=reasons, measured=plain(measured))
