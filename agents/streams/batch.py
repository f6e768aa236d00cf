"""What a handler sees, and how it becomes a Faust agent.

A batch is the value of a Faust event: `agent.test_context()` puts one into an agent as the lanes do. The agent leaves
the batch's `with` when it is done; only then does the lane go on. Faust never acknowledges here: offsets travel in the
lane's transaction.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from time import monotonic
from types import TracebackType
from typing import Any, Generic, TypeVar, cast

import faust
import msgspec
from faust.types import TP, ConsumerMessage

from wardstream.agents.metrics import HANDLER_ERRORS, Labels, Metric
from wardstream.agents.streams.outputs import Headers, Outputs, Row
from wardstream.agents.streams.state import Work
from wardstream.schemas.bad_event import BadEvent

log = logging.getLogger(__name__)

HANDLER_DEADLINE_S = 10.0  # a handler that takes longer is one that failed
TURN_S = 0.002  # for which a lane keeps the event loop: others await answers that have a deadline, in several steps

E = TypeVar("E")  # event
S = TypeVar("S")  # entity of the lane's state


class Received(msgspec.Struct, Generic[E], gc=False):
    """An event as it came: with its place in the input, and when it was published (Kafka's clock, ms).

    What follows is for the lane alone: the record itself and when it was read (ms), the time that the event has on the
    stream's clock (s), and why a record holds no event. A handler never sees one that holds none.
    """

    event: E
    offset: int
    timestamp_ms: int
    topic: str = ""
    time: float = 0.0
    read_ms: int = 0
    record: Any = None
    bad: BadEvent | None = None


class LaneLost(Exception):
    """The lane's batch cannot be finished here: a rebalance, a fence, a deadline."""


class Batch(Generic[E, S]):
    """New events of one topic, in order, with the state and the outputs of their lane.

    `state[patient_id]` is the patient's entity, to be changed in place; `emit` adds an output. Both become durable
    together, or not at all. Nothing of a batch may be used after its handler has returned.
    """

    def __init__(
        self,
        topic: str,
        received: Sequence[Received[E]],
        state: Work[S],
        outputs: Outputs,
        encode: Callable[[Any], bytes],
    ) -> None:
        self.topic = topic
        self.received = received
        self.state = state
        self.outputs = outputs
        self._encode = encode
        self.handled: asyncio.Future[None] | None = None
        self._turn_ends = 0.0

    def __iter__(self) -> Iterator[Received[E]]:
        return iter(self.received)

    async def __aiter__(self) -> AsyncIterator[Received[E]]:
        """As handlers go through it: other lanes have their turns meanwhile."""
        for received in self.received:
            await self.take_turns()
            yield received

    async def take_turns(self) -> None:
        """Let other lanes run, if this one has kept the event loop for `TURN_S`; of this lane nothing else runs."""
        if monotonic() >= self._turn_ends:
            await asyncio.sleep(0)
            self._turn_ends = monotonic() + TURN_S

    def __len__(self) -> int:
        return len(self.received)

    def emit(self, topic: str, key: str, event: Any, cause: Received[E], lane: int | None = None) -> None:
        """Write an event to a topic, stamped with the publishing time of the event that caused it.

        It goes where the topic's keys go, or to the lane that is given: that of another patient (`lane_of`).
        """
        traced = cause.record is not None and cause.record.headers
        headers = self.outputs.trace(cause.topic, cause.offset, cause.read_ms, traced) if traced else ()
        self.outputs.write(topic, Row(key.encode(), self._encode(event), cause.timestamp_ms, headers), lane)

    def withdraw(
        self, topic: str, key: str, cause: Received[E], headers: Headers = (), partition: int | None = None
    ) -> None:
        """Write a tombstone to a compacted topic: the row of this key is no more."""
        self.outputs.write(topic, Row(key.encode(), None, cause.timestamp_ms, headers), partition)

    def lane_of(self, patient_id: str) -> int:
        """The lane of a patient, which may be another than this one."""
        return self.outputs.lane_of(patient_id)

    def count(self, metric: Metric, labels: Labels = (), by: float = 1) -> None:
        """Count something that is true once the batch is committed."""
        self.outputs.counts[metric, labels] += by

    def observe(self, metric: Metric, value: float, labels: Labels = ()) -> None:
        """Observe something, as `count`: in a histogram."""
        self.outputs.observed.append((metric, labels, value))

    def leave(self, item: Any) -> None:
        """Leave something for the end of the lane's batch, when all topics have been gone through: what is to be asked
        elsewhere is asked once a batch, not once a run of events. See `LaneSettings.at_end`."""
        self.outputs.left.append(item)

    @contextmanager
    def alone(self, key: str) -> Iterator[None]:
        """What fails in here is undone and counted, and costs nobody else the batch.

        For ticks: an event whose handler fails becomes a dead letter, but the time is not one patient's to lose.
        """
        mark, counts = self.state.mark(key), self.outputs.counts.copy()
        left, observed = len(self.outputs.left), len(self.outputs.observed)
        written = {place: len(rows) for place, rows in self.outputs.rows.items()}
        try:
            yield
        except Exception as error:  # noqa: BLE001 - the others must not pay for it, whatever it is
            log.error("a handler of %s failed on one patient: %s", self.topic, type(error).__name__)
            self.state.back(key, mark)
            self.outputs.counts = counts
            del self.outputs.left[left:], self.outputs.observed[observed:]
            for place, rows in self.outputs.rows.items():
                del rows[written.get(place, 0) :]
            self.count(HANDLER_ERRORS, (self.topic, type(error).__name__))

    def __enter__(self) -> Batch[E, S]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        handled = self.handled
        if handled is None:  # no lane waits: a test
            return False
        if not handled.done():
            if error is None:
                handled.set_result(None)
            else:
                # Never CancelledError itself: it would end the lane's loop without a sound.
                handled.set_exception(error if isinstance(error, Exception) else LaneLost(type(error).__name__))
        return isinstance(error, Exception)  # the agent lives on; the lane knows


Handler = Callable[[Batch[Any, Any]], Awaitable[None]]


class BatchSchema(faust.Schema[Any, Any]):
    """Hands a batch through; decoding was the lane's work."""

    def loads_key(self, app: Any, message: Any, **_: Any) -> Any:
        return message.key

    def loads_value(self, app: Any, message: Any, **_: Any) -> Any:
        return message.value


def lane_agent(app: faust.App, topic: str, handler: Handler, lanes: int, deadline_s: float = HANDLER_DEADLINE_S) -> Any:
    """Make a handler the Faust agent of a lane topic.

    `concurrency` is the number of lanes: each awaits its own batch, and no two actors ever share a lane.
    """
    channel = app.topic(topic, schema=BatchSchema(), allow_empty=True, acks=False)

    async def agent(stream: Any) -> None:
        async for batch in stream.noack():
            with batch:
                async with asyncio.timeout(deadline_s):
                    await handler(batch)

    # what Faust lists and logs
    agent.__module__, agent.__qualname__, agent.__doc__ = handler.__module__, handler.__name__, handler.__doc__
    return app.agent(channel, name=f"{handler.__module__}.{handler.__name__}", concurrency=lanes)(agent)


class LaneMessage(ConsumerMessage):
    """A batch on its way through Faust's conductor."""

    def __init__(self, tp: TP, batch: Batch[Any, Any], generation: int) -> None:
        last = batch.received[-1]
        super().__init__(
            tp.topic,
            tp.partition,
            last.offset,
            last.timestamp_ms / 1000.0,
            0,
            [],
            None,
            cast(Any, batch),  # Faust's types know bytes only; nothing looks at it but our schema
            None,
            0,
            0,
            tp,
            generation_id=generation,
        )
