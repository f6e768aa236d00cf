"""Alerts for tests: rows of alerts.v1 without a worker, and readers of the API that share no code with it."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid5

from aiokafka import AIOKafkaProducer

from wardstream.schemas.alerts import TOPIC, Alert, Evidence
from wardstream.schemas.decode import check, encode
from wardstream.schemas.output_id import output_id
from wardstream.schemas.partition import partition_of

STEPS = ("raised", "escalated", "acknowledged", "resolved")


def alert(name: str, number: int = 1, **fields: Any) -> Alert:
    """A transition of the alert of a name: raised, escalated, acknowledged, resolved, by its number."""
    alert_id, step = uuid5(UUID(int=2), name), STEPS[min(number, len(STEPS)) - 1]
    now = datetime.now(UTC)
    cause = uuid5(UUID(int=3), f"{name}/{number}")
    made: dict[str, Any] = {
        "event_id": output_id(alert_id, str(number)),
        "source": "test",
        "patient_id": f"p-{name}",
        "observed_at": now,
        "received_at": now,
        "provenance": "derived",
        "alert_id": alert_id,
        "number": number,
        "condition": "news2",
        "kind": "score",
        "transition": step,
        "state": step,
        "priority": "medium",
        "raised_at": now,
        "reason": "invented",
        "caused_by": cause,
        "evidence": Evidence(caused_by=cause),
        "unit": "4B",
        **fields,
    }
    found = Alert(**made)
    check(found)
    return found


async def publish(
    options: dict[str, Any], alerts: Sequence[Alert], lanes: int, topic: str = TOPIC.name, at_ms: int | None = None
) -> None:
    """Write transitions where a worker would, each lane in order: in the partition of the patient that raised them.

    `at_ms`: when, as Kafka shall have it, ms since 1970; None: now.
    """
    producer = AIOKafkaProducer(**options, enable_idempotence=True, linger_ms=2)
    await producer.start()
    try:
        sent = []
        for one in alerts:
            partition = partition_of(f"{one.alert_id}", lanes)
            sent.append(
                await producer.send(topic, encode(one), f"{one.alert_id}".encode(), partition, timestamp_ms=at_ms)
            )
        for future in sent:
            await future
    finally:
        await producer.stop()


class Stream:
    """An SSE reader on `http.client`: `id` is the last one, `events` yields (name, data)."""

    def __init__(
        self, port: int, token: str | None, query: str = "", last: str | None = None, path: str = "/v1/alerts/stream"
    ) -> None:
        self.id = last
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        if last is not None:
            headers["Last-Event-ID"] = last
        self._connection.request("GET", f"{path}{query}", headers=headers)
        self.response = self._connection.getresponse()
        assert self.response.status == 200, self.response.read()
        assert self.response.headers["content-type"].startswith("text/event-stream")

    def events(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """By the rules of the HTML standard, until the connection ends."""
        name, data, number = "message", "", None
        while line := self.response.readline():
            field, _, value = line.decode().rstrip("\n").partition(":")
            value = value.removeprefix(" ")
            if field == "event":
                name = value
            elif field == "data":
                data += value + "\n"
            elif field == "id":
                number = value
            elif field == "" and not value and line == b"\n":
                self.id = number or self.id
                if data and name != "beat":
                    yield name, json.loads(data)
                name, data, number = "message", "", None

    def close(self) -> None:
        self.response.close()
        self._connection.close()
