"""`wardstream metrics`: what all processes of a cluster count, live."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Annotated, Any

import typer
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from rich.console import Console, RenderableType
from rich.live import Live

from wardstream.infra.failure import Failure
from wardstream.infra.kafka.topics import describe_topics
from wardstream.infra.settings import kafka_client_options, load_settings
from wardstream.infra.view.alert_value import value_tables
from wardstream.infra.view.metrics_table import metrics_table
from wardstream.infra.view.pipeline import WINDOW_S, Pipeline
from wardstream.infra.view.tap import now
from wardstream.schemas.bad_event import BadEvent
from wardstream.schemas.decode import decoder_of
from wardstream.schemas.metrics import Metrics

TOPIC = "metrics.v1"
ONCE_DEADLINE_S = 15.0
CONNECT_DEADLINE_S = 15.0
REFRESH_S = 1.0
WIDE = 180  # columns where there is no terminal


def metrics(
    once: Annotated[
        bool, typer.Option("--once", help="print one table and end; 1 if there is nothing for 15 s")
    ] = False,
    alerts: Annotated[
        bool,
        typer.Option("--alerts", help="what alerts cost and are worth, by what was counted since the workers' start"),
    ] = False,
) -> None:
    """Show the streaming metrics of every process: totals, rates, quantiles of the last minute."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    options = kafka_client_options(load_settings())
    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDE)
    try:
        asyncio.run(_once(options, console, alerts) if once else _live(options, console, alerts))
    except KeyboardInterrupt:
        raise typer.Exit(0) from None
    except (KafkaError, TimeoutError, OSError) as error:
        raise Failure(f"{TOPIC} cannot be read: {type(error).__name__}") from error


async def _once(options: Mapping[str, Any], console: Console, alerts: bool) -> None:
    deadline = time.monotonic() + ONCE_DEADLINE_S
    async with _reader(options) as (consumer, pipeline):
        while not (pipeline.processes(now()) and await _at_end(consumer)):
            if time.monotonic() > deadline:
                typer.echo(f"nothing on {TOPIC} for {ONCE_DEADLINE_S:.0f} s: is a worker running?", err=True)
                raise typer.Exit(1)
            await _read(consumer, pipeline, 0.5)
        at = now()
        console.print(_alerts(pipeline, at) if alerts else metrics_table(pipeline.series(at), _title(pipeline, at)))


async def _live(options: Mapping[str, Any], console: Console, alerts: bool) -> None:
    async with _reader(options) as (consumer, pipeline):
        with Live(console=console, screen=console.is_terminal, auto_refresh=False) as live:
            while True:
                at = now()
                shown = _alerts(pipeline, at) if alerts else metrics_table(pipeline.metrics(at), _title(pipeline, at))
                live.update(shown, refresh=True)
                await _read(consumer, pipeline, REFRESH_S)


@asynccontextmanager
async def _reader(options: Mapping[str, Any]) -> AsyncIterator[tuple[AIOKafkaConsumer, Pipeline]]:
    """A consumer that stands where the last minute began."""
    if TOPIC not in await describe_topics(options, [TOPIC]):
        raise Failure(f"no topic {TOPIC}: `wardstream topics create` makes it")
    consumer = AIOKafkaConsumer(**options, enable_auto_commit=False, isolation_level="read_committed")
    part = TopicPartition(TOPIC, 0)
    try:
        async with asyncio.timeout(CONNECT_DEADLINE_S):
            await consumer.start()
            consumer.assign([part])
            since = now() - timedelta(seconds=WINDOW_S)
            found = (await consumer.offsets_for_times({part: int(since.timestamp() * 1000)}))[part]
            end = (await consumer.end_offsets([part]))[part]
            consumer.seek(part, end if found is None else found.offset)
        yield consumer, Pipeline()
    finally:
        await consumer.stop()


async def _read(consumer: AIOKafkaConsumer, pipeline: Pipeline, seconds: float) -> None:
    """Take in what comes within a time."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        for records in (await consumer.getmany(timeout_ms=int(left * 1000) + 1)).values():
            for record in records:
                try:
                    pipeline.add(decoder_of(Metrics)(record.value))
                except BadEvent:
                    continue  # not a snapshot that this version understands


async def _at_end(consumer: AIOKafkaConsumer) -> bool:
    part = TopicPartition(TOPIC, 0)
    return bool(await consumer.position(part) >= (await consumer.end_offsets([part]))[part])


def _alerts(pipeline: Pipeline, at: datetime) -> RenderableType:
    return value_tables(pipeline.counted(), _title(pipeline, at))


def _title(pipeline: Pipeline, at: datetime) -> str:
    there = pipeline.processes(at)
    roles = ", ".join(sorted({snapshot.role for snapshot in there}))
    count = "1 process" if len(there) == 1 else f"{len(there)} processes"
    return f"{count} ({roles or 'none for 15 s'}), {at:%H:%M:%S} UTC"
