"""The consumer group of the workers: who is in it, and how a command keeps it to itself.

The group is the lock. A coordinator lets members into a group only if all share an assignment protocol, so whoever
joins an empty group under a protocol of its own keeps every worker out until it leaves, and cannot join while there is
one. Asking whether the group is empty would leave a gap between the answer and what is done on the strength of it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.coordinator.assignors.abstract import AbstractPartitionAssignor
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment, ConsumerProtocolMemberMetadata
from aiokafka.errors import InconsistentGroupProtocolError, KafkaError

from wardstream.infra.failure import Failure
from wardstream.infra.kafka.admin import admin

CLIENT_ID = "wardstream-lanes-migrate"
SESSION_S = 10.0  # how long the lock outlives a command that was killed
_DEADLINE_S = 30.0
_POLL_S = 0.1
_CLOSE_DEADLINE_S = 5.0
_HOUR_MS = 3_600_000


class GroupBusy(Failure):
    """Workers, or another migration, are in the group."""


class _Nothing(AbstractPartitionAssignor):  # type: ignore[misc]  # aiokafka brings no types
    """Gives nobody any partition."""

    name = ""
    version = 0

    @classmethod
    def assign(cls, cluster: Any, members: Mapping[str, Any]) -> dict[str, ConsumerProtocolMemberAssignment]:
        return {name: ConsumerProtocolMemberAssignment(cls.version, [], b"") for name in members}

    @classmethod
    def metadata(cls, topics: Any) -> ConsumerProtocolMemberMetadata:
        return ConsumerProtocolMemberMetadata(cls.version, sorted(topics), b"")

    @classmethod
    def on_assignment(cls, assignment: ConsumerProtocolMemberAssignment) -> None:
        pass


class Member:
    """One process in the group: its id, its host, and the partition numbers (lanes) it was given."""

    def __init__(self, client_id: str, host: str, assignment: bytes) -> None:
        self.client_id = client_id
        self.host = host.removeprefix("/")
        self.lanes: frozenset[int] = frozenset()
        if assignment:
            given = ConsumerProtocolMemberAssignment.decode(assignment).assignment
            self.lanes = frozenset(partition for _, partitions in given for partition in partitions)

    def __str__(self) -> str:
        return f"{self.client_id} on {self.host}"


async def members(client: AIOKafkaAdminClient, group: str) -> list[Member]:
    """Who is in the group now; nobody when there is no such group.

    Raises
    ------
    TimeoutError
        Its coordinator does not answer within 30 s.
    """
    async with asyncio.timeout(_DEADLINE_S):
        while True:
            try:
                answers = await client.describe_consumer_groups([group])
                break
            except KafkaError as error:  # a new cluster makes its topic of groups when it is first asked
                if not error.retriable:
                    raise
            await asyncio.sleep(_POLL_S)
    found = []
    for answer in answers:
        for _, _, _, _, _, described, *_ in answer.groups:
            found += [Member(client_id, host, assignment) for _, client_id, host, _, assignment in described]
    return found


@asynccontextmanager
async def alone(options: Mapping[str, Any], group: str, topic: str) -> AsyncIterator[None]:
    """Be the only member of the group; `topic` is any that exists. Nothing is read or committed.

    Raises
    ------
    GroupBusy
        Somebody else is in it.
    TimeoutError
        The group's coordinator does not answer.
    """
    await check_alone(options, group, ours=0)
    protocol = type("_Mine", (_Nothing,), {"name": f"{CLIENT_ID}-{uuid4().hex}"})
    consumer = AIOKafkaConsumer(
        topic,
        **options,
        client_id=CLIENT_ID,
        group_id=group,
        partition_assignment_strategy=[protocol],
        enable_auto_commit=False,
        session_timeout_ms=int(SESSION_S * 1000),
        heartbeat_interval_ms=int(SESSION_S * 200),
        max_poll_interval_ms=_HOUR_MS,  # nothing is polled, and that is no reason to be thrown out
    )
    try:
        try:
            async with asyncio.timeout(_DEADLINE_S):
                await consumer.start()
        except InconsistentGroupProtocolError:
            await check_alone(options, group, ours=0)
            raise GroupBusy(_busy(group, "somebody who came and went")) from None
        yield
    finally:
        with contextlib.suppress(KafkaError, TimeoutError, OSError):
            async with asyncio.timeout(_CLOSE_DEADLINE_S):
                await consumer.stop()


async def check_alone(options: Mapping[str, Any], group: str, ours: int = 1) -> None:
    """Check that nobody is in the group but `ours` members of this command.

    Raises
    ------
    GroupBusy
        Somebody else is, or we are not in it any more.
    """
    async with asyncio.timeout(_DEADLINE_S), admin(options) as client:
        found = await members(client, group)
    others = [member for member in found if not ours or member.client_id != CLIENT_ID]
    if others:
        raise GroupBusy(_busy(group, ", ".join(sorted({str(member) for member in others}))))
    if len(found) != ours:
        raise GroupBusy(f"the group {group} was lost on the way; run the command again")


def _busy(group: str, who: str) -> str:
    return (
        f"the group {group} is in use by {who}. Stop all workers first; one that was killed leaves after its session "
        f"of {SESSION_S:.0f} s"
    )
