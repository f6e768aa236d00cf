"""`wardstream serve api`, from its start to its orderly end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

from wardstream.agents.metrics import DELIVERY_WAITING, Meters
from wardstream.client.brokers import Brokers
from wardstream.infra.api.app import Api
from wardstream.infra.api.hub import Hub
from wardstream.infra.api.measuring import Measured
from wardstream.infra.api.ordered import Ordered
from wardstream.infra.api.orders import Orders
from wardstream.infra.api.streams import STREAMS
from wardstream.infra.api.subscribing import Subscribing
from wardstream.infra.board.serving import Boards
from wardstream.infra.collecting import STEADY, collect_rarely
from wardstream.infra.gateways.auth import Anyone, Authority, TokenFile
from wardstream.infra.gateways.delivery import Delivery
from wardstream.infra.gateways.listeners import Listener, bound, server_context
from wardstream.infra.gateways.serving import Background
from wardstream.infra.gateways.web import Server, configured
from wardstream.infra.observability.reporting import Reporting
from wardstream.infra.settings import Settings, kafka_client_options
from wardstream.infra.subscriptions import Secrets

_OTHERS = 256  # connections beside the streams
_BROKER_S = 15.0
_LINGER_S = 0.005
_SETTLE_S = 10.0


async def serve_api(settings: Settings, announce: Callable[[str], object]) -> None:
    """Serve alerts until a signal says to stop.

    Raises
    ------
    Failure
        The listener is refused, the tokens' file cannot be used, the address is taken.
    """
    tls = settings.api_tls_cert is not None
    taken = bound(Listener("the API", settings.api_listen, tls, "tokens", settings.tokens_file is not None))
    context = None
    if settings.api_tls_cert is not None and settings.api_tls_key is not None:
        context = server_context(settings.api_tls_cert, settings.api_tls_key)
    everybody = Anyone("viewer", "clinician", "operator")
    authority: Authority = everybody if settings.tokens_file is None else TokenFile(settings.tokens_file)
    meters, options = Meters(), kafka_client_options(settings)
    delivery = Delivery(partial(Brokers, options, _BROKER_S, _LINGER_S), meters)
    keys = settings.delivery_keys()
    hub = Hub(options, meters)
    subscribing = Subscribing(options, settings.app_id, Secrets(keys) if keys else None, settings.webhook_networks)
    ordered = Ordered(options)
    orders = Orders(options, settings.app_id, hub, ordered, delivery)
    api = Api(authority, hub, subscribing, ordered, orders)
    app = api.app()
    boards = Boards(settings, options, hub, orders)
    boards.mount(api, app)
    server = Server(configured(Measured(app, meters), context, STREAMS + _OTHERS))

    def look() -> None:
        meters.set(DELIVERY_WAITING, delivery.waiting)
        hub.look()
        boards.board.look()

    reporting = Reporting(settings, meters, options, "api", look, {"alerts": hub.trouble})
    bodies: list[Callable[[], Any]] = [
        *(delivery.run, hub.run, hub.look_back, subscribing.run, ordered.run),
        *boards.bodies,
        reporting.run,
    ]
    collect_rarely(STEADY)
    async with Background(*bodies) as background:
        serving = asyncio.create_task(server.serve(sockets=[taken]))
        host, port = taken.getsockname()[:2]
        announce(f"the ward board is at http{'s' if tls else ''}://{host}:{port}/")
        announce(f"alerts are served at http{'s' if tls else ''}://{host}:{port}/v1/alerts")
        await background.until_stopped(serving)
        server.should_exit = True
        await boards.close()
        await hub.close()
        await serving
        await delivery.settle(_SETTLE_S)
