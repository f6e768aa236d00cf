"""Answers to alerts and clinicians' orders: checked, on the audit, and on their topics, in this order."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any
from uuid import UUID

import msgspec

from wardstream.agents.metrics import AUDIT_FAILURES, AUDITED
from wardstream.infra.answering import WHAT, acknowledgement, own_id
from wardstream.infra.api.access import sees
from wardstream.infra.api.bodies import Answer, Directive, Given, Invalid
from wardstream.infra.api.hub import Hub
from wardstream.infra.api.ordered import SOURCE, Ordered, sees_order
from wardstream.infra.api.table import Standing
from wardstream.infra.audit import AuditError, write_audit
from wardstream.infra.gateways.auth import Principal
from wardstream.infra.gateways.delivery import Delivery, Row
from wardstream.infra.gateways.http import Refused
from wardstream.schemas.acknowledgements import TOPIC as ACKNOWLEDGEMENTS
from wardstream.schemas.audit import What
from wardstream.schemas.bad_event import BadEvent
from wardstream.schemas.decode import check, encode
from wardstream.schemas.directives import TOPIC as DIRECTIVES
from wardstream.schemas.directives import Directive as Order
from wardstream.schemas.envelope import Event

log = logging.getLogger(__name__)

_WHY = "given by API"
_DELIVER_S = 30.0
_REMEMBERED = 10_000
_WAITING = 64  # the audit is one chain: some a second


class Orders:
    """Publishes what people do about alerts.

    Parameters
    ----------
    client, app_id
        Of the audit.
    hub : Hub
        Knows how alerts stand.
    ordered : Ordered
        Knows which orders hold.
    delivery : Delivery
        Brings rows to Kafka; run by the caller.

    Attributes
    ----------
    turn : Lock
        Held while the audit is written: writers of one process would fence each other.
    """

    def __init__(self, client: Mapping[str, Any], app_id: str, hub: Hub, ordered: Ordered, delivery: Delivery) -> None:
        self._client, self._app_id, self._delivery = client, app_id, delivery
        self._hub, self._ordered = hub, ordered
        self.turn = asyncio.Lock()
        self._waiting = 0
        self._done = OrderedDict[UUID, bytes]()  # what is on its topic, and what was asked

    def alert(self, alert_id: UUID, who: Principal) -> Standing:
        """How an alert stands, for who may see it where it is now.

        Raises
        ------
        Refused
            With 404.
        """
        standing = self._hub.standings.get(alert_id)
        if standing is None or not sees(who, standing.row):
            raise Refused(404, "there is no such alert, or it ended more than a day ago")
        return standing

    async def answer(self, alert_id: UUID, body: Answer, who: Principal) -> Given:
        """Answer an alert.

        Raises
        ------
        Refused
            It is not seen (404), has ended (409), the answer cannot be (422), or Kafka does not take it (503).
        """
        standing = self.alert(alert_id, who)
        newest = standing.row.alert
        if body.seen > newest.number:
            raise Invalid("inconsistent", ("seen",))
        if standing.ended and body.action != "rate":
            raise Refused(409, f"the alert is {newest.state}: it can be rated, and nothing else")
        event = acknowledgement(
            newest,
            who,
            SOURCE,
            body.action,
            seen=body.seen,
            event_id=body.event_id,
            role=body.role,
            snooze_until=body.snooze_until,
            handed_to=body.handed_to,
            useful=body.useful,
            comment=body.comment,
        )
        return await self._give(ACKNOWLEDGEMENTS.name, event, body, who, WHAT[body.action], f"{alert_id}")

    async def order(self, patient_id: str, body: Directive, who: Principal) -> Given:
        """Give an order about a patient's alerts.

        Raises
        ------
        Refused
            The patient is not in the token's units (404), the order cannot be (422), or Kafka does not take it (503).
        """
        now = datetime.now(UTC)
        units = await self._units(patient_id, who, now)
        if who.units is not None and not units:
            raise Refused(404, "no alert and no order of this patient is in the units of this token")
        event = Order(
            event_id=own_id(body.event_id, who.name, patient_id),
            source=SOURCE,
            patient_id=patient_id,
            observed_at=now,
            received_at=now,
            status=body.status,
            supersedes=body.supersedes,
            kind=body.kind,
            expires_at=body.expires_at,
            ordered_by=who.name,
            condition=body.condition,
            thresholds=body.thresholds,
            why=body.why,
            unit=next(iter(units), None),
        )
        return await self._give(DIRECTIVES.name, event, body, who, "directive_given", None)

    async def _units(self, patient_id: str, who: Principal, now: datetime) -> list[str | None]:
        """Where the patient's alerts and orders are that somebody may see, those of alerts first."""
        rows = [one.row for one in self._hub.standings if one.row.alert.patient_id == patient_id]
        units = [row.alert.unit for row in rows if sees(who, row)]
        if units:
            return units
        await self._ordered.ready()
        return [order.unit for order in self._ordered.of(patient_id, now) if sees_order(who, order)]

    async def _give(
        self, topic: str, event: Event, body: Answer | Directive, who: Principal, what: What, about: str | None
    ) -> Given:
        try:
            check(event)
        except BadEvent as found:
            bad = found
        else:
            asked = sha256(msgspec.json.encode(body)).digest()
            done = self._done.get(event.event_id)
            if done is None:
                await self._publish(topic, event, who, what, about)
                self._remember(event.event_id, asked)
            elif done != asked:
                raise Refused(409, "with this event_id something else was given: take another one")
            return Given(event_id=event.event_id)
        raise Invalid(bad.reason, bad.fields)

    async def _publish(self, topic: str, event: Event, who: Principal, what: What, about: str | None) -> None:
        if self._waiting >= _WAITING:
            raise Refused(429, "too much at a time; send it again", Retry_After="5")
        self._waiting += 1
        try:
            async with asyncio.timeout(_DELIVER_S):
                async with self.turn:
                    await write_audit(
                        self._client,
                        self._app_id,
                        at=event.received_at,
                        who=who.name,
                        what=what,
                        why=_WHY,
                        patient_id=event.patient_id,
                        about=about,
                    )
                self._hub.meters.count(AUDITED, (what,))
                await (await self._delivery.offer([Row(topic, event.patient_id, encode(event))]))
        except (AuditError, TimeoutError) as error:
            log.warning("%s: %s", topic, type(error).__name__)
            if isinstance(error, AuditError):
                self._hub.meters.count(AUDIT_FAILURES)
            raise Refused(503, "Kafka does not take it now; send it again with its event_id", Retry_After="5") from None
        finally:
            self._waiting -= 1

    def _remember(self, event_id: UUID, asked: bytes) -> None:
        self._done[event_id] = asked
        if len(self._done) > _REMEMBERED:
            self._done.popitem(last=False)
