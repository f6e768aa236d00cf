"""The worker: which handler takes which topic, and what they are given.

`app` at the end is what Faust's own command line looks for (`faust -A wardstream.infra.worker agents`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from functools import lru_cache, partial
from typing import Any, Protocol
from uuid import UUID

import faust
from aiokafka.errors import KafkaError

from wardstream.agents import (
    acknowledgements,
    admissions,
    directives,
    findings,
    handovers,
    imaging,
    labs,
    notes,
    outcomes,
    predicting,
    ticks,
    vitals,
)
from wardstream.agents.measuring import measure_model
from wardstream.agents.metrics import LANE_STILL, Meters
from wardstream.agents.patients import Rules
from wardstream.agents.risk import EXAMPLES_TOPIC, Risk
from wardstream.agents.streams.batch import Handler, lane_agent
from wardstream.agents.streams.dead_letters import DeadLetters
from wardstream.agents.streams.lane import LaneSettings
from wardstream.agents.streams.places import place
from wardstream.agents.streams.snapshots import Snapshots
from wardstream.agents.streams.topic_ids import topic_ids
from wardstream.agents.streams.transport import LaneConsumer, lane_transport
from wardstream.agents.streams.watchdog import Standing, Watchdog
from wardstream.infra.approvals import Approvals, Trust
from wardstream.infra.observability.worker import WorkerWatch
from wardstream.infra.policies import Policies
from wardstream.infra.preflight import changelog_name, check_start, dead_letter_key, refuse_two_agents
from wardstream.infra.risk import alert_target, risk_target, trusted_keys
from wardstream.infra.settings import PREFIX, Settings, SettingsError, kafka_client_options, load_settings
from wardstream.models import sepsis
from wardstream.models.imaging.state import ImagingCodec
from wardstream.models.patient import PatientCodec
from wardstream.models.serving import Served
from wardstream.models.triton import TritonClient
from wardstream.schemas import occupancy
from wardstream.schemas.decode import decoder_of, encode
from wardstream.schemas.partition import partition_of
from wardstream.schemas.topics import TOPICS

log = logging.getLogger(__name__)

# The table of the worker: one line an event type. Within a minute of the stream's time a lane handles its topics in
# this order.
HANDLERS: dict[str, Callable[[Rules], Handler]] = {
    "handovers.v1": handovers.handler,
    "admissions.v1": admissions.handler,
    "labs.v1": labs.handler,
    "vitals.v1": vitals.handler,
    "findings.v1": findings.handler,
    "notes.v1": notes.handler,
    "outcomes.v1": outcomes.handler,
    "directives.v1": directives.handler,
    "acknowledgements.v1": acknowledgements.handler,
    "ticks.v1": ticks.handler,
}
# The group of films, which are slow: an app of its own, with its own consumer group, state and transactions, so that
# vitals never wait; what it finds comes back as `findings.v1`. `ticks.v1` is no clock here (nothing waits for it): it
# says when to try again.
IMAGING: dict[str, Callable[[imaging.Tools], Handler]] = {
    "imaging.v1": imaging.handler,
    "ticks.v1": imaging.tick_handler,
}
CLOCK_TOPIC = "ticks.v1"
OCCUPANCY_TOPIC = "occupancy.v1"
IMAGING_SUFFIX = "-imaging"  # of the app's id: names the group, the transactions and the changelog
IMAGING_AT_ONCE = 4  # records of a batch
IMAGING_DEADLINE_S = 40.0  # above that of an event's own; with the time of a commit still below the watchdog's
SESSION_TIMEOUT_S = 10.0
WATCHDOG_BEAT_S = 1.0
TOPIC_IDS_S = 15.0  # how often a topic that was made anew is looked for


class Follows(Protocol):
    """What a worker obeys: read before its lanes begin, then followed."""

    async def open(self) -> None: ...
    async def step(self) -> None: ...
    async def close(self) -> None: ...


class WorkerApp(faust.App):
    """Faust's app with the checks at start, and the services beside the lanes."""

    lane_settings: LaneSettings
    wardstream: Settings
    watch: WorkerWatch
    followed: tuple[Follows, ...] = ()

    async def on_first_start(self) -> None:
        await self.check()  # and not Faust's own, which only makes a data folder: nothing here is kept on disk
        for one in self.followed:
            await one.open()

    async def check(self) -> None:
        """Refuse a cluster, or a table of handlers, with which the worker would be wrong."""
        refuse_two_agents(self.lane_settings.sources, self.agents.values())
        await check_start(self.wardstream, self.lane_settings)
        for one in self.followed:
            await one.open()
            await one.close()  # this may be another loop than the worker's

    def lane_consumer(self) -> LaneConsumer | None:
        """The consumer once Faust has made it."""
        return self.consumer if isinstance(self.consumer, LaneConsumer) else None


