"""Transitions of alerts, and subscriptions, for tests of what follows them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

from aiokafka import AIOKafkaProducer
from msgspec.structs import replace

from wardstream.schemas.alerts import Alert
from wardstream.schemas.decode import decoder_of, encode
from wardstream.schemas.output_id import output_id
from wardstream.schemas.partition import partition_of

EXAMPLE = decoder_of(Alert)(
    (Path(__file__).resolve().parents[1] / "schemas" / "examples" / "alerts.v1.json").read_bytes()
)
_NAMESPACE = UUID(int=9)


def transition(alert: int, number: int, **fields: Any) -> Alert:
    """Transition `number` of an invented alert."""
    alert_id = uuid5(_NAMESPACE, str(alert))
    at = datetime.now(UTC).replace(microsecond=0) + timedelta(milliseconds=number)
    return replace(
        EXAMPLE,
        alert_id=alert_id,
        event_id=output_id(alert_id, str(number)),
        patient_id=f"p-{alert}",
        number=number,
        transition="raised" if number == 1 else "escalated",
        observed_at=at,
        received_at=at,
        raised_at=at,
        **fields,
    )


async def publish(bootstrap: Iterable[str], alerts: Iterable[Alert], lanes: int = 4) -> None:
    """Publish transitions in their order, each in its patient's lane."""
    async with asyncio.timeout(60), AIOKafkaProducer(bootstrap_servers=list(bootstrap)) as producer:
        for alert in alerts:
            part = partition_of(alert.patient_id, lanes)
            await producer.send("alerts.v1", encode(alert), str(alert.alert_id).encode(), part)
