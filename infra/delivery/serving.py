"""`wardstream serve webhooks`: what it is made of, from its start to its orderly end."""

from __future__ import annotations

import random
import ssl
from collections.abc import Callable

from aiokafka.errors import KafkaError

from wardstream.agents.metrics import DELIVERY_WAITING, Meters
from wardstream.client.brokers import Brokers
from wardstream.infra.delivery.cursor import Tools
from wardstream.infra.delivery.ledger import Ledger
from wardstream.infra.delivery.replies import Answers
from wardstream.infra.delivery.service import Doors, Webhooks
from wardstream.infra.delivery.trying import Trying
from wardstream.infra.failure import Failure
from wardstream.infra.gateways.auth import TokenFile
from wardstream.infra.gateways.delivery import Delivery
from wardstream.infra.gateways.serving import Background
from wardstream.infra.observability.reporting import Reporting
from wardstream.infra.settings import PREFIX, Settings, SettingsError, kafka_client_options
from wardstream.infra.subscriptions import Secrets

_BROKER_S = 15.0
_LINGER_S = 0.005


async def serve_webhooks(settings: Settings, announce: Callable[[str], object]) -> None:
    """Post until a signal says to stop.

    Raises
    ------
    Failure
        A setting is missing, Kafka does not answer at the start, or another process has taken over.
    """
    opens, options, meters = doors(settings), kafka_client_options(settings), Meters()
    answering = Delivery(lambda: Brokers(options, _BROKER_S, _LINGER_S), meters)
    answers = Answers(answering, options, settings.app_id, meters)
    trying = Trying(settings.webhook_retry_h * 3600, random.random)
    tools = Tools(options, Ledger(options, settings.app_id), answers, meters, trying)
    tokens = None if settings.tokens_file is None else TokenFile(settings.tokens_file)
    webhooks = Webhooks(tools, settings.app_id, opens, tokens)

    def look() -> None:
        webhooks.look()
        meters.set(DELIVERY_WAITING, answering.waiting)

    announce(f"webhooks are posted to {', '.join(map(str, settings.webhook_networks))}")
    reporting = Reporting(settings, meters, options, "webhooks", look)
    try:
        async with Background(webhooks.run, answering.run, reporting.run) as running:
            await running.until_stopped()
    except (KafkaError, TimeoutError) as error:
        raise Failure(f"the cluster does not answer: {type(error).__name__}") from error


def doors(settings: Settings) -> Doors:
    """What opens receivers.

    Raises
    ------
    SettingsError
        No network is allowed, no key is set, or the authorities' file cannot be read.
    """
    if not settings.webhook_networks:
        raise SettingsError(f"{PREFIX}WEBHOOK_NETWORKS is not set: it says where webhooks may go; nothing is posted")
    keys = settings.delivery_keys()
    if not keys:
        raise SettingsError(f"{PREFIX}DELIVERY_KEY or {PREFIX}DELIVERY_KEY_FILE is not set: it opens webhooks' secrets")
    try:
        trusted = ssl.create_default_context(cafile=settings.webhook_cafile)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(f"{PREFIX}WEBHOOK_CAFILE cannot be read: {type(error).__name__}") from error
    return Doors(settings.webhook_networks, trusted, Secrets(keys))
