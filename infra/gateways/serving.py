"""`wardstream serve`: what a gateway is made of, from its start to its orderly end."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from wardstream.agents.metrics import DELIVERY_WAITING, SPOOL_BYTES, SPOOL_DAMAGED, SPOOL_RECORDS, Meters
from wardstream.client.brokers import Brokers
from wardstream.infra.failure import Failure
from wardstream.infra.gateways.auth import Anyone, Authority, TokenFile
from wardstream.infra.gateways.delivery import Delivery
from wardstream.infra.gateways.feeds import FeedFile
from wardstream.infra.gateways.http import make_app
from wardstream.infra.gateways.listeners import Handshakes, Listener, allow, bound, server_context
from wardstream.infra.gateways.mappers import mappers
from wardstream.infra.gateways.mllp import Gateway
from wardstream.infra.gateways.spool import Spool
from wardstream.infra.gateways.watching import Watcher
from wardstream.infra.gateways.web import Server, configured
from wardstream.infra.notices import open_notices
from wardstream.infra.observability.reporting import Reporting
from wardstream.infra.settings import Settings, kafka_client_options
from wardstream.schemas.pseudonym import Pseudonyms

Announce = Callable[[str], object]

log = logging.getLogger(__name__)

_BROKER_S = 15.0  # for Kafka to take a group, before it is tried over a new connection
_LINGER_S = 0.005  # a group is flushed as soon as it is complete
_ROOM_BYTES = 1 << 20  # a message may be so long
_SETTLE_S = 10.0  # for what is under way when we stop


async def serve_mllp(settings: Settings, feeds: Mapping[str, FeedFile], announce: Announce) -> None:
    """Take HL7 v2 over MLLP until a signal says to stop.

    Raises
    ------
    Failure
        A listener is refused, a key is missing, the spool is in use, an address is taken.
    """
    meters = Meters()
    listening = {name: file.mllp for name, file in feeds.items() if file.mllp is not None}
    if not listening:
        raise Failure("no feed has a listener: `[feeds.NAME.mllp]` with `listen` makes one")
    listeners = {}
    for name, mllp in listening.items():
        tls = mllp.tls_cert is not None
        known = tls and mllp.client_ca is not None
        listener = allow(Listener(f"the feed {name}", mllp.listen, tls, "client certificates", known))
        context = None
        if mllp.tls_cert is not None and mllp.tls_key is not None:
            context = Handshakes(name, meters).watch(server_context(mllp.tls_cert, mllp.tls_key, mllp.client_ca))
        listeners[name] = listener, context
    mapping = mappers(settings, feeds, meters)
    options = kafka_client_options(settings)
    delivery = Delivery(partial(_way, options), meters)
    spool = Spool(settings.home / "spool", settings.spool_mib << 20)
    spool.open()
    try:
        limits = {name: feeds[name].watch for name in listeners}
        watcher = Watcher(limits, meters, partial(open_notices, options), partial(_way, options))
        gateway = Gateway(delivery, spool, meters, heard=watcher.heard)

        def look() -> None:
            meters.set(SPOOL_RECORDS, spool.records)
            meters.set(SPOOL_BYTES, spool.bytes)
            meters.set(SPOOL_DAMAGED, spool.damaged)
            meters.set(DELIVERY_WAITING, delivery.waiting)

        def spooled() -> str | None:  # without Kafka it goes on as long as there is room
            return None if spool.has_room(_ROOM_BYTES) else "the spool is full"

        reporting = Reporting(settings, meters, options, "mllp-gateway", look, {"spool": spooled})
        async with Background(delivery.run, spool.run, gateway.drain, reporting.run, watcher.run) as background:
            for name, (listener, context) in listeners.items():
                try:
                    port = await gateway.listen(listener, mapping[name], context)
                except OSError as error:
                    raise Failure(f"the feed {name} cannot listen on {listener.address}: {error.strerror}") from None
                announce(f"feed {name} listens on {listener.host}:{port}{' with TLS' if context else ''}")
            await background.until_stopped()
            await gateway.stop()
            await delivery.settle(_SETTLE_S)
    finally:
        spool.close()


async def serve_http(settings: Settings, announce: Announce) -> None:
    """Take events over HTTP until a signal says to stop.

    Raises
    ------
    Failure
        The listener is refused, the tokens' file cannot be used, the address is taken.
    """
    tls = settings.http_tls_cert is not None
    listener = Listener("the HTTP gateway", settings.http_listen, tls, "tokens", settings.tokens_file is not None)
    context = None
    if settings.http_tls_cert is not None and settings.http_tls_key is not None:
        context = server_context(settings.http_tls_cert, settings.http_tls_key)
    taken = bound(listener)
    authority: Authority = Anyone() if settings.tokens_file is None else TokenFile(settings.tokens_file)
    meters, options = Meters(), kafka_client_options(settings)
    delivery = Delivery(partial(_way, options), meters)
    key = settings.pseudonym_key_bytes()
    pseudonyms = None if key is None else Pseudonyms(key)
    server = Server(configured(make_app(authority, delivery, meters, pseudonyms=pseudonyms), context))

    def look() -> None:
        meters.set(DELIVERY_WAITING, delivery.waiting)

    reporting = Reporting(settings, meters, options, "http-gateway", look)
    async with Background(delivery.run, reporting.run) as background:
        serving = asyncio.create_task(server.serve(sockets=[taken]))
        port = taken.getsockname()[1]
        announce(f"events are taken at http{'s' if tls else ''}://{listener.host}:{port}/v1/events/TOPIC")
        await background.until_stopped(serving)
        server.should_exit = True
        await serving
        await delivery.settle(_SETTLE_S)


class Background:
    """Tasks beside the listeners, which run for ever: one that ends ends all, and so the process."""

    def __init__(self, *bodies: Callable[[], Any]) -> None:
        self._bodies = bodies
        self._tasks: set[asyncio.Task[Any]] = set()
        self._stop = asyncio.Event()

    async def __aenter__(self) -> Background:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stop.set)
        self._tasks = {loop.create_task(body()) for body in self._bodies}
        return self

    async def until_stopped(self, *others: asyncio.Task[Any]) -> None:
        """Wait for a signal, or for the end of a task."""
        stopping = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait({stopping, *self._tasks, *others}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
        for task in self._tasks:
            if task.done():  # also one that was cancelled, which raises nothing
                log.error("%s has ended, so all does", getattr(task.get_coro(), "__qualname__", task.get_name()))

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            if not task.done():
                task.cancel()
        results = await asyncio.gather(*self._tasks, return_exceptions=True)
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().remove_signal_handler(number)
        for error in results:
            if isinstance(error, Exception):
                raise error


def _way(options: dict[str, Any]) -> Brokers:
    return Brokers(options, _BROKER_S, _LINGER_S)
