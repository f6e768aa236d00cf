"""Services outlast Kafka: what fails for its sake is logged, and begun anew by a loop around it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager

from aiokafka.errors import KafkaError

from wardstream.infra.failure import Failure


@contextmanager
def outlasted(log: logging.Logger, what: str, unless: tuple[type[Failure], ...] = ()) -> Iterator[None]:
    """End the block, and nothing else, when Kafka fails or does not answer; the log says `what` and why.

    Failures that are in `unless` go on.

    A wait of aiokafka's own that timed out may reach us as `CancelledError`, which nobody asked for: it would end a
    task, and with it a service, as if it had been stopped. A task that is being cancelled still is.
    """
    try:
        yield
    except unless:
        raise
    except (Failure, KafkaError, OSError, TimeoutError) as error:
        log.warning("%s: %s", what, error if isinstance(error, Failure) else type(error).__name__)
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        log.warning("%s: Kafka does not answer", what)
