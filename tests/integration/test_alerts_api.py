"""Alerts reach subscribers: the API on a real broker, struck while it tells, with a client of its own a channel."""

from __future__ import annotations

import asyncio
import http.client
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from websockets.sync.client import connect

from tests.alerts import Stream, alert, publish
from tests.events import directive, vitals
from tests.gateways import Gateways, kill
from tests.reading import read_all
from tests.test_readme import blocks
from tests.workers import LANES, Workers
from wardstream.client import Publisher
from wardstream.infra.audit import verify_audit
from wardstream.infra.kafka.broker import Cluster
from wardstream.schemas.alerts import Alert

pytestmark = [pytest.mark.connected, pytest.mark.timeout(600)]

WAIT_S = 90.0


class Site:
    """A broker, an API with tokens, and what asks it."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.cluster, self.folder = cluster, folder
        self.client = cluster.client_options()
        self.gateways = Gateways(
            cluster, folder, TOKENS_FILE=str(folder / "tokens.json"), API_LISTEN="127.0.0.1:0", CLOCK="feed"
        )
        self.tokens = {
            name: self.gateways.run("tokens", "add", name, "--role", role, *units).stdout.strip()
            for name, role, units in (
                ("nurse", "clinician", ("--unit", "4B")),
                ("other", "viewer", ("--unit", "ICU")),
                ("chief", "operator", ()),
            )
        }
        self.process, self.port = self.gateways.start("api")
        self.gateways.environment["WARDSTREAM_API_LISTEN"] = f"127.0.0.1:{self.port}"

    def put(self, *alerts: Alert) -> None:
        asyncio.run(publish(self.client, alerts, LANES))

    def ask(self, method: str, path: str, who: str, body: Any = None) -> tuple[int, Any]:
        """Status and answer; 503 is asked again."""
        deadline = time.monotonic() + WAIT_S
        while True:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT_S)
            data = None if body is None else json.dumps(body)
            connection.request(method, path, data, {"Authorization": f"Bearer {self.tokens[who]}"})
            response = connection.getresponse()
            raw = response.read()
            connection.close()
            if response.status != 503 or time.monotonic() > deadline:
                return response.status, json.loads(raw) if raw else None
            time.sleep(0.5)

    def restart(self) -> None:
        self.process, port = self.gateways.start("api")
        assert port == self.port


@pytest.fixture
def site(own_kafka: Cluster, tmp_path: Path) -> Iterator[Site]:
    made = Site(own_kafka, tmp_path)
    try:
        yield made
    finally:
        made.gateways.end()


class Follower(threading.Thread):
    """Reads a stream by SSE until it has what is expected, coming back with the last id whenever it breaks."""

    def __init__(self, site: Site, who: str, expected: int, query: str = "") -> None:
        super().__init__(daemon=True)
        self._site, self._who, self._query, self._expected = site, who, query, expected
        self.told: list[tuple[str, int, str]] = []  # alert, number, event_id
        self.breaks = 0
        self.begun = threading.Event()
        self.start()

    def run(self) -> None:
        last, deadline = None, time.monotonic() + WAIT_S * 2
        while time.monotonic() < deadline:
            try:
                stream = Stream(self._site.port, self._site.tokens[self._who], self._query, last)
                for line in iter(stream.response.readline, b""):
                    if line.startswith(b"id:"):
                        stream.id = line.decode().removeprefix("id:").strip()
                        break
                last = stream.id
                self.begun.set()
                for _, told in stream.events():
                    last = stream.id
                    self.told.append((told["alert_id"], told["number"], told["event_id"]))
                    if len(set(self.told)) >= self._expected:
                        return
            except (OSError, http.client.HTTPException, AssertionError):
                time.sleep(0.2)
            self.breaks += 1


def test_every_transition_comes_though_the_api_is_killed_and_kafka_is_away(site: Site) -> None:
    names, steps = [f"a{number}" for number in range(60)], (1, 2, 3, 4)
    mine = [alert(name, step, unit="4B") for step in steps for name in names]
    others = [alert(f"i{name}", step, unit="ICU") for step in steps for name in names]
    followers = {who: Follower(site, who, count) for who, count in (("nurse", 240), ("other", 240), ("chief", 480))}
    assert all(follower.begun.wait(WAIT_S) for follower in followers.values())
    for number in range(0, 240, 24):
        site.put(*mine[number : number + 24], *others[number : number + 24])
        if number in (48, 144):  # during the delivery
            kill(site.process)
            site.restart()
        if number == 96:
            site.cluster.kill(1)
            time.sleep(3)
            site.cluster.start(1)
    for follower in followers.values():
        follower.join(WAIT_S * 2)
        assert not follower.is_alive()
    for who, wanted in (("nurse", mine), ("other", others), ("chief", mine + others)):
        told = followers[who].told
        assert set(told) == {(str(one.alert_id), one.number, str(one.event_id)) for one in wanted}, who
        first: dict[str, list[int]] = {}
        for alert_id, number, _ in dict.fromkeys(told):
            first.setdefault(alert_id, []).append(number)
        assert all(numbers == sorted(numbers) for numbers in first.values())
        assert followers[who].breaks >= 2


def test_lists_say_how_old_they_are_while_kafka_is_away(site: Site) -> None:
    site.put(alert("a"))

    def as_of() -> str:
        status, found = site.ask("GET", "/v1/alerts", "nurse")
        assert status == 200
        return str(found["as_of"])

    def reaches(holds: Callable[[str, str], bool]) -> str:
        deadline, before = time.monotonic() + WAIT_S, as_of()
        while time.monotonic() < deadline:
            time.sleep(3)
            if holds(before, now := as_of()):
                return now
            before = now
        raise AssertionError(f"as of {before}")

    reaches(lambda before, now: now > before)
    site.cluster.kill(1)
    stopped = reaches(lambda before, now: now == before)
    site.cluster.start(1)
    reaches(lambda before, now: now > before > stopped)


def test_what_nobody_has_touched_for_a_week_is_listed_after_a_restart(site: Site) -> None:
    kill(site.process)
    day_ms, now_ms = 86_400_000, int(time.time() * 1000)
    for days, steps in (
        (80, [alert("old"), alert("gone"), alert("seen")]),
        (9, [alert("old", 2), alert("before", 3), alert("before", 4)]),
        (3, [alert("gone", 4)]),
        (0, [alert("seen", 2)]),
    ):
        asyncio.run(publish(site.client, steps, LANES, at_ms=now_ms - days * day_ms))
    site.restart()
    deadline, found = time.monotonic() + WAIT_S, set[tuple[str, int]]()
    while ("p-old", 2) not in found:
        assert time.monotonic() < deadline, found
        _, said = site.ask("GET", "/v1/alerts", "nurse")
        found = {(one["patient_id"], one["number"]) for one in said["alerts"]}
        time.sleep(0.2)
    assert found == {("p-old", 2), ("p-seen", 2)}
    at_terminal = [site.gateways.run("alerts", "show", *more).stdout for more in ((), ("--days", "90"))]
    assert [[name in text for name in ("p-old", "p-seen", "p-gone")] for text in at_terminal] == [
        [False, True, False],
        [True, True, False],
    ]
    assert len(site.gateways.run("alerts", "show", f"{alert('old').alert_id}").stdout.splitlines()) == 2
    ran = site.gateways.run("alerts", "ack", f"{alert('old').alert_id}", TOKEN=site.tokens["nurse"])
    assert ran.returncode == 0, ran.stderr
    assert "p-" not in ran.stdout


def test_orders_are_read_from_kafka_whoever_gave_them(site: Site) -> None:
    """Through restarts of the API and of Kafka: what holds is listed, and can be taken back."""
    site.put(alert("a"))
    now = datetime.now(UTC)
    path, body = "/v1/patients/p-a/directives", {"kind": "comfort_care"}

    def listed(who: str) -> set[str]:
        status, found = site.ask("GET", "/v1/directives", who)
        assert status == 200
        return {one["event_id"] for one in found["directives"]}

    def comes(who: str, wanted: set[str]) -> None:
        deadline = time.monotonic() + WAIT_S
        while (found := listed(who)) != wanted:
            assert time.monotonic() < deadline, (found, wanted)
            time.sleep(0.2)

    def elsewhere(name: str, hours: float, lasts_h: float) -> str:
        """An order by another system, given so many hours from now."""
        given = now + timedelta(hours=hours)
        order = directive(name, 0, "comfort_care", 1, source="ehr", patient_id="p-a", unit="4B")
        until = given + timedelta(hours=lasts_h)
        order = replace(order, observed_at=given, received_at=max(given, now), expires_at=until)

        async def publish_it() -> None:
            async with Publisher(**site.client) as publisher:
                await publisher.publish(order)

        asyncio.run(publish_it())
        return f"{order.event_id}"

    status, mine = site.ask("POST", path, "nurse", body | {"expires_at": f"{now + timedelta(hours=48):%FT%TZ}"})
    assert status == 200, mine
    theirs = elsewhere("theirs", -6.9 * 24, 7 * 24)
    elsewhere("ended", -50, 24)
    comes("nurse", {mine["event_id"], theirs})
    assert listed("other") == set()
    site.cluster.kill(1)
    kill(site.process)
    site.cluster.start(1)
    site.restart()
    comes("nurse", {mine["event_id"], theirs})
    back = body | {"expires_at": f"{now + timedelta(hours=1):%FT%TZ}", "status": "cancelled", "supersedes": theirs}
    assert site.ask("POST", path, "nurse", back)[0] == 200
    comes("nurse", {mine["event_id"]})
    kill(site.process)
    site.restart()
    comes("nurse", {mine["event_id"]})


def test_a_websocket_goes_on_where_it_was(site: Site) -> None:
    url = f"ws://127.0.0.1:{site.port}/v1/alerts/socket"
    headers = {"Authorization": f"Bearer {site.tokens['nurse']}"}
    with connect(url, additional_headers=headers) as socket:
        after = json.loads(socket.recv(WAIT_S))["id"]
        site.put(alert("a"), alert("b", unit="ICU"), alert("a", 2))
        told = [json.loads(socket.recv(WAIT_S)) for _ in range(2)]
        assert [one["alert"]["number"] for one in told] == [1, 2]
    kill(site.process)
    site.put(alert("a", 3), alert("b", 2, unit="ICU"))
    site.restart()
    site.ask("GET", "/v1/alerts", "nurse")
    for begin, numbers in ((told[0]["id"], [2, 3]), (after, [1, 2, 3])):
        with connect(f"{url}?after={begin}", additional_headers=headers) as socket:
            socket.recv(WAIT_S)
            assert [json.loads(socket.recv(WAIT_S))["alert"]["number"] for _ in numbers] == numbers


def test_subscriptions_live_in_kafka(site: Site) -> None:
    body = {"wanted": {"units": ["4B"], "priorities": ["high"]}}
    status, made = site.ask("POST", "/v1/subscriptions", "nurse", body)
    assert (status, made["scope"], made["who"]) == (201, ["4B"], "nurse")
    path = f"/v1/subscriptions/{made['id']}"
    assert site.ask("POST", "/v1/subscriptions", "nurse", {"wanted": {"units": ["ICU"]}})[0] == 403
    assert site.ask("POST", "/v1/subscriptions", "nurse", {"webhook": {"url": "https://x.example/"}})[0] == 503
    kill(site.process)
    site.restart()
    assert site.ask("GET", path, "nurse") == (200, made)
    assert site.ask("GET", path, "other")[0] == 404
    assert site.ask("PATCH", path, "other", {"paused": True})[0] == 404
    assert site.ask("GET", path, "chief") == (200, made)
    assert site.ask("PATCH", path, "chief", {"wanted": {"units": ["ICU"]}})[0] == 403
    stream = Stream(site.port, site.tokens["nurse"], f"?subscription={made['id']}")
    events = stream.events()
    time.sleep(1)
    site.put(alert("low"), alert("ill", priority="high"))
    assert next(events)[1]["patient_id"] == "p-ill"
    stream.close()
    status, changed = site.ask("PATCH", path, "nurse", {"paused": True})
    assert (status, changed["paused"], changed["wanted"]) == (200, True, made["wanted"])
    assert site.ask("GET", f"/v1/alerts/stream?subscription={made['id']}", "nurse")[0] == 409
    assert site.ask("PATCH", path, "chief", {"paused": False})[1]["who"] == "nurse", "an operator may have it go on"
    assert site.ask("DELETE", path, "chief") == (204, None), "and end it"
    assert site.ask("GET", path, "nurse")[0] == 404
    assert asyncio.run(verify_audit(site.client)).records == 4


def test_from_vital_signs_to_an_answer(site: Site, tmp_path: Path) -> None:
    """With a worker: an alert comes by SSE, is acknowledged by API and snoozed at a terminal, and says so itself."""
    workers = Workers(site.gateways.environment, tmp_path)
    stream = Stream(site.port, site.tokens["chief"])
    site.tokens["doctor"] = site.gateways.run("tokens", "add", "doctor", "--role", "clinician").stdout.strip()
    try:
        workers.start()

        async def measure() -> None:
            async with Publisher(**site.client) as publisher:
                await publisher.publish(vitals("v1", 0, respiratory_rate_per_min=28.0, spo2_percent=88.0))

        asyncio.run(measure())
        events = stream.events()
        _, raised = next(events)
        assert (raised["transition"], raised["number"]) == ("raised", 1)
        path = f"/v1/alerts/{raised['alert_id']}/answers"
        status, _ = site.ask("POST", path, "doctor", {"action": "acknowledge", "seen": 1})
        assert status == 200
        _, acknowledged = next(events)
        assert (acknowledged["transition"], acknowledged["actor"]) == ("acknowledged", "doctor")
        ran = site.gateways.run("alerts", "ack", raised["alert_id"], "--snooze", "30", TOKEN=site.tokens["doctor"])
        assert ran.returncode == 0, ran.stderr
        _, snoozed = next(events)
        assert snoozed["state"] == "snoozed"
        assert site.gateways.run("alerts", "ack", raised["alert_id"], TOKEN=site.tokens["chief"]).returncode == 2
        shown = site.gateways.run("alerts", "show").stdout
        assert raised["alert_id"] in shown
        assert "snoozed" in shown
        lines = site.gateways.run("alerts", "tail", "--no-follow").stdout.splitlines()
        assert [line.split(" ")[5] for line in lines if "acknowledged by doctor" in line] != []
        assert len(lines) == 3
        assert len(site.gateways.run("alerts", "show", raised["alert_id"]).stdout.splitlines()) == 3
    finally:
        workers.end()
    found = asyncio.run(read_all(",".join(site.cluster.bootstrap_servers), ["acknowledgements.v1"]))
    assert [json.loads(row.value)["action"] for row in found["acknowledgements.v1"]] == ["acknowledge", "snooze"]
    assert asyncio.run(verify_audit(site.client)).records == 2


def test_the_client_of_the_readme(site: Site) -> None:
    """The example as it stands, but for address and token; it goes on when the API is killed."""
    example = next(block for block in blocks("python") if "AlertSubscription" in block)
    assert len([line for line in example.splitlines() if line.strip()]) < 10
    there = example.replace("https://api:8444", f"http://127.0.0.1:{site.port}").replace("ws_…", site.tokens["nurse"])
    assert there != example
    said = site.folder / "said"
    with said.open("w") as output:
        client = subprocess.Popen([sys.executable, "-u", "-c", there], stdout=output, stderr=subprocess.STDOUT)
    try:
        names = [f"a{number}" for number in range(200)]
        for name in names:  # until it is there
            site.put(alert(name, priority="high"))
            if said.read_text():
                break
            time.sleep(0.3)
        kill(site.process)
        site.put(alert("while-away", priority="high"), alert("low"), alert("there", priority="high", unit="ICU"))
        site.restart()
        deadline = time.monotonic() + WAIT_S
        while "p-while-away" not in said.read_text() and time.monotonic() < deadline:
            assert client.poll() is None
            time.sleep(0.2)
        assert "p-while-away raised invented" in said.read_text()
        assert "p-low" not in said.read_text()
        assert "p-there" not in said.read_text()
    finally:
        client.kill()
        client.wait()
    found = asyncio.run(read_all(",".join(site.cluster.bootstrap_servers), ["acknowledgements.v1"]))
    answered = [json.loads(row.value) for row in found["acknowledgements.v1"]]
    assert answered
    assert {one["actor"] for one in answered} == {"nurse"}
