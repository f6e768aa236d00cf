"""From gateways to Kafka: what many callers hand over at the same time goes out together, and each learns of its own.

One task sends, a group at a time: all that waits when the group before is acknowledged. So groups grow with the load,
and a single message waits for nobody. A group counts as delivered when all in-sync replicas have all of it. If that
fails, the connection is closed and the whole group is sent again over a new one, for as long as it takes: ids of events
are their own, so what was there already is recognised as a resend. Until then callers wait, and when too much waits,
`offer` does: gateways then stop reading.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Protocol
from zlib import crc32

import msgspec

from wardstream.agents.metrics import DELIVERY_FAILURES, DELIVERY_ROWS, DELIVERY_SECONDS, Meters
from wardstream.client.batches import Headers, PublishError

log = logging.getLogger(__name__)

HELD_BYTES = 32 << 20
_GROUP_PARCELS = 1000
_GROUP_BYTES = 2 << 20
_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 3.0


class Row(msgspec.Struct, array_like=True, frozen=True):
    """One record for Kafka; without a key it goes to any partition."""

    topic: str
    key: str | None
    value: bytes
    headers: Headers = ()


class Way(Protocol):
    """How rows leave: see `wardstream.client.brokers.Brokers`."""

    async def open(self) -> None: ...
    async def close(self) -> None: ...
    async def add(self, topic: str, patient_id: str, value: bytes, headers: Headers = ()) -> None: ...
    async def add_at(self, topic: str, partition: int, value: bytes, headers: Headers = ()) -> None: ...
    async def flush(self) -> None: ...
    async def partitions(self, topic: str) -> int: ...


class Delivery:
    """Delivers rows, and tells each caller when they have arrived.

    Parameters
    ----------
    way
        Makes a new connection to the cluster.
    meters
        Counts groups and failures.
    held_bytes
        How much may wait.
    """

    def __init__(self, way: Callable[[], Way], meters: Meters, held_bytes: int = HELD_BYTES) -> None:
        self._way, self._meters, self._limit = way, meters, held_bytes
        self._waiting: dict[asyncio.Future[None], tuple[Sequence[Row], int]] = {}  # in their order
        self._held = 0
        self._something = asyncio.Event()
        self._freed = asyncio.Event()

    @property
    def waiting(self) -> int:
        """How many parcels wait."""
        return len(self._waiting)

    async def offer(self, rows: Sequence[Row]) -> asyncio.Future[None]:
        """Hand rows over; wait while too many do. The future is done when all in-sync replicas have all of them.

        Cancel the future if nobody waits any more: what has not left yet then stays. It never raises.
        """
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if not rows:
            future.set_result(None)
            return future
        size = sum(len(row.value) for row in rows)
        while self._held and self._held + size > self._limit:
            self._freed.clear()
            await self._freed.wait()
        self._waiting[future] = rows, size
        self._held += size
        self._something.set()
        future.add_done_callback(self._done)
        return future

    async def run(self) -> None:
        """Deliver. Runs until it is cancelled."""
        pause = _FIRST_PAUSE_S
        while True:
            way = self._way()
            try:
                await way.open()
                while True:
                    await self._something.wait()
                    await self._deliver(way)
                    pause = _FIRST_PAUSE_S
            except PublishError as error:
                self._meters.count(DELIVERY_FAILURES)
                log.warning("%d parcels wait for Kafka: %s", len(self._waiting), error)
            finally:
                await way.close()
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_S)

    async def settle(self, seconds: float) -> None:
        """Wait until nothing waits, for so long at most."""
        waiting = set(self._waiting)
        if waiting:
            await asyncio.wait(waiting, timeout=seconds)

    async def _deliver(self, way: Way) -> None:
        group: list[asyncio.Future[None]] = []
        size = rows = 0
        begun = asyncio.get_running_loop().time()
        for future, (parcel, parcel_size) in list(islice(self._waiting.items(), _GROUP_PARCELS)):
            if group and size + parcel_size > _GROUP_BYTES:
                break
            group.append(future)
            size += parcel_size
            for row in parcel:
                rows += 1
                if row.key is not None:
                    await way.add(row.topic, row.key, row.value, row.headers)
                else:
                    partition = crc32(row.value) % await way.partitions(row.topic)
                    await way.add_at(row.topic, partition, row.value, row.headers)
        if group:
            await way.flush()
            self._meters.observe(DELIVERY_SECONDS, asyncio.get_running_loop().time() - begun)
            self._meters.observe(DELIVERY_ROWS, rows)
        for future in group:
            if not future.done():
                future.set_result(None)
            self._drop(future)
        if not self._waiting:
            self._something.clear()

    def _done(self, future: asyncio.Future[None]) -> None:
        """Of a caller that has gone: make room."""
        if future.cancelled() and future in self._waiting:
            self._drop(future)

    def _drop(self, future: asyncio.Future[None]) -> None:
        rows_and_size = self._waiting.pop(future, None)
        if rows_and_size is not None:
            self._held -= rows_and_size[1]
            self._freed.set()
