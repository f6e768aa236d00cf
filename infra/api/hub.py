"""All streams of this process, behind one reader of the alerts' topics.

A row is read, decoded and encoded once, and put before those subscribers that may want its unit. Each has a cursor of
its own and a bounded queue. One that does not take its rows is dropped from the live ones when its queue is full, and
goes on from where it was, when it takes them again: from the ring of the newest rows, or from Kafka if it is further
behind. It holds nobody up, and commits nothing anywhere. A connection that takes nothing for long is cut (`web`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Collection, Mapping
from typing import Any, NamedTuple

from aiokafka.errors import KafkaError

from wardstream.agents.metrics import ALERTS_OPEN, API_BEHIND, API_DELIVERED, API_READ, API_STREAMS, Meters
from wardstream.infra.api.history import LOOK_BACK_S, LOOK_FAR_BACK_S, History, Reader, partitions
from wardstream.infra.api.ring import Position, Ring, Row
from wardstream.infra.api.table import Standings
from wardstream.infra.kafka.outlasting import outlasted

log = logging.getLogger(__name__)

HEARTBEAT_S = 15.0
RING_ROWS = 8192
QUEUE_ROWS = 256
_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 15.0
_FORGET_S = 60.0
_PIECE_ROWS = 100  # some ms: streams go on meanwhile
_LEISURE_S = 0.005
_LOOK_S = 0.5
_READY_S = 20.0


class NotReady(Exception):
    """Kafka has not been read yet."""


class Wish(NamedTuple):
    """What a subscriber is told.

    Attributes
    ----------
    wants : callable
        Of a row: whether it is for this subscriber.
    units : collection of str or None
        In which units at most; None: anywhere.
    """

    wants: Callable[[Row], bool]
    units: Collection[str] | None


class _Subscriber:
    def __init__(self, wish: Wish) -> None:
        self.wish = wish
        self.queue: deque[Row] = deque()
        self.something = asyncio.Event()
        self.reached: Position | None = None  # not None: no longer live, and has all before this but what is queued

    def offer(self, row: Row) -> bool:
        """Queue a row; False: there is no room."""
        if len(self.queue) >= QUEUE_ROWS:
            return False
        self.queue.append(row)
        self.something.set()
        return True


class Hub:
    """Reads, keeps the newest rows and how alerts stand, and tells subscribers.

    Parameters
    ----------
    client : mapping
        Kafka's client options.
    meters : Meters
        Counts rows and streams.

    Attributes
    ----------
    meters : Meters
        As given.
    standings : Standings
        How alerts stand.
    as_of : float
        As of when (s since 1970) all that was written has been read: some seconds ago at most, unless Kafka is away.
    listeners : list of callable
        Called with each row that is read, in its order; after a change of lanes with those of before again.
    """

    def __init__(self, client: Mapping[str, Any], meters: Meters) -> None:
        self._client, self.meters = client, meters
        self._older = False  # whether alerts are known that nobody has touched since before what was read first
        self.standings = Standings()
        self.as_of = 0.0
        self.listeners: list[Callable[[Row], object]] = []
        self._ring: Ring | None = None
        self._history: History | None = None
        self._ready = asyncio.Event()
        self._closing = asyncio.Event()
        self._live: dict[str | None, dict[_Subscriber, None]] = {}  # by unit; None: of all units
        self._streams = 0
        self._shown = set[tuple[str, str]]()  # labels of gauges that are set

    def look(self) -> None:
        """Set the gauges."""
        now = self.standings.open()
        for key in self._shown - now.keys():
            self.meters.values.pop((ALERTS_OPEN, key), None)
        for key, number in now.items():
            self.meters.set(ALERTS_OPEN, number, key)
        self._shown = set(now)

    async def ready(self) -> None:
        """Wait until the table is whole.

        Raises
        ------
        NotReady
            It is not, in time.
        """
        try:
            async with asyncio.timeout(_READY_S):
                await self._ready.wait()
        except TimeoutError:
            raise NotReady from None

    def trouble(self) -> str | None:
        """None: alerts can be had; else why not."""
        return None if self._ready.is_set() else "the table of alerts is not whole yet"

    @property
    def ring(self) -> Ring:
        """The newest rows; `ready` has been waited for."""
        if self._ring is None:
            raise NotReady
        return self._ring

    @property
    def history(self) -> History:
        """The rows before; `ready` has been waited for."""
        if self._history is None:
            raise NotReady
        return self._history

    async def run(self) -> None:
        """Read until cancelled; after any failure anew, from where it was."""
        pause = _PAUSE_S
        while True:
            with outlasted(log, "alerts cannot be read"):
                await self._read()
            await asyncio.sleep(pause)
            pause = _PAUSE_S if self._ready.is_set() else min(2 * pause, _LONGEST_PAUSE_S)

    async def look_back(self) -> None:
        """Find, at leisure, open alerts that nobody has touched since before what was read first; until cancelled."""
        while True:
            await self._ready.wait()
            with outlasted(log, "older alerts cannot be read yet"):
                if not self._older:
                    await self._read_older(self.standings)
            await asyncio.sleep(_LONGEST_PAUSE_S)

    async def _read_older(self, known: Standings) -> None:
        """All until now, and not only what is older: what has ended since is forgotten by those that are known."""
        parts, older = await partitions(self._client), Standings()
        reader = Reader(self._client, parts)
        try:
            await reader.open()
            begin = await reader.begin(int((time.time() - LOOK_FAR_BACK_S) * 1000))
            reader.seek(begin)
            end = await reader.end()
            while behind := [part for part, at, to in zip(parts, await reader.position(), end, strict=True) if at < to]:
                for row, at in await reader.read(begin, _PIECE_ROWS, behind):
                    if row.offset < end[row.part]:
                        older.add(row, at)
                older.drop_ended()
                await asyncio.sleep(_LEISURE_S)
        finally:
            await reader.aclose()
        if self.standings is known:  # lanes were not added meanwhile
            known.add_older(older)
            self._older = True
            log.info("older alerts are read")

    async def close(self) -> None:
        """End all streams, and disconnect."""
        self._closing.set()
        for subscribers in self._live.values():
            for subscriber in subscribers:
                subscriber.something.set()
        if self._history is not None:
            await self._history.close()

    async def follow(self, wish: Wish, position: Position | None) -> AsyncGenerator[tuple[list[Row], Position]]:
        """What a subscriber is told, a few rows at a time, and the position after them; no rows: it is still there.

        Parameters
        ----------
        position : Position or None
            All at or after it; None: what comes from now on.

        Raises
        ------
        KafkaError, TimeoutError, NotReady
            What is not in memory cannot be read.
        """
        self._streams += 1
        self.meters.set(API_STREAMS, self._streams)
        try:
            if position is None:
                position = self.ring.end
            yield [], position
            while not self._closing.is_set():
                await self.ready()
                position += (0,) * (len(self.ring.end) - len(position))  # of lanes that were added
                while (found := self.ring.since(position)) is None:
                    rows, position = await self.history.since(position, self.ring.begin)
                    if told := [row for row in rows if wish.wants(row)]:
                        yield self._counted(told), position
                subscriber, position = self._join(wish), self.ring.end  # at once after `since`: nothing is between
                try:
                    told = [row for row in found if wish.wants(row)]
                    for first in range(0, len(told), QUEUE_ROWS):
                        some = told[first : first + QUEUE_ROWS]
                        yield self._counted(some), some[-1].after
                    async for batch in self._live_rows(subscriber):
                        yield batch
                finally:
                    self._leave(subscriber)
                if subscriber.reached is not None:
                    position = subscriber.reached
        finally:
            self._streams -= 1
            self.meters.set(API_STREAMS, self._streams)

    async def _live_rows(self, subscriber: _Subscriber) -> AsyncGenerator[tuple[list[Row], Position]]:
        while not self._closing.is_set():
            if subscriber.queue:
                rows = list(subscriber.queue)
                subscriber.queue.clear()
                yield self._counted(rows), rows[-1].after
                continue
            if subscriber.reached is not None:
                return
            subscriber.something.clear()
            try:
                async with asyncio.timeout(HEARTBEAT_S):
                    await subscriber.something.wait()
            except TimeoutError:
                if not subscriber.queue and subscriber.reached is None:
                    yield [], self.ring.end

    def _counted(self, rows: list[Row]) -> list[Row]:
        self.meters.count(API_DELIVERED, by=len(rows))
        return rows

    def _join(self, wish: Wish) -> _Subscriber:
        subscriber = _Subscriber(wish)
        for unit in (None,) if wish.units is None else wish.units:
            self._live.setdefault(unit, {})[subscriber] = None
        return subscriber

    def _leave(self, subscriber: _Subscriber) -> None:
        units = subscriber.wish.units
        for unit in (None,) if units is None else units:
            if (there := self._live.get(unit)) is not None:
                there.pop(subscriber, None)
                if not there:
                    del self._live[unit]

    async def _read(self) -> None:
        parts = await partitions(self._client)
        reader = Reader(self._client, parts)
        try:
            await reader.open()
            if self._ring is None or len(self._ring.end) != len(parts):  # lanes were added: streams begin anew
                begin = await reader.begin(int((time.time() - LOOK_BACK_S) * 1000))
                await self._begin(Ring(begin, RING_ROWS), History(self._client, parts))
            reader.seek(self.ring.end)
            asked, ends, forgotten, looked = time.time(), await reader.end(), 0.0, 0.0
            while True:
                for row, at in await reader.read(self.ring.end):
                    self._take(row, at)
                if not self._ready.is_set() and not any(map(int.__lt__, await reader.position(), ends)):
                    log.info("alerts are read")
                    self.as_of = asked
                    self._ready.set()
                if self._ready.is_set() and time.monotonic() - looked > _LOOK_S:
                    self.as_of = max(self.as_of, await reader.as_of() or 0.0)
                    looked = time.monotonic()
                if time.monotonic() - forgotten > _FORGET_S:
                    self.standings.forget(time.time())
                    forgotten = time.monotonic()
        finally:
            await reader.aclose()

    async def _begin(self, ring: Ring, history: History) -> None:
        self._ready.clear()
        for subscriber in {subscriber for there in self._live.values() for subscriber in there}:
            subscriber.reached = subscriber.queue[-1].after if subscriber.queue else self.ring.end
            subscriber.something.set()
        self._live.clear()
        self._older = False
        before, self._ring, self._history, self.standings = self._history, ring, history, Standings()
        if before is not None:
            with contextlib.suppress(KafkaError):
                await before.close()

    def _take(self, row: Row, at: float) -> None:
        self.ring.add(row)
        self.standings.add(row, at)
        self.meters.count(API_READ)
        for listener in self.listeners:
            listener(row)
        asked = {subscriber for unit in {None, *row.alert.told_in} for subscriber in self._live.get(unit, ())}
        for subscriber in asked:
            if subscriber.wish.wants(row) and not subscriber.offer(row):
                self.meters.count(API_BEHIND)
                subscriber.reached = subscriber.queue[-1].after
                self._leave(subscriber)
