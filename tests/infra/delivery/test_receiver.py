"""One post: signed, bounded in time and size, and to no address but one that is allowed."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from tests.infra.gateways.certificates import Authority
from tests.webhooks import SECRET, Headers, Receiver, Reply, verified
from wardstream.infra.delivery import receiver as module
from wardstream.infra.delivery.receiver import MAX_ANSWER, Posted
from wardstream.infra.delivery.receiver import Receiver as Posting

LOOPBACK = ("127.0.0.1/32",)
BODY = b'{"alert": "\xc3\xa4"}'
Listen = Callable[..., Receiver]


@pytest.fixture
def listen() -> Iterator[Listen]:
    """Makes receivers, and closes them."""
    made: list[Receiver] = []

    def listening(*arguments: Any, **options: Any) -> Receiver:
        made.append(Receiver(*arguments, **options))
        return made[-1]

    yield listening
    for one in made:
        one.close()


@asynccontextmanager
async def posting(url: str, *networks: str, trusted: ssl.SSLContext | None = None) -> AsyncIterator[Posting]:
    trusted = trusted or ssl.create_default_context()
    posts = Posting(url, SECRET, [ip_network(one) for one in networks or LOOPBACK], trusted, 4)
    try:
        yield posts
    finally:
        await posts.close()


async def test_it_is_signed_as_the_specification_says(listen: Listen) -> None:
    there = listen(lambda got: Reply(200, b"thanks"))
    async with posting(there.url) as posts:
        assert await posts.post("one", BODY) == Posted(200, None, 0.0, b"thanks")
        assert (await posts.post("one", BODY)).status == 200
    assert [(got.id, got.times, got.body) for got in there.got] == [
        ("one", 1, {"alert": "ä"}),
        ("one", 2, {"alert": "ä"}),
    ]
    assert there.forged == 0


def test_the_receiver_of_the_tests_notices() -> None:
    """The example of the specification's own libraries, whose time is over by now."""
    headers: Headers = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    body, secret = b'{"test": 2432232314}', "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    assert verified(headers, body, secret) is None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.webhooks.time.time", lambda: 1614265330.0)
        assert verified(headers, body, secret) == headers["webhook-id"]
        assert verified(headers, body + b" ", secret) is None
        assert verified(headers | {"webhook-id": "other"}, body, secret) is None
        assert verified(headers, body) is None


@pytest.mark.parametrize(
    ("reply", "posted"),
    [
        (Reply(204), Posted(204, None)),
        (Reply(503, headers={"retry-after": "7"}), Posted(503, "http", 7.0)),
        (Reply(429, headers={"retry-after": "1"}), Posted(429, "http", 1.0)),
        (Reply(404), Posted(404, "http")),
        (Reply(410), Posted(410, "gone")),
        (Reply(200, b"x" * (MAX_ANSWER + 1)), Posted(200, None)),
        (Reply(200, b"x" * MAX_ANSWER), Posted(200, None, 0.0, b"x" * MAX_ANSWER)),
    ],
)
async def test_answers(listen: Listen, reply: Reply, posted: Posted) -> None:
    async with posting(listen(lambda got: reply).url) as posts:
        assert await posts.post("one", BODY) == posted


async def test_what_will_never_be_taken() -> None:
    assert [status for status in range(200, 600) if Posted(status, "http").never] == [400, 413, 415, 422]


async def test_no_redirect_is_followed(listen: Listen) -> None:
    beyond = listen()
    for status in (301, 302, 303, 307, 308):
        there = listen(lambda got, status=status: Reply(status, headers={"location": beyond.url}))
        async with posting(there.url) as posts:
            assert await posts.post("one", BODY) == Posted(status, "http")
    assert beyond.got == []


@pytest.mark.parametrize(
    ("host", "networks"),
    [
        ("127.0.0.1", ("10.0.0.0/8",)),
        ("127.0.0.1", ("0.0.0.0/0",)),
        ("localhost", ("0.0.0.0/0", "::/0")),
        ("[::ffff:127.0.0.1]", ("::/0",)),
        ("0.0.0.0", LOOPBACK),
        ("127.1", ("10.0.0.0/8",)),
        ("2130706433", ("10.0.0.0/8",)),
    ],
)
async def test_nothing_is_sent_where_it_may_not_go(listen: Listen, host: str, networks: tuple[str, ...]) -> None:
    there = listen()
    async with posting(f"http://{host}:{there.port}/hook", *networks) as posts:
        assert (await posts.post("one", BODY)).reason in ("not_allowed", "connection", "name")
    assert (there.got, there.forged) == ([], 0)


