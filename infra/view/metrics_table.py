"""The streaming metrics as a table for a terminal. Pure; rich does the writing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rich.table import Table
from rich.text import Text

from wardstream.infra.view.pipeline import Value

_BYTES = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


def metrics_table(values: Iterable[Value], title: str) -> Table:
    """One row a value: total or present value, rate, quantiles of the last minute; unit and meaning once a metric."""
    table = Table(title=title, title_justify="left", box=None, padding=(0, 2, 0, 0), header_style="bold underline")
    table.add_column("metric", no_wrap=True)
    for name in ("now", "per s", "p50", "p95", "p99"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("unit", no_wrap=True)
    table.add_column("meaning", style="dim")  # gives way first where there is little room
    previous, nothing = "", ("", Text())
    for value in values:
        about = _about(value) if value.name != previous else nothing
        if value.labels and value.name != previous:
            table.add_row(value.name, "", "", "", "", "", *about)
            about = nothing
        table.add_row(f"  {value.labels}" if value.labels else value.name, *_figures(value), *about)
        previous = value.name
    return table


def _about(value: Value) -> tuple[str, Text]:
    metric = value.metric
    if metric is None:
        return "", Text("not known to this version")
    return metric.unit, Text(metric.meaning, no_wrap=True, overflow="ellipsis")


def _figures(value: Value) -> Iterator[str]:
    """The present value of a histogram is its number of observations; its quantiles have the metric's unit."""
    unit = "" if value.metric is None else value.metric.unit
    yield _number(value.now, "" if value.kind == "histogram" else unit)
    for figure in (value.per_s, value.p50, value.p95, value.p99):
        yield "" if figure is None else _number(figure, unit)


def _number(value: float, unit: str) -> str:
    """Three digits and a unit that suits them."""
    if unit == "s":
        return f"{value * 1000:.3g} ms" if value < 1 else f"{value:,.3g} s"
    if unit == "bytes":
        for size, name in _BYTES:
            if value >= size:
                return f"{value / size:.3g} {name}"
    if value >= 100 or float(value).is_integer():
        return f"{value:,.0f}"
    return f"{value:.2f}" if value >= 0.01 else f"{value:.2g}"
