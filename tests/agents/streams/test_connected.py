"""What no stand-in can show: lanes inside a running Faust app, on a real broker."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import faust
import msgspec
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.consumer.fetcher import READ_COMMITTED

from tests.agents.streams.fakes import add, beat, settings
from wardstream.agents import metrics as m
from wardstream.agents.streams import polling
from wardstream.agents.streams.assignor import LaneAssignor
from wardstream.agents.streams.batch import lane_agent
from wardstream.agents.streams.lane import LaneSettings
from wardstream.agents.streams.polling import FOREVER_MS
from wardstream.agents.streams.topic_ids import topic_ids
from wardstream.agents.streams.transport import LaneConsumer, lane_transport
from wardstream.infra.kafka.broker import Cluster

pytestmark = pytest.mark.connected

LANES = 2
SLOW = 7


class Ward:
    """Topics of a test's own, and the apps that run on them."""

    def __init__(self, kafka: Cluster, name: str) -> None:
        self.client = kafka.client_options()
        self.name = name
        self.labs, self.vitals = f"{name}-labs", f"{name}-vitals"
        self.inputs = (self.labs, self.vitals)
        self.changelog = f"{name}-lanes"

    def settings(self, **changes: Any) -> LaneSettings:
        decode = settings().decoders["vitals"]
        values: dict[str, Any] = {
            "app_id": self.name,
            "client": self.client,
            "topics": self.inputs,
            "clock_topic": None,
            "changelog": self.changelog,
            "decoders": dict.fromkeys(self.inputs, decode),
            "lanes": LANES,
            "lane_of": lane_of,
            "partition_of": lambda topic, key: 1 if topic == "sums" and key == b"elsewhere" else None,
        }
        return settings(**values | changes)

    async def create(self, *topics: str, compacted: Iterable[str] = ()) -> None:
        async with admin(self.client) as client:
            new = [NewTopic(topic, LANES, 1) for topic in topics]
            new += [NewTopic(topic, LANES, 1, topic_configs={"cleanup.policy": "compact"}) for topic in compacted]
            answer = await client.create_topics(new)
            assert all(error[1] == 0 for error in answer.topic_errors), answer

    async def create_all(self) -> None:
        dead = [f"{topic}.dead" for topic in self.inputs]
        await self.create(*self.inputs, *dead, f"{self.name}-sums", compacted=[self.changelog])

    @asynccontextmanager
    async def app(self, lanes: LaneSettings | None = None) -> AsyncIterator[faust.App]:
        lanes = lanes or self.settings()
        app = faust.App(
            self.name,
            broker="kafka://" + self.client["bootstrap_servers"][0],
            store="memory://",
            topic_allow_declare=False,
            topic_disable_leader=True,
            stream_wait_empty=False,
            web_enabled=False,
            datadir=Path(gettempdir(), f"{self.name}-data"),
            broker_session_timeout=6.0,
            broker_heartbeat_interval=0.5,
        )
        app.transport = app.producer_transport = lane_transport(app, lanes)
        for topic in lanes.topics:
            lane_agent(app, topic, sum_up(topic, f"{self.name}-sums"), lanes.lanes)
        app.finalize()
        await app.start()
        try:
            yield app
        finally:
            async with asyncio.timeout(60):
                await app.stop()
            shutil.rmtree(app.conf.datadir, ignore_errors=True)  # Faust makes one; nothing is in it


def sum_up(source: str, topic: str) -> Callable[[Any], Any]:
    """The handler of `fakes` for one input, writing to a topic of the test's own."""

    async def handler(batch: Any) -> None:
        emit = batch.emit
        batch.emit = lambda _, key, event, cause: emit(topic, key, event, cause)
        if any(received.event.n == SLOW for received in batch):
            await asyncio.sleep(0.3)
        await add(batch)

    handler.__name__ = source  # Faust keeps one agent a name
    return handler


def lane_of(patient: str) -> int:
    return int(patient[1:]) % LANES


@asynccontextmanager
async def admin(client: dict[str, Any]) -> AsyncIterator[AIOKafkaAdminClient]:
    made = AIOKafkaAdminClient(**client)
    await made.start()
    try:
        yield made
    finally:
        await made.close()


