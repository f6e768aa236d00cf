"""Operators' alerts, from the topic itself, and operators' answers to them, which are audited first."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID, uuid4

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from wardstream.infra.audit import write_audit
from wardstream.infra.failure import Failure
from wardstream.infra.kafka.reading import records
from wardstream.schemas.acknowledgements import Action
from wardstream.schemas.alerts import ENDED
from wardstream.schemas.audit import What
from wardstream.schemas.bad_event import BadEvent
from wardstream.schemas.decode import check, decoder_of, encode
from wardstream.schemas.operator_alerts import TOPIC as ALERTS
from wardstream.schemas.operator_alerts import OperatorAlert
from wardstream.schemas.operator_answers import TOPIC as ANSWERS
from wardstream.schemas.operator_answers import OperatorAnswer

_DEADLINE_S: Final = 30.0
_CLOSE_S: Final = 5.0
_DEEDS: Final[Mapping[Action, What]] = {
    "acknowledge": "alert_acknowledged",
    "snooze": "alert_snoozed",
    "resolve": "alert_resolved",
    "hand_over": "alert_handed_over",
    "rate": "alert_rated",
}


async def operator_alerts(options: Mapping[str, Any], *, ended: bool = False) -> list[OperatorAlert]:
    """The newest transition of each alert that is open, the oldest alert first; with `ended`, of all that there are.

    Raises
    ------
    Failure
        There is no such topic.
    KafkaError, TimeoutError
        The cluster does not answer.
    """
    found: dict[UUID, OperatorAlert] = {}
    decode = decoder_of(OperatorAlert)
    async with aclosing(records(options, ALERTS.name)) as all_records:
        async for record in all_records:
            try:
                alert = decode(record.value)
            except BadEvent:
                continue  # not of this version
            found[alert.alert_id] = alert
    return sorted(
        (alert for alert in found.values() if ended or alert.state not in ENDED),
        key=lambda alert: (alert.raised_at, alert.condition, alert.subject),
    )


async def answer_operator_alert(
    options: Mapping[str, Any],
    app_id: str,
    alert: OperatorAlert,
    action: Action,
    *,
    who: str,
    why: str,
    role: str | None = None,
    snooze_until: datetime | None = None,
    handed_to: str | None = None,
    useful: bool | None = None,
) -> OperatorAnswer:
    """Audit an answer to an alert, as it was seen, and publish it; the group `operations` obeys.

    Raises
    ------
    Failure
        It could not be audited (`AuditError`), or not be published after that: answer once more.
    BadEvent
        Something that the action needs is missing or not valid; nothing was done.
    """
    now = datetime.now(UTC)
    answer = OperatorAnswer(
        event_id=uuid4(),
        source="wardstream",
        observed_at=now,
        received_at=now,
        alert_id=alert.alert_id,
        action=action,
        actor=who,
        seen=alert.number,
        role=role,
        snooze_until=snooze_until,
        handed_to=handed_to,
        useful=useful,
        comment=why,
    )
    check(answer)
    await write_audit(options, app_id, at=now, who=who, what=_DEEDS[action], why=why, about=str(alert.alert_id))
    producer = AIOKafkaProducer(**options, enable_idempotence=True, request_timeout_ms=15_000)
    try:
        async with asyncio.timeout(_DEADLINE_S):
            await producer.start()
            await producer.send_and_wait(ANSWERS.name, encode(answer), str(alert.alert_id).encode(), 0)
    except (KafkaError, TimeoutError, OSError) as error:
        raise Failure(f"the answer is on the audit, but was not published: {type(error).__name__}") from error
    finally:
        with contextlib.suppress(KafkaError, TimeoutError, OSError):
            async with asyncio.timeout(_CLOSE_S):
                await producer.stop()
    return answer
