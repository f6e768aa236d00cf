"""To another number of lanes: more partitions for every topic about patients, and the state where they say it belongs.

Nothing may run meanwhile but publishers, so the workers' group is taken first (`group`). Then, in this order:

1. the changelog of n lanes is made, empty (what fails for want of replicas or rights fails here);
2. every topic about patients grows to n partitions;
3. the old lanes' transactional ids are fenced, as their next owners would, so that the old changelog stands still, even
   if a worker that was stopped in its tracks wakes up;
4. all rows are copied in one transaction (`changelogs`), and read back and compared;
5. only then is the old changelog deleted.

Each step finds out what is left of it to do, so after a crash the same command goes on. In between, both changelogs
exist or the topics differ, and workers refuse to start (`preflight`). While the old changelog exists it is the truth.

Events of the old partitions that no lane has read yet, and those of publishers which still count the old partitions,
are forwarded by the lanes to where their patients are now, as any stray is; the ids of recent events have moved with
the patients, so none is applied twice. Their order among a patient's newer events is lost: migrate when the lag is low.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

from aiokafka.admin import NewPartitions
from aiokafka.errors import InvalidPartitionsError, KafkaError, UnknownTopicOrPartitionError, for_code

from wardstream.agents.streams.producer import LaneProducer
from wardstream.infra import changelogs
from wardstream.infra.failure import Failure
from wardstream.infra.group import alone, check_alone
from wardstream.infra.kafka.admin import admin
from wardstream.infra.kafka.topics import create_topics, describe_topics
from wardstream.infra.lanes import Layout, layout
from wardstream.infra.preflight import changelog_name, changelog_wish
from wardstream.infra.settings import Settings, kafka_client_options
from wardstream.schemas.topics import LANE_INPUTS

_DEADLINE_S = 60.0
_POLL_S = 0.1


class MigrationRefused(Failure):
    """It cannot be done like this; the text says why."""


class MigrationStopped(Failure):
    """It went wrong on the way. Nothing is lost: the same command goes on from there."""


class Progress(Protocol):
    """Told how far a step is."""

    def __call__(self, step: str, done: int, total: int) -> None: ...


@dataclass(frozen=True)
class Migrated:
    """What was done: topics that grew (partitions before), rows that moved, changelogs that were deleted."""

    lanes: int
    grown: Mapping[str, int]
    rows: int
    deleted: tuple[str, ...]


async def migrate(settings: Settings, lanes: int | None, progress: Progress) -> Migrated:
    """Bring all topics about patients, and the state, to `lanes` lanes.

    Parameters
    ----------
    settings
        The cluster and the application id of the workers.
    lanes
        None: as many as the input with the most partitions has.
    progress
        Told how far each step is.

    Raises
    ------
    MigrationRefused
        Fewer lanes than there are, or topics that cannot be brought together.
    GroupBusy
        A worker runs, or another migration.
    MigrationStopped
        Kafka failed, or did not answer in time; run it again.
    """
    options = kafka_client_options(settings)
    try:
        async with admin(options) as client:
            before = await layout(client, settings.app_id)
        lanes = _checked(before, lanes)
        async with alone(options, settings.app_id, LANE_INPUTS[0]):
            return await _Migration(settings, options, lanes, progress).run()
    except (KafkaError, TimeoutError, OSError) as error:
        kind = type(error).__name__
        raise MigrationStopped(f"{kind}: {error or 'no answer in time'}. Nothing is lost: run it again") from error


def _checked(found: Layout, lanes: int | None) -> int:
    """The number of lanes to go to."""
    if found.missing:
        raise MigrationRefused(
            f"no topic {', '.join(found.missing)}; `wardstream topics create --lanes {lanes or found.least or 'N'}` "
            "makes it"
        )
    wanted = lanes or found.least
    if wanted < found.least:
        raise MigrationRefused(
            f"there are {found.least} lanes, and Kafka cannot take partitions away: --lanes {found.least} or more"
        )
    if found.changelogs.get(wanted, wanted) != wanted:
        most = max(found.changelogs[wanted], wanted + 1)
        raise MigrationRefused(
            f"somebody gave the changelog of {wanted} lanes {found.changelogs[wanted]} partitions, and it cannot be "
            f"taken back: --lanes {most} or more"
        )
    return wanted


class _Migration:
    """One run, alone in the group."""

    def __init__(self, settings: Settings, options: Mapping[str, Any], lanes: int, progress: Progress) -> None:
        self._settings = settings
        self._options = options
        self._lanes = lanes
        self._progress = progress
        self._rows = 0
        self._deleted: list[str] = []

    async def run(self) -> Migrated:
        wish = changelog_wish(self._settings.app_id, self._lanes, self._settings.replication)
        await create_topics(self._options, [wish])
        grown = await self._grow()
        async with admin(self._options) as client:
            found = await layout(client, self._settings.app_id)
        for old, new in pairwise(sorted(found.changelogs)):  # more than two when another migration was left unfinished
            await self._move(old, found.changelogs[old], new)
        return Migrated(self._lanes, grown, self._rows, tuple(self._deleted))

    async def _grow(self) -> dict[str, int]:
        """Step 2. Inputs last: where they differ, or differ from the changelog, workers see that it is not done."""
        lanes = self._lanes
        async with asyncio.timeout(_DEADLINE_S), admin(self._options) as client:
            fewer = (await layout(client, self._settings.app_id)).fewer(lanes)
            for number, name in enumerate(sorted(fewer, key=lambda name: name in LANE_INPUTS), start=1):
                with contextlib.suppress(InvalidPartitionsError):  # it has them: whoever told the count was behind
                    await client.create_partitions({name: NewPartitions(lanes)})
                self._progress("topics grown", number, len(fewer))
        async with asyncio.timeout(_DEADLINE_S):
            while True:
                present = (await describe_topics(self._options, fewer)).values()
                if all(len([p for p in topic.partitions if p.leader >= 0]) >= lanes for topic in present):
                    return fewer
                await asyncio.sleep(_POLL_S)

    async def _move(self, lanes: int, partitions: int, to: int) -> None:
        """Steps 3 to 5, from one changelog to the next."""
        app_id, options = self._settings.app_id, self._options
        old, new = changelog_name(app_id, lanes), changelog_name(app_id, to)
        lane_of, there = changelogs.router(to), dict[int, changelogs.Tally]()
        async with changelogs.writer(options, app_id) as producer:
            await self._fence(lanes)
            stood = await changelogs.ends(options, old, partitions)
            if any((await changelogs.ends(options, new, to)).values()):  # perhaps only what an aborted copy left
                there = await changelogs.found(options, new, to, self._told("earlier copy read", to))
            if there:
                told = self._told("old changelog read", partitions)
                wanted = await changelogs.expected(options, old, partitions, lane_of, told)
            else:
                async with changelogs.transaction(producer, changelogs.TRANSACTION_S):
                    told = self._told("state copied", partitions)
                    wanted = await changelogs.copy(options, producer, (old, partitions), (new, lane_of), told)
                    await self._still(old, stood)
        if not there:
            # A commit returns before its markers are in the partitions; to open the producer again waits for them.
            async with changelogs.writer(options, app_id):
                there = await changelogs.found(options, new, to, self._told("copy compared", to))
        if wanted and wanted != there:  # an old one without a row has nothing to say
            raise MigrationRefused(
                f"{old} and {new} both hold state, but not the same: {_rows(wanted)} and {_rows(there)} rows. One "
                "of them was written outside of a migration; delete that one with Kafka's own tools"
            )
        await self._still(old, stood)
        self._rows += _rows(wanted)
        await self._delete(old)

    async def _fence(self, lanes: int) -> None:
        """Step 3: what former owners left open ends, and they cannot write any more."""
        for lane in range(lanes):
            producer = LaneProducer(lane, self._settings.app_id, self._options)
            try:
                await producer.open()
            finally:
                await producer.close()
            self._progress("old lanes fenced", lane + 1, lanes)

    async def _still(self, old: str, stood: Mapping[int, int]) -> None:
        """Nobody has written to the old changelog since, nor come into the group."""
        await check_alone(self._options, self._settings.app_id)
        if await changelogs.ends(self._options, old, len(stood)) != stood:
            raise MigrationStopped(f"somebody writes to {old}: stop all workers and run it again")

    async def _delete(self, name: str) -> None:
        """Step 5."""
        async with asyncio.timeout(_DEADLINE_S), admin(self._options) as client:
            answer = await client.delete_topics([name])
            for _, code in answer.topic_error_codes:
                if code not in (0, UnknownTopicOrPartitionError.errno):
                    raise for_code(code)(name)
            while True:
                if name not in {topic["topic"] for topic in await client.describe_topics()}:
                    break
                await asyncio.sleep(_POLL_S)
        self._deleted.append(name)

    def _told(self, step: str, total: int) -> changelogs.LaneDone:
        return lambda lane, rows: self._progress(f"{step}: {rows:,} rows", lane, total)


def _rows(tallies: Mapping[int, changelogs.Tally]) -> int:
    return sum(tally.rows for tally in tallies.values())
