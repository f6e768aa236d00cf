"""How the HTTP gateway is served: uvicorn with limits, and with a deadline for the head of each request.

uvicorn waits for a head for ever, and a connection counts against its limit while it does: some hundred that say
nothing would keep all others out.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_S: Final = 10.0
STOP_S: Final = 10
_REQUESTS: Final = 256
_KEEP_ALIVE_S: Final = 75
_HEAD_BYTES: Final = 16 * 1024


def configured(app: Any, context: ssl.SSLContext | None) -> uvicorn.Config:
    """How an application is served; with `context` by TLS."""
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        limit_concurrency=_REQUESTS,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=STOP_S,
        h11_max_incomplete_event_size=_HEAD_BYTES,
        http=HeadInTime,
        ws="none",
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


class HeadInTime(H11Protocol):
    """A connection that is closed when the head of a request does not come in time."""

    _waiting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.cycle is None or self.cycle.response_complete:
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
