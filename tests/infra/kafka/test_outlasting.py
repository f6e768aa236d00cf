"""What fails for Kafka's sake goes no further; who is stopped is stopped."""

import asyncio
import logging

import pytest
from aiokafka.errors import KafkaConnectionError

from wardstream.infra.failure import Failure
from wardstream.infra.kafka.outlasting import outlasted

log = logging.getLogger(__name__)


class Ours(Failure):
    """What a service itself stops for."""


@pytest.mark.parametrize("error", [Failure("no topic"), KafkaConnectionError("p-7"), OSError("p-7"), TimeoutError()])
def test_trouble_with_kafka_is_a_line_in_the_log(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    with outlasted(log, "orders cannot be read"):
        raise error
    said = "no topic" if isinstance(error, Failure) else type(error).__name__
    assert caplog.messages == [f"orders cannot be read: {said}"]


def test_other_faults_are_seen() -> None:
    with pytest.raises(KeyError), outlasted(log, "x"):
        raise KeyError
    with pytest.raises(Ours), outlasted(log, "x", (Ours,)):
        raise Ours("stop")


async def test_a_wait_that_was_cancelled_by_others_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async def service() -> str:
        with outlasted(log, "orders cannot be read"):
            inner = asyncio.create_task(asyncio.sleep(60))
            inner.cancel()
            await inner  # as aiokafka does with its own
        return "goes on"

    assert await asyncio.create_task(service()) == "goes on"
    assert caplog.messages == ["orders cannot be read: Kafka does not answer"]


async def test_a_task_that_is_stopped_stops() -> None:
    async def service() -> None:
        with outlasted(log, "x"):
            await asyncio.sleep(60)

    task = asyncio.create_task(service())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
