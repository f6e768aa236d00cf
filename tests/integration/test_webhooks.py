"""`wardstream serve webhooks` on a real broker, with receivers that know nothing of wardstream."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from msgspec.structs import replace

from tests.alerting import publish, transition
from tests.reading import read_all
from tests.webhooks import SECRET, Got, Receiver, Reply
from tests.workers import APP_ID, WARDSTREAM, create_topics, worker_environment
from wardstream.infra.audit import verify_audit
from wardstream.infra.delivery.ledger import group
from wardstream.infra.kafka.broker import Cluster
from wardstream.infra.subscriptions import Change, Secrets, change, read_table
from wardstream.schemas.acknowledgements import Acknowledgement
from wardstream.schemas.alerts import Alert
from wardstream.schemas.audit import AuditRecord
from wardstream.schemas.decode import decoder_of
from wardstream.schemas.deliveries import Delivery
from wardstream.schemas.subscriptions import Subscription, Wanted, Webhook

pytestmark = pytest.mark.connected

KEY = bytes(range(32))
DEADLINE_S = 60.0


class Site:
    """Subscriptions, receivers and `serve webhooks` processes on a cluster; all end with the test."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.cluster, self._folder, self._names = cluster, folder, set[str]()
        self.options: dict[str, Any] = {"bootstrap_servers": list(cluster.bootstrap_servers)}
        self.settings = {"DELIVERY_KEY": b64encode(KEY).decode(), "WEBHOOK_NETWORKS": '["127.0.0.1/32"]'}
        self._processes: list[subprocess.Popen[bytes]] = []
        self._receivers: list[Receiver] = []

    @property
    def environment(self) -> dict[str, str]:
        return worker_environment(self.cluster, self._folder / "home", **self.settings)

    def receiver(self, answer: Callable[[Got], Reply] = lambda got: Reply()) -> Receiver:
        self._receivers.append(Receiver(answer))
        return self._receivers[-1]

    def subscribe(self, name: str, url: str, **fields: Any) -> None:
        self._names.add(name)
        now = datetime.now(UTC)
        row = Subscription(
            name=name,
            at=now,
            made_at=now,
            who="m.garcia",
            webhook=Webhook(url=url, secret=Secrets([KEY]).seal(name, SECRET)),
            **fields,
        )
        self.change(name, lambda _: row)

    def change(self, name: str, made: Callable[[Any], Subscription | None]) -> None:
        def decide(table: dict[str, Subscription], now: datetime) -> Change:
            return Change(name, made(table.get(name)), "subscription_changed")

        asyncio.run(change(self.options, APP_ID, "m.garcia", "a test", decide))

    def publish(self, *alerts: Alert) -> list[str]:
        asyncio.run(publish(self.cluster.bootstrap_servers, alerts))
        return [str(alert.event_id) for alert in alerts]

    def start(self) -> subprocess.Popen[bytes]:
        log = (self._folder / f"webhooks{len(self._processes)}.log").open("wb")
        process = subprocess.Popen(
            [WARDSTREAM, "serve", "webhooks"], env=self.environment, stdout=log, stderr=subprocess.STDOUT
        )
        self._processes.append(process)
        return process

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [WARDSTREAM, *words], env=self.environment, capture_output=True, text=True, timeout=90, check=False
        )

    def records(self, topic: str) -> list[Any]:
        bootstrap = ",".join(self.cluster.bootstrap_servers)
        return asyncio.run(read_all(bootstrap, [topic]))[topic]

    def deliveries(self, count: int) -> list[Delivery]:
        """What became of this test's deliveries, when there are so many."""
        deadline = time.monotonic() + DEADLINE_S
        while True:
            known = (decoder_of(Delivery)(record.value) for record in self.records("deliveries.v1"))
            found = [one for one in known if one.name in self._names]
            if len(found) >= count:
                return found
            assert time.monotonic() < deadline, f"{len(found)} of {count}"
            time.sleep(0.2)

    def committed(self, name: str) -> int:
        """The sum of a subscription's offsets."""
        return sum(self._offsets(lambda client: client.list_consumer_group_offsets(group(APP_ID, name))).values())

    def _offsets(self, ask: Callable[[AIOKafkaAdminClient], Any]) -> dict[Any, int]:
        async def asked() -> dict[Any, int]:
            client = AIOKafkaAdminClient(**self.options)
            await client.start()
            try:
                return {part: at.offset for part, at in (await ask(client)).items()}
            finally:
                await client.close()

        return asyncio.run(asked())

    def close(self) -> None:
        for process in self._processes:
            if process.poll() is None:
                process.kill()
            process.wait(20)
        for receiver in self._receivers:
            receiver.close()
        for name in self._names:
            self.change(name, lambda _: None)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, kafka_jars: Path) -> Iterator[Cluster]:
    """One broker for the module; each test has subscriptions of its own, which know nothing of what was before."""
    folder = tmp_path_factory.mktemp("webhooks")
    with Cluster(folder / "kafka", jars=kafka_jars) as made:
        create_topics(worker_environment(made, folder))
        yield made


