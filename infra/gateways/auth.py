"""Who may use a gateway: a token is shown, a principal comes of it.

`Authority` is the seam: an OpenID Connect provider would be another one. Tokens are 256 random bits, kept as SHA-256
hashes: there is no dictionary to try them against, so a slow hash would protect nothing and cost each request. The file
is read anew when it changes, so that a token that was removed is dead at once.
"""

from __future__ import annotations

import hmac
import logging
import os
import secrets
from collections.abc import Iterable
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, Protocol, get_args

import msgspec
from msgspec import Meta, Struct

from wardstream.infra.failure import Failure
from wardstream.infra.kafka.private_files import write_private
from wardstream.schemas.envelope import Label

log = logging.getLogger(__name__)

Role = Literal["publisher", "viewer", "clinician", "operator", "metrics"]
ROLES: tuple[Role, ...] = get_args(Role)
MARK = "ws_"  # how a token begins, so that scanners of leaked secrets know one
_BYTES = 32
_LONGEST = 512  # characters of what is compared at all
_WRITABLE_BY_OTHERS = 0o022


class TokenError(Failure):
    """The tokens' file cannot be used, or a token not be made; the text says why."""


class Principal(NamedTuple):
    """Who asks.

    Attributes
    ----------
    name : str
        For the audit.
    roles : frozenset of str
        What they may do, of `ROLES`.
    units : frozenset of str or None
        Whose patients they may see; None: all units'.
    assigning_authority : str or None
        Who gave the numbers by which their events name patients; None: they must be pseudonyms already.
    """

    name: str
    roles: frozenset[Role]
    units: frozenset[str] | None = None
    assigning_authority: str | None = None


class Authority(Protocol):
    """Knows who shows a token."""

    def principal(self, token: str) -> Principal | None:
        """The principal; None: nobody we know."""
        ...


class Token(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A token as it is kept: whose it is and what its hash is, never itself."""

    name: Label
    hash: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$(?!\n)")]
    roles: Annotated[tuple[Role, ...], Meta(min_length=1)]
    units: tuple[Label, ...] | None = None
    assigning_authority: Label | None = None
    made_at: datetime

    @property
    def principal(self) -> Principal:
        """Who holds it."""
        units = None if self.units is None else frozenset(self.units)
        return Principal(self.name, frozenset(self.roles), units, self.assigning_authority)


class Anyone:
    """The authority of a listener on loopback without tokens: whoever uses this machine has these roles."""

    def __init__(self, *roles: Role) -> None:
        self._principal = Principal("local", frozenset(roles or ("publisher",)))

    def principal(self, token: str) -> Principal | None:
        return self._principal


class TokenFile:
    """The tokens of a file.

    Parameters
    ----------
    path
        As `WARDSTREAM_TOKENS_FILE` says.

    Raises
    ------
    TokenError
        The file cannot be read, is not what we wrote, or others may write it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._version: object = None
        self._tokens: tuple[Token, ...] = ()
        self._reload()

    def principal(self, token: str) -> Principal | None:
        """Who shows the token. Compares with every hash, in a time that says nothing about any of them.

        A file that can no longer be read lets nobody in, and says so in the log.
        """
        try:
            self._reload()
        except TokenError as error:
            log.error("nobody is let in: %s", error)
            return None
        if len(token) > _LONGEST:
            return None
        shown = _hash(token)
        found = None
        for known in self._tokens:
            if hmac.compare_digest(known.hash, shown):
                found = known
        return None if found is None else found.principal

    def principals(self) -> dict[str, Principal]:
        """Who holds tokens now, by name; nobody while the file cannot be read, which the log says."""
        try:
            self._reload()
        except TokenError as error:
            log.error("nobody is let in: %s", error)
            return {}
        return {token.name: token.principal for token in self._tokens}

    def _reload(self) -> None:
        try:
            status = self._path.stat()
        except OSError as error:
            self._version = None
            raise TokenError(f"{self._path}: {error.strerror}") from None
        version = status.st_mtime_ns, status.st_size, status.st_ino, status.st_mode
        if version != self._version:
            self._version = None
            self._tokens = read_tokens(self._path)
            self._version = version


def read_tokens(path: Path) -> tuple[Token, ...]:
    """The tokens of a file, by name.

    Raises
    ------
    TokenError
        As `TokenFile`.
    """
    try:
        if path.stat().st_mode & _WRITABLE_BY_OTHERS:
            raise TokenError(f"{path} may be written by others: chmod 600 it")
        return msgspec.json.decode(path.read_bytes(), type=tuple[Token, ...])
    except OSError as error:
        raise TokenError(f"{path}: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise TokenError(f"{path} is not a file of tokens; `wardstream tokens add` makes one") from None


def add_token(
    path: Path,
    name: str,
    roles: Iterable[Role],
    units: Iterable[str] | None = None,
    assigning_authority: str | None = None,
) -> str:
    """Make a token, keep its hash, and return it: nobody can read it again.

    Raises
    ------
    TokenError
        The name is taken or no name, or the file cannot be used.
    """
    tokens = read_tokens(path) if path.exists() else ()
    if any(token.name == name for token in tokens):
        raise TokenError(f"there is a token of that name; `wardstream tokens remove {name}` takes it away")
    token = MARK + secrets.token_urlsafe(_BYTES)
    new = Token(
        name=name,
        hash=_hash(token),
        roles=tuple(dict.fromkeys(roles)),
        units=None if units is None else tuple(units),
        assigning_authority=assigning_authority,
        made_at=datetime.now(UTC).replace(microsecond=0),
    )
    try:
        msgspec.convert(msgspec.to_builtins(new), Token)
    except msgspec.ValidationError:
        raise TokenError("a name is 1 to 128 characters without control characters, and has a role") from None
    _write(path, (*tokens, new))
    return token


def remove_token(path: Path, name: str) -> None:
    """Take a token away; gateways that run refuse it from their next request on.

    Raises
    ------
    TokenError
        There is none of that name, or the file cannot be used.
    """
    tokens = read_tokens(path)
    left = tuple(token for token in tokens if token.name != name)
    if len(left) == len(tokens):
        raise TokenError(f"no token of that name in {path}")
    _write(path, left)


def _write(path: Path, tokens: tuple[Token, ...]) -> None:
    """Put the file in place at once, so that a gateway never reads a half."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    write_private(beside, msgspec.json.format(msgspec.json.encode(tokens)) + b"\n")
    beside.replace(path)


def _hash(token: str) -> str:
    return sha256(token.encode(errors="surrogatepass")).hexdigest()
