"""What a receiver replies: a person's answer to the alert, where the subscription may give one.

`{"action": "acknowledge", "seen": 3}` in the body of a 2xx response is taken as the same on acknowledgements.v1; other
fields are those of `schemas/acknowledgements.py`, and `by` is a pseudonym of the person. Since that is the receiver's
word alone, the answer's actor is "`by` via SUBSCRIPTION", and on the audit who made the subscription has answered. Who
does not say what was seen has seen the transition that was posted. The id of the answer follows from transition and
subscription: a reply to what is told a second time is the same answer.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from msgspec import Struct

from wardstream.agents.metrics import WEBHOOK_ANSWERS, Meters
from wardstream.infra.answering import WHAT
from wardstream.infra.audit import AuditError, write_audit
from wardstream.infra.gateways.delivery import Delivery, Row
from wardstream.schemas.acknowledgements import TOPIC, Acknowledgement, Action
from wardstream.schemas.alerts import Alert
from wardstream.schemas.bad_event import BadEvent
from wardstream.schemas.decode import check, encode
from wardstream.schemas.output_id import output_id
from wardstream.schemas.subscriptions import Subscription

log = logging.getLogger(__name__)

SOURCE: Final = "webhook"
_AGAIN_S = 2.0

Write = Callable[..., Awaitable[object]]


class Reply(Struct, frozen=True, kw_only=True):
    """What may be replied; without an action it is no answer."""

    action: Action
    seen: int | None = None
    by: str | None = None
    role: str | None = None
    snooze_until: datetime | None = None
    handed_to: str | None = None
    useful: bool | None = None
    comment: str | None = None


def answer(body: bytes, alert: Alert, name: str, at: datetime) -> Acknowledgement | None:
    """The answer that a reply is; None: it is none.

    Raises
    ------
    BadEvent
        It wants to be one and cannot be used.
    """
    try:
        said = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        return None  # most receivers say `ok`
    if not isinstance(said, dict) or "action" not in said:
        return None
    try:
        reply = msgspec.convert(said, Reply)
    except (ValueError, RecursionError):
        reply = None
    if reply is None:  # outside of the handler: what was read must not be quoted
        raise BadEvent("bad_format", "action")
    acknowledgement = Acknowledgement(
        event_id=output_id(alert.event_id, f"reply/{name}"),
        source=SOURCE,
        facility=alert.facility,
        patient_id=alert.patient_id,
        encounter_id=alert.encounter_id,
        observed_at=at,
        received_at=at,
        alert_id=alert.alert_id,
        action=reply.action,
        actor=f"{reply.by} via {name}" if reply.by else f"webhook:{name}",
        seen=alert.number if reply.seen is None else reply.seen,
        role=reply.role,
        snooze_until=reply.snooze_until,
        handed_to=reply.handed_to,
        useful=reply.useful,
        comment=reply.comment,
    )
    check(acknowledgement)
    return acknowledgement


class Answers:
    """Audits and publishes what receivers reply.

    Parameters
    ----------
    delivery : Delivery
        The way to Kafka; somebody else runs it.
    client, app_id
        Of the audit.
    meters : Meters
        Counts answers.
    write : callable
        `write_audit`.
    """

    def __init__(
        self,
        delivery: Delivery,
        client: Mapping[str, Any],
        app_id: str,
        meters: Meters,
        write: Write = write_audit,
    ) -> None:
        self._delivery, self._client, self._app_id, self._meters, self._write = delivery, client, app_id, meters, write
        self._auditing = asyncio.Lock()  # writers of the audit fence each other

    async def take(self, body: bytes, alert: Alert, subscription: Subscription) -> Action | None:
        """Publish what was replied, and return when all in-sync replicas have it; None: it was no answer.

        Waits for Kafka as long as it takes: the delivery counts as done only then, and is else repeated.
        """
        try:
            found = answer(body, alert, subscription.name, datetime.now(UTC))
        except BadEvent as bad:
            log.warning("a reply of subscription %s cannot be used: %s", subscription.name, bad)
            self._meters.count(WEBHOOK_ANSWERS, ("bad",))
            return None
        if found is None:
            return None
        if not subscription.may_answer:
            self._meters.count(WEBHOOK_ANSWERS, ("not_allowed",))
            return None
        await self._audit(found, subscription)
        await (await self._delivery.offer([Row(TOPIC.name, found.patient_id, encode(found))]))
        self._meters.count(WEBHOOK_ANSWERS, ("published",))
        return found.action

    async def _audit(self, found: Acknowledgement, subscription: Subscription) -> None:
        while True:
            try:
                async with self._auditing:
                    await self._write(
                        self._client,
                        self._app_id,
                        at=found.observed_at,
                        who=subscription.who,
                        what=WHAT[found.action],
                        why=f"reply of webhook {subscription.name}: {found.actor}",
                        patient_id=found.patient_id,
                        about=str(found.alert_id),
                    )
            except AuditError as error:
                log.warning("an answer waits for the audit: %s", error)
                await asyncio.sleep(_AGAIN_S)
            else:
                return
