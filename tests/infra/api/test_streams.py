"""Streams: each its own, none of them held up by another, and whoever comes back misses nothing."""

from __future__ import annotations

import asyncio
import json
import socket
from contextlib import ExitStack

import aiohttp
import pytest

from tests.alerts import alert
from tests.infra.api.serving import Known, holder, served, stream
from tests.infra.gateways.senders import until
from wardstream.agents.metrics import API_BEHIND
from wardstream.infra.api import hub as hub_module
from wardstream.infra.api import streams as streams_module
from wardstream.infra.api.streams import Streams
from wardstream.infra.gateways import web
from wardstream.infra.gateways.http import Refused
from wardstream.schemas.subscriptions import Subscription, Wanted

WHO = Known(holder("v4", "viewer", units=["4B"]), holder("op", "operator"), holder("pub", "publisher"))


async def test_each_is_told_what_it_may_see_and_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    async with (
        served(WHO, monkeypatch) as api,
        stream(api, "v4") as mine,
        stream(api, "op", "?silent=true") as everything,
        stream(api, "op", "?priorities=high&units=ICU&units=4B") as urgent,
    ):
        api.put(alert("there", unit="ICU"))
        api.put(alert("quiet"), silent=True)
        api.put(alert("nowhere", unit=None, priority="high"))
        api.put(alert("here", priority="high"))
        told = [await everything.next() for _ in range(4)]
        assert [(name, one["patient_id"]) for name, one in told] == [
            ("alert", "p-there"),
            ("silent-alert", "p-quiet"),
            ("alert", "p-nowhere"),
            ("alert", "p-here"),
        ]
        assert (await mine.next())[1]["patient_id"] == "p-here"
        assert (await urgent.next())[1]["patient_id"] == "p-here"


@pytest.mark.parametrize("ring_rows", [100, 2])
async def test_whoever_comes_back_misses_nothing(monkeypatch: pytest.MonkeyPatch, ring_rows: int) -> None:
    """Out of the ring, and out of Kafka where it is too small."""
    async with served(WHO, monkeypatch, ring_rows) as api:
        async with stream(api, "op") as heard:
            for name in "ab":
                api.put(alert(name))
            assert [(await heard.next())[1]["patient_id"] for _ in range(2)] == ["p-a", "p-b"]
            last = heard.id
        names = [f"m{number}" for number in range(9)]
        for name in names:
            api.put(alert(name))
        async with stream(api, "op", last=last) as again:
            told = [(await again.next())[1]["patient_id"] for _ in names]
            assert told == [f"p-{name}" for name in names]
            api.put(alert("live"))
            assert (await again.next())[1]["patient_id"] == "p-live"
        async with stream(api, "op", f"?after={again.id}") as once_more:
            api.put(alert("later"))
            assert (await once_more.next())[1]["patient_id"] == "p-later"


async def test_one_that_takes_nothing_delays_nobody_and_catches_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "QUEUE_ROWS", 8)
    text = "x" * 900
    async with served(WHO, monkeypatch, ring_rows=50) as api, stream(api, "op") as quick:
        slow = socket.socket()
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect(("127.0.0.1", api.port))
        slow.sendall(b"GET /v1/alerts/stream HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer op\r\n\r\n")
        await asyncio.sleep(0.2)
        names, behind = [], api.hub.meters
        while not behind.total(API_BEHIND):  # until what the systems between hold is full, and its queue
            assert len(names) < 50_000
            for _ in range(8):
                names.append(f"n{len(names)}")
                api.put(alert(names[-1], reason=text))
                assert (await quick.next())[1]["patient_id"] == f"p-{names[-1]}"
        for _ in range(200):  # further than the ring goes back
            names.append(f"n{len(names)}")
            api.put(alert(names[-1], reason=text))
            assert (await quick.next())[1]["patient_id"] == f"p-{names[-1]}"
        with slow:
            slow.setblocking(False)
            got = b""
            async with asyncio.timeout(60):
                while f'"p-{names[-1]}"'.encode() not in got:
                    got += await asyncio.get_running_loop().sock_recv(slow, 1 << 20)
        told = [
            json.loads(line.removeprefix(b"data: "))["patient_id"]
            for line in got.replace(b"\r\n", b"\n").split(b"\n")
            if line.startswith(b"data: ") and line.endswith(b"}") and b"patient_id" in line
        ]
        places = [names.index(name.removeprefix("p-")) for name in told]
        assert places == sorted(places)
        assert len(set(places)) > 0.9 * len(names)  # lines that chunks of HTTP divide are not read here


