"""The group of patient flow: an app of its own with one lane, for a hospital's units belong together.

The lane reads occupancy.v1 whole. A second worker of the group stands by.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from wardstream.agents import closing
from wardstream.agents.streams.batch import Handler
from wardstream.agents.streams.lane import LaneSettings
from wardstream.agents.streams.places import whole
from wardstream.infra.flow_site import flow_site
from wardstream.infra.settings import Settings
from wardstream.infra.worker import OCCUPANCY_TOPIC, WorkerApp, common, lane_app
from wardstream.models.flow.site import FlowCodec, Site
from wardstream.schemas.occupancy import PARTITIONS, Over, Withdrawn, tombstone

FLOW: dict[str, Callable[[Site], Handler]] = {OCCUPANCY_TOPIC: closing.handler}
FLOW_SUFFIX = "-flow"
FLOW_AT_ONCE = 32  # records of a batch: as many hours may have to be closed
FLOW_DEADLINE_S = 40.0


def build_flow_app(settings: Settings) -> WorkerApp:
    """The composition root of a worker of the group. Connects to nothing."""
    site = flow_site(settings)
    lane_settings = flow_lanes(settings)
    handlers = {topic: make(site) for topic, make in FLOW.items()}
    return lane_app(settings, lane_settings, handlers, "flow-worker")


def flow_lanes(settings: Settings) -> LaneSettings:
    """What its lane is given."""
    inputs = whole(OCCUPANCY_TOPIC, PARTITIONS)
    given = common(settings, f"{settings.app_id}{FLOW_SUFFIX}", inputs, 1)
    return LaneSettings(
        **given | {"now": None},  # it keeps no clock: an hour is over when the lanes of patients say so
        clock_topic=None,
        codec=FlowCodec(),
        release_limit=FLOW_AT_ONCE,
        handler_deadline_s=FLOW_DEADLINE_S,
        tables=dict.fromkeys(inputs, tombstone_of),
        partition_of=lambda topic, key: 0,
    )


def tombstone_of(record: Any) -> Withdrawn | Over:
    """What a record of occupancy.v1 without a value says."""
    return tombstone(record.key, record.headers, record.timestamp)
