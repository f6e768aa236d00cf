"""The API on loopback without Kafka: rows are put before its streams by hand, and what it publishes is kept."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from tests.infra.gateways.senders import FakeWay
from wardstream.agents.metrics import Meters
from wardstream.infra.api import orders as orders_module
from wardstream.infra.api.app import Api
from wardstream.infra.api.hub import Hub
from wardstream.infra.api.measuring import Measured
from wardstream.infra.api.ordered import Ordered
from wardstream.infra.api.orders import Orders
from wardstream.infra.api.ring import Position, Ring, Row
from wardstream.infra.api.subscribing import Subscribing
from wardstream.infra.gateways.auth import Authority, Principal, Role
from wardstream.infra.gateways.delivery import Delivery
from wardstream.infra.gateways.web import Server, configured
from wardstream.infra.subscriptions import Secrets
from wardstream.schemas.alerts import Alert
from wardstream.schemas.decode import encode

PARTS = 4


class Known:
    """Tokens that are the names of their holders."""

    def __init__(self, *principals: Principal) -> None:
        self.holders = {principal.name: principal for principal in principals}

    def principal(self, token: str) -> Principal | None:
        return self.holders.get(token)


def holder(name: str, *roles: Role, units: Sequence[str] | None = None) -> Principal:
    return Principal(name, frozenset(roles), None if units is None else frozenset(units))


class Past:
    """The rows that are no longer in memory, as `History` gives them: two at a time."""

    def __init__(self) -> None:
        self.rows: list[Row] = []

    async def since(self, position: Position, until: Position) -> tuple[list[Row], Position]:
        await asyncio.sleep(0)
        found = [row for row in self.rows if position[row.part] <= row.offset < until[row.part]][:2]
        if not found:
            return [], until
        reached = list(position)
        for row in found:
            reached[row.part] = row.offset + 1
        return found, tuple(reached)

    async def at(self, part: int, offsets: Sequence[int]) -> list[Row]:
        return [row for row in self.rows if row.part == part and row.offset in offsets]

    async def close(self) -> None:
        pass


class Served:
    """The API at `url`; `put` has it read a row."""

    def __init__(self, hub: Hub, subscribing: Subscribing, ordered: Ordered, way: FakeWay, port: int) -> None:
        self.hub, self.subscribing, self.ordered, self.way, self.port = hub, subscribing, ordered, way, port
        self.url = f"http://127.0.0.1:{port}"
        self.audit: list[dict[str, Any]] = []
        self.past = Past()
        hub._history = self.past  # type: ignore[assignment]
        self._ends = list(hub.ring.end)

    def put(self, alert: Alert, silent: bool = False, at: float = 1e12) -> Row:
        part = alert.alert_id.int % PARTS
        self._ends[part] += 1
        row = Row(alert, encode(alert), part, self._ends[part] - 1, tuple(self._ends), silent)
        self.past.rows.append(row)
        self.hub._take(row, at)
        return row

    async def ask(self, method: str, path: str, who: str | None, body: Any = None, **options: Any) -> tuple[int, Any]:
        headers = {} if who is None else {"Authorization": f"Bearer {who}"}
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, self.url + path, headers=headers | options, data=data) as response,
        ):
            raw = await response.read()
            return response.status, json.loads(raw) if raw else None


@asynccontextmanager
async def served(
    authority: Authority, monkeypatch: pytest.MonkeyPatch, ring_rows: int = 100, begin: Position = (0,) * PARTS
) -> AsyncIterator[Served]:
    meters, way = Meters(), FakeWay()
    delivery = Delivery(lambda: way, meters)
    hub = Hub({}, meters)
    hub._ring = Ring(begin, ring_rows)
    hub._ready.set()
    subscribing = Subscribing({}, "test", Secrets([bytes(32)]))
    subscribing._table = {}
    ordered = Ordered({})
    ordered._ready.set()
    app = Api(authority, hub, subscribing, ordered, Orders({}, "test", hub, ordered, delivery)).app()
    server = Server(configured(Measured(app, meters), None))
    listening = socket.create_server(("127.0.0.1", 0))
    api = Served(hub, subscribing, ordered, way, listening.getsockname()[1])

    async def write_audit(_client: object, _app_id: str, **said: Any) -> None:
        api.audit.append(said)

    monkeypatch.setattr(orders_module, "write_audit", write_audit)
    tasks = [asyncio.create_task(delivery.run()), asyncio.create_task(server.serve(sockets=[listening]))]
    try:
        yield api
    finally:
        server.should_exit = True
        await hub.close()
        await asyncio.wait(tasks[1:], timeout=20)
        tasks[0].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Heard:
    """An SSE stream: the ids of events it told, read a little at a time."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.id: str | None = None
        self.as_of: str | None = None

    async def next(self) -> tuple[str, dict[str, Any]]:
        """Name and data of the next event."""
        name, data = "", None
        async with asyncio.timeout(20):
            async for raw in self._response.content:
                line = raw.decode().rstrip("\n")
                field, _, value = line.partition(": ")
                if field == "event":
                    name = value
                elif field == "data":
                    data = json.loads(value)
                elif field == "id":
                    self.id = value
                elif not line and data is not None:
                    if name == "beat":
                        self.as_of, data = data["as_of"], None
                    else:
                        return name, data
        raise EOFError


@asynccontextmanager
async def stream(api: Served, who: str | None, query: str = "", last: str | None = None) -> AsyncIterator[Heard]:
    """A stream that has begun."""
    headers = {} if who is None else {"Authorization": f"Bearer {who}"}
    if last is not None:
        headers["Last-Event-ID"] = last
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{api.url}/v1/alerts/stream{query}", headers=headers) as response,
    ):
        assert response.status == 200, await response.read()
        heard = Heard(response)
        async with asyncio.timeout(20):
            while not (await response.content.readline()).startswith(b"id:"):
                pass  # the beginning says where it is
        yield heard
