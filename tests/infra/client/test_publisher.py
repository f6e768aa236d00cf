"""What the publisher refuses before anything leaves, without a broker."""

from __future__ import annotations

import asyncio
import socket
import time
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import uuid4

import orjson
import pytest
from aiokafka.partitioner import DefaultPartitioner

from wardstream.client import Publisher, PublishError
from wardstream.client.batches import BUFFERED_RECORDS, Batches
from wardstream.client.brokers import Brokers, place
from wardstream.schemas.bad_event import BadEvent
from wardstream.schemas.scores import Scores
from wardstream.schemas.vitals import Vitals

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def vitals(**fields: Any) -> Vitals:
    given = {"patient_id": "p-1", "observed_at": NOW, "received_at": NOW, "heart_rate_bpm": 70, **fields}
    return Vitals(event_id=uuid4(), source="t", **given)


class FakeBuilder:
    def __init__(self, room: int) -> None:
        self.room, self.records = room, list[bytes]()

    def append(self, *, timestamp: None, key: bytes, value: bytes, headers: list[tuple[str, bytes]]) -> object | None:
        if len(self.records) == self.room:
            return None
        self.records.append(value)
        return object()


class FakeProducer:
    """As much of aiokafka's producer as batches use; acknowledges when told."""

    def __init__(self, room: int = 10**6) -> None:
        self.room, self.open = room, asyncio.Event()
        self.open.set()
        self.sent: list[tuple[str, int, list[bytes]]] = []
        self.error: Exception | None = None

    def create_batch(self) -> FakeBuilder:
        return FakeBuilder(self.room)

    async def partitions_for(self, topic: str) -> set[int]:
        return {0, 1, 2, 3}

    async def send_batch(self, batch: FakeBuilder, topic: str, *, partition: int) -> asyncio.Future[None]:
        await self.open.wait()
        self.sent.append((topic, partition, batch.records))
        future = asyncio.get_running_loop().create_future()
        if self.error is not None:
            future.set_exception(self.error)
        else:
            future.set_result(None)
        return future

    def values(self) -> list[bytes]:
        return [value for _, _, values in self.sent for value in values]


def connected(producer: FakeProducer, deadline_s: float = 5.0, linger_s: float = 0.005) -> Publisher:
    publisher = Publisher(deadline_s=deadline_s)
    assert isinstance(publisher._way, Brokers)
    publisher._way._connection = producer, Batches(producer, deadline_s, linger_s)
    return publisher


@pytest.mark.parametrize("patient", ["p-1", "x", "patient:7@site", "0" * 128])
@pytest.mark.parametrize("partitions", [1, 4, 7, 64])
def test_patients_are_where_kafkas_own_partitioner_puts_them(patient: str, partitions: int) -> None:
    numbers = list(range(partitions))
    key, partition = place(patient, partitions)
    assert partition == DefaultPartitioner()(key, numbers, numbers)


@pytest.mark.parametrize(
    ("fields", "reason", "name"),
    [
        ({"heart_rate_bpm": 900.0}, "out_of_bounds", "heart_rate_bpm"),
        ({"heart_rate_bpm": float("nan")}, "out_of_bounds", "heart_rate_bpm"),
        ({"heart_rate_bpm": "fast"}, "wrong_type", "heart_rate_bpm"),
        ({"patient_id": "Jane Doe"}, "bad_format", "patient_id"),
        ({"observed_at": NOW + timedelta(hours=1)}, "future", "observed_at"),
        ({"status": "corrected"}, "missing_field", "supersedes"),
        ({"systolic_mmhg": 80.0, "diastolic_mmhg": 90.0}, "inconsistent", "diastolic_mmhg"),
    ],
)
async def test_bad_events_are_refused_by_field_and_not_by_value(fields: dict[str, Any], reason: str, name: str) -> None:
    producer = FakeProducer()
    with pytest.raises(BadEvent) as refused:
        await connected(producer).send(vitals(**fields))
    assert (refused.value.reason, refused.value.fields[0]) == (reason, name)
    assert not any(str(value) in str(refused.value) for value in fields.values())
    assert producer.values() == []


