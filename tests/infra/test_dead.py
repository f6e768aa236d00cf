"""Dead letters are listed, described without their content, and replayed once."""

from __future__ import annotations

import asyncio
import json
import re
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import replace as with_
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.partitioner import murmur2
from click.testing import Result
from typer.testing import CliRunner

from tests.reading import read_all
from wardstream.agents.streams.dead_letters import DeadLetters, RawRecord
from wardstream.infra import dead_replay
from wardstream.infra.cli import main
from wardstream.infra.dead import Letter, Selection
from wardstream.infra.dead_replay import replay
from wardstream.infra.gateways.delivery import Row
from wardstream.infra.json_shape import shape
from wardstream.infra.kafka.broker import Cluster
from wardstream.infra.kafka.topics import Wish, create_topics
from wardstream.schemas.topics import TOPICS

KEY = bytes(range(32))
SECRETS = ("Meier", "4711", "98.6", "ward-secret")
NOON_MS = 1_767_268_800_000  # 2026-01-01T12:00Z
HOUR_MS = 3_600_000


def payload(patient: str) -> bytes:
    return json.dumps(
        {"patient_id": patient, "Meier": 1, "temperature_celsius": 98.6, "parts": [{"text": "ward-secret"}]}
    ).encode()


class Cupboard:
    """A topic of two partitions, its dead letters, and the command line that looks at them."""

    def __init__(self, cluster: Cluster, topic: str) -> None:
        self.topic = topic
        self.dead = f"{topic}.dead"
        self.options = cluster.client_options()
        self._bootstrap = ",".join(cluster.bootstrap_servers)
        self.environment = cluster.environment() | {
            "WARDSTREAM_APP_ID": topic,
            "WARDSTREAM_DEAD_LETTER_KEY": b64encode(KEY).decode(),
        }
        asyncio.run(create_topics(self.options, [Wish(topic, 2, 1), Wish(self.dead, 2, 1)]))

    def put(
        self, *letters: tuple[RawRecord, str], key: bytes = KEY, more: tuple[tuple[str, bytes], ...] = (), at: int = 100
    ) -> None:
        """Bury records of partition 1 from an offset on, as a lane would; with more headers."""

        async def run() -> None:
            producer = AIOKafkaProducer(**self.options)
            await producer.start()
            try:
                for number, (raw, reason) in enumerate(letters):
                    row = DeadLetters(key).seal(raw, self.topic, 1, at + number, reason, ("temperature",))
                    rest = {"timestamp_ms": row.timestamp_ms, "headers": [*row.headers, *more]}
                    await producer.send_and_wait(self.dead, row.value, row.key, 1, **rest)
            finally:
                await producer.stop()

        asyncio.run(run())

    def records(self, topic: str) -> list[Any]:
        return asyncio.run(read_all(self._bootstrap, [topic]))[topic]

    def run(self, *words: str) -> Result:
        return CliRunner().invoke(main, ["dead", *words], env=self.environment)


@pytest.fixture
def cupboard(kafka: Cluster, unique: str, tmp_path: Path) -> Cupboard:
    return Cupboard(kafka, f"{unique}.v1")


def raw(patient: str, hours: float = 0) -> RawRecord:
    headers = (("traceparent", b"00-1"), ("replayed-from", b"before"), ("nothing", None))
    return RawRecord(patient.encode(), payload(patient), headers, NOON_MS + int(hours * HOUR_MS))


def words_of(result: Result) -> str:
    assert result.exit_code == 0, result.output
    assert not [secret for secret in SECRETS if secret in result.output]
    return re.sub(r"[^\S\n]+", " ", result.output)


@pytest.mark.connected
def test_list_says_why_and_where_from(cupboard: Cupboard) -> None:
    cupboard.put((raw("P1"), "out_of_bounds"), (raw("P2", 1), "malformed_json"), (raw("P3", 2), "out_of_bounds"))
    listed = words_of(cupboard.run("list", cupboard.topic))
    assert (
        f"{cupboard.dead} │ 1 │ 0 │ 2026-01-01 12:00:00Z │ out_of_bounds │ temperature │ {cupboard.topic}/1/100"
        in listed
    )
    assert "3 dead letters: 2 out_of_bounds, 1 malformed_json" in listed
    some = words_of(cupboard.run("list", cupboard.dead, "--reason", "out_of_bounds", "--since", "2026-01-01T13:30Z"))
    assert "1 dead letters: 1 out_of_bounds" in some
    assert "0 dead letters" in words_of(cupboard.run("list", cupboard.topic, "--since", "30m"))
    assert "the last 1 of 3" in words_of(cupboard.run("list", cupboard.topic, "--limit", "1"))
    assert "no topic missing.dead" in cupboard.run("list", "missing").stderr
    assert cupboard.run("list", cupboard.topic, "--since", "yesterday").exit_code == 2


