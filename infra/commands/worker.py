"""`wardstream worker`: run the lanes this machine is given."""

from __future__ import annotations

import asyncio
import logging

import faust
import typer

from wardstream.infra.kafka.topics import lane_count
from wardstream.infra.settings import kafka_client_options, load_settings
from wardstream.infra.worker import build_app

_FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"
_CHATTY = ("aiokafka", "faust", "mode")  # they log each rebalance step by step; from warnings on unless asked


def worker(
    log_level: str = typer.Option("info", help="error, warning, info or debug (Faust's and aiokafka's too)"),
) -> None:
    """Run a worker. Start the same command on more machines to share the lanes among them."""
    level = getattr(logging, log_level.upper(), None)
    if not isinstance(level, int):
        raise typer.BadParameter("error, warning, info or debug", param_hint="--log-level")
    settings = load_settings()
    lanes = asyncio.run(lane_count(kafka_client_options(settings)))
    app = build_app(settings, lanes)
    asyncio.run(app.check())  # here too, so that a refusal is one line and no stack trace
    runner = faust.Worker(app, loglevel=level, redirect_stdouts=False)
    logging.basicConfig(level=level, format=_FORMAT, force=True)
    if level > logging.DEBUG:
        for name in _CHATTY:
            logging.getLogger(name).setLevel(max(level, logging.WARNING))
    runner.execute_from_commandline()
