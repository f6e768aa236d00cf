"""What a candidate of `sepsis` must show on the locked patients before it may serve. Declared before any look.

1. Enough data: `FEWEST_ONSETS` locked patients with a known onset. Fewer block, whatever else is shown.
2. Better: the paired interval of `lead_h` (hours before onset at the same burden of alerts) lies above 0.
3. No worse: the paired intervals of AUROC and utility do not lie wholly below 0.
4. Calibrated: slope in `SLOPES`, expected calibration error at most `ECE_AT_MOST`.
5. Parity with torch within 1e-4, and a batch of 64 within `LATENCY_S` on one thread.

All intervals are of the level that the look is held to (`recipe.level`).
"""

from typing import Any, Final

from wardstream.models.sepsis import VERSION
from wardstream.models.training import judging
from wardstream.models.training import measures as m
from wardstream.models.training.recipe import Verdict, level
from wardstream.models.training.record import plain

FEWEST_ONSETS: Final = 40
SLOPES: Final = (0.7, 1.4)
ECE_AT_MOST: Final = 0.01
PARITY: Final = 1e-4
LATENCY_S: Final = 0.1

Given = tuple[m.Answers, float]
"""Answers of the locked patients, and the threshold for utility that the version brings."""


def decide(
    candidate: Given, serving: Given, look: int, parity: float, latency_s: float, inputs_version: str
) -> Verdict:
    """Accept, reject, or say that the data are too few; `serving` is NEWS2 where nothing serves yet."""
    said, utility_at = candidate
    other, other_at = serving
    onsets = judging.counts(said)["known_onsets"]
    if onsets < FEWEST_ONSETS:
        why = f"{onsets} locked patients with a known onset, and {FEWEST_ONSETS} are needed: add data"
        return Verdict(outcome="not_enough_data", reasons=(why,), measured={"known_onsets": onsets})
    at = {"alert": m.threshold_at(said, m.BURDEN), "utility": utility_at}
    at_other = {"alert": m.threshold_at(other, m.BURDEN), "utility": other_at}
    differences = judging.paired(said, other, at, at_other, level(look))
    known = said.probability == said.probability
    calibration = judging.calibration_of(said.label[known], said.probability[known])
    measured: dict[str, Any] = {
        "look": look,
        "level": level(look),
        "known_onsets": onsets,
        "differences": differences,
        "calibration": calibration,
        "candidate": {name: f(None) for name, f in m.of_patients(said, at["alert"], at["utility"]).items()},
        "serving": {name: f(None) for name, f in m.of_patients(other, at_other["alert"], at_other["utility"]).items()},
        "parity": parity,
        "latency_s": latency_s,
    }
    improve = [
        *_better(differences),
        *_calibrated(calibration),
        *([] if parity <= PARITY else [f"ONNX Runtime differs from torch by {parity:.2g}: export again"]),
        *(
            []
            if latency_s <= LATENCY_S
            else [f"a batch of 64 takes {latency_s:.3f} s, over {LATENCY_S} s: a smaller net"]
        ),
        *([] if inputs_version == VERSION else ["trained on other inputs than this code makes: train again"]),
    ]
    if improve:
        return Verdict(outcome="rejected", reasons=tuple(improve), measured=plain(measured))
    return Verdict(
        outcome="accepted", reasons=("better, no worse, calibrated, same as torch, fast",), measured=plain(measured)
    )


def _better(differences: dict[str, Any]) -> list[str]:
    found = []
    lead = differences["lead_h"]["interval"]
    if lead is None or not lead[0] > 0:
        found.append(
            "not shown to warn earlier than the serving version: hours before onset at the same burden differ by "
            f"{differences['lead_h']['difference']:.2f}, interval {_interval(lead)}: add septic patients, or improve it"
        )
    for name in ("auroc", "utility"):
        interval = differences[name]["interval"]
        if interval is not None and interval[1] < 0:
            found.append(f"worse in {name} than the serving version: interval {_interval(interval)}")
    return found


def _calibrated(found: dict[str, Any]) -> list[str]:
    low, high = SLOPES
    improve = []
    if not low <= found["slope"] <= high:
        improve.append(f"calibration slope {found['slope']:.2f}, wanted {low} to {high}: more validation patients")
    if not found["ece"] <= ECE_AT_MOST:
        improve.append(f"expected calibration error {found['ece']:.4f}, at most {ECE_AT_MOST}: calibrate again")
    return improve


def _interval(interval: list[float] | None) -> str:
    return "none" if interval is None else f"{interval[0]:.3f} to {interval[1]:.3f}"