@asynccontextmanager
async def producer(client: dict[str, Any], **options: Any) -> AsyncIterator[AIOKafkaProducer]:
    made = AIOKafkaProducer(**client, **options)
    await made.start()
    try:
        yield made
    finally:
        await made.stop()


async def publish(client: dict[str, Any], topic: str, *events: Any) -> None:
    async with producer(client) as made:
        for event in events:
            raw = event if isinstance(event, bytes) else msgspec.json.encode(event)
            lane = lane_of(event.patient_id) if hasattr(event, "patient_id") else 0
            await made.send_and_wait(topic, raw, partition=lane)


async def read(client: dict[str, Any], topic: str, partition: int = 0, *, at_least: int = 0) -> list[Any]:
    """All committed records; a commit is acknowledged a little before it can be seen."""
    tp = TopicPartition(topic, partition)
    consumer = AIOKafkaConsumer(**client, isolation_level="read_committed", enable_auto_commit=False)
    await consumer.start()
    try:
        consumer.assign([tp])
        consumer.seek(tp, 0)
        end, found = (await consumer.end_offsets([tp]))[tp], []
        async with asyncio.timeout(60):
            while await consumer.position(tp) < end or len(found) < at_least:
                for records in (await consumer.getmany(timeout_ms=100)).values():
                    found += records
        return found
    finally:
        await consumer.stop()


async def until(true: Callable[[], bool], seconds: float = 60.0) -> None:
    async with asyncio.timeout(seconds):
        while not true():  # noqa: ASYNC110 - what others do has no event
            await asyncio.sleep(0.02)


def consumer_of(app: faust.App) -> LaneConsumer:
    assert isinstance(app.consumer, LaneConsumer)
    return app.consumer


def total(app: faust.App, patient: str) -> int:
    state = consumer_of(app).drains[lane_of(patient)].lane.state
    row = state._entities[patient].row if patient in state else None
    return 0 if row is None else msgspec.json.decode(row)["total"]


@pytest.fixture
async def ward(kafka: Cluster, unique: str) -> Ward:
    ward = Ward(kafka, unique)
    await ward.create_all()
    return ward


