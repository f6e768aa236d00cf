"""A process's meters as Prometheus reads them; what is written, and how, is prometheus_client's.

Names are ours behind `wardstream_`. Our histograms have no fixed bounds: a class is there once something falls into
it. Prometheus wants each bucket from the beginning, so it is given every fourth of our bounds (powers of 2), which are
bounds of theirs as well: what stands in a bucket is exact, never interpolated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, InfoMetricFamily
from prometheus_client.registry import Collector

from wardstream.agents.metrics import METRICS, Histogram, Labels, Meters, Metric

PREFIX: Final = "wardstream_"
_PER_OCTAVE: Final = 4  # bounds of ours from one power of 2 to the next
_SECONDS: Final = range(-12, 21)  # powers of 2: 0.24 ms to 12 days
_COUNTS: Final = range(0, 21)  # 1 to a million

Family = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily | InfoMetricFamily


class MetersCollector(Collector):
    """Reads a process's meters when it is asked.

    Parameters
    ----------
    meters : Meters
        What is counted.
    about : dict of str
        What the process is (`role` …): labels of `wardstream_process_info`.
    look : callable
        Sets the gauges that are not set all the time.
    """

    def __init__(self, meters: Meters, about: dict[str, str], look: Callable[[], None]) -> None:
        self._meters, self._about, self._look = meters, about, look

    def describe(self) -> list[Family]:
        """Nothing: a registry need not read the meters to know the names."""
        return []

    def collect(self) -> Iterator[Family]:
        """Each metric that has a value, in the order in which they are named."""
        self._look()
        yield InfoMetricFamily(f"{PREFIX}process", "What the process is", self._about)
        series: dict[Metric, list[Labels]] = {}
        for metric, labels in (*self._meters.values, *self._meters.histograms):
            series.setdefault(metric, []).append(labels)
        for metric in METRICS:
            if metric in series:
                yield self._family(metric, series[metric])

    def _family(self, metric: Metric, series: list[Labels]) -> Family:
        name, said = PREFIX + metric.name, f"{metric.meaning} ({metric.unit})"
        if metric.kind == "histogram":
            distribution = HistogramMetricFamily(name, said, labels=metric.labels)
            for labels in series:
                histogram = self._meters.histograms[metric, labels]
                distribution.add_metric(labels, buckets(histogram, metric.unit), histogram.sum)
            return distribution
        kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
        family: CounterMetricFamily | GaugeMetricFamily = kind(name, said, labels=metric.labels)
        for labels in series:
            family.add_metric(labels, self._meters.values[metric, labels])
        return family


def buckets(histogram: Histogram, unit: str) -> list[tuple[str, float]]:
    """`le` and how many observations it holds, the last one all of them; `unit` says over which range."""
    counts = dict(histogram.counts)
    powers = _SECONDS if unit == "s" else _COUNTS
    found = [
        (str(2.0**power), float(sum(n for index, n in counts.items() if index <= power * _PER_OCTAVE)))
        for power in powers
    ]
    return [*found, ("+Inf", float(sum(counts.values())))]


def registry(meters: Meters, about: dict[str, str], look: Callable[[], None]) -> CollectorRegistry:
    """What a scrape of the process reads: its meters, and the memory, CPU time and descriptors it takes."""
    made = CollectorRegistry(auto_describe=False)
    made.register(MetersCollector(meters, about, look))
    ProcessCollector(registry=made)
    return made
