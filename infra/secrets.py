"""Passwords and keys as settings hold them: here or in a file, and never shown.

Errors name the variable, never what it holds.
"""

from __future__ import annotations

import base64
from pathlib import Path

from pydantic import SecretStr

from wardstream.infra.failure import Failure

PREFIX = "WARDSTREAM_"
KEY_BYTES = 32  # AES-256, HMAC-SHA-256


class SettingsError(Failure, ValueError):
    """The settings are incomplete or contradict each other; the text names the variables, never their values."""


class Password(str):
    """The plain text that aiokafka's clients need, hidden from whoever prints the options."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'**********'"


def one_of(value: object, file: object, name: str) -> None:
    """Check that a secret is in one place.

    Raises
    ------
    ValueError
        It is set here and in a file.
    """
    if value is not None and file is not None:
        raise ValueError(f"set {PREFIX}{name} or {PREFIX}{name}_FILE, not both")


def secret(value: SecretStr | None, file: Path | None, name: str) -> str | None:
    """The secret, from where it is; None: it is not set.

    Raises
    ------
    SettingsError
        The file cannot be read, or is empty.
    """
    if value is not None:
        return value.get_secret_value()
    if file is None:
        return None
    try:
        text = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{PREFIX}{name}_FILE cannot be read: {type(error).__name__}") from error
    if not text:
        raise SettingsError(f"{PREFIX}{name}_FILE is empty")
    return text


def key(encoded: str | None, name: str) -> bytes | None:
    """The key that a text is in base64; None: there is no text.

    Raises
    ------
    SettingsError
        It is no base64, or not 32 bytes.
    """
    if encoded is None:
        return None
    try:
        decoded = base64.b64decode(encoded, validate=True)
    except ValueError:  # binascii.Error, or no ASCII
        decoded = b""
    if len(decoded) != KEY_BYTES:
        raise SettingsError(f"{PREFIX}{name} must be {KEY_BYTES} bytes in base64")
    return decoded


def keys(encoded: str | None, name: str) -> tuple[bytes, ...]:
    """The keys that a text holds, one a line; raises as `key`."""
    return tuple(found for line in (encoded or "").split() if (found := key(line, name)) is not None)
