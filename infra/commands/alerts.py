"""`wardstream alerts`: alerts as they happen and as they stand, and a person's answer, directly on Kafka."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, TypeVar
from uuid import UUID

import typer
from aiokafka.errors import KafkaError
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from wardstream.client import Publisher, PublishError
from wardstream.infra.answering import WHAT, acknowledgement
from wardstream.infra.api.history import LOOK_BACK_S, LOOK_FAR_BACK_S, Reader, partitions
from wardstream.infra.api.ring import Row
from wardstream.infra.api.table import Standings
from wardstream.infra.audit import write_audit
from wardstream.infra.failure import Failure
from wardstream.infra.operator_alerts import answer_operator_alert, operator_alerts
from wardstream.infra.operators import principal_of
from wardstream.infra.settings import Settings, kafka_client_options, load_settings
from wardstream.schemas.acknowledgements import Action
from wardstream.schemas.alerts import ENDED, Alert
from wardstream.schemas.bad_event import BadEvent
from wardstream.schemas.decode import check
from wardstream.schemas.operator_alerts import OperatorAlert

commands = typer.Typer(no_args_is_help=True, help="Alerts: as they happen, how they stand, and answering them.")

ROLE = "clinician"
OPERATOR = "operator"
_WIDE = 160
_NO_SUCH = "there is no such alert of the last 90 days, or it is not in the units of this token"
_MARKS = {"high": "!!!", "medium": "!!", "low": "!"}
_COLOURS = {"high": "bold red", "medium": "yellow", "low": "cyan"}
_HEADS = ("", "where", "patient", "condition", "state", "since", "told", "reason", "alert")

T = TypeVar("T")
Units = Annotated[list[str] | None, typer.Option("--unit", help="only there; several times for several")]
AlertId = Annotated[UUID, typer.Argument(help="alert_id, as `alerts show` prints it")]


@commands.callback()
def quiet() -> None:
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)


@commands.command()
def tail(
    unit: Units = None,
    last: Annotated[int, typer.Option(min=0, help="begin with so many that have been")] = 10,
    follow: Annotated[bool, typer.Option("--follow/--no-follow", help="go on until Ctrl-C")] = True,
) -> None:
    """Print each transition of each alert, a line each."""
    console, client = Console(highlight=False, soft_wrap=True), kafka_client_options(load_settings())

    async def run() -> None:
        async with aclosing(await Reader(client, await partitions(client)).open()) as reader:
            rows = sorted([pair async for pair in _since(reader, LOOK_BACK_S)], key=lambda pair: pair[1])
            before = [row.alert for row, _ in rows if not unit or row.alert.unit in unit]
            for alert in before[-last:] if last else ():
                console.print(_line(alert))
            while follow:
                position = await reader.position()
                for row, _ in await reader.read(position):
                    if not row.silent and (not unit or row.alert.unit in unit):
                        console.print(_line(row.alert))

    try:
        asyncio.run(run())
    except KeyboardInterrupt:
        pass
    except (KafkaError, TimeoutError) as error:
        raise Failure(f"alerts cannot be read: {type(error).__name__}") from error


@commands.command()
def show(
    alert_id: Annotated[UUID | None, typer.Argument(help="all transitions of this alert")] = None,
    unit: Units = None,
    days: Annotated[float, typer.Option(min=0.1, max=90, help="the open ones with a transition in this time")] = 7,
) -> None:
    """The alerts that are open, the most urgent first; or all transitions of one."""
    settings = load_settings()
    if alert_id is not None:
        for alert in _life(settings, alert_id):
            _console().print(_line(alert), soft_wrap=True)
        return
    table = _table(*_HEADS)
    for alert in sorted(
        (one for one in _open(settings, days * 86_400) if not unit or one.unit in unit),
        key=lambda one: (-len(_MARKS[one.priority]), one.raised_at),
    ):
        cells = (
            _where(alert),
            alert.patient_id,
            alert.condition,
            f"{alert.state}{', stale' if alert.stale else ''}",
            f"{alert.raised_at:%Y-%m-%d %H:%M}Z",
            ", ".join(alert.to),
            alert.reason,
            f"{alert.alert_id}",
        )
        table.add_row(_MARKS[alert.priority], *map(escape, cells), style=_COLOURS[alert.priority])
    _console().print(table)


@commands.command()
def operators(ended: Annotated[bool, typer.Option("--ended", help="those that have ended, too")] = False) -> None:
    """What operators must see to: silent feeds, degraded models, stale data, short beds. `ack` answers them, too."""
    table = _table("", "subject", "condition", "state", "since", "told", "reason", "alert")
    for alert in _operators(load_settings(), ended):
        cells = (
            alert.subject,
            alert.condition,
            alert.state,
            f"{alert.raised_at:%Y-%m-%d %H:%M}Z",
            ", ".join(alert.to),
            alert.reason,
            f"{alert.alert_id}",
        )
        table.add_row(_MARKS[alert.priority], *map(escape, cells), style=_COLOURS[alert.priority])
    _console().print(table)


@commands.command()
def ack(
    alert_id: AlertId,
    snooze: Annotated[float | None, typer.Option(min=1, max=1440, help="silence it for so many minutes")] = None,
    resolve: Annotated[bool, typer.Option("--resolve", help="it is over")] = False,
    hand_over: Annotated[str | None, typer.Option(help="to this person or team, by pseudonym")] = None,
    useful: Annotated[
        bool | None, typer.Option("--useful/--not-useful", help="whether it was; alone: only that")
    ] = None,
    comment: Annotated[str | None, typer.Option(help="goes with the answer")] = None,
) -> None:
    """Answer an alert, on the audit first. Needs a token (WARDSTREAM_TOKEN_FILE) with the role clinician, for one of
    `alerts operators` with the role operator."""
    if sum((snooze is not None, resolve, hand_over is not None)) > 1:
        raise typer.BadParameter("one of --snooze, --resolve and --hand-over")
    action: Action = "acknowledge" if useful is None else "rate"
    if snooze is not None:
        action = "snooze"
    elif resolve:
        action = "resolve"
    elif hand_over is not None:
        action = "hand_over"
    settings = load_settings()
    who = principal_of(settings, "who answers must be known")
    until = None if snooze is None else datetime.now(UTC) + timedelta(minutes=snooze)
    if OPERATOR in who.roles and who.units is None:
        found = next((one for one in _operators(settings, ended=True) if one.alert_id == alert_id), None)
        if found is not None:
            _answer_operators(settings, found, action, who.name, until, hand_over, useful, comment)
            return
    if ROLE not in who.roles:
        raise Failure(f"this token does not have the role {ROLE}: nothing was done")
    newest = _life(settings, alert_id)[-1]
    if who.units is not None and newest.unit not in who.units:
        raise Failure(_NO_SUCH)
    if newest.state in ENDED and action != "rate":
        raise Failure(f"the alert is {newest.state}: it can be rated, and nothing else")
    event = acknowledgement(
        newest,
        who,
        "terminal",
        action,
        seen=newest.number,
        snooze_until=until,
        handed_to=hand_over,
        useful=useful,
        comment=comment,
    )

    async def give() -> None:
        check(event)
        await write_audit(
            kafka_client_options(settings),
            settings.app_id,
            at=event.received_at,
            who=who.name,
            what=WHAT[action],
            why="given at a terminal",
            patient_id=event.patient_id,
            about=f"{alert_id}",
        )
        async with Publisher(**kafka_client_options(settings)) as publisher:
            await publisher.publish(event)

    try:
        asyncio.run(give())
    except BadEvent as bad:
        raise Failure(f"nothing was done: {', '.join(bad.fields)} cannot be written") from None
    except PublishError as error:
        raise Failure(f"the answer is on the audit, but not on its topic: {error}; give it again") from None
    typer.echo(f"{WHAT[action].removeprefix('alert_').replace('_', ' ')}: {newest.reason}")


def _operators(settings: Settings, ended: bool) -> list[OperatorAlert]:
    try:
        return asyncio.run(operator_alerts(kafka_client_options(settings), ended=ended))
    except (KafkaError, TimeoutError) as error:
        raise Failure(f"operators' alerts cannot be read: {type(error).__name__}") from error


def _answer_operators(
    settings: Settings,
    alert: OperatorAlert,
    action: Action,
    who: str,
    until: datetime | None,
    handed_to: str | None,
    useful: bool | None,
    comment: str | None,
) -> None:
    if alert.state in ENDED and action != "rate":
        raise Failure(f"the alert is {alert.state}: it can be rated, and nothing else")
    try:
        asyncio.run(
            answer_operator_alert(
                kafka_client_options(settings),
                settings.app_id,
                alert,
                action,
                who=who,
                why=comment or "given at a terminal",
                role=OPERATOR,
                snooze_until=until,
                handed_to=handed_to,
                useful=useful,
            )
        )
    except BadEvent as bad:
        raise Failure(f"nothing was done: {', '.join(bad.fields)} cannot be written") from None
    typer.echo(f"{WHAT[action].removeprefix('alert_').replace('_', ' ')}: {alert.reason}")


def _open(settings: Settings, back_s: float) -> list[Alert]:
    """The alerts that are open, of those with a transition in so many seconds."""

    async def run() -> list[Alert]:
        client, standings = kafka_client_options(settings), Standings()
        async with aclosing(await Reader(client, await partitions(client)).open()) as reader:
            async for row, at in _since(reader, back_s):
                standings.add(row, at)
        standings.drop_ended()
        return [standing.row.alert for standing in standings]

    return _read(run())


def _life(settings: Settings, alert_id: UUID) -> list[Alert]:
    """All transitions of an alert, in their order."""

    async def run() -> list[Alert]:
        client, found = kafka_client_options(settings), list[Alert]()
        async with aclosing(await Reader(client, await partitions(client)).open()) as reader:
            for back_s in (LOOK_BACK_S, LOOK_FAR_BACK_S):  # nearly all are of the last week
                found = [row.alert async for row, _ in _since(reader, back_s) if row.alert.alert_id == alert_id]
                if any(alert.number == 1 for alert in found):
                    break
        return sorted(found, key=lambda one: one.number)

    if not (found := _read(run())):
        raise Failure(_NO_SUCH)
    return found


def _read(reading: Coroutine[Any, Any, T]) -> T:
    try:
        return asyncio.run(reading)
    except (KafkaError, TimeoutError) as error:
        raise Failure(f"alerts cannot be read: {type(error).__name__}") from error


async def _since(reader: Reader, back_s: float) -> AsyncIterator[tuple[Row, float]]:
    """The transitions that were written in the last so many seconds, with when; the reader then follows."""
    position, end = await reader.begin(int((time.time() - back_s) * 1000)), await reader.end()
    reader.seek(position)
    while any(map(int.__lt__, await reader.position(), end)):
        for row, at in await reader.read(position):
            if not row.silent:
                yield row, at


def _line(alert: Alert) -> str:
    colour, mark = _COLOURS[alert.priority], _MARKS[alert.priority]
    text = (
        f"{alert.observed_at:%Y-%m-%d %H:%M:%S}Z {mark:<3} {_where(alert):<12} {alert.patient_id} {alert.condition} "
        f"{alert.transition}{f' by {alert.actor}' if alert.actor else ''}: {alert.reason} ({alert.alert_id})"
    )
    return f"[{colour}]{escape(text)}[/]"


def _where(alert: Alert) -> str:
    return f"{alert.unit or '?'}{f' {alert.bed}' if alert.bed else ''}"


def _table(*heads: str) -> Table:
    table = Table(*heads, expand=False)
    table.columns[-1].no_wrap = True  # an id is to be copied
    return table


def _console() -> Console:
    console = Console(highlight=False)
    return console if console.is_terminal else Console(width=_WIDE, highlight=False)
