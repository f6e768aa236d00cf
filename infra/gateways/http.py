"""Events over HTTP: `POST /v1/events/{topic}`, one JSON event or a line each, answered when all replicas have them.

Each event is checked as workers check it, and the answer says of each whether it was accepted or what is wrong, by
reason and field, never by value. So a request with bad events is answered with 200: what was sound is published, and to
repeat the request would not make the others better. A request that got no answer, or 429 or 503, may be repeated as it
is: ids of events are their own. Fields that the schema does not know are dropped: nothing may travel under them.

A token says whose numbers its events have; they are replaced. Without one, ids that are not of our pseudonyms' form are
refused (`no_pseudonym`): else a record number or a name would get on the topics unnoticed.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import msgspec
from fastapi import FastAPI, Request, Response
from fastapi.openapi.utils import get_openapi

from wardstream.agents.metrics import GATEWAY_EVENTS, GATEWAY_REJECTS, HTTP_REQUESTS, HTTP_SECONDS, Meters
from wardstream.agents.streams.outputs import MAX_ROW_BYTES
from wardstream.agents.tracing import TRACEPARENT, Headers, headers_of, receiving
from wardstream.infra.feeds.ndjson import BYTE_ORDER_MARK, BadLine, parsed, publishable
from wardstream.infra.gateways.auth import Anyone, Authority, Principal
from wardstream.infra.gateways.delivery import Delivery, Row
from wardstream.schemas.bad_event import REASONS
from wardstream.schemas.decode import encode
from wardstream.schemas.envelope import FUTURE_TOLERANCE, Event
from wardstream.schemas.pseudonym import Pseudonyms, replaced, without_pseudonym
from wardstream.schemas.topics import TOPICS

BODY_BYTES: Final = 4 << 20
LINES: Final = 10_000
HELD_BYTES: Final = 64 << 20
"""Of all requests that are under way; further ones are told to come again."""
_BODY_S: Final = 30.0
_DELIVER_S: Final = 30.0
_JSON: Final = ("application/json",)
_NDJSON: Final = ("application/x-ndjson", "application/ndjson", "application/jsonl")
_GATEWAY: Final = "http"
_REQUESTS: Final = 240  # under way; connections have a limit of their own (`web`)
_SHARES: Final = 4  # no token has more than a quarter of the room
_AT_ONCE: Final = 500  # lines, before others get their turn
_SCHEMAS: Final = "#/components/schemas/{name}"


class Result(msgspec.Struct, omit_defaults=True):
    """What became of one event: its line from 1, and why it was not accepted."""

    line: int
    accepted: bool
    reason: str = ""
    fields: tuple[str, ...] = ()


class Answer(msgspec.Struct):
    """A result for each event, in their order."""

    results: list[Result]


class Refused(Exception):
    """A request that is answered with something else than 200."""

    def __init__(self, status: int, detail: str, **headers: str) -> None:
        super().__init__(detail)
        self.status, self.detail = status, detail
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


class Limits(NamedTuple):
    """Of requests: bytes and lines of a body, bytes and requests under way, seconds for the body and for Kafka."""

    body_bytes: int = BODY_BYTES
    lines: int = LINES
    held_bytes: int = HELD_BYTES
    requests: int = _REQUESTS
    body_s: float = _BODY_S
    deliver_s: float = _DELIVER_S


def make_app(
    authority: Authority,
    delivery: Delivery,
    meters: Meters,
    limits: Limits | None = None,
    pseudonyms: Pseudonyms | None = None,
) -> FastAPI:
    """The application. `delivery` is run by the caller; without `pseudonyms` events must carry them already."""
    app = FastAPI(title="wardstream", version="1", docs_url=None, redoc_url=None, openapi_url="/openapi.json")
    publishing = _Publishing(authority, delivery, meters, limits or Limits(), pseudonyms)
    for topic in publishable():
        app.add_api_route(
            f"/v1/events/{topic}",
            publishing.handler(topic),
            methods=["POST"],
            operation_id=f"publish-{topic}",
            summary=TOPICS[topic].description,
            response_class=Response,
            openapi_extra=_operation(topic),
        )
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]  # FastAPI's own way to extend it
    return app


class _Publishing:
    """What the routes share."""

    def __init__(
        self,
        authority: Authority,
        delivery: Delivery,
        meters: Meters,
        limits: Limits,
        pseudonyms: Pseudonyms | None,
    ) -> None:
        self._authority, self._delivery, self._meters, self._limits = authority, delivery, meters, limits
        self._pseudonyms = pseudonyms
        self._held: Counter[str] = Counter()  # bytes by principal
        self._requests: Counter[str] = Counter()
        alone = isinstance(authority, Anyone)  # all who publish are one principal
        self._share = limits.held_bytes if alone else max(limits.body_bytes, limits.held_bytes // _SHARES)
        self._most_requests = limits.requests if alone else max(1, limits.requests // _SHARES)

    def handler(self, topic: str) -> Callable[[Request], Awaitable[Response]]:
        """The route of one topic."""

        async def publish(request: Request) -> Response:
            begun = asyncio.get_running_loop().time()
            try:
                answer = await self._publish(topic, request)
            except Refused as refused:
                response = Response(
                    msgspec.json.encode({"detail": refused.detail}),
                    refused.status,
                    refused.headers,
                    "application/json",
                )
            else:
                response = Response(msgspec.json.encode(answer), media_type="application/json")
            self._meters.count(HTTP_REQUESTS, (topic, str(response.status_code)))
            self._meters.observe(HTTP_SECONDS, asyncio.get_running_loop().time() - begun, (topic,))
            return response

        return publish

    async def _publish(self, topic: str, request: Request) -> Answer:
        principal = self._let_in(request)
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind not in (*_JSON, *_NDJSON) or request.headers.get("content-encoding", "identity") != "identity":
            raise Refused(415, "send application/json, or application/x-ndjson with an event a line; not compressed")
        async with self._room(request, principal.name) as most:
            body = await self._body(request, most)
            lines = [body] if kind in _JSON else self._lines(body)
            with receiving(f"receive {topic}", request.headers.get(TRACEPARENT)) as span:
                headers = headers_of(None if span is None else span.traceparent)
                results, rows = await self._checked(topic, lines, principal.assigning_authority, headers)
                try:
                    async with asyncio.timeout(self._limits.deliver_s):
                        await (await self._delivery.offer(rows))
                except TimeoutError:
                    raise Refused(503, "Kafka does not take it now; send it again", Retry_After="5") from None
        return Answer(results)

    def _let_in(self, request: Request) -> Principal:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        principal = self._authority.principal(token.strip() if scheme.lower() == "bearer" else "")
        if principal is None:
            raise Refused(401, "show a token: Authorization: Bearer …", WWW_Authenticate="Bearer")
        if "publisher" not in principal.roles:
            raise Refused(403, "this token's role does not publish")
        if principal.assigning_authority is not None and self._pseudonyms is None:
            raise Refused(503, "no key for pseudonyms is configured here", Retry_After="60")
        return principal

    @asynccontextmanager
    async def _room(self, request: Request, who: str) -> AsyncIterator[int]:
        """How many bytes the body may have; they are kept free until the end of the request.

        No token takes all the room: one whose bodies come slowly would shut the others out.
        """
        declared = request.headers.get("content-length", "")
        most = int(declared) if declared.isdecimal() else self._limits.body_bytes
        if most > self._limits.body_bytes:
            raise Refused(413, f"more than {self._limits.body_bytes} bytes")
        full = self._held.total() + most > self._limits.held_bytes or self._held[who] + most > self._share
        if full or self._requests[who] >= self._most_requests:
            raise Refused(429, "too much at a time; send it again", Retry_After="1")
        self._held[who] += most
        self._requests[who] += 1
        try:
            yield most
        finally:
            self._held[who] -= most
            self._requests[who] -= 1
            if not self._requests[who]:
                del self._held[who], self._requests[who]

    async def _body(self, request: Request, most: int) -> bytes:
        body = bytearray()
        try:
            async with asyncio.timeout(self._limits.body_s):
                async for chunk in request.stream():
                    body += chunk
                    if len(body) > most:
                        raise Refused(413, f"more than {most} bytes")
        except TimeoutError:
            raise Refused(408, "the body did not come in time", Connection="close") from None
        return bytes(body.removeprefix(BYTE_ORDER_MARK))

    def _lines(self, body: bytes) -> list[bytes]:
        stripped = body.rstrip(b"\n")
        if stripped.count(b"\n") >= self._limits.lines:
            raise Refused(413, f"more than {self._limits.lines} lines")
        return stripped.split(b"\n")

    async def _checked(
        self, topic: str, lines: list[bytes], numbers_of: str | None, headers: Headers
    ) -> tuple[list[Result], list[Row]]:
        """What is wrong with each event, and the rows of those with which nothing is."""
        results: list[Result] = []
        rows: list[Row] = []
        latest = datetime.now(UTC) + FUTURE_TOLERANCE  # as workers have it
        for first in range(0, len(lines), _AT_ONCE):
            for number, outcome in _numbered(topic, lines[first : first + _AT_ONCE], first + 1):
                if isinstance(outcome, Event):
                    if outcome.received_at > latest:
                        outcome = BadLine(number, "future", ("received_at",))
                    elif numbers_of is not None and self._pseudonyms is not None:
                        outcome = replaced(outcome, self._pseudonyms, numbers_of)
                    elif raw := without_pseudonym(outcome):
                        outcome = BadLine(number, "no_pseudonym", raw)
                if isinstance(outcome, Event):
                    value = encode(outcome)
                    if len(value) <= MAX_ROW_BYTES:
                        rows.append(Row(topic, outcome.patient_id, value, headers))
                        results.append(Result(number, accepted=True))
                        self._meters.count(GATEWAY_EVENTS, (_GATEWAY, topic))
                        continue
                    outcome = BadLine(number, "too_large", ())
                results.append(Result(number, False, outcome.reason, outcome.fields))
                self._meters.count(GATEWAY_REJECTS, (_GATEWAY, topic, outcome.reason))
            await asyncio.sleep(0)
        return results, rows


def _numbered(topic: str, lines: list[bytes], first: int) -> list[tuple[int, Event | BadLine]]:
    """Each event or what is wrong with it, with the number of its line; empty lines are none."""
    numbers = (number for number, line in enumerate(lines, first) if line.strip())
    return list(zip(numbers, parsed(topic, lines, first), strict=True))


def _operation(topic: str) -> dict[str, Any]:
    """What OpenAPI says beside what FastAPI knows."""
    event = {"$ref": _SCHEMAS.format(name=TOPICS[topic].type.__name__)}
    answer = {"schema": {"$ref": _SCHEMAS.format(name="Answer")}}
    refusals = {
        "401": "No token, or one that is not known.",
        "403": "The token's role does not publish.",
        "408": "The body did not come in time.",
        "413": f"More than {BODY_BYTES} bytes or {LINES} lines.",
        "415": "Another content type.",
        "429": "Too much at a time; send it again after Retry-After seconds.",
        "503": "Kafka does not take it now; send it again after Retry-After seconds.",
    }
    return {
        "security": [{"token": []}],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": event},
                "application/x-ndjson": {"schema": event, "x-lines": "one such event a line"},
            },
        },
        "responses": {
            "200": {
                "description": "A result for each event; all in-sync replicas have those that were accepted.",
                "content": {"application/json": answer},
            },
            **{status: {"description": text} for status, text in refusals.items()},
        },
    }


def _openapi(app: FastAPI) -> dict[str, Any]:
    """The document, with the schemas of the topics as the decoder has them."""
    document = get_openapi(title=app.title, version=app.version, routes=app.routes)
    types = [TOPICS[topic].type for topic in publishable()]
    _, schemas = msgspec.json.schema_components([*types, Answer], ref_template=_SCHEMAS)
    schemas["Result"]["properties"]["reason"]["enum"] = ["", *REASONS]
    document["components"] = {
        "schemas": schemas,
        "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
    }
    return document