async def test_one_that_takes_nothing_for_long_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "TAKE_S", 0.2)
    async with served(WHO, monkeypatch, ring_rows=100_000) as api:
        with socket.socket() as slow:
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            slow.connect(("127.0.0.1", api.port))
            slow.sendall(b"GET /v1/alerts/stream HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer op\r\n\r\n")
            await until(lambda: api.hub._streams == 1)
            number = 0
            async with asyncio.timeout(60):
                while api.hub._streams:
                    for _ in range(100):
                        api.put(alert(f"n{number}", reason="x" * 900))
                        number += 1
                    await asyncio.sleep(0.01)
        assert not api.hub._live


async def test_where_it_is_is_told_while_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "HEARTBEAT_S", 0.05)
    monkeypatch.setattr(streams_module, "HEARTBEAT_S", 0.05)
    async with served(WHO, monkeypatch) as api:
        async with aiohttp.ClientSession() as session:
            headers = {"Authorization": "Bearer v4"}
            async with session.get(f"{api.url}/v1/alerts/stream", headers=headers) as response:
                first = last = b""
                async with asyncio.timeout(20):
                    async for line in response.content:
                        if line.startswith(b"id:"):
                            first = first or line
                            last = line
                            if last != first:
                                break
                            api.put(alert("there", unit="ICU"))  # not for this one, and yet it need not be read again
        after = last.decode().removeprefix("id: ").strip()
        api.put(alert("here"))
        async with stream(api, "v4", last=after) as heard:
            assert (await heard.next())[1]["patient_id"] == "p-here"


async def test_a_stream_ends_with_its_token_and_with_its_subscription(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "HEARTBEAT_S", 0.05)
    monkeypatch.setattr(streams_module, "HEARTBEAT_S", 0.05)
    known = Known(*WHO.holders.values(), holder("leaver", "viewer"))
    made = alert("x").raised_at
    row = Subscription(name="s-1", at=made, made_at=made, who="op", wanted=Wanted(units=("ICU",)))
    async with (
        served(known, monkeypatch) as api,
        stream(api, "leaver") as left,
    ):
        api.subscribing._table = {"s-1": row}
        assert (await api.ask("GET", "/v1/alerts/stream?subscription=s-1", "v4"))[0] == 404
        async with stream(api, "op", "?subscription=s-1") as mine:
            api.put(alert("here"))
            api.put(alert("there", unit="ICU"))
            assert (await mine.next())[1]["patient_id"] == "p-there"
            assert [(await left.next())[1]["patient_id"] for _ in range(2)] == ["p-here", "p-there"]
            api.subscribing._table = {}
            with pytest.raises(EOFError):
                await mine.next()
        del known.holders["leaver"]
        with pytest.raises(EOFError):
            await left.next()  # it had all that was for it
        assert (await api.ask("GET", "/v1/alerts/stream", "leaver"))[0] == 401


def test_no_token_takes_all_streams() -> None:
    crowd = Streams(most=8)
    with ExitStack() as those:
        for _ in range(2):
            crowd.allow("op", False)
            those.enter_context(crowd.opened("op"))
        with pytest.raises(Refused, match="too many"):
            crowd.allow("op", False)
        crowd.allow("op", True)  # nobody else is there to take them from
        crowd.allow("v4", False)
    crowd.allow("op", False)


async def test_the_socket_tells_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    headers = {"Authorization": "Bearer v4"}
    async with served(WHO, monkeypatch) as api, aiohttp.ClientSession() as session:
        url = f"{api.url}/v1/alerts/socket"
        for query, who, expected in (
            ("", "pub", 403),
            ("?units=ICU", "v4", 403),
            ("?after=!", "v4", 422),
            ("?unit=4B", "v4", 422),
        ):
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await session.ws_connect(url + query, headers={"Authorization": f"Bearer {who}"})
            assert refused.value.status == expected
        async with session.ws_connect(url, headers=headers) as heard:
            begun = json.loads((await heard.receive(timeout=20)).data)["id"]
            api.put(alert("there", unit="ICU"))
            api.put(alert("here"))
            message = json.loads((await heard.receive(timeout=20)).data)
            assert (message["silent"], message["alert"]["patient_id"]) == (False, "p-here")
        async with session.ws_connect(f"{url}?after={begun}", headers=headers) as again:
            await again.receive(timeout=20)
            assert json.loads((await again.receive(timeout=20)).data) == message
        await until(lambda: api.hub._streams == 0)  # whoever goes is forgotten
