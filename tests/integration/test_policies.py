"""Policies are applied by operators, on the audit, and followed, on a real broker."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

import msgspec
import pytest

from tests.reading import read_all
from tests.workers import WARDSTREAM, create_topics, worker_environment
from wardstream.infra.kafka.broker import Cluster
from wardstream.infra.policies import Policies
from wardstream.models.alerts.policy_file import DEFAULT, parse_policy

pytestmark = [pytest.mark.connected, pytest.mark.timeout(300)]


def test_a_policy_is_applied_audited_followed_and_taken_back(own_kafka: Cluster, tmp_path: Path) -> None:
    environment = worker_environment(own_kafka, tmp_path / "home", TOKENS_FILE=str(tmp_path / "tokens.json"))
    create_topics(environment)
    tokens = {}
    for role in ("operator", "viewer"):
        command = [WARDSTREAM, "tokens", "add", f"some {role}", "--role", role]
        ran = subprocess.run(command, env=environment, check=True, timeout=60, capture_output=True)
        tokens[role] = ran.stdout.decode().strip()

    def policy(*arguments: str, role: str = "operator") -> tuple[int, str, str]:
        told = environment | {"WARDSTREAM_TOKEN": tokens[role]}
        command = [WARDSTREAM, "policy", *arguments]
        ran = subprocess.run(command, env=told, timeout=120, capture_output=True, check=False)
        return ran.returncode, ran.stdout.decode(), ran.stderr.decode()

    file = tmp_path / "policy.toml"
    file.write_text(DEFAULT.text.replace("end = 3", "end = 2"))
    digest = parse_policy(file.read_text()).digest

    code, text, about = policy("show")
    assert (code, text) == (0, DEFAULT.text)
    assert "none has been applied" in about
    code, _, said = policy("apply", str(file), "--why", "w", role="viewer")
    assert code == 2
    assert "does not have the role operator" in said

    async def follow() -> None:
        policies = Policies(own_kafka.client_options())
        try:
            await policies.open()
            assert policies() is DEFAULT
            for arguments, wanted in ((str(file), digest), ("--default", DEFAULT.digest)):
                code, text, said = await asyncio.to_thread(policy, "apply", arguments, "--why", "a trial")
                assert code == 0, said
                assert wanted in text
                async with asyncio.timeout(30):
                    while policies().digest != wanted:
                        await policies.step()
        finally:
            await policies.close()

    asyncio.run(follow())
    code, text, _ = policy("show", digest[:10])
    assert (code, text) == (0, file.read_text())
    code, text, _ = policy("list")
    lines = [line for line in text.splitlines() if "some operator" in line]
    assert [("in force" in line, "built in" in line) for line in lines] == [(True, True), (False, False)]
    assert policy("show", "ffff")[0] == 2

    found = asyncio.run(read_all(",".join(own_kafka.bootstrap_servers), ["audit.v1"]))["audit.v1"]
    deeds = [msgspec.json.decode(record.value) for record in found]
    assert [(one["what"], one["about"], one["who"], one["why"]) for one in deeds] == [
        ("policy_applied", wanted, "some operator", "a trial") for wanted in (digest, DEFAULT.digest)
    ]
