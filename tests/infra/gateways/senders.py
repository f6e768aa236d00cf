"""Senders of HL7 v2 for tests, a mapping that needs no knowledge of it, and a Kafka that can be told to fail."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid5

from hl7.mllp import open_hl7_connection

from tests.events import vitals
from wardstream.agents.metrics import Meters
from wardstream.agents.streams.dead_letters import DeadLetters
from wardstream.client.batches import Headers, PublishError
from wardstream.infra.gateways.mapper import Mapper
from wardstream.infra.identities import IdentitySeals
from wardstream.schemas.hl7v2 import Feed, Header, Malformed, Mapped, Person, Reject
from wardstream.schemas.pseudonym import Pseudonyms
from wardstream.schemas.vitals import Vitals

KEY = bytes(range(32))
NOW = datetime(2026, 3, 1, 8, tzinfo=UTC)
FEED = Feed(name="icu", timezone="UTC", authority="north", identifier_types=("MR",))
PATIENT = "p-8c5e0d1f2b3a49788c5e0d1f2b3a4978"


def pulse(name: str, minutes: float = 0) -> Vitals:
    """A heart rate of somebody who has a pseudonym."""
    return vitals(name, minutes, patient_id=PATIENT, heart_rate_bpm=70.0)


def message(control_id: str, *parts: str, accept: str = "", application: str = "", kind: str = "ORU^R01") -> bytes:
    """A message that the mapping below understands: what is to become of it stands in ZZZ segments."""
    header = f"MSH|^~\\&|mon|icu|ws|hub|20260301080000||{kind}|{control_id}|P|2.5.1|||{accept}|{application}"
    return "\r".join((header, *(f"ZZZ|{part}" for part in parts), "")).encode()


def map_fake(raw: bytes, feed: Feed, pseudonyms: Pseudonyms, received_at: datetime) -> Mapped:
    """As `map_message` promises, of messages made by `message`; without parts they become one event."""
    lines = raw.decode(errors="replace").split("\r")
    fields = lines[0].split("|")
    if fields[0] != "MSH":
        raise Malformed("AE", "100", "MSH", "does not begin with MSH")
    fields += [""] * 20
    header = Header(
        sending_application=fields[2],
        sending_facility=fields[3],
        control_id=fields[9],
        type=fields[8],
        version=fields[11],
        processing_id="P",
        accept_ack=fields[14],
        application_ack=fields[15],
    )
    parts = [line.split("|", 1)[1] for line in lines[1:] if line.startswith("ZZZ|")] or ["event"]
    if "malformed" in parts:
        raise Malformed("AE", "101", "PID-3", "required", header)
    if "crash" in parts:
        raise RuntimeError("Meier")
    patient = pseudonyms.patient("north", "4711")
    events = tuple(
        Vitals(
            event_id=uuid5(UUID(int=1), f"{header.control_id}/{number}"),
            source=feed.name,
            patient_id=patient,
            observed_at=received_at,
            received_at=received_at,
            heart_rate_bpm=900.0 if part == "impossible" else 70.0,
        )
        for number, part in enumerate(parts)
        if part in ("event", "impossible")
    )
    people = tuple(
        Person(patient_id=patient, authority="north", number="4711", family=part.partition(" ")[2])
        for part in parts
        if part.startswith("person")
    )
    rejects = tuple(Reject("labs.v1", "wrong_type", ("OBX[1]-5",), raw) for part in parts if part == "reject")
    return Mapped(header, events, people, rejects, (("type", "SIU^S12"),) if "ignored" in parts else ())


def mapper(meters: Meters | None = None, **changes: Any) -> Mapper:
    given = {"letters": DeadLetters(KEY), "identities": IdentitySeals([KEY]), "map_message": map_fake} | changes
    return Mapper(FEED, Pseudonyms(KEY), meters=meters or Meters(), **given)


class FakeWay:
    """As much of `Brokers` as delivery uses. It keeps what is flushed while `up` is set, and fails while it is not."""

    def __init__(self) -> None:
        self.up = asyncio.Event()
        self.up.set()
        self.kept: list[tuple[str, str | None, bytes, Headers]] = []
        self.groups: list[int] = []
        self.opened = 0
        self._buffer: list[tuple[str, str | None, bytes, Headers]] = []

    async def open(self) -> None:
        self.opened += 1
        self._buffer = []
        self._check()

    async def close(self) -> None:
        pass

    async def add(self, topic: str, patient_id: str, value: bytes, headers: Headers = ()) -> None:
        self._buffer.append((topic, patient_id, value, headers))

    async def add_at(self, topic: str, partition: int, value: bytes, headers: Headers = ()) -> None:
        self._buffer.append((topic, None, value, headers))

    async def flush(self) -> None:
        await asyncio.sleep(0.001)
        self._check()
        self.kept += self._buffer
        self.groups.append(len(self._buffer))
        self._buffer = []

    async def partitions(self, topic: str) -> int:
        return 4

    def topics(self) -> list[str]:
        return [topic for topic, *_ in self.kept]

    def _check(self) -> None:
        if not self.up.is_set():
            raise PublishError("away")


async def until(condition: Callable[[], object], seconds: float = 60) -> None:
    """Wait for what another task brings about."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  there is no event to wait for
            await asyncio.sleep(0.01)


class Sender:
    """A connection as an integration engine has it."""

    def __init__(self, reader: Any, writer: Any) -> None:
        self.reader, self.writer = reader, writer

    def send(self, raw: bytes) -> None:
        self.writer.writeblock(raw)

    def write(self, raw: bytes) -> None:
        """Bytes as they are."""
        self.writer.write(raw)

    async def answer(self, seconds: float = 60) -> tuple[str, str]:
        """Code and control id of the next answer."""
        async with asyncio.timeout(seconds):
            return said(await self.reader.readblock())

    async def ask(self, raw: bytes, seconds: float = 60) -> tuple[str, str]:
        self.send(raw)
        return await self.answer(seconds)

    async def ended(self) -> bool:
        """Whether the other side closes the connection without another word."""
        async with asyncio.timeout(60):
            try:
                return not await self.reader.read()
            except ConnectionError:
                return True


def said(answer: bytes) -> tuple[str, str]:
    """MSA-1 and MSA-2, in the delimiters of the message that is answered."""
    line = next(line for line in answer.split(b"\r") if line.startswith(b"MSA")).decode()
    fields = line.split(line[3])
    return fields[1], [*fields, ""][2]


@asynccontextmanager
async def sender(port: int, **options: Any) -> AsyncIterator[Sender]:
    reader, writer = await open_hl7_connection("127.0.0.1", port, **options)
    try:
        yield Sender(reader, writer)
    finally:
        writer.close()
