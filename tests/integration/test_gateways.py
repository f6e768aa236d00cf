"""The gateways as they are run, on a real broker: what was acknowledged is there, once, and nobody's name is."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time
from base64 import b64decode
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import psutil
import pytest

from tests.gateways import KEYS, NAMES, PLAIN, Gateways, admit, kill, result
from tests.infra.gateways.certificates import Authority
from tests.infra.gateways.senders import said, sender
from tests.reading import read_all
from tests.workers import Workers
from wardstream.client import Publisher
from wardstream.infra.kafka.broker import Cluster
from wardstream.infra.kafka.topics import wishes
from wardstream.schemas.decode import decoder
from wardstream.schemas.identities import patient_of
from wardstream.schemas.pseudonym import Pseudonyms
from wardstream.schemas.vitals import Vitals

pytestmark = pytest.mark.connected

PATIENCE_S = 90  # of senders, while Kafka is away
CONNECTIONS = 8
RATE = 200
AWAY_S = 30
ENHANCED = "||AL|NE"
PSEUDONYMS = Pseudonyms(b64decode(KEYS["PSEUDONYM_KEY"]))
MLLP_SEND = Path(sys.executable).parent / "mllp_send"


@pytest.fixture
def gateways(own_kafka: Cluster, tmp_path: Path) -> Iterator[Gateways]:
    found = Gateways(own_kafka, tmp_path, TOKENS_FILE=str(tmp_path / "tokens.json"))
    try:
        yield found
    finally:
        found.end()


def read(cluster: Cluster, *topics: str) -> dict[str, list[Any]]:
    return asyncio.run(read_all(",".join(cluster.bootstrap_servers), list(topics)))


def test_mllp_send_and_what_is_on_the_topics(own_kafka: Cluster, gateways: Gateways, tmp_path: Path) -> None:
    process, port = gateways.start()
    bad = result("c3").replace(b"|4.1|", b"|Habermehl 8847120|")
    unknown = result("c4").replace(b"ORU^R01", b"ZZZ^Z99")
    file = tmp_path / "messages.hl7"
    file.write_bytes(b"".join((admit("c1"), result("c2"), bad, unknown, b"MSH|^~\\&|HIS\r")))
    sent = subprocess.run(
        [MLLP_SEND, "--loose", "--port", str(port), "--file", file, "127.0.0.1"],
        capture_output=True,
        timeout=60,
        check=True,
    )
    answers = [said(part) for part in sent.stdout.split(b"\x0b")[1:]]
    assert answers[:3] == [("AA", "c1"), ("AA", "c2"), ("AA", "c3")]
    assert answers[4][0] in ("AE", "AR")

    topics = [wish.name for wish in wishes(4, 1)]
    found = read(own_kafka, *topics)
    assert len(found["admissions.v1"]) == 1
    lab = decoder("labs.v1")(found["labs.v1"][0].value)
    assert (lab.source, lab.loinc, lab.value, lab.unit) == ("icu", "2823-3", 4.1, "mmol/L")  # type: ignore[union-attr]
    assert found["admissions.v1"][0].key == found["labs.v1"][0].key
    assert found["identities.v1"][0].key.partition(b"\t")[0] == found["labs.v1"][0].key
    assert len(found["identities.v1"]) == 1
    everything = b"".join(
        part
        for records in found.values()
        for record in records
        for part in (record.key or b"", record.value or b"", *(name.encode() + value for name, value in record.headers))
    )
    on_disk = b"".join(path.read_bytes() for path in (tmp_path / "home").rglob("*") if path.is_file())
    logged = b"".join(log.read_bytes() for log in gateways.logs)
    for name in NAMES:
        assert name not in everything
        assert name not in on_disk
        assert name not in logged

    listed = gateways.run("dead", "list").stdout
    assert "hl7v2:icu" in listed
    (letter,) = found["labs.v1.dead"]
    shown = gateways.run("dead", "show", "labs.v1", str(letter.partition), str(letter.offset))
    assert shown.returncode == 0, shown.stderr
    assert not any(name.decode() in shown.stdout for name in NAMES)
    assert "1 of feeds, still not mapped" in gateways.run("dead", "replay", "labs.v1").stdout
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0


def test_a_letter_is_mapped_again_when_the_feed_was_mended(
    own_kafka: Cluster, gateways: Gateways, tmp_path: Path
) -> None:
    process, port = gateways.start()

    async def ask() -> tuple[str, str]:
        async with sender(port) as engine:
            return await engine.ask(result("c1").replace(b"|mmol/L|", b"|MMOLL|"))

    assert asyncio.run(ask()) == ("AA", "c1")
    found = read(own_kafka, "labs.v1", "labs.v1.dead")
    assert (len(found["labs.v1"]), len(found["labs.v1.dead"])) == (0, 1)
    letter = found["labs.v1.dead"][0]
    assert "unknown_unit" in gateways.run("dead", "list", "labs.v1").stdout
    shown = gateways.run("dead", "show", "labs.v1", str(letter.partition), str(letter.offset)).stdout
    assert "HL7 v2: ORU^R01: MSH, PID, OBR, OBX" in shown
    assert "OBX[1]: 2823-3^^LN, MMOLL" in shown
    without = gateways.run("dead", "replay", "labs.v1", FEEDS_FILE="")
    assert without.returncode != 0 or "not configured here" in without.stdout
    (tmp_path / "feeds.toml").write_text(PLAIN + '\n[feeds.icu.units]\nMMOLL = "mmol/L"\n')
    assert "1 dead letters replayed" in gateways.run("dead", "replay", "labs.v1").stdout
    (record,) = read(own_kafka, "labs.v1")["labs.v1"]
    assert json.loads(record.value)["unit"] == "mmol/L"
    again = gateways.run("dead", "replay", "labs.v1").stdout
    assert "0 dead letters replayed" in again
    kill(process)


class Engine:
    """Senders as a hospital's engine has them: each message until it is acknowledged, over a new connection if need be.

    Each message is of a patient of its own, so that the topic says of which message an event is.
    """

    def __init__(self) -> None:
        self.port = 0
        self.acknowledged: dict[str, set[str]] = {"AA": set(), "CA": set()}
        self.stopped = asyncio.Event()

    async def send(self, connection: int, tail: str) -> None:
        """A message each `CONNECTIONS / RATE` seconds, as far as answers come."""
        number, begun = 0, time.monotonic()
        while not self.stopped.is_set():
            try:
                async with sender(self.port) as engine:
                    while not self.stopped.is_set():
                        name = f"{connection}{number:06}"
                        code, control_id = await engine.ask(result(name, number=name, tail=tail), PATIENCE_S)
                        assert control_id == name
                        self.acknowledged[code].add(name)
                        number += 1
                        await asyncio.sleep(max(0.0, begun + number * CONNECTIONS / RATE - time.monotonic()))
            except (OSError, asyncio.IncompleteReadError):
                await asyncio.sleep(0.2)  # the gateway is gone: the same again


async def reached(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 - others send
            await asyncio.sleep(0.2)


def test_killed_while_kafka_is_away(own_kafka: Cluster, gateways: Gateways) -> None:
    """200 messages a second; the broker is away for 30 s, the gateway is killed in the middle and comes back."""
    engine = Engine()
    first, engine.port = gateways.start()

    async def life() -> None:
        tasks = [asyncio.create_task(engine.send(n, ENHANCED if n % 2 else "")) for n in range(1, CONNECTIONS + 1)]
        await reached(lambda: len(engine.acknowledged["AA"]) > RATE)
        own_kafka.kill(1)
        await asyncio.sleep(AWAY_S / 2)
        before = len(engine.acknowledged["CA"])
        kill(first)
        _, engine.port = await asyncio.to_thread(gateways.start)
        await asyncio.sleep(AWAY_S / 2)
        await reached(lambda: len(engine.acknowledged["CA"]) > before)  # the spool takes them while Kafka is away
        answered = len(engine.acknowledged["AA"])
        await asyncio.to_thread(own_kafka.start, 1)
        await reached(lambda: len(engine.acknowledged["AA"]) > answered + 100)
        engine.stopped.set()
        await asyncio.gather(*tasks)

    asyncio.run(life())
    patients = {PSEUDONYMS.patient("NORTH", name) for names in engine.acknowledged.values() for name in names}
    assert len(patients) > 500
    deadline = time.monotonic() + 60
    while True:
        found: dict[str, set[str]] = defaultdict(set)
        for record in read(own_kafka, "labs.v1")["labs.v1"]:
            found[record.key.decode()].add(json.loads(record.value)["event_id"])
        if patients <= found.keys() or time.monotonic() > deadline:
            break
        time.sleep(0.5)
    assert patients <= found.keys(), "every acknowledged message"
    assert {len(ids) for ids in found.values()} == {1}, "none under two ids"


def test_a_gateway_that_may_not_listen_says_so(own_kafka: Cluster, gateways: Gateways, tmp_path: Path) -> None:
    (tmp_path / "feeds.toml").write_text(PLAIN.replace("127.0.0.1:0", "0.0.0.0:0"))
    refused = gateways.run("serve", "mllp")
    assert refused.returncode == 2
    assert "without TLS and without client certificates" in refused.stderr
    refused = gateways.run("serve", "http", HTTP_LISTEN="0.0.0.0:0")
    assert refused.returncode == 2
    assert "without TLS" in refused.stderr


def test_nothing_listens_beyond_loopback(own_kafka: Cluster, gateways: Gateways, workers: Workers) -> None:
    """Gateways and brokers as they start by themselves; a worker does not listen at all."""
    mllp, _ = gateways.start()
    assert gateways.run("tokens", "add", "monitor", "--role", "publisher").returncode == 0
    gateways.environment["WARDSTREAM_HTTP_LISTEN"] = "127.0.0.1:0"
    http, _ = gateways.start("http")

    def listening(pid: int) -> set[str]:
        found = psutil.Process(pid).net_connections()
        return {place.laddr.ip.removeprefix("::ffff:") for place in found if place.status == psutil.CONN_LISTEN}

    assert [listening(pid) for pid in (mllp.pid, http.pid, own_kafka.pid(1))] == [{"127.0.0.1"}] * 3
    worker = workers.start()
    deadline = time.monotonic() + 60
    while b'"role":"worker"' not in b"".join(record.value for record in read(own_kafka, "metrics.v1")["metrics.v1"]):
        assert time.monotonic() < deadline
        time.sleep(0.5)
    assert listening(worker.pid) == set()


def test_operators_hear_of_a_feed_that_is_silent_or_brings_garbage(own_kafka: Cluster, tmp_path: Path) -> None:
    limits = "[feeds.icu.watch]\nsilent_after_min = 0.05\nrejects_per_hour = 1\n"
    gateways = Gateways(own_kafka, tmp_path, PLAIN + limits)

    def told(count: int) -> list[tuple[str, str, str]]:
        """Feed, condition and transition of the first records."""
        deadline = time.monotonic() + 60
        while True:
            found = [json.loads(record.value) for record in read(own_kafka, "notices.v1")["notices.v1"]]
            if len(found) >= count:
                return [(notice["feed"], notice["condition"], notice["transition"]) for notice in found[:count]]
            assert time.monotonic() < deadline, found
            time.sleep(0.3)

    async def ask(port: int, *messages: bytes) -> None:
        async with sender(port) as engine:
            for message in messages:
                await engine.ask(message)

    silent, rejects = ("icu", "silent", "raised"), ("icu", "rejects", "raised")
    try:
        process, port = gateways.start()
        assert told(1) == [silent]
        assert "icu  silent: no message for 0 minutes" in gateways.run("feed", "notices").stdout
        kill(process)
        _, port = gateways.start()  # goes on with what is open
        asyncio.run(ask(port, *(result(f"c{n}").replace(b"|mmol/L|", b"|furlong|") for n in range(2))))
        assert sorted(told(3)[1:]) == [rejects, ("icu", "silent", "resolved")]
        assert "icu  rejects: 2 rejects in the last hour" in gateways.run("feed", "notices").stdout
        first, *_ = read(own_kafka, "notices.v1")["notices.v1"]
        assert first.key.decode() == json.loads(first.value)["notice_id"]
    finally:
        gateways.end()


def test_tls_and_client_certificates(own_kafka: Cluster, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.certificate("server")
    files = f'tls_cert = "{certificate}"\ntls_key = "{key}"\nclient_ca = "{authority.file}"\n'
    gateways = Gateways(own_kafka, tmp_path, PLAIN + files)
    try:
        _, port = gateways.start()

        async def ask(context: Any) -> tuple[str, str]:
            async with sender(port, ssl=context) as engine:
                return await engine.ask(admit("c1"))

        assert asyncio.run(ask(authority.client("his"))) == ("AA", "c1")
        with pytest.raises((OSError, asyncio.IncompleteReadError)):
            asyncio.run(ask(authority.client()))
    finally:
        gateways.end()


def test_http_with_curl_and_with_the_client(own_kafka: Cluster, gateways: Gateways, tmp_path: Path) -> None:
    token = gateways.run("tokens", "add", "monitor", "--role", "publisher").stdout.strip()
    gateways.environment["WARDSTREAM_HTTP_LISTEN"] = "127.0.0.1:0"
    process, port = gateways.start("http")
    now = "2026-03-01T08:00:00Z"
    event = {"source": "curl", "patient_id": f"p-{1:032}", "observed_at": now, "received_at": now}
    events = [
        {**event, "event_id": "018f6b1e-7c00-7000-8000-000000000001", "heart_rate_bpm": 70},
        {**event, "event_id": "018f6b1e-7c00-7000-8000-000000000002", "heart_rate_bpm": 700},
    ]
    (tmp_path / "events.ndjson").write_text("\n".join(map(json.dumps, events)))

    def curl(*words: str) -> tuple[int, Any]:
        url = f"http://127.0.0.1:{port}/v1/events/vitals.v1"
        command = [
            "curl",
            "-sS",
            "-w",
            "\n%{http_code}",
            "--data-binary",
            f"@{tmp_path / 'events.ndjson'}",
            *words,
            url,
        ]
        body, code = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.rsplit(
            "\n", 1
        )
        return int(code), json.loads(body)

    ndjson = ("-H", "Content-Type: application/x-ndjson")
    assert curl(*ndjson)[0] == 401
    status, answer = curl(*ndjson, "-H", f"Authorization: Bearer {token}")
    assert status == 200
    assert [one["accepted"] for one in answer["results"]] == [True, False]
    assert answer["results"][1] == {
        "line": 2,
        "accepted": False,
        "reason": "out_of_bounds",
        "fields": ["heart_rate_bpm"],
    }
    (record,) = read(own_kafka, "vitals.v1")["vitals.v1"]
    one = decoder("vitals.v1")(record.value)
    assert isinstance(one, Vitals)

    async def publish() -> None:
        async with Publisher(f"http://127.0.0.1:{port}", token=token) as publisher:
            await publisher.publish(*(msgspec.structs.replace(one, event_id=uuid4()) for _ in range(500)))

    asyncio.run(publish())
    assert len(read(own_kafka, "vitals.v1")["vitals.v1"]) == 501
    assert gateways.run("tokens", "remove", "monitor").returncode == 0
    assert curl(*ndjson, "-H", f"Authorization: Bearer {token}")[0] == 401
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    (snapshot, *_) = read(own_kafka, "metrics.v1")["metrics.v1"]
    assert json.loads(snapshot.value)["role"] == "http-gateway"


def test_identities_are_shown_to_operators_and_audited(own_kafka: Cluster, gateways: Gateways) -> None:
    _, port = gateways.start()

    async def ask() -> None:
        async with sender(port) as engine:
            for number in range(3):
                assert (await engine.ask(admit(f"c{number}", number=f"884712{number}")))[0] == "AA"

    asyncio.run(ask())
    patient = patient_of(read(own_kafka, "identities.v1")["identities.v1"][0].key.decode())
    operator = gateways.run("tokens", "add", "m.garcia", "--role", "operator").stdout.strip()
    viewer = gateways.run("tokens", "add", "viewer", "--role", "viewer").stdout.strip()
    words = ("identities", "show", patient, "--why", "call about an alert")
    for token in ({}, {"TOKEN": "ws_guess"}):
        refused = gateways.run(*words, **token)
        assert refused.returncode == 2
        assert "Habermehl" not in refused.stdout
    assert read(own_kafka, "audit.v1")["audit.v1"] == []
    refused = gateways.run(*words, TOKEN=viewer)
    assert refused.returncode == 2
    assert "does not have the role operator" in refused.stderr
    assert "Habermehl" not in refused.stdout
    (entry,) = (json.loads(record.value) for record in read(own_kafka, "audit.v1")["audit.v1"])
    assert (entry["who"], entry["what"], entry["patient_id"]) == ("viewer", "identity_refused", patient)
    for count in range(2, 5):
        shown = gateways.run(*words, TOKEN=operator)
        assert shown.returncode == 0, shown.stderr
        assert "Habermehl" in shown.stdout
        assert "Wilhelmine" in shown.stdout
        verified = gateways.run("audit", "verify")
        assert verified.returncode == 0, verified.stderr
        assert f"{count} records, none missing or changed" in verified.stdout
    nobody = gateways.run("identities", "show", "p-unknown", "--why", "x", TOKEN=operator)
    assert "nothing is known of p-unknown" in nobody.stderr
    records = read(own_kafka, "audit.v1")["audit.v1"]
    told = [json.loads(record.value) for record in records]
    assert [entry["sequence"] for entry in told] == [0, 1, 2, 3, 4]
    assert {(entry["who"], entry["what"]) for entry in told[1:]} == {("m.garcia", "identity_shown")}
    assert told[1]["patient_id"] == patient
    assert told[1]["why"] == "call about an alert"