def build_app(settings: Settings, lanes: int, rules: Rules | None = None) -> WorkerApp:
    """The composition root of a worker. Connects to nothing.

    Parameters
    ----------
    lanes : the partition count of the input topics (`topics.lane_count` asks the cluster for it).
    """
    meters = Meters()
    client = None
    if settings.triton_url is not None and rules is None:
        client = TritonClient(
            settings.triton_url,
            deadline_s=settings.triton_deadline_ms / 1000,
            on_outcome=partial(measure_model, meters),
        )
    served = Served(client, settings.models / sepsis.NAME) if client else None
    target = risk_target(settings)
    trusted_keys(settings)  # a mistake in them is told at the start
    trust = None if target is None else Trust(target, partial(trusted_keys, settings))
    policies = Policies(kafka_client_options(settings))
    approvals = Approvals(kafka_client_options(settings), settings.app_id, meters, trust)
    try:
        risk = None if target is None else Risk(target, approvals)
        rules = rules or Rules(
            settings.never_carried, served, risk, approvals.is_silent, policies, alert_target(settings)
        )
    except ValueError as error:
        raise SettingsError(f"{PREFIX}NEVER_CARRIED: {error}") from None
    lane_settings = LaneSettings(
        **common(settings, settings.app_id, HANDLERS, lanes),
        clock_topic=CLOCK_TOPIC,
        codec=PatientCodec(),
        meters=meters,
        at_end=predicting.at_end(rules),
        partition_of=output_partition,
        follows=handovers.follows,
    )
    app = lane_app(settings, lane_settings, {topic: make(rules) for topic, make in HANDLERS.items()})
    follow(app, approvals, policies)
    if client is not None:
        _close_at_the_end(app, client.close)
    return app


def follow(app: WorkerApp, *followed: Follows) -> None:
    """Read tables before the lanes begin, and follow them."""
    app.followed = followed
    for one in followed:
        app.task(_following(app, one))


def _following(app: WorkerApp, one: Follows) -> Callable[[], Awaitable[None]]:
    async def following() -> None:  # Faust gives the app to a task that takes anything
        try:
            while not app.should_stop:
                await one.step()
        finally:
            await one.close()

    return following


def output_partition(topic: str, key: bytes) -> int | None:
    """The partition of what is not in its patient's."""
    if topic == OCCUPANCY_TOPIC:
        return occupancy.place(key)
    return 0 if topic == EXAMPLES_TOPIC else None


def build_imaging_app(
    settings: Settings, lanes: int, tools: imaging.Tools, meters: Meters, close: Callable[[], Awaitable[None]]
) -> WorkerApp:
    """The composition root of a worker of the imaging group. Connects to nothing.

    Parameters
    ----------
    tools, meters, close : what the handlers are given, where it counts, and what ends what it holds.
    """
    lane_settings = LaneSettings(
        **common(settings, f"{settings.app_id}{IMAGING_SUFFIX}", IMAGING, lanes),
        clock_topic=None,
        codec=ImagingCodec(),
        meters=meters,
        release_limit=IMAGING_AT_ONCE,
        handler_deadline_s=IMAGING_DEADLINE_S,
    )
    app = lane_app(settings, lane_settings, {topic: make(tools) for topic, make in IMAGING.items()}, "imaging-worker")
    _close_at_the_end(app, close)
    return app


