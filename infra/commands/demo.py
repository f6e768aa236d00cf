"""`wardstream demo`: a simulated ward through a real Kafka and a real worker, live in the terminal."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table

from wardstream.infra.demo import Demo, Interrupted, Options, prepare
from wardstream.infra.settings import load_settings
from wardstream.infra.view.board import Board, render
from wardstream.infra.view.strip import progress_line, strip
from wardstream.infra.view.tally import Tally
from wardstream.infra.view.tap import Tap, now

REFRESH_S = 0.25
REPORT_S = 10.0
WIDE = 160  # columns where there is no terminal
GIL_S = 0.001  # the board is drawn beside the loop that measures latency, and must not hold it up for 5 ms


def demo(
    duration: Annotated[
        float | None, typer.Option(min=1, help="seconds of events, without a terminal; without it until Ctrl-C")
    ] = None,
    patients: Annotated[int, typer.Option(min=1, help="patients in hospital at a time")] = 24,
    seed: Annotated[int, typer.Option(help="chance; the same seed tells the same story")] = 1,
    films: Annotated[Path | None, typer.Option(help="a folder of chest films; without it some are drawn")] = None,
) -> None:
    """Run a ward at sixty times the clock: Kafka, a worker and a simulated feed, all on this machine.

    With WARDSTREAM_BROKER_URL it uses that cluster, and leaves its topics there. Exits with 1 when it ran to its end
    and a stage of the stream had produced nothing.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # ≥ and × on a terminal that has neither
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # its reconnecting would write over the board
    sys.setswitchinterval(GIL_S)
    settings = load_settings()
    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDE)
    prepare(settings, console)
    raise typer.Exit(asyncio.run(_run(Demo(settings, Options(patients, seed, films), console), duration)))


async def _run(demo: Demo, duration_s: float | None) -> int:
    console, tap = demo.console, None
    try:
        async with demo.running() as tap:
            if duration_s is None and console.is_terminal:
                await _watch(demo, tap)
            else:
                await _report(demo, tap, duration_s)
    except Interrupted:
        if tap is None or duration_s is not None:
            console.print("interrupted; nothing is left running")
            return 128 + (demo.stopped_by or 0)
    except OSError:
        if demo.stopped_by != signal.SIGHUP:  # then there is no terminal any more to write to
            raise
        return 128 + signal.SIGHUP
    assert tap is not None
    console.print(_summary(tap.tally))
    if duration_s is None:
        return 0
    if silent := tap.tally.silent_stages():
        console.print(f"nothing came of: {', '.join(silent)}", style="bold")
        return 1
    return 0


async def _watch(demo: Demo, tap: Tap) -> None:
    """Show the board until a signal comes."""
    began = time.monotonic()
    with Live(console=demo.console, screen=True, auto_refresh=False) as live:

        def draw(board: Board) -> None:
            live.update(render(board, *demo.console.size), refresh=True)

        while True:
            elapsed_s = time.monotonic() - began
            tap.tally.sample(elapsed_s)
            head = strip(tap.ward, tap.tally, tap.pipeline, tap.lanes, now(), elapsed_s)
            head = head if demo.board is None else (*head, demo.board)
            await asyncio.to_thread(draw, Board(head, tap.ward.rows(), list(reversed(tap.ward.log))))
            await demo.wait(REFRESH_S)


async def _report(demo: Demo, tap: Tap, duration_s: float | None) -> None:
    """Print a line every ten seconds; after the duration end what makes events and wait until all are handled."""
    began = time.monotonic()
    elapsed_s = 0.0
    while duration_s is None or elapsed_s < duration_s:
        left_s = REPORT_S if duration_s is None else min(REPORT_S, duration_s - elapsed_s)
        until = time.monotonic() + left_s
        while time.monotonic() < until:
            await demo.wait(min(REFRESH_S, max(0.0, until - time.monotonic())))
        elapsed_s = time.monotonic() - began
        demo.console.print(progress_line(tap.ward, tap.tally, elapsed_s), highlight=False)
    await demo.finish(tap)


def _summary(tally: Tally) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column()
    for row in tally.summary():
        table.add_row(*row)
    return table
