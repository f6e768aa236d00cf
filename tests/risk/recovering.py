"""`python -m tests.risk.recovering PLAIN SHIFTED`: what a shift cost, and whether it was made good, in `recovery.json`.

PLAIN and SHIFTED are what `tests.risk.streaming` wrote without a shift and with one, and `tests.risk.judging` judged,
PLAIN with `--parts-from` at the patient at whom the other's shift begins. From there on, by each `WINDOW` patients:

=========  =========================================================================================================
dearer     of `sensor`: log loss with the shift minus log loss without it, over the same hours of the same patients, who
           came in the same order. What the shift cost: a model that recovers comes back to 0
lost       log loss of the champion that stopped learning at the shift minus what was told: what stopping cost
level      what was said on average over how often it happened: 1 is right
=========  =========================================================================================================

AUROC of the same is told likewise, as by how much it is lower. Intervals (95 %) are of patients drawn with return.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tests.risk.judging import Doubles, Judged, interval, of_patients
from wardstream.models.risk.platt import SURE
from wardstream.models.training.measures import auroc

WINDOW: Final = 250
DRAWS: Final = 400
MODELS: Final = ("served", "stopped", "frozen deep")


def read(folder: Path) -> Judged:
    """What `tests.risk.judging` kept of each hour."""
    with np.load(folder / "hours.npz") as kept:
        said = {name.removeprefix("said "): kept[name] for name in kept if name.startswith("said ")}
        nothing = np.zeros(len(kept["hour"]), np.int64)
        return Judged(said, kept["happened"], kept["patient"], nothing, kept["hour"])


def paired(one: Judged, other: Judged) -> tuple[Judged, Judged]:
    """The hours that both have, of the same patients, in the same order."""
    keys = [found.patient.astype(np.int64) << 32 | found.hour for found in (one, other)]
    _, *places = np.intersect1d(*keys, assume_unique=True, return_indices=True)
    return _taken(one, places[0]), _taken(other, places[1])


def _taken(found: Judged, rows: npt.NDArray[np.intp]) -> Judged:
    said = {name: values[rows] for name, values in found.said.items()}
    return Judged(said, found.happened[rows], found.patient[rows], found.example[rows], found.hour[rows])


def losses(said: Doubles, happened: npt.NDArray[np.int8]) -> Doubles:
    """Log loss of each hour."""
    right = np.clip(np.where(happened == 1, said, 1.0 - said), SURE, 1.0)
    return np.asarray(-np.log(right))


class Drawn:
    """Patients of some hours drawn with return; the same draws for all that is asked of them."""

    def __init__(self, patient: npt.NDArray[np.int64]) -> None:
        _, place = np.unique(patient, return_inverse=True)
        rng, number = np.random.default_rng(0), int(place.max()) + 1
        self.weights = [np.bincount(rng.integers(0, number, number), minlength=number)[place] for _ in range(DRAWS)]

    def mean(self, values: Doubles) -> dict[str, Any]:
        """The mean of a value of each hour."""
        return _told(float(values.mean()), [float(np.average(values, weights=one)) for one in self.weights])

    def level(self, said: Doubles, happened: npt.NDArray[np.int8]) -> dict[str, Any]:
        """Expected over observed."""
        drawn = [float((one * said).sum() / max(1, int((one * happened).sum()))) for one in self.weights]
        return _told(float(said.sum() / max(1, int(happened.sum()))), drawn)

    def ranking(self, one: Doubles, other: Doubles, happened: npt.NDArray[np.int8]) -> dict[str, Any]:
        """By how much AUROC is higher."""
        drawn = [auroc(happened, one, w * 1.0) - auroc(happened, other, w * 1.0) for w in self.weights]
        return _told(auroc(happened, one) - auroc(happened, other), drawn)


def _told(value: float, drawn: list[float]) -> dict[str, Any]:
    return {"value": value, "interval": interval(np.array(drawn))}


def recovery(plain: Judged, shifted: Judged, since: int, same_patients: bool) -> list[dict[str, Any]]:
    """The table of this module's head, a row a window."""
    found = list[dict[str, Any]]()
    for first in range(since, int(shifted.patient.max()) + 1, WINDOW):
        now = of_patients(shifted, first, first + WINDOW)
        if not now.happened.any():
            continue
        drawn, came = Drawn(now.patient), now.happened
        row: dict[str, Any] = {"patients": [first, int(now.patient.max()) + 1], "hours": len(came)}
        row["level"] = {name: drawn.level(now.said[name], came) for name in MODELS}
        row["lost"] = drawn.mean(losses(now.said["stopped"], came) - losses(now.said["served"], came))
        row["lost_auroc"] = drawn.ranking(now.said["served"], now.said["stopped"], came)
        if same_patients:
            then, now = paired(of_patients(plain, first, first + WINDOW), now)
            drawn, came = Drawn(now.patient), now.happened
            assert np.array_equal(then.happened, came), "not the same patients"
            row["paired_hours"] = len(came)
            row["dearer"] = {
                name: drawn.mean(losses(now.said[name], came) - losses(then.said[name], came)) for name in MODELS
            }
            row["dearer_auroc"] = {name: drawn.ranking(then.said[name], now.said[name], came) for name in MODELS}
            row["level_without"] = {name: drawn.level(then.said[name], came) for name in MODELS}
        found.append(row)
    return found


def main() -> None:
    plain, shifted = Path(sys.argv[1]), Path(sys.argv[2])
    about = json.loads((shifted / "promotions.json").read_text())
    found = recovery(read(plain), read(shifted), about["shift_from"], same_patients=about["shift"] == "sensor")
    (shifted / "recovery.json").write_text(json.dumps(found, indent=1) + "\n")
    for row in found:
        print(row["patients"], row["hours"])
        for name, value in row.items():
            print(" ", name, _short(value))


def _short(value: Any) -> Any:
    if isinstance(value, dict) and "interval" in value:
        low, high = value["interval"]
        return f"{value['value']:.4f} ({low:.4f} to {high:.4f})"
    return {name: _short(one) for name, one in value.items()} if isinstance(value, dict) else value


if __name__ == "__main__":
    main()
