"""`wardstream serve`: the gateways, through which senders that know no Kafka publish, and the API of alerts."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Annotated

import typer

from wardstream.infra.logs import log_service
from wardstream.infra.observability.tracing import traced
from wardstream.infra.settings import PREFIX, SettingsError, load_settings

commands = typer.Typer(
    no_args_is_help=True, help="Gateways (HL7 v2 over MLLP, events over HTTP), and the API of alerts."
)

_CHATTY = ("aiokafka", "mode", "opentelemetry", "uvicorn", "wardstream.agents.streams.snapshots")

Feeds = Annotated[Path | None, typer.Option(help="what the senders are [default: WARDSTREAM_FEEDS_FILE]")]


@commands.command()
def mllp(feeds: Feeds = None) -> None:
    """Take HL7 v2 over MLLP: a listener for each feed that has one. Acknowledges what cannot be lost any more."""
    from wardstream.infra.gateways.feeds import load_feeds  # an extra: workers and clients need none of it
    from wardstream.infra.gateways.serving import serve_mllp

    settings = load_settings()
    path = feeds or settings.feeds_file
    if path is None:
        raise SettingsError(f"{PREFIX}FEEDS_FILE is not set: it says who sends, and where we listen")
    with traced(settings, "mllp-gateway"):
        log_service(logging.INFO, _CHATTY, "mllp-gateway", settings.log_format)
        asyncio.run(serve_mllp(settings, load_feeds(path), typer.echo))


@commands.command()
def http() -> None:
    """Take events over HTTP: POST /v1/events/TOPIC, one as JSON or many as NDJSON; /openapi.json says more."""
    from wardstream.infra.gateways.serving import serve_http

    settings = load_settings()
    with traced(settings, "http-gateway"):
        log_service(logging.INFO, _CHATTY, "http-gateway", settings.log_format)
        asyncio.run(serve_http(settings, typer.echo))


@commands.command()
def api() -> None:
    """Alerts over HTTP: subscriptions, lists, streams (SSE, WebSocket), answers; /openapi.json says more."""
    from wardstream.infra.api.serving import serve_api

    settings = load_settings()
    with traced(settings, "api"):
        log_service(logging.INFO, _CHATTY, "api", settings.log_format)
        asyncio.run(serve_api(settings, typer.echo))


@commands.command()
def webhooks() -> None:
    """Post transitions of alerts to the subscriptions that have a webhook. A second one takes over from the first."""
    from wardstream.infra.delivery.serving import serve_webhooks

    settings = load_settings()
    with traced(settings, "webhooks"):
        log_service(logging.INFO, _CHATTY, "webhooks", settings.log_format)
        asyncio.run(serve_webhooks(settings, typer.echo))
