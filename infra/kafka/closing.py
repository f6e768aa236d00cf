"""Closing clients of Kafka, also where Kafka is away."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

log = logging.getLogger(__name__)

CLOSE_S = 5.0


async def close_all(*ends: Callable[[], Awaitable[object]], most_s: float = CLOSE_S) -> None:
    """Close clients, all at once and each in a task of its own; what has not ended in time is left.

    aiokafka waits for some answers for ever when it ends, and may hand on that a wait of its own was cancelled: in the
    task of the caller that would look as if the caller had been.
    """
    tasks = {asyncio.create_task(_awaited(end)) for end in ends}
    try:
        _, late = await asyncio.wait(tasks, timeout=most_s)
    finally:
        for task in tasks:
            task.cancel()
    if late:
        log.warning("a connection is not closed in order: Kafka does not answer")
        await asyncio.wait(late, timeout=1.0)
    for task in tasks - late:
        if not task.cancelled() and (error := task.exception()) is not None:
            log.warning("a connection is not closed in order: %s", type(error).__name__)


async def _awaited(end: Callable[[], Awaitable[object]]) -> None:
    await end()
