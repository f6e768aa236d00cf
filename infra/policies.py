"""The alert policy in force: read from alert-policies.v1, changed in a transaction, audited, and followed by workers.

A change is made as one to a model is (`model_controls`): opening the producer of the table's transactional id fences
another one, and the audit comes first. Each policy that was ever applied keeps a row by its digest, so that alerts that
it decided can be explained.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import IllegalOperation, KafkaError, ProducerFenced
from msgspec.structs import replace

from wardstream.agents.streams.producer import read_changelog
from wardstream.infra.audit import write_audit
from wardstream.infra.failure import Failure
from wardstream.infra.kafka.following import Obeyer
from wardstream.models.alerts.policy import Policy
from wardstream.models.alerts.policy_file import DEFAULT, PolicyError, parse_policy
from wardstream.schemas.alert_policies import IN_FORCE, TOPIC, AlertPolicy
from wardstream.schemas.bad_event import BadEvent
from wardstream.schemas.decode import check, decoder_of, encode

log = logging.getLogger(__name__)

_DEADLINE_S = 30.0
_CLOSE_S = 5.0
_decode = decoder_of(AlertPolicy)


def row_of(key: bytes, value: bytes) -> AlertPolicy:
    """A row of the table.

    Raises
    ------
    ValueError
        It is none: not of this version, under another key than its own, or its text is not that of its digest.
    """
    try:
        row: AlertPolicy = _decode(value)
    except BadEvent as bad:
        raise ValueError(f"it cannot be read: {', '.join(bad.fields) or bad.reason}") from None
    if row.name.encode() != key or (row.name != IN_FORCE and row.name != row.digest):
        raise ValueError("it is under another key than its own")
    if sha256(row.text.encode()).hexdigest() != row.digest:
        raise ValueError("its text is not the one of its digest")
    return row


def policies_of(rows: Mapping[bytes, bytes]) -> dict[str, AlertPolicy]:
    """The rows of the table by name. What is none is left out."""
    found = {}
    for key, value in rows.items():
        with contextlib.suppress(ValueError):
            row = row_of(key, value)
            found[row.name] = row
    return found


async def read_policies(options: Mapping[str, Any]) -> dict[str, AlertPolicy]:
    """The table as it is, by name.

    Raises
    ------
    KafkaError, TimeoutError
        The cluster does not answer.
    """
    return policies_of(await read_changelog(TOPIC.name, 0, options))


async def apply_policy(options: Mapping[str, Any], app_id: str, who: str, why: str, policy: Policy) -> AlertPolicy:
    """Have a policy be in force; returns its row.

    Raises
    ------
    Failure
        Another change came between, or the audit cannot be written.
    BadEvent
        Who or why is not valid.
    KafkaError, TimeoutError
        The cluster does not answer.
    """
    producer = AIOKafkaProducer(
        **options,
        transactional_id=f"{app_id}-alert-policies",
        max_request_size=4 << 20,  # Kafka has the last word on the size of a record
        request_timeout_ms=15_000,
    )
    try:
        async with asyncio.timeout(_DEADLINE_S):
            await producer.start()
        now = datetime.now(UTC)
        row = AlertPolicy(name=IN_FORCE, digest=policy.digest, text=policy.text, at=now, who=who, why=why)
        check(row)
        await write_audit(options, app_id, at=now, who=who, what="policy_applied", why=why, about=policy.digest)
        async with asyncio.timeout(_DEADLINE_S), producer.transaction():
            for one in (replace(row, name=row.digest), row):
                await producer.send_and_wait(TOPIC.name, encode(one), one.name.encode(), 0)
        return row
    except ProducerFenced:
        raise Failure("another change came between: look which policy is in force, and try again") from None
    finally:
        with contextlib.suppress(KafkaError, IllegalOperation, TimeoutError, OSError):
            async with asyncio.timeout(_CLOSE_S):
                await producer.stop()


class Policies(Obeyer):
    """Follows the table; `__call__` is the policy in force, the built-in one where none has been applied.

    What must not be used (its text is not that of its digest, or this version cannot read it) is refused, and the one
    before goes on: that in force here or, after a restart, the newest that was applied before.
    """

    def __init__(self, client: Mapping[str, Any]) -> None:
        super().__init__(client, (TOPIC.name,), "the alert policy")
        self._now = DEFAULT
        self._seen: bytes | None = None

    def __call__(self) -> Policy:
        """The policy in force."""
        return self._now

    def obey(self) -> None:
        """Look at the rows as they are now."""
        rows = self._follower.rows[TOPIC.name]
        wanted, started = rows.get(IN_FORCE.encode()), self._seen is not None
        if wanted == self._seen:
            return
        self._seen = wanted
        if wanted is None:
            self._take(DEFAULT)
        elif not self._serve(IN_FORCE.encode(), wanted) and not started:
            found = policies_of(rows)
            found.pop(IN_FORCE, None)
            for row in sorted(found.values(), key=lambda row: row.at, reverse=True):
                if self._serve(row.name.encode(), rows[row.name.encode()]):
                    return

    def _serve(self, key: bytes, value: bytes) -> bool:
        """Have a row's policy be in force; False: it is refused."""
        try:
            policy = parse_policy(row_of(key, value).text)
        except PolicyError as wrong:
            log.error("an alert policy is refused: %d mistakes, the first: %s", len(wrong.mistakes), wrong.mistakes[0])
        except ValueError as wrong:
            log.error("an alert policy is refused: %s", wrong)
        else:
            self._take(policy)
            return True
        return False

    def _take(self, policy: Policy) -> None:
        if policy.digest != self._now.digest:
            log.info("alert policy %s is in force", policy.digest[:12])
        self._now = policy
