"""The board on loopback without Kafka: events are put into its ward by hand, and a relay before it can be cut."""

from __future__ import annotations

import asyncio
import io
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from PIL import Image

from tests.alerts import alert
from tests.board.browser import Browser
from tests.infra.api.serving import PARTS, Known, Served, holder
from tests.infra.gateways.senders import FakeWay
from wardstream.agents.metrics import Meters
from wardstream.infra.api import orders as orders_module
from wardstream.infra.api.app import Api
from wardstream.infra.api.hub import Hub
from wardstream.infra.api.ordered import Ordered
from wardstream.infra.api.orders import Orders
from wardstream.infra.api.ring import Ring, Row
from wardstream.infra.api.subscribing import Subscribing
from wardstream.infra.audit import Deed
from wardstream.infra.board import looks as looks_module
from wardstream.infra.board.board import Board
from wardstream.infra.board.flows import Flows
from wardstream.infra.board.looks import Looks, Names
from wardstream.infra.board.models import Models
from wardstream.infra.board.pages import files
from wardstream.infra.board.patient_routes import PatientRoutes
from wardstream.infra.board.routes import Parts, Routes
from wardstream.infra.board.system import Systems
from wardstream.infra.gateways.delivery import Delivery
from wardstream.infra.gateways.web import Server, configured
from wardstream.infra.identities import IdentitySeals
from wardstream.infra.subscriptions import Secrets
from wardstream.schemas.alerts import Alert
from wardstream.schemas.findings import Finding, Region
from wardstream.schemas.hl7v2 import Person
from wardstream.schemas.imaging import Imaging
from wardstream.schemas.occupancy import Occupancy
from wardstream.schemas.predictions import Contribution, Prediction
from wardstream.schemas.scores import Score, Scores
from wardstream.schemas.vitals import Vitals

KEY = bytes(32)
HOLDERS = (
    holder("nurse", "clinician"),
    holder("second", "clinician"),
    holder("viewer-a", "viewer", units=["ward-a"]),
    holder("engineer", "clinician", "operator"),
)
VITALS: dict[str, Any] = {
    "respiratory_rate_per_min": 14.0,
    "spo2_percent": 97.0,
    "supplemental_oxygen": False,
    "systolic_mmhg": 124.0,
    "heart_rate_bpm": 72.0,
    "consciousness": "A",
    "temperature_celsius": 36.8,
}


class Relay:
    """Hands bytes on to a port, until it is cut: then all connections break, and new ones too."""

    def __init__(self, to: int) -> None:
        self._to, self._open = to, True
        self._writers: set[asyncio.StreamWriter] = set()
        self.port = 0

    async def start(self) -> asyncio.Server:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        return server

    def cut(self) -> None:
        self._open = False
        for writer in self._writers:
            writer.transport.abort()

    def heal(self) -> None:
        self._open = True

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._open:
            writer.transport.abort()
            return
        there, back = await asyncio.open_connection("127.0.0.1", self._to)
        both = {writer, back}
        self._writers |= both
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_hand_on(reader, back))
                group.create_task(_hand_on(there, writer))
        finally:
            self._writers -= both
            for one in both:
                one.transport.abort()


