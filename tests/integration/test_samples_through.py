"""All sample messages through a gateway and a worker: each is answered, and nobody is named on any topic."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from pathlib import Path

import msgspec
import pytest

from tests.gateways import KEYS, Gateways
from tests.infra.gateways.senders import sender
from tests.infra.gateways.test_mapper import in_clear, personal
from tests.reading import read_all
from tests.schemas.hl7v2.samples import READ_AT, SAMPLES_FEED, Sample, samples
from tests.workers import APP_ID, LANES, Workers, caught_up
from wardstream.infra.gateways.delivery import Row
from wardstream.infra.kafka.broker import Cluster
from wardstream.infra.kafka.topics import wishes
from wardstream.schemas.hl7v2 import Malformed, map_message
from wardstream.schemas.pseudonym import Pseudonyms

pytestmark = [pytest.mark.connected, pytest.mark.timeout(900)]

REFUSED = {"AE", "AR", "CE", "CR"}
CHANGELOG = f"{APP_ID}-lanes-{LANES}"


def feeds_file() -> str:
    """The settings of the samples' feed, as a file has them."""
    said = msgspec.to_builtins(SAMPLES_FEED)
    codes, units = said.pop("codes"), said.pop("units")
    lines = [
        "[feeds.samples]",
        *(f"{key} = {msgspec.json.encode(value).decode()}" for key, value in said.items() if value and key != "name"),
    ]
    lines += ["[feeds.samples.units]", *(f'"{key}" = "{value}"' for key, value in units.items())]
    for code, meant in codes.items():
        lines += [f'[feeds.samples.codes."{code}"]', *(f'{key} = "{value}"' for key, value in meant.items() if value)]
    return "\n".join([*lines, "[feeds.samples.mllp]", 'listen = "127.0.0.1:0"', ""])


async def send(port: int, messages: list[Sample]) -> list[set[str]]:
    """All over one connection, which must not be lost; the codes of the answers to each, late ones among them.

    What wants no answer is recognised by that of the message behind it.
    """
    found = []
    async with sender(port) as engine, asyncio.TaskGroup() as group:

        async def write() -> None:
            for number, sample in enumerate(messages):
                engine.send(sample.raw)
                engine.send(f"MSH|^~\\&|HIS|N|WS|HUB|20260301||ZZZ^Z99|behind{number}|P|2.5\r".encode())
                await engine.writer.drain()

        group.create_task(write())  # the gateway reads as fast as it wants to
        for number in range(len(messages)):
            codes = set()
            while (answer := await engine.answer(60)) != ("AA", f"behind{number}"):
                codes.add(answer[0])
            found.append(codes)
    return found


def wants_none(sample: Sample) -> bool:
    """An acknowledgement, or a message that says so in MSH-15 or MSH-16."""
    fields = sample.raw.split(b"\r")[0].split(b"|")
    return fields[8:9] == [b"ACK"] or fields[8:9][0].startswith(b"ACK^") or {b"NE", b"ER", b"SU"} & set(fields[14:16])


def whose(messages: list[Sample], pseudonyms: Pseudonyms) -> dict[str, set[str]]:
    """What the messages say of who each patient is, by pseudonym."""
    said: dict[str, set[str]] = defaultdict(set)
    for sample in messages:
        try:
            mapped = map_message(sample.raw, SAMPLES_FEED, pseudonyms, READ_AT)
        except Malformed:
            continue
        for person in mapped.persons:
            said[person.patient_id] |= personal(sample.raw)
    return said


def test_every_sample_is_answered_and_nobody_is_named(own_kafka: Cluster, tmp_path: Path, shared_data: Path) -> None:
    messages = list(samples(shared_data))
    gateways = Gateways(own_kafka, tmp_path, feeds_file())
    workers = Workers(gateways.environment, tmp_path)
    try:
        process, port = gateways.start()
        worker = workers.start()
        answers = asyncio.run(send(port, messages))
        assert len(answers) == len(messages) == 1720 + 135
        for sample, codes in zip(messages, answers, strict=True):
            right, wrong = ({"AA", "CA"}, REFUSED) if sample.sound else (REFUSED, {"CA"})
            assert not codes & wrong
            assert codes & right or wants_none(sample)
        deadline = time.monotonic() + 300
        while not caught_up(gateways.environment, "admissions.v1", "labs.v1", "vitals.v1"):
            assert time.monotonic() < deadline, "the lanes are behind"
        assert process.poll() is worker.poll() is None
        topics = [*(wish.name for wish in wishes(LANES, 1)), CHANGELOG]
        found = asyncio.run(read_all(",".join(own_kafka.bootstrap_servers), topics))
    finally:
        workers.end()
        gateways.end()

    written = {topic for topic, records in found.items() if records}
    assert written >= {
        "identities.v1",
        "labs.v1",
        "labs.v1.dead",
        "metrics.v1",
        "occupancy.v1",
        "orders.v1",
        "scores.v1",
    }
    words = whose(messages, Pseudonyms(bytes([1]) * 32))
    assert KEYS["PSEUDONYM_KEY"].startswith("AQEB")  # the same key
    # In what is about nobody, a short number is a count or a code.
    uncommon = {word for own in words.values() for word in own if len(word) > 5 or not word.isdecimal()}
    named: Counter[tuple[str, str]] = Counter()
    seen = set()
    for topic, records in found.items():
        for record in records:
            key, value = (record.key or b"").decode(errors="replace"), record.value or b""
            row = Row(topic, key, value, tuple(record.headers))
            text = key + value.decode(errors="replace")
            about = {patient for patient in words if patient in text}
            seen |= about
            own = set().union(*(words[patient] for patient in about)) if about else uncommon
            named.update((topic, word) for word in in_clear(row, own))
    assert len(seen) > 300
    # Not the patients': a unit called TEST, and a doctor in a text who has a patient's name.
    places = ("admissions.v1", "occupancy.v1", CHANGELOG, "metrics.v1")
    assert set(named) | {("metrics.v1", "TEST")} == {(place, "TEST") for place in places}, "a measure has its unit"
