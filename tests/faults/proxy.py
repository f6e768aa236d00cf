"""TCP proxies between workers and brokers: links that can be slow, or cut.

One proxy a broker. It knows which process a connection comes from, so that one worker can be cut off while the others
are not. A cut link keeps its connections open and carries nothing, as where packets are dropped; when it is mended,
what was under way arrives late, or the connections are reset.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import psutil

CHUNK = 64 * 1024
CALL_DEADLINE_S = 10.0


@dataclass
class Trouble:
    """What is wrong with links now. `owners` None: those of everybody; `brokers`: counted from 0."""

    brokers: frozenset[int] = frozenset()
    owners: frozenset[int] | None = None
    cut: bool = False
    delay_s: tuple[float, float] = (0.0, 0.0)  # from, to: a chunk, each way

    def touches(self, broker: int, owner: int | None) -> bool:
        return broker in self.brokers and (self.owners is None or owner in self.owners)


@dataclass(eq=False)
class _Link:
    """One connection of a client through its proxy."""

    broker: int
    owner: int | None
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    def reset(self) -> None:
        for writer in self.writers:
            writer.transport.abort()


class Proxies:
    """Runs in a thread of its own; every call but `close` may come at any time from another."""

    def __init__(self, count: int, owners: Callable[[], list[int]]) -> None:
        self._owners = owners
        self._sockets = [socket.create_server(("127.0.0.1", 0), backlog=256) for _ in range(count)]
        self.addresses = [f"127.0.0.1:{one.getsockname()[1]}" for one in self._sockets]
        self._upstream: list[str] = []
        self._trouble = Trouble()
        self._mended = asyncio.Event()
        self._links: set[_Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._rng = random.Random(0)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxies", daemon=True)
        self.carried = 0  # bytes

    def start(self, upstream: list[str]) -> None:
        """Carry connections from now on; `upstream` are the brokers' own addresses."""
        self._upstream = upstream
        self._mended.set()
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(CALL_DEADLINE_S)

    def afflict(self, trouble: Trouble) -> None:
        """Make links slow, or cut them, from now on."""

        def change() -> None:
            self._trouble = trouble
            self._mended.clear()

        self._call(change)

    def mend(self, *, reset: bool = False) -> None:
        """All links work; those that had been cut are reset, or go on with what was under way."""

        def change() -> None:
            before, self._trouble = self._trouble, Trouble()
            self._mended.set()
            for link in [link for link in self._links if reset and before.touches(link.broker, link.owner)]:
                link.reset()

        self._call(change)

    def close(self) -> None:
        if self._thread.is_alive():
            asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(CALL_DEADLINE_S)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(CALL_DEADLINE_S)
        for one in self._sockets:
            one.close()

    def _call(self, change: Callable[[], None]) -> None:
        async def body() -> None:
            change()

        asyncio.run_coroutine_threadsafe(body(), self._loop).result(CALL_DEADLINE_S)

    async def _listen(self) -> None:
        for broker, one in enumerate(self._sockets):
            one.setblocking(False)
            self._keep(self._accept(broker, one))

    def _keep(self, coroutine: object) -> None:
        task = self._loop.create_task(coroutine)  # type: ignore[arg-type]
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _end(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for link in list(self._links):
            link.reset()

    async def _accept(self, broker: int, listening: socket.socket) -> None:
        while True:
            accepted, (_, port) = await self._loop.sock_accept(listening)
            self._keep(self._carry(broker, accepted, port))

    async def _carry(self, broker: int, accepted: socket.socket, port: int) -> None:
        link = _Link(broker, await asyncio.to_thread(self._owner, port))
        self._links.add(link)
        try:
            near_reader, near = await asyncio.open_connection(sock=accepted)
            link.writers.append(near)
            await self._passable(link)
            host, _, upstream = self._upstream[broker].partition(":")
            far_reader, far = await asyncio.open_connection(host, int(upstream))
            link.writers.append(far)
            pumps = [self._pump(link, near_reader, far), self._pump(link, far_reader, near)]
            tasks = [asyncio.ensure_future(pump) for pump in pumps]
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
        except OSError:
            pass
        finally:
            self._links.discard(link)
            link.reset()
            accepted.close()

    async def _pump(self, link: _Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while chunk := await reader.read(CHUNK):
                await self._passable(link)
                writer.write(chunk)
                await writer.drain()
                self.carried += len(chunk)
            await self._passable(link)  # the end of a connection does not cross a cut either

    async def _passable(self, link: _Link) -> None:
        while (trouble := self._trouble).touches(link.broker, link.owner):
            if not trouble.cut:
                await asyncio.sleep(self._rng.uniform(*trouble.delay_s))
                return
            await self._mended.wait()

    def _owner(self, port: int) -> int | None:
        """The process at the other end of a connection from this port."""
        for pid in self._owners():
            with contextlib.suppress(psutil.Error):
                if any(one.laddr.port == port for one in psutil.Process(pid).net_connections("tcp4")):
                    return pid
        return None
