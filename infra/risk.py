"""What an installation's risk model predicts, and the key that signs its snapshots."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from wardstream.infra.kafka.private_files import write_private
from wardstream.infra.settings import PREFIX, Settings, SettingsError
from wardstream.models.risk.target import DETERIORATION, KINDS, Target
from wardstream.schemas.outcomes import Kind

KEY_FILE = "learner.key"  # in the home folder
KEY_BYTES = 32


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
    name = "deterioration" if kinds == frozenset(DETERIORATION) else "_or_".join(sorted(kinds))[:64]
    known = tuple(kind for kind in get_args(Kind) if kind in kinds)
    return Target(name=name, kinds=known, horizon_h=settings.risk_horizon_h, grace_h=settings.risk_grace_h)


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
    return Ed25519PrivateKey.from_private_bytes(found)
