"""A Faust transport of lanes: Faust's app, agents, assignment and rebalances, with batches instead of messages.

Faust moves a message in 100 to 500 µs; its conductor, events, sensors and stream iterators are the cost, not JSON. A
lane moves a poll: all that came since the last one, through the same conductor and the same agents, as one event.

The loop of a lane (`_drain_lane`):

1. wait until this worker owns the lane's partition of *all* input topics; then open it and seek to its own positions.
   The group's committed offsets are for lag tools: after a rebalance Faust and the group may seek back to older ones;
2. poll, drop what was already read, decode, sort by time (`order`);
3. hand each topic's run to its agent and wait for it; commit; poll again. Nothing queues inside the worker, so batches
   grow with the load and latency stays bounded.

A rebalance does not reload a lane that stays: had another worker owned it in between, that worker would have fenced
ours, and the next commit would fail. After a fence the lane waits for a new generation of the group, for it was fenced
by the rightful owner; but not longer than a session, for a broker also fences a transaction that timed out.
"""

from __future__ import annotations

import asyncio
import logging
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from wardstream.agents import metrics as m
from wardstream.agents.streams.assignor import LaneAssignor
from wardstream.agents.streams.batch import Batch, LaneLost, LaneMessage
from wardstream.agents.streams.lane import HandlerFailed, Item, Lane, LaneSettings
from wardstream.agents.streams.order import Order
from wardstream.agents.streams.producer import FENCED
from wardstream.agents.streams.topic_ids import topic_ids
from wardstream.agents.streams.watchdog import Standing

log = logging.getLogger(__name__)

POLL_S = 0.5
HELD_POLL_S = 0.05  # while something waits for another topic
CALL_DEADLINE_S = 20.0  # one request to the consumer's thread
DISPATCH_DEADLINE_S = 15.0  # an agent's own deadline is shorter
SESSION_TIMEOUT_S = 10.0
RETRY_S = 0.2


class Poll(NamedTuple):
    """What one poll brought, by topic, and where it left each input."""

    records: dict[str, list[Any]]
    before: dict[str, int]
    after: dict[str, int]
    ends: dict[str, int | None]  # last stable offset; None before the first fetch
    seen_ms: dict[str, int]  # when the broker last answered a fetch


class LaneConsumerThread(driver.AIOKafkaConsumerThread):
    """Faust's consumer thread with a consumer for lanes."""

    consumer: LaneConsumer

    def _create_worker_consumer(self, transport: Any) -> AIOKafkaConsumer:
        conf = self.app.conf
        return AIOKafkaConsumer(
            **self.consumer.settings.client,
            client_id=conf.broker_client_id,
            group_id=conf.id,
            partition_assignment_strategy=[LaneAssignor],
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",  # inputs may be outputs of transactions too
            fetch_max_wait_ms=50,  # Faust's 1,500 would keep an idle lane's next event behind an empty fetch
            max_poll_records=conf.broker_max_poll_records,
            max_partition_fetch_bytes=conf.consumer_max_fetch_size,
            max_poll_interval_ms=300_000,
            session_timeout_ms=int(conf.broker_session_timeout * 1000),
            rebalance_timeout_ms=int(conf.broker_rebalance_timeout * 1000),
            heartbeat_interval_ms=int(conf.broker_heartbeat_interval * 1000),
            request_timeout_ms=int(conf.broker_request_timeout * 1000),
            metadata_max_age_ms=60_000,
        )

    async def poll(self, tps: Mapping[str, TP], wanted: set[str], timeout_s: float) -> Poll:
        """Runs in the consumer's thread."""
        consumer = self._ensure_consumer()
        own = {topic: TopicPartition(*tp) for topic, tp in tps.items()}
        before = {topic: await consumer.position(tp) for topic, tp in own.items()}
        # without a partition `getmany` would take those of the other lanes
        got = (
            await consumer.getmany(*(own[topic] for topic in wanted), timeout_ms=int(timeout_s * 1000))
            if wanted
            else {}
        )
        return Poll(
            {tp.topic: records for tp, records in got.items()},
            before,
            {topic: await consumer.position(tp) for topic, tp in own.items()},
            {topic: consumer.last_stable_offset(tp) for topic, tp in own.items()},
            {topic: consumer.last_poll_timestamp(tp) or 0 for topic, tp in own.items()},
        )

    async def bounds(self, tps: Mapping[str, TP]) -> tuple[dict[str, int], dict[str, int]]:
        """First and next offset of each input. Runs in the consumer's thread."""
        consumer = self._ensure_consumer()
        own = [TopicPartition(*tp) for tp in tps.values()]
        begins, ends = await consumer.beginning_offsets(own), await consumer.end_offsets(own)
        return {tp.topic: at for tp, at in begins.items()}, {tp.topic: at for tp, at in ends.items()}

    async def seek_all(self, tps: Mapping[str, TP], offsets: Mapping[str, int]) -> None:
        """Runs in the consumer's thread."""
        consumer = self._ensure_consumer()
        for topic, tp in tps.items():
            consumer.seek(TopicPartition(*tp), offsets[topic])


