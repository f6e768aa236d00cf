"""Subscriptions as the API changes them, and as its streams obey them."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from aiokafka.errors import KafkaError
from msgspec import UNSET
from msgspec.structs import replace

from wardstream.infra.addresses import is_loopback
from wardstream.infra.api.access import wish
from wardstream.infra.api.bodies import (
    ChangedSubscription,
    Hook,
    Invalid,
    NewSubscription,
    SubscriptionView,
    view,
)
from wardstream.infra.delivery.networks import Network, check_url, may_go
from wardstream.infra.failure import Failure
from wardstream.infra.gateways.auth import Principal
from wardstream.infra.gateways.http import Refused
from wardstream.infra.kafka.following import Follower
from wardstream.infra.kafka.outlasting import outlasted
from wardstream.infra.subscriptions import Change, Secrets, change, new_secret, table_of
from wardstream.schemas.bad_event import BadEvent
from wardstream.schemas.subscriptions import TOPIC, Subscription, Webhook

log = logging.getLogger(__name__)

MOST_EACH = 1000
_PAUSE_S = 2.0
_MOST = 100_000
_WHY = "asked for by API"


class Subscribing:
    """The table: followed, and changed.

    Parameters
    ----------
    client, app_id
        Kafka's client options, and what names transactions.
    sealing : Secrets or None
        None: no webhook is taken.
    networks : sequence of networks
        Where webhooks may go; empty: that is not known here, and the delivery alone looks.
    """

    def __init__(
        self, client: Mapping[str, Any], app_id: str, sealing: Secrets | None, networks: Sequence[Network] = ()
    ) -> None:
        self._client, self._app_id, self._sealing, self._networks = client, app_id, sealing, networks
        self._table: dict[str, Subscription] | None = None
        self._turn = asyncio.Lock()  # changes of one process would fence each other

    async def run(self) -> None:
        """Follow the table until cancelled; what was read holds while Kafka is away."""
        follower = Follower(self._client, [TOPIC.name])
        try:
            while True:
                with outlasted(log, "subscriptions cannot be followed"):
                    await follower.open()
                    self._table = table_of(follower.rows[TOPIC.name])
                    while True:
                        if await follower.wait():
                            self._table = table_of(follower.rows[TOPIC.name])
                await asyncio.sleep(_PAUSE_S)
        finally:
            await follower.close()

    def mine(self, who: Principal) -> list[Subscription]:
        """Those that somebody may see: their own; operators see all."""
        return [row for row in self._rows().values() if row.who == who.name or "operator" in who.roles]

    def one(self, name: str, who: Principal) -> Subscription:
        """One that somebody may see.

        Raises
        ------
        Refused
            With 404: there is none, or it is somebody else's.
        """
        return _seen(self._rows(), name, who)

    async def make(self, body: NewSubscription, who: Principal) -> SubscriptionView:
        """Make one; its scope is what the token may see now."""
        wish(who, body.wanted, silent=False)
        await self._check(body.webhook)
        name = f"s-{secrets.token_hex(8)}"
        told, hook = self._hook(name, body.webhook, None)

        def decide(table: dict[str, Subscription], now: datetime) -> Change:
            if len(table) >= _MOST or sum(row.who == who.name for row in table.values()) >= MOST_EACH:
                raise Refused(429, f"there are too many subscriptions: {MOST_EACH} each")
            row = Subscription(
                name=name,
                at=now,
                made_at=now,
                who=who.name,
                scope=_scope(who),
                wanted=body.wanted.wanted(),
                webhook=hook,
                may_answer="clinician" in who.roles,
                paused=body.paused,
            )
            return Change(name, row, "subscription_made")

        row = await self._changed(who, decide, name)
        assert row is not None, "it was made"
        return view(row, told)

    async def change(self, name: str, body: ChangedSubscription, who: Principal) -> SubscriptionView:
        """Change what the body says: the owner anything, an operator of all units whether it rests."""
        wanted, hook, paused = body.wanted, body.webhook, body.paused
        if wanted is not UNSET:
            wish(who, wanted, silent=False)
        await self._check(None if hook is UNSET else hook)
        told: str | None = None

        def decide(table: dict[str, Subscription], now: datetime) -> Change:
            nonlocal told
            only_pauses = wanted is UNSET and hook is UNSET
            row = _own(table, name, who) if not (only_pauses and _governs(who)) else _seen(table, name, who)
            if row.who == who.name:  # what a token may has changed, and bounds what it made
                row = replace(row, scope=_scope(who), may_answer="clinician" in who.roles)
            if wanted is not UNSET:
                row = replace(row, wanted=wanted.wanted())
            if hook is not UNSET:
                told, sealed = self._hook(name, hook, row.webhook)
                row = replace(row, webhook=sealed)
            if paused is not UNSET:
                row = replace(row, paused=paused)
            return Change(name, row, "subscription_changed")

        row = await self._changed(who, decide, name)
        assert row is not None, "it was changed"
        return view(row, told)

    async def end(self, name: str, who: Principal) -> None:
        """End one: the owner, or an operator of all units."""

        def decide(table: dict[str, Subscription], now: datetime) -> Change:
            (_seen if _governs(who) else _own)(table, name, who)
            return Change(name, None, "subscription_ended")

        await self._changed(who, decide, name)

    def _rows(self) -> dict[str, Subscription]:
        if self._table is None:
            raise Refused(503, "subscriptions are not read yet", Retry_After="2")
        return self._table

    async def _changed(
        self, who: Principal, decide: Callable[[dict[str, Subscription], datetime], Change], name: str
    ) -> Subscription | None:
        try:
            async with self._turn:
                row = await change(self._client, self._app_id, who.name, _WHY, decide)
        except BadEvent as bad:
            raise Invalid(bad.reason, bad.fields) from None
        except (Failure, KafkaError, TimeoutError, OSError) as error:
            log.warning("a subscription is not changed: %s", type(error).__name__)
            raise Refused(
                503, "Kafka does not take it now; look how it stands, and try again", Retry_After="5"
            ) from None
        if self._table is not None:  # for who asks before the follower has seen it
            left = {known: old for known, old in self._table.items() if known != name}
            self._table = left if row is None else left | {name: row}
        return row

    async def _check(self, hook: Hook | None) -> None:
        if hook is None:
            return
        if not _may_be_posted_to(hook.url):
            raise Invalid("bad_format", ("webhook.url",))
        if self._networks and not await may_go(hook.url, self._networks):
            raise Invalid("no webhook may go there: it is in no network that is allowed", ("webhook.url",))

    def _hook(self, name: str, hook: Hook | None, before: Webhook | None) -> tuple[str | None, Webhook | None]:
        """The secret that is to be told, and the webhook as its row has it."""
        if hook is None:
            return None, None
        if self._sealing is None:
            raise Refused(503, "no webhooks: no key for their secrets (delivery_key) is configured here")
        if hook.secret is None and before is not None:
            return None, Webhook(url=hook.url, secret=before.secret)
        told = None if hook.secret is not None else new_secret()
        secret = hook.secret if told is None else told
        assert secret is not None, "one of the two"
        return told, Webhook(url=hook.url, secret=self._sealing.seal(name, secret))


def _may_be_posted_to(text: str) -> bool:
    """Whether a URL is one for webhooks at all."""
    if not text.isascii() or not text.isprintable() or " " in text:
        return False
    try:
        url = check_url(text)
    except ValueError:
        return False
    return url.scheme == "https" or is_loopback(url.host or "")


def _seen(table: dict[str, Subscription], name: str, who: Principal) -> Subscription:
    row = table.get(name)
    if row is None or (row.who != who.name and "operator" not in who.roles):
        raise Refused(404, "there is no such subscription")
    return row


def _scope(who: Principal) -> tuple[str, ...] | None:
    return None if who.units is None else tuple(sorted(who.units))


def _governs(who: Principal) -> bool:
    """Whether they may pause and end what others have made: operators of the whole hospital."""
    return "operator" in who.roles and who.units is None


def _own(table: dict[str, Subscription], name: str, who: Principal) -> Subscription:
    row = _seen(table, name, who)
    if row.who != who.name:
        raise Refused(403, "only who made a subscription may change what it asks for")
    return row