@pytest.mark.connected
def test_show_describes_without_content(cupboard: Cupboard) -> None:
    cupboard.put((raw("4711"), "wrong_type"))
    shown = words_of(cupboard.run("show", cupboard.topic, "1", "0"))
    for line in (
        "reason wrong_type",
        f"came from {cupboard.topic}/1/100, published 2026-01-01 12:00:00Z",
        "key 4 bytes",
        "headers traceparent (4 bytes), replayed-from (6 bytes), nothing (0 bytes)",
        "JSON: object of 4 fields",
        " patient_id: string of 4 characters",
        " (unknown name of 5 characters): integer",
        " temperature_celsius: number",
        " parts: array of 1: object",
        " text: string of 11 characters",
    ):
        assert line in shown
    unmasked = cupboard.run("show", cupboard.topic, "1", "0", "--raw")
    assert unmasked.stdout_bytes == payload("4711")
    for place in (("1", "7"), ("0", "0"), ("5", "0")):
        assert "no dead letter at" in cupboard.run("show", cupboard.topic, *place).stderr
    cupboard.put((raw("P1"), "wrong_type"), key=bytes(32))
    assert "sealed with another key" in cupboard.run("show", cupboard.topic, "1", "1").stderr
    cupboard.environment["WARDSTREAM_DEAD_LETTER_KEY"] = ""
    assert cupboard.run("show", cupboard.topic, "1", "0").exit_code == 2


@pytest.mark.connected
def test_replays_each_letter_once(cupboard: Cupboard) -> None:
    patients = [f"P{number}" for number in range(20)]
    letters = [(raw(patient), "handler_failed" if patient == "P7" else "wrong_type") for patient in patients]
    cupboard.put(
        *letters, (RawRecord(None, b"{}", (), NOON_MS), "wrong_type"), (RawRecord(b"P1", None, (), 0), "empty")
    )
    cupboard.put((raw("P1"), "wrong_type"), key=bytes(32))
    cupboard.put((raw("P1"), "too_large"), more=(("cut", b"5000000"),))

    assert words_of(cupboard.run("replay", cupboard.topic, "--reason", "handler_failed")).endswith(
        "1 dead letters replayed\n"
    )
    said = words_of(cupboard.run("replay", cupboard.topic))
    for line in (
        "20 dead letters replayed",
        "1 replayed before, left alone",
        "1 without a value",
        "1 sealed with another",
    ):
        assert line in said
    records = cupboard.records(cupboard.topic)
    assert sorted(record.value for record in records if record.key) == sorted(map(payload, patients))
    for record in records:
        if record.key is None:
            assert record.partition == 1  # where it came from
            continue
        assert record.partition == (murmur2(record.key) & 0x7FFFFFFF) % 2
        offset = patients.index(record.key.decode())
        headers = (("traceparent", b"00-1"), ("replayed-from", f"{cupboard.dead}/1/{offset}".encode()))
        assert record.headers == headers

    said = words_of(cupboard.run("replay", cupboard.topic))
    assert "0 dead letters replayed" in said
    assert "21 replayed before" in said
    one = ("replay", cupboard.topic, "--partition", "1", "--offset", "3")
    assert "0 dead letters replayed" in words_of(cupboard.run(*one))
    assert "1 dead letters replayed" in words_of(cupboard.run(*one, "--again"))
    assert len(cupboard.records(cupboard.topic)) == 22
    assert cupboard.run("replay", cupboard.topic, "--offset", "3").exit_code == 2
    assert cupboard.run("replay", cupboard.topic, "--partition", "1", "--offset", "999").exit_code == 1
    listed = words_of(cupboard.run("list", cupboard.topic))
    assert (listed.count("│ yes │"), "24 dead letters" in listed) == (21, True)


