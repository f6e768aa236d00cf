"""`python -m tests.risk.plots OUT…`: what `tests.risk.judging` found, as curves; in an environment with matplotlib."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot

_COLOURS = {"served": "#c44", "learner": "#e99", "frozen deep": "#246", "deep, again": "#69c", "NEWS2": "#797"}


def draw(found: dict[str, Any], path: Path) -> None:
    """AUROC, AUPRC and Brier score over the stream; dashed: from when on something is changed."""
    told, about = found["curves"], found["about"]
    figure, axes = pyplot.subplots(3, 1, figsize=(8, 9), sharex=True)
    for name in found["models"]:
        for axis, measure in zip(axes, ("auroc", "auprc", "brier"), strict=True):
            axis.plot(told["patients"], told[name][measure], label=name, color=_COLOURS.get(name, "#bbb"), lw=1.5)
            axis.set_ylabel(measure)
    for axis in axes:
        if about["shift"] is not None:
            axis.axvline(about["shift_from"], color="k", ls="--", lw=0.8)
    axes[0].legend(fontsize=8, ncol=3)
    axes[-1].set_xlabel("patients judged")
    figure.suptitle(f"prequential, windows of predictions; shift: {about['shift'] or 'none'}")
    figure.savefig(path, bbox_inches="tight", dpi=120)


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        folder = Path(argument)
        draw(json.loads((folder / "judged.json").read_text()), folder / "curves.png")
