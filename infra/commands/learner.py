"""`wardstream learner`: the one process that learns the risk model."""

from __future__ import annotations

import asyncio
import logging
import signal

import typer

from wardstream.infra.logs import log_service
from wardstream.infra.risk import learner_key, risk_target
from wardstream.infra.settings import PREFIX, Settings, SettingsError, kafka_client_options, load_settings
from wardstream.models.risk.target import Target


def learner(log_level: str = typer.Option("info", help="error, warning, info or debug")) -> None:
    """Learn the risk model from training-examples.v1. A second one takes over from the first."""
    level = getattr(logging, log_level.upper(), None)
    if not isinstance(level, int):
        raise typer.BadParameter("error, warning, info or debug", param_hint="--log-level")
    settings = load_settings()
    target = risk_target(settings)
    if target is None:
        raise SettingsError(f"{PREFIX}RISK_OUTCOMES is not set: it says what is learned")
    log_service(level, ("aiokafka",))
    asyncio.run(_learn(settings, target))


async def _learn(settings: Settings, target: Target) -> None:
    from wardstream.infra.learner import LearnerService  # River and SciPy: a second of every other command's start
    from wardstream.models.risk.champion import Settings as Learning

    key, stop = learner_key(settings.home), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    service = LearnerService(kafka_client_options(settings), settings.app_id, key, target, Learning())
    await service.run(stop)
