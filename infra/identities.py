"""Who a pseudonym is: sealed when a feed tells it, opened when somebody with a reason asks.

Each record is bound to its pseudonym, so that one cannot be passed off as another's. Several keys may open; the first
seals. To change the key, put the new one before the old in the file and restart the gateways: what a feed tells again
is sealed with the new one, and the old stays for the others.
"""

from __future__ import annotations

import os
from base64 import b64decode, b64encode
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from hashlib import blake2b
from typing import Any

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from wardstream.infra.failure import Failure
from wardstream.infra.kafka.reading import records
from wardstream.schemas.bad_event import BadEvent
from wardstream.schemas.decode import decoder_of
from wardstream.schemas.hl7v2 import PARTS, Person
from wardstream.schemas.identities import TOPIC, Identity, patient_of, record_key

_NONCE = 12
_KNOWN = 200_000  # patients of whom it is remembered, by digest, what was told last: about 120 MB


class IdentityError(Failure):
    """An identity cannot be found or opened; the text names the pseudonym at most."""


class IdentitySeals:
    """Seals and opens identities.

    Parameters
    ----------
    keys : sequence of bytes
        32 bytes each; the first seals, all open. At least one.
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._ciphers = [AESGCM(key) for key in keys]
        self._known: OrderedDict[str, dict[str, bytes]] = OrderedDict()

    def changed(self, person: Person, source: str, at: datetime) -> Identity | None:
        """The record to write where a person is new, or a part that is said is not as last told; None: nothing new.

        A process remembers a bounded number of patients; one that was forgotten is written again, which is harmless.
        """
        digests = {part: _digest(person, part) for part in person.said}
        told = self._known.get(person.patient_id)
        if told is not None and told | digests == told:
            self._known.move_to_end(person.patient_id)
            return None
        self._known[person.patient_id] = (told or {}) | digests
        self._known.move_to_end(person.patient_id)
        if len(self._known) > _KNOWN:
            self._known.popitem(last=False)
        return self.seal(person, source, at)

    def forget(self, patient_id: str) -> None:
        """Take a record for not written."""
        self._known.pop(patient_id, None)

    def seal(self, person: Person, source: str, at: datetime) -> Identity:
        """The record of a person."""
        nonce = os.urandom(_NONCE)
        sealed = nonce + self._ciphers[0].encrypt(nonce, msgspec.msgpack.encode(person), person.patient_id.encode())
        return Identity(patient_id=person.patient_id, source=source, changed_at=at, sealed=b64encode(sealed).decode())

    def open(self, identity: Identity) -> Person:
        """The person.

        Raises
        ------
        IdentityError
            It was sealed with another key, or changed.
        """
        sealed = b64decode(identity.sealed)
        for cipher in self._ciphers:
            try:
                plain = cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], identity.patient_id.encode())
            except InvalidTag:
                continue
            return msgspec.msgpack.decode(plain, type=Person)
        raise IdentityError(f"the identity of {identity.patient_id} was sealed with another key, or changed")


def _digest(person: Person, part: str) -> bytes:
    return blake2b(msgspec.msgpack.encode(getattr(person, part)), digest_size=8).digest()


def key_of(person: Person) -> str:
    """The key of a person's record."""
    return record_key(person.patient_id, person.said, PARTS)


def together(newest_first: Iterable[Person]) -> Person:
    """Who somebody is by several records: of each part what the newest one says that says it. At least one."""
    found: dict[str, Any] = {}
    newest: Person | None = None
    for person in newest_first:
        newest = newest or person
        for part in person.said:
            found.setdefault(part, getattr(person, part))
        if len(found) == len(PARTS):
            break
    if newest is None:
        raise ValueError("no record")
    return msgspec.structs.replace(newest, **dict.fromkeys(PARTS) | found, removed=())


async def find_identities(options: Mapping[str, Any], patient_id: str) -> list[Identity]:
    """The records of a patient, the newest first.

    All partitions are read: those of a cluster that was given more lanes hold older records elsewhere.

    Raises
    ------
    IdentityError
        There is none.
    KafkaError, TimeoutError
        The cluster does not answer.
    """
    found: list[Identity] = []
    decode = decoder_of(Identity)
    async for record in records(options, TOPIC.name):
        if patient_of((record.key or b"").decode(errors="replace")) != patient_id:
            continue
        try:
            found.insert(0, decode(record.value))
        except BadEvent:
            continue  # a tombstone, or not of this version
    if not found:
        raise IdentityError(f"nothing is known of {patient_id}")
    return sorted(found, key=lambda identity: identity.changed_at, reverse=True)


async def newest_identities(options: Mapping[str, Any]) -> dict[str, datetime]:
    """When the newest record of each key was made.

    Raises
    ------
    KafkaError, TimeoutError
        The cluster does not answer.
    """
    newest: dict[str, datetime] = {}
    decode = decoder_of(Identity)
    async for record in records(options, TOPIC.name):
        key = (record.key or b"").decode(errors="replace")
        try:
            at = decode(record.value).changed_at
        except BadEvent:
            continue
        newest[key] = max(at, newest.get(key, at))
    return newest
