"""The group of operators' alerts: an app of its own with one lane, for it watches the whole hospital.

The lane reads all partitions of its inputs. A second worker of the group stands by.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from wardstream.agents import operations
from wardstream.agents.operations import PolicyNow, StaleAlert
from wardstream.agents.streams.batch import Handler
from wardstream.agents.streams.lane import LaneSettings
from wardstream.agents.streams.places import place, whole
from wardstream.infra.policies import Policies
from wardstream.infra.settings import Settings, kafka_client_options
from wardstream.infra.worker import CLOCK_TOPIC, WorkerApp, common, follow, lane_app
from wardstream.models.operations import RowCodec
from wardstream.schemas.alerts import TOPIC as ALERTS
from wardstream.schemas.alerts import Alert
from wardstream.schemas.decode import decoder_of
from wardstream.schemas.topics import partitions_of

# Within a minute of the stream's time the lane handles its topics in this order.
OPERATIONS: dict[str, Callable[[PolicyNow], Handler]] = {
    CLOCK_TOPIC: operations.tick_handler,
    "notices.v1": operations.notice_handler,
    "metrics.v1": operations.metrics_handler,
    "flow.v1": operations.flow_handler,
    ALERTS.name: operations.staleness_handler,
    "operator-answers.v1": operations.answer_handler,
}
OPERATIONS_SUFFIX = "-operations"


def build_operations_app(settings: Settings, lanes: int) -> WorkerApp:
    """The composition root of a worker of the group. Connects to nothing.

    Parameters
    ----------
    lanes : the partition count of the topics about patients.
    """
    policies = Policies(kafka_client_options(settings))
    handlers = {topic: make(policies) for topic, make in OPERATIONS.items()}
    app = lane_app(settings, operations_lanes(settings, lanes), handlers, "operations-worker")
    follow(app, policies)
    return app


def operations_lanes(settings: Settings, lanes: int) -> LaneSettings:
    """What its lane is given."""
    inputs = [name for topic in OPERATIONS for name in whole(topic, partitions_of(topic, lanes))]
    given = common(settings, f"{settings.app_id}{OPERATIONS_SUFFIX}", inputs, 1)
    told = {name: staleness for name in inputs if place(name, 0).topic == ALERTS.name}
    return LaneSettings(
        **given | {"now": None, "decoders": given["decoders"] | told},  # it keeps no clock: the lanes of patients do
        clock_topic=None,
        codec=RowCodec(),
        partition_of=lambda topic, key: 0,
    )


_decode = decoder_of(Alert)


def staleness(raw: bytes | None) -> Any:
    """A record of alerts.v1, without the patient."""
    alert = _decode(raw)
    return StaleAlert(alert.alert_id, alert.kind, alert.state, alert.unit, alert.received_at)
