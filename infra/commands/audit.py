"""`wardstream audit`: whether the audit is whole."""

from __future__ import annotations

import asyncio
import logging

import typer
from aiokafka.errors import KafkaError

from wardstream.infra.audit import AuditError, verify_audit
from wardstream.infra.failure import Failure
from wardstream.infra.settings import kafka_client_options, load_settings

commands = typer.Typer(no_args_is_help=True, help="The audit: who did what to whose data, hash-chained.")


@commands.callback()
def quiet() -> None:
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)


@commands.command()
def verify() -> None:
    """Follow the chain from its beginning. Exits with 1 where it is broken.

    Prints the number of records and the hash of the last: note them elsewhere, and a later run shows whether it only
    grew.
    """
    try:
        head = asyncio.run(verify_audit(kafka_client_options(load_settings())))
    except AuditError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    except (KafkaError, TimeoutError) as error:
        raise Failure(f"the audit cannot be read: {type(error).__name__}") from error
    typer.echo(f"{head.records:,} records, none missing or changed; the last has the hash {head.hash}")
