"""The audit on a real broker: one chain, whoever writes it, and what breaks it is found."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from tests.events import START
from tests.reading import read_all
from wardstream.infra.audit import AuditError, Deed, verify_audit, write_audit, write_deeds
from wardstream.infra.kafka.broker import Cluster
from wardstream.infra.kafka.topics import create_topics, wishes
from wardstream.schemas.audit import BEGIN
from wardstream.schemas.bad_event import BadEvent

pytestmark = pytest.mark.connected


@pytest.fixture
async def options(own_kafka: Cluster) -> dict[str, Any]:
    found = own_kafka.client_options()
    await create_topics(found, [wish for wish in wishes(1, 1) if wish.name == "audit.v1"])
    return found


async def write(options: dict[str, Any], why: str = "x") -> int:
    record = await write_audit(options, "t", at=START, who="m.garcia", what="identity_shown", patient_id="p-1", why=why)
    return record.sequence


async def length(options: dict[str, Any], records: int) -> None:
    """Wait until so many can be read: the marker of a transaction comes a little after its commit."""
    async with asyncio.timeout(30):
        while (await verify_audit(options)).records != records:  # noqa: ASYNC110  there is no event to wait for
            await asyncio.sleep(0.05)


async def put(options: dict[str, Any], value: bytes) -> None:
    async with AIOKafkaProducer(**options) as producer:
        await producer.send_and_wait("audit.v1", value, b"x", 0)


async def test_the_chain_grows(options: dict[str, Any]) -> None:
    assert await verify_audit(options) == (0, BEGIN)
    assert [await write(options) for _ in range(4)] == [0, 1, 2, 3]
    await length(options, 4)
    head = await verify_audit(options)
    assert await write(options) == 4
    await length(options, 5)
    assert (await verify_audit(options)).hash != head.hash


async def test_several_deeds_are_one_piece_of_the_chain(options: dict[str, Any]) -> None:
    await write(options)
    deeds = [Deed(START, "m.garcia", "patient_shown", "x", f"p-{number}") for number in range(20)]
    assert [record.sequence for record in await write_deeds(options, "t", deeds)] == list(range(1, 21))
    assert await write(options) == 21
    await length(options, 22)
    with pytest.raises(BadEvent):
        await write_deeds(options, "t", [*deeds, deeds[0]._replace(patient_id="no id")])
    assert (await verify_audit(options)).records == 22


async def test_two_at_the_same_time_make_one_chain(options: dict[str, Any]) -> None:
    outcomes = await asyncio.gather(*(write(options) for _ in range(3)), return_exceptions=True)
    written = [outcome for outcome in outcomes if isinstance(outcome, int)]
    assert all(isinstance(outcome, int | AuditError) for outcome in outcomes)
    assert len(set(written)) == len(written) >= 1
    await length(options, len(written))


async def test_what_is_not_valid_is_not_written(options: dict[str, Any]) -> None:
    with pytest.raises(BadEvent, match="why"):
        await write(options, "")
    assert (await verify_audit(options)).records == 0


async def test_a_foreign_record_is_found(options: dict[str, Any]) -> None:
    await write(options)
    await length(options, 1)
    await put(options, b"{}")
    with pytest.raises(AuditError, match="offset 2 is none of the audit"):
        await verify_audit(options)


async def test_a_copied_record_is_found(options: dict[str, Any], own_kafka: Cluster) -> None:
    for _ in range(2):
        await write(options)
    await length(options, 2)
    first = (await read_all(",".join(own_kafka.bootstrap_servers), ["audit.v1"]))["audit.v1"][0]
    await put(options, first.value)
    with pytest.raises(AuditError, match="record 0 does not follow the 2 before it"):
        await verify_audit(options)
