"""What `wardstream flow` shows of a cluster: the board, live; pictures; and what a unit says when it is asked."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import typer
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from rich.console import Console
from rich.live import Live

from wardstream.agents.closing import forecast_of
from wardstream.infra.failure import Failure
from wardstream.infra.flow_reading import Asked, Board, ask, read_board
from wardstream.infra.flow_site import flow_site
from wardstream.infra.settings import kafka_client_options, load_settings
from wardstream.infra.view.fan import Shown, flow_board, flow_table, picture
from wardstream.models.flow.census import HOUR_S
from wardstream.models.flow.site import UnitRules
from wardstream.models.flow.unit import Delay
from wardstream.schemas.flow import TOPIC, Flow

_NOBODY = UUID(int=0)  # of records that are shown and never sent
REFRESH_MS = 1000
PAGE_S = 8.0  # where there are more units than lines
DEADLINE_S = 30.0
_WIDE = 200
_LONGEST_NAME = 240  # bytes; file systems take 255, and there is an ending
T = TypeVar("T")


def show(once: bool) -> None:
    """Show every unit's last hour and its forecast, live."""
    options = kafka_client_options(load_settings())
    console = Console()
    if not console.is_terminal:
        console = Console(width=_WIDE)
    board = _run(read_board(options))
    if once or not console.is_terminal:
        console.print(flow_table(_shown(board), _title(board), console.width))
        return
    try:
        _run(_live(options, console, board))
    except KeyboardInterrupt:
        raise typer.Exit(0) from None


def plot(folder: Path) -> None:
    """Write a picture of each unit."""
    board = _run(read_board(kafka_client_options(load_settings())))
    shown = _shown(board)
    folder.mkdir(parents=True, exist_ok=True)
    for one in shown:
        unit = one.flow.unit
        path = folder / f"{file_name(unit)}.svg"
        path.write_text(picture(unit, board.census(unit), one), encoding="utf-8")
        typer.echo(path)


def file_name(unit: str) -> str:
    """A name of its own for each unit, as readable as file systems allow; a long one ends in a digest."""
    name = "".join(char if char.isalnum() or char in "._- " else f"%{ord(char):02X}" for char in unit)
    if len(name.encode()) <= _LONGEST_NAME:
        return name
    begin = name.encode()[: _LONGEST_NAME - 17].decode(errors="ignore")
    return f"{begin}~{blake2b(unit.encode(), digest_size=8).hexdigest()}"


def answer(unit: str, beds: int, delay: Delay | None) -> None:
    """Print what a unit would say now, and what if some beds were opened or closed, or planned patients delayed."""
    settings = load_settings()
    site = flow_site(settings)
    asked = _run(ask(settings, site))
    rules = site.unit(unit)
    if beds and rules.staffed is None:
        raise Failure(f"nothing is stated of the beds of {unit}: WARDSTREAM_FLOW_FILE does")
    if delay is not None:
        refuse_delay(unit, rules, asked)
    changed = replace(rules, staffed=None if rules.staffed is None else max(rules.staffed + beds, 0))
    there = len(asked.units[unit].present or ()) if unit in asked.units else 0
    end = datetime.fromtimestamp((asked.hour + 1) * HOUR_S, UTC)
    moved = asked.movements(unit)
    told = []
    for name, ruled, later in ((unit, rules, None), ("what if", changed, delay)):
        if name == unit or beds or delay is not None:
            said: dict[str, Any] = forecast_of(asked.outlook(unit, later), ruled)
            told.append(_flow(name, end, there, said | moved))
    console = Console()
    console = console if console.is_terminal else Console(width=_WIDE)
    if delay is not None:
        console.print(f"{asked.units[unit].planned:.0%} of those who come otherwise than from emergency are planned")
    console.print(flow_table(map(Shown, told), f"{unit}, from {end:%Y-%m-%d %H:%M} UTC on", console.width))


def refuse_delay(unit: str, rules: UnitRules, asked: Asked) -> None:
    """Nobody who is not known to be planned is delayed.

    Raises
    ------
    Failure
        Of those who come to the unit nobody is.
    """
    if rules.emergency:
        raise Failure(f"{unit} is an emergency department: nobody there is planned, and nobody can be delayed")
    if unit in asked.units and not asked.units[unit].planned:
        raise Failure(f"of those who came to {unit} nobody was registered before (class preadmit): no one is delayed")


def _flow(name: str, end: datetime, census: int, said: dict[str, Any]) -> Flow:
    begin = datetime.fromtimestamp(end.timestamp() - HOUR_S, UTC)
    return Flow(
        event_id=_NOBODY,
        source="asked",
        unit=name,
        hour_from=begin,
        observed_at=end,
        received_at=end,
        census=census,
        **said,
    )


async def _live(options: dict[str, Any], console: Console, board: Board) -> None:
    consumer = AIOKafkaConsumer(**options, enable_auto_commit=False, isolation_level="read_committed")
    part = TopicPartition(TOPIC.name, 0)
    async with asyncio.timeout(DEADLINE_S):
        await consumer.start()
    try:
        consumer.assign([part])
        consumer.seek(part, board.next)
        with Live(console=console, screen=True, auto_refresh=False) as live:
            while True:
                page = int(time.monotonic() / PAGE_S)
                shown = flow_board(board.now(), _title(board), console.width, console.height, page)
                live.update(shown, refresh=True)
                for found in (await consumer.getmany(timeout_ms=REFRESH_MS)).values():
                    for record in found:
                        board.add(record.value)
    finally:
        await consumer.stop()


def _shown(board: Board) -> list[Shown]:
    shown = board.now()
    if not shown:
        raise Failure(f"nothing on {TOPIC.name} yet: a worker of the group flow writes it when an hour is over")
    return shown


def _title(board: Board) -> str:
    if board.newest is None:
        return "no hour has been closed yet"
    return f"beds needed, median (10–90 %), from {board.newest:%Y-%m-%d %H:%M} UTC on"


def _run(waited: Awaitable[T]) -> T:
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)

    async def run() -> T:
        return await waited

    try:
        return asyncio.run(run())
    except (KafkaError, TimeoutError, OSError) as error:
        raise Failure(f"the cluster cannot be read: {type(error).__name__}") from error
