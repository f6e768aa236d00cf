"""`wardstream feed`: what would become of a hospital's messages, and what operators must know of those that come."""

from __future__ import annotations

import asyncio
import logging
import os
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from aiokafka.errors import KafkaError
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from wardstream.infra.failure import Failure
from wardstream.infra.gateways.coverage import OUTCOMES, Coverage, most, topic_of, type_rows
from wardstream.infra.gateways.feeds import load_feeds
from wardstream.infra.gateways.samples import messages
from wardstream.infra.notices import open_notices
from wardstream.infra.settings import kafka_client_options, load_settings
from wardstream.schemas.decode import encode
from wardstream.schemas.hl7v2 import Feed
from wardstream.schemas.pseudonym import KEY_BYTES, Pseudonyms

commands = typer.Typer(no_args_is_help=True, help="HL7 v2 feeds: try them on samples; what operators must know.")
_WIDE = 140
_TOP = 40
_USUAL = Feed(
    name="dry-run",
    timezone="UTC",
    authority="dry-run",
    identifier_types=("MR", "MRN", "PI", "PT", "EPI", "SR"),
)
"""Without settings: good enough to see which types and codes there are."""


@commands.command("dry-run")
def dry_run(
    path: Annotated[
        Path, typer.Argument(help="a file or folder of messages, as they are or as JSON lines", exists=True)
    ],
    feed: Annotated[str | None, typer.Option(help="which feed of the settings sent them")] = None,
    feeds: Annotated[Path | None, typer.Option(help="TOML; without it WARDSTREAM_FEEDS_FILE")] = None,
    events: Annotated[bool, typer.Option("--events", help="print the events, a JSON object a line")] = False,
) -> None:
    """Map sample messages and say what becomes of them. Nothing is sent, and no value, name or number is printed."""
    settings = load_settings()
    chosen = _chosen(feeds or settings.feeds_file, feed)
    pseudonyms = Pseudonyms(settings.pseudonym_key_bytes() or os.urandom(KEY_BYTES))
    coverage = Coverage()
    for raw in messages(path):
        for event in coverage.take(raw, chosen, pseudonyms, datetime.now(UTC)):
            if events:
                typer.echo(orjson.dumps({"topic": topic_of(event), "event": orjson.Fragment(encode(event))}))
    if not coverage.outcomes:
        raise Failure(f"no message in {path}")
    console = Console(stderr=events)
    _report(coverage, console if console.is_terminal else Console(stderr=events, width=_WIDE))


@commands.command()
def notices() -> None:
    """Print what operators must know and has not ended: silent feeds, unusable input, what has changed for a model."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    try:
        found = asyncio.run(open_notices(kafka_client_options(load_settings())))
    except (KafkaError, TimeoutError) as error:
        raise Failure(f"notices cannot be read: {type(error).__name__}") from error
    for notice in found:
        typer.echo(f"{notice.raised_at:%Y-%m-%d %H:%M} UTC  {notice.feed}  {notice.condition}: {notice.reason}")
    if not found:
        typer.echo("nothing is open")


def _chosen(path: Path | None, name: str | None) -> Feed:
    if name is None:
        return _USUAL
    if path is None:
        raise Failure("--feed needs --feeds FILE, or WARDSTREAM_FEEDS_FILE")
    feeds = load_feeds(path)
    if name not in feeds:
        raise Failure(f"{path} has no feed {name}; it has {', '.join(sorted(feeds))}")
    return feeds[name].feed


def _report(coverage: Coverage, console: Console) -> None:
    console.print(_table(("type", "messages", *OUTCOMES, "events of"), type_rows(coverage)))
    _top(console, ("code", "unit", "is", "OBX"), coverage.codes)
    _top(console, ("rejects of", "place", "reason", "count"), coverage.rejects)
    _top(console, ("malformed at", "why", "messages"), coverage.malformed)
    others = Counter({what: count for what, count in coverage.ignored.items() if what[0] not in ("type", "code")})
    _top(console, ("ignored", "what", "count"), others)
    times = ", ".join(f"{count:,} {what}" for what, count in coverage.times.most_common())
    console.print(f"times: {times or 'none'}")


def _top(console: Console, heads: tuple[str, ...], counts: Counter[Any]) -> None:
    if counts:
        rows = list(most(counts))
        console.print(_table(heads, rows[:_TOP]))
        if len(rows) > _TOP:
            console.print(f"and {len(rows) - _TOP:,} more")


def _table(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> Table:
    table = Table(*heads)
    for row in rows:
        table.add_row(*map(escape, row))
    return table
