"""Who may ask a process how it is, and what it answers."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from wardstream.agents import metrics as m
from wardstream.agents.metrics import Meters
from wardstream.agents.streams.snapshots import SILENT_S, Snapshots
from wardstream.infra.gateways.auth import add_token
from wardstream.infra.gateways.listeners import ListenerRefused
from wardstream.infra.observability.exposition import registry
from wardstream.infra.observability.listener import Check, WatchListener
from wardstream.infra.observability.worker import STILL_S, WorkerWatch
from wardstream.infra.settings import Settings, SettingsError, load_settings

Got = tuple[int, str, str]


@asynccontextmanager
async def listening(settings: Settings, checks: dict[str, Check] | None = None) -> AsyncIterator[str]:
    meters = Meters()
    meters.count(m.EVENTS, ("vitals.v1",), 5)
    listener = WatchListener(settings, registry(meters, {"role": "worker"}, lambda: None), checks or {})
    assert listener.address is not None
    task = asyncio.create_task(listener.run())
    try:
        yield listener.address
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def get(url: str, method: str = "GET", **headers: str) -> Got:
    async with asyncio.timeout(20), aiohttp.ClientSession() as session:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        async with session.request(method, url, headers=sent) as answer:
            return answer.status, answer.headers["content-type"], await answer.text()


@pytest.fixture
def settings() -> Settings:
    return load_settings(metrics_listen="127.0.0.1:0")


async def test_metrics_in_both_forms(settings: Settings) -> None:
    async with listening(settings) as url:
        status, kind, text = await get(f"{url}/metrics")
        assert status == 200
        assert kind.startswith("text/plain; version=")
        assert 'wardstream_events_total{topic="vitals.v1"} 5.0' in text
        assert "process_resident_memory_bytes" in text
        status, kind, text = await get(f"{url}/metrics", Accept="application/openmetrics-text; version=1.0.0")
        assert kind.startswith("application/openmetrics-text; version=1.0.0")
        assert "wardstream_events" in {family.name for family in text_string_to_metric_families(text)}


async def test_health(settings: Settings) -> None:
    trouble: list[str] = []
    checks: dict[str, Check] = {"kafka": lambda: None, "lanes": lambda: trouble[0] if trouble else None}
    async with listening(settings, checks) as url:
        assert (await get(f"{url}/healthz"))[0] == 200
        status, kind, text = await get(f"{url}/readyz")
        assert (status, kind, text) == (200, "application/json", '{"ready":true,"checks":{"kafka":"ok","lanes":"ok"}}')
        trouble.append("not open: 3")
        status, _, text = await get(f"{url}/readyz")
        assert (status, text) == (503, '{"ready":false,"checks":{"kafka":"ok","lanes":"not open: 3"}}')
        assert (await get(f"{url}/healthz"))[0] == 200  # to restart it would not help


async def test_nothing_else_is_there(settings: Settings) -> None:
    async with listening(settings) as url:
        assert (await get(f"{url}/"))[0] == 404
        assert (await get(f"{url}/metrics", "POST"))[0] == 405


async def test_browsers_are_not_let_in_without_tokens(settings: Settings) -> None:
    async with listening(settings) as url:
        assert (await get(f"{url}/metrics", Origin="http://evil.example"))[0] == 403
        assert (await get(f"{url}/metrics", Host="evil.example"))[0] == 403
        assert (await get(f"{url}/metrics", Host="localhost:1234"))[0] == 200


async def test_tokens(tmp_path: Path) -> None:
    file = tmp_path / "tokens.json"
    scraper = add_token(file, "prometheus", ["metrics"])
    operator = add_token(file, "ann", ["operator"])
    async with listening(load_settings(metrics_listen="127.0.0.1:0", tokens_file=file)) as url:
        assert (await get(f"{url}/metrics"))[0] == 401
        assert (await get(f"{url}/metrics", Authorization="Bearer ws_no"))[0] == 401
        assert (await get(f"{url}/metrics", Authorization=f"Bearer {operator}"))[0] == 403
        assert (await get(f"{url}/metrics", Authorization=f"Bearer {scraper}"))[0] == 200
        assert (await get(f"{url}/readyz"))[0] == 200


def test_beyond_loopback_it_needs_tls_and_tokens() -> None:
    with pytest.raises(ListenerRefused, match="without TLS and without tokens"):
        WatchListener(load_settings(metrics_listen="0.0.0.0:0"), registry(Meters(), {}, lambda: None), {})


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"metrics_listen": "9464"}, "METRICS_LISTEN: must be host:port"),
        ({"metrics_tls_cert": "a.pem"}, "METRICS_TLS_CERT and WARDSTREAM_METRICS_TLS_KEY belong together"),
    ],
)
def test_settings(wrong: dict[str, str], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        load_settings(**wrong)


async def test_nothing_listens_by_default() -> None:
    listener = WatchListener(load_settings(), registry(Meters(), {}, lambda: None), {})
    assert listener.address is None
    await asyncio.wait_for(listener.run(), 5)


class Lanes:
    """A consumer as far as the checks know it."""

    def __init__(self) -> None:
        self.in_group = False
        self.not_open: list[int] = []

    def closed(self) -> list[int]:
        return self.not_open


def test_a_worker_is_ready_when_its_lanes_are_open_and_move(monkeypatch: pytest.MonkeyPatch) -> None:
    lanes, still_s = Lanes(), [0.0]
    watch = WorkerWatch(Meters(), "worker", lambda: lanes, lambda: still_s[0])  # type: ignore[arg-type, return-value]

    def said() -> dict[str, str | None]:
        return {name: check() for name, check in watch.checks.items()}

    assert said() == {
        "kafka": "Kafka has not answered yet",
        "lanes": "the group has given it no lanes yet",
        "moving": None,
    }
    watch.snapshots = Snapshots(Meters(), {}, "worker")
    assert said()["kafka"] == "Kafka has not answered yet"
    now = [100.0]
    monkeypatch.setattr("wardstream.agents.streams.snapshots.time.monotonic", lambda: now[0])
    watch.snapshots.taken_at_s, lanes.in_group = 100.0, True
    assert set(said().values()) == {None}  # one that stands by has no lane that could be closed
    lanes.not_open = [1, 3]
    assert said()["lanes"] == "not open: 1, 3"
    now[0] += SILENT_S
    assert said()["kafka"] == f"Kafka has taken nothing for {SILENT_S:.0f} s"
    still_s[0] = STILL_S
    assert said()["moving"] == "a lane has stood still for 30 s while its input goes on"
