"""One trace from a gateway through the worker to who is told of the alert, in processes of their own."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from base64 import b64encode
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest

from tests.alerts import Stream
from tests.gateways import Gateways
from tests.tracing import CALLER, TRACE, Collector
from tests.webhooks import SECRET, Receiver
from tests.workers import WARDSTREAM, Workers
from wardstream.infra.kafka.broker import Cluster

pytestmark = [pytest.mark.connected, pytest.mark.timeout(400)]

NUMBER = "8847120"


def test_one_trace_from_the_gateway_to_who_is_told(own_kafka: Cluster, tmp_path: Path) -> None:
    collector, receiver = Collector(), Receiver()
    gateways = Gateways(
        own_kafka,
        tmp_path,
        TOKENS_FILE=str(tmp_path / "tokens.json"),
        HTTP_LISTEN="127.0.0.1:0",
        API_LISTEN="127.0.0.1:0",
        DELIVERY_KEY=b64encode(bytes(range(32))).decode(),
        WEBHOOK_NETWORKS='["127.0.0.1/32"]',
        TRACES_URL=collector.url,
        TRACES_SHARE="0",
        LOG_FORMAT="json",
    )
    gateways.environment["OTEL_BSP_SCHEDULE_DELAY"] = "100"
    workers, webhooks = Workers(gateways.environment, tmp_path), None

    def token(name: str, *words: str) -> str:
        return gateways.run("tokens", "add", name, *words).stdout.strip()

    def post(port: int, path: str, who: str, body: object, **headers: str) -> dict[str, object]:
        about = {"Authorization": f"Bearer {who}", "Content-Type": "application/json", **headers}
        request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", json.dumps(body).encode(), about)
        with urllib.request.urlopen(request, timeout=90) as response:
            found: dict[str, object] = json.loads(response.read())
            return found

    def vitals(**values: float) -> dict[str, object]:
        now = datetime.now(UTC).isoformat()
        about = {"event_id": str(uuid4()), "source": "monitor", "observed_at": now, "received_at": now}
        return about | {"patient_id": NUMBER} | values

    try:
        monitor = token("monitor", "--role", "publisher", "--authority", "general")
        chief = token("chief", "--role", "operator")
        _, http_port = gateways.start("http")
        _, api_port = gateways.start("api")
        workers.start()
        post(api_port, "/v1/subscriptions", chief, {"webhook": {"url": receiver.url, "secret": SECRET}})
        with (tmp_path / "webhooks.log").open("wb") as log:
            webhooks = subprocess.Popen(
                [WARDSTREAM, "serve", "webhooks"], env=gateways.environment, stdout=log, stderr=subprocess.STDOUT
            )
        stream = Stream(api_port, chief)
        post(http_port, "/v1/events/vitals.v1", monitor, vitals(heart_rate_bpm=71.0))
        alarming = vitals(respiratory_rate_per_min=28.0, spo2_percent=88.0, heart_rate_bpm=133.0)
        post(http_port, "/v1/events/vitals.v1", monitor, alarming, traceparent=CALLER)
        told = next(stream.events())[1]
        (hook,) = receiver.wait(lambda got: len(got) >= 1)[:1]
        spans = {
            (span.service, span.name, span.attributes.get("wardstream.channel")): span for span in collector.wait(4)
        }
    finally:
        workers.end()
        if webhooks is not None:
            webhooks.kill()
            webhooks.wait(60)
        gateways.end()
        receiver.close()
        collector.close()
    received = spans["wardstream-http-gateway", "receive vitals.v1", None]
    handled = spans["wardstream-worker", "process vitals.v1", None]
    streamed = spans["wardstream-api", "deliver alert", "sse"]
    posted = spans["wardstream-webhooks", "deliver alert", "webhook"]
    assert {span.trace for span in collector.spans} == {TRACE}, "nothing else is sampled"
    assert received.parent == CALLER.split("-")[2]
    assert handled.parent == received.id
    assert streamed.parent == posted.parent == handled.id
    assert hook.traceparent == f"00-{TRACE}-{posted.id}-01"
    said = json.dumps([span.attributes for span in collector.spans])
    for secret in (NUMBER, told["patient_id"], told["alert_id"], "28.0", "133"):
        assert str(secret) not in said