async def _hand_on(source: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while chunk := await source.read(65536):
            to.write(chunk)
            await to.drain()
    to.transport.abort()


class Shown(Served):
    """The board at `url`; what is put into its ward is told within a second."""

    board: Board
    relay: Relay

    def say(self, alert: Alert) -> Row:
        """An alert's transition is read."""
        return self.put(alert)

    def patient(self, name: str, unit: str, bed: str, news2: float, p: float = 0.05, **fields: Any) -> None:
        """Somebody in a bed, measured just now, with a score, and a model's answer."""
        now = datetime.now(UTC)
        part = round(news2 / 3)
        missing = fields.pop("missing", ())
        values = VITALS | fields
        envelope: dict[str, Any] = {"source": "test", "patient_id": name, "observed_at": now, "received_at": now}
        since = now - timedelta(days=2)
        derived = envelope | {"provenance": "derived"}
        parts = {one: 3.0 if place < part else 0.0 for place, one in enumerate(VITALS) if one not in missing}
        score = Score(
            name="news2",
            version="rcp-2017.1",
            value=news2,
            complete=not missing,
            parts=parts,
            missing=tuple(missing),
            band="high" if news2 >= 7 else "medium" if news2 >= 5 else "low",
        )
        why = Contribution(feature="breathing", contribution=0.8, text="respiratory rate 26 /min (this hour)")
        for event in (
            Occupancy(
                **derived,
                event_id=uuid4(),
                encounter_id=f"e-{name}",
                state="present",
                unit=unit,
                bed=bed,
                patient_class="inpatient",
                since=since,
                admitted_at=since,
                age_years=71,
                sex="female",
            ),
            Vitals(**envelope, event_id=uuid4(), **values),
            Scores(**derived, event_id=uuid4(), caused_by=uuid4(), scores=(score,)),
            Prediction(
                **derived,
                event_id=uuid4(),
                caused_by=uuid4(),
                model="sepsis",
                version="1",
                target="sepsis_onset",
                horizon_h=6,
                probability=p,
                calibrated_probability=p,
                contributions=(why,),
                input_from=since,
                input_until=now,
                staleness_s=0,
                missing=("lactate_mmol_per_l",),
            ),
        ):
            self.board.ward.apply(event)

    def named(self, name: str, family: str, given: str) -> None:
        """A patient's identity is known."""
        person = Person(patient_id=name, authority="test", number="1", family=family, given=given)
        self.board.ward.identity(name, IdentitySeals([KEY]).seal(person, "test", datetime.now(UTC)))

    def film(self, name: str, **fields: Any) -> UUID:
        """A film of a patient, and what a model found on it; the finding's id."""
        now = datetime.now(UTC)
        about: dict[str, Any] = {"source": "test", "patient_id": name, "observed_at": now, "received_at": now}
        image = Imaging(**about, event_id=uuid4(), study_uid="1.2", modality="DX", pixels_uri="file:///films/1.png")
        found = Finding(
            **about,
            provenance="derived",
            event_id=uuid4(),
            caused_by=image.event_id,
            model="chest_xray",
            version="1",
            finding="pneumonia",
            probability=0.7,
            calibrated_probability=0.7,
            caveat="No diagnosis: a person must read the film.",
            region=Region(left=0.1, top=0.4, right=0.4, bottom=0.9),
            saliency_uri="file:///films/1.wardstream.png",
            **fields,
        )
        for event in (image, found):
            self.board.ward.apply(event)
        return found.event_id


class Pictures:
    """Shows one grey film and one saliency picture, whatever is asked for."""

    def may_show(self, uri: str) -> bool:
        return True

    async def film(self, image: Imaging, finding: Finding) -> bytes:
        return _png(Image.new("L", (64, 48), 90))

    async def saliency(self, finding: Finding) -> bytes:
        return _png(Image.new("RGBA", (64, 48), (255, 90, 0, 128)))


def _png(picture: Image.Image) -> bytes:
    out = io.BytesIO()
    picture.save(out, "PNG")
    return out.getvalue()


def raised(name: str, unit: str, bed: str, number: int = 1, **fields: Any) -> Alert:
    """A transition of the alert of a patient: raised, escalated, acknowledged, resolved."""
    more = {"patient_id": name, "priority": "high", "reason": "NEWS2 is 9: respiratory rate 28/min"}
    return alert(name, number, **(more | {"unit": unit, "bed": bed} | fields))


@asynccontextmanager
async def shown(monkeypatch: pytest.MonkeyPatch, path: Path = Path("absent")) -> AsyncIterator[Shown]:
    """The board, its clock running; tokens are the names of HOLDERS."""
    meters, way = Meters(), FakeWay()
    delivery, hub = Delivery(lambda: way, meters), Hub({}, meters)
    hub._ring = Ring((0,) * PARTS, 1000)
    hub._ready.set()
    subscribing = Subscribing({}, "test", Secrets([bytes(32)]))
    subscribing._table = {}
    ordered = Ordered({})
    ordered._ready.set()
    orders = Orders({}, "test", hub, ordered, delivery)
    api = Api(Known(*HOLDERS), hub, subscribing, ordered, orders)
    app = api.app()
    board = Board()
    systems = Systems(board.clock.wall)
    parts = Parts(systems, Flows(), Models(board.ward, path), files(), names=True)
    Routes(api.door, api.streams, hub, board, parts).mount(app)
    looks = Looks({}, "test", orders.turn, meters)
    PatientRoutes(api.door, board, looks, Names({}, [KEY]), Pictures()).mount(app)
    hub.listeners.append(board.hear)
    board.source_ok = True
    board.begin()
    server = Server(configured(app, None))
    listening = socket.create_server(("127.0.0.1", 0))
    relay = Relay(listening.getsockname()[1])
    relaying = await relay.start()
    one = Shown(hub, subscribing, ordered, way, relay.port)
    one.board, one.relay = board, relay

    async def written(*_: Any, **said: Any) -> None:
        one.audit.append(said)

    async def noted(_client: object, _app_id: str, deeds: list[Deed]) -> None:
        one.audit += [{"who": deed.who, "what": deed.what, "patient_id": deed.patient_id} for deed in deeds]

    monkeypatch.setattr(orders_module, "write_audit", written)
    monkeypatch.setattr(looks_module, "write_deeds", noted)
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    running = [asyncio.create_task(body) for body in (delivery.run(), board.run(), systems.run())]
    try:
        yield one
    finally:
        board.close()
        server.should_exit = True
        relay.cut()
        relaying.close()
        await hub.close()
        await asyncio.wait([serving], timeout=20)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def sign_in(chrome: Browser, board: Shown, who: str, **options: object) -> None:
    """A browser of somebody's own, at the ward, live."""
    await chrome.do(
        who,
        f"tools.origin = '{board.url}'; await page.goto('{board.url}/#token={who}');"
        "await page.locator('#live-text', { hasText: 'Live' }).waitFor();"
        "await page.locator('.grid').waitFor()",
        **options,
    )
