"""The ward board on a real broker and a worker: somebody gets worse, and who may see it does; the server is killed."""

from __future__ import annotations

import asyncio
import http.client
import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaProducer

from tests.alerts import Stream
from tests.events import WELL
from tests.gateways import Gateways, kill
from tests.workers import Workers
from wardstream.infra.audit import verify_audit
from wardstream.infra.kafka.broker import Cluster
from wardstream.schemas.admissions import Admission
from wardstream.schemas.decode import check, encode
from wardstream.schemas.envelope import Event
from wardstream.schemas.vitals import Vitals

pytestmark = [pytest.mark.connected, pytest.mark.timeout(600)]

WAIT_S = 120.0
ILL = WELL | {"respiratory_rate_per_min": 28.0, "spo2_percent": 88.0, "systolic_mmhg": 84.0, "heart_rate_bpm": 132.0}


class Site:
    """A broker, a worker, and the API with tokens."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.client = cluster.client_options()
        self.gateways = Gateways(cluster, folder, TOKENS_FILE=str(folder / "tokens.json"), API_LISTEN="127.0.0.1:0")
        self.workers = Workers(self.gateways.environment, folder)
        self.workers.start()
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

    def publish(self, made: type[Event], patient: str, minutes_ago: float, **fields: Any) -> None:
        at = datetime.now(UTC) - timedelta(minutes=minutes_ago)
        stated = {"event_id": uuid4(), "source": "test", "patient_id": patient, "observed_at": at, "received_at": at}
        event = made(**stated, **fields)
        check(event)
        topic = "vitals.v1" if made is Vitals else "admissions.v1"

        async def send() -> None:
            async with AIOKafkaProducer(**self.client, enable_idempotence=True) as producer:
                await producer.send_and_wait(topic, encode(event), patient.encode())

        asyncio.run(send())

    def stream(self, who: str, last: str | None = None) -> Stream:
        """A stream of the board; until the server has read Kafka it says 503."""
        deadline = time.monotonic() + WAIT_S
        while True:
            try:
                return Stream(self.port, self.tokens[who], last=last, path="/v1/board/stream")
            except (AssertionError, OSError):
                assert time.monotonic() < deadline
                time.sleep(0.5)

    def ask(self, path: str, who: str) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT_S)
        connection.request("GET", path, headers={"Authorization": f"Bearer {self.tokens[who]}"})
        response = connection.getresponse()
        raw = response.read()
        connection.close()
        return response.status, json.loads(raw)

    def end(self) -> None:
        self.gateways.end()
        self.workers.end()


@pytest.fixture
def site(own_kafka: Cluster, tmp_path: Path) -> Iterator[Site]:
    made = Site(own_kafka, tmp_path)
    try:
        yield made
    finally:
        made.end()


class Board:
    """What a page would know: tiles and alerts, kept as the stream says; `heard` is all that came, as text."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.tiles: dict[str, Any] = {}
        self.alerts: dict[str, Any] = {}
        self.heard: list[str] = []
        self._events = stream.events()

    def next(self) -> str:
        name, data = next(self._events)
        self.heard.append(json.dumps(data))
        if name == "reset":
            self.tiles = {tile["patient_id"]: tile for tile in data["tiles"]}
        elif name == "tiles":
            self.tiles |= {tile["patient_id"]: tile for tile in data["changed"]}
            for gone in data["gone"]:
                self.tiles.pop(gone, None)
        elif name == "alerts":
            self.alerts |= {one["alert_id"]: one for one in data["changed"]}
        return name

    def until(self, holds: Callable[[], Any]) -> None:
        deadline = time.monotonic() + WAIT_S
        while not holds():
            assert time.monotonic() < deadline, self.heard[-5:]
            self.next()


def test_who_gets_worse_is_seen_by_their_unit_and_the_server_may_die(site: Site) -> None:
    for patient, unit in (("P1", "4B"), ("P2", "ICU")):
        site.publish(Admission, patient, 30, kind="admit", unit=unit, bed="1", age_years=70.0, code_status="full")
        site.publish(Vitals, patient, 20, **WELL)
    nurse, other, chief = (Board(site.stream(who)) for who in ("nurse", "other", "chief"))
    nurse.until(lambda: nurse.tiles.get("P1", {}).get("news2") and nurse.tiles["P1"]["news2"]["value"] == 0)
    other.until(lambda: "P2" in other.tiles)
    site.publish(Vitals, "P1", 0, **ILL)
    for board in (nurse, chief):
        board.until(lambda board=board: board.tiles.get("P1", {}).get("priority") == "high")
        board.until(lambda board=board: any(one["condition"] == "news2" for one in board.alerts.values()))
    tile = nurse.tiles["P1"]
    assert (tile["unit"], tile["bed"], tile["code_status"]) == ("4B", "1", "full")
    assert tile["news2"]["value"] >= 7
    assert tile["values"]["heart_rate_bpm"]["value"] == 132.0
    assert set(tile["alerts"]) <= nurse.alerts.keys()
    site.publish(Vitals, "P2", 0, **(WELL | {"heart_rate_bpm": 91.0}))
    other.until(lambda: other.tiles["P2"]["values"]["heart_rate_bpm"]["value"] == 91.0)
    assert not any("P2" in one for one in nurse.heard)
    assert not any("P1" in one for one in other.heard)

    status, found = site.ask("/v1/board/patients/P1", "nurse")
    assert status == 200
    assert [value for _, value in found["vitals"]["heart_rate_bpm"]] == [72.0, 132.0]
    assert site.ask("/v1/board/patients/P1", "nurse")[0] == 200
    assert site.ask("/v1/board/patients/P2", "nurse")[0] == 404
    deadline = time.monotonic() + WAIT_S
    while not (looks := site.ask("/v1/board/patients/P1/looks", "nurse")[1]["looks"]):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert [(one["who"], one["what"]) for one in looks] == [("nurse", "patient_shown")]
    assert asyncio.run(verify_audit(site.client)).records == 1

    last = nurse.stream.id
    kill(site.process)
    site.process, port = site.gateways.start("api")
    assert port == site.port
    again = Board(site.stream("nurse", last))
    assert again.next() == "reset"
    assert list(again.tiles) == ["P1"]
    assert (again.tiles["P1"]["priority"], again.tiles["P1"]["news2"]["value"]) == ("high", tile["news2"]["value"])
    again.until(lambda: again.alerts)
    assert again.alerts.keys() >= set(again.tiles["P1"]["alerts"])
    kill(site.process)  # streams that are open must not hold up the end of the test
