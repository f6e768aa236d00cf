"""Whole lanes to workers.

Faust without tables takes aiokafka's round-robin assignor, which splits a lane over workers; the range assignor keeps
a lane together only while all members subscribe to the same topics, which is not so during a rolling upgrade that adds
one. This one gives lane p, that is partition p of every topic, to one member. A topic the owner does not know yet
waits, unassigned, until that worker is upgraded: events are kept, and no lane is ever shared.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from aiokafka.cluster import ClusterMetadata
from aiokafka.coordinator.assignors.abstract import AbstractPartitionAssignor
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment, ConsumerProtocolMemberMetadata


class LaneAssignor(AbstractPartitionAssignor):  # type: ignore[misc]
    """Contiguous lanes to members in the order of their ids; every topic of a lane goes where the lane goes."""

    name = "wardstream-lanes"
    version = 0

    @classmethod
    def assign(
        cls, cluster: ClusterMetadata, members: Mapping[str, ConsumerProtocolMemberMetadata]
    ) -> dict[str, ConsumerProtocolMemberAssignment]:
        names = sorted(members)
        given: dict[str, dict[str, list[int]]] = {name: {} for name in names}
        for topic in {topic for metadata in members.values() for topic in metadata.subscription}:
            partitions = sorted(cluster.partitions_for_topic(topic) or ())
            for index, partition in enumerate(partitions):  # equal counts are shared out equally
                owner = names[index * len(names) // len(partitions)]
                if topic in members[owner].subscription:
                    given[owner].setdefault(topic, []).append(partition)
        return {name: ConsumerProtocolMemberAssignment(cls.version, sorted(given[name].items()), b"") for name in names}

    @classmethod
    def metadata(cls, topics: Iterable[str]) -> ConsumerProtocolMemberMetadata:
        return ConsumerProtocolMemberMetadata(cls.version, sorted(topics), b"")

    @classmethod
    def on_assignment(cls, assignment: ConsumerProtocolMemberAssignment) -> None:
        pass


class OneLaneAssignor(LaneAssignor):
    """Every partition to one member, for a group whose single lane reads topics whole; the others stand by."""

    name = "wardstream-one-lane"

    @classmethod
    def assign(
        cls, cluster: ClusterMetadata, members: Mapping[str, ConsumerProtocolMemberMetadata]
    ) -> dict[str, ConsumerProtocolMemberAssignment]:
        given: dict[str, list[tuple[str, list[int]]]] = {name: [] for name in members}
        owner = min(members)
        for topic in sorted(members[owner].subscription):
            given[owner].append((topic, sorted(cluster.partitions_for_topic(topic) or ())))
        return {name: ConsumerProtocolMemberAssignment(cls.version, parts, b"") for name, parts in given.items()}