@pytest.mark.connected
def test_replay_that_ends_on_the_way_goes_on(cupboard: Cupboard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wardstream.infra.dead_replay._CHUNK_LETTERS", 3)
    cupboard.put(*((raw(f"P{number}"), "wrong_type") for number in range(10)))

    def ends(done: int, total: int) -> None:
        if done == 6:
            raise KeyboardInterrupt

    async def run(names: Sequence[str]) -> None:
        await replay(cupboard.options, cupboard.topic, DeadLetters(KEY), names, Selection(), ends)

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(run([cupboard.dead]))
    assert len(cupboard.records(cupboard.topic)) == 6
    assert "4 dead letters replayed" in words_of(cupboard.run("replay", cupboard.topic))
    assert len({record.value for record in cupboard.records(cupboard.topic)}) == 10


@pytest.mark.parametrize(
    ("given", "first"),
    [
        (b"\xff\xfe", "not JSON from byte 0 on; not UTF-8 from byte 0 on"),
        (b'{"a": Meier}', "not JSON from byte 6 on; UTF-8 text"),
        (b"", "not JSON; UTF-8 text"),
        (b"[" * 100_000, "not JSON; UTF-8 text"),
        (b'"Meier"', "JSON: string of 5 characters"),
        (b"[1, null, true, 1.5]", "JSON: array of 4: boolean, integer, null, number"),
    ],
)
def test_shape_of_anything(given: bytes, first: str) -> None:
    assert shape(given)[0] == first


def test_shape_hides_unknown_names() -> None:
    lines = shape(b'{"heart_rate_bpm": 1, "Anna Meier": {"19470711": 1}}')
    assert lines[1:] == [
        "  heart_rate_bpm: integer",
        "  (unknown name of 10 characters): object of 1 fields",
        "    (unknown name of 8 characters): integer",
    ]
    assert len(shape(json.dumps(dict.fromkeys(map(str, range(900)))).encode())) == 201


@pytest.mark.parametrize(("topic", "partition"), [("occupancy.v1", 3), ("vitals.v1", None)])
def test_a_row_of_a_unit_goes_back_into_its_partition(topic: str, partition: int | None) -> None:
    """Its whole key would lead elsewhere: the rows of a unit are in the partition of the unit."""
    letters = DeadLetters(KEY)
    row = letters.seal(RawRecord(b"4B\tE1", b"{}", (), NOON_MS), topic, 3, 7, "missing_field", ())
    assert row.value is not None
    letter = Letter(f"{topic}.dead", 3, 0, NOON_MS, dict(row.headers), row.value)
    why, again = dead_replay._opened(letter, letters, None, {}, {(topic, 3, 7)})
    assert why == ""
    assert again is not None
    assert [(one.key, one.partition) for one in again] == [(b"4B\tE1", partition)]


@pytest.mark.parametrize(("told", "written"), [({}, 2), ({"p-1": NOON_MS - 1}, 2), ({"p-1": NOON_MS + 1}, 1)])
def test_a_replay_puts_no_old_name_over_a_newer_one(told: dict[str, int], written: int) -> None:
    sealed = DeadLetters(KEY).seal(RawRecord(None, b"MSH", (), NOON_MS), "hl7v2:icu", 0, NOON_MS, "unknown_unit", ())
    letter = Letter("labs.v1.dead", 0, 7, NOON_MS, dict(sealed.headers), sealed.value or b"")
    rows = (Row("identities.v1", "p-1", b"{}"), Row("labs.v1", "p-1", b"{}"))
    newest = {key: datetime.fromtimestamp(at / 1000, UTC) for key, at in told.items()}
    refused, again = dead_replay._opened(letter, DeadLetters(KEY), lambda feed, raw: rows, newest, set())
    assert again is not None, refused
    assert len(again) == written
    assert again[-1].topic == "labs.v1"


@pytest.mark.connected
def test_a_replay_puts_no_old_row_over_a_newer_one(cupboard: Cupboard, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row of a table goes back only while it is the last of its key; else its place is taken, or its key is gone."""
    monkeypatch.setitem(TOPICS, cupboard.topic, with_(TOPICS["occupancy.v1"], name=cupboard.topic))
    rows: list[tuple[bytes, bytes | None]] = [
        *((b"4B\tE1\tP1", payload("P1")), (b"4B\tE2\tP2", payload("P2")), (b"4B\tE3\tP3", payload("P3"))),
        *((b"4B\tE1\tP1", b"newer"), (b"4B\tE2\tP2", None)),
    ]

    async def write() -> None:
        async with AIOKafkaProducer(**cupboard.options) as producer:
            for key, value in rows:
                await producer.send_and_wait(cupboard.topic, value, key, 1)

    asyncio.run(write())
    for at, (key, value) in enumerate(rows[:3]):
        cupboard.put((RawRecord(key, value, (), NOON_MS), "missing_field"), at=at)
    cupboard.put((RawRecord(b"4B\tE4\tP4", payload("P4"), (), NOON_MS), "missing_field"), at=77)  # compacted away
    said = words_of(cupboard.run("replay", cupboard.topic))
    assert "1 dead letters replayed" in said
    assert "3 of tables, with a newer row, left alone" in said
    assert [record.key for record in cupboard.records(cupboard.topic)[len(rows) :]] == [b"4B\tE3\tP3"]