def _close_at_the_end(app: WorkerApp, close: Callable[[], Awaitable[None]]) -> None:
    async def closing() -> None:
        try:
            while not app.should_stop:
                await app.sleep(WATCHDOG_BEAT_S)
        finally:
            await close()

    app.task(closing)


def common(settings: Settings, app_id: str, topics: Collection[str], lanes: int) -> dict[str, Any]:
    """What the lanes of every group are given."""
    return {
        "app_id": app_id,
        "client": kafka_client_options(settings),
        "topics": tuple(topics),
        "changelog": changelog_name(app_id, lanes),
        "decoders": {name: decoder_of(TOPICS[place(name, 0).topic].type) for name in topics},
        "encode": encode,
        "dead_letters": DeadLetters(dead_letter_key(settings)),
        "lanes": lanes,
        "lane_of": lru_cache(maxsize=200_000)(partial(partition_of, partitions=lanes)),
        "now": time.time if settings.clock == "live" else None,
    }


def lane_app(
    settings: Settings, lane_settings: LaneSettings, handlers: Mapping[str, Handler], role: str = "worker"
) -> WorkerApp:
    """One group's app: these handlers on these lanes; `role` names it in its metrics. Connects to nothing."""
    app = WorkerApp(
        lane_settings.app_id,
        broker=settings.broker_url,
        store="memory://",
        topic_allow_declare=False,  # Faust creates no topic: `wardstream topics create` does
        topic_disable_leader=True,
        stream_wait_empty=False,  # lanes' batches are never acknowledged by Faust
        web_enabled=False,
        worker_redirect_stdouts=False,
        broker_session_timeout=SESSION_TIMEOUT_S,
        broker_heartbeat_interval=SESSION_TIMEOUT_S / 5,
        broker_request_timeout=30.0,
        broker_max_poll_records=4_000,
        consumer_max_fetch_size=2 << 20,
    )
    app.wardstream = settings
    app.lane_settings = lane_settings
    app.transport = app.producer_transport = lane_transport(app, app.lane_settings)
    for topic, handler in handlers.items():
        lane_agent(app, topic, handler, lane_settings.lanes, lane_settings.handler_deadline_s)
    _add_services(app, role)
    return app


def _add_services(app: WorkerApp, role: str) -> None:
    settings = app.lane_settings

    def standing() -> dict[int, Standing]:
        consumer = app.lane_consumer()
        return {} if consumer is None else consumer.standing()

    watchdog = Watchdog(settings.client, standing)
    watch = app.watch = WorkerWatch(settings.meters, role, app.lane_consumer, lambda: watchdog.still_s)

    async def metrics() -> None:
        snapshots = Snapshots(settings.meters, settings.client, role, watch.process, beacon=app.beacon)
        watch.snapshots = snapshots
        await app.add_runtime_dependency(snapshots)

    async def heart() -> None:
        watchdog.start()
        try:
            while not app.should_stop:
                watchdog.beat()
                settings.meters.set(LANE_STILL, watchdog.still_s)
                await app.sleep(WATCHDOG_BEAT_S)
        finally:
            watchdog.stop()

    async def recreated_topics() -> None:
        known: dict[str, UUID] = {}
        while not app.should_stop:
            await app.sleep(TOPIC_IDS_S)
            try:
                ids = await topic_ids(settings.client, settings.sources)
            except (KafkaError, TimeoutError, LookupError) as error:
                log.warning("topic ids cannot be had: %s", type(error).__name__)
                continue
            consumer = app.lane_consumer()
            if known and ids != known and consumer is not None:
                consumer.reload_lanes()
            known = ids

    async def watched() -> None:  # Faust gives the app to a task that takes anything
        await watch.run()

    for task in (metrics, heart, recreated_topics, watched):
        app.task(task)


def __getattr__(name: str) -> WorkerApp:
    """`app`, made when it is asked for, so that importing this module reads no environment."""
    if name != "app":
        raise AttributeError(name)
    settings = load_settings()
    return build_app(settings, settings.lanes)
