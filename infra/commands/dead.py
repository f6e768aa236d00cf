"""`wardstream dead`: look at dead letters, and publish them again. Shows no content of theirs unless asked to."""

from __future__ import annotations

import asyncio
import logging
import re
from collections import Counter
from contextlib import aclosing, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from heapq import heappop, heappush
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from wardstream.agents.streams.dead_letters import DeadLetters, RawRecord
from wardstream.infra.dead import FEED, Done, Letter, Place, Selection, dead_topic, letter, letters
from wardstream.infra.dead_replay import replay as run_replay
from wardstream.infra.json_shape import shape
from wardstream.infra.kafka.topics import describe_topics
from wardstream.infra.preflight import dead_letter_key
from wardstream.infra.settings import Settings, kafka_client_options, load_settings
from wardstream.schemas.topics import LANE_INPUTS, dead

commands = typer.Typer(no_args_is_help=True, help="Dead letters: bad input that was kept, encrypted.")

_QUIET = "aiokafka"  # its warnings would come before our one line, which says more
_WIDE = 160  # columns where there is no terminal, so that nothing is cut from a log
_AGO = re.compile(r"(\d+)([smhd])")
_HEADER = re.compile(r"[a-z-]{1,40}")  # what programs call a header
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_BEFORE = {
    "before": "replayed before, left alone (--again repeats them)",
    "cut": "of which only the beginning was kept, left alone",
    "empty": "without a value, left alone",
    "overtaken": "of tables, with a newer row, left alone",
    "sealed": "sealed with another key",
    "unmapped": "of feeds, still not mapped, left alone",
    "feed": "of feeds that are not configured here, left alone (WARDSTREAM_FEEDS_FILE and its keys)",
}

Topic = Annotated[str | None, typer.Argument(help="the input, or its .dead topic [default: all inputs]")]
Reason = Annotated[str | None, typer.Option(help="such as malformed_json, out_of_bounds, handler_failed")]
Since = Annotated[str | None, typer.Option(help="published since: 30m, 12h, 7d, or a time as in 2026-01-31T08:00Z")]


@commands.callback()
def quiet() -> None:
    logging.getLogger(_QUIET).setLevel(logging.CRITICAL)


@commands.command("list")
def list_letters(
    topic: Topic = None,
    reason: Reason = None,
    since: Since = None,
    limit: Annotated[int, typer.Option(help="show the last so many", min=1)] = 200,
) -> None:
    """What lies in the dead-letter topics, and why. Needs no key."""
    settings = load_settings()
    selection = Selection(reason=reason, since=_time(since))
    shown, replayed, counts = asyncio.run(_collect(settings, topic, selection, limit))
    table = Table("topic", "partition", "offset", "published", "reason", "fields", "came from", "replayed")
    for found in shown:
        again = "yes" if found.place in replayed else ""
        when = f"{found.published:%Y-%m-%d %H:%M:%S}Z"
        place = found.topic, str(found.partition), str(found.offset)
        table.add_row(*place, when, found.reason, ", ".join(found.fields), found.origin, again)
    _console().print(table)
    total = counts.total()
    if total > len(shown):
        typer.echo(f"the last {len(shown)} of {total}; --limit shows more")
    by_reason = ", ".join(f"{count:,} {name}" for name, count in counts.most_common())
    typer.echo(f"{total:,} dead letters{': ' + by_reason if by_reason else ''}")


@commands.command()
def show(
    topic: Annotated[str, typer.Argument(help="the input, or its .dead topic")],
    partition: Annotated[int, typer.Argument(min=0)],
    offset: Annotated[int, typer.Argument(min=0)],
    raw: Annotated[bool, typer.Option("--raw", help="the value itself, to the output: patient data")] = False,
) -> None:
    """Why one letter is dead, and what it looks like: sizes, types, and the names of fields we know; no values.

    Of what a gateway could not map: its segments, and code and unit of each observation.
    """
    settings = load_settings()
    sealed_by = DeadLetters(dead_letter_key(settings))
    found = asyncio.run(letter(kafka_client_options(settings), dead_topic(topic), partition, offset))
    record = found.open(sealed_by)
    if raw:
        typer.echo(record.value or b"", nl=False)
    else:
        typer.echo("\n".join(_described(found, record)))


