"""What must hold before a worker starts: topics, number of lanes, changelog, clock, key of the dead letters.

The changelog's name holds the number of lanes, since every patient's place follows from it. There is exactly one: where
the input topics have another number of partitions than the changelog, `wardstream lanes migrate` moves the state.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from wardstream.agents.streams.lane import LaneSettings
from wardstream.agents.streams.places import place
from wardstream.infra.failure import Failure
from wardstream.infra.feeds.clock import last_tick
from wardstream.infra.kafka.admin import admin
from wardstream.infra.kafka.topics import Wish, create_topics
from wardstream.infra.settings import PREFIX, Settings, SettingsError

_DEADLINE_S = 30.0
_MIN_ISR_OF_THREE = "2"


class StartRefused(Failure):
    """The worker must not start; the text says why, and which command or setting mends it."""


def dead_letter_key(settings: Settings) -> bytes:
    """The key that seals dead letters. Only the demo makes one by itself.

    Raises
    ------
    SettingsError : none is set.
    """
    key = settings.dead_letter_key_bytes()
    if key is None:
        raise SettingsError(
            f"{PREFIX}DEAD_LETTER_KEY or {PREFIX}DEAD_LETTER_KEY_FILE is not set: 32 bytes in base64, "
            "as from `openssl rand -base64 32`. It encrypts the raw bytes of bad input; keep it, or they are lost."
        )
    return key


def changelog_name(app_id: str, lanes: int) -> str:
    """The compacted topic that holds the lanes' state."""
    return f"{app_id}-lanes-{lanes}"


def refuse_two_agents(topics: Iterable[str], agents: Iterable[Any]) -> None:
    """A lane's batch is handled once: two agents on one lane topic would each see it.

    Raises
    ------
    StartRefused : a lane topic has another number of agents than one.
    """
    found = Counter(topic for agent in agents for topic in agent.channel.topics)
    for topic in topics:
        if found[topic] != 1:
            raise StartRefused(f"{topic} has {found[topic]} agents; a lane topic has exactly one")


async def check_start(settings: Settings, lanes: LaneSettings) -> None:
    """Refuse to start on a cluster on which the worker would be wrong; create the changelog if it is the first.

    Raises
    ------
    StartRefused : see the text.
    TimeoutError : the cluster did not answer within 30 s.
    """
    async with asyncio.timeout(_DEADLINE_S), admin(lanes.client) as client:
        counts = {topic["topic"]: len(topic["partitions"]) for topic in await client.describe_topics()}
        check_lanes(lanes.app_id, lanes, counts)
    if lanes.changelog not in counts:
        wish = changelog_wish(lanes.app_id, lanes.lanes, settings.replication)
        await create_topics(lanes.client, [wish])  # nothing happens if another worker is faster
    await _check_clock(settings, lanes)


def check_lanes(app_id: str, lanes: LaneSettings, counts: Mapping[str, int]) -> None:
    """Compare the partition counts of the cluster's topics with what the worker was built for.

    Raises
    ------
    StartRefused : an input is missing or has another number of partitions, or the state has another number of lanes.
    """
    for topic, inputs in Counter(place(name, 0).topic for name in lanes.topics).items():
        if topic not in counts:
            raise StartRefused(f"{topic} does not exist: `wardstream topics create` creates it")
        if inputs > 1 and counts[topic] != inputs:  # one lane reads it whole
            raise StartRefused(f"{topic} has {counts[topic]} partitions, not {inputs}: make it anew")
        if inputs == 1 and counts[topic] != lanes.lanes:
            raise StartRefused(
                f"{topic} has {counts[topic]} partitions, not {lanes.lanes}: all inputs must have the same number; "
                "stop all workers and run `wardstream lanes migrate`"
            )
    for name in counts:
        other = re.fullmatch(re.escape(app_id) + r"-lanes-(\d+)", name)
        if other is not None and name != lanes.changelog:
            raise StartRefused(
                f"the state is that of {other[1]} lanes, but the inputs have {lanes.lanes} partitions: "
                "stop all workers and run `wardstream lanes migrate`"
            )
    if counts.get(lanes.changelog, lanes.lanes) != lanes.lanes:
        raise StartRefused(
            f"{lanes.changelog} has {counts[lanes.changelog]} partitions, not {lanes.lanes}: "
            "stop all workers and run `wardstream lanes migrate`"
        )


def changelog_wish(app_id: str, lanes: int, replication: int) -> Wish:
    """The changelog of so many lanes. Compacted only: those that also delete lose rows, and their recovery stalls."""
    configs = {
        "cleanup.policy": "compact",
        "min.cleanable.dirty.ratio": "0.3",
        "segment.ms": "3600000",
        "segment.bytes": "67108864",
    }
    if replication >= 3:
        configs["min.insync.replicas"] = _MIN_ISR_OF_THREE
    return Wish(changelog_name(app_id, lanes), lanes, replication, configs)


async def _check_clock(settings: Settings, lanes: LaneSettings) -> None:
    if lanes.clock_topic is None:
        return
    tick = await last_tick(dict(lanes.client))
    if tick is None:
        return
    if settings.clock == "live" and tick.source != "clock":
        raise StartRefused(
            f"this cluster's time is that of a {tick.source}: the live clock would mix with it. "
            f"Use a cluster of its own for each, or {PREFIX}CLOCK=feed"
        )
    if settings.clock == "feed" and tick.source == "clock":
        raise StartRefused(f"this cluster has a live clock: start with {PREFIX}CLOCK=live")
