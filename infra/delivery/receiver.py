"""One receiver of webhooks: signed as Standard Webhooks says, posted to the address that was checked.

Each has connections, cookies (none) and a resolver's thread of its own, so that one whose name is not found or which
does not answer takes nothing from the others. No redirect is followed and no proxy of the environment used: both would
lead past the check of the address. Source: the specification of Standard Webhooks,
https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, NamedTuple

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from standardwebhooks import Webhook
from yarl import URL

from wardstream.agents.tracing import TRACEPARENT
from wardstream.infra.delivery.networks import Network, Refused, check_address, check_url

CONNECT_S: Final = 5.0
DEADLINE_S: Final = 15.0  # of one attempt, all in all
MAX_ANSWER: Final = 64 * 1024  # bytes that are read of an answer
MAX_REST_S: Final = 3600.0  # however long the receiver asks us to wait
_KEPT_S = 4.0  # less than the five seconds after which common servers close
_NEVER = frozenset({400, 413, 415, 422})
GONE: Final = 410


class Posted(NamedTuple):
    """What became of one attempt.

    Attributes
    ----------
    status : HTTP status; None: there was none.
    reason : a word; None: the receiver has it.
    rest_s : how long it asks us to wait.
    answer : what it replied; empty: nothing, or too much.
    """

    status: int | None
    reason: str | None
    rest_s: float = 0.0
    answer: bytes = b""

    @property
    def never(self) -> bool:
        """Whether the receiver says that it will never take these bytes."""
        return self.status in _NEVER


class Receiver:
    """Posts to one URL.

    Parameters
    ----------
    url : str
        Where to.
    secret : str
        `whsec_…`, what signs.
    networks : sequence of networks
        Where it may be.
    trusted : ssl.SSLContext
        Who may say who the receiver is.
    at_once : int
        Connections at most.
    """

    def __init__(
        self, url: str, secret: str, networks: Sequence[Network], trusted: ssl.SSLContext, at_once: int
    ) -> None:
        self._signs = Webhook(secret)
        self._networks, self._trusted, self._at_once = networks, trusted, at_once
        self._refused = False
        self._session: aiohttp.ClientSession | None = None
        self._url: URL | None = None
        with contextlib.suppress(ValueError):
            self._url = check_url(url)

    async def post(self, webhook_id: str, body: bytes, traceparent: str | None = None) -> Posted:
        """Post a body once, with the trace that it is of. Never fails but by being cancelled."""
        if self._url is None:
            return Posted(None, "not_allowed")
        now = datetime.now(UTC)
        headers = {
            "content-type": "application/json",
            "accept-encoding": "identity",
            "user-agent": "wardstream",
            "webhook-id": webhook_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": self._signs.sign(webhook_id, now, body.decode()),
        }
        if traceparent is not None:
            headers[TRACEPARENT] = traceparent
        self._refused = False
        try:
            async with self._opened().post(self._url, data=body, headers=headers, allow_redirects=False) as response:
                return await _posted(response)
        except aiohttp.ClientConnectorDNSError:
            return Posted(None, "name")
        except aiohttp.ClientSSLError:
            return Posted(None, "tls")
        except TimeoutError:  # also those of aiohttp
            return Posted(None, "timeout")
        except (aiohttp.ClientError, OSError):
            return Posted(None, "not_allowed" if self._refused else "connection")

    async def close(self) -> None:
        """End the connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(
                resolver=_OwnResolver(),
                ssl=self._trusted,
                socket_factory=self._socket,
                use_dns_cache=False,
                limit=self._at_once,
                keepalive_timeout=_KEPT_S,
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                timeout=aiohttp.ClientTimeout(total=DEADLINE_S, sock_connect=CONNECT_S),
                trust_env=False,
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session

    def _socket(self, target: tuple[Any, ...]) -> socket.socket:
        """A socket that will be connected to this address, if that may be."""
        family, kind, proto, _, (address, *_) = target
        assert self._url is not None, "it was posted to"
        try:
            check_address(address, self._networks, encrypted=self._url.scheme == "https")
        except Refused:
            self._refused = True
            raise
        return socket.socket(family, kind, proto)


class _OwnResolver(AbstractResolver):
    """The system's resolver, in a thread that it shares with nobody: a name server may be as slow as a receiver."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="webhook-name")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = await asyncio.get_running_loop().run_in_executor(
            self._thread, lambda: socket.getaddrinfo(host, port, family, socket.SOCK_STREAM)
        )
        numeric = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
        return [
            ResolveResult(hostname=host, host=str(place[0]), port=port, family=kind, proto=proto, flags=numeric)
            for kind, _, proto, _, place in found
        ]

    async def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)


async def _posted(response: aiohttp.ClientResponse) -> Posted:
    rest_s = rest(response.headers.get("retry-after"), datetime.now(UTC))
    if not 200 <= response.status < 300:  # a redirect is none either
        return Posted(response.status, "gone" if response.status == GONE else "http", rest_s)
    answer = bytearray()
    try:
        while len(answer) <= MAX_ANSWER and (chunk := await response.content.read(MAX_ANSWER)):
            answer += chunk
    except (aiohttp.ClientError, TimeoutError):
        answer.clear()  # it has the transition; what it wanted to say has not come
    if len(answer) > MAX_ANSWER:
        answer.clear()
    return Posted(response.status, None, rest_s, bytes(answer))


def rest(header: str | None, now: datetime) -> float:
    """Seconds that `Retry-After` asks for, an hour at most; 0: none, or nothing that can be read."""
    if header is None:
        return 0.0
    if header.isascii() and header.isdigit():
        return min(float(header[:9]), MAX_REST_S)
    try:
        until = parsedate_to_datetime(header)
    except ValueError:
        return 0.0
    if until.tzinfo is None:
        until = until.replace(tzinfo=UTC)
    return min(max((until - now).total_seconds(), 0.0), MAX_REST_S)
