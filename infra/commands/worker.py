"""`wardstream worker`: run the lanes this machine is given."""

from __future__ import annotations

import asyncio
import logging
from enum import StrEnum
from typing import Annotated

import faust
import typer

from wardstream.infra.collecting import BATCHES, collect_rarely
from wardstream.infra.kafka.topics import lane_count
from wardstream.infra.logs import log_service
from wardstream.infra.operations_app import build_operations_app
from wardstream.infra.settings import Settings, kafka_client_options, load_settings
from wardstream.infra.worker import WorkerApp, build_app, build_imaging_app

_CHATTY = ("abc", "aiokafka", "faust", "mode", "uvicorn")  # they log each rebalance step by step; abc: Faust as well


class Group(StrEnum):
    """Which inputs a worker handles. One command for both: an operator starts, watches and stops them alike."""

    BEDSIDE = "bedside"
    IMAGING = "imaging"
    FLOW = "flow"
    OPERATIONS = "operations"


def worker(
    group: Annotated[
        Group,
        typer.Option(
            help="bedside: vitals, labs, movements, alerts; imaging: films, which may take seconds; flow: census and "
            "forecasts of units; operations: what operators are alerted to"
        ),
    ] = Group.BEDSIDE,
    log_level: str = typer.Option("info", help="error, warning, info or debug (Faust's and aiokafka's too)"),
) -> None:
    """Run a worker. Start the same command on more machines to share the lanes among them."""
    level = getattr(logging, log_level.upper(), None)
    if not isinstance(level, int):
        raise typer.BadParameter("error, warning, info or debug", param_hint="--log-level")
    settings = load_settings()
    lanes = asyncio.run(lane_count(kafka_client_options(settings)))
    app = _app(group, settings, lanes)
    asyncio.run(app.check())  # here too, so that a refusal is one line and no stack trace
    app.watch.listen(settings)
    collect_rarely(BATCHES)
    runner = faust.Worker(app, loglevel=level, redirect_stdouts=False, override_logging=False, quiet=True)
    runner.spinner = None  # for terminals; what a service prints is its log
    log_service(level, _CHATTY, app.watch.role, settings.log_format)
    runner.execute_from_commandline()


def _app(group: Group, settings: Settings, lanes: int) -> WorkerApp:
    if group is Group.BEDSIDE:
        return build_app(settings, lanes)
    if group is Group.FLOW:
        from wardstream.infra.flow_app import build_flow_app  # with River, which takes a second to load

        return build_flow_app(settings)
    if group is Group.OPERATIONS:
        return build_operations_app(settings, lanes)
    from wardstream.infra.imaging_app import ImagingTools  # its libraries are an extra: the other group needs none

    made = ImagingTools(settings)
    return build_imaging_app(settings, lanes, made.tools, made.meters, made.close)
