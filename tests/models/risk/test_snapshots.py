"""Snapshots: whole they are the learner itself, tampered with or foreign they are refused before they are read."""

from __future__ import annotations

import os
import pickle
import zlib
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.models.risk.rows import examples
from wardstream.models.risk import pickles
from wardstream.models.risk.champion import Settings
from wardstream.models.risk.keys import key_id
from wardstream.models.risk.learner import Learner
from wardstream.models.risk.snapshots import _PURPOSE, Signed, Snapshot, SnapshotRefused, opened, signed
from wardstream.models.risk.target import Target

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
TRUSTED = {key_id(KEY.public_key()): KEY.public_key()}


@pytest.fixture(scope="module")
def learner() -> Learner:
    found = Learner(Target(), Settings(seed=1))
    for one in examples(300):
        found.learn(one)
    return found


@pytest.fixture(scope="module")
def snapshot(learner: Learner) -> Signed:
    return signed(learner, {"0": 300}, KEY)


def test_it_comes_back_as_it_was(learner: Learner, snapshot: Signed) -> None:
    travelled = msgspec.json.decode(msgspec.json.encode(snapshot), type=Signed)
    again, positions = opened(travelled, TRUSTED)
    assert positions == {"0": 300}
    assert signed(again, positions, KEY) == snapshot  # Ed25519 signs the same bytes in the same way
    assert travelled.digest == snapshot.digest


def refusal(snapshot: Signed) -> str:
    with pytest.raises(SnapshotRefused) as refused:
        opened(snapshot, TRUSTED)
    assert "refused" in str(refused.value)
    return refused.value.reason


def test_a_foreign_key_is_refused(learner: Learner, snapshot: Signed) -> None:
    assert refusal(signed(learner, {}, OTHER)) == "foreign_key"
    named = msgspec.structs.replace(signed(learner, {}, OTHER), key_id=snapshot.key_id)
    assert refusal(named) == "bad_signature"


@pytest.mark.parametrize("place", [0, 100, 5_000, -1])
def test_one_byte_changed_is_refused(snapshot: Signed, place: int) -> None:
    payload = bytearray(snapshot.payload)
    payload[place] ^= 1
    assert refusal(msgspec.structs.replace(snapshot, payload=bytes(payload))) == "bad_signature"
    signature = bytearray(snapshot.signature)
    signature[place % 64] ^= 1
    assert refusal(msgspec.structs.replace(snapshot, signature=bytes(signature))) == "bad_signature"


def test_a_signature_of_something_else_is_refused(snapshot: Signed) -> None:
    for purpose in (b"", b"wardstream risk snapshot 99\n"):
        signature = KEY.sign(purpose + snapshot.payload)
        assert refusal(msgspec.structs.replace(snapshot, signature=signature)) == "bad_signature"


def test_a_snapshot_of_before_an_upgrade_is_refused_but_not_called_a_forgery(snapshot: Signed) -> None:
    signature = KEY.sign(b"wardstream risk snapshot 1\n" + snapshot.payload)
    assert refusal(msgspec.structs.replace(snapshot, signature=signature)) == "other_version"


def resigned(snapshot: Signed, change: Callable[[Any], None]) -> Signed:
    """A payload that was changed and signed again, by who has the key."""
    plain = msgspec.json.decode(snapshot.payload)
    change(plain)
    payload = msgspec.json.encode(plain)
    return msgspec.structs.replace(snapshot, payload=payload, signature=KEY.sign(_PURPOSE + payload))


class Evil:
    def __reduce__(self) -> Any:
        return os.system, ("true",)


def test_even_signed_only_what_is_allowed_is_unpickled(snapshot: Signed) -> None:
    bad = zlib.compress(pickle.dumps(Evil()))
    text = msgspec.to_builtins(bad)

    def tree(plain: Any) -> None:
        plain["state"]["tree"] = text

    def drift(plain: Any) -> None:
        plain["state"]["drift"] = text

    assert refusal(resigned(snapshot, tree)) == "bad_objects"
    assert refusal(resigned(snapshot, drift)) == "bad_objects"


def test_other_versions_and_forms_are_refused(snapshot: Signed) -> None:
    assert refusal(resigned(snapshot, lambda plain: plain["state"].update(features="0"))) == "other_version"
    assert refusal(resigned(snapshot, lambda plain: plain["state"]["champion"].pop("weights"))) == "bad_form"
    assert refusal(resigned(snapshot, lambda plain: plain["state"]["target"].update(kinds=[]))) == "bad_form"


def test_nothing_is_unpickled_before_the_signature_holds(snapshot: Signed, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any) -> None:
        raise AssertionError("unpickled")

    monkeypatch.setattr(pickles, "load", never)
    assert refusal(msgspec.structs.replace(snapshot, payload=snapshot.payload + b" ")) == "bad_signature"
    assert msgspec.json.decode(snapshot.payload, type=Snapshot).positions == {"0": 300}
