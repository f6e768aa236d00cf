"""`wardstream webhooks`: deliveries that came to nothing. Shows ids only."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from typing import Annotated

import typer
from aiokafka.errors import KafkaError
from rich.console import Console
from rich.table import Table

from wardstream.infra.failure import Failure
from wardstream.infra.settings import Settings, kafka_client_options, load_settings
from wardstream.schemas.deliveries import Delivery

commands = typer.Typer(no_args_is_help=True, help="Webhooks: what was not delivered, and one more try.")

_WIDE = 200  # columns where there is no terminal, so that no id is cut
_NONE = "no dead letters"


@commands.callback()
def quiet() -> None:
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)


@commands.command("list")
def list_letters(
    name: Annotated[str | None, typer.Argument(help="a subscription's id [default: all]")] = None,
) -> None:
    """Transitions that were given up or rejected, and not delivered since."""
    from wardstream.infra.delivery.letters import dead_letters

    settings = load_settings()
    try:
        letters = asyncio.run(dead_letters(kafka_client_options(settings), name))
    except (KafkaError, TimeoutError) as error:
        raise Failure(f"deliveries cannot be read: {type(error).__name__}") from error
    if not letters:
        typer.echo(_NONE)
        return
    table = Table("subscription", "transition", "alert", "number", "ended", "outcome", "attempts", "status", "reason")
    for one in letters:
        when, status = f"{one.at:%Y-%m-%d %H:%M:%S}Z", "" if one.status is None else str(one.status)
        ids = one.name, str(one.event_id), str(one.alert_id), str(one.number)
        table.add_row(*ids, when, one.outcome, str(one.attempts), status, one.reason or "")
    console = Console()
    if not console.is_terminal:
        console.width = _WIDE
    console.print(table)


@commands.command()
def retry(name: Annotated[str, typer.Argument(help="a subscription's id")]) -> None:
    """Post the dead letters of a subscription once more, with their ids; they come after what has happened since.

    No token is asked for: it needs what `serve webhooks` needs, the delivery key and a user of Kafka who reads alerts
    and writes deliveries.v1, where each try is kept. It posts to nobody but who subscribed.
    """
    settings = load_settings()
    try:
        ended = asyncio.run(_retry(settings, name))
    except (KafkaError, TimeoutError) as error:
        raise Failure(f"nothing more is posted: {type(error).__name__}") from error
    counts = Counter(one.outcome for one in ended)
    said = ", ".join(f"{count} {outcome.replace('_', ' ')}" for outcome, count in counts.items())
    typer.echo(said or _NONE)
    if counts.keys() - {"delivered"}:
        raise typer.Exit(1)


async def _retry(settings: Settings, name: str) -> list[Delivery]:
    from wardstream.infra.delivery.letters import dead_letters
    from wardstream.infra.delivery.letters import retry as post_again
    from wardstream.infra.delivery.serving import doors  # an extra: workers need none of it
    from wardstream.infra.subscriptions import read_table

    opens, options = doors(settings), kafka_client_options(settings)
    row = (await read_table(options)).get(name)
    if row is None or row.webhook is None:
        raise Failure(f"no subscription {name} with a webhook")
    receiver = opens.receiver(row)
    try:
        return await post_again(options, receiver, await dead_letters(options, name))
    finally:
        await receiver.close()
