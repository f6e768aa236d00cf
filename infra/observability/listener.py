"""The listener that watches a process: `/metrics` for Prometheus, `/healthz` and `/readyz` for who runs it.

`/metrics` names units and feeds, so beyond loopback it asks for a token with the role `metrics`. The other two say only
which check fails, and are asked by those who know no tokens (Kubernetes, load balancers).
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, Final

import orjson
from prometheus_client import CollectorRegistry, make_asgi_app

from wardstream.infra.addresses import host_of, is_loopback
from wardstream.infra.gateways.auth import Anyone, Authority, TokenFile
from wardstream.infra.gateways.listeners import Listener, bound, server_context
from wardstream.infra.gateways.web import Server, configured
from wardstream.infra.settings import Settings

log = logging.getLogger(__name__)

Check = Callable[[], str | None]
"""None: all is well; else what is not, without patients' data."""
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_CONNECTIONS: Final = 32
_STOP_S: Final = 2  # scrapes are short, and the process has ended its work


class Watched:
    """The application behind the listener (ASGI).

    Parameters
    ----------
    registry : CollectorRegistry
        What `/metrics` says.
    checks : mapping
        What must be so for the process to do its work; `/readyz` answers 503 where one is not.
    authority : Authority
        Whom `/metrics` answers.
    """

    def __init__(self, registry: CollectorRegistry, checks: Mapping[str, Check], authority: Authority) -> None:
        self._metrics = make_asgi_app(registry)
        self._checks, self._authority = checks, authority

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise RuntimeError("nothing but HTTP is served here")  # uvicorn closes the connection
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        if scope["method"] not in ("GET", "HEAD"):
            await _answer(send, 405, {"error": "GET only"}, allow="GET, HEAD")
        elif scope["path"] == "/healthz":
            await _answer(send, 200, {"alive": True})
        elif scope["path"] == "/readyz":
            said = {name: check() for name, check in self._checks.items()}
            ready = not any(said.values())
            told = {name: what or "ok" for name, what in said.items()}
            await _answer(send, 200 if ready else 503, {"ready": ready, "checks": told})
        elif scope["path"] != "/metrics":
            await _answer(send, 404, {"error": "there are /metrics, /healthz and /readyz"})
        elif (refused := self._refused(headers)) is not None:
            status, why = refused
            await _answer(send, status, {"error": why}, **({"www-authenticate": "Bearer"} if status == 401 else {}))
        else:
            await self._metrics(scope, receive, send)

    def _refused(self, headers: Mapping[str, str]) -> tuple[int, str] | None:
        """Why a scrape is not answered; None: it is."""
        if isinstance(self._authority, Anyone) and ("origin" in headers or not _is_here(headers.get("host", ""))):
            return 403, "without tokens browsers are not let in"  # any page that is open here could ask
        scheme, _, token = headers.get("authorization", "").partition(" ")
        principal = self._authority.principal(token.strip() if scheme.lower() == "bearer" else "")
        if principal is None:
            return 401, "show a token: Authorization: Bearer …"
        return None if "metrics" in principal.roles else (403, "this token's role reads no metrics")


class WatchListener:
    """Serves `/metrics`, `/healthz` and `/readyz` until cancelled; where no address is set, nothing.

    The address is taken at once, so that a mistake is told at the start.

    Raises
    ------
    Failure
        The listener is refused, the tokens' file cannot be used, the address is taken.
    """

    def __init__(self, settings: Settings, registry: CollectorRegistry, checks: Mapping[str, Check]) -> None:
        self._server: Server | None = None
        self._socket: socket.socket | None = None
        self.address: str | None = None
        if settings.metrics_listen is None:
            return
        certificate, key = settings.metrics_tls_cert, settings.metrics_tls_key
        tls, known = certificate is not None, settings.tokens_file is not None
        listener = Listener("the listener for metrics", settings.metrics_listen, tls, "tokens", known)
        context = None if certificate is None or key is None else server_context(certificate, key)
        authority = Anyone("metrics") if settings.tokens_file is None else TokenFile(settings.tokens_file)
        self._socket = bound(listener)
        config = configured(Watched(registry, checks, authority), context, _CONNECTIONS)
        config.timeout_graceful_shutdown = _STOP_S
        self._server = Server(config)
        host, port = self._socket.getsockname()[:2]
        self.address = f"http{'s' if tls else ''}://{host}:{port}"

    async def run(self) -> None:
        """Serve until cancelled."""
        if self._server is None:
            return
        log.info("metrics and health are at %s", self.address)
        serving = asyncio.create_task(self._server.serve(sockets=[self._socket] if self._socket else None))
        try:
            await asyncio.shield(serving)
        finally:
            self._server.should_exit = True
            await serving


def _is_here(host: str) -> bool:
    return is_loopback(host_of(host if host.rpartition(":")[0] and not host.endswith("]") else f"{host}:80"))


async def _answer(send: Send, status: int, body: dict[str, Any], **headers: str) -> None:
    told = {"content-type": "application/json", "cache-control": "no-store", **headers}
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [(name.encode(), value.encode()) for name, value in told.items()],
        }
    )
    await send({"type": "http.response.body", "body": orjson.dumps(body)})
