"""What an installation's risk model predicts, the key that signs its snapshots, and those that are trusted."""

from __future__ import annotations

from base64 import b64decode, b64encode
from hashlib import sha256
from pathlib import Path
from typing import get_args

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from wardstream.infra.kafka.private_files import write_private
from wardstream.infra.settings import PREFIX, Settings, SettingsError
from wardstream.models.risk.keys import key_id
from wardstream.models.risk.target import DETERIORATION, KINDS, Target
from wardstream.schemas.outcomes import Kind

KEY_FILE = "learner.key"  # in the home folder
KEY_BYTES = 32
_LONGEST = 64  # characters of a target's name
PUBLIC_FILE = "learner.pub"  # beside it: for workers and operators on other machines


def risk_target(settings: Settings) -> Target | None:
    """What is learned; None: nothing is.

    Raises
    ------
    SettingsError
        There is no such outcome.
    """
    kinds = settings.risk_outcomes
    unknown = kinds - KINDS
    if unknown:
        raise SettingsError(f"{PREFIX}RISK_OUTCOMES names no outcome: {len(unknown)} of its {len(kinds)}")
    if not kinds:
        return None
    name = "deterioration" if kinds == frozenset(DETERIORATION) else _name(kinds)
    known = tuple(kind for kind in get_args(Kind) if kind in kinds)
    return Target(name=name, kinds=known, horizon_h=settings.risk_horizon_h, grace_h=settings.risk_grace_h)


def alert_target(settings: Settings) -> Target:
    """By which outcomes, and when, alerts are judged: those that are learned, or by default could be."""
    learned = risk_target(settings) or Target()
    return Target(kinds=learned.kinds, horizon_h=settings.alert_horizon_h, grace_h=settings.risk_grace_h)


def _name(kinds: frozenset[str]) -> str:
    """Of any other set of outcomes: too long, its end is the digest of the whole."""
    whole = "_or_".join(sorted(kinds))
    return whole if len(whole) <= _LONGEST else f"{whole[: _LONGEST - 9]}_{sha256(whole.encode()).hexdigest()[:8]}"


def learner_key(home: Path) -> Ed25519PrivateKey:
    """The key that signs snapshots, made when there is none: without it the learner cannot go on from its own.

    Raises
    ------
    SettingsError
        The file holds another thing than a key.
    """
    path = home / KEY_FILE
    if not path.exists():
        home.mkdir(parents=True, exist_ok=True)
        write_private(path, Ed25519PrivateKey.generate().private_bytes_raw())
    found = path.read_bytes()
    if len(found) != KEY_BYTES:
        raise SettingsError(f"{path} is no key: {KEY_BYTES} bytes")
    made = Ed25519PrivateKey.from_private_bytes(found)
    public = f"{b64encode(made.public_key().public_bytes_raw()).decode()}\n"
    beside = home / PUBLIC_FILE
    if not beside.exists() or beside.read_text(encoding="ascii") != public:
        beside.write_text(public, encoding="ascii")
    return made


def trusted_keys(settings: Settings) -> dict[str, Ed25519PublicKey]:
    """The public keys whose snapshots may be opened, by their short names; none where there is no such file.

    Raises
    ------
    SettingsError
        The file that is set cannot be read, or a line of it is no key.
    """
    path = settings.risk_keys_file or settings.home / PUBLIC_FILE
    if settings.risk_keys_file is None and not path.exists():
        return {}
    try:
        lines = path.read_text(encoding="ascii").split()
        keys = [Ed25519PublicKey.from_public_bytes(b64decode(line, validate=True)) for line in lines]
    except OSError as error:
        raise SettingsError(f"{PREFIX}RISK_KEYS_FILE: {path}: {error.strerror}") from None
    except ValueError:
        raise SettingsError(f"{path}: not every line is a public key, as {PUBLIC_FILE} of a learner has one") from None
    return {key_id(key): key for key in keys}
