"""Questions to a cluster from code that is not async, or that may itself run inside an event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError

T = TypeVar("T")
_REQUEST_MS = 5000


def ask(make: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine in a thread, in a loop of its own, and wait for it."""
    outcome: list[T] = []
    failure: list[BaseException] = []

    def body() -> None:
        try:
            outcome.append(asyncio.run(make()))
        except BaseException as error:  # noqa: BLE001  raised again for the caller, whatever it is
            failure.append(error)

    thread = threading.Thread(target=body, name="asks-kafka", daemon=True)
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return outcome[0]


async def alive(options: Mapping[str, Any], timeout_s: float) -> set[int]:
    """Ids of the brokers that the cluster itself counts as alive; none when nobody answers in time."""
    client = AIOKafkaClient(**options, request_timeout_ms=_REQUEST_MS)
    try:
        async with asyncio.timeout(timeout_s):
            await client.bootstrap()
            return {broker.nodeId for broker in client.cluster.brokers()}
    except (KafkaError, TimeoutError, OSError):
        return set()
    finally:
        await client.close()
