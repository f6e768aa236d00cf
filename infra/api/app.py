"""The API: subscriptions, alerts as lists and streams, answers and orders."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from functools import wraps
from typing import Any, cast
from uuid import UUID

import msgspec
from aiokafka.errors import KafkaError
from fastapi import FastAPI, Request, Response, WebSocket
from fastapi.responses import StreamingResponse

from wardstream.infra.api.access import Door, sees, wish
from wardstream.infra.api.bodies import (
    BODY_BYTES,
    Alerts,
    Answer,
    ChangedSubscription,
    Directive,
    Directives,
    Following,
    Given,
    Invalid,
    NewSubscription,
    Page,
    Problem,
    Subscriptions,
    SubscriptionView,
    Transitions,
    check_names,
    decoded,
    moment,
    options_of,
    view,
    wanted_of,
)
from wardstream.infra.api.document import Said, openapi, operation
from wardstream.infra.api.hub import Hub, NotReady, Wish
from wardstream.infra.api.ordered import Ordered, sees_order, shown
from wardstream.infra.api.orders import Orders
from wardstream.infra.api.ring import Position, position_of, text_of
from wardstream.infra.api.streams import Streams, events, talk
from wardstream.infra.api.subscribing import Subscribing
from wardstream.infra.gateways.auth import Authority, Principal
from wardstream.infra.gateways.http import Refused
from wardstream.schemas.subscriptions import Wanted

_BODY_S = 30.0
_NO_STORE = {"Cache-Control": "no-store"}
_UNBUFFERED = _NO_STORE | {"X-Accel-Buffering": "no"}  # nginx would wait for more
_FILTERS = (Wanted, Page)
_STREAM = (Wanted, Following)

Handler = Callable[..., Awaitable[Any]]


class Api:
    """The routes' common parts.

    Parameters
    ----------
    authority
        Knows tokens.
    hub, subscribing, ordered, orders
        Run by the caller, as far as they run.

    Attributes
    ----------
    door, streams
        Who is let in, and how many streams are open: for others on the same listener.
    """

    def __init__(
        self, authority: Authority, hub: Hub, subscribing: Subscribing, ordered: Ordered, orders: Orders
    ) -> None:
        self.door, self.streams = Door(authority), Streams()
        self._hub, self._subscribing, self._ordered, self._orders = hub, subscribing, ordered, orders

    def app(self) -> FastAPI:
        """The application."""
        app = FastAPI(title="wardstream alerts", version="1", docs_url=None, redoc_url=None)
        one, many = "/v1/subscriptions/{name}", "/v1/subscriptions"
        body = ("408", "413")
        routes: list[tuple[str, str, str, Handler, Said]] = [
            ("GET", many, "Subscriptions, one's own", self.subscriptions, Said(Subscriptions)),
            (
                *("POST", many, "Subscribe", self.subscribe),
                Said(SubscriptionView, NewSubscription, (), (*body, "429"), "201"),
            ),
            ("GET", one, "A subscription", self.subscription, Said(SubscriptionView, refusals=("404",))),
            (
                *("PATCH", one, "Change a subscription", self.change),
                Said(SubscriptionView, ChangedSubscription, (), (*body, "404")),
            ),
            ("DELETE", one, "End a subscription", self.end, Said(refusals=("404",), status="204")),
            ("GET", "/v1/alerts", "How alerts stand", self.alerts, Said(Alerts, query=_FILTERS)),
            (
                *("GET", "/v1/alerts/stream", "Transitions as they happen (SSE)", self.stream),
                Said(query=_STREAM, refusals=("404", "409", "429"), stream=True),
            ),
            (
                *("GET", "/v1/alerts/{alert_id}", "An alert's transitions", self.alert),
                Said(Transitions, refusals=("404",)),
            ),
            (
                *("POST", "/v1/alerts/{alert_id}/answers", "Answer an alert", self.answer),
                Said(Given, Answer, (), (*body, "404", "409", "429")),
            ),
            (
                *("POST", "/v1/patients/{patient_id}/directives", "Order about a patient's alerts", self.order),
                Said(Given, Directive, (), (*body, "404", "409", "429")),
            ),
            ("GET", "/v1/directives", "Orders that hold", self.directives, Said(Directives)),
        ]
        for method, path, summary, handler, said in routes:
            app.add_api_route(
                path,
                _only(handler, said.query),
                methods=[method],
                summary=summary,
                operation_id=handler.__name__,
                response_class=Response,
                status_code=int(said.status),
                openapi_extra=operation(said),
            )
        app.add_api_websocket_route("/v1/alerts/socket", self.socket)
        app.add_exception_handler(Refused, _refused)
        app.add_exception_handler(NotReady, _not_ready)
        app.openapi = lambda: openapi(app)  # type: ignore[method-assign]  # FastAPI's own way to extend it
        return app

    async def subscriptions(self, request: Request) -> Response:
        who = self.door.reader(request.headers)
        return _json(Subscriptions(subscriptions=[view(row) for row in self._subscribing.mine(who)]))

    async def subscribe(self, request: Request) -> Response:
        who = self.door.reader(request.headers)
        return _json(await self._subscribing.make(decoded(NewSubscription, await read_body(request)), who), 201)

    async def subscription(self, request: Request) -> Response:
        who = self.door.reader(request.headers)
        return _json(view(self._subscribing.one(request.path_params["name"], who)))

    async def change(self, request: Request) -> Response:
        who = self.door.reader(request.headers)
        body = decoded(ChangedSubscription, await read_body(request))
        return _json(await self._subscribing.change(request.path_params["name"], body, who))

    async def end(self, request: Request) -> Response:
        who = self.door.reader(request.headers)
        await self._subscribing.end(request.path_params["name"], who)
        return Response(status_code=204)

    async def alerts(self, request: Request) -> Response:
        who = self.door.reader(request.headers)
        page = options_of(Page, request.query_params)
        wants = wish(who, wanted_of(request.query_params), page.silent).wants
        await self._hub.ready()
        rows = [one.row for one in self._hub.standings if (page.ended or not one.ended) and wants(one.row)]
        shown = rows[: page.limit]
        return _json(
            Alerts(
                alerts=[row.alert for row in shown if not row.silent],
                silent=[row.alert for row in shown if row.silent],
                more=len(rows) > len(shown),
                position=text_of(self._hub.ring.end),
                as_of=moment(self._hub.as_of),
            )
        )

    async def alert(self, request: Request) -> Response:
        who = self.door.reader(request.headers)
        alert_id = _alert_id(request)
        await self._hub.ready()
        standing = self._hub.standings.get(alert_id)
        rows = []
        if standing is not None:
            try:
                rows = await self._hub.history.at(standing.row.part, standing.offsets)
            except (KafkaError, TimeoutError, OSError):
                raise NotReady from None
        shown = [row.alert for row in rows if row.alert.alert_id == alert_id and sees(who, row)]
        if not shown:
            raise Refused(404, "there is no such alert, or it ended more than a day ago")
        return _json(Transitions(transitions=shown))

    async def answer(self, request: Request) -> Response:
        who = self.door.clinician(request.headers)
        alert_id, body = _alert_id(request), decoded(Answer, await read_body(request))
        await self._hub.ready()
        return _json(await self._orders.answer(alert_id, body, who))

    async def order(self, request: Request) -> Response:
        who = self.door.clinician(request.headers)
        body = decoded(Directive, await read_body(request))
        await self._hub.ready()
        return _json(await self._orders.order(request.path_params["patient_id"], body, who))

    async def directives(self, request: Request) -> Response:
        who, now = self.door.reader(request.headers), datetime.now(UTC)
        await self._hub.ready()
        await self._ordered.ready()
        there = {one.row.alert.patient_id for one in self._hub.standings if sees(who, one.row)}
        orders = [one for one in self._ordered.all(now) if one.patient_id in there or sees_order(who, one)]
        return _json(Directives(directives=[shown(one) for one in orders]))

    async def stream(self, request: Request) -> Response:
        who = self.door.reader(request.headers)
        begins, after, holds = await self._asked(request, who, request.headers.get("last-event-id"))

        async def told() -> Any:
            with self.streams.opened(who.name):
                async for chunk in events(self._hub, begins, after, holds):
                    yield chunk

        return StreamingResponse(told(), media_type="text/event-stream", headers=_UNBUFFERED)

    async def socket(self, socket: WebSocket) -> None:
        try:
            who = self.door.reader(socket.headers)
            check_names(socket.query_params, _STREAM)
            begins, after, holds = await self._asked(socket, who, None)
        except NotReady as error:
            await socket.send_denial_response(await _not_ready(socket, error))
            return
        except Refused as refused:
            await socket.send_denial_response(await _refused(socket, refused))
            return
        await socket.accept()
        with self.streams.opened(who.name):
            await talk(socket, self._hub, begins, after, holds)

    async def _asked(
        self, asked: Request | WebSocket, who: Principal, last: str | None
    ) -> tuple[Wish, Position | None, Callable[[], bool]]:
        """What a stream tells, from where, and whether it may still."""
        self.streams.allow(who.name, self.door.alone)
        query, headers = asked.query_params, asked.headers
        following = options_of(Following, query)
        name = following.subscription
        if name is None:
            row, begins = None, wish(who, wanted_of(query), following.silent)
        else:
            if wanted_of(query) != Wanted():
                raise Invalid("a subscription has filters of its own", ("subscription",))
            row = self._subscribing.one(name, who)
            if row.paused:
                raise Refused(409, "the subscription is paused")
            begins = wish(who, row.wanted, following.silent, row.scope)
        await self._hub.ready()
        shown, after = last or following.after, None
        if shown is not None:
            try:
                after = position_of(shown, len(self._hub.ring.end))
            except ValueError:
                raise Invalid("bad_format", ("after",)) from None

        def holds() -> bool:
            if self.door.known(headers) != who:
                return False
            try:
                return name is None or self._subscribing.one(name, who) == row
            except Refused:
                return False

        return begins, after, holds


def _only(handler: Handler, kinds: Sequence[type]) -> Handler:
    """A handler that is asked only what it knows."""

    @wraps(handler)
    async def asked(request: Request) -> Response:
        check_names(request.query_params, kinds)
        return cast(Response, await handler(request))

    return asked


def _alert_id(request: Request) -> UUID:
    try:
        return UUID(request.path_params["alert_id"])
    except ValueError:
        raise Refused(404, "there is no such alert, or it ended more than a day ago") from None


async def read_body(request: Request) -> bytes:
    """A request's body; raises Refused with 408 or 413."""
    body = bytearray()
    try:
        async with asyncio.timeout(_BODY_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > BODY_BYTES:
                    raise Refused(413, f"more than {BODY_BYTES} bytes")
    except TimeoutError:
        raise Refused(408, "the body did not come in time", Connection="close") from None
    return bytes(body)


def _json(answer: msgspec.Struct, status: int = 200) -> Response:
    return Response(msgspec.json.encode(answer), status, _NO_STORE, "application/json")


async def _refused(_: object, refused: Exception) -> Response:
    assert isinstance(refused, Refused)
    fields = refused.fields if isinstance(refused, Invalid) else ()
    problem = msgspec.json.encode(Problem(detail=refused.detail, fields=fields))
    return Response(problem, refused.status, refused.headers, "application/json")


async def _not_ready(request: object, _: Exception) -> Response:
    return await _refused(request, Refused(503, "alerts are not read yet", Retry_After="5"))
