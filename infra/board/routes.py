"""The board's routes: who asks, what they may see, and the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, NamedTuple

from fastapi import FastAPI, Request, Response
from fastapi.responses import StreamingResponse

from wardstream.infra.api.access import Door
from wardstream.infra.api.hub import Hub
from wardstream.infra.api.streams import Streams
from wardstream.infra.board.board import Board
from wardstream.infra.board.flows import Flows, quality
from wardstream.infra.board.models import Models
from wardstream.infra.board.pages import INDEX, File, answer
from wardstream.infra.board.shelf import Audience
from wardstream.infra.board.streams import events
from wardstream.infra.board.system import Systems
from wardstream.infra.board.tiles import encode, moment
from wardstream.infra.gateways.auth import Principal
from wardstream.infra.gateways.http import Refused

NO_STORE: Final = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
_UNBUFFERED: Final = NO_STORE | {"X-Accel-Buffering": "no"}  # nginx would wait for more

Handler = Callable[[Request], Awaitable[Response]]


class Parts(NamedTuple):
    """What is told beside the tiles; `names`: whether there is a key to show names with."""

    systems: Systems
    flows: Flows
    models: Models
    pages: Mapping[str, File]
    names: bool


class Routes:
    """What the page asks for of the ward as a whole.

    Parameters
    ----------
    door, streams
        Of the API, whose listener this is.
    hub, board
        Run by the caller, as far as they run.
    parts
        What else is told.
    """

    def __init__(self, door: Door, streams: Streams, hub: Hub, board: Board, parts: Parts) -> None:
        self._door, self._streams, self._hub, self._board, self._parts = door, streams, hub, board, parts

    def mount(self, app: FastAPI) -> None:
        """Add the routes to the API's application."""
        routes: list[tuple[str, Handler]] = [
            ("/", self.index),
            ("/board/{path:path}", self.file),
            ("/v1/board/me", self.me),
            ("/v1/board/stream", self.stream),
            ("/v1/board/flow", self.flow),
            ("/v1/board/models", self.models),
            ("/v1/board/system", self.system),
        ]
        for path, handler in routes:
            app.add_api_route(path, handler, methods=["GET"], response_class=Response, include_in_schema=False)

    async def index(self, request: Request) -> Response:
        return answer(self._parts.pages, INDEX, request)

    async def file(self, request: Request) -> Response:
        return answer(self._parts.pages, request.path_params["path"], request)

    async def me(self, request: Request) -> Response:
        who = self._door.reader(request.headers)
        return said(
            {
                "name": who.name,
                "roles": sorted(who.roles),
                "units": None if who.units is None else sorted(who.units),
                "names": self._parts.names and "clinician" in who.roles,
                "sources": self._parts.systems.sources(),
            }
        )

    async def stream(self, request: Request) -> Response:
        who = self._door.reader(request.headers)
        self._streams.allow(who.name, self._door.alone)
        told_to = audience(who, request.query_params.getlist("unit"))
        await self._hub.ready()
        await self._board.ready()
        last = request.headers.get("last-event-id")
        units = sorted(self._board.tiles.units(told_to) | self._parts.flows.units(told_to))

        def holds() -> bool:
            return self._door.known(request.headers) == who

        async def told() -> Any:
            with self._streams.opened(who.name):
                async for chunk in events(self._board, told_to, units, last, self._parts.systems.now, holds):
                    yield chunk

        return StreamingResponse(told(), media_type="text/event-stream", headers=_UNBUFFERED)

    async def flow(self, request: Request) -> Response:
        who = self._door.reader(request.headers)
        told_to = audience(who, request.query_params.getlist("unit"))
        await self._board.ready()
        return said(
            {
                "at": moment(self._board.clock.now),
                "units": self._parts.flows.rows(told_to),
                "quality": quality(self._parts.systems.values(), told_to),
            }
        )

    async def models(self, request: Request) -> Response:
        who = self._door.reader(request.headers)
        await self._board.ready()
        answer = await asyncio.to_thread(
            self._parts.models.answer, self._parts.systems.values(), "operator" in who.roles
        )
        return said(answer)

    async def system(self, request: Request) -> Response:
        self._door.reader(request.headers)
        return Response(self._parts.systems.whole(), 200, NO_STORE, "application/json")


def audience(who: Principal, units: list[str]) -> Audience:
    """Whom something is told to: of the units that somebody asks for (none: all), those they may see.

    Raises
    ------
    Refused
        They ask for others.
    """
    wanted = frozenset(units) or None
    if wanted is not None and who.units is not None and not who.units.issuperset(wanted):
        raise Refused(403, "unit: this token may not see all of them")
    return Audience(who.units if wanted is None else wanted, "operator" in who.roles)


def said(answer: Any, status: int = 200) -> Response:
    """An answer as JSON."""
    return Response(encode(answer), status, NO_STORE, "application/json")
