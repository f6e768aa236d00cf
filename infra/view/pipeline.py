"""Snapshots of metrics.v1, over all processes: totals, rates, merged distributions. No I/O.

A process's counters start at 0 with it, so a rate is the difference of two snapshots of the same process; and since it
publishes every five seconds, one that has been quiet for `QUIET_S` is gone: what it counted stays in the totals, its
gauges (lag, lanes, patients) are no longer true. So totals never fall when a worker is started anew: its process has
another id, and what the one before it counted is kept. This is the one place where processes are summed.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from typing import NamedTuple

from wardstream.agents.metrics import LAG, LANES, METRICS, PATIENTS, Histogram, Kind, Metric, quantile
from wardstream.schemas.metrics import HistogramSnapshot, Metrics

QUIET_S = 15.0
WINDOW_S = 60.0
MOST_GONE = 32  # processes that have ended, and may yet come back
KNOWN = {metric.name: metric for metric in METRICS}


class Value(NamedTuple):
    """One metric or one of its series, over all processes.

    Attributes
    ----------
    labels : what it is split by, as `topic="vitals.v1"`; empty: the sum of all.
    now : total of a counter, present value of a gauge, number of observations of a histogram.
    per_s : of counters, over the last minute; None where only one snapshot is known.
    p50, p95, p99 : of histograms, over the last minute, or since the start where only one snapshot is known.
    """

    name: str
    kind: Kind
    labels: str
    now: float
    per_s: float | None = None
    p50: float | None = None
    p95: float | None = None
    p99: float | None = None

    @property
    def metric(self) -> Metric | None:
        """Unit and meaning; None for what a newer worker counts."""
        return KNOWN.get(self.name)


class Counted(NamedTuple):
    """What all processes have counted, each since its start; `since`: the earliest of these (wall clock).

    Histograms are counts by the index of a bound. Series are written as Prometheus does.
    """

    since: datetime | None
    counters: dict[str, float]
    histograms: dict[str, Counter[int]]

    def add(self, snapshot: Metrics) -> None:
        """Add what one process has counted."""
        for series, value in snapshot.counters.items():
            self.counters[series] = self.counters.get(series, 0.0) + value
        for series, histogram in snapshot.histograms.items():
            if histogram.scheme == Histogram.SCHEME:  # others of another version do not add up with ours
                self.histograms.setdefault(series, Counter()).update(histogram.counts)


class Pipeline:
    """The snapshots of the last minute of each process."""

    def __init__(self) -> None:
        self.received = 0
        self._snapshots: dict[str, deque[Metrics]] = {}
        self._before = Counted(None, {}, {})  # of processes that ended long ago

    def add(self, snapshot: Metrics) -> None:
        """Take a snapshot in; they come in the order of their process."""
        self.received += 1
        kept = self._snapshots.setdefault(snapshot.process, deque())
        kept.append(snapshot)
        while kept[-1].at - kept[0].at > timedelta(seconds=WINDOW_S):
            kept.popleft()

    def retire(self, processes: Collection[str]) -> None:
        """Keep of all but some processes their totals alone; a process that comes back (Kafka was away) goes on from
        them. Beyond `MOST_GONE`, those that were heard of longest ago are added up, and take no more room."""
        gone = sorted(self._snapshots.keys() - set(processes), key=lambda name: self._snapshots[name][-1].at)
        for name in gone:
            self._snapshots[name] = deque([self._snapshots[name][-1]])
        for name in gone[:-MOST_GONE]:
            last = self._snapshots.pop(name)[-1]
            self._before.add(last)
            since = self._before.since
            self._before = self._before._replace(
                since=last.started_at if since is None else min(since, last.started_at)
            )

    def processes(self, now: datetime) -> list[Metrics]:
        """The last snapshot of each process that is still there."""
        limit = now - timedelta(seconds=QUIET_S)
        return [kept[-1] for kept in self._snapshots.values() if kept[-1].at >= limit]

    def gauge(self, metric: Metric, now: datetime, role: str | None = None) -> float:
        """A gauge's sum over its labels and over the processes that are there, or those of one role."""
        return sum(
            value
            for snapshot in self.processes(now)
            if role in (None, snapshot.role)
            for series, value in snapshot.gauges.items()
            if _split(series)[0] == metric.name
        )

    def lag(self, now: datetime) -> float:
        """Records that are not yet read."""
        return self.gauge(LAG, now)

    def lanes(self, now: datetime) -> int:
        """Lanes that some worker has open, those of films apart."""
        return int(self.gauge(LANES, now, "worker"))

    def patients(self, now: datetime) -> int:
        """Patients whose state is kept."""
        return int(self.gauge(PATIENTS, now, "worker"))

    def metrics(self, now: datetime) -> list[Value]:
        """One value a metric, summed over its labels."""
        return self._values(now, lambda series: (_split(series)[0], ""))

    def counted(self) -> Counted:
        """Totals since the processes' start."""
        last, before = [kept[-1] for kept in self._snapshots.values()], self._before
        known = [one.started_at for one in last] + ([] if before.since is None else [before.since])
        histograms = {series: counts.copy() for series, counts in before.histograms.items()}
        found = Counted(min(known, default=None), before.counters.copy(), histograms)
        for snapshot in last:
            found.add(snapshot)
        return found

    def series(self, now: datetime) -> list[Value]:
        """One value a series."""
        return self._values(now, _split)

    def _values(self, now: datetime, name_of: Callable[[str], tuple[str, str]]) -> list[Value]:
        totals: defaultdict[tuple[str, str], float] = defaultdict(float)
        gauges: defaultdict[tuple[str, str], float] = defaultdict(float)
        rates: dict[tuple[str, str], float] = {}
        recent: dict[tuple[str, str], Counter[int]] = {}
        counts: Counter[tuple[str, str]] = Counter()
        there = {snapshot.process for snapshot in self.processes(now)}
        for series, value in self._before.counters.items():
            totals[name_of(series)] += value
        for series, classes in self._before.histograms.items():
            counts[name_of(series)] += classes.total()
            recent.setdefault(name_of(series), Counter())
        for process, kept in self._snapshots.items():
            first, last = kept[0], kept[-1]
            elapsed = (last.at - first.at).total_seconds()
            for series, value in last.counters.items():
                totals[name_of(series)] += value
                if elapsed > 0 and process in there:
                    rate = (value - first.counters.get(series, 0.0)) / elapsed
                    rates[name_of(series)] = rates.get(name_of(series), 0.0) + rate
            if process in there:
                for series, value in last.gauges.items():
                    gauges[name_of(series)] += value
            for series, histogram in last.histograms.items():
                counts[name_of(series)] += histogram.count
                if histogram.scheme != Histogram.SCHEME:
                    continue
                seen = recent.setdefault(name_of(series), Counter())
                if process in there:
                    _add_since(seen, histogram, first.histograms.get(series) if elapsed > 0 else None)
        values = [
            Value(name, "counter", labels, total, rates.get((name, labels))) for (name, labels), total in totals.items()
        ]
        values += [Value(name, "gauge", labels, value) for (name, labels), value in gauges.items()]
        values += [
            Value(
                name, "histogram", labels, counts[name, labels], None, *(quantile(seen, q) for q in (0.5, 0.95, 0.99))
            )
            for (name, labels), seen in recent.items()
        ]
        return sorted(values, key=_place)


def _add_since(counts: Counter[int], last: HistogramSnapshot, first: HistogramSnapshot | None) -> None:
    """Add what a histogram observed between two snapshots."""
    before = {} if first is None or first.scheme != last.scheme else first.counts
    for index, count in last.counts.items():
        if count > before.get(index, 0):
            counts[index] += count - before.get(index, 0)


def _split(series: str) -> tuple[str, str]:
    """Name and labels of a series."""
    name, _, labels = series.partition("{")
    return name, labels.removesuffix("}")


_ORDER: dict[str, int] = {metric.name: place for place, metric in enumerate(METRICS)}


def _place(value: Value) -> tuple[int, str, str]:
    return _ORDER.get(value.name, len(_ORDER)), value.name, value.labels
