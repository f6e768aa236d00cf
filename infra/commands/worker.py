"""`wardstream worker`: run the lanes this machine is given."""

from __future__ import annotations

import asyncio
import logging

import faust
import typer

from wardstream.infra.kafka.admin import ClusterUnreachable
from wardstream.infra.kafka.topics import LaneTopicsError, lane_count
from wardstream.infra.preflight import StartRefused
from wardstream.infra.settings import SettingsError, kafka_client_options, load_settings
from wardstream.infra.worker import build_app

_FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"


def worker(log_level: str = typer.Option("info", help="crit, error, warn, info or debug")) -> None:
    """Run a worker. Start the same command on more machines to share the lanes among them."""
    logging.basicConfig(level=getattr(logging, log_level.upper(), logging.INFO), format=_FORMAT)
    try:
        settings = load_settings()
        lanes = asyncio.run(lane_count(kafka_client_options(settings)))
        app = build_app(settings, lanes)
    except (SettingsError, StartRefused, LaneTopicsError, ClusterUnreachable) as error:
        typer.echo(f"wardstream worker: {error}", err=True)
        raise typer.Exit(2) from None
    faust.Worker(app, loglevel=log_level, redirect_stdouts=False).execute_from_commandline()
