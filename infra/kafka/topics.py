"""The topics of wardstream on a cluster: made from the registry, never changed behind anybody's back.

Creating is idempotent. What exists but differs from what is wanted is reported and left alone: a topic with other
partitions holds its patients elsewhere, and a shorter retention deletes data; a person decides that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import InvalidReplicationFactorError, TopicAlreadyExistsError, for_code

from wardstream.infra.failure import Failure
from wardstream.infra.kafka.admin import admin
from wardstream.schemas.topics import DEAD_RETENTION_MS, LANE_INPUTS, TOPICS, dead, partitions_of

_VISIBLE_DEADLINE_S = 20.0
_POLL_S = 0.05
_TOPIC_CONFIG = 1  # config_source of DescribeConfigs: set on the topic itself


class TopicError(Failure):
    """A topic cannot be created."""


class LaneTopicsError(Failure):
    """The input topics cannot be read as lanes; the text names the topics and the command that mends it."""


@dataclass(frozen=True)
class Wish:
    """A topic as it should be.

    Attributes
    ----------
    name, partitions, replication
        As Kafka means them.
    configs
        Settings of the topic itself. Those not named here may be anything.
    """

    name: str
    partitions: int
    replication: int
    configs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Drift:
    """One difference between the wish and what is there."""

    topic: str
    what: str
    wanted: str
    present: str


@dataclass(frozen=True)
class Created:
    """What `create_topics` did and found."""

    created: tuple[str, ...]
    drift: tuple[Drift, ...]


@dataclass(frozen=True)
class Partition:
    """One partition as the cluster sees it now; leader -1: none."""

    number: int
    leader: int
    replicas: tuple[int, ...]
    isr: tuple[int, ...]


@dataclass(frozen=True)
class Present:
    """A topic as it is; `configs` are those that apply, `own` the names of those set on the topic itself."""

    name: str
    partitions: tuple[Partition, ...]
    configs: Mapping[str, str]
    own: frozenset[str]

    @property
    def replication(self) -> int:
        """Replicas of the partition that has the fewest."""
        return min(len(partition.replicas) for partition in self.partitions)


def wishes(lanes: int, replication: int) -> tuple[Wish, ...]:
    """All topics of the registry, and the dead letters of what is read."""
    wanted = []
    for topic in TOPICS.values():
        # Retention would delete the last row of a key that has been quiet for long: a compacted topic has none.
        kept = None if topic.compacted else topic.retention_ms
        policy = "compact" if topic.compacted else "delete"
        wanted.append(_wish(topic.name, lanes, replication, policy, kept))
        if topic.role != "output" or topic.relayed:
            wanted.append(_wish(dead(topic.name), lanes, replication, "delete", DEAD_RETENTION_MS))
    return tuple(wanted)


def _wish(name: str, lanes: int, replication: int, policy: str, retention_ms: int | None) -> Wish:
    configs = {
        "cleanup.policy": policy,
        "retention.ms": str(-1 if retention_ms is None else retention_ms),
        # An acknowledged record survives the loss of any one broker.
        "min.insync.replicas": str(2 if replication >= 3 else 1),
    }
    return Wish(name, partitions_of(name, lanes), replication, configs)


async def create_topics(options: Mapping[str, Any], wanted: Sequence[Wish]) -> Created:
    """Create what is missing; compare what is there.

    Parameters
    ----------
    options
        From `kafka_client_options`.
    wanted
        Topics, for example `wishes(settings.lanes, settings.replication)`.

    Raises
    ------
    TopicError
        Kafka refuses one (for example too few brokers), or does not show it in time.
    ClusterUnreachable
        No broker lets us in.
    """
    async with admin(options) as client:
        present = await _metadata(client)
        created = await _create(client, [wish for wish in wanted if wish.name not in present])
        await _await_visible(client, created)
        compared = [wish for wish in wanted if wish.name not in created]
        found = await _describe(client, [wish.name for wish in compared])
    return Created(
        tuple(created), tuple(difference for wish in compared for difference in drift(wish, found[wish.name]))
    )


def drift(wish: Wish, present: Present) -> list[Drift]:
    """What differs between a wish and what is there."""
    pairs = [
        ("partitions", str(wish.partitions), str(len(present.partitions))),
        ("replication", str(wish.replication), str(present.replication)),
        *((name, value, present.configs.get(name, "")) for name, value in wish.configs.items()),
    ]
    return [Drift(wish.name, what, wanted, found) for what, wanted, found in pairs if wanted != found]


async def describe_topics(options: Mapping[str, Any], names: Iterable[str]) -> dict[str, Present]:
    """Those of `names` that exist, as they are."""
    async with admin(options) as client:
        return await _describe(client, names)


async def lane_count(options: Mapping[str, Any]) -> int:
    """How many lanes there are: the partitions that all inputs of the lanes have.

    Raises
    ------
    LaneTopicsError
        An input topic is missing, or they differ.
    ClusterUnreachable
        No broker lets us in.
    """
    async with admin(options) as client:
        present = await _metadata(client)
    if missing := [name for name in LANE_INPUTS if name not in present]:
        raise LaneTopicsError(f"no topic {', '.join(missing)}; `wardstream topics create` makes it")
    counts = {name: len(present[name]) for name in LANE_INPUTS}
    most = max(counts.values())
    if fewer := [f"{name} has {count}" for name, count in counts.items() if count != most]:
        like = next(name for name, count in counts.items() if count == most)
        raise LaneTopicsError(
            f"every input needs the same number of partitions, but {', '.join(fewer)} and {like} has {most}; "
            "`wardstream lanes migrate` brings them together"
        )
    return most


async def _create(client: AIOKafkaAdminClient, missing: Sequence[Wish]) -> list[str]:
    if not missing:
        return []
    topics = [
        NewTopic(wish.name, wish.partitions, wish.replication, topic_configs=dict(wish.configs)) for wish in missing
    ]
    response = await client.create_topics(topics)
    created = []
    for name, code, message in response.topic_errors:
        error = for_code(code)
        if code == 0:
            created.append(name)
        elif error is not TopicAlreadyExistsError:  # somebody else was faster: then it is compared
            hint = " (WARDSTREAM_REPLICATION or --replication)" if error is InvalidReplicationFactorError else ""
            raise TopicError(f"topic {name} cannot be created: {message or error.__name__}{hint}")
    return created


async def _await_visible(client: AIOKafkaAdminClient, names: Iterable[str]) -> None:
    """A new topic is known to the controller first and to the brokers a little later."""
    waiting = set(names)
    try:
        async with asyncio.timeout(_VISIBLE_DEADLINE_S):
            while waiting:
                present = await _metadata(client)
                waiting -= {name for name in waiting & present.keys() if all(p.leader >= 0 for p in present[name])}
                if waiting:
                    await asyncio.sleep(_POLL_S)
    except TimeoutError:
        raise TopicError(f"created, but without leaders after {_VISIBLE_DEADLINE_S:.0f} s: {sorted(waiting)}") from None


async def _metadata(client: AIOKafkaAdminClient) -> dict[str, tuple[Partition, ...]]:
    found = {}
    for topic in await client.describe_topics():
        if topic["error_code"] == 0 and topic["partitions"]:
            partitions = (
                Partition(p["partition"], p["leader"], tuple(p["replicas"]), tuple(p["isr"]))
                for p in topic["partitions"]
            )
            found[topic["topic"]] = tuple(sorted(partitions, key=lambda p: p.number))
    return found


async def _describe(client: AIOKafkaAdminClient, names: Iterable[str]) -> dict[str, Present]:
    metadata = await _metadata(client)
    existing = [name for name in names if name in metadata]
    if not existing:
        return {}
    described = {}
    for response in await client.describe_configs([ConfigResource(ConfigResourceType.TOPIC, n) for n in existing]):
        for code, message, _, name, entries in response.resources:
            if code != 0:
                raise TopicError(f"configuration of {name} cannot be read: {message or for_code(code).__name__}")
            configs = {entry[0]: entry[1] for entry in entries if entry[1] is not None}
            own = frozenset(entry[0] for entry in entries if entry[3] == _TOPIC_CONFIG)
            described[name] = Present(name, metadata[name], configs, own)
    return described
