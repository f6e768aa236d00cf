"""Who a pseudonym is: sealed when a feed tells it, opened when somebody with a reason asks.

Each record is bound to its pseudonym, so that one cannot be passed off as another's. Several keys may open; the first
seals. To change the key, put the new one before the old in the file and restart the gateways: what a feed tells again
is sealed with the new one, and the old stays for the others.
"""

from __future__ import annotations

import os
from base64 import b64decode, b64encode
from collections import OrderedDict
from collections.abc import Mapping, Sequence
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
from wardstream.schemas.hl7v2 import Person
from wardstream.schemas.identities import TOPIC, Identity

_NONCE = 12
_KNOWN = 200_000  # patients whose last identity is remembered, by digest: about 40 MB


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
        self._known: OrderedDict[str, bytes] = OrderedDict()

    def changed(self, person: Person, source: str, at: datetime) -> Identity | None:
        """The record to write where a person is new or not as last told; None where nothing has changed.

        A process remembers a bounded number of patients; one that was forgotten is written again, which is harmless.
        """
        plain = msgspec.msgpack.encode(person)
        digest = blake2b(plain, digest_size=16).digest()
        known = self._known
        if known.get(person.patient_id) == digest:
            known.move_to_end(person.patient_id)
            return None
        known[person.patient_id] = digest
        if len(known) > _KNOWN:
            known.popitem(last=False)
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


async def find_identity(options: Mapping[str, Any], patient_id: str) -> Identity:
    """The newest record of a patient.

    All partitions are read: those of a cluster that was given more lanes hold older records elsewhere.

    Raises
    ------
    IdentityError
        There is none.
    KafkaError, TimeoutError
        The cluster does not answer.
    """
    found: Identity | None = None
    decode, key = decoder_of(Identity), patient_id.encode()
    async for record in records(options, TOPIC.name):
        if record.key != key:
            continue
        try:
            identity = decode(record.value)
        except BadEvent:
            continue  # a tombstone, or not of this version
        if found is None or identity.changed_at >= found.changed_at:
            found = identity
    if found is None:
        raise IdentityError(f"nothing is known of {patient_id}")
    return found
