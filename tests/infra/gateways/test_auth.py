"""Tokens: kept as hashes, known at once, gone at once."""

from __future__ import annotations

import hmac
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from wardstream.infra.cli import main
from wardstream.infra.gateways.auth import Anyone, TokenError, TokenFile, add_token, read_tokens, remove_token


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "etc" / "tokens.json"


def test_a_token_is_its_holder(path: Path) -> None:
    lab = add_token(path, "lab", ["publisher"])
    nurse = add_token(path, "m.garcia", ["clinician", "viewer"], ["ICU"])
    file = TokenFile(path)
    monitors = add_token(path, "monitors", ["publisher"], assigning_authority="NORTH")
    assert file.principal(lab) == ("lab", {"publisher"}, None, None)
    assert file.principal(nurse) == ("m.garcia", {"clinician", "viewer"}, {"ICU"}, None)
    assert file.principal(monitors) == ("monitors", {"publisher"}, None, "NORTH")
    for wrong in ("", "ws_", lab[:-1], lab + "x", lab.upper(), "x" * 10_000):
        assert file.principal(wrong) is None


@given(st.text())
def test_no_text_is_a_token(text: str) -> None:
    file = TokenFile.__new__(TokenFile)
    file._tokens, file._reload = (), lambda: None  # type: ignore[method-assign]
    assert file.principal(text) is None


def test_the_file_holds_no_token(path: Path) -> None:
    token = add_token(path, "lab", ["publisher"])
    text = path.read_text()
    assert token not in text
    assert token.removeprefix("ws_") not in text
    assert path.stat().st_mode & 0o777 == 0o600


def test_every_hash_is_compared(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = [add_token(path, f"t{number}", ["viewer"]) for number in range(5)]
    file, compared = TokenFile(path), list[str]()
    compare = hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", lambda a, b: (compared.append(a), compare(a, b))[1])
    assert file.principal(tokens[0]) is not None
    assert len(compared) == 5


def test_a_change_is_seen(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    token = add_token(path, "lab", ["publisher"])
    file = TokenFile(path)
    other = add_token(path, "monitor", ["publisher"])
    assert file.principal(other) is not None
    remove_token(path, "lab")
    assert file.principal(token) is None
    assert file.principal(other) is not None
    os.chmod(path, 0o666)
    assert file.principal(other) is None, "nor does one that others may write by now"
    os.chmod(path, 0o600)
    assert file.principal(other) is not None
    path.write_text("{")
    assert file.principal(other) is None, "a file that cannot be read lets nobody in"
    path.unlink()
    assert file.principal(other) is None
    assert "nobody is let in" in caplog.text
    assert other not in caplog.text


def test_what_is_refused(path: Path) -> None:
    with pytest.raises(TokenError, match="No such file"):
        TokenFile(path)
    add_token(path, "lab", ["publisher"])
    with pytest.raises(TokenError, match="token of that name"):
        add_token(path, "lab", ["viewer"])
    with pytest.raises(TokenError, match="a name is"):
        add_token(path, "l\nab", ["viewer"])
    with pytest.raises(TokenError, match="no token of that name"):
        remove_token(path, "x")
    os.chmod(path, 0o666)
    with pytest.raises(TokenError, match="chmod 600"):
        TokenFile(path)
    os.chmod(path, 0o600)
    path.write_text('[{"name": "lab", "hash": "secret"}]')
    with pytest.raises(TokenError, match="not a file of tokens") as refused:
        TokenFile(path)
    assert "secret" not in str(refused.value)


def test_anyone_on_this_machine_may_publish_and_nothing_else() -> None:
    principal = Anyone().principal("")
    assert principal is not None
    assert principal.roles == {"publisher"}


def test_commands(path: Path) -> None:
    run, environment = CliRunner(), {"WARDSTREAM_TOKENS_FILE": str(path)}
    words = ["tokens", "add", "lab", "--role", "publisher", "--unit", "ICU", "--authority", "NORTH"]
    added = run.invoke(main, words, env=environment)
    assert added.exit_code == 0, added.output
    principal = TokenFile(path).principal(added.stdout.strip())
    assert principal == ("lab", {"publisher"}, {"ICU"}, "NORTH")
    listed = run.invoke(main, ["tokens", "list"], env=environment)
    assert "lab" in listed.stdout
    assert read_tokens(path)[0].hash not in listed.stdout
    assert run.invoke(main, ["tokens", "add", "x", "--role", "king"], env=environment).exit_code == 2
    assert run.invoke(main, ["tokens", "remove", "lab"], env=environment).exit_code == 0
    assert read_tokens(path) == ()
    unset = run.invoke(main, ["tokens", "list"], env={"WARDSTREAM_TOKENS_FILE": None})
    assert "WARDSTREAM_TOKENS_FILE is not set" in unset.stderr