@pytest.fixture
def site(cluster: Cluster, tmp_path: Path) -> Iterator[Site]:
    made = Site(cluster, tmp_path)
    try:
        yield made
    finally:
        made.close()


def ids(got: list[Got]) -> set[str]:
    return {one.id for one in got}


def enough(least: int, got: list[Got]) -> bool:
    return len(got) >= least


def assert_in_order(got: list[Got]) -> None:
    """No transition came for the first time before all those before it had."""
    last: dict[str, int] = {}
    for one in got:
        number, alert = one.body["number"], one.body["alert_id"]
        assert number <= last.get(alert, 0) + 1
        last[alert] = max(number, last.get(alert, 0))


def test_killed_while_it_posts(site: Site) -> None:
    """Every transition at least once, with its id, in the order of its alert, whenever the process dies."""
    draw = Random(5)
    there = site.receiver(lambda got: Reply(503) if draw.random() < 0.1 else Reply())
    site.subscribe("killed", there.url)
    wanted = site.publish(*(transition(alert, number) for number in range(1, 5) for alert in range(60)))
    for _ in range(4):
        process = site.start()
        there.wait(partial(enough, 25 + len(there.got)))
        process.kill()
        process.wait(20)
    site.start()
    got = there.wait(lambda got: ids(got) == set(wanted))
    assert there.forged == 0
    assert_in_order(got)
    assert all(one.id == one.body["event_id"] for one in got)
    ended = site.deliveries(len(wanted))
    assert {str(one.event_id) for one in ended} == set(wanted)
    assert {one.outcome for one in ended} == {"delivered"}
    assert site.committed("killed") == len(site.records("alerts.v1"))


def test_who_does_not_answer_is_only_behind_itself(site: Site) -> None:
    go = threading.Event()
    stalled = site.receiver(lambda got: Reply(200 if go.wait(60) else 500))
    quick = site.receiver()
    site.subscribe("stalled", stalled.url)
    site.subscribe("quick", quick.url, wanted=Wanted(priorities=("high",)))
    before = len(site.records("alerts.v1"))
    site.start()
    first = site.publish(*(transition(alert, 1) for alert in range(30)))
    stalled.wait(bool)
    quick.wait(lambda got: ids(got) == set(first))
    low = site.publish(*(transition(alert, 2, priority="low") for alert in range(30)))
    more = site.publish(*(transition(alert, number) for number in range(3, 13) for alert in range(30)))
    got = quick.wait(lambda got: ids(got) >= {*first, *more})
    assert not ids(got) & set(low)
    numbers = [one.body["number"] for one in got if one.body["patient_id"] == "p-7"]
    assert numbers == sorted(numbers)
    assert {one.name for one in site.deliveries(len(first) + len(more))} == {"quick"}
    assert site.committed("stalled") <= before
    go.set()
    got = stalled.wait(lambda got: ids(got) == {*first, *low, *more})
    assert_in_order(got)


def test_tried_again_and_then_a_dead_letter(site: Site) -> None:
    site.settings["WEBHOOK_RETRY_H"] = "0"
    bad, worse, good = (transition(alert, 1) for alert in (1, 2, 3))
    after = transition(1, 2)
    refused = {str(bad.event_id): Reply(503), str(worse.event_id): Reply(422)}
    there = site.receiver(lambda got: refused.get(got.id, Reply()))
    site.subscribe("tried", there.url)
    site.start()
    site.publish(bad, worse, good, after)
    got = there.wait(lambda got: str(after.event_id) in ids(got))
    assert [one.id for one in got].index(str(after.event_id)) > max(
        place for place, one in enumerate(got) if one.id == str(bad.event_id)
    )
    ended = {str(one.event_id): one for one in site.deliveries(4)}
    told = {key: (one.outcome, one.attempts, one.status, one.reason) for key, one in ended.items()}
    assert told == {
        str(bad.event_id): ("gave_up", 5, 503, "http"),
        str(worse.event_id): ("rejected", 1, 422, "http"),
        str(good.event_id): ("delivered", 1, 200, None),
        str(after.event_id): ("delivered", 1, 200, None),
    }
    assert all(b"p-1" not in record.value for record in site.records("deliveries.v1"))  # nothing but the alert's id
    listed = site.run("webhooks", "list", "tried").stdout
    assert str(bad.event_id) in listed
    assert str(worse.event_id) in listed
    assert str(good.event_id) not in listed
    refused.clear()
    again = site.run("webhooks", "retry", "tried")
    assert "2 delivered" in again.stdout, again.stderr
    assert ids(there.got) == set(ended)
    assert "no dead letters" in site.run("webhooks", "list", "tried").stdout
    assert there.forged == 0


