"""What leaves the simulated hospital, and what goes wrong on the way.

Events wait here until the time at which their sender has them. Some are sent twice, some are late, and beside some a
broken interface sends something that is no event. A bad event never replaces a good one: what is lost would not be
comparable to what is known to be true.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from random import Random
from typing import Any, Final
from uuid import UUID

import orjson

from wardstream.infra.feeds.pace import Raw, Send
from wardstream.schemas.decode import encode
from wardstream.schemas.envelope import Event
from wardstream.schemas.topics import TOPICS

RESENT_SHARE: Final = 0.005
BAD_SHARE: Final = 0.01
"""Bad events for each good one, unless the caller says otherwise."""

_TOPIC_OF: Final = {topic.type: name for name, topic in TOPICS.items()}


def _truncated(document: dict[str, Any]) -> bytes:
    return orjson.dumps(document)[:-9]


def _without_patient(document: dict[str, Any]) -> bytes:
    return orjson.dumps({name: value for name, value in document.items() if name != "patient_id"})


def _impossible(document: dict[str, Any]) -> bytes:
    return orjson.dumps({**document, "heart_rate_bpm": 9999, "age_years": 999, "loinc": "9999", "occurred": 9999})


def _from_the_future(document: dict[str, Any]) -> bytes:
    later = datetime.fromisoformat(document["received_at"]) + timedelta(hours=3)
    return orjson.dumps({**document, "observed_at": later})


def _words_for_numbers(document: dict[str, Any]) -> bytes:
    return orjson.dumps({**document, "spo2_percent": "ninety", "acuity": "two", "value": "high", "occurred": "yes"})


FAULTS: Final[dict[str, Callable[[dict[str, Any]], bytes]]] = {
    "truncated": _truncated,
    "without_patient": _without_patient,
    "impossible": _impossible,
    "from_the_future": _from_the_future,
    "words_for_numbers": _words_for_numbers,
}
"""How the broken interface spoils an event, by name."""


class Outbox:
    """Events on their way, in the order in which they leave."""

    def __init__(self, random: Random, bad_share: float) -> None:
        self._random, self._bad_share = random, bad_share
        self._waiting: list[tuple[datetime, int, Send | Raw]] = []
        self._count = 0

    def new_id(self) -> UUID:
        """Return the next event id; the same seed gives the same ids."""
        return UUID(int=self._random.getrandbits(128), version=4)

    def add(self, event: Event) -> None:
        """Send an event when its `received_at` has come."""
        at = event.received_at
        self._push(Send(at, event))
        if self._random.random() < RESENT_SHARE:
            self._push(Send(at + timedelta(seconds=self._random.uniform(1, 90)), event))
        if self._random.random() < self._bad_share:
            fault = self._random.choice(tuple(FAULTS))
            document = {**orjson.loads(encode(event)), "event_id": str(self.new_id())}
            value = FAULTS[fault](document)
            self._push(Raw(at, _TOPIC_OF[type(event)], event.patient_id, value, fault))

    def due(self, at: datetime) -> Iterator[Send | Raw]:
        """Yield what leaves until `at`, in order."""
        while self._waiting and self._waiting[0][0] <= at:
            yield heapq.heappop(self._waiting)[2]

    def _push(self, item: Send | Raw) -> None:
        self._count += 1
        heapq.heappush(self._waiting, (item.at, self._count, item))
