"""`wardstream lanes`: how many lanes there are and how far they are; more of them."""

from __future__ import annotations

import asyncio
import logging
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from wardstream.infra.group import Member, members
from wardstream.infra.kafka.admin import admin
from wardstream.infra.lanes import Layout, lags, layout
from wardstream.infra.migrate import Migrated
from wardstream.infra.migrate import migrate as run_migration
from wardstream.infra.preflight import changelog_name
from wardstream.infra.settings import Settings, kafka_client_options, load_settings
from wardstream.schemas.topics import LANE_INPUTS

commands = typer.Typer(no_args_is_help=True, help="Lanes: partitions of everything about patients, and their state.")

_QUIET = "aiokafka"  # its warnings would come before our one line, which says more
_WIDE = 160  # columns where there is no terminal, so that nothing is cut from a log

Lags = dict[int, dict[str, int]]


@commands.callback()
def quiet() -> None:
    logging.getLogger(_QUIET).setLevel(logging.CRITICAL)


@commands.command()
def show() -> None:
    """Partitions and changelog; of each lane its worker and what it has not yet read. Exits with 1 if they differ."""
    settings = load_settings()
    found, there, behind = asyncio.run(_look(settings))
    console = _console()
    topics = Table("topic", "partitions", "", title=f"lanes of {settings.app_id}")
    for name, count in found.counts.items():
        note = f"needs {found.least}" if count < found.least else ""
        topics.add_row(name, str(count), note)
    for lanes, count in found.changelogs.items():
        note = "" if lanes == count == found.least else "of another number of lanes"
        topics.add_row(changelog_name(settings.app_id, lanes), str(count), note)
    console.print(topics)
    console.print(_lane_table(there, behind))
    if missing := found.missing:
        typer.echo(f"no topic {', '.join(missing)}; `wardstream topics create --lanes {found.least or 'N'}` makes it")
    if uneven := found.fewer(found.least) or set(found.changelogs) - {found.least}:
        typer.echo("Stop all workers and run `wardstream lanes migrate`: it brings these together.", err=True)
    if missing or uneven:
        raise typer.Exit(1)


@commands.command()
def migrate(
    lanes: Annotated[
        int | None, typer.Option(help="how many there shall be [default: as the input with the most]", min=1, max=1024)
    ] = None,
) -> None:
    """More lanes: grow every topic about patients and move their state. All workers must be stopped; repeat it freely.

    Publishers may go on. Migrate when the lanes are not far behind: what they have not read yet is forwarded, and comes
    after newer events of the same patient.
    """
    settings = load_settings()
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=Console(stderr=True)) as bar:
        done = asyncio.run(run_migration(settings, lanes, _Bars(bar)))
    typer.echo(_summary(done))


class _Bars:
    """A bar a step; what follows a colon changes with it."""

    def __init__(self, bar: Progress) -> None:
        self._bar = bar
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, step: str, done: int, total: int) -> None:
        name = step.partition(":")[0]
        if name not in self._tasks or (done == 1 and self._bar.tasks[self._tasks[name]].finished):
            self._tasks[name] = self._bar.add_task(step, total=total)
        self._bar.update(self._tasks[name], description=step, completed=done, total=total)


def _summary(done: Migrated) -> str:
    parts = [f"{name}: {before} → {done.lanes} partitions" for name, before in done.grown.items()]
    parts += [f"{done.rows:,} rows moved and compared; {name} deleted" for name in done.deleted]
    return "\n".join([*parts, f"{done.lanes} lanes"])


def _lane_table(there: list[Member], behind: Lags) -> Table:
    table = Table("lane", "worker", "behind", "where")
    for lane, topics in behind.items():
        owners = ", ".join(str(member) for member in there if lane in member.lanes) or "none"
        where = ", ".join(f"{topics[topic]:,} {topic}" for topic in LANE_INPUTS if topic in topics)
        table.add_row(str(lane), owners, f"{sum(topics.values()):,}", where)
    return table


async def _look(settings: Settings) -> tuple[Layout, list[Member], Lags]:
    options = kafka_client_options(settings)
    async with admin(options) as client:
        found = await layout(client, settings.app_id)
        there = await members(client, settings.app_id)
        return found, there, await lags(client, options, settings.app_id, found.counts)


def _console() -> Console:
    console = Console()
    return console if console.is_terminal else Console(width=_WIDE)
