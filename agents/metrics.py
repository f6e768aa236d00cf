"""Every metric, named once, with its unit and meaning; and the counters behind them.

A process counts since its start. Each snapshot on `metrics.v1` carries the totals, so that a lost snapshot loses
nothing, and histograms of fixed bounds, so that those of several workers and times add up.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:  # it brings gRPC, which who only reads metrics does not need
    from wardstream.models.triton import Outcome

Kind = Literal["counter", "gauge", "histogram"]


@dataclass(frozen=True, eq=False)  # compared and hashed as the object it is: six times an event
class Metric:
    """What is measured. `labels` are the names of what it is split by."""

    name: str
    kind: Kind
    unit: str
    meaning: str
    labels: tuple[str, ...] = ()


EVENTS = Metric("events_total", "counter", "events", "Events applied, duplicates and dead letters apart", ("topic",))
BYTES = Metric("input_bytes_total", "counter", "bytes", "Size of the values of all records read", ("topic",))
OUTPUTS = Metric("outputs_total", "counter", "events", "Records written, dead letters apart", ("topic",))
DEAD_LETTERS = Metric(
    "dead_letters_total", "counter", "events", "Records sent to a dead-letter topic", ("topic", "reason")
)
DUPLICATES = Metric(
    "duplicates_total", "counter", "events", "Events whose id their patient had already seen", ("topic",)
)
STRAYS = Metric(
    "strays_total", "counter", "events", "Events found in another lane than their patient's, forwarded", ("topic",)
)
HANDLER_ERRORS = Metric(
    "handler_errors_total",
    "counter",
    "errors",
    "Handlers that raised: on an event, which becomes a dead letter, or on what a tick means for one patient",
    ("topic", "error"),
)
RELOADS = Metric("lane_reloads_total", "counter", "times", "Lanes restored from their changelog", ("cause",))
INPUTS_RECREATED = Metric(
    "inputs_recreated_total", "counter", "times", "Input topics found to be made anew", ("topic",)
)
INPUT_LOST = Metric(
    "input_lost_total",
    "counter",
    "records",
    "Records that retention or truncation removed before they were read",
    ("topic",),
)
HOLDS_EXPIRED = Metric("holds_expired_total", "counter", "times", "Waits for a topic that is behind, given up")
LATENCY = Metric(
    "publish_to_output_seconds",
    "histogram",
    "s",
    "From publishing an event to the commit of what it caused",
    ("topic",),
)
TRANSACTION = Metric("transaction_seconds", "histogram", "s", "Duration of a lane's transaction")
BATCH = Metric("batch_events", "histogram", "events", "Events in one transaction")
RESTORE = Metric("restore_seconds", "histogram", "s", "Opening a lane: fencing, reading its changelog, seeking")
LAG = Metric("lag_records", "gauge", "records", "Records of the owned partitions that are not yet read", ("topic",))
LANES = Metric("lanes_owned", "gauge", "lanes", "Lanes open in this process")
PATIENTS = Metric("patients_tracked", "gauge", "patients", "Patients in the state of the owned lanes")
STATE_BYTES = Metric("state_bytes", "gauge", "bytes", "Size of the state of the owned lanes, encoded")
EXTREMES = Metric("extreme_values_total", "counter", "values", "Values kept although they are extreme", ("field",))
REVISIONS = Metric(
    "revisions_total", "counter", "events", "Corrections and cancellations by what became of them", ("outcome",)
)
LABS = Metric("lab_results_total", "counter", "results", "Laboratory results by the use that is made of them", ("use",))
LAB_UNITS = Metric(
    "lab_unknown_units_total", "counter", "results", "Results not used, for their unit is not known", ("analyte",)
)
LAB_FLAGS = Metric(
    "lab_flags_total", "counter", "flags", "Critical and delta flags of newest results, published", ("analyte", "flag")
)
SCORES = Metric("scores_total", "counter", "scores", "Rule scores computed", ("score", "complete"))
ALERTS = Metric(
    "alert_transitions_total",
    "counter",
    "transitions",
    "Transitions in the life of alerts",
    ("condition", "transition"),
)
FINDINGS = Metric(
    "findings_total",
    "counter",
    "findings",
    "Findings published, by how good they are and why",
    ("model", "quality", "reason"),
)
IMAGING_RETRIES = Metric(
    "imaging_retries_total", "counter", "events", "Imaging events judged again after their image or model was missing"
)
MODEL_SECONDS = Metric(
    "model_seconds", "histogram", "s", "One request to the model server, waiting and tries included", ("model",)
)
MODEL_ROWS = Metric("model_rows", "histogram", "rows", "Rows of one request to the model server", ("model",))
MODEL_FAILURES = Metric(
    "model_failures_total", "counter", "requests", "Requests that the model server did not answer", ("model", "reason")
)
PREDICTED = Metric(
    "predicted_probability_total",
    "counter",
    "predictions",
    "Predictions and findings by their calibrated probability: up to 0.1, 0.2, …, 1.0",
    ("model", "up_to"),
)
PREDICTIONS = Metric(
    "predictions_total",
    "counter",
    "predictions",
    "Predictions published, by how far to trust them",
    ("model", "quality"),
)
EVICTIONS = Metric(
    "evictions_total", "counter", "patients", "Patients removed from the state after discharge or long silence"
)

METRICS: tuple[Metric, ...] = tuple(value for value in list(globals().values()) if isinstance(value, Metric))

Labels = tuple[str, ...]

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


def series_name(metric: Metric, labels: Labels) -> str:
    """A series as Prometheus writes it."""
    if not labels:
        return metric.name
    pairs = ",".join(f'{name}="{value}"' for name, value in zip(metric.labels, labels, strict=True))
    return f"{metric.name}{{{pairs}}}"


def up_to(probability: float) -> str:
    """The label of `PREDICTED` for a calibrated probability."""
    return f"{max(1, math.ceil(probability * 10)) / 10:.1f}"


def measure_model(meters: Meters, outcome: Outcome) -> None:
    """Count what became of a request to the model server."""
    if outcome.reason is not None:
        meters.count(MODEL_FAILURES, (outcome.model, outcome.reason))
        return
    meters.observe(MODEL_SECONDS, outcome.took_s, (outcome.model,))
    meters.observe(MODEL_ROWS, outcome.rows, (outcome.model,))