async def test_a_running_app(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    """One app, since starting one takes seconds: settings, latency, aborted and large records, rebalances."""
    monkeypatch.setattr(polling, "METADATA_AGE_MS", 1_000)
    async with ward.app() as app:
        consumer = consumer_of(app)
        await publish(ward.client, ward.vitals, beat("p0", 1), beat("p1", 10))
        await until(lambda: total(app, "p0") == 1 and total(app, "p1") == 10)

        check_settings(consumer)
        await check_aborted_records_are_not_applied(ward, app)
        await check_latency_of_an_idle_lane(ward, app)
        await check_large_garbage_stops_no_lane(ward, app)
        await check_a_worker_joins_and_leaves(ward, app)
        assert consumer.settings.meters.total(m.RELOADS) == 0
        await check_a_topic_made_anew(ward, app)
    assert not consumer._unacked_messages
    await check_outputs(ward)


def check_settings(consumer: LaneConsumer) -> None:
    """Attributes of aiokafka that are not public: pinned versions, and this."""
    made = consumer._thread._ensure_consumer()
    assert made._fetcher._isolation_level == READ_COMMITTED
    assert made._fetcher._fetch_max_wait_ms == 50
    assert made._coordinator._assignors == [LaneAssignor]
    assert made._coordinator._max_poll_interval == FOREVER_MS / 1000
    assert not made._enable_auto_commit


async def check_aborted_records_are_not_applied(ward: Ward, app: faust.App) -> None:
    async with producer(ward.client, transactional_id=f"{ward.name}-feed") as made:
        with contextlib.suppress(LookupError):
            async with made.transaction():
                await made.send_and_wait(ward.vitals, msgspec.json.encode(beat("p0", 500)), partition=0)
                raise LookupError
        async with made.transaction():
            await made.send_and_wait(ward.vitals, msgspec.json.encode(beat("p0", 2)), partition=0)
    await until(lambda: total(app, "p0") == 3)
    meters = consumer_of(app).settings.meters
    await until(lambda: meters.values[m.LAG, (ward.vitals,)] == 0)  # markers are no lag
    assert meters.total(m.INPUT_LOST) == 0  # nor lost


async def check_latency_of_an_idle_lane(ward: Ward, app: faust.App) -> None:
    """What comes while a lane is busy sits in aiokafka's buffer; meanwhile a fetch goes out for the others only.

    With Faust's 1.5 s, the lane's next event would wait behind that fetch, though nobody else has any.
    """
    loop = asyncio.get_running_loop()
    async with producer(ward.client) as made:
        for n, wait_s in ((SLOW, 0.05), (1, 0.45), (1, 0.0)):
            started = loop.time()
            await made.send_and_wait(ward.labs, msgspec.json.encode(beat("p1", n)), partition=1)
            await asyncio.sleep(wait_s)
    await until(lambda: total(app, "p1") == 10 + SLOW + 2)
    assert loop.time() - started < 0.6


async def check_large_garbage_stops_no_lane(ward: Ward, app: faust.App) -> None:
    """Compressed, a record of many megabytes may come in; as it is, it could never be written again."""
    async with producer(ward.client, compression_type="gzip", max_request_size=1 << 26) as made:
        await made.send_and_wait(ward.labs, bytes(8 << 20), partition=0)
        await made.send_and_wait(ward.labs, msgspec.json.encode(beat("p0", 4)), partition=0)
    await until(lambda: total(app, "p0") == 7)
    (letter,) = await read(ward.client, f"{ward.labs}.dead", at_least=1)
    assert dict(letter.headers)["reason"] == b"malformed_json"
    assert int(dict(letter.headers)["cut"]) > 8 << 20


async def check_a_worker_joins_and_leaves(ward: Ward, app: faust.App) -> None:
    """A rebalance each: the lane that stays is not reloaded, the one that goes is taken over, nothing is doubled."""
    consumer = consumer_of(app)
    opened = [drain.lane for drain in consumer.drains]
    async with ward.app() as second:
        owned = lambda one: [drain.lane.number for drain in consumer_of(one).drains if drain.lane.is_open]  # noqa: E731
        await until(lambda: sorted(owned(app) + owned(second)) == [0, 1] and bool(owned(app)) and bool(owned(second)))
        before = {patient: max(total(app, patient), total(second, patient)) for patient in ("p0", "p1")}
        await publish(ward.client, ward.vitals, beat("p0", 100), beat("p1", 100))
        await until(
            lambda: all(max(total(app, patient), total(second, patient)) == before[patient] + 100 for patient in before)
        )
    await until(lambda: total(app, "p0") == before["p0"] + 100 and total(app, "p1") == before["p1"] + 100)
    assert [drain.lane for drain in consumer.drains] == opened
    assert consumer.settings.meters.total(m.DUPLICATES) == 0


async def check_a_topic_made_anew(ward: Ward, app: faust.App) -> None:
    consumer = consumer_of(app)
    meters = consumer.settings.meters
    before, ids = meters.values[m.EVENTS, (ward.labs,)], await topic_ids(ward.client, ward.inputs)
    async with admin(ward.client) as client:
        await client.delete_topics([ward.labs])
        await until_there(ward, False)
    await ward.create(ward.labs)
    after = await until_there(ward, True)
    assert after[ward.labs] != ids[ward.labs]
    assert after[ward.vitals] == ids[ward.vitals]
    await publish(ward.client, ward.labs, beat("p1", 1000))
    consumer.reload_lanes()
    await until(lambda: total(app, "p1") == 1119 and meters.values[m.EVENTS, (ward.labs,)] > before)  # and committed
    assert meters.values[m.INPUTS_RECREATED, (ward.labs,)] >= 1


async def until_there(ward: Ward, there: bool) -> dict[str, Any]:
    async with asyncio.timeout(60):
        while (ward.labs in (ids := await topic_ids(ward.client, ward.inputs))) is not there:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    return ids


async def check_outputs(ward: Ward) -> None:
    """Every event once, read as downstream reads."""
    totals = {}
    for lane in range(LANES):
        sums = [
            msgspec.json.decode(record.value)["total"] for record in await read(ward.client, f"{ward.name}-sums", lane)
        ]
        assert sums == sorted(set(sums))
        totals[lane] = sums[-1]
    assert totals == {0: 107, 1: 1119}
