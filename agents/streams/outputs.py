"""What a batch will write: rows for topics and partitions, kept until the lane's transaction."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from wardstream.agents import tracing
from wardstream.agents.metrics import Labels, Metric
from wardstream.agents.tracing import Headers as Headers

PartitionOf = Callable[[str, bytes], int | None]
LaneOf = Callable[[str], int]

MAX_ROW_BYTES = 1_000_000  # Kafka refuses a batch of more than 1 MiB and 12 bytes: a row over it would stop its lane


class RowTooLarge(ValueError):
    """An output that Kafka would refuse."""


class Row(msgspec.Struct, frozen=True, gc=False):
    """One record to write; `timestamp_ms` is that of the input which caused it, so that latency can be read off."""

    key: bytes | None
    value: bytes | None
    timestamp_ms: int | None = None
    headers: Headers = ()

    @property
    def size(self) -> int:
        """Bytes of what it carries."""
        size = len(self.key or b"") + len(self.value or b"")
        return size + sum(len(name) + len(value) for name, value in self.headers) if self.headers else size


class Outputs:
    """Rows by topic and partition, in the order in which they were written.

    Parameters
    ----------
    lane : the partition of everything that belongs to the lane's patients.
    partition_of : the partition of a key in a topic that is *not* keyed by patient; None for topics that are.
    lane_of : the lane of a patient, for what is written about those of other lanes; this one by default.
    lanes : how many lanes there are.
    """

    def __init__(
        self, lane: int, partition_of: PartitionOf | None = None, lane_of: LaneOf | None = None, lanes: int = 1
    ) -> None:
        self.lane, self.lanes = lane, lanes
        self.lane_of: LaneOf = lane_of or (lambda _: lane)
        self._partition_of = partition_of
        self.rows: dict[tuple[str, int], list[Row]] = {}
        self.counts = defaultdict[tuple[Metric, Labels], float](float)  # counted when the batch is committed
        self.observed: list[tuple[Metric, Labels, float]] = []  # likewise
        self.left: list[Any] = []  # by handlers for the end of the batch, see `LaneSettings.at_end`
        self._spans: dict[tuple[str, int], tracing.Span | None] = {}  # by input, of those that are traced

    def write(self, topic: str, row: Row, partition: int | None = None) -> None:
        """Add a row; without a partition it goes where its topic's keys go.

        Raises
        ------
        RowTooLarge : see `MAX_ROW_BYTES`.
        """
        if row.size > MAX_ROW_BYTES:
            raise RowTooLarge(topic)
        if partition is None and self._partition_of is not None and row.key is not None:
            partition = self._partition_of(topic, row.key)
        place = (topic, self.lane if partition is None else partition)
        rows = self.rows.get(place)
        if rows is None:
            rows = self.rows[place] = []
        rows.append(row)

    def trace(self, topic: str, offset: int, read_ms: int, headers: Sequence[tuple[str, bytes | None]]) -> Headers:
        """What the outputs of an input have as headers, for a trace to go on; the input has such headers."""
        if (parent := tracing.trace_of(headers)) is None:
            return ()
        if not tracing.traces():
            return tracing.headers_of(parent)
        if (topic, offset) not in self._spans:
            about: dict[str, str | int] = {
                "messaging.system": "kafka",
                "messaging.operation.type": "process",
                "messaging.destination.name": topic,
                "messaging.destination.partition.id": str(self.lane),
                "messaging.kafka.offset": offset,
            }
            self._spans[topic, offset] = tracing.begin(f"process {topic}", "consumer", parent, read_ms / 1000, about)
        span = self._spans[topic, offset]
        return tracing.headers_of(None if span is None else span.traceparent)

    def committed(self) -> None:
        """End the spans of the inputs. Of a batch that is given up none is ever told of: it is handled again."""
        for span in self._spans.values():
            if span is not None:
                span.end()
