"""Following and answering alerts through the API: SSE with a token, resumed where it was.

The stream is at least once: after a break the API tells all from the last event that was heard on, and perhaps some of
it again, with the same event_id. Transitions of one alert come in their order.
"""

from __future__ import annotations

import asyncio
import random
import ssl
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Self
from uuid import UUID, uuid4

import aiohttp
import msgspec

from wardstream.client.gateway import checked_url
from wardstream.schemas.acknowledgements import Action
from wardstream.schemas.alerts import Alert
from wardstream.schemas.decode import decoder_of

QUIET_S = 60.0
"""A stream that says nothing for so long is dead: the API gives a sign every 15 s."""
_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 15.0
_LINE_BYTES = 4 << 20
_TRY_AGAIN = {408, 425, 429, 500, 502, 503, 504}
_REFUSALS = {
    401: "the API does not know this token",
    403: "the token's role or units do not allow it",
    404: "there is no such alert or subscription for this token",
    409: "as it stands now it cannot be done",
    422: "what was asked for is not valid",
}

_decode = decoder_of(Alert)


class AlertError(Exception):
    """The API refuses, or does not answer; the text says why."""


class _Given(msgspec.Struct):
    event_id: UUID


class _Beat(msgspec.Struct):
    as_of: datetime


class AlertSubscription:
    """Alerts as they happen.

    Parameters
    ----------
    url : str
        Of the API, `https://host:port`; http on loopback only, since the token would travel in clear.
    token : str or None
        Who we are; `wardstream tokens add` makes one. None where the API asks for none (on loopback).
    subscription : str, optional
        A stored subscription, whose filters hold.
    after : str, optional
        The `position` at which an earlier one ended: nothing since then is missed. Without it: from now on.
    deadline_s : float
        Longest wait for an answer to be taken, in seconds, with all tries.
    ssl_context : ssl.SSLContext, optional
        Whom to trust; the system's authorities without it.
    **wanted : sequence of str
        Filters: units, patients, priorities, kinds, conditions, states, transitions, roles.

    Attributes
    ----------
    position : str or None
        After the last alert that was told. Keep it with what you made of that alert.
    as_of : datetime or None
        All that the API was told until then it has told us: told at the beginning and each 15 s in which nothing
        happens. Where it is long ago, Kafka or the API is away, and silence says nothing. None: not told yet.

    Raises
    ------
    ValueError
        The URL is http and its host is not this machine.
    """

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        subscription: str | None = None,
        after: str | None = None,
        deadline_s: float = 60.0,
        ssl_context: ssl.SSLContext | None = None,
        **wanted: Sequence[str],
    ) -> None:
        self.position = after
        self.as_of: datetime | None = None
        self._url, self._token, self._deadline_s = checked_url(url), token, deadline_s
        self._ssl = ssl_context or True
        self._query = [(name, value) for name, values in wanted.items() for value in values]
        if subscription is not None:
            self._query.append(("subscription", subscription))
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        headers = {} if self._token is None else {"Authorization": f"Bearer {self._token}"}
        self._session = aiohttp.ClientSession(
            headers=headers,
            connector=aiohttp.TCPConnector(ssl=self._ssl),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=QUIET_S, sock_read=QUIET_S),
            read_bufsize=_LINE_BYTES,
            trust_env=False,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            session, self._session = self._session, None
            await session.close()

    async def __aiter__(self) -> AsyncIterator[Alert]:
        """Alerts, for ever: a stream that breaks is taken up again where it was.

        Raises
        ------
        AlertError
            The API refuses.
        """
        pause = _FIRST_PAUSE_S
        while True:
            try:
                async for alert in self._stream():
                    pause = _FIRST_PAUSE_S
                    yield alert
            except aiohttp.ClientSSLError as error:
                raise AlertError(f"the API's certificate is not trusted: {type(error).__name__}") from None
            except (aiohttp.ClientError, OSError, TimeoutError, ValueError):  # ValueError: a line without an end
                pass
            await asyncio.sleep(random.uniform(pause / 2, pause))  # not all that were cut off at once
            pause = min(2 * pause, _LONGEST_PAUSE_S)

    async def acknowledge(self, alert: Alert, **said: Any) -> UUID:
        """Take an alert in hand; returns the answer's event_id. `said`: comment, role, useful.

        Raises
        ------
        AlertError
            The API refuses, or does not take it within the deadline.
        """
        return await self._answer(alert, "acknowledge", **said)

    async def snooze(self, alert: Alert, minutes: float, **said: Any) -> UUID:
        """Silence it for some minutes, unless it gets worse; as `acknowledge`."""
        return await self._answer(alert, "snooze", snooze_until=datetime.now(UTC) + timedelta(minutes=minutes), **said)

    async def resolve(self, alert: Alert, **said: Any) -> UUID:
        """Say that it is over; as `acknowledge`."""
        return await self._answer(alert, "resolve", **said)

    async def hand_over(self, alert: Alert, to: str, **said: Any) -> UUID:
        """Hand it to a person or team, by pseudonym; as `acknowledge`."""
        return await self._answer(alert, "hand_over", handed_to=to, **said)

    async def rate(self, alert: Alert, useful: bool, **said: Any) -> UUID:
        """Say whether it was useful, also after its end; as `acknowledge`."""
        return await self._answer(alert, "rate", useful=useful, **said)

    async def _answer(self, alert: Alert, action: Action, **said: Any) -> UUID:
        """Send until it is clear what became of it: with one event_id it is one answer, however often it is sent."""
        body = msgspec.json.encode({"action": action, "seen": alert.number, "event_id": uuid4(), **said})
        url = f"{self._url}/v1/alerts/{alert.alert_id}/answers"
        pause, why = _FIRST_PAUSE_S, "no answer"
        try:
            async with asyncio.timeout(self._deadline_s):
                while True:
                    try:
                        async with self._connected().post(url, data=body, allow_redirects=False) as response:
                            status, raw = response.status, await response.read()
                    except aiohttp.ClientSSLError as error:
                        raise AlertError(f"the API's certificate is not trusted: {type(error).__name__}") from None
                    except (aiohttp.ClientError, OSError) as error:
                        status, raw, why = 0, b"", type(error).__name__
                    if status == 200:
                        return msgspec.json.decode(raw, type=_Given).event_id
                    if status and status not in _TRY_AGAIN:
                        raise _refusal(status)
                    why = f"status {status}" if status else why
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, _LONGEST_PAUSE_S)
        except TimeoutError:
            raise AlertError(f"not taken within {self._deadline_s:g} s: {why}") from None

    async def _stream(self) -> AsyncIterator[Alert]:
        """One connection, by the rules of the HTML standard for event streams, as far as the API uses them."""
        headers = {} if self.position is None else {"Last-Event-ID": self.position}
        url = f"{self._url}/v1/alerts/stream"
        async with self._connected().get(url, params=self._query, headers=headers, allow_redirects=False) as response:
            if response.status in _TRY_AGAIN:
                return
            if response.status != 200 or response.content_type != "text/event-stream":
                raise _refusal(response.status)
            name, data, position = b"", b"", self.position
            async for line in response.content:
                field, _, value = line.rstrip(b"\r\n").partition(b":")
                value = value.removeprefix(b" ")
                if field == b"event":
                    name = value
                elif field == b"data":
                    data = value
                elif field == b"id":
                    position = value.decode()
                elif not line.strip():
                    if data and name == b"beat":
                        self.as_of = msgspec.json.decode(data, type=_Beat).as_of
                    elif data:
                        yield _decode(data)  # told again where who reads breaks off before the next
                    self.position, name, data = position, b"", b""

    def _connected(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RuntimeError("use the subscription in `async with`")
        return self._session


def _refusal(status: int) -> AlertError:
    return AlertError(_REFUSALS.get(status, f"what answers is no API of alerts: status {status}"))
