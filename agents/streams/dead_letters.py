"""Bad input: kept, encrypted, with the reason in the headers.

A dead letter's value is a nonce and the AES-256-GCM ciphertext of the raw record (its key, value and headers may hold
names, numbers and addresses). The headers say why and where from, and hold nothing of the content. Of a record that is
too large to be written again (compressed, it may have been let in) the beginning is kept; the header `cut` says how
long it was.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from wardstream.agents.streams.outputs import MAX_ROW_BYTES, Headers, Row

_NONCE = 12
_KEPT_VALUE = 900_000  # bytes; with everything else still below `MAX_ROW_BYTES`
_KEPT_KEY = 1_000


class RawRecord(msgspec.Struct, array_like=True):
    """A record as it was read: nothing interpreted, nothing lost."""

    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    timestamp_ms: int


class DeadLetters:
    """Seals and opens dead letters with one 32-byte key.

    Raises
    ------
    ValueError : the key has another length; or, from `open`, the letter was sealed with another key or was changed.
    """

    def __init__(self, key: bytes) -> None:
        if len(key) != 32:
            raise ValueError("the dead-letter key must be 32 bytes")
        self._cipher = AESGCM(key)

    def seal(self, raw: RawRecord, topic: str, partition: int, offset: int, reason: str, fields: Sequence[str]) -> Row:
        """The row to write to `<topic>.dead`."""
        place = f"{topic}/{partition}/{offset}".encode()
        nonce, plain = os.urandom(_NONCE), msgspec.msgpack.encode(raw)
        cut: Headers = ()
        if len(plain) > MAX_ROW_BYTES - 1_000:
            cut = (("cut", str(len(plain)).encode()),)
            key, kept = raw.key and raw.key[:_KEPT_KEY], raw.value and raw.value[:_KEPT_VALUE]
            plain = msgspec.msgpack.encode(RawRecord(key, kept, (), raw.timestamp_ms))
        value = nonce + self._cipher.encrypt(nonce, plain, place)
        headers: Headers = (
            ("reason", reason.encode()),
            ("fields", ",".join(fields).encode()),
            ("topic", topic.encode()),
            ("partition", str(partition).encode()),
            ("offset", str(offset).encode()),
            *cut,
        )
        return Row(None, value, raw.timestamp_ms, headers)

    def open(self, value: bytes, headers: Sequence[tuple[str, bytes]]) -> RawRecord:
        """The record a dead letter was made of."""
        known = dict(headers)
        place = b"/".join(known[name] for name in ("topic", "partition", "offset"))
        try:
            plain = self._cipher.decrypt(value[:_NONCE], value[_NONCE:], place)
        except InvalidTag:
            raise ValueError("this dead letter was sealed with another key, or was changed") from None
        return msgspec.msgpack.decode(plain, type=RawRecord)
