"""The worker: which handler takes which topic, and what they are given.

`app` at the end is what Faust's own command line looks for (`faust -A wardstream.infra.worker agents`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import lru_cache, partial
from uuid import UUID

import faust
from aiokafka.errors import KafkaError

from wardstream.agents import admissions, labs, outcomes, ticks, vitals
from wardstream.agents.scoring import Rules
from wardstream.agents.streams.batch import Handler, lane_agent
from wardstream.agents.streams.dead_letters import DeadLetters
from wardstream.agents.streams.lane import LaneSettings
from wardstream.agents.streams.snapshots import Snapshots
from wardstream.agents.streams.topic_ids import topic_ids
from wardstream.agents.streams.transport import LaneConsumer, lane_transport
from wardstream.agents.streams.watchdog import Standing, Watchdog
from wardstream.infra.preflight import changelog_name, check_start, dead_letter_key, refuse_two_agents
from wardstream.infra.settings import PREFIX, Settings, SettingsError, kafka_client_options, load_settings
from wardstream.models.patient import PatientCodec
from wardstream.schemas.decode import decoder, encode
from wardstream.schemas.partition import partition_of

log = logging.getLogger(__name__)

# The table of the worker: one line an event type. Within a minute of the stream's time a lane handles its topics in
# this order.
HANDLERS: dict[str, Callable[[Rules], Handler]] = {
    "admissions.v1": admissions.handler,
    "labs.v1": labs.handler,
    "vitals.v1": vitals.handler,
    "outcomes.v1": outcomes.handler,
    "ticks.v1": ticks.handler,
}
CLOCK_TOPIC = "ticks.v1"
SESSION_TIMEOUT_S = 10.0
WATCHDOG_BEAT_S = 1.0
TOPIC_IDS_S = 15.0  # how often a topic that was made anew is looked for


class WorkerApp(faust.App):
    """Faust's app with the checks at start, and the services beside the lanes."""

    lane_settings: LaneSettings
    wardstream: Settings

    async def on_first_start(self) -> None:
        await self.check()  # and not Faust's own, which only makes a data folder: nothing here is kept on disk

    async def check(self) -> None:
        """Refuse a cluster, or a table of handlers, with which the worker would be wrong."""
        refuse_two_agents(self.lane_settings.topics, self.agents.values())
        await check_start(self.wardstream, self.lane_settings)

    def lane_consumer(self) -> LaneConsumer | None:
        """The consumer once Faust has made it."""
        return self.consumer if isinstance(self.consumer, LaneConsumer) else None


def build_app(settings: Settings, lanes: int, rules: Rules | None = None) -> WorkerApp:
    """The composition root of a worker. Connects to nothing.

    Parameters
    ----------
    lanes : the partition count of the input topics (`topics.lane_count` asks the cluster for it).
    """
    try:
        rules = rules or Rules(settings.never_carried)
    except ValueError as error:
        raise SettingsError(f"{PREFIX}NEVER_CARRIED: {error}") from None
    client = kafka_client_options(settings)
    app = WorkerApp(
        settings.app_id,
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
    app.lane_settings = LaneSettings(
        app_id=settings.app_id,
        client=client,
        topics=tuple(HANDLERS),
        clock_topic=CLOCK_TOPIC,
        changelog=changelog_name(settings.app_id, lanes),
        decoders={topic: decoder(topic) for topic in HANDLERS},
        encode=encode,
        codec=PatientCodec(),
        dead_letters=DeadLetters(dead_letter_key(settings)),
        lanes=lanes,
        lane_of=lru_cache(maxsize=200_000)(partial(partition_of, partitions=lanes)),
        now=time.time if settings.clock == "live" else None,
    )
    app.transport = app.producer_transport = lane_transport(app, app.lane_settings)
    for topic, make in HANDLERS.items():
        lane_agent(app, topic, make(rules), lanes)
    _add_services(app)
    return app


def _add_services(app: WorkerApp) -> None:
    settings = app.lane_settings

    def standing() -> dict[int, Standing]:
        consumer = app.lane_consumer()
        return {} if consumer is None else consumer.standing()

    watchdog = Watchdog(settings.client, standing)

    async def metrics() -> None:
        await app.add_runtime_dependency(Snapshots(settings.meters, settings.client, "worker", beacon=app.beacon))

    async def heart() -> None:
        watchdog.start()
        try:
            while not app.should_stop:
                watchdog.beat()
                await app.sleep(WATCHDOG_BEAT_S)
        finally:
            watchdog.stop()

    async def recreated_topics() -> None:
        known: dict[str, UUID] = {}
        while not app.should_stop:
            await app.sleep(TOPIC_IDS_S)
            try:
                ids = await topic_ids(settings.client, settings.topics)
            except (KafkaError, TimeoutError, LookupError) as error:
                log.warning("topic ids cannot be had: %s", type(error).__name__)
                continue
            consumer = app.lane_consumer()
            if known and ids != known and consumer is not None:
                consumer.reload_lanes()
            known = ids

    for task in (metrics, heart, recreated_topics):
        app.task(task)


def __getattr__(name: str) -> WorkerApp:
    """`app`, made when it is asked for, so that importing this module reads no environment."""
    if name != "app":
        raise AttributeError(name)
    settings = load_settings()
    return build_app(settings, settings.lanes)
