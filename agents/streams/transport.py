"""A Faust transport of lanes: Faust's app, agents, assignment and rebalances, with batches instead of messages.

Faust moves a message in 100 to 500 µs; its conductor, events, sensors and stream iterators are the cost, not JSON. A
lane moves a poll: all that came since the last one, through the same conductor and the same agents, as one event.

The loop of a lane (`_drain_lane`):

1. wait until this worker owns the lane's partition of *all* input topics; then open it and seek to its own positions.
   The group's committed offsets are for lag tools, and up to a second old: Faust and the group may seek back to them;
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
from typing import Any, ClassVar

from aiokafka.errors import IllegalStateError
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from wardstream.agents import metrics as m
from wardstream.agents.streams.batch import Batch, LaneLost, LaneMessage, Received
from wardstream.agents.streams.lane import HandlerFailed, Lane, LaneSettings, is_replayed
from wardstream.agents.streams.order import Order
from wardstream.agents.streams.places import place
from wardstream.agents.streams.polling import LaneConsumerThread, Poll
from wardstream.agents.streams.producer import FENCED
from wardstream.agents.streams.topic_ids import topic_ids
from wardstream.agents.streams.watchdog import Standing

log = logging.getLogger(__name__)

POLL_S = 0.5
HELD_POLL_S = 0.05  # while something waits for another topic
CALL_DEADLINE_S = 20.0  # one request to the consumer's thread
DISPATCH_GRACE_S = 5.0  # beyond the agent's own deadline
RETRY_S = 0.2
RELEASED_S = 0.05  # how often a lane looks whether it is ours
CHANGELOG_LOOKS = 4


class _Drain:
    """Where the loop of one lane stands; read by the watchdog."""

    def __init__(self, lane: Lane) -> None:
        self.lane = lane
        settings = lane.settings
        self.order: Order[Received[Any]] = Order(settings.topics, settings.clock_topic, settings.release_limit)
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
    _thread: LaneConsumerThread
    in_group = False  # whether it has been given its lanes, which may be none

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # They outlive the fetcher, which Faust starts anew at some rebalances.
        self.drains = [_Drain(Lane(number, self.settings)) for number in range(self.settings.lanes)]

    def _new_consumer_thread(self) -> LaneConsumerThread:
        return LaneConsumerThread(self, loop=self.loop, beacon=self.beacon)

    def _new_offset(self, tp: TP) -> int | None:
        """Offsets of lanes travel in their transactions."""
        return None if tp.topic in self.settings.sources else super()._new_offset(tp)

    async def _getmany(self, active_partitions: set[TP] | None, timeout: float) -> Any:  # noqa: ASYNC109 - Faust's
        """Faust's own loop sees every partition but those of lanes."""
        if active_partitions is not None:
            active_partitions = {tp for tp in active_partitions if tp.topic not in self.settings.sources}
            if not active_partitions:
                await self.sleep(0.1)
                return {}
        return await super()._getmany(active_partitions, timeout)

    async def _drain_messages(self, fetcher: Any) -> None:
        loops = [super()._drain_messages(fetcher), *(self._drain_lane(fetcher, drain) for drain in self.drains)]
        tasks = [asyncio.ensure_future(loop) for loop in loops]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                if not (self._stopped.is_set() or fetcher._stopped.is_set()):
                    if not task.cancelled():
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
            except asyncio.CancelledError:  # perhaps in a commit: only the changelog knows how it ended
                drain.reload = True
                task = asyncio.current_task()
                if task is None or task.cancelling():
                    raise
                await self._failed(drain, LaneLost("cancelled"))  # not the lane was, but something it awaited
            except Exception as error:  # noqa: BLE001 - the one place where a lane's failure is dealt with
                await self._failed(drain, error)

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """Events of a partition that no lane reads must not be left lying."""
        settings = self.settings
        read = {place(name, number) for name in settings.topics for number in range(settings.lanes)}
        if any(tp.topic in settings.sources and tp not in read for tp in assigned):
            await self.crash(RuntimeError("the inputs have more partitions than lanes: `wardstream lanes migrate`"))
        await super().on_partitions_assigned(assigned, generation_id)
        self.in_group = True

    async def on_stop(self) -> None:
        await asyncio.gather(*(drain.lane.close() for drain in self.drains))
        await super().on_stop()

    async def _mine(self, drain: _Drain) -> bool:
        """Whether this worker owns the lane; lets go of it otherwise."""
        number, topics = drain.lane.number, self.settings.topics
        active = self._get_active_partitions()
        tps = {name: tp for name in topics if (tp := place(name, number)) in active}
        generation = self.app.consumer_generation_id
        if len(tps) != len(topics):  # not ours, or ours only in part: topics of a rolling upgrade
            if drain.lane.is_open:
                log.info("lane %s: given up", number)
                await drain.lane.close()
                self._gauge()
            drain.tps = {}
            await self.sleep(RELEASED_S)
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
            await self._check_changelog()
            await drain.lane.open()
            drain.reload = False
            drain.order.paced_by_ticks = drain.lane.state.lane.replayed
            await self._go_to_position(drain)
            took = time.monotonic() - started
            self.settings.meters.observe(m.RESTORE, took)
            log.info("lane %s: open with %s patients after %.2f s", drain.lane.number, len(drain.lane.state), took)
        else:
            await self._go_to_position(drain)

    async def _check_changelog(self) -> None:
        """A migration deletes it: a worker of the former lanes that wakes up ends, before it fences anybody.

        To read it all the same would make it anew, and empty, on brokers that create topics by themselves.
        """
        for _ in range(CHANGELOG_LOOKS):  # made just now, it may not be known to every broker
            if await topic_ids(self.settings.client, [self.settings.changelog]):
                return
            await self.sleep(POLL_S)
        await self.crash(RuntimeError(f"{self.settings.changelog} is gone: the state has moved to other lanes"))
        raise LaneLost("changelog")

    async def _go_to_position(self, drain: _Drain) -> None:
        """Read on from the lane's own positions, wherever the group stands."""
        known = await topic_ids(self.settings.client, self.settings.sources)
        ids = {name: known[tp.topic] for name, tp in drain.tps.items()}
        begins, ends = await self._call(self._thread.bounds(drain.tps))
        starts = drain.lane.start_offsets(ids, begins, ends)
        await self._call(self._thread.seek_all(drain.tps, starts))
        drain.order.clear()
        drain.next, drain.positions, drain.ends = dict(starts), dict(starts), {}

    async def _call(self, request: Any) -> Any:
        """Run in the consumer's thread. Faust's queue to it serves one call at a time; lanes must not wait in line."""
        future = asyncio.run_coroutine_threadsafe(request, self._thread.thread_loop)
        try:
            return await asyncio.wait_for(asyncio.wrap_future(future), CALL_DEADLINE_S)
        except IllegalStateError:  # a partition is no longer ours
            raise LaneLost("rebalance") from None

    async def _step(self, drain: _Drain) -> None:
        """One poll, and what it allows to apply."""
        lane, order = drain.lane, drain.order
        if self._moved(drain):
            raise LaneLost("rebalance")
        await lane.tick()
        wait_s = HELD_POLL_S if len(order) else POLL_S
        poll: Poll = await self._call(self._thread.poll(drain.tps, order.wanted(), wait_s))
        # Where aiokafka finds its offset no longer there, it goes to the beginning.
        if poll.before != drain.positions or any(poll.after[topic] < at for topic, at in poll.before.items()):
            await self._go_to_position(drain)
            return
        for topic, begin in poll.begins.items():
            lane.skipped(topic, begin - poll.before[topic])
        drain.positions, drain.ends = poll.after, poll.ends
        for topic, records in poll.records.items():
            new = records  # in the order of their offsets; a fetch may begin before what was asked for
            if new and new[0].offset < drain.next[topic]:
                new = [record for record in records if record.offset >= drain.next[topic]]
            if new:
                drain.next[topic] = new[-1].offset + 1
                items = lane.decode(topic, new, order.reached(topic))
                if topic == self.settings.clock_topic:
                    order.paced_by_ticks = lane.state.lane.replayed = any(is_replayed(item) for item in items)
                order.add(topic, items)
        expired = order.holds_expired
        ready = order.release(drain.behind(), self._ended_ms(poll), time.monotonic())
        self.settings.meters.count(m.HOLDS_EXPIRED, by=order.holds_expired - expired)
        if ready:
            await lane.apply(ready, lambda topic, batch: self._dispatch(drain, topic, batch))
        else:
            await lane.tell()
        self._gauge()

    def _ended_ms(self, poll: Poll) -> int:
        """When the broker last answered a fetch of the input it answered longest ago, the clock's apart."""
        clock_topic = self.settings.clock_topic
        return min((seen for topic, seen in poll.seen_ms.items() if topic != clock_topic), default=0)

    async def _dispatch(self, drain: _Drain, topic: str, batch: Batch[Any, Any]) -> None:
        """Through Faust's conductor to the agent; but never wait for one whose batch a rebalance has thrown away."""
        if self._moved(drain):
            raise LaneLost("rebalance")
        batch.handled = handled = asyncio.get_running_loop().create_future()
        most_s = self.settings.handler_deadline_s + DISPATCH_GRACE_S
        deadline = time.monotonic() + most_s
        await asyncio.wait_for(self.callback(LaneMessage(drain.tps[topic], batch, drain.generation)), most_s)
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
        generation, drain.generation = drain.generation, -1
        if isinstance(error, LaneLost) and error.args == ("rebalance",):
            await self.sleep(RELEASED_S)
            return
        # The place of the error, never its text, which may quote what was handled.
        frames = traceback.extract_tb(error.__traceback__)[-3:]
        where = " > ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames)
        log.warning("lane %s: reloads after %s at %s", number, cause, where)
        self.settings.meters.count(m.RELOADS, (cause,))
        drain.reload = True
        await drain.lane.close()
        if isinstance(error, FENCED):
            drain.fenced = (generation, time.monotonic())  # if the group has moved on since, there is nothing to await
        await self.sleep(RETRY_S)

    def standing(self) -> dict[int, Standing]:
        """Where each assigned lane stands, for the watchdog; also of one that never gets as far as to open."""
        topics = self.settings.topics
        assigned = self.assignment()
        nowhere = dict.fromkeys(topics, 0)
        return {
            drain.lane.number: Standing(
                drain.positions or nowhere,
                0 if drain.order.paced_by_ticks else len(drain.order),  # a replay that was ended writes no more ticks
                drain.lane.steps,
            )
            for drain in self.drains
            if all(place(name, drain.lane.number) in assigned for name in topics)
        }

    def closed(self) -> list[int]:
        """Lanes that are ours and not open: they are being restored, or fail to be."""
        ours = self.standing()
        return [drain.lane.number for drain in self.drains if drain.lane.number in ours and not drain.lane.is_open]

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
            lags = (max((drain.ends.get(topic) or 0) - drain.positions.get(topic, 0), 0) for drain in open_drains)
            meters.set(m.LAG, sum(lags), (topic,))


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
    consumer = type("BoundLaneConsumer", (LaneConsumer,), {"settings": settings})
    producer = type("BoundProducer", (_Producer,), {"settings": settings})
    transport = type("BoundLaneTransport", (LaneTransport,), {"Consumer": consumer, "Producer": producer})
    bound: LaneTransport = transport(app.conf.broker_consumer, app)
    return bound


__all__ = ["LaneConsumer", "LaneTransport", "lane_transport"]
