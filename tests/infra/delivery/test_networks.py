"""Where webhooks may go."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from wardstream.infra.delivery.networks import Refused, check_address, check_url

INTERNET = [ip_network("0.0.0.0/0"), ip_network("::/0")]


@pytest.mark.parametrize(
    ("address", "listed"),
    [
        ("10.20.3.4", "10.20.0.0/16"),
        ("127.0.0.1", "127.0.0.0/8"),
        ("203.0.113.7", "203.0.113.7/32"),
        ("8.8.8.8", "0.0.0.0/0"),
        ("fd00::1", "fc00::/7"),
        ("2606:4700::1", "::/0"),
        ("::ffff:10.20.3.4", "10.20.0.0/16"),
        ("169.254.1.1", "169.254.0.0/16"),
    ],
)
def test_what_is_listed(address: str, listed: str) -> None:
    check_address(address, [ip_network("192.0.2.0/24"), ip_network(listed)], encrypted=True)
    with pytest.raises(Refused):
        check_address(address, [ip_network("192.0.2.0/24")], encrypted=True)
    with pytest.raises(Refused):
        check_address(address, [], encrypted=True)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.0.0.1",
        "192.168.1.1",
        "172.16.0.1",
        "100.64.0.1",
        "169.254.169.254",
        "0.0.0.0",
        "::1",
        "::",
        "fd00::1",
        "fe80::1%eth0",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
    ],
)
def test_the_internet_means_no_private_address(address: str) -> None:
    with pytest.raises(Refused):
        check_address(address, INTERNET, encrypted=True)


def test_without_tls_only_this_machine() -> None:
    networks = [ip_network("127.0.0.0/8"), ip_network("10.0.0.0/8"), ip_network("::1/128")]
    check_address("127.0.0.1", networks, encrypted=False)
    check_address("::1", networks, encrypted=False)
    with pytest.raises(Refused, match="TLS"):
        check_address("10.0.0.1", networks, encrypted=False)


def test_what_is_no_address() -> None:
    with pytest.raises(Refused):
        check_address("localhost", INTERNET, encrypted=True)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://a.example/",
        "file:///etc/passwd",
        "https://",
        "/hook",
        "https://user:word@a.example/",
        "https://user@a.example/",
        "https://a.example/#part",
        "https://a.example:99999/",
        "https://[::1",
    ],
)
def test_what_is_no_url_of_a_webhook(url: str) -> None:
    with pytest.raises(ValueError, match="URL"):
        check_url(url)


def test_a_url() -> None:
    assert str(check_url("https://pager.example:8443/a?b=c")) == "https://pager.example:8443/a?b=c"