async def test_naive_times_are_refused_and_other_offsets_taken() -> None:
    producer = FakeProducer()
    publisher = connected(producer)
    with pytest.raises(BadEvent):
        await publisher.send(vitals(observed_at=datetime(2026, 3, 1)))  # noqa: DTZ001
    await publisher.publish(vitals(observed_at=NOW.astimezone(timezone(timedelta(hours=5)))))
    assert len(producer.values()) == 1


async def test_only_input_events_are_taken() -> None:
    score = Scores(event_id=uuid4(), source="t", patient_id="p", observed_at=NOW, received_at=NOW, caused_by=uuid4(),
                   scores=())  # fmt: skip
    with pytest.raises(TypeError, match="Scores"):
        await connected(FakeProducer()).send(score)


async def test_events_leave_by_themselves_and_keep_their_order() -> None:
    producer = FakeProducer()
    publisher = connected(producer)
    events = [vitals(heart_rate_bpm=float(i)) for i in range(50)]
    for event in events:
        await publisher.send(event)
    assert producer.values() == []
    await asyncio.sleep(0.1)
    assert [orjson.loads(value)["event_id"] for value in producer.values()] == [str(event.event_id) for event in events]


async def test_a_full_batch_is_followed_by_another() -> None:
    producer = FakeProducer(room=3)
    await connected(producer).publish(*(vitals() for _ in range(10)))
    assert [len(values) for _, _, values in producer.sent] == [3, 3, 3, 1]


async def test_a_cluster_that_takes_nothing_holds_the_publisher_back_until_the_deadline() -> None:
    producer = FakeProducer()
    producer.open.clear()
    publisher = connected(producer, deadline_s=0.3, linger_s=60)
    begun = time.monotonic()
    for _ in range(BUFFERED_RECORDS - 1):
        await publisher.send(vitals())
    with pytest.raises(PublishError, match="taken nothing"):
        await publisher.send(vitals())
    assert time.monotonic() - begun > 0.2
    with pytest.raises(PublishError, match="not handed over"):
        await publisher.flush()
    producer.open.set()
    await publisher.publish(vitals())


async def test_a_refused_batch_is_told_by_the_next_call() -> None:
    from aiokafka.errors import MessageSizeTooLargeError

    producer = FakeProducer()
    producer.error = MessageSizeTooLargeError()
    publisher = connected(producer)
    with pytest.raises(PublishError, match=r"vitals\.v1: MessageSizeTooLargeError"):
        await publisher.publish(vitals())
    producer.error = None
    await publisher.publish(vitals())


async def test_a_cancelled_sender_does_not_lose_anothers_events_in_silence() -> None:
    producer = FakeProducer()
    producer.open.clear()
    publisher = connected(producer, linger_s=60)
    await publisher.send(vitals())  # somebody else's
    task = asyncio.create_task(publisher.flush())
    await asyncio.sleep(0.05)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    producer.open.set()
    with pytest.raises(PublishError, match="not handed over"):
        await publisher.flush()


async def test_a_tick_waits_until_everything_before_it_is_acknowledged() -> None:
    producer = FakeProducer()
    publisher = connected(producer)
    await publisher.send(vitals())
    await publisher.publish_tick(NOW, "simulator")
    await publisher.publish_tick(NOW + timedelta(minutes=1), "simulator")
    await publisher.flush()
    topics = [topic for topic, _, _ in producer.sent]
    assert topics[0] == "vitals.v1"
    assert sorted(partition for topic, partition, _ in producer.sent if topic == "ticks.v1") == [0, 1, 2, 3]
    ticks = [value for topic, _, values in producer.sent if topic == "ticks.v1" for value in values]
    assert len({orjson.loads(value)["event_id"] for value in ticks}) == 8
    again = FakeProducer()
    other = connected(again)
    await other.publish_tick(NOW, "simulator")
    await other.flush()
    assert set(again.values()) < set(ticks), "the same ids, whoever writes them"


async def test_no_broker_is_told_within_the_deadline() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(PublishError, match="no broker"):
            async with Publisher(address, deadline_s=2):
                pass
