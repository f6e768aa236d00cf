"""The README says what is: its tables, its commands, its examples."""

from __future__ import annotations

import asyncio
import re
import shlex
import subprocess
import sys
import time
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.core import TyperGroup

from tests.gateways import KEYS, Gateways
from tests.reading import read_all
from tests.workers import Workers, create_topics, worker_environment
from wardstream.infra.cli import main
from wardstream.infra.kafka.broker import Cluster
from wardstream.infra.settings import PREFIX, Settings
from wardstream.infra.worker import HANDLERS, IMAGING
from wardstream.schemas.pseudonym import Pseudonyms
from wardstream.schemas.topic import DAY_MS
from wardstream.schemas.topics import TOPICS

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def table(name: str) -> list[str]:
    """The rows between two comments, without the heading."""
    found = re.search(rf"<!-- {name}: .*?-->\n(.*?)\n<!-- /{name} -->", README, re.DOTALL)
    assert found is not None
    return found[1].splitlines()[2:]


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def row(name: str) -> str:
    topic = TOPICS[name]
    stem = topic.name.removesuffix(".v1")
    if topic.role == "input":
        use = f"in: `agents/{stem}.py`" if topic.name in HANDLERS | IMAGING else "in: no agent reads it yet"
        use = "in: `agents/operations.py`" if topic.name == "operator-answers.v1" else use
    elif topic.role == "internal":
        use = f"between lanes: `agents/{stem}.py`"
    else:
        use = "out"
    kept = "for ever" if topic.retention_ms is None else f"{topic.retention_ms // DAY_MS} days"
    key = "–" if topic.keyed_by == "none" else topic.keyed_by
    return f"| `{topic.name}` | {use} | {key} | {kept} | {topic.description} |"


def test_topics() -> None:
    assert sorted(table("topics")) == sorted(map(row, TOPICS))


def test_settings() -> None:
    defaults = {}
    for line in table("settings"):
        _, name, default, *_ = (cell.strip() for cell in line.split("|"))
        defaults[name.strip("`")] = default.strip("`")
    assert defaults.keys() == {PREFIX + name.upper() for name in Settings.model_fields}
    for name in ("LANES", "REPLICATION", "APP_ID", "CLOCK", "SECURITY_PROTOCOL", "HOME"):
        assert defaults[PREFIX + name] == str(Settings.model_fields[name.lower()].default)


def test_commands() -> None:
    """Every `wardstream …` it prints is one, with these options."""
    printed = [line for block in blocks("sh") for line in block.splitlines()]
    printed += re.findall(r"`(wardstream [^`]+)`", README)
    commands = [shlex.split(line, comments=True) for line in printed if line.startswith("wardstream ")]
    assert len(commands) > 12
    for words in commands:
        found: Any = typer.main.get_command(main)
        for word in words[1:]:
            if isinstance(found, TyperGroup):
                assert word in found.commands, words
                found = found.commands[word]
        options = {option for parameter in found.params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options, words


def test_make_targets() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"\bmake ([a-z-]+)", README)):
        assert f"\n{target}:" in makefile, target


def test_links_and_files() -> None:
    for name in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (ROOT / name).exists(), name
    for name in re.findall(r"`((?:schemas|models|agents|infra|tests)/[\w./]*)`", README):
        assert "fluids" in name or (ROOT / name).exists(), name


@pytest.mark.connected
def test_publish_and_subscribe(tmp_path: Path, kafka_jars: Path) -> None:
    """Both examples as they stand, but for the address, with a worker between them."""
    publish, subscribe, *_ = blocks("python")
    for example in (publish, subscribe):
        assert len([line for line in example.splitlines() if line.strip()]) < 10
    with Cluster(tmp_path / "kafka", jars=kafka_jars) as cluster:
        environment = worker_environment(cluster, tmp_path)
        create_topics(environment)
        workers = Workers(environment, tmp_path)
        try:
            worker = workers.start()
            address = cluster.bootstrap_servers[0]
            where = f'"alerts.v1", bootstrap_servers="{address}", auto_offset_reset="earliest"'
            said = tmp_path / "said"
            example = subscribe.replace('"alerts.v1"', where)
            with said.open("w") as output:
                subscriber = subprocess.Popen([sys.executable, "-u", "-c", example], stdout=output)
            try:
                command = [sys.executable, "-c", publish.replace("localhost:9092", address)]
                subprocess.run(command, check=True, timeout=60)
                deadline = time.monotonic() + 60
                while not said.read_text() and time.monotonic() < deadline:
                    assert worker.poll() is None
                    assert subscriber.poll() is None
                    time.sleep(0.1)
                assert said.read_text().startswith("p-1 raised medium NEWS2 is at least 6")
            finally:
                subscriber.kill()
                subscriber.wait()
        finally:
            workers.end()


@pytest.mark.connected
def test_publish_through_a_gateway(tmp_path: Path, own_kafka: Cluster) -> None:
    """The example as it stands, but for address and token."""
    *_, example = blocks("python")
    assert len([line for line in example.splitlines() if line.strip()]) < 11
    gateways = Gateways(own_kafka, tmp_path, TOKENS_FILE=str(tmp_path / "tokens.json"), HTTP_LISTEN="127.0.0.1:0")
    try:
        words = ("tokens", "add", "monitor-7", "--role", "publisher", "--authority", "general-hospital")
        assert f"wardstream {' '.join(words)}" in README
        token = gateways.run(*words).stdout.strip()
        _, port = gateways.start("http")
        there = example.replace("https://gateway:8443", f"http://127.0.0.1:{port}").replace("ws_…", token)
        assert there != example
        subprocess.run([sys.executable, "-c", there], check=True, timeout=60)
    finally:
        gateways.end()
    found = asyncio.run(read_all(",".join(own_kafka.bootstrap_servers), ["vitals.v1"]))
    patient = Pseudonyms(b64decode(KEYS["PSEUDONYM_KEY"])).patient("general-hospital", "p-1")
    assert [record.key for record in found["vitals.v1"]] == [patient.encode()]
