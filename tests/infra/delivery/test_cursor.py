"""One subscription without a broker: order, bounds, rest, and what is written when."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, NamedTuple
from uuid import UUID

import pytest
from aiokafka import TopicPartition

from tests.alerting import transition
from wardstream.agents.metrics import WEBHOOK_FAILURES, WEBHOOKS, Meters
from wardstream.infra.delivery import cursor as module
from wardstream.infra.delivery.cursor import Cursor, Gone, Tools
from wardstream.infra.delivery.receiver import Posted
from wardstream.infra.delivery.trying import Trying
from wardstream.schemas.alerts import Alert
from wardstream.schemas.decode import encode
from wardstream.schemas.deliveries import Delivery
from wardstream.schemas.subscriptions import Subscription, Wanted

PART = TopicPartition("alerts.v1", 0)
NAME = "pager"
OK = Posted(200, None)


class Record(NamedTuple):
    offset: int
    value: bytes
    timestamp: int = 0
    headers: tuple[tuple[str, bytes], ...] = ()


class Kafka:
    """A consumer of one partition, a ledger, and answers; as far as a cursor sees them."""

    def __init__(self, alerts: Iterable[Alert | None]) -> None:
        self.records = [Record(at, b"{}" if one is None else encode(one)) for at, one in enumerate(alerts)]
        self.read = 0
        self.committed: dict[TopicPartition, int] = {}
        self.outcomes: list[Delivery] = []
        self.partitions = {0}

    def partitions_for_topic(self, topic: str) -> set[int]:
        return self.partitions

    def highwater(self, part: TopicPartition) -> int:
        return len(self.records)

    async def getmany(self, timeout_ms: int, max_records: int) -> dict[TopicPartition, list[Record]]:
        await asyncio.sleep(0)
        found = self.records[self.read : self.read + min(max_records, 2)]
        self.read += len(found)
        if not found:
            await asyncio.sleep(0.01)
        return {PART: found} if found else {}

    async def write(self, name: str, positions: dict[TopicPartition, int], outcomes: Iterable[Delivery]) -> None:
        self.committed |= positions
        self.outcomes += outcomes

    async def take(self, *_: object) -> None:
        return None

    async def stop(self) -> None:
        pass


class Receiver:
    """Answers as it is told, and notes what came."""

    def __init__(self, answer: Callable[[str, int], Posted]) -> None:
        self.came: list[str] = []
        self._answer, self._times = answer, defaultdict[str, int](int)

    async def post(self, webhook_id: str, body: bytes, traceparent: str | None = None) -> Posted:
        self.came.append(webhook_id)
        self._times[webhook_id] += 1
        await asyncio.sleep(0)
        return self._answer(webhook_id, self._times[webhook_id])

    async def close(self) -> None:
        pass


class Offline(Cursor):
    """A cursor whose Kafka is the one above."""

    def __init__(self, kafka: Kafka, receiver: Receiver, meters: Meters, wanted: Wanted, for_s: float) -> None:
        at = transition(1, 1).observed_at
        subscription = Subscription(name=NAME, at=at, made_at=at, who="m.garcia", wanted=wanted)
        tools: Any = Tools({}, kafka, kafka, meters, Trying(for_s, lambda: 0.0))  # type: ignore[arg-type]
        super().__init__(subscription, receiver, tools)  # type: ignore[arg-type]
        self._kafka = kafka

    async def _open(self) -> None:
        self._consumer = self._kafka
        self._marks[PART] = module.Marks(0)


async def ran(
    alerts: Iterable[Alert | None],
    answer: Callable[[str, int], Posted],
    until: Callable[[Kafka, Receiver], bool],
    wanted: Wanted = Wanted(),  # noqa: B008 - never changed
    for_s: float = 1e12,
) -> tuple[Kafka, Receiver, Meters]:
    """A cursor, cancelled when `until` holds."""
    kafka, receiver, meters = Kafka(alerts), Receiver(answer), Meters()
    running = asyncio.create_task(Offline(kafka, receiver, meters, wanted, for_s).run())
    async with asyncio.timeout(30):
        while not (running.done() or until(kafka, receiver)):
            await asyncio.wait([running], timeout=0.001)
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    return kafka, receiver, meters


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SOON_S", 0.0)


def of(alert: int, number: int) -> str:
    return str(transition(alert, number).event_id)


async def test_the_next_of_an_alert_waits_and_others_do_not() -> None:
    alerts = [transition(1, 1), transition(1, 2), transition(2, 1), transition(2, 2)]
    kafka, receiver, _ = await ran(
        alerts,
        lambda one, times: OK if one != of(1, 1) or times > 20 else Posted(503, "http"),
        lambda kafka, _: kafka.committed.get(PART) == 4,
    )
    assert receiver.came.index(of(2, 2)) < receiver.came.index(of(1, 2))
    assert receiver.came.count(of(1, 1)) == 21
    assert receiver.came[-1] == of(1, 2)
    assert {one.event_id: one.attempts for one in kafka.outcomes} == {
        UUID(of(alert, number)): 21 if (alert, number) == (1, 1) else 1 for alert in (1, 2) for number in (1, 2)
    }


async def test_what_hangs_holds_the_position_and_not_the_others() -> None:
    alerts = [transition(alert, 1) for alert in range(1, 9)]
    kafka, _, _ = await ran(
        alerts,
        lambda one, _: Posted(None, "timeout") if one == of(3, 1) else OK,
        lambda kafka, _: len(kafka.outcomes) == 7,
    )
    assert kafka.committed == {PART: 2}
    assert UUID(of(3, 1)) not in {one.event_id for one in kafka.outcomes}


@pytest.mark.parametrize("bound", ["WAITING", "HELD"])
async def test_no_more_is_read_than_is_held(monkeypatch: pytest.MonkeyPatch, bound: str) -> None:
    monkeypatch.setattr(module, bound, 6)
    first = of(0, 1)
    kafka, _, _ = await ran(
        [transition(alert, 1) for alert in range(60)],
        lambda one, _: Posted(503, "http") if bound == "WAITING" or one == first else OK,
        lambda _, receiver: receiver.came.count(first) > 30,
    )
    assert 6 <= kafka.read <= 8
    assert kafka.committed.get(PART, 0) == 0


async def test_the_receiver_rests_whatever_the_alert() -> None:
    """One has asked for an hour: no other alert is posted meanwhile."""
    alerts = [transition(1, 1), *(transition(alert, 1) for alert in range(2, 40))]
    _, receiver, meters = await ran(
        alerts,
        lambda one, _: Posted(429, "http", 3600.0),
        lambda kafka, _: kafka.read == len(alerts),
    )
    assert len(receiver.came) <= module.AT_ONCE
    assert meters.values[WEBHOOK_FAILURES, ("http",)] == len(receiver.came)


async def test_ends() -> None:
    ends = {of(1, 1): Posted(503, "http"), of(2, 1): Posted(400, "http"), of(3, 1): Posted(None, "tls")}
    kafka, _, meters = await ran(
        [transition(1, 1), transition(1, 2), transition(2, 1), transition(3, 1)],
        lambda one, _: ends.get(one, OK),
        lambda kafka, _: kafka.committed.get(PART) == 4,
        for_s=0,
    )
    assert {str(one.event_id): (one.outcome, one.attempts, one.status, one.reason) for one in kafka.outcomes} == {
        of(1, 1): ("gave_up", 5, 503, "http"),
        of(1, 2): ("delivered", 1, 200, None),
        of(2, 1): ("rejected", 1, 400, "http"),
        of(3, 1): ("gave_up", 5, None, "tls"),
    }
    counted = {labels[0]: value for (metric, labels), value in meters.values.items() if metric is WEBHOOKS}
    assert counted == {"delivered": 1, "gave_up": 2, "rejected": 1}


async def test_what_is_not_wanted_or_no_alert_is_passed_over() -> None:
    kafka, receiver, _ = await ran(
        [transition(1, 1, priority="low"), None, transition(2, 1), transition(3, 1, priority="low")],
        lambda one, _: OK,
        lambda kafka, _: kafka.committed.get(PART) == 4,
        wanted=Wanted(priorities=("high",)),
    )
    assert receiver.came == [of(2, 1)]
    assert [one.place.offset for one in kafka.outcomes] == [2]


async def test_gone_ends_it_and_leaves_the_position() -> None:
    with pytest.raises(Gone):
        await ran([transition(1, 1)], lambda one, _: Posted(410, "gone"), lambda *_: False)


async def test_other_partitions_are_noticed() -> None:
    class More(Kafka):
        def partitions_for_topic(self, topic: str) -> set[int]:
            return {0} if self.read < 2 else {0, 1}

    kafka = More([transition(1, 1), transition(2, 1)])
    cursor = Offline(kafka, Receiver(lambda one, _: OK), Meters(), Wanted(), 1e12)
    with pytest.raises(module.Failure, match="other partitions"):
        await cursor.run()
