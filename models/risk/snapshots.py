"""The learner as signed bytes.

Signed with Ed25519 (RFC 8032), not with a shared secret: there is one learner and there are many workers, and who can
serve a model need not be able to make one. Workers hold the public key only. A signature is of the bytes that travel,
behind a line that says what they are, so that nothing else that the key may sign one day passes for a snapshot, nor one
of another form, which older or newer code would read wrongly. Nothing is decoded, let alone unpickled, before it holds.

What refuses a snapshot says why in a word, for the audit: never what was in it.
"""

from hashlib import sha256
from typing import Final, Literal

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from wardstream.models.risk import pickles
from wardstream.models.risk.keys import key_id
from wardstream.models.risk.learner import Learner, State, StateRefused

_PURPOSE: Final = b"wardstream risk snapshot 2\n"
_EARLIER: Final = b"wardstream risk snapshot 1\n"
"""Of the form that came before: it is refused, but is no forgery."""

Reason = Literal["foreign_key", "bad_signature", "bad_form", "other_version", "bad_objects"]
_SAID: Final[dict[Reason, str]] = {
    "foreign_key": "it is signed with a key that is not trusted here",
    "bad_signature": "its signature does not hold",
    "bad_form": "it is no snapshot",
    "other_version": "it is of another version of the inputs, of the models or of wardstream",
    "bad_objects": "it holds objects that are not allowed",
}


class SnapshotRefused(Exception):
    """A snapshot that must not be used, and why."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(f"the snapshot is refused: {_SAID[reason]}")
        self.reason = reason


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """What is signed: the learner's state, and the next offset of each partition that it has not learned from."""

    state: State
    positions: dict[str, int] = {}


class Signed(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot as it travels."""

    key_id: str
    signature: bytes
    payload: bytes

    @property
    def digest(self) -> str:
        """Of the payload: what an approval names."""
        return sha256(self.payload).hexdigest()


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Snapshot).decode


def signed(learner: Learner, positions: dict[str, int], key: Ed25519PrivateKey) -> Signed:
    """A learner as it is now."""
    payload = _encode(Snapshot(state=learner.state(), positions=positions))
    return Signed(key_id=key_id(key.public_key()), signature=key.sign(_PURPOSE + payload), payload=payload)


def opened(snapshot: Signed, keys: dict[str, Ed25519PublicKey]) -> tuple[Learner, dict[str, int]]:
    """The learner of a snapshot, and its positions.

    Parameters
    ----------
    snapshot : Signed
        As it came.
    keys : dict of str to Ed25519PublicKey
        The keys that are trusted, by `key_id`.

    Raises
    ------
    SnapshotRefused
        It must not be used.
    """
    key = keys.get(snapshot.key_id)
    if key is None:
        raise SnapshotRefused("foreign_key")
    if not _signed(snapshot, key, _PURPOSE):
        raise SnapshotRefused("other_version" if _signed(snapshot, key, _EARLIER) else "bad_signature")
    try:
        found = _decode(snapshot.payload)
    except msgspec.MsgspecError:
        raise SnapshotRefused("bad_form") from None
    try:
        return Learner.restored(found.state), found.positions
    except StateRefused:
        raise SnapshotRefused("other_version") from None
    except pickles.Refused:
        raise SnapshotRefused("bad_objects") from None


def _signed(snapshot: Signed, key: Ed25519PublicKey, purpose: bytes) -> bool:
    """Whether the key has signed it as what the line before it says."""
    try:
        key.verify(snapshot.signature, purpose + snapshot.payload)
    except InvalidSignature:
        return False
    return True
