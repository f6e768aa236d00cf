"""What a cluster says about its lanes: partitions of the topics about patients, changelogs, how far each lane is."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from wardstream.schemas.topics import LANE_INPUTS, TOPICS, dead

_DEADLINE_S = 30.0

PATIENT_TOPICS = tuple(
    name
    for topic in TOPICS.values()
    if topic.in_lanes
    for name in ((topic.name, dead(topic.name)) if topic.role != "output" or topic.relayed else (topic.name,))
)
"""Topics whose partitions are the lanes, the dead letters of the inputs among them."""


@dataclass(frozen=True)
class Layout:
    """The partitions that belong to lanes.

    Attributes
    ----------
    counts
        Partitions of each topic about patients that exists.
    changelogs
        Partitions of each changelog, by the number of lanes that its name says; normally the same number, and one.
    """

    counts: Mapping[str, int]
    changelogs: Mapping[int, int]

    @property
    def missing(self) -> tuple[str, ...]:
        """Inputs that do not exist."""
        return tuple(name for name in LANE_INPUTS if name not in self.counts)

    @property
    def least(self) -> int:
        """The smallest number of lanes to which everything can be brought: partitions only grow."""
        return max((*(self.counts[name] for name in LANE_INPUTS if name in self.counts), *self.changelogs), default=0)

    def fewer(self, lanes: int) -> dict[str, int]:
        """Topics with fewer partitions than `lanes`; a topic that is no input may have more, which stay empty."""
        return {name: count for name, count in self.counts.items() if count < lanes}


async def layout(client: AIOKafkaAdminClient, app_id: str) -> Layout:
    """Ask the cluster."""
    found = {topic["topic"]: len(topic["partitions"]) for topic in await client.describe_topics()}
    changelog = re.compile(re.escape(app_id) + r"-lanes-([1-9]\d*)")
    matches = {name: match for name in found if (match := changelog.fullmatch(name))}
    return Layout(
        {name: found[name] for name in PATIENT_TOPICS if name in found},
        {int(match[1]): found[name] for name, match in sorted(matches.items())},
    )


async def lags(
    client: AIOKafkaAdminClient, options: Mapping[str, Any], group: str, counts: Mapping[str, int]
) -> dict[int, dict[str, int]]:
    """Records that each lane has not yet committed, by lane and input; inputs without any are left out.

    A transaction's marker counts as a record until the next one is committed: a publisher that uses transactions (the
    clock of the workers does) leaves a 1.

    Raises
    ------
    TimeoutError
        No answer within 30 s.
    """
    parts = [TopicPartition(topic, p) for topic in LANE_INPUTS for p in range(counts.get(topic, 0))]
    behind: dict[int, dict[str, int]] = {part.partition: {} for part in parts}
    if not parts:
        return behind
    async with asyncio.timeout(_DEADLINE_S):
        committed = {part: at.offset for part, at in (await client.list_consumer_group_offsets(group)).items()}
        consumer = AIOKafkaConsumer(**options, isolation_level="read_committed", enable_auto_commit=False)
        try:
            await consumer.start()
            begins, ends = await consumer.beginning_offsets(parts), await consumer.end_offsets(parts)
        finally:
            await consumer.stop()
    for part in parts:
        left = ends[part] - max(committed.get(part, 0), begins[part])
        if left > 0:
            behind[part.partition][part.topic] = left
    return behind
