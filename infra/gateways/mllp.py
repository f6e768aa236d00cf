"""HL7 v2 over MLLP: the listeners, and the spool behind them.

**Original mode**: the answer AA comes when all in-sync replicas have every event; while Kafka is away it does not come,
until Kafka is back or the sender hangs up (and sends again later, with the same ids). **Enhanced mode**: CA comes when
the message is in the spool, on disk; from there it is delivered, in order, and answered by AA if MSH-16 wants that:
over the newest connection of that sender to the feed; where there is none nobody hears it, which is counted. Where the
disk refuses, CA waits for Kafka.

**Refused** (AE, AR, CE, CR with ERR) is what is no HL7 message. A sound message that nothing can be made of is a dead
letter and gets AA: an error would stop the sender's queue for a message that is not better the next time.

**Limits**: size and time of a block, number of connections, messages under way, bytes under way in all. Where these are
reached, nothing is read until there is room.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

import msgspec
from hl7.mllp import HL7StreamProtocol, HL7StreamWriter

from wardstream.agents.metrics import CONNECTIONS, CONNECTIONS_REFUSED, LATE_ANSWERS, Meters
from wardstream.infra.gateways.blocks import BlockReader
from wardstream.infra.gateways.connection import HANGUP_S, Connection, Sender, Spooled
from wardstream.infra.gateways.delivery import Delivery
from wardstream.infra.gateways.listeners import Listener
from wardstream.infra.gateways.mapper import Mapper
from wardstream.infra.gateways.spool import Spool

log = logging.getLogger(__name__)

CONNECTIONS_AT_ONCE: Final = 128
DRAINED: Final = 500  # records of the spool at a time
_HANDSHAKE_S: Final = 10.0


class Gateway:
    """All listeners of one process.

    Parameters
    ----------
    delivery, spool
        Open; run by the caller.
    meters
        Counts.
    connections
        How many at once, over all listeners.
    make_reader
        Makes the reader of a connection, with its limits.
    heard
        Told of each message and bad block: the feed, and how much of it could not be used.
    now
        The wall clock.
    """

    def __init__(
        self,
        delivery: Delivery,
        spool: Spool,
        meters: Meters,
        connections: int = CONNECTIONS_AT_ONCE,
        make_reader: Callable[[], BlockReader] = BlockReader,
        heard: Callable[[str, int], object] = lambda feed, rejects: None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.delivery, self.spool, self.meters, self.now, self.heard = delivery, spool, meters, now, heard
        self._most, self._make_reader = connections, make_reader
        self._servers: list[asyncio.Server] = []
        self._open: dict[asyncio.Task[None], Connection] = {}
        self._last: dict[Sender, Connection] = {}  # the newest connection of each sender, for late answers

    async def listen(self, listener: Listener, mapper: Mapper, context: ssl.SSLContext | None) -> int:
        """Open a listener for one feed and return its port."""

        def connected(reader: BlockReader, writer: HL7StreamWriter) -> None:
            self._connected(Connection(self, mapper, reader, writer))

        def protocol() -> HL7StreamProtocol:
            reader = self._make_reader()
            return HL7StreamProtocol(reader, connected, loop=asyncio.get_running_loop())

        handshake_s = None if context is None else _HANDSHAKE_S
        server = await asyncio.get_running_loop().create_server(
            protocol,
            listener.host,
            listener.port,
            ssl=context,
            backlog=self._most,
            ssl_handshake_timeout=handshake_s,
            ssl_shutdown_timeout=handshake_s,
        )
        self._servers.append(server)
        self.meters.set(CONNECTIONS, 0, (mapper.feed.name,))
        return int(server.sockets[0].getsockname()[1])

    async def drain(self) -> None:
        """Deliver what is in the spool. Runs until it is cancelled."""
        while True:
            records = [msgspec.msgpack.decode(record, type=Spooled) for record in await self.spool.take(DRAINED)]
            # Many at a time, but in their order: `offer` waits where too much is under way.
            arrived = [await self.delivery.offer(record.rows) for record in records]
            for future in arrived:
                await future
            self.spool.delivered(len(records))
            for record in records:
                if record.answer:
                    self._answer_late(record)

    async def stop(self) -> None:
        """Accept and read nothing more; answer what has been read, as far as that takes no more than some seconds."""
        for server in self._servers:
            server.close()
        for connection in self._open.values():
            connection.read_no_more()
        if self._open:
            await asyncio.wait(set(self._open), timeout=HANGUP_S)
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    def remember(self, sender: Sender, connection: Connection) -> None:
        """Take a connection for the one over which a sender hears late answers."""
        self._last[sender] = connection

    def _connected(self, connection: Connection) -> None:
        feed = connection.feed
        if len(self._open) >= self._most:
            self.meters.count(CONNECTIONS_REFUSED, (feed,))
            connection.abort()
            return
        task = asyncio.get_running_loop().create_task(connection.run())
        self._open[task] = connection
        self._count_connections(feed)
        task.add_done_callback(self._closed)

    def _closed(self, task: asyncio.Task[None]) -> None:
        connection = self._open.pop(task)
        self._last = {sender: last for sender, last in self._last.items() if last is not connection}
        self._count_connections(connection.feed)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a connection of feed %s failed: %s", connection.feed, type(error).__name__)

    def _count_connections(self, feed: str) -> None:
        open_ones = sum(connection.feed == feed for connection in self._open.values())
        self.meters.set(CONNECTIONS, open_ones, (feed,))

    def _answer_late(self, record: Spooled) -> None:
        connection = self._last.get(record.sender)
        told = connection is not None and connection.tell(record.answer)
        self.meters.count(LATE_ANSWERS, (record.sender[0], "sent" if told else "nobody_there"))
