"""What /openapi.json says of the API beyond what FastAPI knows: bodies, filters and refusals, from the schemas."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from wardstream.infra.api.bodies import (
    Alerts,
    Answer,
    Beat,
    ChangedSubscription,
    Directive,
    Directives,
    DirectiveView,
    Following,
    Given,
    NewSubscription,
    Page,
    Problem,
    Subscriptions,
    SubscriptionView,
    Transitions,
)
from wardstream.schemas.alerts import Alert
from wardstream.schemas.subscriptions import Wanted

_REF = "#/components/schemas/{name}"
_TYPES: tuple[type, ...] = (
    *(Alert, Alerts, Answer, Beat, ChangedSubscription, Directive, Following, Given, NewSubscription, Page, Problem),
    *(Directives, DirectiveView, Subscriptions, SubscriptionView, Transitions, Wanted),
)
_, _SCHEMAS = msgspec.json.schema_components(_TYPES, ref_template=_REF)
_REFUSALS = {
    "401": "No token, or one that is not known.",
    "403": "The token's role or units do not allow it.",
    "404": "There is none, or it is not for this token.",
    "408": "The body did not come in time.",
    "409": "As it stands now it cannot be done.",
    "413": "The body is too large.",
    "422": "Something in it is not what it should be: `detail` is the reason, `fields` name where.",
    "429": "Too much at a time; try again after Retry-After seconds.",
    "503": "Kafka does not answer now; try again after Retry-After seconds.",
}
_ALWAYS = ("401", "403", "422", "503")


class Said(NamedTuple):
    """Of an operation: its body, its parameters, its answer and how else it may end."""

    answer: type | None = None
    body: type | None = None
    query: tuple[type, ...] = ()
    refusals: Sequence[str] = ()
    status: str = "200"
    stream: bool = False


def operation(said: Said) -> dict[str, Any]:
    """An operation's part of the document that FastAPI does not know."""
    found: dict[str, Any] = {
        "security": [{"token": []}],
        "responses": {said.status: _answer(said)}
        | {
            status: {"description": _REFUSALS[status], "content": _json(Problem)}
            for status in sorted({*_ALWAYS, *said.refusals})
        },
    }
    if said.body is not None:
        found["requestBody"] = {"required": True, "content": _json(said.body)}
    if said.query:
        found["parameters"] = [one for kind in said.query for one in _parameters(kind)]
    return found


def openapi(app: FastAPI) -> dict[str, Any]:
    """The document."""
    document = get_openapi(title=app.title, version=app.version, routes=app.routes)
    document["components"] = {
        "schemas": _SCHEMAS,
        "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
    }
    return document


def _answer(said: Said) -> dict[str, Any]:
    if said.stream:
        text = (
            "Events `alert` (and `silent-alert`), whose data is an alert as JSON and whose id is for Last-Event-ID; "
            "`beat`, at the beginning and each 15 s in which nothing happens: how old it is what was told last."
        )
        return {"description": text, "content": {"text/event-stream": {"schema": {"type": "string"}}}}
    if said.answer is None:
        return {"description": "Done."}
    return {"description": "How it is.", "content": _json(said.answer)}


def _json(kind: type) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": _REF.format(name=kind.__name__)}}}


def _parameters(kind: type) -> list[dict[str, Any]]:
    properties = _SCHEMAS[kind.__name__]["properties"]
    return [
        {
            "name": name,
            "in": "query",
            "required": False,
            "description": schema.get("description", ""),
            "schema": {key: value for key, value in schema.items() if key not in ("description", "default")},
        }
        for name, schema in properties.items()
    ]
