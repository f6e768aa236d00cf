"""The board on loopback without Kafka: its tables are filled by hand, and what goes to the audit is kept."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.infra.board.ward import Wall
from wardstream.agents.metrics import Meters
from wardstream.infra.api.app import Api
from wardstream.infra.api.hub import Hub
from wardstream.infra.api.measuring import Measured
from wardstream.infra.api.ordered import Ordered
from wardstream.infra.api.orders import Orders
from wardstream.infra.api.ring import Ring
from wardstream.infra.api.subscribing import Subscribing
from wardstream.infra.audit import AuditError, Deed
from wardstream.infra.board import looks
from wardstream.infra.board.board import Board
from wardstream.infra.board.flows import Flows
from wardstream.infra.board.models import Models
from wardstream.infra.board.pages import files
from wardstream.infra.board.patient_routes import PatientRoutes, Shows
from wardstream.infra.board.routes import Parts, Routes
from wardstream.infra.board.system import Systems
from wardstream.infra.gateways.auth import Authority
from wardstream.infra.gateways.web import Server, configured

KEY = bytes(32)


class Served:
    """The board at `url`."""

    def __init__(self, board: Board, wall: Wall, parts: Parts, port: int) -> None:
        self.board, self.wall, self.parts = board, wall, parts
        self.url = f"http://127.0.0.1:{port}"
        self.audit: list[Deed] = []
        self.audit_works = True

    async def ask(self, method: str, path: str, who: str | None, body: Any = None, **headers: str) -> tuple[int, Any]:
        """Status and content: JSON decoded, other bytes as they are."""
        token = {} if who is None else {"Authorization": f"Bearer {who}"}
        data = None if body is None else json.dumps(body).encode()
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, self.url + path, headers=token | headers, data=data) as response,
        ):
            raw = await response.read()
            is_json = response.headers.get("content-type", "") == "application/json"
            return response.status, json.loads(raw) if is_json else raw


@asynccontextmanager
async def served(
    authority: Authority, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, pictures: Shows | None = None
) -> AsyncIterator[Served]:
    wall = Wall()
    board = Board(wall)
    board.begin()
    hub = Hub({}, Meters())
    hub._ring = Ring((0,), 10)
    hub._ready.set()
    hub.listeners.append(board.hear)
    delivery: Any = None
    ordered = Ordered({})
    ordered._ready.set()
    api = Api(authority, hub, Subscribing({}, "test", None), ordered, Orders({}, "test", hub, ordered, delivery))
    app = api.app()
    parts = Parts(Systems(wall), Flows(), Models(board.ward, tmp_path), files(), names=True)
    Routes(api.door, api.streams, hub, board, parts).mount(app)
    noted = looks.Looks({}, "test", asyncio.Lock(), board.meters)
    PatientRoutes(api.door, board, noted, looks.Names({}, [KEY]), pictures).mount(app)
    server = Server(configured(Measured(app, board.meters), None))
    listening = socket.create_server(("127.0.0.1", 0))
    made = Served(board, wall, parts, listening.getsockname()[1])

    async def write_deeds(_client: object, _app_id: str, deeds: list[Deed]) -> None:
        await asyncio.sleep(0)
        if not made.audit_works:
            raise AuditError("no")
        made.audit += deeds

    monkeypatch.setattr(looks, "write_deeds", write_deeds)
    task = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        yield made
    finally:
        server.should_exit = True
        board.close()
        await asyncio.wait([task], timeout=20)


class Heard:
    """An SSE stream: `id` is the last one that was told."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.id: str | None = None

    async def next(self) -> tuple[str, Any]:
        """Name and data of the next event."""
        name, data = "", None
        async with asyncio.timeout(20):
            while raw := await self._response.content.readline():
                field, _, value = raw.decode().rstrip("\n").partition(": ")
                if field == "event":
                    name = value
                elif field == "data":
                    data = json.loads(value)
                elif field == "id":
                    self.id = value
                elif not raw.strip() and data is not None:
                    return name, data
        raise EOFError

    async def until(self, wanted: str) -> Any:
        """Data of the next event of a name; those before are let go, but a reset is not."""
        while True:
            name, data = await self.next()
            if name == wanted:
                return data
            assert name in ("beat", "system", "tiles", "alerts"), name


@asynccontextmanager
async def stream(api: Served, who: str, query: str = "", last: str | None = None) -> AsyncIterator[Heard]:
    headers = {"Authorization": f"Bearer {who}"} | ({} if last is None else {"Last-Event-ID": last})
    async with (
        aiohttp.ClientSession(read_bufsize=1 << 22) as session,
        session.get(f"{api.url}/v1/board/stream{query}", headers=headers) as response,
    ):
        assert response.status == 200, await response.read()
        yield Heard(response)
