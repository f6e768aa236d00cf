"""How the stream itself does: metrics.v1 of all processes, for the strip and the page of the system."""

from __future__ import annotations

import time
from collections import defaultdict, deque
from datetime import datetime
from typing import Any, Final

from wardstream.agents.metrics import DEAD_LETTERS, EVENTS, LAG, LATENCY
from wardstream.infra.board.board import Board
from wardstream.infra.board.tiles import encode, moment
from wardstream.infra.view.pipeline import Pipeline, Value
from wardstream.schemas.metrics import Metrics

LOOK_BACK_S: Final = 15 * 60.0
STEP_S: Final = 5.0
_POINTS: Final = int(LOOK_BACK_S / STEP_S)


class Systems:
    """What all processes have said of themselves, summed up every five seconds for all who ask."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._pipeline = Pipeline()
        self._history = deque[tuple[datetime, float, float | None, float]](maxlen=_POINTS)
        self._sources: dict[str, datetime] = {}
        self._made, self._raw, self._said = float("-inf"), b"", dict[str, Any]()

    def take(self, snapshot: Metrics) -> None:
        """Take a snapshot in."""
        self._pipeline.add(snapshot)

    def sources(self) -> list[str]:
        """Processes' roles that are there."""
        now = moment(self._board.clock.wall())
        return sorted({one.role for one in self._pipeline.processes(now)})

    def now(self) -> bytes:
        """How it does, as JSON: made anew when it is five seconds old."""
        if time.monotonic() - self._made >= STEP_S:
            self._made = time.monotonic()
            self._make(moment(self._board.clock.wall()))
        return self._raw

    def whole(self) -> bytes:
        """The same, and how it went."""
        self.now()
        return encode(self._said | {"history": list(self._history)})

    def _make(self, at: datetime) -> None:
        found: dict[str, dict[str, Value]] = defaultdict(dict)
        for value in self._pipeline.series(at):
            found[value.name][value.labels] = value
        rates = [(_label(key, "topic"), value.per_s or 0.0) for key, value in found[EVENTS.name].items()]
        latency = {_label(key, "topic"): value for key, value in found[LATENCY.name].items()}
        lag = {_label(key, "topic"): value.now for key, value in found[LAG.name].items()}
        dead = [(key, value) for key, value in found[DEAD_LETTERS.name].items()]
        self._said = {
            "at": at,
            "processes": [
                {"process": one.process, "role": one.role, "started_at": one.started_at, "at": one.at, "silent": False}
                for one in self._pipeline.processes(at)
            ],
            "rates": [{"topic": topic, "per_s": round(rate, 2)} for topic, rate in rates],
            "latency": {topic: {"p50_s": value.p50, "p99_s": value.p99} for topic, value in latency.items()},
            "lag": lag,
            "dead": [
                {
                    "topic": _label(key, "topic"),
                    "reason": _label(key, "reason"),
                    "total": value.now,
                    "per_min": round(60.0 * (value.per_s or 0.0), 2),
                }
                for key, value in dead
            ],
        }
        worst = max((value.p99 for value in latency.values() if value.p99 is not None), default=None)
        self._history.append((at, round(sum(rate for _, rate in rates), 2), worst, sum(lag.values())))
        self._raw = encode(self._said)


def _label(labels: str, name: str) -> str:
    """A label's value, of labels as Prometheus writes them."""
    for part in labels.split('",'):
        key, _, value = part.partition('="')
        if key == name:
            return value.removesuffix('"')
    return ""
