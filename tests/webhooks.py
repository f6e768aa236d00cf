"""A receiver of webhooks that knows nothing of wardstream: the standard library, and the specification's own words."""

from __future__ import annotations

import hmac
import json
import ssl
import threading
import time
from base64 import b64decode, b64encode
from collections import defaultdict
from collections.abc import Callable
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

SECRET = "whsec_" + b64encode(b"an invented secret of 32 bytes..").decode()
TOLERANCE_S = 300

Headers = dict[str, str]


class Got(NamedTuple):
    """One request; `times`: the how manieth of its id."""

    path: str
    id: str
    body: Any
    times: int
    traceparent: str | None = None


class Reply(NamedTuple):
    """What is answered."""

    status: int = 200
    body: bytes = b""
    headers: Headers = {}  # noqa: RUF012 - never changed


def verified(headers: Headers, body: bytes, secret: str = SECRET) -> str | None:
    """The id of a message that is signed as it should be, now."""
    key = b64decode(secret.removeprefix("whsec_"))
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    wanted = b64encode(hmac.new(key, signed, sha256).digest()).decode()
    now = abs(time.time() - int(headers["webhook-timestamp"])) <= TOLERANCE_S
    shown = [part.removeprefix("v1,") for part in headers["webhook-signature"].split() if part.startswith("v1,")]
    return headers["webhook-id"] if now and any(hmac.compare_digest(one, wanted) for one in shown) else None


class Receiver:
    """Listens on loopback; `got` are requests whose signature holds, `forged` counts the others."""

    def __init__(
        self,
        answer: Callable[[Got], Reply] = lambda got: Reply(),
        tls: ssl.SSLContext | None = None,
        address: str = "127.0.0.1",
    ) -> None:
        self.got: list[Got] = []
        self.forged = 0
        self.answer = answer
        self.changed = threading.Condition()
        self._seen: dict[str, int] = defaultdict(int)
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                receiver._take(self)

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 64

            def handle_error(self, *_: object) -> None:
                pass  # the other side was killed

        self._server = Server((address, 0), Handler)
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.port = int(self._server.server_address[1])
        self.url = f"http{'s' if tls else ''}://{address}:{self.port}/hook"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def _take(self, request: BaseHTTPRequestHandler) -> None:
        headers = {name.lower(): value for name, value in request.headers.items()}
        body = request.rfile.read(int(headers["content-length"]))
        known = verified(headers, body)
        with self.changed:
            if known is None:
                self.forged += 1
                reply = None
            else:
                self._seen[known] += 1
                got = Got(request.path, known, json.loads(body), self._seen[known], headers.get("traceparent"))
                self.got.append(got)
            self.changed.notify_all()
        reply = Reply(401) if known is None else self.answer(got)
        request.send_response(reply.status)
        for name, value in reply.headers.items():
            request.send_header(name, value)
        request.send_header("content-length", str(len(reply.body)))
        request.end_headers()
        request.wfile.write(reply.body)

    def wait(self, until: Callable[[list[Got]], bool], seconds: float = 60) -> list[Got]:
        """What has come when `until` holds of it."""
        deadline = time.monotonic() + seconds
        with self.changed:
            while not until(self.got):
                assert self.changed.wait(max(0.0, deadline - time.monotonic())), f"{len(self.got)} have come"
            return list(self.got)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)
