"""What the demo has counted, and whether every stage of the stream has shown itself. No I/O.

Latency is what a subscriber sees: from the Kafka timestamp, which an output inherits from the event that caused it, to
the moment at which a `read_committed` consumer has the record.
"""

from __future__ import annotations

import math
from array import array
from collections import Counter, deque
from collections.abc import Collection
from datetime import datetime
from typing import TypeVar

from wardstream.schemas.alerts import Alert, Transition
from wardstream.schemas.findings import Finding
from wardstream.schemas.predictions import Prediction, Quality
from wardstream.schemas.topics import TOPICS

T = TypeVar("T")
TICKS = "ticks.v1"
OPENING_S = 5.0
RECENT_S, RECENT_LIMIT = 60.0, 5_000  # over which the live view tells its quantiles
SPAN_S = 20.0  # wall seconds over which rates are told


class Latency:
    """Milliseconds from publishing to an output: all of them for the summary (4 bytes each), the last for the view."""

    def __init__(self) -> None:
        self.all = array("f")
        self.opening = 0  # how many came in the first seconds, when a cold worker meets a whole ward at once
        self._began: float | None = None
        self._recent: deque[tuple[float, float]] = deque()

    def add(self, latency_ms: float, wall_s: float) -> None:
        """Take one in, seen at a time of a monotonic clock."""
        self._began = wall_s if self._began is None else self._began
        self.all.append(latency_ms)
        if wall_s - self._began < OPENING_S:
            self.opening = len(self.all)
        self._recent.append((wall_s, latency_ms))
        while wall_s - self._recent[0][0] > RECENT_S or len(self._recent) > RECENT_LIMIT:
            self._recent.popleft()

    def recent(self) -> list[float]:
        """Those of the last minute."""
        return [latency_ms for _, latency_ms in self._recent]


def quantile(values: Collection[float], q: float) -> float | None:
    """The smallest value that at least a share q (0–1) of the values does not exceed; None without values."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[max(0, math.ceil(q * len(ordered)) - 1)]


class Tally:
    """Counts of records by what they are."""

    def __init__(self) -> None:
        self.inputs: Counter[str] = Counter()
        self.scores = 0
        self.transitions: Counter[Transition] = Counter()
        self.stale_raised = 0
        self.dead: Counter[str] = Counter()  # by reason
        self.answers: dict[str, Counter[Quality]] = {}  # by model
        self.versions: dict[str, str] = {}  # of the model's last answer
        self.snapshots = 0
        self.to_score = Latency()
        self.to_alert = Latency()
        self.first_tick: datetime | None = None
        self.last_tick: datetime | None = None
        self._progress: deque[tuple[float, int]] = deque()  # monotonic seconds, events until then
        self._ticks: deque[tuple[float, datetime]] = deque()

    @property
    def events(self) -> int:
        """Records of all inputs but the clock's."""
        return self.inputs.total() - self.inputs[TICKS]

    def input(self, topic: str) -> None:
        self.inputs[topic] += 1

    def tick(self, at: datetime, wall_s: float) -> None:
        """A tick came; each time comes once a lane."""
        if self.last_tick is not None and at <= self.last_tick:
            return
        self.first_tick = self.first_tick or at
        self.last_tick = at
        _keep(self._ticks, (wall_s, at))

    def score(self, latency_ms: float, wall_s: float) -> None:
        self.scores += 1
        self.to_score.add(latency_ms, wall_s)

    def alert(self, alert: Alert, latency_ms: float, wall_s: float) -> None:
        self.transitions[alert.transition] += 1
        self.stale_raised += alert.condition == "stale" and alert.transition == "raised"
        self.to_alert.add(latency_ms, wall_s)

    def answer(self, event: Prediction | Finding) -> None:
        """A model's answer came, or was not given."""
        self.answers.setdefault(event.model, Counter())[event.quality] += 1
        if event.version is not None and event.quality == "ok":
            self.versions[event.model] = event.version

    def sample(self, wall_s: float) -> None:
        """Remember where we are, for the rate; called a few times a second."""
        _keep(self._progress, (wall_s, self.events))

    def events_per_s(self) -> float:
        """Over the last seconds."""
        if len(self._progress) < 2:
            return 0.0
        (began, before), (ended, after) = self._progress[0], self._progress[-1]
        return (after - before) / (ended - began)

    def speed(self) -> float | None:
        """Stream seconds a wall second over the last seconds; None before two ticks."""
        if len(self._ticks) < 2:
            return None
        (began, before), (ended, after) = self._ticks[0], self._ticks[-1]
        return (after - before).total_seconds() / (ended - began)

    def silent_stages(self) -> list[str]:
        """Stages that produced nothing."""
        stages = {
            "events": self.events,
            "scores": self.scores,
            "alerts raised": self.transitions["raised"],
            "dead letters": self.dead.total(),
            "metrics snapshots": self.snapshots,
        }
        return [name for name, count in stages.items() if not count]

    def summary(self) -> list[tuple[str, str, str]]:
        """What came of it: a name, a figure, its details."""
        order = {name: place for place, name in enumerate(TOPICS)}
        topics = sorted((topic for topic in self.inputs if topic != TICKS), key=lambda topic: order.get(topic, 99))
        rows = [
            ("events in", f"{self.events:,}", ", ".join(f"{topic} {self.inputs[topic]:,}" for topic in topics)),
            ("ward time", f"{self._minutes():,} min", f"{self.inputs[TICKS]:,} ticks"),
            ("scores", f"{self.scores:,}", "records of scores.v1, each with every rule score"),
            ("alerts", f"{self.transitions.total():,}", listed(self.transitions)),
            ("stale alerts", f"{self.stale_raised:,}", "raised because a monitor fell silent or a round was missed"),
            ("dead letters", f"{self.dead.total():,}", listed(self.dead)),
            *((f"answers of {model}", f"{found.total():,}", listed(found)) for model, found in self.answers.items()),
            ("metrics", f"{self.snapshots:,}", "snapshots"),
        ]
        for name, latency in (("publish to score", self.to_score), ("publish to alert", self.to_alert)):
            later = latency.all[latency.opening :]
            rest = f"p99 {_ms(latency.all, 0.99)}, after the first {OPENING_S:.0f} s {_ms(later, 0.99)}"
            rows.append((name, _ms(latency.all, 0.5), f"p50 of {len(latency.all):,}; {rest}"))
        return rows

    def _minutes(self) -> int:
        if self.first_tick is None or self.last_tick is None:
            return 0
        return round((self.last_tick - self.first_tick).total_seconds() / 60)


def _keep(moments: deque[tuple[float, T]], moment: tuple[float, T]) -> None:
    """Add a moment, and forget those that are too old."""
    moments.append(moment)
    while moment[0] - moments[0][0] > SPAN_S:
        moments.popleft()


def listed(counts: Counter[str] | Counter[Transition] | Counter[Quality]) -> str:
    """What was counted, the most frequent first."""
    return ", ".join(f"{name} {count:,}" for name, count in counts.most_common())


def _ms(values: Collection[float], q: float) -> str:
    found = quantile(values, q)
    return "–" if found is None else f"{found:,.0f} ms"
