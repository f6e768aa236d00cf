"""`python -m tests.risk.plots PNG OUT…`: what `tests.risk.judging` found, a column a run; where matplotlib is."""

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
    figure.savefig(path, dpi=90)


if __name__ == "__main__":
    draw([json.loads((Path(folder) / "judged.json").read_text()) for folder in sys.argv[2:]], Path(sys.argv[1]))
