"""Clinicians' orders about patients' alerts, as they stand: read from directives.v1, whoever gave them.

An order lasts a week at the most, so that of a week and some hours is all that holds. Which of several holds is decided
as workers decide it (`models.revisions`); times are the wall clock's.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from aiokafka import TopicPartition

from wardstream.infra.api.bodies import DirectiveView
from wardstream.infra.api.history import Reader
from wardstream.infra.api.hub import NotReady
from wardstream.infra.failure import Failure
from wardstream.infra.gateways.auth import Principal
from wardstream.infra.kafka.outlasting import outlasted
from wardstream.infra.kafka.topics import describe_topics
from wardstream.models.patient import KEPT_ORDERS
from wardstream.models.revisions import lasting, standing
from wardstream.schemas.bad_event import BadEvent
from wardstream.schemas.decode import decoder_of
from wardstream.schemas.directives import MAX_DURATION, TOPIC, Directive

log = logging.getLogger(__name__)

SOURCE = "api"
"""Of what the API itself publishes: there the pseudonym of who ordered is the name of a token."""
_LOOK_BACK = MAX_DURATION + timedelta(hours=6)
_OPEN_S = 30.0
_READY_S = 20.0
_PAUSE_S = 2.0
_FORGET_S = 600.0

_decode = decoder_of(Directive)


class Ordered:
    """The orders of all patients.

    Parameters
    ----------
    client : mapping
        Kafka's client options.
    """

    def __init__(self, client: Mapping[str, Any]) -> None:
        self._client = client
        self._events: dict[str, tuple[Directive, ...]] = {}
        self._ready = asyncio.Event()

    async def run(self) -> None:
        """Read until cancelled; after any failure anew."""
        while True:
            with outlasted(log, "orders cannot be read"):
                await self._read()
            await asyncio.sleep(_PAUSE_S)

    async def ready(self) -> None:
        """Wait until all have been read.

        Raises
        ------
        NotReady
            They have not been, in time.
        """
        try:
            async with asyncio.timeout(_READY_S):
                await self._ready.wait()
        except TimeoutError:
            raise NotReady from None

    def of(self, patient_id: str, now: datetime) -> list[Directive]:
        """A patient's orders that hold."""
        found = standing(self._events.get(patient_id, ()))
        return [one for one in found if one.status != "cancelled" and one.expires_at > now]

    def all(self, now: datetime) -> list[Directive]:
        """All that hold, the first that ends first."""
        found = [one for patient_id in self._events for one in self.of(patient_id, now)]
        return sorted(found, key=lambda one: (one.expires_at, one.event_id))

    def take(self, event: Directive) -> None:
        """Take an order in, or that one has been revised; one that is read again changes nothing."""
        known = self._events.get(event.patient_id, ())
        if all(one.event_id != event.event_id for one in known):
            self._events[event.patient_id] = (*known, event)[-KEPT_ORDERS:]

    def forget(self, now: datetime) -> None:
        """Drop what has ended, each with what it revised."""
        for patient_id, events in list(self._events.items()):
            if left := lasting(events, lambda one: one.expires_at <= now):
                self._events[patient_id] = left
            else:
                del self._events[patient_id]

    async def _read(self) -> None:
        async with asyncio.timeout(_OPEN_S):
            present = await describe_topics(self._client, [TOPIC.name])
        if not present:
            raise Failure(f"no topic {TOPIC.name}: `wardstream topics create` makes it")
        parts = [TopicPartition(TOPIC.name, one.number) for one in present[TOPIC.name].partitions]
        reader = Reader(self._client, parts)
        try:
            await reader.open()
            begin = datetime.now(UTC) - _LOOK_BACK
            reader.seek(await reader.begin(int(begin.timestamp() * 1000)))
            ends, forgotten = await reader.end(), 0.0
            while True:
                for record in await reader.records():
                    try:
                        self.take(_decode(record.value))
                    except BadEvent:  # a dead letter
                        continue
                if not self._ready.is_set() and not any(map(int.__lt__, await reader.position(), ends)):
                    self._ready.set()
                if time.monotonic() - forgotten > _FORGET_S:
                    self.forget(datetime.now(UTC))
                    forgotten = time.monotonic()
        finally:
            await reader.aclose()


def shown(order: Directive) -> DirectiveView:
    """An order as clients see it."""
    return DirectiveView(
        event_id=order.event_id,
        patient_id=order.patient_id,
        unit=order.unit,
        kind=order.kind,
        ordered_by=order.ordered_by,
        ordered_at=order.observed_at,
        expires_at=order.expires_at,
        condition=order.condition,
        thresholds=order.thresholds,
        why=order.why,
    )


def sees_order(principal: Principal, order: Directive) -> bool:
    """Whether an order is one that somebody may see: it was given in their units, or by themselves."""
    if principal.units is None or (order.unit is not None and order.unit in principal.units):
        return True
    return order.source == SOURCE and order.ordered_by == principal.name
