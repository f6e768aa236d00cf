"""How the HTTP gateway and the API are served: uvicorn with limits, and with deadlines for what it waits for for ever.

That is the head of a request, and a client that takes nothing of its answer. A connection counts against uvicorn's
limit meanwhile: some hundred that say nothing would keep all others out.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

HEAD_S: Final = 10.0
TAKE_S: Final = 30.0
"""For a client to take what is buffered for it (64 KiB, and what the systems between hold)."""
STOP_S: Final = 10
_REQUESTS: Final = 256
_KEEP_ALIVE_S: Final = 75
_HEAD_BYTES: Final = 16 * 1024
_SOCKET_BYTES: Final = 4 * 1024  # of a WebSocket's message: clients say nothing


def configured(app: Any, context: ssl.SSLContext | None, connections: int = _REQUESTS) -> uvicorn.Config:
    """How an application is served; with `context` by TLS."""
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        limit_concurrency=connections,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=STOP_S,
        h11_max_incomplete_event_size=_HEAD_BYTES,
        http=HeadInTime,
        ws=TakingSocket,
        ws_max_size=_SOCKET_BYTES,
        ws_per_message_deflate=False,
        lifespan="off",
    )
    config.load()
    config.ssl = context
    return config


class Server(uvicorn.Server):
    """uvicorn without its signal handlers: ours stop everything in order."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _Taking:
    """A connection that is closed when the client takes nothing for long: nothing else would end it."""

    _taking: asyncio.TimerHandle | None = None
    loop: asyncio.AbstractEventLoop
    transport: asyncio.Transport

    def pause_writing(self) -> None:
        super().pause_writing()  # type: ignore[misc]  # of the protocol that this is mixed into
        if self._taking is None:
            self._taking = self.loop.call_later(TAKE_S, self.transport.abort)

    def resume_writing(self) -> None:
        self._took()
        super().resume_writing()  # type: ignore[misc]

    def connection_lost(self, exc: Exception | None) -> None:
        self._took()
        super().connection_lost(exc)  # type: ignore[misc]

    def _took(self) -> None:
        if self._taking is not None:
            self._taking.cancel()
            self._taking = None


class TakingSocket(_Taking, WebSocketsSansIOProtocol):
    """A WebSocket whose client takes what it is told."""


class HeadInTime(_Taking, H11Protocol):
    """A connection that is closed when the head of a request does not come in time."""

    _waiting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.transport.get_protocol() is not self:  # it has become a WebSocket
            self._wait_no_more()
        elif self.cycle is None or self.cycle.response_complete:
            self._wait()
        else:
            self._wait_no_more()

    def connection_lost(self, exc: Exception | None) -> None:
        self._wait_no_more()
        super().connection_lost(exc)

    def _wait(self) -> None:
        if self._waiting is None:
            self._waiting = self.loop.call_later(HEAD_S, self.transport.abort)

    def _wait_no_more(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None
