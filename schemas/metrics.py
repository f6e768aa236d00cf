"""metrics.v1: what one process has counted, every five seconds.

Counters and histograms are cumulative since the process started: a record that is lost costs resolution, not truth,
and the rate over any span is a difference of two records. Histograms of the same scheme merge by adding their counts.
"""

from datetime import datetime
from typing import Annotated, Final

from msgspec import Meta, Struct

from wardstream.schemas.bad_event import BadEvent
from wardstream.schemas.envelope import Label, Moment, check_year
from wardstream.schemas.topic import DAY_MS, Topic

Series = Annotated[
    str,
    Meta(
        max_length=256,
        pattern=r'^[a-z][a-z0-9_]*(\{[a-z_]+="[^"{}\x00-\x1f]*"(,[a-z_]+="[^"{}\x00-\x1f]*")*\})?$(?!\n)',
    ),
]
"""Name of a metric with its labels in fixed order, as Prometheus writes it: `events_total{topic="vitals.v1"}`."""
MAX_SERIES = 10_000


class HistogramSnapshot(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A histogram's buckets that are not empty."""

    scheme: Annotated[Label, Meta(description="Which bucket bounds: only equal schemes merge.")]
    counts: Annotated[
        Annotated[dict[int, Annotated[int, Meta(ge=0)]], Meta(max_length=10_000)],
        Meta(description="Observations since the start, by bucket number."),
    ] = {}
    sum: Annotated[float, Meta(description="Sum of the observed values, in the unit the metric's name ends with.")] = (
        0.0
    )
    count: Annotated[Annotated[int, Meta(ge=0)], Meta(description="Number of observations.")] = 0


class Metrics(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A snapshot of one process. Carries no patient data and no host name."""

    process: Annotated[Label, Meta(description="Random identity of the process, new at each start; the Kafka key.")]
    role: Annotated[Label, Meta(description="What the process is.", examples=["worker"])]
    started_at: Annotated[Moment, Meta(description="Since when counters and histograms count (wall clock).")]
    at: Annotated[Moment, Meta(description="When the snapshot was taken (wall clock).")]
    counters: Annotated[
        Annotated[dict[Series, float], Meta(max_length=MAX_SERIES)], Meta(description="Totals since the start.")
    ] = {}
    gauges: Annotated[
        Annotated[dict[Series, float], Meta(max_length=MAX_SERIES)], Meta(description="Values at `at`.")
    ] = {}
    histograms: Annotated[
        Annotated[dict[Series, HistogramSnapshot], Meta(max_length=MAX_SERIES)],
        Meta(description="Distributions since the start."),
    ] = {}

    @property
    def received_at(self) -> datetime:
        """When it was said: by it lanes order what they read."""
        return self.at

    def check(self) -> None:
        """Check that times are sensible and every histogram adds up.

        Raises
        ------
        BadEvent
            With reason `inconsistent` or `out_of_bounds`.
        """
        if self.started_at > self.at:
            raise BadEvent("inconsistent", "started_at", "at")
        check_year("at", self.at)
        for histogram in self.histograms.values():
            if sum(histogram.counts.values()) != histogram.count:
                raise BadEvent("inconsistent", "histograms[].count", "histograms[].counts")


TOPIC: Final = Topic(
    name="metrics.v1",
    type=Metrics,
    role="output",
    keyed_by="process",
    partitions=1,
    relayed=True,
    retention_ms=7 * DAY_MS,
    description="Snapshots of what each process has counted.",
)
