"""The board's routes: who asks, what they may see, and the answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from fastapi import FastAPI, Request, Response
from fastapi.responses import StreamingResponse

from wardstream.infra.api.access import Door
from wardstream.infra.api.hub import Hub
from wardstream.infra.api.streams import Streams
from wardstream.infra.board.board import Board
from wardstream.infra.board.pages import INDEX, File, answer
from wardstream.infra.board.shelf import Audience
from wardstream.infra.board.streams import events
from wardstream.infra.board.system import Systems
from wardstream.infra.board.tiles import encode
from wardstream.infra.gateways.auth import Principal
from wardstream.infra.gateways.http import Refused

NO_STORE: Final = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
_UNBUFFERED: Final = NO_STORE | {"X-Accel-Buffering": "no"}  # nginx would wait for more

Handler = Callable[[Request], Awaitable[Response]]


class Routes:
    """What is asked for by the page.

    Parameters
    ----------
    door, streams
        Of the API, whose listener this is.
    hub, board, systems
        Run by the caller, as far as they run.
    names : bool
        Whether there is a key to show names with.
    pages : mapping of str to File
        The page's files.
    """

    def __init__(
        self,
        door: Door,
        streams: Streams,
        hub: Hub,
        board: Board,
        systems: Systems,
        names: bool,
        pages: Mapping[str, File],
    ) -> None:
        self._door, self._streams, self._hub, self._board, self._systems = door, streams, hub, board, systems
        self._names, self._pages = names, pages

    def mount(self, app: FastAPI) -> None:
        """Add the routes to the API's application."""
        routes: list[tuple[str, str, Handler]] = [
            ("GET", "/", self.index),
            ("GET", "/board/{path:path}", self.file),
            ("GET", "/v1/board/me", self.me),
            ("GET", "/v1/board/stream", self.stream),
            ("GET", "/v1/board/system", self.system),
        ]
        for method, path, handler in routes:
            app.add_api_route(path, handler, methods=[method], response_class=Response, include_in_schema=False)

    async def index(self, request: Request) -> Response:
        return answer(self._pages, INDEX, request)

    async def file(self, request: Request) -> Response:
        return answer(self._pages, request.path_params["path"], request)

    async def me(self, request: Request) -> Response:
        who = self._door.reader(request.headers)
        return said(
            {
                "name": who.name,
                "roles": sorted(who.roles),
                "units": None if who.units is None else sorted(who.units),
                "names": self._names and "clinician" in who.roles,
                "sources": self._systems.sources(),
            }
        )

    async def stream(self, request: Request) -> Response:
        who = self._door.reader(request.headers)
        self._streams.allow(who.name, self._door.alone)
        told_to = audience(who, request.query_params.getlist("unit"))
        await self._ready()
        last = request.headers.get("last-event-id")

        def holds() -> bool:
            return self._door.known(request.headers) == who

        async def told() -> Any:
            with self._streams.opened(who.name):
                async for chunk in events(self._board, told_to, last, self._systems.now, holds):
                    yield chunk

        return StreamingResponse(told(), media_type="text/event-stream", headers=_UNBUFFERED)

    async def _ready(self) -> None:
        """Wait for the ward and its alerts; raises NotReady."""
        await self._hub.ready()
        await self._board.ready()

    async def system(self, request: Request) -> Response:
        self._door.reader(request.headers)
        return Response(self._systems.whole(), 200, NO_STORE, "application/json")


def audience(who: Principal, units: list[str]) -> Audience:
    """Whom a stream is for: of the units that somebody asks for (none: all), those they may see.

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
