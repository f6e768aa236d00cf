"""The client of the model server, against a fake one: deadlines, places, tries, the circuit, cancellation."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import numpy as np
import pytest

from tests.models.fake_triton import Behaviour, FakeTriton, fails, fake_triton, hangs
from wardstream.models.circuit import Circuit
from wardstream.models.triton import TRIES, WAITING, Outcome, TritonClient, Unavailable

UNAVAILABLE = fails(grpc.StatusCode.UNAVAILABLE, "gone for a moment")
PATIENCE_S = 60.0  # a busy machine is slow; no test waits so long when all is well
X = {"x": np.arange(6, dtype=np.float32).reshape(3, 2)}


@pytest.fixture
async def fake() -> AsyncIterator[FakeTriton]:
    async with fake_triton() as fake:
        yield fake


@pytest.fixture
def outcomes() -> list[Outcome]:
    return []


@asynccontextmanager
async def client_of(fake: FakeTriton, outcomes: list[Outcome], **options: Any) -> AsyncIterator[TritonClient]:
    """A client with all the time it needs, unless told otherwise."""
    client = TritonClient(fake.address, on_outcome=outcomes.append, **{"deadline_s": PATIENCE_S, **options})
    try:
        yield client
    finally:
        await client.close()


async def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        if holds():
            return
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


async def reason_of(client: TritonClient, inputs: Any = X) -> str | None:
    try:
        await client.infer("m", inputs)
    except Unavailable as unavailable:
        return unavailable.reason
    return None


async def test_an_answer_has_its_version_and_arrays(fake: FakeTriton, outcomes: list[Outcome]) -> None:
    async with client_of(fake, outcomes) as client:
        answer = await client.infer("m", X)
    assert answer.version == "7"
    np.testing.assert_array_equal(answer.outputs["y"], 2 * X["x"])
    assert outcomes == [Outcome("m", "7", 3, answer.took_s, 1, None)]
    assert 0 < fake.timeouts_us[0] <= PATIENCE_S * 1e6


async def test_an_array_that_is_a_view_goes_as_its_values(fake: FakeTriton, outcomes: list[Outcome]) -> None:
    async with client_of(fake, outcomes) as client:
        answer = await client.infer("m", {"x": X["x"].T})
    np.testing.assert_array_equal(answer.outputs["y"], 2 * X["x"].T)


async def test_the_deadline_holds_and_ends_the_rpc(fake: FakeTriton, outcomes: list[Outcome]) -> None:
    fake.always = hangs
    async with client_of(fake, outcomes, deadline_s=0.2) as client:
        began = time.monotonic()
        assert await reason_of(client) == "deadline"
        assert time.monotonic() - began > 0.15
        await until(lambda: fake.cancelled == 1)
    assert fake.calls == 1
    assert outcomes[0][1:3] == (None, 3)
    assert outcomes[0].reason == "deadline"


async def test_cancelling_a_call_cancels_its_rpc(fake: FakeTriton, outcomes: list[Outcome]) -> None:
    fake.always = hangs
    async with client_of(fake, outcomes) as client:
        call = asyncio.create_task(client.infer("m", X))
        await until(lambda: fake.at_once == 1)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await until(lambda: fake.cancelled == 1)
        assert client.circuit.state == "closed"
        fake.release.set()
        assert await reason_of(client) is None  # its place is free again
    assert [outcome.reason for outcome in outcomes] == ["cancelled", None]


async def test_closing_is_no_cancellation_of_those_who_wait(fake: FakeTriton, outcomes: list[Outcome]) -> None:
    """gRPC raises CancelledError for a call whose channel is closed: it must not end a lane without a word."""
    fake.always = hangs
    async with client_of(fake, outcomes) as client:
        call = asyncio.create_task(reason_of(client))
        await until(lambda: fake.at_once == 1)
        await client.close()
        assert await call == "unavailable"
        assert await reason_of(client) == "unavailable"
        assert not await client.ready()


@pytest.mark.parametrize("failures", range(TRIES))
async def test_unavailable_is_tried_again(fake: FakeTriton, outcomes: list[Outcome], failures: int) -> None:
    fake.then = [UNAVAILABLE] * failures
    async with client_of(fake, outcomes) as client:
        assert await reason_of(client) is None
    assert outcomes[0].tries == failures + 1


async def test_tries_have_an_end(fake: FakeTriton, outcomes: list[Outcome]) -> None:
    fake.always = UNAVAILABLE
    async with client_of(fake, outcomes) as client:
        assert await reason_of(client) == "unavailable"
    assert fake.calls == TRIES == outcomes[0].tries


async def test_no_try_after_the_deadline(fake: FakeTriton, outcomes: list[Outcome]) -> None:
    fake.always = UNAVAILABLE
    async with client_of(fake, outcomes, now=iter([0.0, 0.0, 0.0, 0.995, 1.0, 1.0]).__next__, deadline_s=1.0) as client:
        assert await reason_of(client) == "unavailable"
    assert fake.calls == 1


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        (fails(grpc.StatusCode.INVALID_ARGUMENT), "rejected"),
        (fails(grpc.StatusCode.NOT_FOUND), "rejected"),
        (fails(grpc.StatusCode.INTERNAL), "rejected"),
        (fails(grpc.StatusCode.UNKNOWN), "rejected"),
        (fails(grpc.StatusCode.RESOURCE_EXHAUSTED), "overloaded"),
        (fails(grpc.StatusCode.UNAVAILABLE, "[request id: 1] Exceeds maximum queue size"), "overloaded"),
        (fails(grpc.StatusCode.UNAVAILABLE, "Request timeout expired"), "deadline"),
        (fails(grpc.StatusCode.DEADLINE_EXCEEDED), "deadline"),
    ],
)
async def test_nothing_else_is_tried_again(
    fake: FakeTriton, outcomes: list[Outcome], behaviour: Behaviour, reason: str
) -> None:
    fake.always = behaviour
    async with client_of(fake, outcomes) as client:
        assert await reason_of(client) == reason
    assert fake.calls == 1


async def test_what_the_server_refuses_opens_no_circuit(fake: FakeTriton, outcomes: list[Outcome]) -> None:
    fake.always = fails(grpc.StatusCode.INVALID_ARGUMENT)
    async with client_of(fake, outcomes) as client:
        assert {await reason_of(client) for _ in range(10)} == {"rejected"}
        assert client.circuit.state == "closed"


async def test_a_type_that_triton_has_not_is_refused(fake: FakeTriton, outcomes: list[Outcome]) -> None:
    async with client_of(fake, outcomes) as client:
        assert await reason_of(client, {"x": np.zeros(2, np.complex64)}) == "rejected"
    assert fake.calls == 0


async def test_so_many_are_on_the_wire_and_the_others_wait(fake: FakeTriton, outcomes: list[Outcome]) -> None:
    fake.always = hangs
    async with client_of(fake, outcomes, in_flight=2) as client:
        calls = [asyncio.create_task(reason_of(client)) for _ in range(10)]
        await until(lambda: fake.at_once == 2)
        fake.release.set()
        assert await asyncio.gather(*calls) == [None] * 10
    assert fake.most_at_once == 2


async def test_no_place_within_the_deadline(fake: FakeTriton, outcomes: list[Outcome]) -> None:
    fake.always = hangs
    async with client_of(fake, outcomes, in_flight=1, deadline_s=0.3) as client:
        reasons = await asyncio.gather(*(reason_of(client) for _ in range(3)))
    assert sorted(map(str, reasons)) == ["deadline", "overloaded", "overloaded"]
    assert fake.calls == 1


async def test_too_many_that_wait_are_refused_at_once(fake: FakeTriton, outcomes: list[Outcome]) -> None:
    fake.always = hangs
    async with client_of(fake, outcomes, in_flight=1) as client:
        calls = [asyncio.create_task(reason_of(client)) for _ in range(1 + WAITING)]
        await until(lambda: fake.at_once == 1)
        assert await reason_of(client) == "overloaded"
        fake.release.set()
        assert set(await asyncio.gather(*calls)) == {None}


async def test_the_circuit_opens_costs_nothing_and_closes_by_one_probe_and_one_trial(
    fake: FakeTriton, outcomes: list[Outcome]
) -> None:
    fake.always, fake.is_ready = UNAVAILABLE, False
    async with client_of(fake, outcomes) as client:
        client.circuit = Circuit(time.monotonic, threshold=3, first_s=0.05, longest_s=0.05)
        assert [await reason_of(client) for _ in range(5)] == ["unavailable"] * 3 + ["circuit_open"] * 2
        calls = fake.calls
        await until(lambda: fake.probes >= 3)
        assert await reason_of(client) == "circuit_open"
        assert fake.calls == calls
        fake.always, fake.is_ready = hangs, True
        await until(lambda: client.circuit.state == "half_open")
        probes = fake.probes
        trial = asyncio.create_task(reason_of(client))
        await until(lambda: fake.at_once == 1)
        assert await reason_of(client) == "circuit_open"
        fake.release.set()
        assert await trial is None
        assert client.circuit.state == "closed"
        await asyncio.sleep(0.2)
        assert fake.probes == probes  # the probe has ended
    assert outcomes[3].tries == 0


async def test_a_trial_that_is_cancelled_leaves_its_turn_to_the_next(fake: FakeTriton, outcomes: list[Outcome]) -> None:
    fake.then = [UNAVAILABLE] * TRIES + [hangs]
    async with client_of(fake, outcomes) as client:
        client.circuit = Circuit(time.monotonic, threshold=1, first_s=0.05)
        assert await reason_of(client) == "unavailable"
        await until(lambda: client.circuit.state == "half_open")
        trial = asyncio.create_task(reason_of(client))
        await until(lambda: fake.at_once == 1)
        trial.cancel()
        await asyncio.wait({trial})
        assert await reason_of(client) is None
        assert client.circuit.state == "closed"


async def test_many_callers_make_one_probe_at_a_time(fake: FakeTriton, outcomes: list[Outcome]) -> None:
    fake.always, fake.is_ready = UNAVAILABLE, False
    async with client_of(fake, outcomes) as client:
        client.circuit = Circuit(time.monotonic, threshold=1, first_s=0.2, longest_s=0.2)
        await reason_of(client)
        until_s = time.monotonic() + 1.0
        while time.monotonic() < until_s:
            await asyncio.gather(*(reason_of(client) for _ in range(20)))
            await asyncio.sleep(0.01)
    assert 1 <= fake.probes <= 6


async def test_a_caller_in_a_loop_leaves_the_probe_its_turn(fake: FakeTriton, outcomes: list[Outcome]) -> None:
    fake.then = [UNAVAILABLE] * TRIES
    async with client_of(fake, outcomes) as client:
        client.circuit = Circuit(time.monotonic, threshold=1, first_s=0.05)
        assert await reason_of(client) == "unavailable"
        deadline = time.monotonic() + PATIENCE_S  # a timeout of asyncio's would not get its turn either
        while await reason_of(client) == "circuit_open":
            assert time.monotonic() < deadline
        assert client.circuit.state == "closed"


async def test_a_server_that_is_gone_and_comes_back(outcomes: list[Outcome]) -> None:
    async with fake_triton() as fake:
        port = fake.port
    async with client_of(fake, outcomes) as client:
        while client.circuit.state == "closed":
            assert await reason_of(client) == "unavailable"
        async with fake_triton(port=port):
            deadline = time.monotonic() + PATIENCE_S
            while True:
                if await reason_of(client) is None:
                    break
                assert time.monotonic() < deadline
                await asyncio.sleep(0.05)
