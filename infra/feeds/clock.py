"""What time it is in a cluster. A feed brings a time of its own, and two clocks would contradict each other."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from wardstream.infra.failure import Failure
from wardstream.schemas.bad_event import BadEvent
from wardstream.schemas.decode import decoder_of
from wardstream.schemas.ticks import Tick

TICKS = "ticks.v1"
LOOK_BACK = 200  # offsets: the end of a partition may be markers of transactions, or of aborted ones
DEADLINE_S = 20.0


class ClockError(Failure):
    """The cluster's time cannot be read, or is kept by a live clock."""


async def last_tick(client_options: dict[str, Any], deadline_s: float = DEADLINE_S) -> Tick | None:
    """Return the last committed tick of partition 0, or None when there is none yet.

    Parameters
    ----------
    client_options : dict
        As `kafka_client_options` returns them.
    deadline_s : float
        Longest wait, in seconds.

    Raises
    ------
    ClockError
        No answer within the deadline, or there is no such topic.
    """
    consumer = AIOKafkaConsumer(
        **client_options, group_id=None, enable_auto_commit=False, isolation_level="read_committed"
    )
    partition = TopicPartition(TICKS, 0)
    try:
        async with asyncio.timeout(deadline_s):
            await consumer.start()
            if TICKS not in await consumer.topics():
                raise ClockError(f"there is no topic {TICKS}: `wardstream topics create` makes it")
            consumer.assign([partition])
            end = (await consumer.end_offsets([partition]))[partition]
            begin = (await consumer.beginning_offsets([partition]))[partition]
            consumer.seek(partition, max(begin, end - LOOK_BACK))
            last: Tick | None = None
            while await consumer.position(partition) < end:
                for records in (await consumer.getmany(partition, timeout_ms=200)).values():
                    for record in records:
                        with suppress(BadEvent):  # the worker makes a dead letter of it
                            last = decoder_of(Tick)(record.value)
    except (KafkaError, TimeoutError, OSError) as error:
        raise ClockError(f"the cluster's time cannot be read: {type(error).__name__}") from error
    finally:
        await consumer.stop()
    return last


async def refuse_live_clock(client_options: dict[str, Any], deadline_s: float = DEADLINE_S) -> Tick | None:
    """Return the last tick unless a live clock wrote it.

    Raises
    ------
    ClockError
        A live clock keeps this cluster's time, or it cannot be read.
    """
    tick = await last_tick(client_options, deadline_s)
    if tick is not None and tick.source == "clock":
        raise ClockError(
            "this cluster's time is kept by a live clock, so a feed with a time of its own would make every patient"
            " silent or every event late. Use a cluster of its own, with workers started under WARDSTREAM_CLOCK=feed."
        )
    return tick
