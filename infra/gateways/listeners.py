"""Who may listen where: one rule for all listeners.

On loopback anybody may. Where other machines can reach it, a listener needs TLS and knows its callers: an HTTP listener
by tokens, an MLLP listener by client certificates. Anything else is refused at the start.
"""

from __future__ import annotations

import logging
import socket
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

from wardstream.agents.metrics import HANDSHAKES_REFUSED, Meters
from wardstream.infra.addresses import host_of, is_loopback
from wardstream.infra.failure import Failure

log = logging.getLogger(__name__)

Callers = Literal["tokens", "client certificates"]
_BACKLOG = 1024
_TOLD_EVERY_S = 60.0  # of one reason: whoever knocks without end must not fill the disk


class ListenerRefused(Failure):
    """A listener must not be opened; the text says what it lacks."""


class Listener(NamedTuple):
    """Where something would listen.

    Attributes
    ----------
    name : str
        For the text of a refusal: `the HTTP gateway`.
    address : str
        host:port; port 0: any that is free.
    tls : bool
        Whether connections are encrypted.
    callers : {"tokens", "client certificates"}
        By what callers of its kind are known.
    known : bool
        Whether they are.
    """

    name: str
    address: str
    tls: bool
    callers: Callers
    known: bool

    @property
    def host(self) -> str:
        return host_of(self.address)

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])


def allow(listener: Listener) -> Listener:
    """Return the listener, if it may be opened.

    Raises
    ------
    ListenerRefused
        Other machines can reach it, and it lacks TLS or does not know its callers.
    """
    missing = [] if listener.tls else ["TLS"]
    if not listener.known:
        missing.append(listener.callers)
    if missing and not is_loopback(listener.host):
        raise ListenerRefused(
            f"{listener.name} would listen on {listener.address}, which other machines can reach, without "
            f"{' and without '.join(missing)}: configure {'both' if missing[1:] else 'that'}, or listen on 127.0.0.1"
        )
    return listener


def bound(listener: Listener) -> socket.socket:
    """A socket that listens, where `allow` lets it.

    Raises
    ------
    Failure
        It is refused, or the address is taken.
    """
    allow(listener)
    family = socket.AF_INET6 if ":" in listener.host else socket.AF_INET
    try:
        return socket.create_server((listener.host, listener.port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise Failure(f"{listener.name} cannot listen on {listener.address}: {error.strerror}") from None


class Handshakes:
    """Tells of callers who are not let in, as one whose certificate has expired: asyncio says nothing of them."""

    def __init__(self, feed: str, meters: Meters, now_s: Callable[[], float] = time.monotonic) -> None:
        self._feed, self._meters, self._now_s = feed, meters, now_s
        self._told: dict[str, float] = {}

    def refused(self, why: str) -> None:
        """Count a refusal, and log it unless the same was logged within the minute. `why` is OpenSSL's own words."""
        self._meters.count(HANDSHAKES_REFUSED, (self._feed, why))
        now = self._now_s()
        if why not in self._told or now - self._told[why] >= _TOLD_EVERY_S:
            self._told[why] = now
            log.warning("feed %s: a sender is not let in: %s", self._feed, why)

    def watch(self, context: ssl.SSLContext) -> ssl.SSLContext:
        """Return the context, whose connections then tell."""
        refused = self.refused

        class Watched(ssl.SSLObject):
            def do_handshake(self) -> None:
                try:
                    super().do_handshake()
                except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                    raise  # not at its end
                except ssl.SSLError as error:
                    refused(getattr(error, "verify_message", "") or error.reason or type(error).__name__)
                    raise

        context.sslobject_class = Watched
        return context


def server_context(certificate: Path, key: Path, client_ca: Path | None = None) -> ssl.SSLContext:
    """TLS 1.2 or newer for a server; with `client_ca`, callers must show a certificate that it has signed.

    Raises
    ------
    ListenerRefused
        A file cannot be read or is not what it should be.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
        if client_ca is not None:
            context.load_verify_locations(client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
    except OSError as error:  # ssl.SSLError is one too
        files = ", ".join(str(file) for file in (certificate, key, client_ca) if file is not None)
        raise ListenerRefused(f"{files}: TLS cannot be set up: {error.strerror or type(error).__name__}") from None
    return context


def _no_password() -> str:  # without it OpenSSL would ask at the terminal, and a service would hang
    return ""
