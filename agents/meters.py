"""The counters behind the metrics.

A process counts since its start. Each snapshot on `metrics.v1` carries the totals, so that a lost snapshot loses
nothing, and histograms of fixed bounds, so that those of several workers and times add up.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["counter", "gauge", "histogram"]


@dataclass(frozen=True, eq=False)  # compared and hashed as the object it is: six times an event
class Metric:
    """What is measured. `labels` are the names of what it is split by."""

    name: str
    kind: Kind
    unit: str
    meaning: str
    labels: tuple[str, ...] = ()


Labels = tuple[str, ...]


def counter(name: str, unit: str, meaning: str, *labels: str) -> Metric:
    """What only grows while a process runs."""
    return Metric(name, "counter", unit, meaning, labels)


def gauge(name: str, unit: str, meaning: str, *labels: str) -> Metric:
    """What is so now."""
    return Metric(name, "gauge", unit, meaning, labels)


def histogram(name: str, unit: str, meaning: str, *labels: str) -> Metric:
    """How values are distributed."""
    return Metric(name, "histogram", unit, meaning, labels)


# Bounds of histograms: powers of 2**(1/4), so a quantile is off by 9 % at the most.
_GROWTH = math.log(2) / 4


class Histogram:
    """Counts by the index of a bound; `bound(i) = 2**(i/4)`. Values of 0 or less fall into the lowest index."""

    SCHEME = "exponential-2^(1/4)"
    __slots__ = ("count", "counts", "sum")

    def __init__(self) -> None:
        self.counts: dict[int, int] = {}
        self.count = 0
        self.sum = 0.0

    def observe(self, value: float, times: int = 1) -> None:
        index = math.ceil(math.log(value) / _GROWTH) if value > 1e-9 else -120
        self.counts[index] = self.counts.get(index, 0) + times
        self.count += times
        self.sum += value * times


def quantile(counts: Mapping[int, int], q: float) -> float | None:
    """The q-quantile (0–1) of a histogram's counts, as the upper bound of its class; None without observations."""
    total = sum(counts.values())
    if not total:
        return None
    rank = q * total
    for index in sorted(counts):
        rank -= counts[index]
        if rank <= 0:
            return float(2 ** (index / 4))
    return float(2 ** (max(counts) / 4))


class Meters:
    """The counters of one process. Values are kept by metric and label values, in the order of `Metric.labels`."""

    def __init__(self) -> None:
        self.values: dict[tuple[Metric, Labels], float] = {}
        self.histograms: dict[tuple[Metric, Labels], Histogram] = {}

    def count(self, metric: Metric, labels: Labels = (), by: float = 1) -> None:
        key = (metric, labels)
        self.values[key] = self.values.get(key, 0) + by

    def set(self, metric: Metric, value: float, labels: Labels = ()) -> None:
        self.values[metric, labels] = value

    def observe(self, metric: Metric, value: float, labels: Labels = (), times: int = 1) -> None:
        histogram = self.histograms.get((metric, labels))
        if histogram is None:
            histogram = self.histograms[metric, labels] = Histogram()
        histogram.observe(value, times)

    def total(self, metric: Metric) -> float:
        """The sum over all labels."""
        return sum(value for (known, _), value in self.values.items() if known is metric)

    def series(self, kind: Kind) -> Iterator[tuple[str, float]]:
        """`name{label="value"}` and value of every counter or gauge."""
        for (metric, labels), value in self.values.items():
            if metric.kind == kind:
                yield series_name(metric, labels), value


class Names:
    """Names from outside as values of a label: the first so many, all others together. None: not known."""

    MOST = 200
    OTHER = "other"

    def __init__(self) -> None:
        self._known: dict[str | None, str] = {None: ""}

    def __call__(self, name: str | None) -> str:
        known = self._known.get(name)
        if known is None:
            if len(self._known) > self.MOST:
                return self.OTHER
            known = self._known[name] = str(name).translate(_UNSAFE)
        return known


_UNSAFE: Final = str.maketrans(dict.fromkeys('"{}', "_"))


def series_name(metric: Metric, labels: Labels) -> str:
    """A series as Prometheus writes it."""
    if not labels:
        return metric.name
    pairs = ",".join(f'{name}="{value}"' for name, value in zip(metric.labels, labels, strict=True))
    return f"{metric.name}{{{pairs}}}"
