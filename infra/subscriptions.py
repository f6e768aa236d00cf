"""Who wants to be told of which alerts: read from subscriptions.v1, changed one at a time, audited.

A change is a transaction of a producer whose id is that of the table: opening it fences another one that may be under
way, and only then is the table read. So nobody's change is lost under another's. The audit comes first: what cannot be
written there is not done.

The secret that signs a webhook is sealed with the installation's key and bound to the subscription's name, so that one
cannot be passed off as another's. Several keys may open; the first seals.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.errors import IllegalOperation, KafkaError, ProducerFenced
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from msgspec.structs import replace

from wardstream.agents.streams.producer import read_changelog
from wardstream.infra.audit import write_audit
from wardstream.infra.failure import Failure
from wardstream.schemas.audit import What
from wardstream.schemas.bad_event import BadEvent
from wardstream.schemas.decode import check, decoder_of, encode
from wardstream.schemas.subscriptions import TOPIC, Subscription

_DEADLINE_S = 30.0
_CLOSE_S = 5.0
_TRIES = 5
_PAUSE_S = 1.0
_NONCE = 12

_decode = decoder_of(Subscription)


class Change(NamedTuple):
    """What is to be: the row of a name (None: it ends), and what that is on the audit."""

    name: str
    row: Subscription | None
    what: What


class SecretError(Failure):
    """A webhook's secret cannot be opened; the text names the subscription at most."""


class Secrets:
    """Seals and opens what signs webhooks.

    Parameters
    ----------
    keys : sequence of bytes
        32 bytes each; the first seals, all open. At least one.
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._ciphers = [AESGCM(key) for key in keys]

    def seal(self, name: str, secret: str) -> bytes:
        """The secret of the subscription of a name, as its row holds it."""
        nonce = os.urandom(_NONCE)
        return nonce + self._ciphers[0].encrypt(nonce, secret.encode(), name.encode())

    def open(self, name: str, sealed: bytes) -> str:
        """The secret.

        Raises
        ------
        SecretError
            It was sealed with another key or for another subscription, or changed.
        """
        for cipher in self._ciphers:
            with contextlib.suppress(InvalidTag):
                return cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], name.encode()).decode()
        raise SecretError(f"the secret of subscription {name} was sealed with another key, or changed")


def new_secret() -> str:
    """A secret of Standard Webhooks: 32 random bytes in base64 (not that of URLs, which libraries do not take)."""
    return f"whsec_{b64encode(os.urandom(32)).decode()}"


def table_of(rows: Mapping[bytes, bytes]) -> dict[str, Subscription]:
    """Rows, decoded, by name. What is not of this version, or has a key that is not its name, is left out."""
    found = {}
    for key, row in rows.items():
        with contextlib.suppress(BadEvent):
            subscription = _decode(row)
            if subscription.name.encode() == key:
                found[subscription.name] = subscription
    return found


async def read_table(options: Mapping[str, Any]) -> dict[str, Subscription]:
    """The table as it is.

    Raises
    ------
    KafkaError, TimeoutError
        The cluster does not answer.
    """
    return table_of(await read_changelog(TOPIC.name, 0, options))


async def change(
    options: Mapping[str, Any],
    app_id: str,
    who: str,
    why: str,
    decide: Callable[[dict[str, Subscription], datetime], Change],
) -> Subscription | None:
    """Change the table; returns the row as it is then.

    Parameters
    ----------
    who, why : str
        For the audit.
    decide : callable
        Says from the table and the time (wall clock) what is to be; may raise. It may be asked again, where another
        change came between. The row's `at` is set to that time.

    Raises
    ------
    Failure
        Others change the table all the time, or the audit cannot be written (`AuditError`).
    BadEvent
        The row is not valid.
    KafkaError, TimeoutError
        The cluster does not answer.
    """
    for tried in range(_TRIES):
        producer = AIOKafkaProducer(
            **options, transactional_id=f"{app_id}-subscriptions", request_timeout_ms=15_000, retry_backoff_ms=20
        )
        try:
            async with asyncio.timeout(_DEADLINE_S):
                await producer.start()
                now = datetime.now(UTC)
                wanted = decide(await read_table(options), now)
                row = None if wanted.row is None else replace(wanted.row, at=now)
                if row is not None:
                    check(row)
            await write_audit(options, app_id, at=now, who=who, what=wanted.what, why=why, about=wanted.name)
            async with asyncio.timeout(_DEADLINE_S), producer.transaction():
                value = None if row is None else encode(row)
                await producer.send_and_wait(TOPIC.name, value, wanted.name.encode(), 0)
            return row
        except ProducerFenced:
            pass  # another change came between
        finally:
            with contextlib.suppress(KafkaError, IllegalOperation, TimeoutError, OSError):
                async with asyncio.timeout(_CLOSE_S):
                    await producer.stop()
        await asyncio.sleep(random.uniform(0.0, _PAUSE_S * 2**tried))  # else they would fence each other for ever
    raise Failure("others change the subscriptions all the time: try again")
