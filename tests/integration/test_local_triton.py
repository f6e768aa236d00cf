"""The real Triton that the demo and the tests of models stand on, and the client on it."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import time
import warnings
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pytest

from tests.integration.tiny_model import CHANNELS, CONFIG, STEPS, expected, write_model
from wardstream.infra.triton.environment import Environment
from wardstream.infra.triton.server import TritonDown, TritonServer
from wardstream.infra.triton.shared_memory import FOLDER, prefix
from wardstream.models.triton import TritonClient, Unavailable

# A standstill of the whole machine ends a backend, and is no fault of what is tested here.
pytestmark = [pytest.mark.connected, pytest.mark.flaky(reruns=2, only_rerun=["is not healthy", "stood still"])]

PATIENCE_S = 60.0
RECOVERY_S = 30.0
MIB = 1 << 20


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    write_model(tmp_path / "models")
    (tmp_path / "models" / "README.md").write_text("not a model")
    return tmp_path / "models"


@pytest.fixture
def server(tmp_path: Path, repository: Path, triton_environment: Environment) -> Iterator[TritonServer]:
    """One of the test's own (1 s): what a test did to its server may end it later."""
    with TritonServer(tmp_path / "triton", repository, made_of=triton_environment) as server:
        yield server
        server.kill()  # an orderly end would take 2 s


@pytest.fixture
async def client(server: TritonServer) -> AsyncIterator[TritonClient]:
    """A client that waits as long as a busy machine may need."""
    client = TritonClient(server.url, deadline_s=PATIENCE_S)
    try:
        yield client
    finally:
        await client.close()


def rows(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((n, STEPS, CHANNELS), dtype=np.float32)


async def right(client: TritonClient, x: np.ndarray) -> str:
    answer = await client.infer("tiny", {"x": x})
    wanted = expected(x, int(answer.version))
    np.testing.assert_allclose(answer.outputs["sum"], wanted, rtol=1e-4)
    np.testing.assert_array_equal(answer.outputs["above"], answer.outputs["sum"] > 1)
    return answer.version


async def test_single_batched_and_joined_requests_have_their_own_answers(client: TritonClient) -> None:
    for n in (1, 2, 64, 256):
        await right(client, rows(n, n))
    await asyncio.gather(*(right(client, rows(1 + i % 5, i)) for i in range(60)))


async def test_what_does_not_fit_is_rejected(client: TritonClient) -> None:
    for model, inputs in (
        ("tiny", {"x": rows(1)[:, 1:]}),
        ("tiny", {"x": rows(257)}),
        ("tiny", {"x": rows(1).astype(np.float64)}),
        ("tiny", {"y": rows(1)}),
        ("tiny", {}),
        ("none", {"x": rows(1)}),
    ):
        with pytest.raises(Unavailable) as refused:
            await client.infer(model, inputs)
        assert refused.value.reason == "rejected"
    await right(client, rows(1))


async def test_versions_change_under_load_without_a_failed_request(client: TritonClient, repository: Path) -> None:
    seen: Counter[str] = Counter()
    stop = asyncio.Event()

    async def asks_again_and_again(seed: int) -> None:
        while not stop.is_set():
            seen[await right(client, rows(1 + seed % 3, seed))] += 1

    asking = [asyncio.create_task(asks_again_and_again(seed)) for seed in range(8)]
    try:
        for version in (2, 3):
            await asyncio.to_thread(write_model, repository, version=version)
            await client.load("tiny")
            assert (await client.versions())["tiny"] == [str(version)]
            await asyncio.sleep(0.3)
        shutil.rmtree(repository / "tiny" / "3")  # back to 2
        await client.load("tiny")
        await asyncio.sleep(0.3)
    finally:
        stop.set()
        await asyncio.gather(*asking)
    assert seen["1"] > 0 < seen["2"]
    assert seen["3"] > 0
    assert await right(client, rows(1)) == "2"


async def test_a_version_that_cannot_be_loaded_leaves_the_one_before(client: TritonClient, repository: Path) -> None:
    before = await right(client, rows(1))
    broken = repository / "tiny" / "99"
    broken.mkdir()
    (broken / "model.onnx").write_bytes(b"no network")
    with pytest.raises(Unavailable) as refused:
        await client.load("tiny")
    assert refused.value.reason == "rejected"
    assert "99" in str(refused.value)
    assert await right(client, rows(1)) == before
    assert await client.ready()
    shutil.rmtree(broken)
    await client.load("tiny")


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (CONFIG.replace('"x" data_type: TYPE_FP32', '"x" data_type: TYPE_FP64'), "TYPE_FP64"),
        (CONFIG.replace(f"[ {STEPS}, ", f"[ {STEPS + 1}, "), "input x is"),
        (CONFIG.replace('"above"', '"below"'), "no output below"),
    ],
)
async def test_a_config_that_is_not_the_networks_is_refused(
    client: TritonClient, repository: Path, wrong: str, told: str
) -> None:
    folder = write_model(repository, "other", config=wrong)
    try:
        with pytest.raises(Unavailable, match=told):
            await client.load("other")
    finally:
        shutil.rmtree(folder)