def test_gone_is_paused_and_goes_on_where_it_was(site: Site) -> None:
    status = [410]
    there = site.receiver(lambda got: Reply(status[0]))
    site.subscribe("gone", there.url)
    site.start()
    wanted = site.publish(transition(1, 1))
    deadline = time.monotonic() + DEADLINE_S
    while not asyncio.run(read_table(site.options))["gone"].paused:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    asyncio.run(verify_audit(site.options))
    last = decoder_of(AuditRecord)(site.records("audit.v1")[-1].value)
    assert (last.who, last.what, last.about) == ("webhooks", "subscription_changed", "gone")
    assert "410" in last.why
    wanted += site.publish(transition(1, 2))
    status[0] = 200
    came = len(there.got)
    site.change("gone", lambda row: replace(row, paused=False))
    got = there.wait(lambda got: ids(got[came:]) == set(wanted))
    assert_in_order(got[came:])
    assert {one.outcome for one in site.deliveries(2)} == {"delivered"}


def test_a_reply_is_an_answer(site: Site) -> None:
    there = site.receiver(lambda got: Reply(200, b'{"action": "acknowledge", "seen": 1, "by": "n-17"}'))
    site.subscribe("pager", there.url, may_answer=True)
    site.subscribe("board", there.url)
    site.start()
    alert = transition(1, 1)
    site.publish(alert)
    there.wait(lambda got: len(got) == 2)
    ended = {one.name: one.answered for one in site.deliveries(2)}
    assert ended == {"pager": "acknowledge", "board": None}
    (record,) = site.records("acknowledgements.v1")
    answer = decoder_of(Acknowledgement)(record.value)
    assert (answer.alert_id, answer.action, answer.seen) == (alert.alert_id, "acknowledge", 1)
    assert answer.actor == "n-17 via pager"
    assert record.key == alert.patient_id.encode()
    audited = [decoder_of(AuditRecord)(one.value) for one in site.records("audit.v1")]
    assert [(one.who, one.about) for one in audited if one.what == "alert_acknowledged"] == [
        ("m.garcia", str(alert.alert_id))
    ]


def test_it_stops_in_order_changes_and_is_taken_over(site: Site) -> None:
    """What was delivered is not delivered again; what ends is told no more; two processes do not both go on."""
    there, other = site.receiver(), site.receiver()
    site.subscribe("stops", there.url)
    first = site.start()
    wanted = site.publish(*(transition(alert, 1) for alert in range(20)))
    there.wait(lambda got: ids(got) == set(wanted))
    site.deliveries(20)
    first.send_signal(signal.SIGTERM)
    assert first.wait(30) == 0
    second = site.start()
    site.publish(*(transition(alert, 2) for alert in range(20)))
    there.wait(lambda got: len(ids(got)) == 40)
    assert len(there.got) == 40
    site.change("stops", lambda row: None)
    site.subscribe("other", other.url)
    wanted = site.publish(*(transition(alert, 3) for alert in range(20)))
    other.wait(lambda got: ids(got) == set(wanted))
    third = site.start()
    deadline = time.monotonic() + DEADLINE_S
    number = 3
    while second.poll() is None:
        assert time.monotonic() < deadline
        number += 1
        site.publish(transition(1, number))
        time.sleep(0.5)
    assert second.returncode == 2
    assert third.poll() is None
    other.wait(lambda got: len(ids(got)) == 20 + number - 3)
    assert len(there.got) == 40


def test_nothing_goes_where_nothing_is_allowed(site: Site) -> None:
    there = site.receiver()
    site.subscribe("nowhere", there.url)
    site.settings["WEBHOOK_NETWORKS"] = "[]"
    refused = site.run("serve", "webhooks")
    assert refused.returncode == 2
    assert "WARDSTREAM_WEBHOOK_NETWORKS is not set" in refused.stderr
    site.settings |= {"WEBHOOK_NETWORKS": '["192.0.2.0/24"]', "WEBHOOK_RETRY_H": "0"}
    site.start()
    site.publish(transition(1, 1))
    (ended,) = site.deliveries(1)
    assert (ended.outcome, ended.status, ended.reason) == ("gave_up", None, "not_allowed")
    assert (there.got, there.forged) == ([], 0)
