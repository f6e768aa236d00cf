"""The models of the repository on a real Triton: they load, and it says what ONNX Runtime says here."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from typer.testing import CliRunner

from tests.models.training.tiny import write_candidate
from wardstream.infra.cli import main
from wardstream.infra.model_store import Store
from wardstream.infra.triton.environment import Environment
from wardstream.infra.triton.server import TritonServer
from wardstream.models.sepsis import ABOUT, LOOK_BACK, SIGNALS
from wardstream.models.training.record import file_hash
from wardstream.models.training.sepsis import CONFIG
from wardstream.models.triton import TritonClient

pytestmark = pytest.mark.connected

REPOSITORY = Path(__file__).resolve().parents[2] / "models" / "repository"
MODELS = sorted(path.parent.name for path in REPOSITORY.glob("*/config.pbtxt"))
ROWS, TOLERANCE = 64, 1e-4


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, triton_environment: Environment) -> Iterator[TritonServer]:
    with TritonServer(tmp_path_factory.mktemp("triton"), REPOSITORY, made_of=triton_environment) as server:
        yield server


def made_up(session: onnxruntime.InferenceSession) -> dict[str, np.ndarray]:
    """Inputs of the shapes that the model takes: of `sepsis` such as its contract allows, of others any."""
    rng = np.random.default_rng(1)
    if {one.name for one in session.get_inputs()} != {"values", "measured", "since", "about"}:
        return {one.name: rng.random((ROWS, *one.shape[1:]), dtype=np.float32) for one in session.get_inputs()}
    shape = (ROWS, LOOK_BACK, len(SIGNALS))
    measured = (rng.random(shape) < 0.2).astype(np.float32)
    values, since = np.zeros(shape, np.float32), np.full(shape, LOOK_BACK, np.float32)
    for hour in range(LOOK_BACK):
        now = measured[:, hour] > 0
        before = hour > 0
        values[:, hour] = np.where(now, rng.normal(80, 30, now.shape), values[:, hour - 1] if before else 0)
        since[:, hour] = np.where(now, 0, np.minimum(since[:, hour - 1] + 1, LOOK_BACK) if before else LOOK_BACK)
    about = np.ones((ROWS, LOOK_BACK, len(ABOUT)), np.float32)
    about[..., 0] = rng.uniform(18, 95, (ROWS, 1))
    about[..., -1] = np.arange(1, LOOK_BACK + 1)
    return {"values": values, "measured": measured, "since": since, "about": about}


@pytest.mark.parametrize("model", MODELS)
async def test_triton_says_what_onnx_runtime_says(model: str, server: TritonServer) -> None:
    serving = Store(REPOSITORY, model).serving()
    session = onnxruntime.InferenceSession(REPOSITORY / model / str(serving) / "model.onnx")
    inputs = made_up(session)
    names = [one.name for one in session.get_outputs()]
    wanted = dict(zip(names, session.run(names, inputs), strict=True))
    client = TritonClient(server.url, deadline_s=20)
    try:
        answer = await client.infer(model, inputs)
    finally:
        await client.close()
    assert answer.version == str(serving)
    assert np.ptp(wanted[names[0]]) > 0, "all rows have one answer: nothing is compared"
    for name in names:
        np.testing.assert_allclose(answer.outputs[name], wanted[name], rtol=0, atol=TOLERANCE)


def test_a_candidate_that_triton_refuses_leaves_nothing(
    tmp_path: Path, triton_environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the command: Triton's own reason is told, its version goes on, and the next candidate is deployed."""
    store, one = Store(tmp_path / "repository", "sepsis"), write_candidate(tmp_path / "one", heart=0.1)
    store.serve(store.add(one), "a test", CONFIG, None)
    config = (store.folder / "config.pbtxt").read_bytes()
    refused, good = write_candidate(tmp_path / "refused"), write_candidate(tmp_path / "good", heart=0.2)
    made = (refused / "record.json").read_bytes()
    whole = file_hash(refused / "model.onnx")
    (refused / "model.onnx").write_bytes(b"no network")
    (refused / "record.json").write_bytes(made.replace(whole.encode(), file_hash(refused / "model.onnx").encode()))
    for candidate in (refused, good):
        store.settle_look(store.count_look(candidate, "begun", "d").number, "accepted")
    with TritonServer(tmp_path / "triton", store.folder.parent, made_of=triton_environment) as server:
        monkeypatch.setenv("WARDSTREAM_HOME", str(tmp_path / "home"))
        monkeypatch.setenv("WARDSTREAM_MODELS", str(store.folder.parent))
        monkeypatch.setenv("WARDSTREAM_TRITON_URL", server.url)
        told = CliRunner().invoke(main, ["deploy", "sepsis", "--candidate", str(refused)])
        assert told.exit_code == 2, told.output
        assert "did not load version 2: rejected: " in told.output
        assert "sepsis/2/model.onnx failed:Protobuf parsing failed" in told.output
        assert ".py" not in told.output
        assert (store.versions(), store.serving(), len(store.history())) == ([1], 1, 1)
        assert (store.folder / "config.pbtxt").read_bytes() == config
        assert asyncio.run(served(server.url)) == ["1"]
        told = CliRunner().invoke(main, ["deploy", "sepsis", "--candidate", str(good)])
        assert told.exit_code == 0, told.output
        assert asyncio.run(served(server.url)) == ["2"]


async def served(url: str) -> list[str]:
    client = TritonClient(url, deadline_s=20)
    try:
        return (await client.versions())["sepsis"]
    finally:
        await client.close()