async def test_without_tls_nothing_leaves_the_machine() -> None:
    async with posting("http://192.0.2.1/hook", "192.0.2.0/24") as posts:
        assert await posts.post("one", BODY) == Posted(None, "not_allowed")


async def test_what_is_no_url() -> None:
    async with posting("https://user:word@127.0.0.1/") as posts:
        assert await posts.post("one", BODY) == Posted(None, "not_allowed")


async def test_a_name_that_means_another_address_the_next_time(listen: Listen, monkeypatch: pytest.MonkeyPatch) -> None:
    """The address is checked that is connected to, whatever the name meant before."""
    allowed = listen()
    forbidden = listen(address="127.0.0.2")
    answers: list[list[tuple[str, int]]] = []

    def resolve(host: str, port: int, family: int, kind: int) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", place) for place in answers.pop(0)]

    monkeypatch.setattr(module.socket, "getaddrinfo", resolve)
    good, bad = ("127.0.0.1", allowed.port), ("127.0.0.2", allowed.port)
    for answered, reason, came in (
        ([good], None, 1),
        ([bad], "not_allowed", 1),
        ([bad, good], None, 2),
        ([bad, bad], "not_allowed", 2),
    ):
        answers.append(answered)
        async with posting(f"http://pager.invalid:{allowed.port}/hook") as posts:
            assert (await posts.post("one", BODY)).reason == reason
        assert len(allowed.got) == came
    assert forbidden.got == []
    assert answers == []


async def test_a_name_that_is_none() -> None:
    async with posting("https://nobody.invalid/hook") as posts:
        assert await posts.post("one", BODY) == Posted(None, "name")


async def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    async with posting(f"http://127.0.0.1:{port}/") as posts:
        assert await posts.post("one", BODY) == Posted(None, "connection")


async def test_the_certificate_must_be_that_of_the_host(listen: Listen, tmp_path: Path) -> None:
    authority, stranger = Authority(tmp_path), Authority(tmp_path, "stranger")
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.load_cert_chain(*authority.certificate("receiver"))
    there = listen(tls=served)
    async with posting(there.url, trusted=authority.client()) as posts:
        assert await posts.post("one", BODY) == Posted(200, None)
    async with posting(there.url, trusted=stranger.client()) as posts:
        assert await posts.post("one", BODY) == Posted(None, "tls")
    named = there.url.replace("127.0.0.1", "localhost")  # the same machine, under a name that is not in it
    async with posting(named, trusted=authority.client()) as posts:
        assert await posts.post("one", BODY) == Posted(None, "tls")
    assert len(there.got) == 1


async def test_a_receiver_that_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DEADLINE_S", 0.2)

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with posting(f"http://127.0.0.1:{port}/") as posts:
            assert await posts.post("one", BODY) == Posted(None, "timeout")


async def test_an_answer_without_end_is_no_answer_of_a_person(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DEADLINE_S", 0.3)

    async def drips(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b'HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{"action": "acknowledge"}')
        await writer.drain()
        await reader.read()
        writer.close()

    async with await asyncio.start_server(drips, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with posting(f"http://127.0.0.1:{port}/") as posts:
            assert await posts.post("one", BODY) == Posted(200, None)


async def test_a_slow_name_holds_up_its_own_receiver_only(listen: Listen, monkeypatch: pytest.MonkeyPatch) -> None:
    there = listen()
    asked, go = asyncio.Event(), threading.Event()
    loop, resolved = asyncio.get_running_loop(), socket.getaddrinfo

    def resolve(host: str, *rest: Any) -> Any:
        if host == "slow.invalid":
            loop.call_soon_threadsafe(asked.set)
            go.wait(30)
        return resolved("127.0.0.1", *rest)

    monkeypatch.setattr(module.socket, "getaddrinfo", resolve)
    slow = [Posting("https://slow.invalid/", SECRET, [], ssl.create_default_context(), 4) for _ in range(40)]
    waiting = [asyncio.create_task(one.post("one", BODY)) for one in slow]
    try:
        await asked.wait()
        async with posting(f"http://quick.invalid:{there.port}/hook") as posts:
            assert (await posts.post("one", BODY)).status == 200
        assert not any(one.done() for one in waiting)
    finally:
        go.set()
        await asyncio.gather(*waiting)
        for one in slow:
            await one.close()
