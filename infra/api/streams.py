"""A subscriber's connection: SSE or WebSocket over the same cursor.

An event's id is the position after it in all partitions. Who comes back with it (Last-Event-ID, or `after`) misses
nothing, and may be told some again, with the same event_id. While nothing happens, a beat tells the position from time
to time, so that who comes back need not read from the last alert of its own, and as of when that was all: while Kafka
is away streams stay open, and silent. A stream ends when its token is taken away or its subscription changes; the
client comes back and is let in, or not.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, contextmanager

import msgspec
from aiokafka.errors import KafkaError
from fastapi.sse import format_sse_event
from fastapi.websockets import WebSocket, WebSocketDisconnect

from wardstream.agents.tracing import begin
from wardstream.infra.api.bodies import Beat, moment
from wardstream.infra.api.hub import HEARTBEAT_S, Hub, NotReady, Wish
from wardstream.infra.api.ring import Position, Row, text_of
from wardstream.infra.gateways.http import Refused

log = logging.getLogger(__name__)

STREAMS = 4096
SHARES = 4  # no token has more than a quarter of them
_RETRY_MS = 2000
_GONE = 1001
_TRY_AGAIN = 1013


class Streams:
    """How many are open, by token."""

    def __init__(self, most: int = STREAMS) -> None:
        self._most, self._open = most, Counter[str]()

    def allow(self, who: str, alone: bool) -> None:
        """Refuse a stream where there is no room; `alone`: there are no tokens to share it among.

        Raises
        ------
        Refused
            With 429.
        """
        if self._open.total() >= self._most or self._open[who] >= (self._most if alone else self._most // SHARES):
            raise Refused(429, "too many streams are open", Retry_After="30")

    @contextmanager
    def opened(self, who: str) -> Iterator[None]:
        """Count a stream while it is open."""
        self._open[who] += 1
        try:
            yield
        finally:
            self._open[who] -= 1
            if not self._open[who]:
                del self._open[who]


async def _followed(
    hub: Hub, wish: Wish, after: Position | None, holds: Callable[[], bool]
) -> AsyncGenerator[tuple[list[Row], Position]]:
    """As `Hub.follow`, while the token and the subscription hold; ends where Kafka cannot be asked."""
    loop = asyncio.get_running_loop()
    looked = loop.time()
    try:
        async with aclosing(hub.follow(wish, after)) as found:
            async for rows, position in found:
                if loop.time() - looked >= HEARTBEAT_S:
                    looked = loop.time()
                    if not holds():
                        return
                yield rows, position
    except (KafkaError, TimeoutError, OSError, NotReady) as error:
        log.warning("a stream ends: what it has missed cannot be read: %s", type(error).__name__)


async def events(hub: Hub, wish: Wish, after: Position | None, holds: Callable[[], bool]) -> AsyncGenerator[bytes]:
    """The body of an SSE answer."""
    yield format_sse_event(retry=_RETRY_MS)
    async with aclosing(_followed(hub, wish, after, holds)) as found:
        async for rows, position in found:
            if rows:
                yield _event(rows[0]) if len(rows) == 1 else b"".join(map(_event, rows))
                _delivered(rows, "sse")
            else:
                name, data = (None, None) if (beat := _beat(hub, position)) is None else ("beat", beat.decode())
                yield format_sse_event(event=name, data_str=data, comment="", id=text_of(position))


async def talk(socket: WebSocket, hub: Hub, wish: Wish, after: Position | None, holds: Callable[[], bool]) -> None:
    """Tell a WebSocket until it goes."""

    async def tell() -> None:
        async with aclosing(_followed(hub, wish, after, holds)) as found:
            async for rows, position in found:
                for row in rows:
                    await socket.send_text(_message(row))
                _delivered(rows, "websocket")
                if not rows:
                    beat = _beat(hub, position) or b"null"
                    await socket.send_text(f'{{"id":"{text_of(position)}","beat":{beat.decode()}}}')
        await socket.close(_TRY_AGAIN)

    async def hear() -> None:
        while True:  # clients have nothing to say; what they say is let go
            await socket.receive()

    tasks = {asyncio.create_task(tell()), asyncio.create_task(hear())}
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    for error in results:
        # `receive` says that the client has gone by a message once, and by RuntimeError afterwards
        if isinstance(error, Exception) and not isinstance(error, WebSocketDisconnect | RuntimeError | OSError):
            raise error


def _beat(hub: Hub, position: Position) -> bytes | None:
    """None: what comes after the position is yet to be told."""
    return msgspec.json.encode(Beat(as_of=moment(hub.as_of))) if position == hub.ring.end else None


def _delivered(rows: list[Row], channel: str) -> None:
    """Trace, of what is traced, that a subscriber's connection has taken it."""
    for row in rows:
        if row.trace is not None:
            about = {"wardstream.channel": channel}
            span = begin("deliver alert", "producer", *row.trace, about)
            if span is not None:
                span.end()


def _event(row: Row) -> bytes:
    if row.event is None:
        name = "silent-alert" if row.silent else "alert"
        row.event = format_sse_event(event=name, data_str=row.value.decode(), id=text_of(row.after))
    return row.event


def _message(row: Row) -> str:
    if row.message is None:
        silent = "true" if row.silent else "false"
        row.message = f'{{"id":"{text_of(row.after)}","silent":{silent},"alert":{row.value.decode()}}}'
    return row.message
