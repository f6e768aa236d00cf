"""Plots of the results, in the bench's environment: `python -m tests.bench.plots RESULTS`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from statistics import median
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot


def throughput_plot(results: list[dict[str, Any]], path: Path) -> None:
    """Bars of medians with the spread."""
    rates: dict[str, list[float]] = {}
    for result in results:
        for part in ("whole", "cold", "warm"):
            if part in result:
                label = result["contestant"] + ("" if part == "whole" else f", {part}")
                rates.setdefault(label, []).append(result[part]["per_s"])
    names = sorted(rates, key=lambda name: median(rates[name]))
    middle = [median(rates[name]) for name in names]
    spread = [
        [at - min(rates[name]) for name, at in zip(names, middle, strict=True)],
        [max(rates[name]) - at for name, at in zip(names, middle, strict=True)],
    ]
    figure, axes = pyplot.subplots(figsize=(8, 0.5 * len(names) + 1.2))
    axes.barh(
        names, middle, xerr=spread, capsize=3, color=["#c44" if "wardstream" in name else "#89a" for name in names]
    )
    axes.set_xlabel("messages a second on one core (median, min–max)")
    figure.savefig(path, bbox_inches="tight", dpi=120)


def latency_plot(results: list[dict[str, Any]], path: Path) -> None:
    """Quantiles over the rate."""
    figure, axes = pyplot.subplots(figsize=(8, 4))
    for name in ("p50_ms", "p95_ms", "p99_ms"):
        points = sorted((one["rate"], one[name]) for one in results if one[name] is not None)
        axes.plot(*zip(*points, strict=True), marker="o", label=name.removesuffix("_ms"))
    axes.set(xscale="log", yscale="log", xlabel="events a second (open loop)", ylabel="publish to committed scores, ms")
    axes.grid(visible=True, which="both", alpha=0.3)
    axes.legend()
    figure.savefig(path, bbox_inches="tight", dpi=120)


def lines_plot(results: list[dict[str, Any]], x: str, ys: tuple[str, ...], path: Path) -> None:
    """Some figures over another, on logarithmic axes."""
    figure, axes = pyplot.subplots(figsize=(8, 4))
    for y in ys:
        axes.plot([one[x] for one in results], [one[y] for one in results], marker="o", label=y)
    axes.set(xscale="log", yscale="log", xlabel=x)
    axes.grid(visible=True, which="both", alpha=0.3)
    axes.legend()
    figure.savefig(path, bbox_inches="tight", dpi=120)


def main() -> None:
    folder = Path(sys.argv[1])
    for name in ("relay", "vitals", "latency", "patients"):
        source, path = folder / f"{name}.json", folder / f"{name}.png"
        if not source.exists():
            continue
        results = json.loads(source.read_text())
        if name in ("relay", "vitals"):
            throughput_plot(results, path)
        elif name == "latency":
            latency_plot(results, path)
        else:
            lines_plot(results, "patients", ("loaded_rss_mb", "restored_rss_mb", "restore_s"), path)


if __name__ == "__main__":
    main()
