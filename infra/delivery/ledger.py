"""What was delivered, and how far each subscription is: written together, by one process at a time.

Outcomes go to deliveries.v1 and a subscription's position to the offsets of a consumer group of its own, in one
transaction: a position never says that something is done of which no outcome is written. The transactional id is one
for all subscriptions: opening it fences the process that had it before.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from wardstream.agents.streams.outputs import Row
from wardstream.agents.streams.producer import FENCED, LaneProducer
from wardstream.infra.failure import Failure
from wardstream.infra.kafka.admin import admin
from wardstream.schemas.decode import encode
from wardstream.schemas.deliveries import TOPIC, Delivery

log = logging.getLogger(__name__)

_ASK_S = 30.0
_AGAIN_S = 2.0


class TakenOver(Failure):
    """Another process delivers now."""


class Ledger:
    """The one writer of outcomes and positions.

    Parameters
    ----------
    client : mapping
        Kafka's client options.
    app_id : str
        Names the transactions and the groups.
    """

    def __init__(self, client: Mapping[str, Any], app_id: str) -> None:
        self._client, self._app_id = client, app_id
        self._producer: LaneProducer | None = None
        self._taken_over = False
        self._one = asyncio.Lock()  # a transaction takes the offsets of one group

    async def open(self) -> None:
        """Take over from whoever delivered before.

        Raises
        ------
        KafkaError, TimeoutError, OSError
            The cluster does not answer.
        """
        self._producer = LaneProducer(0, f"{self._app_id}-webhooks", self._client)
        await self._producer.open()

    async def positions(self, name: str) -> dict[TopicPartition, int]:
        """What is committed of a subscription.

        Raises
        ------
        KafkaError, TimeoutError, OSError, Failure
            The cluster does not answer.
        """
        async with asyncio.timeout(_ASK_S), admin(self._client) as asked:
            found = await asked.list_consumer_group_offsets(group(self._app_id, name))
        return {part: at.offset for part, at in found.items() if at.offset >= 0}

    async def write(self, name: str, positions: Mapping[TopicPartition, int], outcomes: Sequence[Delivery]) -> None:
        """Write how far a subscription is, and the outcomes until there. Tries as long as it takes.

        Raises
        ------
        TakenOver
            By another process.
        """
        rows = [Row(key=name.encode(), value=encode(outcome)) for outcome in outcomes]
        async with self._one:
            while not self._taken_over:
                try:
                    if self._producer is None:
                        await self.open()
                    assert self._producer is not None, "opened"
                    await self._producer.commit({(TOPIC.name, 0): rows}, positions, group(self._app_id, name))
                    return
                except FENCED:
                    self._taken_over = True  # to open anew would take it back
                except (KafkaError, TimeoutError, OSError) as error:
                    log.warning("outcomes of deliveries wait for Kafka: %s", type(error).__name__)
                    await self.close()
                    await asyncio.sleep(_AGAIN_S)
                except asyncio.CancelledError:
                    await self.close()  # a transaction is open, which whoever writes next must end
                    raise
        raise TakenOver("another `wardstream serve webhooks` has taken over")

    async def close(self) -> None:
        """Disconnect at once; what is open is aborted by whoever opens next."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await producer.close()


def group(app_id: str, name: str) -> str:
    """The consumer group whose offsets are a subscription's."""
    return f"{app_id}-webhook-{name}"
