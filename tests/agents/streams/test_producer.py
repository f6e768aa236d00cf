"""A lane's transactions and its changelog, on a real broker: fences, deadlines, restores."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.errors import KafkaError, MessageSizeTooLargeError, OffsetOutOfRangeError

from tests.agents.streams.test_connected import Ward, read
from wardstream.agents.streams import producer as producer_module
from wardstream.agents.streams.outputs import MAX_ROW_BYTES, Row
from wardstream.agents.streams.producer import FENCED, LaneProducer, read_changelog
from wardstream.infra.kafka.broker import Cluster

pytestmark = pytest.mark.connected


@pytest.fixture
async def ward(kafka: Cluster, unique: str) -> Ward:
    ward = Ward(kafka, unique)
    await ward.create(f"{unique}-sums", compacted=[ward.changelog])
    return ward


@asynccontextmanager
async def opened(ward: Ward) -> AsyncIterator[LaneProducer]:
    made = LaneProducer(0, ward.name, ward.client)
    await made.open()
    try:
        yield made
    finally:
        await made.close()


def rows(ward: Ward, **values: str | None) -> dict[tuple[str, int], list[Row]]:
    found = [Row(key.encode(), None if value is None else value.encode()) for key, value in values.items()]
    return {(ward.changelog, 0): found}


async def test_whoever_opens_the_lane_fences_its_former_owner(ward: Ward) -> None:
    async with opened(ward) as former:
        await former.commit(rows(ward, a="1", b="1"), {}, ward.name)
        await former._producer.begin_transaction()  # and stops in the middle of the next
        await former._producer.send_and_wait(ward.changelog, b"never", key=b"a", partition=0)
        async with opened(ward) as new:
            assert await read_changelog(ward.changelog, 0, ward.client) == {b"a": b"1", b"b": b"1"}
            with pytest.raises(FENCED):
                await former._producer.commit_transaction()
            await new.commit(rows(ward, a="2"), {}, ward.name)
    assert await read_changelog(ward.changelog, 0, ward.client) == {b"a": b"2", b"b": b"1"}


async def test_a_fenced_commit_says_so(ward: Ward) -> None:
    async with opened(ward) as former, opened(ward):
        with pytest.raises(FENCED):
            await former.commit(rows(ward, a="1"), {TopicPartition(f"{ward.name}-sums", 0): 1}, ward.name)


async def test_a_restore_takes_the_last_row_of_each_key_and_no_deleted_ones(ward: Ward) -> None:
    assert await read_changelog(ward.changelog, 0, ward.client) == {}
    seen = []
    async with opened(ward) as made:
        await made.commit(rows(ward, a="1", b="1", c="1"), {}, ward.name)
        await made.commit(rows(ward, a="2", b=None), {}, ward.name)
        found = await read_changelog(ward.changelog, 0, ward.client, lambda: seen.append(1))
    assert found == {b"a": b"2", b"c": b"1"}
    assert seen  # the watchdog sees it move


async def test_a_restore_whose_beginning_is_removed_meanwhile_fails(
    ward: Ward, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To go on behind what is gone would lose patients in silence."""
    topic = f"{ward.name}-sums"  # of a compacted one brokers refuse to remove the beginning
    async with opened(ward) as made:
        await made.commit({(topic, 0): rows(ward, a="1", b="1", c="1")[ward.changelog, 0]}, {}, ward.name)
    tp = TopicPartition(topic, 0)
    admin = AIOKafkaAdminClient(**ward.client)
    await admin.start()
    try:
        await admin.delete_records({tp: RecordsToDelete(before_offset=2)})
    finally:
        await admin.close()

    async def known_before(consumer: AIOKafkaConsumer, tps: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(tps, 0)

    monkeypatch.setattr(AIOKafkaConsumer, "beginning_offsets", known_before)
    with pytest.raises(OffsetOutOfRangeError):
        await read_changelog(topic, 0, ward.client)


async def test_a_batch_is_written_whole_and_in_order_whatever_its_size(ward: Ward) -> None:
    place = (f"{ward.name}-sums", 0)
    wanted = [Row(b"k%d" % i, bytes([i]) * 20_000, 1000 + i, (("h", b"%d" % i),)) for i in range(120)]
    async with opened(ward) as made:
        await made.commit({place: wanted}, {}, ward.name)
    found = [
        Row(r.key, r.value, r.timestamp, tuple(r.headers)) for r in await read(ward.client, place[0], at_least=120)
    ]
    assert [row.key for row in found] == [row.key for row in wanted]
    same = found == wanted  # half a megabyte is nothing to print
    assert same


async def test_a_row_of_the_largest_size_fits(ward: Ward) -> None:
    async with opened(ward) as made:
        await made.commit({(f"{ward.name}-sums", 0): [Row(b"k", bytes(MAX_ROW_BYTES - 1))]}, {}, ward.name)


async def test_a_failed_send_leaves_no_error_unheard(ward: Ward) -> None:
    unheard: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: unheard.append(context))
    sums = f"{ward.name}-sums"
    many = {(sums, 0): [Row(b"k", bytes(2 << 20)), Row(b"k", bytes(2 << 20))], (sums, 1): [Row(b"k", bytes(2 << 20))]}
    async with opened(ward) as made:
        with pytest.raises(MessageSizeTooLargeError):
            await made.commit(many, {}, ward.name)
        await asyncio.sleep(0.3)  # the others fail too
    del made
    await asyncio.sleep(0)
    gc.collect()
    await asyncio.sleep(0)
    assert unheard == []
    assert await read(ward.client, sums) == []


async def test_every_wait_has_a_deadline(ward: Ward, kafka: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker that says nothing more: commit, close, open and restore give up, and leave nothing running."""
    for name in ("OPEN_DEADLINE_S", "COMMIT_DEADLINE_S", "CLOSE_DEADLINE_S", "RESTORE_STALL_S"):
        monkeypatch.setattr(producer_module, name, 0.4)
    before = asyncio.all_tasks()
    async with opened(ward) as made:
        await made.commit(rows(ward, a="1"), {}, ward.name)
        kafka.pause(1)
        try:
            with pytest.raises(TimeoutError):
                await made.commit(rows(ward, a="2"), {}, ward.name)
            await made.close()
            with pytest.raises((TimeoutError, KafkaError)):
                async with opened(ward):
                    pass
            with pytest.raises((TimeoutError, KafkaError)):
                await read_changelog(ward.changelog, 0, ward.client)
        finally:
            kafka.resume(1)
    async with asyncio.timeout(60):
        while left := {task for task in asyncio.all_tasks() - before if not task.done()}:
            await asyncio.wait(left, timeout=0.1)


async def test_a_sender_that_waits_for_one_request_after_another_is_ended() -> None:
    """As aiokafka's does when it is cancelled: with brokers away each of them would take its time."""

    async def forever() -> None:
        await asyncio.Event().wait()

    async def sender() -> None:
        requests = [asyncio.ensure_future(forever()) for _ in range(3)]
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            for request in requests:
                await asyncio.gather(request, return_exceptions=True)

    async def close() -> None:
        pass

    task = asyncio.ensure_future(sender())
    await asyncio.sleep(0)
    made = LaneProducer(0, "app", {"bootstrap_servers": ["127.0.0.1:1"]})
    made._producer._closed = True
    made._producer = SimpleNamespace(client=SimpleNamespace(close=close), _sender=SimpleNamespace(sender_task=task))
    async with asyncio.timeout(60):
        await made.close()
    assert task.done()
