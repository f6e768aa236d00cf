"""`wardstream flow …`: what the forecasts of patient flow are worth on recorded series, measured as a stream would.

What they need (River and SciPy take a second to load) is imported when one of them is asked for.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

commands = typer.Typer(no_args_is_help=True, help="Patient flow: how good its forecasts are.")
SCORED_FROM = "2016-07-01"


@commands.command()
def arrivals(
    path: Annotated[Path, typer.Argument(help="hourly arrivals: the table of UIHC")],
    scored_from: Annotated[
        str, typer.Option(help="the first day that is scored; all before is only learnt")
    ] = SCORED_FROM,
    hours: Annotated[int | None, typer.Option(min=1, help="the first so many: to try it")] = None,
    horizons: Annotated[str, typer.Option(help="hours ahead, with commas; all without it")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="print the measures as JSON")] = False,
) -> None:
    """Forecast arrivals hour by hour, learning online, and score each forecaster on the days from one on."""
    from wardstream.infra import flow_trials

    flow_trials.arrivals(path, scored_from, hours, horizons, as_json)


@commands.command()
def admission(
    path: Annotated[Path, typer.Argument(help="visits: the parquet file of NHAMCS")],
    year: Annotated[int, typer.Option(help="the year that is scored; those before are learnt")] = 2020,
    every: Annotated[int, typer.Option(min=1, help="each so-manieth visit only: to try it")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="print the measures as JSON")] = False,
) -> None:
    """Predict admission at triage, learning visit by visit, with the chart's conditions and without them."""
    from wardstream.infra import flow_trials

    flow_trials.admission(path, year, every, as_json)


@commands.command()
def hospital(
    folder: Annotated[Path, typer.Argument(help="the reference data, with flow/ and icu/")],
    days: Annotated[int, typer.Option(min=50, help="of the simulation; from the fortieth on they are scored")] = 130,
    unit: Annotated[list[str] | None, typer.Option(help="such as ED, W0 to W9; wards: all ten as one")] = None,
) -> None:
    """Forecast beds in a hospital that is SIMULATED, with a surge of a week and a feed that is down for a day."""
    from wardstream.infra import flow_trials

    flow_trials.hospital(folder, days, unit or ())
