"""`python tests/risk/plots.py FOLDER OUT…`: what `judging` and `recovering` found, a column a run; where matplotlib is.

FOLDER gets `prequential.png`, all runs over the stream, and `recovery.png`, what shifts cost the runs that have one.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot

MEASURES = {"auroc": "AUROC", "auprc": "AUPRC", "brier": "Brier score"}
TITLES = {None: "as they are", "sensor": "drifted sensor", "mix": "changed case mix"}
COLOURS = {
    **{"served": "#c44", "champion": "#e99", "challenger": "#c9a", "stopped": "#000"},
    **{"frozen deep": "#246", "deep, again": "#69c", "NEWS2": "#797", "clock": "#bbb"},
}
RECOVERING = ("served", "stopped", "frozen deep")


def draw(runs: list[dict[str, Any]], path: Path) -> None:
    """AUROC, AUPRC and Brier score over windows of the stream; dashed: from when on something is changed."""
    shape = len(MEASURES), len(runs)
    figure, axes = pyplot.subplots(*shape, figsize=(4.2 * len(runs), 7.5), sharex=True, sharey="row", squeeze=False)
    for column, found in enumerate(runs):
        told, about = found["curves"], found["about"]
        for row, (measure, title) in enumerate(MEASURES.items()):
            axis = axes[row, column]
            for name, colour in COLOURS.items():
                if name in found["models"]:
                    axis.plot(told["patients"], told[name][measure], label=name, color=colour, lw=1.2)
            axis.set_ylabel(title if column == 0 else "")
            if about["shift"] is not None:
                axis.axvline(about["shift_from"], color="k", ls="--", lw=0.8)
        axes[0, column].set_title(TITLES[about["shift"]], fontsize=10)
        axes[-1, column].set_xlabel("patients")
    handles = {label: line for axis in axes[0] for line, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles, fontsize=8, ncol=len(handles), loc="lower center")
    figure.tight_layout(rect=(0.0, 0.04, 1.0, 1.0))
    figure.savefig(path, dpi=90)


def draw_recovery(runs: list[dict[str, Any]], path: Path) -> None:
    """By patients since the shift: above what it cost, or what stopping cost; below expected over observed."""
    figure, axes = pyplot.subplots(2, len(runs), figsize=(5.2 * len(runs), 7), sharex="col", squeeze=False)
    for column, found in enumerate(runs):
        since, windows = found["about"]["shift_from"], found["recovery"]
        above, below = axes[:, column]
        places = [sum(one["patients"]) / 2 - since for one in windows]
        if "dearer" in windows[0]:
            for shift, name in enumerate(RECOVERING):
                _bars(above, places, [one["dearer"][name] for one in windows], name, 8 * (shift - 1))
            above.set_ylabel("log loss with the drift minus without")
        else:
            _bars(above, places, [one["lost"] for one in windows], "served", 0)
            above.set_ylabel("log loss of stopped minus served")
        above.axhline(0.0, color="k", lw=0.8)
        for shift, name in enumerate(RECOVERING):
            _bars(below, places, [one["level"][name] for one in windows], name, 8 * (shift - 1))
        if "level_without" in windows[0]:
            without = [one["level_without"]["served"]["value"] for one in windows]
            below.plot(places, without, color=COLOURS["served"], ls=":", label="served, without the drift")
        below.axhline(1.0, color="k", lw=0.8)
        below.set_yscale("log")
        below.set_yticks([0.25, 0.5, 1, 2, 4], ["0.25", "0.5", "1", "2", "4"])
        below.minorticks_off()
        below.set_ylabel("expected / observed")
        below.set_xlabel("patients since the shift")
        above.set_title(TITLES[found["about"]["shift"]], fontsize=10)
    for axis in axes.flat:
        axis.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=90)


def _bars(axis: Any, places: list[float], told: list[dict[str, Any]], name: str, aside: float) -> None:
    """Values with their intervals; drawn a little aside, so that they do not hide each other."""
    values = [one["value"] for one in told]
    below = [one["value"] - one["interval"][0] for one in told]
    above = [one["interval"][1] - one["value"] for one in told]
    beside = [place + aside for place in places]
    axis.errorbar(beside, values, [below, above], marker="o", ms=4, lw=1.2, capsize=2, color=COLOURS[name], label=name)


def _read(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "judged.json").read_text())
    recovery = folder / "recovery.json"
    return found | ({"recovery": json.loads(recovery.read_text())} if recovery.exists() else {})


def main() -> None:
    folder, runs = Path(sys.argv[1]), [_read(Path(one)) for one in sys.argv[2:]]
    draw(runs, folder / "prequential.png")
    draw_recovery([one for one in runs if "recovery" in one], folder / "recovery.png")


if __name__ == "__main__":
    main()
