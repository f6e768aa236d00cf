"""The file that says which senders there are and how each speaks: TOML, a table a feed.

    [feeds.icu]                                 # the name is the `source` of its events
    timezone = "Europe/Berlin"
    authority = "general-hospital"              # where PID-3.4 is empty
    identifier_types = ["MR", "PI"]
    authorities = ["general-hospital"]          # whose number counts, where there are several of one type
    aliases = { "1.2.276.0.76" = "general-hospital" }
    units = { UMOLL = "umol/L" }
    ignored = ["ORU^R40"]

    [feeds.icu.codes]
    "K^^LAB1" = { loinc = "2823-3", unit = "mmol/L" }
    "HF" = { field = "heart_rate_bpm", unit = "/min" }

    [feeds.icu.mllp]
    listen = "127.0.0.1:2575"
    tls_cert = "icu.pem"                        # with tls_key, and client_ca for clients' certificates

    [feeds.icu.watch]                           # when operators are told: see `watching`
    silent_after_min = 15
    rejects_per_hour = 20

What each key means is in `schemas/hl7v2/feed.py`. Paths are relative to the file. A key that nobody knows is a mistake,
and every mistake is told by its key.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec

from wardstream.infra.failure import Failure
from wardstream.schemas.hl7v2 import Feed
from wardstream.schemas.hl7v2.feed import feed_from

MAX_FEEDS_BYTES = 8 * 1024 * 1024


class FeedsError(Failure, ValueError):
    """The file of feeds cannot be used; the text names the file and the key."""


class Mllp(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a feed is listened to.

    Attributes
    ----------
    listen : str
        host:port.
    tls_cert, tls_key : Path or None
        PEM: our certificate and its key, both or neither.
    client_ca : Path or None
        PEM: who signed the certificates of clients; needs the other two.
    """

    listen: str
    tls_cert: Path | None = None
    tls_key: Path | None = None
    client_ca: Path | None = None

    def __post_init__(self) -> None:
        host, _, port = self.listen.rpartition(":")
        if not host or not (port.isascii() and port.isdecimal() and int(port) < 65_536):
            raise ValueError("listen must be host:port")
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("tls_cert and tls_key belong together")
        if self.client_ca is not None and self.tls_cert is None:
            raise ValueError("client_ca needs tls_cert and tls_key")


class Watch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When operators are told of a feed that is listened to.

    Attributes
    ----------
    silent_after_min : float
        Minutes without a message; 0: never, of senders that seldom have something to say.
    rejects_per_hour : int
        More than that are too many.
    """

    silent_after_min: Annotated[float, msgspec.Meta(ge=0, le=1_000_000)] = 60
    rejects_per_hour: Annotated[int, msgspec.Meta(ge=0)] = 20


class FeedFile(msgspec.Struct, frozen=True, kw_only=True):
    """A feed as its file has it: how it speaks, where it is listened to (None: nowhere), and how it is watched."""

    feed: Feed
    mllp: Mllp | None = None
    watch: Watch = Watch()


def load_feeds(path: Path) -> Mapping[str, FeedFile]:
    """Return the feeds of a file, by name.

    Raises
    ------
    FeedsError
        It cannot be read, is no TOML, or a key is missing, unknown or wrong.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise FeedsError(f"{path} cannot be read: {error.strerror}") from None
    if len(raw) > MAX_FEEDS_BYTES:
        raise FeedsError(f"{path} is larger than {MAX_FEEDS_BYTES} bytes")
    try:
        settings = tomllib.loads(raw.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise FeedsError(f"{path} is no TOML: {error}") from None
    feeds = settings.pop("feeds", None)
    if settings:
        raise FeedsError(f"{path}: {min(settings)} is no key; feeds are tables [feeds.NAME]")
    if not isinstance(feeds, dict) or not feeds:
        raise FeedsError(f"{path} has no feed: a table [feeds.NAME] makes one")
    return {name: _feed_file(path, name, feed) for name, feed in feeds.items()}


def _feed_file(path: Path, name: str, settings: Any) -> FeedFile:
    where = f"{path}: [feeds.{name}]"
    if not isinstance(settings, dict):
        raise FeedsError(f"{where} must be a table")
    settings = dict(settings)
    mllp, watch = settings.pop("mllp", None), settings.pop("watch", {})
    try:
        if "name" in settings:
            raise ValueError("name is the name of the table")
        feed = feed_from({"name": name, **settings})
        listener = None if mllp is None else msgspec.convert(_absolute(path, mllp), Mllp, dec_hook=_path)
        watched = msgspec.convert(watch, Watch)
    except (ValueError, TypeError) as error:  # msgspec's own are ValueErrors
        raise FeedsError(f"{where}: {_told(str(error))}") from None
    return FeedFile(feed=feed, mllp=listener, watch=watched)


def _absolute(path: Path, mllp: Any) -> Any:
    if not isinstance(mllp, dict):
        raise ValueError("mllp must be a table")
    files = ("tls_cert", "tls_key", "client_ca")
    return {
        key: str(path.absolute().parent / value) if key in files and isinstance(value, str) else value
        for key, value in mllp.items()
    }


def _path(kind: type, value: Any) -> Any:
    if kind is Path and isinstance(value, str):
        return Path(value)
    raise ValueError("must be a path")


def _told(text: str) -> str:
    """An error of msgspec with the key as TOML has it."""
    what, _, where = text.partition(" - at `")
    key = where.rstrip("`").removeprefix("$").lstrip(".")
    return f"{key}: {what}" if key else what
