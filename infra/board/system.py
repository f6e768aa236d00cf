"""How the stream itself does: metrics.v1 of all processes, and what comes from which source."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict, deque
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final

from wardstream.agents.metrics import DEAD_LETTERS, EVENTS, LAG, LATENCY
from wardstream.infra.board.flows import labels_of
from wardstream.infra.board.tiles import encode, moment
from wardstream.infra.view.pipeline import QUIET_S, Pipeline, Value
from wardstream.schemas.metrics import Metrics

LOOK_BACK_S: Final = 15 * 60.0
STEP_S: Final = 5.0
_POINTS: Final = int(LOOK_BACK_S / STEP_S)
_MOST_FEEDS: Final = 256
_MINUTE_S: Final = 60.0


class Feeds:
    """What comes from which source, by when it was written."""

    def __init__(self) -> None:
        self._newest: dict[str, float] = {}
        self._minutes: dict[str, deque[tuple[int, int]]] = {}  # ten-second steps and how many

    def hear(self, source: str, at: float) -> None:
        """An event came, written at `at` (s since 1970)."""
        if source not in self._newest and len(self._newest) >= _MOST_FEEDS:
            return
        self._newest[source] = max(at, self._newest.get(source, at))
        steps, step = self._minutes.setdefault(source, deque(maxlen=8)), int(at // 10)
        if steps and steps[-1][0] == step:
            steps[-1] = step, steps[-1][1] + 1
        elif not steps or step > steps[-1][0]:
            steps.append((step, 1))

    def rows(self, now: float) -> list[dict[str, Any]]:
        """Each source: when it was heard last, and how much came in the last whole minute."""
        last = int(now // 10)
        return [
            {
                "source": source,
                "at": moment(at),
                "per_min": sum(count for step, count in self._minutes[source] if last - 6 <= step < last),
            }
            for source, at in sorted(self._newest.items())
        ]


class Systems:
    """What all processes have said of themselves, summed up every five seconds for all who ask.

    Parameters
    ----------
    wall : callable
        Seconds since 1970.
    """

    def __init__(self, wall: Callable[[], float]) -> None:
        self._wall = wall
        self.feeds = Feeds()
        self._pipeline = Pipeline()
        self._last: dict[str, Metrics] = {}
        self._history = deque[tuple[datetime, float, float | None, float]](maxlen=_POINTS)
        self._made, self._raw, self._said = float("-inf"), b"", dict[str, Any]()

    def take(self, snapshot: Metrics) -> None:
        """Take a snapshot in."""
        self._pipeline.add(snapshot)
        self._last[snapshot.process] = snapshot

    def sources(self) -> list[str]:
        """Roles of the processes that are there."""
        return sorted({one.role for one in self._pipeline.processes(moment(self._wall()))})

    def values(self) -> list[Value]:
        """All series, over all processes."""
        return self._pipeline.series(moment(self._wall()))

    async def run(self) -> None:
        """Note how it goes until cancelled."""
        while True:
            self.now()
            await asyncio.sleep(STEP_S)

    def now(self) -> bytes:
        """How it does, as JSON: made anew when it is some seconds old."""
        if time.monotonic() - self._made >= STEP_S / 2:  # `run` is never quite on time
            self._made = time.monotonic()
            self._make(moment(self._wall()))
        return self._raw

    def whole(self) -> bytes:
        """The same, and how it went."""
        self.now()
        return encode(self._said | {"history": list(self._history)})

    def _make(self, at: datetime) -> None:
        self._last = {name: one for name, one in self._last.items() if at - one.at < timedelta(seconds=LOOK_BACK_S)}
        self._pipeline.retire(self._last)
        found: dict[str, dict[str, Value]] = defaultdict(dict)
        for value in self._pipeline.series(at):
            found[value.name][value.labels] = value
        rates = {_topic(key): value.per_s or 0.0 for key, value in found[EVENTS.name].items()}
        latency = {_topic(key): value for key, value in found[LATENCY.name].items()}
        lag = {_topic(key): value.now for key, value in found[LAG.name].items()}
        self._said = {
            "at": at,
            "processes": [
                {
                    "process": one.process,
                    "role": one.role,
                    "started_at": one.started_at,
                    "at": one.at,
                    "silent": at - one.at > timedelta(seconds=QUIET_S),
                }
                for one in sorted(self._last.values(), key=lambda one: (one.role, one.started_at))
            ],
            "rates": [{"topic": topic, "per_s": round(rate, 2)} for topic, rate in rates.items()],
            "latency": {topic: {"p50_s": value.p50, "p99_s": value.p99} for topic, value in latency.items()},
            "lag": lag,
            "dead": [
                {
                    "topic": _topic(key),
                    "reason": labels_of(key).get("reason", ""),
                    "total": value.now,
                    "per_min": round(_MINUTE_S * (value.per_s or 0.0), 2),
                }
                for key, value in found[DEAD_LETTERS.name].items()
            ],
            "feeds": self.feeds.rows(self._wall()),
        }
        worst = max((value.p99 for value in latency.values() if value.p99 is not None), default=None)
        self._history.append((at, round(sum(rates.values()), 2), worst, sum(lag.values())))
        self._raw = encode(self._said)


def _topic(labels: str) -> str:
    return labels_of(labels).get("topic", "")
