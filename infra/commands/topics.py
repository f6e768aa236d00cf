"""`wardstream topics`: create, list, describe and document the topics."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from aiokafka import AIOKafkaConsumer, TopicPartition
from rich.console import Console
from rich.table import Table

from wardstream.infra.kafka.topics import Drift, Present, Wish, create_topics, describe_topics, drift, wishes
from wardstream.infra.settings import Settings, kafka_client_options, load_settings
from wardstream.schemas.doc import asyncapi, json_schemas
from wardstream.schemas.topics import TOPICS

commands = typer.Typer(no_args_is_help=True, help="The topics of wardstream on the cluster.")

# Its warnings would come before our one line, which says more.
_QUIET = "aiokafka"
_WIDE = 160  # columns where there is no terminal, so that nothing is cut from a log
_HOUR_MS = 3_600_000
_OFFSETS_DEADLINE_S = 30.0

Offsets = dict[TopicPartition, int]


@commands.callback()
def quiet() -> None:
    logging.getLogger(_QUIET).setLevel(logging.CRITICAL)


@commands.command()
def create(
    lanes: Annotated[int | None, typer.Option(help="partitions of every topic about patients", min=1)] = None,
    replication: Annotated[int | None, typer.Option(help="replicas of every topic", min=1)] = None,
) -> None:
    """Create the topics that are missing. Exits with 1 when one that exists is different; nothing is changed."""
    given = {"lanes": lanes, "replication": replication}
    settings = load_settings(**{name: value for name, value in given.items() if value is not None})
    wanted = wishes(settings.lanes, settings.replication)
    outcome = asyncio.run(create_topics(kafka_client_options(settings), wanted))
    for name in outcome.created:
        typer.echo(f"created {name}")
    typer.echo(f"{len(outcome.created)} created, {len(wanted) - len(outcome.created)} were there")
    if outcome.drift:
        _console().print(_drift_table(outcome.drift))
        typer.echo("These topics are not as wished; nothing was changed.", err=True)
        raise typer.Exit(1)


@commands.command("list")
def list_topics() -> None:
    """Every topic of wardstream: whether it is there, how it is kept, how much is in it."""
    settings = load_settings()
    wanted = wishes(settings.lanes, settings.replication)
    present, begin, end = asyncio.run(_present(settings, [wish.name for wish in wanted]))
    table = Table("topic", "role", "partitions", "replication", "cleanup", "kept", "offsets", "wished")
    for wish in wanted:
        topic = TOPICS.get(wish.name)
        role = topic.role if topic is not None else "dead letters"
        found = present.get(wish.name)
        if found is None:
            table.add_row(wish.name, role, "", "", "", "", "", "missing")
            continue
        held = sum(end[tp] - begin[tp] for tp in end if tp.topic == wish.name)
        cleanup, kept = found.configs.get("cleanup.policy", ""), _kept(found.configs.get("retention.ms", ""))
        state = "differs" if drift(wish, found) else "yes"
        counts = str(len(found.partitions)), str(found.replication)
        table.add_row(wish.name, role, *counts, cleanup, kept, f"{held:,}", state)
    _console().print(table)


@commands.command()
def describe(names: Annotated[list[str] | None, typer.Argument(help="all of wardstream's by default")] = None) -> None:
    """Partitions, replicas, in-sync replicas, offsets and configuration. Exits with 1 when one is missing."""
    settings = load_settings()
    wanted = {wish.name: wish for wish in wishes(settings.lanes, settings.replication)}
    asked = names or list(wanted)
    present, begin, end = asyncio.run(_present(settings, asked))
    console = _console()
    for name in asked:
        if name in present:
            _describe(console, present[name], wanted.get(name), begin, end)
    if missing := [name for name in asked if name not in present]:
        typer.echo(f"no topic {', '.join(missing)}; `wardstream topics create` makes those of wardstream", err=True)
        raise typer.Exit(1)


@commands.command()
def doc(folder: Annotated[Path, typer.Argument(help="made when absent")]) -> None:
    """Write asyncapi.json (AsyncAPI 3) and a JSON Schema for each topic."""
    documents: dict[str, Any] = {"asyncapi.json": asyncapi()}
    documents |= {f"{name}.schema.json": schema for name, schema in json_schemas().items()}
    folder.mkdir(parents=True, exist_ok=True)
    for name, document in documents.items():
        (folder / name).write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    typer.echo(f"{len(documents)} files are in {folder}")


def _describe(console: Console, found: Present, wish: Wish | None, begin: Offsets, end: Offsets) -> None:
    table = Table("partition", "leader", "replicas", "in sync", "first offset", "end offset", title=found.name)
    for partition in found.partitions:
        tp = TopicPartition(found.name, partition.number)
        leader = str(partition.leader) if partition.leader >= 0 else "none"
        replicas, isr = (" ".join(map(str, ids)) for ids in (partition.replicas, partition.isr))
        offsets = f"{begin[tp]:,}" if tp in begin else "", f"{end[tp]:,}" if tp in end else ""
        table.add_row(str(partition.number), leader, replicas, isr, *offsets)
    console.print(table)
    for name in sorted(found.own):
        console.print(f"  {name} = {found.configs.get(name, '')}", highlight=False)
    if wish is not None and (differences := drift(wish, found)):
        console.print(_drift_table(differences))


def _drift_table(differences: list[Drift] | tuple[Drift, ...]) -> Table:
    table = Table("topic", "what", "wished", "present")
    for difference in differences:
        table.add_row(difference.topic, difference.what, difference.wanted, difference.present)
    return table


async def _present(settings: Settings, names: list[str]) -> tuple[dict[str, Present], Offsets, Offsets]:
    """The topics that exist, and their first and end offsets where a leader can tell."""
    options = kafka_client_options(settings)
    present = await describe_topics(options, names)
    parts = [TopicPartition(t.name, p.number) for t in present.values() for p in t.partitions if p.leader >= 0]
    if not parts:
        return present, {}, {}
    async with asyncio.timeout(_OFFSETS_DEADLINE_S):
        consumer = AIOKafkaConsumer(**options, enable_auto_commit=False)
        try:
            await consumer.start()
            return present, await consumer.beginning_offsets(parts), await consumer.end_offsets(parts)
        finally:
            await consumer.stop()


def _kept(retention_ms: str) -> str:
    if not retention_ms or int(retention_ms) < 0:
        return "for ever"
    hours = int(retention_ms) / _HOUR_MS
    return f"{hours / 24:g} d" if hours >= 24 else f"{hours:g} h"


def _console() -> Console:
    console = Console()
    return console if console.is_terminal else Console(width=_WIDE)
