"""Follows subscriptions.v1: each subscription with a webhook has a cursor as long as it stands and does not rest."""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import Sequence
from datetime import datetime

from msgspec.structs import replace

from wardstream.agents import metrics as m
from wardstream.infra.delivery.cursor import AT_ONCE, Cursor, Gone, Tools
from wardstream.infra.delivery.ledger import TakenOver
from wardstream.infra.delivery.networks import Network
from wardstream.infra.delivery.owners import held
from wardstream.infra.delivery.receiver import Receiver
from wardstream.infra.failure import Failure
from wardstream.infra.gateways.auth import TokenFile
from wardstream.infra.kafka.following import Follower
from wardstream.infra.kafka.outlasting import outlasted
from wardstream.infra.subscriptions import Change, Secrets, change, table_of
from wardstream.schemas.subscriptions import TOPIC, Subscription

log = logging.getLogger(__name__)

WHO = "webhooks"  # on the audit
_AGAIN_S = 5.0


class Doors:
    """Opens receivers: what an installation allows, trusts and signs with."""

    def __init__(self, networks: Sequence[Network], trusted: ssl.SSLContext, secrets: Secrets) -> None:
        self._networks, self._trusted, self._secrets = networks, trusted, secrets

    def receiver(self, subscription: Subscription) -> Receiver:
        """The receiver of a subscription with a webhook.

        Raises
        ------
        Failure
            Its secret cannot be opened.
        """
        webhook = subscription.webhook
        assert webhook is not None, "others are not asked for"
        secret = self._secrets.open(subscription.name, webhook.secret)
        try:
            return Receiver(webhook.url, secret, self._networks, self._trusted, AT_ONCE)
        except ValueError:
            raise Failure(f"what signs for subscription {subscription.name} is no base64") from None


class Webhooks:
    """All cursors.

    Parameters
    ----------
    tools : Tools
        What cursors share.
    app_id : str
        Names the audit.
    doors : Doors
        Opens receivers.
    tokens : TokenFile or None
        Bounds what is told by what the owners may see now; None: there are no tokens.
    """

    def __init__(self, tools: Tools, app_id: str, doors: Doors, tokens: TokenFile | None = None) -> None:
        self._tools, self._app_id, self._doors, self._tokens = tools, app_id, doors, tokens
        self._follower = Follower(tools.client, (TOPIC.name,))
        self._wanted: dict[str, Subscription] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._cursors: dict[str, Cursor] = {}
        self._ownerless: set[str] = set()
        self._paused = 0

    async def run(self) -> None:
        """Tell all subscriptions until cancelled.

        Raises
        ------
        TakenOver
            Another process delivers now.
        Failure, KafkaError, TimeoutError, OSError
            It cannot begin.
        """
        try:
            await self._tools.ledger.open()  # before any position is read: nobody else moves one from now on
            await self._follower.open()
            while True:
                self._obey()
                await self._wait()
        finally:
            left = {*self._tasks.values(), *self._ending}
            for task in left:
                task.cancel()
            if left:
                await asyncio.wait(left)
            await self._tools.ledger.close()
            await self._follower.close()

    def look(self) -> None:
        """Set the gauges."""
        meters, cursors = self._tools.meters, tuple(self._cursors.values())
        oldest = min((cursor.oldest_s for cursor in cursors), default=float("inf"))
        meters.set(m.WEBHOOK_WAITING, sum(cursor.waiting for cursor in cursors))
        meters.set(m.WEBHOOK_OLDEST, max(0.0, time.time() - oldest))
        meters.set(m.WEBHOOK_BEHIND, max((cursor.behind for cursor in cursors), default=0))
        meters.set(m.WEBHOOK_SUBSCRIPTIONS, len(cursors), ("told",))
        meters.set(m.WEBHOOK_SUBSCRIPTIONS, self._paused, ("paused",))
        meters.set(m.WEBHOOK_SUBSCRIPTIONS, len(self._wanted) - len(cursors), ("failing",))

    def _obey(self) -> None:
        """Start and end cursors as the rows are now; one whose row has changed begins anew."""
        hooked = [row for row in table_of(self._follower.rows[TOPIC.name]).values() if row.webhook is not None]
        owners = None if self._tokens is None else self._tokens.principals()
        let = [(row.name, held(row, owners)) for row in hooked if not row.paused]
        wanted = {name: row for name, row in let if row is not None}
        ownerless = {name for name, row in let if row is None}
        for name in ownerless - self._ownerless:
            log.warning("subscription %s rests: the token that made it is gone, or reads no alerts", name)
        self._ownerless, self._paused = ownerless, len(hooked) - len(wanted)
        for name in self._wanted.keys() | wanted.keys():
            row = wanted.get(name)
            if self._wanted.get(name) == row:
                continue
            before = self._tasks.pop(name, None)
            if before is not None:
                before.cancel()
                self._ending.add(before)
                before.add_done_callback(self._ending.discard)
            if row is not None:
                self._tasks[name] = asyncio.create_task(self._turn(row, before))
        self._wanted = wanted

    async def _wait(self) -> None:
        """For changes, half a second at most; raises what ended a cursor for good."""
        for task in self._tasks.values():
            if task.done():
                task.result()
        with outlasted(log, "subscriptions cannot be followed"):
            await self._follower.wait()
            return
        await asyncio.sleep(_AGAIN_S)
        with outlasted(log, "nor can they be read anew; those that are known go on"):
            await self._follower.open()

    async def _turn(self, subscription: Subscription, before: asyncio.Task[None] | None) -> None:
        """Tell one version of a subscription, after the one before has ended."""
        name = subscription.name
        if before is not None:
            await asyncio.wait([before])
        while True:
            try:
                cursor = Cursor(subscription, self._doors.receiver(subscription), self._tools)
                self._cursors[name] = cursor
                with outlasted(log, f"subscription {name} begins anew in {_AGAIN_S:.0f} s", (TakenOver,)):
                    await cursor.run()
            except TakenOver:
                raise
            except Gone:
                log.error("subscription %s: its receiver is gone (410); it rests", name)
                await self._pause(subscription)
                return
            except Exception:  # the one place where a cursor may fail: others must not notice
                log.exception("subscription %s begins anew in %.0f s", name, _AGAIN_S)
            finally:
                self._cursors.pop(name, None)
            await asyncio.sleep(_AGAIN_S)

    async def _pause(self, gone: Subscription) -> None:
        """Have a subscription rest, unless it was changed meanwhile; tries as long as it takes."""

        def decide(table: dict[str, Subscription], now: datetime) -> Change:
            row = table.get(gone.name)
            if row is None or replace(row, scope=gone.scope, may_answer=gone.may_answer) != gone:
                raise _Changed
            return Change(gone.name, replace(row, paused=True), "subscription_changed")

        while True:
            try:
                with outlasted(log, f"that subscription {gone.name} rests cannot be written yet"):
                    await change(
                        self._tools.client, self._app_id, WHO, "its receiver answered 410 Gone: it is paused", decide
                    )
                    return
            except _Changed:
                return
            await asyncio.sleep(_AGAIN_S)


class _Changed(Exception):
    """Somebody has changed the row."""
