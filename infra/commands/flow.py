"""`wardstream flow`: census and forecasts of units, live; pictures; what if; and what the forecasts are worth.

What they need (River and SciPy take a second to load) is imported when one of them is asked for.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

commands = typer.Typer(help="Patient flow: census and forecasts of units, live; and how good the forecasts are.")
SCORED_FROM = "2016-07-01"
MOST_BEDS = 10_000
Folder = Annotated[Path, typer.Argument(help="where pictures go; it is made if it is not there")]


@commands.callback(invoke_without_command=True)
def show(
    context: typer.Context,
    once: Annotated[bool, typer.Option("--once", help="print one table and end")] = False,
) -> None:
    """Show every unit's last hour and its forecast, live; other commands: plots, what if, and what they are worth."""
    if context.invoked_subcommand is None:
        from wardstream.infra import flow_show

        flow_show.show(once)


@commands.command()
def plot(folder: Folder) -> None:
    """Write a picture of each unit's census and forecast fan (SVG)."""
    from wardstream.infra import flow_show

    flow_show.plot(folder)


@commands.command()
def ask(
    unit: Annotated[str, typer.Argument(help="the unit")],
    beds: Annotated[
        int, typer.Option(min=-MOST_BEDS, max=MOST_BEDS, help="what if so many beds were opened, or closed: -4")
    ] = 0,
    delay_h: Annotated[
        int,
        typer.Option(
            min=0,
            help="what if planned patients came so many hours later: those who were registered before they came (class "
            "preadmit, HL7 A05; occupancy.v1 says planned). Whoever else is admitted to the unit is not delayed, and "
            "an emergency department has no planned patients",
        ),
    ] = 0,
    within_h: Annotated[int, typer.Option(min=1, help="those who would come within so many hours")] = 24,
) -> None:
    """Ask a unit for its forecast now, and what if beds were opened or closed, or planned patients delayed."""
    from wardstream.infra import flow_show
    from wardstream.models.flow.unit import Delay

    flow_show.answer(unit, beds, Delay(within_h, delay_h) if delay_h else None)


@commands.command()
def arrivals(
    path: Annotated[Path, typer.Argument(help="hourly arrivals: the table of UIHC")],
    scored_from: Annotated[
        str, typer.Option(help="the first day that is scored; all before is only learnt")
    ] = SCORED_FROM,
    hours: Annotated[int | None, typer.Option(min=1, help="the first so many: to try it")] = None,
    horizons: Annotated[str, typer.Option(help="hours ahead, with commas; all without it")] = "",
    without: Annotated[
        list[str] | None, typer.Option(help="weather or special-days: say how much they are worth")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print the measures as JSON")] = False,
) -> None:
    """Forecast arrivals hour by hour, learning online, and score each forecaster on the days from one on."""
    from wardstream.infra import flow_trials

    flow_trials.arrivals(path, scored_from, hours, horizons, without or (), as_json)


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
def waiting(
    folder: Annotated[Path, typer.Argument(help="the reference data, with flow/ and icu/")],
    days: Annotated[int, typer.Option(min=20, help="of the queue that is simulated; the second half is scored")] = 200,
    every: Annotated[int, typer.Option(min=1, help="each so-manieth visit only: to try it")] = 1,
) -> None:
    """Predict waiting times at triage: on NHAMCS, hardly better than a constant; in a queue that is SIMULATED.

    On the stream they are not forecast: no event says when a patient is first seen.
    """
    from wardstream.infra import flow_trials

    flow_trials.waiting(folder, days, every)


@commands.command()
def hospital(
    folder: Annotated[Path, typer.Argument(help="the reference data, with flow/ and icu/")],
    days: Annotated[int, typer.Option(min=50, help="of the simulation; from the fortieth on they are scored")] = 130,
    ward: Annotated[list[str] | None, typer.Option(help="of W0 to W9; all ten without it")] = None,
) -> None:
    """Forecast beds in a hospital that is SIMULATED, with a surge of a week and a feed that is down for a day."""
    from wardstream.infra import flow_trials

    flow_trials.hospital(folder, days, ward or ())