@commands.command()
def replay(
    topic: Topic = None,
    reason: Reason = None,
    since: Since = None,
    partition: Annotated[int | None, typer.Option(help="with --offset: one letter", min=0)] = None,
    offset: Annotated[int | None, typer.Option(help="with --partition: one letter", min=0)] = None,
    again: Annotated[bool, typer.Option("--again", help="also what has been replayed before")] = False,
) -> None:
    """Publish letters again, after what made them bad was mended. Each once; what is still bad becomes a new letter.

    The records go to the topics they came from, as they were, with their keys and the header replayed-from. What a
    gateway could not map is mapped again, with the present settings of its feed. An event
    that was applied meanwhile is recognised by its event_id, if it is among the last 128 of its patient.
    """
    if (partition is None) != (offset is None) or (offset is not None and topic is None):
        raise typer.BadParameter("one letter is TOPIC with --partition and --offset")
    settings = load_settings()
    sealed_by = DeadLetters(dead_letter_key(settings))
    at = None if partition is None or offset is None else (partition, offset)
    selection = Selection(reason=reason, since=_time(since), at=at, repeat="allowed" if again else "never")
    columns = TextColumn("replayed"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=None)
        outcome = asyncio.run(
            _replay(settings, topic, sealed_by, selection, lambda done, of: bar.update(task, completed=done, total=of))
        )
    typer.echo(f"{outcome['replayed']:,} dead letters replayed")
    for name, text in _BEFORE.items():
        if outcome[name]:
            typer.echo(f"{outcome[name]:,} {text}")
    if at is not None and not outcome.total():
        typer.echo(f"no such dead letter; `wardstream dead list {topic}` shows all", err=True)
        raise typer.Exit(1)


async def _replay(
    settings: Settings, topic: str | None, sealed_by: DeadLetters, selection: Selection, done: Done
) -> Counter[str]:
    options = kafka_client_options(settings)
    names, remap = await _names(settings, topic), None
    if settings.feeds_file is not None:
        from wardstream.infra.gateways.mappers import remapper  # an extra: workers need none of it

        remap = remapper(settings, settings.feeds_file)
    return await run_replay(options, settings.app_id, sealed_by, names, selection, done, remap)


async def _collect(
    settings: Settings, topic: str | None, selection: Selection, limit: int
) -> tuple[list[Letter], set[Place], Counter[str]]:
    """The last letters that are selected, places of what was replayed, and how many there are by reason."""
    newest: list[tuple[int, Place, Letter]] = []
    replayed: set[Place] = set()
    counts: Counter[str] = Counter()
    names = await _names(settings, topic)
    async with aclosing(letters(kafka_client_options(settings), names, selection.since)) as found:
        async for item in found:
            if item.note_of is not None:
                replayed.add((item.topic, item.partition, item.note_of))
            elif selection.takes(item):
                counts[item.reason] += 1
                heappush(newest, (item.timestamp_ms, item.place, replace(item, value=b"")))
                if len(newest) > limit:
                    heappop(newest)
    return [item for *_, item in sorted(newest, key=lambda entry: entry[:2])], replayed, counts


async def _names(settings: Settings, topic: str | None) -> list[str]:
    """The dead-letter topics that are meant."""
    if topic is not None:
        return [dead_topic(topic)]
    names = [dead(name) for name in LANE_INPUTS]
    present = await describe_topics(kafka_client_options(settings), names)
    return [name for name in names if name in present]


def _described(found: Letter, record: RawRecord) -> list[str]:
    value = record.value
    lines = [
        str(found),
        f"reason     {found.reason}",
        f"fields     {', '.join(found.fields) or 'none named'}",
        f"came from  {found.origin}, published {found.published:%Y-%m-%d %H:%M:%S}Z",
        f"key        {'none' if record.key is None else f'{len(record.key)} bytes'}",
    ]
    headers = [
        f"{name if _HEADER.fullmatch(name) else '(odd name)'} ({len(content or b'')} bytes)"
        for name, content in record.headers
    ]
    lines.append(f"headers    {', '.join(headers) or 'none'}")
    if found.cut is not None:
        lines.append(f"cut        only the beginning was kept; the record had {found.cut:,} bytes")
    lines.append(f"value      {'none' if value is None else f'{len(value):,} bytes'}")
    if value is None:
        return lines
    looks = shape
    if found.origin.startswith(FEED):
        with suppress(ImportError):  # an extra: where it is missing less is shown
            from wardstream.infra.gateways.coverage import outline as looks
    return [*lines, *(f"  {line}" for line in looks(value))]


def _time(text: str | None) -> datetime | None:
    if text is None:
        return None
    if ago := _AGO.fullmatch(text):
        return datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter("30m, 12h, 7d, or a time as in 2026-01-31T08:00Z", param_hint="--since") from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _console() -> Console:
    console = Console()
    return console if console.is_terminal else Console(width=_WIDE)
