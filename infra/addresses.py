"""`host:port`: whether it is one, and whether other machines can reach it."""

from __future__ import annotations

import ipaddress


def is_address(text: str, lowest_port: int = 1) -> bool:
    """Whether this is host:port; an IPv6 host stands in brackets."""
    host, _, port = text.rpartition(":")
    return bool(host) and port.isdecimal() and lowest_port <= int(port) < 65536 and not set(text) & set("/@? ")


def host_of(address: str) -> str:
    """The host of host:port, without brackets."""
    return address.rpartition(":")[0].strip("[]")


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the host; a name other than localhost may be anything."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def broker_addresses(url: str) -> list[str]:
    """`host:port` of each broker of `kafka://host:port[,host:port…]`.

    Raises
    ------
    ValueError
        It is no such URL.
    """
    addresses = []
    for part in url.split(","):
        address = part.strip().removeprefix("kafka://")
        if not is_address(address):
            raise ValueError("must be kafka://host:port[,host:port…]")
        addresses.append(address)
    if not url.strip().startswith("kafka://"):
        raise ValueError("must start with kafka://")
    return addresses
