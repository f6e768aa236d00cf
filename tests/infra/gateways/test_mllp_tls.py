"""The MLLP gateway over TLS: whose certificate is not ours, or has ended, is not let in, and that is told."""

from __future__ import annotations

import asyncio
import ssl
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.infra.gateways.certificates import Authority
from tests.infra.gateways.running import running
from tests.infra.gateways.senders import message
from wardstream.agents.metrics import HANDSHAKES_REFUSED, Meters
from wardstream.infra.gateways.listeners import Handshakes, server_context

NOT_LET_IN = (OSError, asyncio.IncompleteReadError, TimeoutError)


async def test_only_known_clients_over_tls(tmp_path: Path) -> None:
    authority, stranger = Authority(tmp_path / "ca"), Authority(tmp_path / "other", "stranger")
    context = server_context(*authority.certificate("server"), authority.file)
    async with running(tmp_path, context=context) as run:
        async with run.sender(ssl=authority.client("monitor")) as engine:
            assert await engine.ask(message("m1")) == ("AA", "m1")
        nameless = stranger.client("thief")
        nameless.load_verify_locations(authority.file)

        async def ask(**options: Any) -> None:
            async with run.sender(**options) as engine:
                engine.send(message("m2"))
                await engine.answer(2)

        for options in ({"ssl": authority.client()}, {"ssl": nameless}, {}):
            with pytest.raises(NOT_LET_IN):
                await ask(**options)
        async with run.sender(ssl=authority.client("monitor2")) as engine:
            assert await engine.ask(message("m3")) == ("AA", "m3")
    assert len(run.way.kept) == 2


async def test_who_is_not_let_in_is_counted_and_told_once_a_minute(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    authority, stranger = Authority(tmp_path / "ca"), Authority(tmp_path / "other", "stranger")
    meters, now = Meters(), [0.0]
    handshakes = Handshakes("icu", meters, lambda: now[0])
    context = handshakes.watch(server_context(*authority.certificate("server"), authority.file))
    late, nameless = authority.client("late", timedelta(minutes=-1)), stranger.client("thief")
    nameless.load_verify_locations(authority.file)

    async def ask(client: ssl.SSLContext) -> None:
        async with run.sender(ssl=client) as engine:
            engine.send(message("m"))
            await engine.answer(2)

    async with running(tmp_path, context=context) as run:
        async with run.sender(ssl=authority.client("monitor")) as engine:
            assert await engine.ask(message("m1")) == ("AA", "m1")
        for client in (late, late, nameless, authority.client()):
            with pytest.raises(NOT_LET_IN):
                await ask(client)
        now[0] = 60.0
        with pytest.raises(NOT_LET_IN):
            await ask(late)
    reasons = {labels[1]: count for (metric, labels), count in meters.values.items() if metric is HANDSHAKES_REFUSED}
    assert reasons["certificate has expired"] == 3
    assert sorted(reasons.values()) == [1, 1, 3]
    told = [record.getMessage() for record in caplog.records if "not let in" in record.getMessage()]
    assert len(told) == 4
    assert told[0] == told[-1] == "feed icu: a sender is not let in: certificate has expired"
