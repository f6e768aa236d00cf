"""The MLLP gateway on loopback, with a Kafka that can be told to fail: answers, limits, garbage, many senders."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.infra.gateways.running import Running, running
from tests.infra.gateways.senders import KEY, FakeWay, message, said, until
from tests.tracing import noted
from wardstream.agents.metrics import (
    CONNECTIONS,
    CONNECTIONS_REFUSED,
    HL7_BLOCKS,
    HL7_IGNORED,
    HL7_MESSAGES,
    LATE_ANSWERS,
)
from wardstream.agents.streams.dead_letters import DeadLetters
from wardstream.agents.tracing import TRACEPARENT
from wardstream.infra.gateways import connection as connections
from wardstream.infra.gateways import delivery as deliveries
from wardstream.infra.gateways.blocks import BlockReader
from wardstream.infra.identities import IdentitySeals
from wardstream.schemas.decode import decoder_of
from wardstream.schemas.identities import Identity


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliveries, "_FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(deliveries, "_LONGEST_PAUSE_S", 0.02)
    monkeypatch.setattr(connections, "HANGUP_S", 0.5)


async def test_original_mode_answers_when_kafka_has_it(tmp_path: Path) -> None:
    async with running(tmp_path) as run, run.sender() as engine:
        assert await engine.ask(message("m1", "event", "event")) == ("AA", "m1")
        assert run.way.topics() == ["vitals.v1", "vitals.v1"]
        run.way.up.clear()
        engine.send(message("m2"))
        with pytest.raises(TimeoutError):
            await engine.answer(0.3)
        run.way.up.set()
        assert await engine.answer() == ("AA", "m2")
        assert run.spool.records == 0


async def test_a_sender_that_does_not_wait_is_answered_in_order(tmp_path: Path) -> None:
    async with running(tmp_path) as run, run.sender() as engine:
        kinds = [("malformed",) if number % 7 == 3 else ("event",) for number in range(200)]
        for number, kind in enumerate(kinds):
            engine.send(message(f"m{number}", *kind))
        answers = [await engine.answer() for _ in kinds]
    assert answers == [("AE" if kind == ("malformed",) else "AA", f"m{n}") for n, kind in enumerate(kinds)]
    assert len(run.way.groups) < 190, "messages on their way leave together"


async def test_a_sender_that_hangs_up_leaves_nothing_behind(tmp_path: Path) -> None:
    way = FakeWay()
    way.up.clear()
    async with running(tmp_path, way) as run:
        async with run.sender() as engine:
            engine.send(message("m1", "person Meier", "event"))
            await until(lambda: run.gateway.delivery.waiting == 1)
        await until(lambda: run.gateway.delivery.waiting == 0)
        await until(lambda: run.meters.values[CONNECTIONS, ("icu",)] == 0)
        way.up.set()
        async with run.sender() as engine:  # it sends again
            assert await engine.ask(message("m1", "person Meier", "event")) == ("AA", "m1")
    assert way.topics() == ["identities.v1", "vitals.v1"], "the name was not taken for written the first time"


async def test_half_closed_senders_get_their_answers(tmp_path: Path) -> None:
    async with running(tmp_path) as run, run.sender() as engine:
        for number in range(20):
            engine.send(message(f"m{number}"))
        engine.writer.write_eof()
        assert [await engine.answer() for _ in range(20)] == [("AA", f"m{number}") for number in range(20)]
        assert await engine.ended()


@pytest.mark.parametrize(
    ("accept", "application", "expected"),
    [("AL", "NE", ["CA"]), ("AL", "AL", ["CA", "AA"]), ("NE", "AL", ["AA"]), ("NE", "NE", []), ("ER", "SU", ["AA"])],
)
async def test_enhanced_mode(tmp_path: Path, accept: str, application: str, expected: list[str]) -> None:
    async with running(tmp_path) as run, run.sender() as engine:
        engine.send(message("m1", accept=accept, application=application))
        assert [await engine.answer() for _ in expected] == [(code, "m1") for code in expected]
        await until(lambda: run.way.topics() == ["vitals.v1"])
        await until(lambda: run.spool.records == 0)
        assert await engine.ask(message("m2")) == ("AA", "m2"), "and nothing else was said"


async def test_enhanced_mode_while_kafka_is_away_and_the_gateway_dies(tmp_path: Path) -> None:
    way = FakeWay()
    way.up.clear()
    async with running(tmp_path, way) as run, run.sender() as engine:
        answers = [await engine.ask(message(f"m{n}", accept="AL", application="AL")) for n in range(50)]
        assert answers == [("CA", f"m{n}") for n in range(50)]
    assert way.kept == []
    async with running(tmp_path, way) as run, run.sender() as engine:
        assert run.spool.records == 50
        assert await engine.ask(message("m50", accept="AL", application="AL")) == ("CA", "m50")
        way.up.set()
        late = [await engine.answer() for _ in range(51)]
    assert late == [("AA", f"m{n}") for n in range(51)], "over the new connection of the same sender"
    ids = [decoder_of(type_of("vitals.v1"))(value).event_id for _, _, value, _ in way.kept]
    assert len(set(ids)) == len(ids) == 51


@pytest.mark.parametrize("accept", ["AL", ""])
async def test_a_trace_goes_on_with_the_records_through_the_spool_too(tmp_path: Path, accept: str) -> None:
    with noted() as notes:
        async with running(tmp_path) as run, run.sender() as engine:
            assert (await engine.ask(message("m1", accept=accept)))[1] == "m1"
            await until(lambda: len(run.way.kept) == 1)
    (span,) = notes.ended
    assert (span.name, span.parent) == ("receive hl7v2", None)
    assert run.way.kept[0][3] == ((TRACEPARENT, span.traceparent.encode()),)


def type_of(topic: str) -> Any:
    from wardstream.schemas.topics import TOPICS

    return TOPICS[topic].type


async def test_late_answers_that_nobody_hears_are_counted(tmp_path: Path) -> None:
    way = FakeWay()
    way.up.clear()
    async with running(tmp_path, way) as run:
        async with run.sender() as engine:
            assert await engine.ask(message("m1", accept="AL", application="AL")) == ("CA", "m1")
        await until(lambda: run.meters.values[CONNECTIONS, ("icu",)] == 0)
        way.up.set()
        await until(lambda: run.meters.values.get((LATE_ANSWERS, ("icu", "nobody_there"))) == 1)


async def test_when_the_disk_refuses_kafka_has_to_have_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(tmp_path) as run, run.sender() as engine:

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("wardstream.infra.gateways.spool.os.fdatasync", full)
        run.way.up.clear()
        engine.send(message("m1", accept="AL"))
        with pytest.raises(TimeoutError):
            await engine.answer(0.3)
        run.way.up.set()
        assert await engine.answer() == ("CA", "m1")
        assert run.way.topics() == ["vitals.v1"]


async def test_refusals_name_the_field(tmp_path: Path) -> None:
    async with running(tmp_path) as run, run.sender() as engine:
        engine.send(message("m1", "malformed"))
        answer = await engine.reader.readblock()
        assert said(answer) == ("AE", "m1")
        assert b"PID" in answer.split(b"ERR|")[1]
        assert await engine.ask(message("m2", "malformed", accept="AL")) == ("CE", "m2")
        assert (await engine.ask(b"no message"))[0] == "AE"
        assert await engine.ask(message("m3", "crash")) == ("AR", "")
        assert await engine.ask(message("m4")) == ("AA", "m4")
    assert run.way.topics() == ["vitals.v1"]


async def test_a_crash_of_the_mapping_is_told_without_what_it_was_about(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(tmp_path) as run, run.sender() as engine:
        await engine.ask(message("m1", "crash"))
    assert "RuntimeError" in caplog.text
    assert "Meier" not in caplog.text


async def test_what_cannot_be_mapped_is_a_dead_letter_and_no_error(tmp_path: Path) -> None:
    async with running(tmp_path) as run, run.sender() as engine:
        assert await engine.ask(message("m1", "reject", "event", "impossible", "ignored")) == ("AA", "m1")
    found = sorted(run.way.kept)
    assert [topic for topic, *_ in found] == ["labs.v1.dead", "vitals.v1", "vitals.v1.dead"]
    reasons = []
    for topic, key, value, headers in found:
        if topic.endswith(".dead"):
            assert key is None
            assert DeadLetters(KEY).open(value, headers).value.startswith(b"MSH|")
            told = dict(headers)
            reasons.append((told["reason"], told["fields"], told["topic"]))
    assert reasons == [
        (b"wrong_type", b"OBX[1]-5", b"hl7v2:icu"),
        (b"out_of_bounds", b"heart_rate_bpm", b"hl7v2:icu"),
    ]
    assert run.meters.values[HL7_IGNORED, ("icu", "type", "SIU^S12")] == 1


async def test_names_leave_sealed_and_only_when_they_change(tmp_path: Path) -> None:
    async with running(tmp_path) as run, run.sender() as engine:
        for number, name in enumerate(("Meier", "Meier", "Schulze", "Schulze")):
            assert (await engine.ask(message(f"m{number}", f"person {name}")))[0] == "AA"
    assert run.way.topics() == ["identities.v1"] * 2
    assert b"Meier" not in b"".join(value for _, _, value, _ in run.way.kept)
    people = [IdentitySeals([KEY]).open(decoder_of(Identity)(value)) for _, _, value, _ in run.way.kept]
    assert [person.family for person in people] == ["Meier", "Schulze"]
    async with running(tmp_path, map_with={"identities": None}) as run, run.sender() as engine:
        assert (await engine.ask(message("m9", "person Meier")))[0] == "AA"
    assert run.way.kept == [], "without a key no names are kept"


async def test_acknowledgements_are_not_answered(tmp_path: Path) -> None:
    async with running(tmp_path) as run, run.sender() as engine:
        engine.send(message("a1", "ignored", kind="ACK"))
        engine.send(message("a2", "ignored", kind="ACK^A01", accept="AL", application="AL"))
        assert await engine.ask(message("m1")) == ("AA", "m1")


async def test_batches(tmp_path: Path) -> None:
    async with running(tmp_path) as run, run.sender() as engine:
        block = b"BHS|^~\\&\r" + message("m1") + message("m2", "malformed") + message("m3", accept="AL") + b"BTS|3\r"
        engine.send(block)
        answer = await engine.reader.readblock()
        assert answer.startswith(b"BHS|")
        parts = answer.split(b"MSH|")[1:]
        assert [said(part) for part in parts] == [("AA", "m1"), ("AE", "m2"), ("AA", "m3")]
        assert run.way.topics() == ["vitals.v1"] * 2
        assert (await engine.ask(b"BHS|^~\\&\rBTS|0\r"))[0] == "AE"


@pytest.mark.parametrize("noise", [b"\n", b"\r\n  ", b"GET / HTTP/1.1\r\n\r\n", bytes(range(11)), b"\xff" * 1000])
async def test_bytes_between_blocks_are_passed_over(tmp_path: Path, noise: bytes) -> None:
    async with running(tmp_path) as run, run.sender() as engine:
        engine.write(noise)
        assert await engine.ask(message("m1")) == ("AA", "m1")
        engine.write(noise + b"\x1c\r" + noise)
        assert await engine.ask(message("m2")) == ("AA", "m2")
        assert run.meters.values[HL7_BLOCKS, ("icu", "no_start")] == 1


async def test_garbage_of_one_is_not_the_others_trouble(tmp_path: Path) -> None:
    async with running(tmp_path) as run, run.sender() as good:
        for noise in (b"\x0b\x1c\r", b"\x0b" * 50 + b"\x1c\r", b"\x16\x03\x01" * 40, b"\x1c\r" * 100, b"\x0bMSH"):
            async with run.sender() as bad:
                bad.write(noise)
                assert await good.ask(message("m1")) == ("AA", "m1")
        assert await good.ask(message("m2")) == ("AA", "m2")


async def test_the_answer_to_what_is_too_large_names_the_message(tmp_path: Path) -> None:
    async with running(tmp_path, make_reader=partial(BlockReader, limit=2000)) as run:
        for end in (b"", b"\x1c\r"):
            async with run.sender() as engine:
                engine.write(b"\r\n\x0b" + message("big") + b"x" * 5000 + end)
                assert await engine.answer() == ("AR", "big")


async def test_too_large(tmp_path: Path) -> None:
    async with running(tmp_path, make_reader=partial(BlockReader, limit=2000)) as run, run.sender() as good:
        for block in (b"\x0b" + b"x" * 100_000, b"\x0b" + b"x" * 3000 + b"\x1c\r"):
            async with run.sender() as bad:
                bad.write(block)
                assert (await bad.answer())[0] == "AR"
                assert await bad.ended()
        assert await good.ask(message("m1")) == ("AA", "m1")
        assert run.meters.values[HL7_BLOCKS, ("icu", "too_large")] == 2


async def test_a_block_that_does_not_end_is_cut_off_and_silence_is_not(tmp_path: Path) -> None:
    async with running(tmp_path, make_reader=partial(BlockReader, seconds=0.4)) as run, run.sender() as silent:
        async with run.sender() as slow:

            async def drip() -> None:
                for byte in b"\x0b" + message("m1"):
                    slow.write(bytes([byte]))
                    await asyncio.sleep(0.05)

            dripping = asyncio.create_task(drip())
            assert await slow.ended()
            dripping.cancel()
        assert run.meters.values[HL7_BLOCKS, ("icu", "slow")] == 1
        await asyncio.sleep(1)
        assert await silent.ask(message("m2")) == ("AA", "m2")


async def test_while_a_sender_is_not_read_its_block_is_not_late(tmp_path: Path) -> None:
    way = FakeWay()
    way.up.clear()
    slow_limit = partial(BlockReader, seconds=0.3)
    async with running(tmp_path, way, make_reader=slow_limit, held_bytes=1) as run, run.sender() as engine:
        for number in range(3):
            engine.send(message(f"m{number}"))
        await asyncio.sleep(1)
        way.up.set()
        assert [await engine.answer() for _ in range(3)] == [("AA", f"m{number}") for number in range(3)]


async def test_too_many_connections(tmp_path: Path) -> None:
    async with running(tmp_path, connections=3) as run:
        async with run.sender() as one, run.sender() as two, run.sender() as three, run.sender() as four:
            assert await four.ended()
            for engine in (one, two, three):
                assert await engine.ask(message("m1")) == ("AA", "m1")
        await until(lambda: run.meters.values[CONNECTIONS, ("icu",)] == 0)
        assert run.meters.values[CONNECTIONS_REFUSED, ("icu",)] == 1
        async with run.sender() as engine:
            assert await engine.ask(message("m1")) == ("AA", "m1")


async def test_many_connections(tmp_path: Path) -> None:
    async def one(run: Running, name: int) -> list[tuple[str, str]]:
        async with run.sender() as engine:
            return [await engine.ask(message(f"{name}-{n}", accept="AL" if name % 2 else "")) for n in range(10)]

    async with running(tmp_path) as run:
        answers = await asyncio.gather(*(one(run, name) for name in range(60)))
        await until(lambda: run.spool.records == 0)
    for name, found in enumerate(answers):
        assert found == [("CA" if name % 2 else "AA", f"{name}-{n}") for n in range(10)]
    assert len(run.way.kept) == 600


async def test_when_kafka_is_away_and_the_spool_is_full_nothing_more_is_read(tmp_path: Path) -> None:
    way = FakeWay()
    way.up.clear()
    async with running(tmp_path, way, spool_bytes=5000, held_bytes=2000) as run, run.sender() as engine:
        engine.writer.transport.set_write_buffer_limits(0)
        sent = 0

        async def send_for_ever() -> None:
            nonlocal sent
            while True:
                engine.send(message(f"m{sent}", "x" * 20_000, "event", accept="AL"))
                sent += 1
                async with asyncio.timeout(1):
                    await engine.writer.drain()

        with pytest.raises(TimeoutError):
            await send_for_ever()
        assert run.spool.bytes <= 5000
        assert sent < 1000
        way.up.set()
        assert [await engine.answer() for _ in range(sent)] == [("CA", f"m{number}") for number in range(sent)]


async def test_an_orderly_stop_answers_what_was_read(tmp_path: Path) -> None:
    async with running(tmp_path) as run, run.sender() as engine:
        for number in range(30):
            engine.send(message(f"m{number}"))
        await until(lambda: len(run.way.kept) > 0)
        await run.gateway.stop()
        answers = []

        async def hear_all() -> None:
            while True:
                answers.append(await engine.answer())

        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await hear_all()
        assert len(answers) == len(run.way.kept)
        with pytest.raises(OSError, match="Connect call failed"):
            await asyncio.open_connection("127.0.0.1", run.port)


async def test_types_of_senders_do_not_fill_the_metrics(tmp_path: Path) -> None:
    async with running(tmp_path) as run, run.sender() as engine:
        for number in range(300):
            engine.send(message(f"m{number}", kind=f"T{number:03}"))
        for _ in range(300):
            await engine.answer()
        assert await engine.ask(message("x", kind="Anna Meier")) == ("AA", "x")
    labels = [labels for metric, labels in run.meters.values if metric is HL7_MESSAGES]
    assert labels == [("icu", "other", "AA")]