async def test_cancelled_and_late_calls_leave_the_server_well(server: TritonServer, client: TritonClient) -> None:
    for i in range(300):
        call = asyncio.create_task(client.infer("tiny", {"x": rows(64)}))
        await asyncio.sleep(0.0002 * (i % 20))
        call.cancel()
        await asyncio.wait({call})
    hasty = TritonClient(server.url, deadline_s=0.002)
    for _ in range(100):
        try:
            await hasty.infer("tiny", {"x": rows(64)})
        except Unavailable:
            hasty.circuit.state = "closed"
    await hasty.close()
    await recovered(client, server)
    server.check()


async def test_memory_is_bounded(server: TritonServer, client: TritonClient) -> None:
    def used() -> dict[str, int]:
        triton = psutil.Process(server.pid)
        (backend,) = triton.children()
        processes = {"ours": psutil.Process(), "triton": triton, "backend": backend}
        return {name: process.memory_info().rss for name, process in processes.items()}

    async def ask(times: int) -> None:
        for _ in range(times):
            await client.infer("tiny", {"x": rows(64)})

    await asyncio.gather(*(ask(250) for _ in range(4)))
    before = used()
    await asyncio.gather(*(ask(750) for _ in range(4)))  # 300 MB in, all in all
    after = used()
    grown = {name: (after[name] - before[name]) / MIB for name in before}
    assert max(grown.values()) < 24, grown


async def recovered(client: TritonClient, server: TritonServer) -> None:
    """Returns when an answer comes; a Triton that died of a known fault is begun anew, as the demo does it."""
    deadline = time.monotonic() + RECOVERY_S
    while time.monotonic() < deadline:
        try:
            await right(client, rows(1))
            return
        except Unavailable:
            try:
                server.check()
            except TritonDown:
                if not (faults := known_faults(server)):
                    raise
                warnings.warn(f"Triton died of a known fault: {faults}", stacklevel=2)
                await asyncio.to_thread(server.kill)
                await asyncio.to_thread(server.start)
            await asyncio.sleep(0.05)
    pytest.fail("no answer any more")


def known_faults(server: TritonServer) -> list[str]:
    """What its log since the last start says of those that infra/triton/server.py names."""
    last = server.log.read_text("utf-8", errors="replace").rpartition("Started GRPCInferenceService")[2]
    return [fault for fault in ("Signal (11) received", "the backend stood still") if fault in last]


async def outage(client: TritonClient, seconds: float) -> Counter[str]:
    """Why there are no answers, and that asking for them soon costs nothing."""
    reasons: Counter[str] = Counter()
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        with pytest.raises(Unavailable) as refused:
            await right(client, rows(1))
        reasons[refused.value.reason] += 1
        await asyncio.sleep(0.02)
    return reasons


async def test_a_server_that_hangs_for_three_seconds_is_begun_anew(server: TritonServer) -> None:
    client = TritonClient(server.url, deadline_s=0.5)
    try:
        await recovered(client, server)
        server.pause()
        try:
            reasons = await outage(client, 3.0)
        finally:
            server.resume()
        assert reasons["deadline"] <= 4
        assert reasons["circuit_open"] > 10
        with pytest.raises(TritonDown):
            await checked(server)
        await asyncio.to_thread(server.kill)
        await asyncio.to_thread(server.start)
        await recovered(client, server)
    finally:
        await client.close()


async def test_a_backend_that_stood_still_answers_nothing_more(server: TritonServer, client: TritonClient) -> None:
    """Triton gives the memory of its requests to others: it would take a late answer for theirs."""

    async def asks(seed: int) -> None:
        with suppress(Unavailable):
            while True:
                await right(client, rows(1 + seed, seed))

    asking = [asyncio.create_task(asks(seed)) for seed in range(6)]
    (backend,) = psutil.Process(server.pid).children()
    backend.suspend()
    await asyncio.sleep(2.5)
    backend.resume()
    with pytest.raises(TritonDown):  # what it is that sees it first, the backend's watch or its C++, is a race
        await checked(server)
    server.kill()
    await asyncio.gather(*asking)


