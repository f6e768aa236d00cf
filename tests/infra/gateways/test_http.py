"""The HTTP gateway as it is served, with a Kafka that can be told to fail; and the client that goes through it."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import jsonschema
import msgspec
import pytest

from tests.events import vitals
from tests.infra.gateways.certificates import Authority
from tests.infra.gateways.senders import PATIENT, FakeWay, pulse, until
from tests.tracing import CALLER, noted
from wardstream.agents.metrics import GATEWAY_REJECTS, HTTP_REQUESTS, Meters
from wardstream.agents.tracing import TRACEPARENT
from wardstream.client import Publisher, PublishError
from wardstream.client import gateway as client_module
from wardstream.infra.feeds.ndjson import BYTE_ORDER_MARK, publishable
from wardstream.infra.gateways import auth
from wardstream.infra.gateways import delivery as deliveries
from wardstream.infra.gateways.auth import Anyone, TokenFile, add_token
from wardstream.infra.gateways.delivery import Delivery
from wardstream.infra.gateways.http import Limits, make_app
from wardstream.infra.gateways.listeners import server_context
from wardstream.infra.gateways.web import Server, configured
from wardstream.schemas.bad_event import REASONS, BadEvent
from wardstream.schemas.decode import decoder, encode
from wardstream.schemas.pseudonym import Pseudonyms

NDJSON = {"Content-Type": "application/x-ndjson"}
JSON = {"Content-Type": "application/json"}
PSEUDONYMS = Pseudonyms(bytes(range(32)))
EXAMPLES = Path(__file__).resolve().parents[3] / "schemas" / "examples"


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliveries, "_FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(deliveries, "_LONGEST_PAUSE_S", 0.02)


class Served:
    """A gateway at `url`."""

    def __init__(self, url: str, way: FakeWay, meters: Meters) -> None:
        self.url, self.way, self.meters = url, way, meters

    async def post(
        self, body: bytes, headers: dict[str, str] | None = None, topic: str = "vitals.v1", **options: Any
    ) -> tuple[int, Any, Any]:
        """Status, answer and headers."""
        async with aiohttp.ClientSession() as session:
            url = f"{self.url}/v1/events/{topic}"
            async with session.post(url, data=body, headers=NDJSON | (headers or {}), **options) as response:
                raw = await response.read()
                return response.status, json.loads(raw), response.headers


@asynccontextmanager
async def served(
    authority: auth.Authority | None = None,
    context: ssl.SSLContext | None = None,
    limits: Limits | None = None,
    pseudonyms: Pseudonyms | None = None,
) -> AsyncIterator[Served]:
    way, meters = FakeWay(), Meters()
    delivery = Delivery(lambda: way, meters)
    server = Server(configured(make_app(authority or Anyone(), delivery, meters, limits, pseudonyms), context))
    listening = socket.create_server(("127.0.0.1", 0))
    tasks = [asyncio.create_task(delivery.run()), asyncio.create_task(server.serve(sockets=[listening]))]
    try:
        scheme = "http" if context is None else "https"
        yield Served(f"{scheme}://127.0.0.1:{listening.getsockname()[1]}", way, meters)
    finally:
        server.should_exit = server.force_exit = True
        await asyncio.wait(tasks[1:], timeout=60)
        tasks[0].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def lines(*events: Any) -> bytes:
    return b"\n".join(event if isinstance(event, bytes) else encode(event) for event in events) + b"\n"


async def test_each_line_has_its_result() -> None:
    good = pulse("a", 0)
    bad = encode(good).replace(b"70.0", b"900.0")
    async with served() as gateway:
        status, answer, _ = await gateway.post(lines(good, b"", bad, b"{Meier", pulse("b", 1)))
    assert status == 200
    assert answer == {
        "results": [
            {"line": 1, "accepted": True},
            {"line": 3, "accepted": False, "reason": "out_of_bounds", "fields": ["heart_rate_bpm"]},
            {"line": 4, "accepted": False, "reason": "malformed_json"},
            {"line": 5, "accepted": True},
        ]
    }
    assert [key for _, key, _, _ in gateway.way.kept] == [PATIENT, PATIENT]
    assert gateway.meters.values[GATEWAY_REJECTS, ("http", "vitals.v1", "out_of_bounds")] == 1


async def test_one_event_as_json() -> None:
    pretty = json.dumps(json.loads(encode(pulse("a", 0))), indent=2).encode()
    async with served() as gateway:
        assert (await gateway.post(pretty, JSON))[1] == {"results": [{"line": 1, "accepted": True}]}
        assert (await gateway.post(BYTE_ORDER_MARK + pretty, JSON))[1] == {"results": [{"line": 1, "accepted": True}]}
        assert (await gateway.post(BYTE_ORDER_MARK, NDJSON))[1] == {"results": []}
        assert (await gateway.post(b"[]", JSON))[1]["results"][0]["reason"] == "wrong_type"
        assert (await gateway.post(b"", NDJSON))[1] == {"results": []}


async def test_a_trace_goes_on_with_the_records() -> None:
    body = encode(pulse("a", 0))
    async with served() as gateway:
        with noted() as notes:
            await gateway.post(body, JSON | {"traceparent": CALLER})
            await gateway.post(b"no JSON", JSON)
        await gateway.post(body, JSON | {"traceparent": CALLER})
        assert [(span.name, span.parent) for span in notes.ended] == [
            ("receive vitals.v1", CALLER),
            ("receive vitals.v1", None),
        ]
        traced = ((TRACEPARENT, notes.ended[0].traceparent.encode()),)
        assert [headers for *_, headers in gateway.way.kept] == [traced, ()], "untraced as the process does not trace"


async def test_fields_that_the_schema_does_not_know_do_not_travel() -> None:
    event = {**json.loads(encode(pulse("a", 0))), "patient_name": "Anna Meier"}
    async with served() as gateway:
        assert (await gateway.post(json.dumps(event).encode()))[1]["results"] == [{"line": 1, "accepted": True}]
    assert b"Meier" not in gateway.way.kept[0][2]


async def test_who_may_publish(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    lab = add_token(path, "lab", ["publisher"])
    nurse = add_token(path, "nurse", ["viewer", "clinician", "operator"])
    body = lines(pulse("a", 0))
    async with served(TokenFile(path)) as gateway:
        for header in ({}, {"Authorization": "Bearer x"}, {"Authorization": f"Basic {lab}"}, {"Authorization": lab}):
            status, answer, headers = await gateway.post(body, header)
            assert (status, headers["WWW-Authenticate"]) == (401, "Bearer")
            assert lab not in str(answer)
        assert (await gateway.post(body, {"Authorization": f"Bearer {nurse}"}))[0] == 403
        assert gateway.way.kept == []
        assert (await gateway.post(body, {"Authorization": f"bearer {lab}"}))[0] == 200
        assert gateway.meters.values[HTTP_REQUESTS, ("vitals.v1", "401")] == 4


@pytest.mark.parametrize("topic", publishable())
async def test_what_names_somebody_otherwise_than_by_a_pseudonym_is_refused(tmp_path: Path, topic: str) -> None:
    """Of a token that does not say whose numbers its events have; and where nobody shows a token."""
    token = add_token(tmp_path / "tokens.json", "monitor", ["publisher"])
    mine = {"Authorization": f"Bearer {token}"}
    numbers = {"patient_id": "8847120", "encounter_id": "V-8847120", "order_id": "O-8847120", "study_uid": "1.8847120"}
    numbers |= {"merged_patient_id": "p-8847120", "series_uid": "1.8847120.1", "instance_uid": "1.8847120.1.1"}
    pseudonyms = {"patient_id": PATIENT, "encounter_id": f"e{PATIENT[1:]}", "order_id": f"o{PATIENT[1:]}"}
    pseudonyms |= {name: PSEUDONYMS.uid("1.2") for name in ("study_uid", "series_uid", "instance_uid")}
    pseudonyms |= {"merged_patient_id": PSEUDONYMS.patient("north", "2")}
    event = json.loads((EXAMPLES / f"{topic}.json").read_bytes())
    if topic == "admissions.v1":
        event |= {"kind": "merge", "merged_patient_id": ""}
    named = [name for name in numbers if name in event]
    event |= {name: pseudonyms[name] for name in named}
    bodies = [json.dumps(event | {name: numbers[name]}) for name in named]
    for authority, header in ((TokenFile(tmp_path / "tokens.json"), mine), (Anyone(), {})):
        async with served(authority) as gateway:
            _, answer, _ = await gateway.post("\n".join((json.dumps(event), *bodies)).encode(), header, topic)
            assert answer["results"][0] == {"line": 1, "accepted": True}
            assert answer["results"][1:] == [
                {"line": line, "accepted": False, "reason": "no_pseudonym", "fields": [name]}
                for line, name in enumerate(named, start=2)
            ]
            assert len(gateway.way.kept) == 1


@pytest.mark.parametrize("topic", publishable())
async def test_numbers_become_the_pseudonyms_that_hl7_has(tmp_path: Path, topic: str) -> None:
    """Of a token whose events name patients by the numbers that an authority gave."""
    token = add_token(tmp_path / "tokens.json", "monitor", ["publisher"], assigning_authority="north")
    mine = {"Authorization": f"Bearer {token}"}
    numbers = {"patient_id": "8847120", "encounter_id": "V-8847120", "order_id": "O-8847120", "study_uid": "1.8847120"}
    numbers |= {"merged_patient_id": "8847120.1", "series_uid": "1.8847120.1", "instance_uid": "1.8847120.1.1"}
    example = json.loads((EXAMPLES / f"{topic}.json").read_bytes())
    if topic == "admissions.v1":
        example |= {"kind": "merge", "merged_patient_id": ""}
    event = example | {name: number for name, number in numbers.items() if name in example}
    body = json.dumps(event).encode()
    authority = TokenFile(tmp_path / "tokens.json")
    async with served(authority, pseudonyms=PSEUDONYMS) as gateway:
        assert (await gateway.post(body, mine | JSON, topic))[1] == {"results": [{"line": 1, "accepted": True}]}
        ((_, key, value, _),) = gateway.way.kept
    sent = decoder(topic)(value)
    assert key == sent.patient_id == PSEUDONYMS.patient("north", "8847120")
    assert sent.encounter_id == PSEUDONYMS.encounter("north", "V-8847120")
    assert b"8847120" not in value
    async with served(authority) as gateway:
        status, answer, _ = await gateway.post(body, mine | JSON, topic)
        assert (status, answer) == (503, {"detail": "no key for pseudonyms is configured here"})
        assert gateway.way.kept == []


async def test_what_is_not_there_or_not_understood() -> None:
    body = lines(pulse("a", 0))
    async with served() as gateway:
        for topic in ("scores.v1", "ticks.v1", "metrics.v1", "identities.v1", "audit.v1", "nonsense"):
            assert (await gateway.post(body, topic=topic))[0] == 404
        for headers in ({"Content-Type": "text/plain"}, {"Content-Type": ""}, {"Content-Encoding": "gzip"}):
            assert (await gateway.post(body, headers))[0] == 415
        async with aiohttp.ClientSession() as session, session.get(f"{gateway.url}/v1/events/vitals.v1") as response:
            assert response.status == 405
    assert gateway.way.kept == []


async def test_limits_of_size() -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"x" * 100

    async with served(limits=Limits(body_bytes=1000, lines=3, held_bytes=1500)) as gateway:
        assert (await gateway.post(b"x" * 1001))[0] == 413
        assert (await gateway.post(chunks()))[0] == 413  # type: ignore[arg-type]  # of no declared length
        assert (await gateway.post(b"{}\n" * 3))[0] == 200
        assert (await gateway.post(b"{}\n" * 4))[0] == 413
        assert (await gateway.post(b"{}\n{}"))[0] == 200


async def test_too_much_at_a_time() -> None:
    async with served(limits=Limits(held_bytes=1000)) as gateway:
        gateway.way.up.clear()
        first = asyncio.create_task(gateway.post(lines(pulse("a", 0)) + b"\n" * 600))
        await until(lambda: gateway.way.opened)
        await asyncio.sleep(0.2)
        status, _, headers = await gateway.post(b"\n" * 600)
        assert (status, headers["Retry-After"]) == (429, "1")
        gateway.way.up.set()
        assert (await first)[0] == 200
        assert (await gateway.post(b"\n" * 600))[0] == 200


async def test_one_token_does_not_shut_the_others_out(tmp_path: Path) -> None:
    path = tmp_path / "tokens.json"
    slow, other = ({"Authorization": f"Bearer {add_token(path, name, ['publisher'])}"} for name in ("slow", "other"))
    body = lines(pulse("a", 0))
    limits = Limits(body_bytes=len(body), held_bytes=len(body) * 8)
    async with served(TokenFile(path), limits=limits) as gateway:
        gateway.way.up.clear()
        held = [asyncio.create_task(gateway.post(body, slow)) for _ in range(2)]
        await until(lambda: gateway.way.opened)
        await asyncio.sleep(0.2)
        assert (await gateway.post(body, slow))[0] == 429
        theirs = asyncio.create_task(gateway.post(body, other))
        await asyncio.sleep(0.2)
        gateway.way.up.set()
        assert [(await task)[0] for task in (*held, theirs)] == [200] * 3
        assert (await gateway.post(body, slow))[0] == 200


async def test_what_workers_would_refuse_as_of_the_future_is_refused() -> None:
    ahead = datetime.now(UTC) + timedelta(minutes=6)
    event = msgspec.structs.replace(pulse("a", 0), received_at=ahead)
    async with served() as gateway:
        status, answer, _ = await gateway.post(lines(event))
        assert (status, gateway.way.kept) == (200, [])
        (result,) = answer["results"]
        assert (result["accepted"], result["reason"], result["fields"]) == (False, "future", ["received_at"])


async def test_kafka_away() -> None:
    body = lines(pulse("a", 0))
    async with served(limits=Limits(deliver_s=0.3)) as gateway:
        gateway.way.up.clear()
        status, _, headers = await gateway.post(body)
        assert (status, headers["Retry-After"]) == (503, "5")
        gateway.way.up.set()
        assert (await gateway.post(body))[0] == 200


async def test_a_body_that_does_not_come() -> None:
    async def drip() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b"x"
            await asyncio.sleep(0.05)

    async with served(limits=Limits(body_s=0.3)) as gateway:
        try:
            status = (await gateway.post(drip()))[0]  # type: ignore[arg-type]
        except aiohttp.ClientError:
            status = 408  # it had hung up before the client looked
        assert status == 408


async def test_openapi_has_the_schemas_of_the_topics() -> None:
    examples = {topic: json.loads((EXAMPLES / f"{topic}.json").read_bytes()) for topic in publishable()}
    async with (
        served() as gateway,
        aiohttp.ClientSession() as session,
        session.get(f"{gateway.url}/openapi.json") as response,
    ):
        document = await response.json()
    assert document["openapi"].startswith("3.")
    assert set(document["paths"]) == {f"/v1/events/{topic}" for topic in publishable()}
    schemas = document["components"]["schemas"]
    assert schemas["Result"]["properties"]["reason"]["enum"] == ["", *REASONS]
    for topic in publishable():
        operation = document["paths"][f"/v1/events/{topic}"]["post"]
        assert operation["security"] == [{"token": []}]
        assert {"200", "401", "403", "408", "413", "415", "429", "503"} == set(operation["responses"])
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        validator = jsonschema.Draft202012Validator({**schema, "components": document["components"]})
        validator.validate(examples[topic])
        with pytest.raises(jsonschema.ValidationError):
            validator.validate({**examples[topic], "patient_id": "Anna Meier"})


class TestClient:
    """`Publisher` with a token: the same methods, over HTTP."""

    async def test_publishes_and_hears_that_it_arrived(self, tmp_path: Path) -> None:
        authority = Authority(tmp_path)
        path = tmp_path / "tokens.json"
        token = add_token(path, "lab", ["publisher"])
        context = server_context(*authority.certificate("server"))
        async with served(TokenFile(path), context) as gateway:
            async with Publisher(gateway.url, token=token, ssl_context=authority.client()) as publisher:
                for number in range(2500):
                    await publisher.send(pulse(f"v{number}", number))
                await publisher.flush()
                assert len(gateway.way.kept) == 2500
                await publisher.publish(pulse("last", 1))
                with pytest.raises(BadEvent):
                    await publisher.send(vitals_impossible())
                with pytest.raises(PublishError, match="ticks"):
                    await publisher.publish_tick(pulse("x", 0).observed_at, "replay")
            with pytest.raises(PublishError, match="does not know this token"):
                async with Publisher(gateway.url, token="ws_x", ssl_context=authority.client()):
                    pass
            with pytest.raises(PublishError, match="certificate"):
                async with Publisher(gateway.url, token=token, deadline_s=5):
                    pass
        ids = [json.loads(value)["event_id"] for _, _, value, _ in gateway.way.kept]
        assert len(ids) == len(set(ids)) == 2501

    async def test_leaves_by_itself(self) -> None:
        async with served() as gateway, Publisher(gateway.url) as publisher:
            await publisher.send(pulse("a", 0))
            await until(lambda: gateway.way.kept)

    async def test_tries_again_until_kafka_is_back(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(client_module, "_FIRST_PAUSE_S", 0.01)
        async with served(limits=Limits(deliver_s=0.1)) as gateway, Publisher(gateway.url) as publisher:
            gateway.way.up.clear()
            publishing = asyncio.create_task(publisher.publish(pulse("a", 0)))
            await until(lambda: (HTTP_REQUESTS, ("vitals.v1", "503")) in gateway.meters.values)
            gateway.way.up.set()
            await publishing
        assert {json.loads(value)["event_id"] for _, _, value, _ in gateway.way.kept} == {str(pulse("a", 0).event_id)}

    async def test_gives_up_in_time(self) -> None:
        async with (
            served(limits=Limits(deliver_s=0.1)) as gateway,
            Publisher(gateway.url, deadline_s=1) as publisher,
        ):
            gateway.way.up.clear()
            with pytest.raises(PublishError, match=r"vitals\.v1: not acknowledged within 1 s: status 503"):
                await publisher.publish(pulse("a", 0))
            gateway.way.up.set()
            await publisher.publish(pulse("a", 0))

    async def test_nobody_there(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as unused:
            port = unused.getsockname()[1]
        with pytest.raises(PublishError, match="not acknowledged"):
            async with Publisher(f"http://127.0.0.1:{port}", deadline_s=0.5):
                pass

    def test_a_token_does_not_travel_in_clear(self) -> None:
        with pytest.raises(ValueError, match="https"):
            Publisher("http://hub.example:8080", token="ws_x")
        with pytest.raises(ValueError, match="gateway"):
            Publisher("localhost:9092", token="ws_x")
        Publisher("https://hub.example:8443", token="ws_x")


def vitals_impossible() -> Any:
    return msgspec.structs.replace(vitals(str(uuid4()), 0, heart_rate_bpm=70.0), heart_rate_bpm=900.0)
