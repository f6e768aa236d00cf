"""One rule for all listeners, and TLS."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.infra.gateways.certificates import Authority
from wardstream.infra.gateways.listeners import Listener, ListenerRefused, allow, server_context


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
