"""How old it is what the API tells: while Kafka is away nothing happens, and that must be seen."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest

from tests.alerts import alert
from tests.infra.api.serving import Known, holder, served, stream
from tests.infra.gateways.senders import until
from wardstream.client import AlertSubscription
from wardstream.infra.api import hub as hub_module
from wardstream.infra.api.history import Reader

WHO = Known(holder("op", "operator"))
THEN = datetime(2026, 3, 14, 8, 31, tzinfo=UTC)


async def test_lists_and_beats_say_how_old_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "HEARTBEAT_S", 0.05)
    async with served(WHO, monkeypatch) as api:
        api.hub.as_of = THEN.timestamp()
        assert (await api.ask("GET", "/v1/alerts", "op"))[1]["as_of"] == "2026-03-14T08:31:00Z"
        async with stream(api, "op") as heard:
            api.hub.as_of += 60
            await asyncio.sleep(0.2)
            api.put(alert("a"))
            assert (await heard.next())[1]["patient_id"] == "p-a"
            assert heard.as_of == "2026-03-14T08:32:00Z"
        async with aiohttp.ClientSession() as session:
            headers = {"Authorization": "Bearer op"}
            async with session.ws_connect(f"{api.url}/v1/alerts/socket", headers=headers) as socket:
                assert (await socket.receive_json(timeout=20))["beat"] == {"as_of": "2026-03-14T08:32:00Z"}


async def test_who_has_yet_to_be_told_what_was_missed_is_not_told_that_this_is_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with served(WHO, monkeypatch) as api:
        begun = (await api.ask("GET", "/v1/alerts", "op"))[1]["position"]
        api.hub.as_of = THEN.timestamp()
        api.put(alert("missed"))
        async with stream(api, "op", last=begun) as again:
            assert (await again.next())[1]["patient_id"] == "p-missed"
            assert again.as_of is None


async def test_the_client_shows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async with served(WHO, monkeypatch) as api:
        api.hub.as_of = THEN.timestamp()
        told = []

        async def follow(alerts: AlertSubscription) -> None:
            async for one in alerts:
                told.append(one.patient_id)

        async with AlertSubscription(api.url, "op") as alerts:
            assert alerts.as_of is None
            task = asyncio.create_task(follow(alerts))
            try:
                await until(lambda: alerts.as_of == THEN)
                api.put(alert("a"))
                await until(lambda: told == ["p-a"])
            finally:
                task.cancel()


class Consumer:
    """A consumer of one partition, as far as ages ask it."""

    def __init__(self, asked_ms: int | None, stable: int | None, position: int) -> None:
        self._asked_ms, self._stable, self._position = asked_ms, stable, position

    def last_poll_timestamp(self, part: Any) -> int | None:
        return self._asked_ms

    def last_stable_offset(self, part: Any) -> int | None:
        return self._stable

    async def position(self, part: Any) -> int:
        return self._position


@pytest.mark.parametrize(
    ("consumer", "expected"),
    [
        (Consumer(2_500, 7, 7), 2.5),
        (Consumer(2_500, 7, 6), None),  # what was fetched is not read yet
        (Consumer(None, None, 0), None),  # Kafka has not answered yet
    ],
)
async def test_only_what_has_been_read_counts(consumer: Consumer, expected: float | None) -> None:
    reader = Reader({}, ["part"])  # type: ignore[list-item]  # the fake does not look at it
    reader._consumer = consumer
    assert await reader.as_of() == expected
