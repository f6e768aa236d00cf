"""The demo shows every stage, and nothing of it is left however it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.integration.tiny_model import write_model
from wardstream.infra.children import Child, ChildEnded
from wardstream.infra.failure import Failure
from wardstream.infra.run_folder import run_folder
from wardstream.infra.triton.environment import Environment

PATIENCE_S = 400.0


@pytest.fixture
def home(tmp_path: Path, kafka_jars: Path, triton_environment: Environment) -> Path:
    """A WARDSTREAM_HOME of its own, with the jars and the Triton that are there."""
    (tmp_path / "triton").symlink_to(triton_environment.folder.parent)
    (tmp_path / "kafka").mkdir()
    (tmp_path / "kafka" / "jars").symlink_to(kafka_jars)
    return tmp_path


@contextmanager
def a_demo(home: Path, *options: str, models: Path | None = None) -> Iterator[subprocess.Popen[str]]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WARDSTREAM_")}
    if models is not None:
        environment["WARDSTREAM_MODELS"] = str(models)
    demo = subprocess.Popen(
        [sys.executable, "-P", "-m", "wardstream.infra.cli", "demo", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**environment, "WARDSTREAM_HOME": str(home)},
    )
    try:
        yield demo
    finally:
        demo.kill()
        demo.communicate()


def await_line(demo: subprocess.Popen[str], start: str) -> str:
    assert demo.stdout is not None
    seen = []
    for line in demo.stdout:
        seen.append(line)
        if line.startswith(start):
            return line
    pytest.fail(f"ended before {start!r}:\n{''.join(seen)}")


def processes(home: Path) -> dict[int, str]:
    """What runs for a demo in this folder, the demo itself apart: its command line by process id."""
    mark = str(home / "demo" / "run-").encode()
    found = {}
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            command = (entry / "cmdline").read_bytes() if entry.name.isdigit() else b""
            if command and (mark in command or mark in (entry / "environ").read_bytes()):
                found[int(entry.name)] = command.replace(b"\0", b" ").decode()
    return found


def nothing_runs(home: Path, within_s: float = 60.0) -> bool:
    deadline = time.monotonic() + within_s
    while processes(home):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


@pytest.mark.connected
def test_it_ends_by_itself_and_every_stage_shows(home: Path) -> None:
    with a_demo(home, "--duration", "20", "--seed", "7") as demo:
        output, _ = demo.communicate(timeout=PATIENCE_S)
    assert demo.returncode == 0, output
    figures = dict(re.findall(r"^([a-z_ ]+?) {2,}([\d,]+)", output, re.MULTILINE))
    answers = ("answers of sepsis", "answers of chest_xray")
    latencies = ("publish to score", "publish to alert")
    assert re.search(r"^board: http://127\.0\.0\.1:\d+/#token=ws_\S{43}$", output, re.MULTILINE), output
    for stage in ("events in", "scores", "alerts", "dead letters", *answers, "metrics", *latencies):
        assert int(figures[stage].replace(",", "")) > 0, output
    assert re.search(r"^answers of chest_xray .*\bok \d", output, re.MULTILINE), output
    assert nothing_runs(home)
    assert not (home / "demo").exists()
    assert {path.name for path in home.iterdir()} == {"kafka", "triton"}


@pytest.mark.connected
def test_its_board_is_for_who_was_told_the_token(home: Path) -> None:
    with a_demo(home) as demo:
        url, _, token = await_line(demo, "board: ").removeprefix("board: ").strip().partition("#token=")
        answers = {}
        for shown in (token, "ws_another"):
            request = urllib.request.Request(f"{url}v1/board/me", headers={"Authorization": f"Bearer {shown}"})
            try:
                with urllib.request.urlopen(request, timeout=60) as answer:
                    answers[shown] = json.load(answer)["roles"]
            except urllib.error.HTTPError as refused:
                answers[shown] = refused.code
        assert answers == {token: ["clinician", "operator"], "ws_another": 401}
        demo.send_signal(signal.SIGTERM)
        demo.communicate(timeout=PATIENCE_S)
    assert nothing_runs(home)


@pytest.mark.connected
def test_a_signal_while_it_starts_ends_all(home: Path) -> None:
    with a_demo(home, "--duration", "20") as demo:
        deadline = time.monotonic() + PATIENCE_S
        while not any("kafka.Kafka" in command for command in processes(home).values()):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        demo.send_signal(signal.SIGTERM)
        output, _ = demo.communicate(timeout=PATIENCE_S)
    assert demo.returncode == 128 + signal.SIGTERM, output
    assert nothing_runs(home)
    assert not (home / "demo").exists()


@pytest.mark.connected
def test_a_worker_that_dies_is_told_and_ends_the_demo(home: Path) -> None:
    with a_demo(home, "--duration", "60") as demo:
        await_line(demo, "feed:")
        worker = next(pid for pid, command in processes(home).items() if command.endswith("worker "))
        os.kill(worker, signal.SIGKILL)
        output, _ = demo.communicate(timeout=PATIENCE_S)
    assert demo.returncode == 2
    assert "the worker has ended by itself (signal SIGKILL)" in output
    assert "lane 3: open" in output
    assert nothing_runs(home)
    (folder,) = (home / "demo").iterdir()
    logs = {"worker.log", "feed.log", "kafka.log", "triton.log", "imaging.log", "board.log", "flow.log"}
    assert {path.name for path in folder.iterdir()} == logs


@pytest.mark.connected
def test_nothing_outlives_a_demo_that_is_killed(home: Path) -> None:
    with a_demo(home) as demo:
        await_line(demo, "topics:")
        deadline = time.monotonic() + PATIENCE_S
        while len(processes(home)) < 2:  # broker and worker
            assert time.monotonic() < deadline
            time.sleep(0.05)
        demo.kill()
        demo.wait()
        assert nothing_runs(home)
    (left,) = (home / "demo").iterdir()
    with run_folder(home / "demo") as folder:  # the next demo
        assert not left.exists()
        assert folder.exists()


@pytest.mark.connected
def test_models_are_served_and_a_server_that_dies_is_started_again(home: Path, tmp_path: Path) -> None:
    def server() -> int | None:
        found = processes(home).items()
        return next((pid for pid, command in found if "tritonserver --model-repository" in command), None)

    write_model(tmp_path / "models")
    with a_demo(home, models=tmp_path / "models") as demo:
        await_line(demo, "Triton, tiny:")
        await_line(demo, "feed:")
        worker = next(pid for pid, command in processes(home).items() if command.endswith("worker "))
        assert b"WARDSTREAM_TRITON_URL=127.0.0.1:" in Path(f"/proc/{worker}/environ").read_bytes()
        first = server()
        assert first is not None
        os.kill(first, signal.SIGABRT)  # as it dies of its own faults; its backends go on
        deadline = time.monotonic() + PATIENCE_S
        while server() in (first, None):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        demo.send_signal(signal.SIGTERM)
        demo.communicate(timeout=PATIENCE_S)
    assert nothing_runs(home)


@pytest.mark.connected
def test_without_triton_the_demo_runs_and_says_that_predictions_are_off(
    tmp_path: Path, kafka_jars: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Python without the module that makes environments stands for every machine that cannot have Triton."""
    (tmp_path / "kafka").mkdir()
    (tmp_path / "kafka" / "jars").symlink_to(kafka_jars)
    (tmp_path / "hidden").mkdir()
    (tmp_path / "hidden" / "venv.py").write_text("raise SystemExit('no venv here')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "hidden"))
    write_model(tmp_path / "models")
    with a_demo(tmp_path, models=tmp_path / "models") as demo:
        await_line(demo, "predictions are off: ")
        await_line(demo, "feed:")
        demo.send_signal(signal.SIGTERM)
        demo.communicate(timeout=PATIENCE_S)
    assert nothing_runs(tmp_path)


def run_that_ends_with(error: BaseException, parent: Path) -> Path:
    try:
        with run_folder(parent) as folder:
            (folder / "worker.log").write_text("oh")
            (folder / "dead-letter-key").write_text("secret")
            (folder / "kafka").mkdir()
            raise error
    except type(error):
        return folder


def test_a_run_leaves_its_logs_only_when_it_failed(tmp_path: Path) -> None:
    parent = tmp_path / "demo"
    with run_folder(parent) as folder:
        (folder / "worker.log").write_text("all well")
    assert not parent.exists()
    failed = run_that_ends_with(Failure("broken"), parent)
    assert [path.name for path in failed.iterdir()] == ["worker.log"]
    run_that_ends_with(KeyboardInterrupt(), parent)
    assert not parent.exists()


def test_two_demos_leave_each_other_alone(tmp_path: Path) -> None:
    with run_folder(tmp_path / "demo") as one, run_folder(tmp_path / "demo") as other:
        assert one != other
        assert one.exists()
        assert one.stat().st_mode & 0o077 == 0


def test_the_end_of_its_log_says_why_a_child_ended(tmp_path: Path) -> None:
    log = tmp_path / "worker.log"
    log.write_text("".join(f"line {number}\n" for number in range(100)))
    with subprocess.Popen([sys.executable, "-c", "raise SystemExit(70)"]) as process:
        process.wait()
        with pytest.raises(ChildEnded, match="exit code 70") as failure:
            Child("worker", process, log).check()
    assert "line 99" in str(failure.value)
    assert "line 80" not in str(failure.value)
