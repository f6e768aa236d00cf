"""How requests to the API and the board are counted: by route, never by address, which names patients."""

from __future__ import annotations

from time import monotonic
from typing import Any, Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from wardstream.agents.metrics import API_REQUESTS, API_SECONDS, Meters

OTHER: Final = "other"  # no route of ours
_NOBODY: Final = "499"  # who asked had gone before there was an answer
_METHODS: Final = frozenset(("GET", "POST", "PATCH", "PUT", "DELETE", "HEAD", "OPTIONS"))


class Measured:
    """An application whose answers are counted (ASGI). A WebSocket is a request of the method `SOCKET`."""

    def __init__(self, app: ASGIApp, meters: Meters) -> None:
        self._app, self._meters = app, meters

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        began, status = monotonic(), _NOBODY

        async def told(message: Message) -> None:
            nonlocal status
            if status == _NOBODY and message["type"] in _BEGINS:
                status = str(message.get("status", 101))
                self._meters.observe(API_SECONDS, monotonic() - began, (_route(scope),))
            await send(message)

        try:
            await self._app(scope, receive, told)
        finally:
            method = scope.get("method", "SOCKET")
            labels = method if method in (*_METHODS, "SOCKET") else OTHER, _route(scope), status
            self._meters.count(API_REQUESTS, labels)


_BEGINS: Final = frozenset(("http.response.start", "websocket.accept", "websocket.http.response.start"))


def _route(scope: Scope) -> str:
    """The route's pattern: `/v1/alerts/(alert_id)`, for braces would end a series' labels."""
    route: Any = scope.get("route")
    return OTHER if route is None else str(route.path).replace("{", "(").replace("}", ")")
