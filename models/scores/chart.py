"""How a chart's table becomes points: one row a vital sign, each column a range of values.

A chart is filled in whole numbers (temperature in tenths of a degree) and its columns have gaps between them: 35.0 ends
one, 35.1 begins the next. Monitors send 35.04, and 100.4 °F can arrive as 38.00000000000001 °C. So a vital sign counts
as what a nurse would chart: rounded to the row's resolution, half up. The same holds for every score here, so that one
reading cannot be 38.0 for one score and above 38 for another. Laboratory values are compared as reported.

Rounding costs nothing: `row` moves each column's edge down by half the resolution once, and the raw value is looked up
among those. (38.05, as decoded, is the very float that the edge 38.1 − 0.05 becomes, so half-way values go up.)
"""

from bisect import bisect_right
from collections.abc import Iterable
from decimal import Decimal
from typing import NamedTuple

from wardstream.models.scores.observations import Observations
from wardstream.schemas.scores import Score


class Row(NamedTuple):
    """One row of a chart.

    Attributes
    ----------
    name : str
        Field of `Observations`, and name of the part.
    edges : tuple of float
        Raw values from which the second, third, … column counts, ascending.
    points : tuple of float
        Points of each column, from the lowest values up; one more than edges.
    """

    name: str
    edges: tuple[float, ...]
    points: tuple[float, ...]


def row(name: str, starts: tuple[float, ...], points: tuple[float, ...], resolution: float = 1) -> Row:
    """Make a row from a chart as printed.

    Parameters
    ----------
    name : str
        Field of `Observations`.
    starts : tuple of float
        The first charted value of the second, third, … column.
    points : tuple of float
        Points of each column, from the lowest values up.
    resolution : float
        Step of the chart, in the unit of the field.
    """
    half = Decimal(str(resolution)) / 2
    edges = tuple(float(Decimal(str(start)) - half) for start in starts)
    return Row(name, edges, tuple(float(point) for point in points))


def add_rows(observations: Observations, rows: Iterable[Row], parts: dict[str, float], missing: list[str]) -> None:
    """Add each row's points to `parts`, or its name to `missing` where its value is unknown."""
    for name, edges, points in rows:
        value = getattr(observations, name)
        if value is None:
            missing.append(name)
        else:
            parts[name] = points[bisect_right(edges, value)]


def add_criterion(name: str, met: bool | None, points: float, parts: dict[str, float], missing: list[str]) -> None:
    """Add `points` (0 if not met) to `parts`, or the name to `missing` where it is unknown whether it is met."""
    if met is None:
        missing.append(name)
    else:
        parts[name] = points if met else 0.0


def not_applicable(name: str, version: str, reason: str) -> Score:
    """Make the score of a patient for whom the rule was not made: no value, nothing missing, and the reason."""
    return Score(name=name, version=version, complete=False, not_applicable=reason)
