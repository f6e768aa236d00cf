"""`wardstream simulate`, `replay` and `publish`: feeds to try it with, and to send one's own events."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from wardstream.client import Publisher, PublishError
from wardstream.infra.failure import Failure
from wardstream.infra.feeds.ndjson import Published, Stream, publish_lines, publishable
from wardstream.infra.feeds.outbox import BAD_SHARE
from wardstream.infra.feeds.pace import Sent
from wardstream.infra.feeds.radiology import shots
from wardstream.infra.feeds.records import Tally
from wardstream.infra.feeds.replay import SOURCES, merged, timeline
from wardstream.infra.feeds.run import run_replay, run_simulator
from wardstream.infra.settings import kafka_client_options, load_settings

T = TypeVar("T")


def simulate(
    patients: Annotated[int, typer.Option(min=1, help="patients in hospital at a time")] = 40,
    seed: Annotated[int, typer.Option(help="chance; the same seed and start give the same events")] = 1,
    speed: Annotated[float, typer.Option(min=0.1, help="simulated seconds a second")] = 60.0,
    duration: Annotated[float | None, typer.Option(min=1, help="seconds to run; without it until Ctrl-C")] = None,
    bad_share: Annotated[float, typer.Option(min=0, max=1, help="bad events for each good one")] = BAD_SHARE,
    films: Annotated[Path | None, typer.Option(help="a folder of chest films, sent as if they were taken")] = None,
) -> None:
    """Simulate a hospital: plausible vitals, labs, movements and outcomes, with some bad events.

    Where WARDSTREAM_IDENTITY_KEY is set, patients have (invented) names, sealed with it.
    """
    settings = load_settings()
    options, keys = kafka_client_options(settings), settings.identity_keys()
    taken = () if films is None else shots(films)
    with _progress() as bar:
        task = bar.add_task("simulating", total=None)

        def show(sent: Sent) -> None:
            now = f"{sent.last:%d %b %H:%M}" if sent.last else ""
            bar.update(task, completed=sent.total, description=f"simulated {now}")

        async def run(stop: asyncio.Event) -> Sent:
            return await run_simulator(
                options,
                patients=patients,
                seed=seed,
                speed=speed,
                bad_share=bad_share,
                films=taken,
                identity_keys=keys,
                stop=stop,
                progress=show,
            )

        sent = _run(run, duration)
    _summary(sent)


def replay(
    source: Annotated[str, typer.Argument(help=" | ".join(SOURCES))],
    path: Annotated[Path, typer.Argument(help="file, archive or folder as it was downloaded")],
    patients: Annotated[int | None, typer.Option(min=1, help="only the first so many, by number")] = None,
    speed: Annotated[str, typer.Option(help="recorded seconds a second, such as 1 or 60, or max")] = "max",
    tick_minutes: Annotated[int | None, typer.Option(min=1, help="minutes of the records between ticks")] = None,
    stagger_hours: Annotated[float, typer.Option(min=0, help="spread undated records over so many hours")] = 0.0,
    seed: Annotated[int, typer.Option(help="chance of the spread")] = 0,
) -> None:
    """Replay recorded patients, into a cluster of its own: repeated as a whole, its events count as new."""
    if source not in SOURCES:
        raise typer.BadParameter(f"one of {', '.join(SOURCES)}", param_hint="SOURCE")
    factor = _factor(speed)
    options = kafka_client_options(load_settings())
    tally, console = Tally(), Console(stderr=True)
    with _progress() as bar:
        task = bar.add_task("reading", total=None)
        records = SOURCES[source].records(path, patients)
        bar.update(task, total=sum(record.rows for record in records), description="rows")
        events = merged(records, tally, stagger=timedelta(hours=stagger_hours), seed=seed)
        items = timeline(events, tick_minutes or SOURCES[source].tick_minutes)

        def show(sent: Sent) -> None:
            now = f"{sent.last:%Y-%m-%d %H:%M}" if sent.last else ""
            bar.update(task, completed=tally.rows, description=f"rows, until {now}")

        async def run(stop: asyncio.Event) -> Sent:
            return await run_replay(
                options, items, speed=factor, stop=stop, progress=show, warn=lambda text: console.print(text)
            )

        sent = _run(run, None)
    typer.echo(f"{len(records)} patients, {tally.rows:,} rows read")
    _summary(sent)
    _counts("rejected: column (reason)", tally.rejected)
    _counts("not sent: column (why)", tally.dropped)


def publish(
    topic: Annotated[str, typer.Argument(help="such as vitals.v1")],
    file: Annotated[Path, typer.Argument(help="JSON, an event a line; - for standard input", allow_dash=True)],
) -> None:
    """Publish events from a file. Exits with 1 when a line was rejected; the others are published."""
    if topic not in publishable():
        raise typer.BadParameter(f"one of {', '.join(publishable())}", param_hint="TOPIC")
    options = kafka_client_options(load_settings())

    async def run(stream: Stream) -> Published:
        async with Publisher(**options) as publisher:
            return await publish_lines(topic, stream, publisher)

    try:
        with nullcontext(sys.stdin.buffer) if str(file) == "-" else file.open("rb") as stream:
            result = asyncio.run(run(stream))  # type: ignore[arg-type]  # a terminal's buffer has read1 too
    except (PublishError, OSError) as error:
        raise Failure(str(error)) from error
    for bad in result.rejected:
        fields = f": {', '.join(bad.fields)}" if bad.fields else ""
        typer.echo(f"line {bad.line}: {bad.reason}{fields}", err=True)
    typer.echo(f"{result.published} published, {len(result.rejected)} rejected")
    if result.rejected:
        raise typer.Exit(1)


def _run(body: Callable[[asyncio.Event], Coroutine[Any, Any, T]], duration_s: float | None) -> T:
    """Run until done, for a time, or until interrupted; what was sent by then is acknowledged."""

    async def run() -> T:
        stop, loop = asyncio.Event(), asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        if duration_s is not None:
            loop.call_later(duration_s, stop.set)
        return await body(stop)

    try:
        return asyncio.run(run())
    except PublishError as error:
        raise Failure(str(error)) from error


def _factor(speed: str) -> float | None:
    if speed == "max":
        return None
    try:
        factor = float(speed)
    except ValueError:
        factor = 0.0
    if not 0 < factor < float("inf"):
        raise typer.BadParameter("a number above 0, or max", param_hint="--speed")
    return factor


def _progress() -> Progress:
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    )


def _summary(sent: Sent) -> None:
    _counts("events sent: topic", sent.events)
    _counts("bad events sent: kind", sent.bad)
    rate = sent.total / sent.wall_s if sent.wall_s else 0.0
    span = f", {sent.first:%Y-%m-%d %H:%M} to {sent.last:%Y-%m-%d %H:%M}" if sent.first and sent.last else ""
    typer.echo(f"{sent.total:,} events and {sent.minutes:,} ticks in {sent.wall_s:.1f} s ({rate:,.0f}/s){span}")
    if sent.worst_lag_s >= 1:
        typer.echo(f"fell behind its speed by up to {sent.worst_lag_s:.1f} s", err=True)


def _counts(title: str, counts: Counter[str]) -> None:
    if counts:
        table = Table(title, "count")
        for name, count in counts.most_common():
            table.add_row(name, f"{count:,}")
        Console().print(table)
