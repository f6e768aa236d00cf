"""One rule for all listeners, and TLS."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.infra.gateways.certificates import Authority
from wardstream.infra.failure import Failure
from wardstream.infra.gateways import listeners, serving
from wardstream.infra.gateways.auth import add_token
from wardstream.infra.gateways.feeds import load_feeds
from wardstream.infra.gateways.listeners import Listener, ListenerRefused, allow, server_context
from wardstream.infra.settings import SettingsError, load_settings

EVERYWHERE = ["0.0.0.0", "[::]", "10.1.2.3"]


class Opened(Failure):
    """It would have listened."""


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.0.1", "[::1]", "localhost"])
@pytest.mark.parametrize("tls", [True, False])
@pytest.mark.parametrize("known", [True, False])
def test_on_loopback_anything_may_listen(host: str, tls: bool, known: bool) -> None:
    listener = Listener("it", f"{host}:0", tls, "tokens", known)
    assert allow(listener) is listener


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "[::]", "10.1.2.3", "hub.example", "localhost.example", "127.0.0.1.example"]
)
@pytest.mark.parametrize(("tls", "known"), [(False, False), (True, False), (False, True), (True, True)])
def test_elsewhere_it_needs_both(host: str, tls: bool, known: bool) -> None:
    listener = Listener("the feed icu", f"{host}:2575", tls, "client certificates", known)
    if tls and known:
        assert allow(listener) is listener
        return
    with pytest.raises(ListenerRefused, match="the feed icu would listen on") as refused:
        allow(listener)
    assert ("without TLS" in str(refused.value)) == (not tls)
    assert ("without client certificates" in str(refused.value)) == (not known)


def test_host_and_port() -> None:
    listener = Listener("it", "[::1]:2575", False, "tokens", False)
    assert (listener.host, listener.port) == ("::1", 2575)


def test_files_that_are_no_certificates_are_named(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.certificate("server")
    assert server_context(certificate, key, authority.file) is not None
    with pytest.raises(ListenerRefused, match=r"none\.pem.*No such file"):
        server_context(tmp_path / "none.pem", key)
    with pytest.raises(ListenerRefused, match="TLS cannot be set up"):
        server_context(key, certificate)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.mark.parametrize("host", EVERYWHERE)
@pytest.mark.parametrize(
    ("tls", "tokens", "lacks"),
    [(False, False, "TLS and without tokens"), (True, False, "tokens"), (False, True, "TLS"), (True, True, "")],
)
async def test_http(
    host: str,
    tls: bool,
    tokens: bool,
    lacks: str,
    tmp_path: Path,
    authority: Authority,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def opened(*_: Any, **__: Any) -> None:
        raise Opened("listens")

    monkeypatch.setattr(listeners.socket, "create_server", opened)
    certificate, key = authority.certificate("server")
    chosen: dict[str, Any] = {"http_tls_cert": certificate, "http_tls_key": key} if tls else {}
    if tokens:
        chosen["tokens_file"] = tmp_path / "tokens.json"
        add_token(chosen["tokens_file"], "monitor", ["publisher"])
    settings = load_settings(http_listen=f"{host}:8080", **chosen)
    expected, text = (ListenerRefused, f"without {lacks}:") if lacks else (Opened, "listens")
    with pytest.raises(expected, match=text):
        await serving.serve_http(settings, print)


@pytest.mark.parametrize("host", EVERYWHERE)
@pytest.mark.parametrize(
    ("tls", "clients", "lacks"),
    [(False, False, "TLS and without client certificates"), (True, False, "client certificates"), (True, True, "")],
)
async def test_mllp(
    host: str,
    tls: bool,
    clients: bool,
    lacks: str,
    tmp_path: Path,
    authority: Authority,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of several feeds one that may not is enough; what comes after the rule is the keys of pseudonyms."""
    for name in ("PSEUDONYM_KEY", "PSEUDONYM_KEY_FILE"):
        monkeypatch.delenv(f"WARDSTREAM_{name}", raising=False)
    certificate, key = authority.certificate("server")
    files = [f'tls_cert = "{certificate}"\ntls_key = "{key}"'] if tls else []
    files += [f'client_ca = "{authority.file}"'] if clients else []
    spoken = 'timezone = "UTC"\nauthority = "north"\nidentifier_types = ["MR"]\n'
    near = f'[feeds.near]\n{spoken}[feeds.near.mllp]\nlisten = "127.0.0.1:2575"\n'
    far = "\n".join((f'[feeds.far]\n{spoken}[feeds.far.mllp]\nlisten = "{host}:2575"', *files))
    (tmp_path / "feeds.toml").write_text(near + far)
    expected, text = (ListenerRefused, f"without {lacks}:") if lacks else (SettingsError, "PSEUDONYM_KEY")
    with pytest.raises(expected, match=text):
        await serving.serve_mllp(load_settings(), load_feeds(tmp_path / "feeds.toml"), print)