async def test_a_server_that_is_killed_and_started_again(server: TritonServer) -> None:
    client = TritonClient(server.url, deadline_s=0.5)
    try:
        await recovered(client, server)
        url, backend = server.url, psutil.Process(server.pid).children()[0]
        server.kill()
        assert not backend.is_running() or backend.status() == psutil.STATUS_ZOMBIE
        with pytest.raises(TritonDown):
            server.check()
        reasons = await outage(client, 1.0)
        assert reasons["circuit_open"] > reasons["unavailable"]
        await asyncio.to_thread(server.start)
        assert server.url == url
        await recovered(client, server)
        assert len(list(FOLDER.glob(f"{prefix(int(url.rpartition(':')[2]))}*"))) == 1  # none of the killed one
    finally:
        await client.close()


def test_kill_returns_when_none_of_the_group_is_left_and_says_when_one_is(
    server: TritonServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wardstream.infra.triton.server._DYING_S", 0.5)
    with subprocess.Popen(["/bin/sleep", "60"], process_group=server.pid) as slow:  # a backend that takes its time
        with monkeypatch.context() as only_the_server_hears:
            only_the_server_hears.setattr(os, "killpg", os.kill)
            with pytest.raises(TritonDown, match="is left"):
                server.kill()
        assert slow.poll() is None
        server.kill()
        assert not runs(slow.pid)


async def checked(server: TritonServer) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        server.check()
        await asyncio.sleep(0.1)


async def test_a_backend_that_is_killed_is_noticed(server: TritonServer) -> None:
    """Triton itself goes on and says that it is ready."""
    client = TritonClient(server.url, deadline_s=0.5)
    try:
        await recovered(client, server)
        server.check()
        psutil.Process(server.pid).children()[0].kill()
        with pytest.raises(TritonDown, match="backend"):
            await checked(server)
        assert await client.ready()
        with pytest.raises(Unavailable):
            await right(client, rows(1))
        await asyncio.to_thread(server.kill)
        await asyncio.to_thread(server.start)
        server.check()
        await recovered(client, server)
    finally:
        await client.close()


def listening_of(process: psutil.Process) -> set[tuple[str, int]]:
    """Where it listens."""
    return {c.laddr for c in process.net_connections() if c.status == psutil.CONN_LISTEN}


def test_it_stops_and_leaves_nothing(tmp_path: Path, triton_environment: Environment) -> None:
    write_model(tmp_path / "models")
    with TritonServer(tmp_path / "triton", tmp_path / "models", made_of=triton_environment) as server:
        process = psutil.Process(server.pid)
        memory = f"{prefix(int(server.url.rpartition(':')[2]))}*"
        assert list(FOLDER.glob(memory))
        (backend,) = process.children()
        listening = listening_of(process)
        deadline = time.monotonic() + PATIENCE_S
        while len(listening) < 3 and time.monotonic() < deadline:  # HTTP and metrics come after gRPC is ready
            time.sleep(0.1)
            listening = listening_of(process)
        assert {ip.removeprefix("::ffff:") for ip, _ in listening} == {"127.0.0.1"}
        assert len(listening) == 3
        with pytest.raises(TritonDown, match="Another Triton"):
            TritonServer(tmp_path / "triton", tmp_path / "models", made_of=triton_environment).start()
        server.pause()  # a stopped one is stopped as well
    assert not process.is_running()
    assert not backend.is_running()
    assert not list(FOLDER.glob(memory))


def test_one_that_cannot_start_says_why(tmp_path: Path, triton_environment: Environment) -> None:
    write_model(tmp_path / "models", config=CONFIG.replace('"sum"', '"total"'))
    server = TritonServer(tmp_path / "triton", tmp_path / "models", made_of=triton_environment)
    with pytest.raises(TritonDown, match="no output total"):
        server.start()


_STARTS_AND_DIES = """
import os, sys, psutil
from pathlib import Path
from wardstream.infra.triton.environment import Environment
from wardstream.infra.triton.server import TritonServer
server = TritonServer(Path(sys.argv[1]), Path(sys.argv[2]), made_of=Environment(Path(sys.argv[3])))
server.start()
print(server.pid, psutil.Process(server.pid).children()[0].pid, flush=True)
os.kill(os.getpid(), 9)
"""


def test_nothing_outlives_who_started_it(tmp_path: Path, triton_environment: Environment) -> None:
    write_model(tmp_path / "models")
    folders = [str(tmp_path / "triton"), str(tmp_path / "models"), str(triton_environment.folder)]
    command = [sys.executable, "-c", _STARTS_AND_DIES, *folders]
    ran = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=3 * PATIENCE_S, check=False)
    pids = [int(pid) for pid in ran.stdout.split()]
    assert len(pids) == 2
    deadline = time.monotonic() + PATIENCE_S
    while any(map(runs, pids)):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