class _Drain:
    """Where the loop of one lane stands; read by the watchdog."""

    def __init__(self, lane: Lane) -> None:
        self.lane = lane
        self.order: Order[Item] = Order(lane.settings.topics, lane.settings.clock_topic)
        self.tps: dict[str, TP] = {}
        self.generation = -1
        self.fenced: tuple[int, float] | None = None  # generation, when
        self.next: dict[str, int] = {}  # next offset to read
        self.positions: dict[str, int] = {}  # where the last poll left the consumer; kept when the lane is not open
        self.ends: dict[str, int | None] = {}
        self.reload = False

    def behind(self) -> set[str]:
        return {topic for topic in self.tps if (end := self.ends.get(topic)) is None or self.positions[topic] < end}


class LaneConsumer(driver.Consumer):
    """Faust's consumer; what belongs to lanes bypasses its message loop. `settings` is set by `lane_transport`."""

    settings: LaneSettings
    drains: list[_Drain]
    _thread: LaneConsumerThread

    def _new_consumer_thread(self) -> LaneConsumerThread:
        return LaneConsumerThread(self, loop=self.loop, beacon=self.beacon)

    def _new_offset(self, tp: TP) -> int | None:
        """Offsets of lanes travel in their transactions."""
        return None if tp.topic in self.settings.topics else super()._new_offset(tp)

    async def _getmany(self, active_partitions: set[TP] | None, timeout: float) -> Any:  # noqa: ASYNC109 - Faust's
        """Faust's own loop sees every partition but those of lanes."""
        if active_partitions is not None:
            active_partitions = {tp for tp in active_partitions if tp.topic not in self.settings.topics}
            if not active_partitions:
                await self.sleep(0.1)
                return {}
        return await super()._getmany(active_partitions, timeout)

    async def _drain_messages(self, fetcher: Any) -> None:
        settings = self.settings
        if not self.drains:  # they outlive the fetcher, which Faust starts anew at some rebalances
            self.drains = [_Drain(Lane(number, settings)) for number in range(settings.lanes)]
        loops = [super()._drain_messages(fetcher), *(self._drain_lane(fetcher, drain) for drain in self.drains)]
        tasks = [asyncio.ensure_future(loop) for loop in loops]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                if not (self._stopped.is_set() or fetcher._stopped.is_set()):
                    task.result()
                    raise RuntimeError("the loop of a lane ended by itself")
        except Exception as error:  # noqa: BLE001 - whatever it is, it ends the worker
            # Faust's fetcher would swallow it, and the worker live on without its lanes
            log.critical("lanes stop: %s", type(error).__name__)
            await self.crash(error)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _drain_lane(self, fetcher: Any, drain: _Drain) -> None:
        while not (self._stopped.is_set() or fetcher._stopped.is_set()):
            if not self.flow_active:
                await self.wait(self.can_resume_flow.wait())
                continue
            try:
                if await self._mine(drain):
                    await self._step(drain)
            except Exception as error:  # noqa: BLE001 - the one place where a lane's failure is dealt with
                await self._failed(drain, error)
            except BaseException:  # cancelled, perhaps in a commit: only the changelog knows how it ended
                drain.reload = True
                raise

    async def on_stop(self) -> None:
        await asyncio.gather(*(drain.lane.close() for drain in self.drains))
        await super().on_stop()

    async def _mine(self, drain: _Drain) -> bool:
        """Whether this worker owns the lane; lets go of it otherwise."""
        number, topics = drain.lane.number, self.settings.topics
        tps = {tp.topic: tp for tp in self._get_active_partitions() if tp.partition == number and tp.topic in topics}
        generation = self.app.consumer_generation_id
        if len(tps) != len(topics):  # not ours, or ours only in part: topics of a rolling upgrade
            if drain.lane.is_open:
                log.info("lane %s: given up", number)
                await drain.lane.close()
            drain.tps = {}
            await self.sleep(0.05)
            return False
        if drain.fenced is not None:
            fenced_generation, since = drain.fenced
            if generation == fenced_generation and time.monotonic() - since < self.app.conf.broker_session_timeout:
                await self.sleep(0.1)
                return False
            drain.fenced = None
        if drain.reload or not drain.lane.is_open or generation != drain.generation:
            drain.tps, drain.generation = tps, generation
            await self._settle(drain)
        return True

    async def _settle(self, drain: _Drain) -> None:
        """Open the lane if it is not, and go to where it stands."""
        if drain.reload or not drain.lane.is_open:
            started = time.monotonic()
            await drain.lane.open()
            drain.reload = False
            await self._go_to_position(drain)
            took = time.monotonic() - started
            self.settings.meters.observe(m.RESTORE, took)
            log.info("lane %s: open with %s patients after %.2f s", drain.lane.number, len(drain.lane.state), took)
        else:
            await self._go_to_position(drain)

    async def _go_to_position(self, drain: _Drain) -> None:
        """Read on from the lane's own positions, wherever the group stands."""
        ids = await topic_ids(self.settings.client, drain.tps)
        begins, ends = await self._call(self._thread.bounds(drain.tps))
        starts = drain.lane.start_offsets(ids, begins, ends)
        await self._call(self._thread.seek_all(drain.tps, starts))
        drain.order.clear()
        drain.next, drain.positions, drain.ends = dict(starts), dict(starts), {}

    async def _call(self, request: Any) -> Any:
        """Run in the consumer's thread. Faust's queue to it serves one call at a time; lanes must not wait in line."""
        future = asyncio.run_coroutine_threadsafe(request, self._thread.thread_loop)
        return await asyncio.wait_for(asyncio.wrap_future(future), CALL_DEADLINE_S)

    async def _step(self, drain: _Drain) -> None:
        """One poll, and what it allows to apply."""
        lane, order = drain.lane, drain.order
        if self._moved(drain):
            raise LaneLost("rebalance")
        await lane.tick()
        wait_s = HELD_POLL_S if len(order) else POLL_S
        poll: Poll = await self._call(self._thread.poll(drain.tps, order.wanted(drain.behind()), wait_s))
        if poll.before != drain.positions:  # somebody sought: Faust to committed offsets, or aiokafka to the beginning
            await self._go_to_position(drain)
            return
        drain.positions, drain.ends = poll.after, poll.ends
        for topic, records in poll.records.items():
            new = [record for record in records if record.offset >= drain.next[topic]]
            if new:
                drain.next[topic] = new[-1].offset + 1
                order.add(topic, lane.decode(topic, new, order.reached(topic)))
        ready = order.release(drain.behind(), self._ended_since_tick(drain, poll), time.monotonic())
        if ready:
            await lane.apply(ready, lambda topic, batch: self._dispatch(drain, topic, batch))
        self._gauge()

    def _ended_since_tick(self, drain: _Drain, poll: Poll) -> bool:
        """Whether every other input answered, after the first waiting tick was read, that there is no more."""
        tick = drain.order.first_tick
        return tick is not None and all(
            seen > tick.read_ms for topic, seen in poll.seen_ms.items() if topic != self.settings.clock_topic
        )

    async def _dispatch(self, drain: _Drain, topic: str, batch: Batch[Any, Any]) -> None:
        """Through Faust's conductor to the agent; but never wait for one whose batch a rebalance has thrown away."""
        if self._moved(drain):
            raise LaneLost("rebalance")
        batch.handled = handled = asyncio.get_running_loop().create_future()
        deadline = time.monotonic() + DISPATCH_DEADLINE_S
        await asyncio.wait_for(
            self.callback(LaneMessage(drain.tps[topic], batch, drain.generation)), DISPATCH_DEADLINE_S
        )
        while not handled.done():
            await asyncio.wait({handled}, timeout=0.1)
            if not handled.done():
                if self._moved(drain):
                    handled.cancel()
                    raise LaneLost("rebalance")
                if time.monotonic() > deadline:
                    handled.cancel()
                    raise LaneLost("deadline")
        error = handled.exception()
        if isinstance(error, LaneLost):
            raise error
        if error is not None:
            raise HandlerFailed(type(error).__name__) from error

    def _moved(self, drain: _Drain) -> bool:
        return not self.flow_active or self.app.consumer_generation_id != drain.generation

    async def _failed(self, drain: _Drain, error: Exception) -> None:
        """A batch that a rebalance interrupted is read again; after anything else the lane is restored."""
        number, cause = drain.lane.number, type(error).__name__
        drain.generation = -1
        if isinstance(error, LaneLost) and error.args == ("rebalance",):
            return
        # The place of the error, never its text, which may quote what was handled.
        frames = traceback.extract_tb(error.__traceback__)[-3:]
        where = " > ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames)
        log.warning("lane %s: reloads after %s at %s", number, cause, where)
        self.settings.meters.count(m.RELOADS, (cause,))
        drain.reload = True
        await drain.lane.close()
        if isinstance(error, FENCED):
            drain.fenced = (self.app.consumer_generation_id, time.monotonic())
        await self.sleep(RETRY_S)

    def standing(self) -> dict[int, Standing]:
        """Where each owned lane stands, for the watchdog; also of a lane that never manages to open."""
        return {
            drain.lane.number: Standing(dict(drain.positions), len(drain.order), drain.lane.commits)
            for drain in self.drains
            if drain.tps
        }

    def reload_lanes(self) -> None:
        """Have every lane restored and its positions checked anew, as when an input topic was found made anew."""
        for drain in self.drains:
            drain.reload = True

    def _gauge(self) -> None:
        open_drains = [drain for drain in self.drains if drain.lane.is_open]
        meters = self.settings.meters
        meters.set(m.LANES, len(open_drains))
        meters.set(m.PATIENTS, sum(len(drain.lane.state) for drain in open_drains))
        meters.set(m.STATE_BYTES, sum(drain.lane.state.bytes for drain in open_drains))
        for topic in self.settings.topics:
            lag = sum(
                (drain.ends.get(topic) or 0) - drain.positions.get(topic, 0) for drain in open_drains if drain.ends
            )
            meters.set(m.LAG, max(lag, 0), (topic,))


class _Producer(driver.Producer):
    """Faust's own producer, with the same connection as everything else."""

    settings: LaneSettings

    def _settings_auth(self) -> Mapping[str, Any]:
        client = dict(self.settings.client)
        client.pop("bootstrap_servers", None)
        return client


class LaneTransport(driver.Transport):
    Consumer: ClassVar[type[LaneConsumer]]
    Producer: ClassVar[type[_Producer]]


def lane_transport(app: Any, settings: LaneSettings) -> LaneTransport:
    """The transport to give to `app.transport` and `app.producer_transport` before the app starts."""
    consumer = type("BoundLaneConsumer", (LaneConsumer,), {"settings": settings, "drains": []})
    producer = type("BoundProducer", (_Producer,), {"settings": settings})
    transport = type("BoundLaneTransport", (LaneTransport,), {"Consumer": consumer, "Producer": producer})
    bound: LaneTransport = transport(app.conf.broker_consumer, app)
    return bound


__all__ = ["LaneConsumer", "LaneTransport", "lane_transport"]
