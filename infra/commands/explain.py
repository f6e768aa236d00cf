"""`wardstream explain`: why an alert was told, recomputed from the log."""

from __future__ import annotations

import asyncio
import logging
from typing import Annotated, Any
from uuid import UUID

import msgspec
import typer
from aiokafka.errors import KafkaError
from rich.console import Console
from rich.table import Table

from wardstream.infra.explain import Explained, Site
from wardstream.infra.explain import explain as explained
from wardstream.infra.failure import Failure
from wardstream.infra.settings import kafka_client_options, load_settings

_WIDE = 160


def explain(
    alert_id: Annotated[UUID, typer.Argument(help="of a record of alerts.v1 or silent-alerts.v1")],
    transition: Annotated[int | None, typer.Option(min=1, help="its number; the last one without it")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print all of it as JSON")] = False,
) -> None:
    """Recompute a transition of an alert from the log. Exits with 1 where it does not come out as it was told."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    settings = load_settings()
    site = Site(settings.never_carried, settings.models)
    try:
        found = asyncio.run(explained(kafka_client_options(settings), site, alert_id, transition))
    except (KafkaError, TimeoutError) as error:
        raise Failure(f"the log cannot be read: {type(error).__name__}") from error
    if as_json:
        inputs = [one._asdict() for one in found.inputs]
        shown = found._asdict() | {"inputs": inputs, "same": found.same}
        typer.echo(msgspec.json.format(msgspec.json.encode(shown), indent=2).decode())
    else:
        _say(found)
    if not found.same:
        raise typer.Exit(1)


def _say(found: Explained) -> None:
    told, evidence = found.told, found.told.evidence
    typer.echo(f"{told.condition}, transition {told.number}: {told.transition}, {told.priority} priority")
    typer.echo(
        f"{told.observed_at:%Y-%m-%d %H:%M:%S}Z, {found.topic}, partition {found.partition}, offset {found.offset}"
    )
    typer.echo(told.reason)
    if evidence.score is not None:
        parts = ", ".join(f"{name} {points:g}" for name, points in evidence.score.parts.items())
        typer.echo(f"{evidence.score.name} {evidence.score.value}: {parts}")
    if evidence.prediction is not None:
        said = evidence.prediction
        typer.echo(f"{said.model} {said.version}: {said.calibrated_probability:.4f} for {said.horizon_h:g} h")
    for name, reading in evidence.values.items():
        typer.echo(f"  {name} {_plain(reading.value)} at {reading.observed_at:%Y-%m-%d %H:%M:%S}Z")
    table = Table("input", "partition", "offset", "event", "received", "")
    for one in found.inputs:
        received = f"{one.received_at:%Y-%m-%d %H:%M:%S}Z"
        cause = "brought it about" if one.event_id == told.caused_by else "decided" if one.is_cause else ""
        table.add_row(one.topic, str(one.partition), str(one.offset), str(one.event_id), received, cause)
    console = Console()
    (console if console.is_terminal else Console(width=_WIDE)).print(table)
    typer.echo(f"of {found.patient_records} records of the patient up to then")
    for name, value in (("policy", told.policy), ("state", found.state), ("model", found.model)):
        if value is not None:
            typer.echo(f"{name} {value}")
    for note in found.notes:
        typer.echo(f"- {note}")
    if found.same:
        typer.echo("recomputed: the same")
    elif found.again is None:
        typer.echo("recomputed: it does not come out")
    else:
        typer.echo(f"recomputed: not the same in {', '.join(found.differs)}")


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
