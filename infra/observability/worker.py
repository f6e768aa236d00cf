"""How a worker is watched: whether it owns its lanes, and whether they move."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final
from uuid import uuid4

from wardstream.agents.metrics import Meters
from wardstream.agents.streams.snapshots import Snapshots
from wardstream.agents.streams.transport import LaneConsumer
from wardstream.agents.streams.watchdog import STALL_S
from wardstream.infra.observability.exposition import registry
from wardstream.infra.observability.listener import Check, WatchListener
from wardstream.infra.settings import Settings

STILL_S: Final = STALL_S / 2
"""A lane that stands still for so long while its input goes on is told of before the watchdog ends the worker."""


class WorkerWatch:
    """The checks of a worker, and its listener where one is set.

    Parameters
    ----------
    meters, role
        What is counted, and what the process is.
    consumer : callable
        The consumer, once Faust has made it.
    still_s : callable
        For how long the worst lane has stood still while its input goes on.
    """

    def __init__(
        self,
        meters: Meters,
        role: str,
        consumer: Callable[[], LaneConsumer | None],
        still_s: Callable[[], float],
    ) -> None:
        self._meters, self.role, self._consumer, self._still_s = meters, role, consumer, still_s
        self.process = str(uuid4())
        self.snapshots: Snapshots | None = None
        self._listener: WatchListener | None = None

    @property
    def checks(self) -> dict[str, Check]:
        """A worker that stands by, without lanes of its own, is ready."""
        return {"kafka": self._kafka, "lanes": self._lanes, "moving": self._moving}

    def listen(self, settings: Settings) -> None:
        """Take the address, if one is set; `run` serves.

        Raises
        ------
        Failure
            It must not or cannot be taken.
        """
        about = {"role": self.role, "process": self.process}
        self._listener = WatchListener(settings, registry(self._meters, about, lambda: None), self.checks)

    async def run(self) -> None:
        """Serve until cancelled."""
        if self._listener is not None:
            await self._listener.run()

    def _kafka(self) -> str | None:
        return "Kafka has not answered yet" if self.snapshots is None else self.snapshots.trouble()

    def _lanes(self) -> str | None:
        consumer = self._consumer()
        if consumer is None or not consumer.in_group:
            return "the group has given it no lanes yet"
        closed = consumer.closed()
        return f"not open: {', '.join(map(str, closed))}" if closed else None

    def _moving(self) -> str | None:
        still_s = self._still_s()
        return None if still_s < STILL_S else f"a lane has stood still for {still_s:.0f} s while its input goes on"
