"""One sender's connection: what becomes of its messages, and when they are answered.

It is two tasks. One reads blocks, maps them and hands over what they have become; the other answers them in their
order, each when its time has come. Up to `WINDOW` messages are under way, so that a sender that does not wait for
answers is not slowed down by one that Kafka takes its time for.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
from hl7.mllp import HL7StreamWriter, InvalidBlockError

from wardstream.agents.metrics import ACKNOWLEDGED, HL7_BLOCKS, HL7_MESSAGES
from wardstream.agents.tracing import headers_of, receiving
from wardstream.infra.gateways import answers, batch
from wardstream.infra.gateways.blocks import BlockReader, SlowBlock
from wardstream.infra.gateways.coverage import shown_type
from wardstream.infra.gateways.delivery import Row
from wardstream.infra.gateways.mapper import Mapper, Parcel
from wardstream.infra.gateways.spool import SpoolError
from wardstream.schemas.hl7v2 import Header, Malformed, acknowledgement, header_of_large

if TYPE_CHECKING:
    from wardstream.infra.gateways.mllp import Gateway

log = logging.getLogger(__name__)

WINDOW: Final = 32
HANGUP_S: Final = 10.0  # for answers that are due when a sender has closed its side, or we stop
_WRITE_S: Final = 30.0  # for a sender to take an answer
_LATE: Final = 10_000  # application acknowledgements on their way to one sender; small, and more are not sent

Sender = tuple[str, str, str]
"""Feed, sending application, sending facility."""


class Spooled(msgspec.Struct, array_like=True, frozen=True):
    """A message of enhanced mode on disk; `answer` is its application acknowledgement, empty where none is wanted."""

    rows: tuple[Row, ...]
    answer: bytes
    sender: Sender


class Due(NamedTuple):
    """An answer that is due: what it waits for, and what then is said (None: nothing)."""

    after: Sequence[asyncio.Future[None]]
    say: Callable[[], Awaitable[bytes | None]]
    rows: tuple[Row, ...] = ()  # that are lost if the sender goes
    begun: float = 0.0  # 0: nobody measures it
    mode: answers.Mode = "none"
    late: bool = False  # of a message that was answered before


class Connection:
    """One sender's connection."""

    def __init__(self, gateway: Gateway, mapper: Mapper, reader: BlockReader, writer: HL7StreamWriter) -> None:
        self.feed = mapper.feed.name
        self._gateway, self._mapper, self._reader, self._writer = gateway, mapper, reader, writer
        self._meters = gateway.meters
        self._due: asyncio.Queue[Due | None] = asyncio.Queue()  # bounded by:
        self._room = asyncio.Semaphore(WINDOW)
        self._reading: asyncio.Task[None] | None = None
        self._stopped = False

    async def run(self) -> None:
        """Serve the connection until its end."""
        if (plain := self._writer.get_extra_info("socket")) is not None:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)  # notices who has gone without a word
        loop = asyncio.get_running_loop()
        reading = self._reading = loop.create_task(self._read())
        answering = loop.create_task(self._answer())
        hung_up = loop.create_task(self._reader.ended.wait())
        tasks: list[asyncio.Task[Any]] = [reading, answering, hung_up]
        try:
            if self._stopped:
                reading.cancel()
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if not answering.done():  # what has been read may still be answered
                tasks.append(loop.create_task(self._finish(reading, answering)))
                await asyncio.wait(tasks[-1:], timeout=HANGUP_S)
        finally:
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            self._give_up()
            self._writer.close()
            loop.call_later(_WRITE_S, self.abort)  # if the sender does not take what is left
        for error in results:
            if isinstance(error, Exception) and not isinstance(error, OSError):
                raise error

    def read_no_more(self) -> None:
        """Stop reading; what has been read is answered."""
        self._stopped = True
        if self._reading is not None:
            self._reading.cancel()

    def abort(self) -> None:
        """Close at once."""
        self._writer.transport.abort()

    def tell(self, answer: bytes) -> bool:
        """Send a late answer, after those that were due before; False: the sender takes none."""
        if self._writer.transport.is_closing() or self._due.qsize() > _LATE:
            return False

        async def say() -> bytes:
            return answer

        self._due.put_nowait(Due((), say, late=True))
        return True

    async def _put(self, due: Due) -> None:
        await self._room.acquire()
        self._due.put_nowait(due)

    async def _finish(self, reading: asyncio.Task[None], answering: asyncio.Task[None]) -> None:
        await asyncio.wait({reading})
        self._due.put_nowait(None)
        await asyncio.wait({answering})

    async def _read(self) -> None:
        while True:
            try:
                block = await self._reader.block()
            except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
                return
            except SlowBlock:
                self._bad_block("slow")
                return
            except InvalidBlockError:
                self._bad_block("no_start")
                continue
            except ValueError:
                self._bad_block("too_large")
                await self._refuse(
                    Malformed("AR", "207", "MSH", "the message is too large", header_of_large(self._reader.head))
                )
                return
            if batch.is_batch(block):
                await self._take_batch(block)
            else:
                await self._take(block)

    async def _take(self, raw: bytes) -> None:
        begun = asyncio.get_running_loop().time()
        try:
            parcel = self._mapped(raw)
        except Malformed as bad:
            await self._refuse(bad)
            return
        with receiving("receive hl7v2", attributes={"wardstream.feed": self.feed}) as span:
            await self._hand_over(parcel if span is None else parcel.traced(headers_of(span.traceparent)), begun)

    async def _hand_over(self, parcel: Parcel, begun: float) -> None:
        header = parcel.header
        mode = answers.mode(header)
        if mode == "enhanced":
            await self._take_enhanced(parcel, begun)
            return
        arrived = await self._offered(parcel)

        async def say() -> bytes | None:
            return self._acknowledged(header, "AA") if mode == "original" else None

        await self._put(Due((arrived,), say, parcel.rows, begun, mode))

    async def _take_enhanced(self, parcel: Parcel, begun: float) -> None:
        header, gateway = parcel.header, self._gateway
        sender = self.feed, header.sending_application, header.sending_facility
        answer = acknowledgement(header, "AA", gateway.now()) if answers.applies(header) else b""
        gateway.remember(sender, self)
        try:
            kept = await gateway.spool.offer(msgspec.msgpack.encode(Spooled(parcel.rows, answer, sender)))
        except asyncio.CancelledError:
            self._mapper.undone(parcel.rows)
            raise

        async def say() -> bytes | None:
            try:
                await kept
            except SpoolError:
                await (await gateway.delivery.offer(parcel.rows))
            return self._acknowledged(header, "CA") if answers.accepts(header) else None

        await self._put(Due((), say, parcel.rows, begun, "enhanced"))

    async def _take_batch(self, block: bytes) -> None:
        begun = asyncio.get_running_loop().time()
        arrived: list[asyncio.Future[None]] = []
        rows: list[Row] = []
        said: list[tuple[Header, str, Malformed | None]] = []
        for raw in batch.messages(block):
            try:
                parcel = self._mapped(raw)
            except Malformed as bad:
                said.append((bad.header or Header(), bad.ack, bad))
            else:
                said.append((parcel.header, "AA", None))
                arrived.append(await self._offered(parcel))
                rows += parcel.rows
            await asyncio.sleep(0)  # thousands of messages would keep the others waiting
        if not said:
            self._gateway.heard(self.feed, 1)
            await self._refuse(Malformed("AE", "100", "MSH", "a batch without a message"))
            return

        async def say() -> bytes | None:
            return batch.answer([self._acknowledged(*each) for each in said])

        await self._put(Due(arrived, say, tuple(rows), begun, "original"))

    async def _refuse(self, bad: Malformed) -> None:
        header = bad.header or Header()
        code = answers.refusal(header, bad)
        if code is None:
            self._count(header, "none")
            return
        answer = self._acknowledged(header, code, bad)

        async def say() -> bytes | None:
            return answer

        await self._put(Due((), say))

    async def _offered(self, parcel: Parcel) -> asyncio.Future[None]:
        try:
            return await self._gateway.delivery.offer(parcel.rows)
        except asyncio.CancelledError:
            self._mapper.undone(parcel.rows)
            raise

    def _mapped(self, raw: bytes) -> Parcel:
        """Map a message; what the mapping did not foresee is the message's fault and nobody else's."""
        try:
            parcel = self._mapper(raw, self._gateway.now())
        except Malformed:
            self._gateway.heard(self.feed, 1)
            raise
        except Exception as error:  # noqa: BLE001  the connection, and all others, go on
            log.error("a message of feed %s could not be mapped: %s", self.feed, type(error).__name__)
            self._gateway.heard(self.feed, 1)
            raise Malformed("AR", "207", "MSH", "the message could not be read") from None
        self._gateway.heard(self.feed, parcel.dead)
        return parcel

    def _bad_block(self, why: str) -> None:
        self._meters.count(HL7_BLOCKS, (self.feed, why))
        self._gateway.heard(self.feed, 1)

    def _acknowledged(self, header: Header, code: str, bad: Malformed | None = None) -> bytes:
        self._count(header, code)
        return acknowledgement(header, code, self._gateway.now(), bad)

    def _count(self, header: Header, answer: str) -> None:
        self._meters.count(HL7_MESSAGES, (self.feed, shown_type(header.type) if header.type else "unknown", answer))

    async def _answer(self) -> None:
        while (due := await self._due.get()) is not None:
            try:
                for future in due.after:
                    await future
                answer = await due.say()
            except BaseException:
                self._lost(due)
                raise
            if not due.late:
                self._room.release()
            if answer is None:
                continue
            if due.begun:
                took = asyncio.get_running_loop().time() - due.begun
                self._meters.observe(ACKNOWLEDGED, took, (self.feed, due.mode))
            self._writer.writeblock(answer)
            async with asyncio.timeout(_WRITE_S):
                await self._writer.drain()

    def _give_up(self) -> None:
        """Of a sender that has gone: what it was not told will come again."""
        while not self._due.empty():
            if (due := self._due.get_nowait()) is not None:
                self._lost(due)

    def _lost(self, due: Due) -> None:
        for future in due.after:
            future.cancel()
        self._mapper.undone(due.rows)
