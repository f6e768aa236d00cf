"""What a batch will write: rows for topics and partitions, kept until the lane's transaction."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import msgspec

from wardstream.agents.metrics import Labels, Metric

Headers = tuple[tuple[str, bytes], ...]
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
