"""Ends a worker that stands still, so that its supervisor starts it anew.

Consumers die or ignore partitions without exiting, and an event loop can be blocked by one endless loop: a task on that
loop would never notice. So the watchdog is a thread of its own with a client of its own. It asks the broker for the end
of every input of the lanes this worker owns, and compares: a lane whose input goes on beyond where it stands, while it
has neither read nor done anything for `stall_s`, is stuck; so is a worker whose event loop has not answered for as
long. Brokers that do not answer are nobody's fault: the time they are away does not count, nor does the time for which
the whole process was stopped.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition

from wardstream.agents.streams.places import place

log = logging.getLogger(__name__)

STALL_S = 60.0  # longer than the longest wait inside a lane: opening (30 s) and a restore's stall (20 s)
EXIT_STALLED = 70  # EX_SOFTWARE


class Standing(NamedTuple):
    """Where a lane stands: next offset to read of each input, records read but not applied, steps since its start.

    A step is a commit, a part of the state restored, or a handler that failed: whatever comes to an end.
    """

    positions: Mapping[str, int]
    held: int
    steps: int


class Watchdog:
    """Watches the lanes that `standing` reports, by number; called from the watchdog's thread."""

    def __init__(
        self,
        client: Mapping[str, Any],
        standing: Callable[[], Mapping[int, Standing]],
        stall_s: float = STALL_S,
        end: Callable[[int], object] = os._exit,
    ) -> None:
        self._client = client
        self._standing = standing
        self._stall_s = stall_s
        self._end = end
        self._beat = time.monotonic()
        self._still_since: dict[int, tuple[Standing, float]] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()

    def beat(self) -> None:
        """The event loop is alive; called from it about once a second."""
        self._beat = time.monotonic()

    @property
    def still_s(self) -> float:
        """For how long the lane that has stood still longest has, while its input goes on."""
        return max((time.monotonic() - since for _, since in [*self._still_since.values()]), default=0.0)

    def _run(self) -> None:
        asyncio.run(self._watch())

    async def _watch(self) -> None:
        consumer: AIOKafkaConsumer | None = None
        interval_s, looked = self._stall_s / 10, time.monotonic()
        while not self._stopping.wait(interval_s):
            if time.monotonic() - looked > interval_s + self._stall_s / 2:  # nobody ran meanwhile, this thread neither
                self._still_since.clear()
                self.beat()
            silent = time.monotonic() - self._beat
            if silent > self._stall_s:
                self._stalled(f"the event loop has not answered for {silent:.0f} s")
                return
            try:
                async with asyncio.timeout(self._stall_s / 2):
                    if consumer is None:
                        consumer = await self._connected()
                    await self._check(consumer)
            except Exception as error:  # noqa: BLE001 - a watchdog that has ended watches nothing
                # The brokers' trouble, as a rule: no lane is to blame meanwhile.
                log.warning("watchdog: the ends of the inputs cannot be had: %s", type(error).__name__)
                self._still_since.clear()
            looked = time.monotonic()
        if consumer is not None:
            await consumer.stop()

    async def _connected(self) -> AIOKafkaConsumer:
        consumer = AIOKafkaConsumer(**self._client, isolation_level="read_committed")
        try:
            await consumer.start()
        except BaseException:
            await consumer.stop()  # one that has not started never will
            raise
        return consumer

    async def _check(self, consumer: AIOKafkaConsumer) -> None:
        lanes = self._standing()
        places = {
            number: {name: TopicPartition(*place(name, number)) for name in lane.positions}
            for number, lane in lanes.items()
        }
        asked = [tp for own in places.values() for tp in own.values()]
        ends = await consumer.end_offsets(asked) if asked else {}
        now = time.monotonic()
        for number in self._still_since.keys() - lanes.keys():
            del self._still_since[number]
        for number, lane in lanes.items():
            done = not lane.held and all(lane.positions[name] >= ends[tp] for name, tp in places[number].items())
            before, since = self._still_since.get(number, (None, now))
            if done or lane != before:
                self._still_since[number] = (lane, now)
            elif now - since > self._stall_s:
                self._stalled(f"lane {number} has stood still for {now - since:.0f} s while its input goes on")
                return

    def _stalled(self, why: str) -> None:
        log.critical("watchdog: %s; ending the worker", why)
        for handler in logging.getLogger().handlers:
            handler.flush()
        self._end(EXIT_STALLED)
