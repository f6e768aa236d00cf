"""Plots of a model's folder, from its record: reliability, ROC, precision and recall, confusion matrix, learning."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any


def draw(folder: Path, chosen: Mapping[str, Any], curves: Mapping[str, Any], words: tuple[str, str, str]) -> list[Path]:
    """Write reliability.png, roc.png, pr.png, confusion.png and curves.png; returns them.

    Parameters
    ----------
    folder : Path
        Where to.
    chosen, curves : mapping
        Of a record: `compared` of what was chosen, and `curves`.
    words : tuple of str
        What the confusion matrix counts, what is looked for, and what is said when it is found.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    def figure(name: str, paint: Any) -> Path:
        made, axes = pyplot.subplots(figsize=(4.5, 4.5), layout="constrained")
        paint(axes)
        path = folder / f"{name}.png"
        made.savefig(path, dpi=100, metadata={"Software": None})
        pyplot.close(made)
        return path

    points = curves["points"]
    return [
        figure("reliability", lambda axes: _reliability(axes, chosen["reliability"])),
        figure("roc", lambda axes: _lines(axes, points, "false_positive_rate", "recall", "false alarms", "found")),
        figure("pr", lambda axes: _lines(axes, points, "recall", "precision", "recall", "precision")),
        figure("confusion", lambda axes: _confusion(axes, chosen["confusion"], *words)),
        figure("curves", lambda axes: _learning(axes, curves["learning"])),
    ]


def _reliability(axes: Any, bins: list[Mapping[str, float]]) -> None:
    top = max([b["said"] for b in bins] + [b["happened"] for b in bins] + [1e-3]) * 1.1
    axes.plot([0, top], [0, top], color="grey", linewidth=1)
    axes.plot([b["said"] for b in bins], [b["happened"] for b in bins], marker="o")
    axes.set(xlabel="said", ylabel="happened", xlim=(0, top), ylim=(0, top), title="reliability")


def _lines(axes: Any, points: Mapping[str, Mapping[str, list[float]]], x: str, y: str, below: str, beside: str) -> None:
    for name, curve in points.items():
        axes.plot(curve[x], curve[y], label=name, linewidth=1)
    axes.set(xlabel=below, ylabel=beside, xlim=(0, 1), ylim=(0, 1))
    axes.legend(fontsize=6)


def _confusion(axes: Any, cells: Mapping[str, int], title: str, sought: str, said: str) -> None:
    rows = (("true_positive", "false_negative"), ("false_positive", "true_negative"))
    for i, row in enumerate(rows):
        for j, name in enumerate(row):
            axes.text(j, i, f"{cells[name]:,}\n{name.replace('_', ' ')}", ha="center", va="center", fontsize=8)
    axes.set(xlim=(-0.5, 1.5), ylim=(1.5, -0.5), xticks=(0, 1), yticks=(0, 1), title=title)
    axes.set_xticklabels([said, "none"])
    axes.set_yticklabels([sought, "none"])


def _learning(axes: Any, curves: Mapping[str, list[Mapping[str, float]]]) -> None:
    """Learners stopped by a loss have negative scores; they get an axis of their own, on the right."""
    losses = {name for name, curve in curves.items() if curve and curve[0]["score"] < 0}
    right = axes.twinx() if losses and losses != curves.keys() else axes
    for place, (name, curve) in enumerate(curves.items()):
        shown, style = (right, "--") if name in losses else (axes, "-")
        points = ([one["epoch"] for one in curve], [one["score"] for one in curve])
        shown.plot(*points, style, color=f"C{place % 10}", label=name, linewidth=1)
    axes.set(xlabel="epoch or round", ylabel="validation score", title="learning")
    if right is not axes:
        axes.set(ylabel="AUROC (solid)")
        right.set(ylabel="less the log loss (dashed)")
    axes.figure.legend(fontsize=5, loc="outside lower center", ncols=3)
