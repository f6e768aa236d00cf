"""`wardstream learner`: the one process that learns the risk model."""

from __future__ import annotations

import asyncio
import logging
import signal

import typer
from aiokafka.errors import KafkaError

from wardstream.agents.metrics import Meters
from wardstream.infra.failure import Failure
from wardstream.infra.logs import log_service
from wardstream.infra.observability.reporting import Reporting
from wardstream.infra.risk import learner_key, risk_target
from wardstream.infra.settings import PREFIX, Settings, SettingsError, kafka_client_options, load_settings
from wardstream.models.risk.target import Target

log = logging.getLogger(__name__)


def learner(
    log_level: str = typer.Option("info", help="error, warning, info or debug"),
    anew: str = typer.Option(
        "", metavar="WHY", help="forget what was learned, learn all kept examples; audited. For one start"
    ),
) -> None:
    """Learn the risk model from training-examples.v1. A second one takes over from the first."""
    level = getattr(logging, log_level.upper(), None)
    if not isinstance(level, int):
        raise typer.BadParameter("error, warning, info or debug", param_hint="--log-level")
    settings = load_settings()
    target = risk_target(settings)
    if target is None:
        raise SettingsError(f"{PREFIX}RISK_OUTCOMES is not set: it says what is learned")
    log_service(level, ("aiokafka",), "learner", settings.log_format)
    try:
        asyncio.run(_learn(settings, target, anew.strip() or None))
    except (KafkaError, TimeoutError) as error:
        said = f"the cluster does not answer: {type(error).__name__}; started anew it goes on from its last snapshot"
        raise Failure(said) from error


async def _learn(settings: Settings, target: Target, anew: str | None) -> None:
    from wardstream.infra.learner import LearnerService  # River and SciPy: a second of every other command's start
    from wardstream.models.risk.champion import Settings as Learning

    key, stop = learner_key(settings.home), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    client, meters = kafka_client_options(settings), Meters()
    service = LearnerService(client, settings.app_id, key, target, Learning(), meters, anew)
    reporting = asyncio.create_task(Reporting(settings, meters, client, "learner", service.look).run())
    reporting.add_done_callback(_seen)
    try:
        await service.run(stop)
    finally:
        reporting.cancel()
        await asyncio.wait([reporting])


def _seen(reporting: asyncio.Task[None]) -> None:
    if not reporting.cancelled() and (error := reporting.exception()) is not None:
        log.error("nothing more is measured: %s", type(error).__name__)
