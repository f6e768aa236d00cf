"""The page's files: a fixed table, built at the start. Nothing else of the machine can be asked for."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Final, NamedTuple

from fastapi import Request, Response

FOLDER: Final = Path(__file__).with_name("web")
INDEX: Final = "index.html"
HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=(), interest-cohort=()",
    "Cache-Control": "no-cache",
}
_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".woff2": "font/woff2",
    ".json": "application/json",
}
_TEXT: Final = "text/plain; charset=utf-8"


class File(NamedTuple):
    """A file as it is served."""

    content: bytes
    type: str
    tag: str


def files(folder: Path = FOLDER) -> dict[str, File]:
    """All files of a folder, by their path in it."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            content = path.read_bytes()
            tag = f'"{sha256(content).hexdigest()[:32]}"'
            found[path.relative_to(folder).as_posix()] = File(content, _TYPES.get(path.suffix, _TEXT), tag)
    return found


def answer(table: Mapping[str, File], name: str, request: Request) -> Response:
    """A file, or that who asks has it, or that there is none."""
    file = table.get(name)
    if file is None:
        return Response(b"", 404, HEADERS, _TEXT)
    headers = HEADERS | {"ETag": file.tag}
    known = {tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")}
    if file.tag in known:
        return Response(status_code=304, headers=headers)
    return Response(file.content, 200, headers, file.type)
