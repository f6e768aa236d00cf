"""What a payload looks like without what it says: JSON's field names and types, never a value.

A name is shown only if some schema of ours has it: a bad payload may use a person's name or number as a key.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import msgspec

from wardstream.schemas.doc import json_schemas

_AT_BYTE = re.compile(r"\(byte (\d+)\)")
_MAX_LINES = 200
_MAX_DEPTH = 8


def shape(raw: bytes) -> list[str]:
    """Describe a payload in lines, the first one about the whole."""
    try:
        value = msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError) as error:
        at = _AT_BYTE.search(str(error))
        return [f"not JSON{f' from byte {at[1]} on' if at else ''}; {_text_or_bytes(raw)}"]
    lines = [f"JSON: {_kind(value)}"]
    for line in _inside(value, 1):
        if len(lines) == _MAX_LINES:
            lines.append("…")
            break
        lines.append(line)
    return lines


@cache
def known_names() -> frozenset[str]:
    """Every field of every schema."""

    def names(schema: Any) -> Iterator[str]:
        if isinstance(schema, dict):
            yield from schema.get("properties", ())
            for inner in schema.values():
                yield from names(inner)
        elif isinstance(schema, list):
            for inner in schema:
                yield from names(inner)

    return frozenset(name for schema in json_schemas().values() for name in names(schema))


def _inside(value: Any, depth: int) -> Iterator[str]:
    indent = "  " * depth
    if depth > _MAX_DEPTH:
        return
    if isinstance(value, dict):
        for name, item in value.items():
            yield f"{indent}{_shown(name)}: {_kind(item)}"
            yield from _inside(item, depth + 1)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            if isinstance(item, dict | list):
                yield f"{indent}[{number}]: {_kind(item)}"
                yield from _inside(item, depth + 1)


def _shown(name: str) -> str:
    return name if name in known_names() else f"(unknown name of {len(name)} characters)"


def _kind(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "number"
        case str():
            return f"string of {len(value)} characters"
        case dict():
            return f"object of {len(value)} fields"
        case _:
            kinds = sorted({_kind(item).partition(" of ")[0] for item in value})
            return f"array of {len(value)}" + (f": {', '.join(kinds)}" if kinds else "")


def _text_or_bytes(raw: bytes) -> str:
    try:
        raw.decode()
    except UnicodeDecodeError as error:
        return f"not UTF-8 from byte {error.start} on"
    return "UTF-8 text"
