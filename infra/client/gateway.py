"""The way to the topics through a gateway: NDJSON over HTTPS, with a token.

A batch that got no clear answer is sent again until the deadline. That cannot double anything: the ids of events are
their own, so the second copy is a resend like any other. As on the way to Kafka, what goes wrong after the caller has
gone on is remembered and raised by the next call.
"""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from urllib.parse import urlsplit

import aiohttp
import msgspec

from wardstream.client.batches import PublishError

BATCH_BYTES = 256 * 1024
BATCH_LINES = 1000
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 2.0
_TRY_AGAIN = {408, 425, 429, 500, 502, 503, 504}
_REFUSALS = {
    401: "the gateway does not know this token",
    403: "the token's role does not publish",
    404: "the gateway knows no such topic",
}
_PROBE = "vitals.v1"  # any topic: opening asks with no events whether we are let in


class _Result(msgspec.Struct):
    """What the gateway says of one line."""

    line: int
    accepted: bool
    reason: str = ""
    fields: tuple[str, ...] = ()


class _Answer(msgspec.Struct):
    results: tuple[_Result, ...]


_decode = msgspec.json.Decoder(_Answer).decode


class Gateway:
    """A connection to a gateway.

    Parameters
    ----------
    url : str
        `https://host:port`; http on loopback only, since a token would travel in clear.
    token : str or None
        Who we are; None where the gateway asks for none (on loopback).
    deadline_s : float
        Longest wait for the gateway, in seconds: to open, and for a batch, with all tries.
    linger_s : float
        How long an event may wait for others of its batch, in seconds.
    ssl_context : ssl.SSLContext or None
        Whom to trust; None: the system's authorities.

    Raises
    ------
    ValueError
        The URL is http and its host is not this machine.
    """

    def __init__(
        self, url: str, token: str | None, deadline_s: float, linger_s: float, ssl_context: ssl.SSLContext | None
    ) -> None:
        self._url, self._token = checked_url(url), token
        self._deadline_s, self._linger_s = deadline_s, linger_s
        self._ssl = ssl_context or True
        self._session: aiohttp.ClientSession | None = None
        self._open: dict[str, list[bytes]] = {}  # lines by topic
        self._lines = self._bytes = 0
        self._shipping = asyncio.Lock()  # batches must not overtake each other
        self._failed: dict[str, str] = {}  # topic: what happened, until it is told
        self._timer: asyncio.TimerHandle | None = None
        self._timed: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Connect and show the token.

        Raises
        ------
        PublishError
            The gateway does not answer within the deadline, or does not let us in.
        """
        headers = {"Content-Type": "application/x-ndjson"}
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token}"
        self._session = aiohttp.ClientSession(
            headers=headers, connector=aiohttp.TCPConnector(ssl=self._ssl), trust_env=False
        )
        try:
            await self._post(_PROBE, [])
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Disconnect; what is still buffered is not sent."""
        if self._timer is not None:
            self._timer.cancel()
        if self._timed is not None:
            self._timed.cancel()
        if self._session is not None:
            session, self._session = self._session, None
            await session.close()

    async def add(self, topic: str, patient_id: str, value: bytes) -> None:
        """Buffer an event; waits while too much is buffered. The patient is in the value already.

        Raises
        ------
        PublishError
            The gateway has not taken earlier events.
        """
        self._connected()
        if self._failed:
            self._tell_failures()
        self._open.setdefault(topic, []).append(value)
        self._lines += 1
        self._bytes += len(value)
        if self._lines >= BATCH_LINES or self._bytes >= BATCH_BYTES:
            await self._ship()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._linger_s, self._waited_enough)

    async def flush(self) -> None:
        """Wait until the gateway has said that all in-sync replicas have everything that was added.

        Raises
        ------
        PublishError
            It does not within the deadline, or refused some; it names the topics.
        """
        self._connected()
        await self._ship()
        self._tell_failures()

    async def _ship(self) -> None:
        """Send all that is buffered, after what was sent before."""
        async with self._shipping:
            batches, self._open, self._lines, self._bytes = self._open, {}, 0, 0
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            waiting = set(batches)
            try:
                for topic, lines in batches.items():
                    try:
                        await self._post(topic, lines)
                    except PublishError as error:
                        self._failed[topic] = str(error)
                    waiting.discard(topic)
            finally:  # cancelled: other tasks' events may be among them
                for topic in waiting:
                    self._failed[topic] = "not handed over"

    async def _post(self, topic: str, lines: list[bytes]) -> None:
        """Send until it is clear what became of it."""
        pause, why, body = _FIRST_PAUSE_S, "no answer", b"\n".join(lines)
        try:
            async with asyncio.timeout(self._deadline_s):
                while (why := await self._try(topic, body)) != "":
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, _LONGEST_PAUSE_S)
        except TimeoutError:
            raise PublishError(f"not acknowledged within {self._deadline_s:g} s: {why}") from None

    async def _try(self, topic: str, body: bytes) -> str:
        """Send once; return why to try again, or nothing."""
        try:
            async with self._connected().post(
                f"{self._url}/v1/events/{topic}", data=body, allow_redirects=False
            ) as response:
                status, answer = response.status, await response.read()
        except aiohttp.ClientSSLError as error:
            raise PublishError(f"the gateway's certificate is not trusted: {type(error).__name__}") from None
        except (aiohttp.ClientError, OSError) as error:
            return type(error).__name__
        if status in _TRY_AGAIN:
            return f"status {status}"
        if status != 200:
            raise PublishError(_REFUSALS.get(status, f"the gateway refuses: status {status}"))
        try:
            results = _decode(answer).results
        except ValueError:
            raise PublishError("what answers is no gateway") from None
        if bad := [result for result in results if not result.accepted]:
            said = f": {', '.join(bad[0].fields)}" if bad[0].fields else ""
            raise PublishError(f"{len(bad)} of {len(results)} events refused, the first for {bad[0].reason}{said}")
        return ""

    def _waited_enough(self) -> None:
        self._timer = None
        if self._timed is None or self._timed.done():
            self._timed = asyncio.get_running_loop().create_task(self._ship())

    def _tell_failures(self) -> None:
        failed, self._failed = self._failed, {}
        if failed:
            raise PublishError("; ".join(f"{topic}: {what}" for topic, what in sorted(failed.items())))

    def _connected(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RuntimeError("use the publisher in `async with`")
        return self._session


def checked_url(url: str) -> str:
    """A URL that a token may be shown to, without a slash at its end.

    Raises
    ------
    ValueError
        It is http and its host is not this machine.
    """
    if urlsplit(url).scheme != "https" and not _is_loopback(urlsplit(url).hostname or ""):
        raise ValueError("http is for this machine only: use https://")
    return url.rstrip("/")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
