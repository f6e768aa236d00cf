"""Where webhooks may go: the networks that the site lists, and nothing else.

A URL comes from whoever subscribes, so it may name any machine of the hospital (server-side request forgery), and a
name may mean one address when it is checked and another when it is used (DNS rebinding). So it is the address that is
checked, in the moment in which a socket for it is made (`Receiver`). Whoever subscribes is told at once what can be
told then (`may_go`); nothing rests on that.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address

from yarl import URL

Network = IPv4Network | IPv6Network
_LOOK_UP_S = 3.0
_MEANT = {4: 8, 6: 7}  # 10.0.0.0/8 and fc00::/7 are the widest networks that are private


class Refused(OSError):
    """An address to which nothing may be sent."""


def check_url(text: str) -> URL:
    """The URL of a webhook.

    Raises
    ------
    ValueError
        It is none of http or https, or it has a name and password or a fragment.
    """
    try:
        url = URL(text)
        port = url.port
    except ValueError:
        raise ValueError("no URL") from None
    if url.scheme not in ("http", "https") or not url.host or not port:
        raise ValueError("no URL of http or https")
    if url.user is not None or url.password is not None or url.fragment:
        raise ValueError("a URL with a name, a password or a fragment")
    return url


async def may_go(text: str, networks: Sequence[Network]) -> bool:
    """Whether something may be sent to a URL as its name is now; what has no address now may have one later.

    Raises
    ------
    ValueError
        It is none of http or https, or it has a name and password or a fragment.
    """
    url = check_url(text)
    try:
        async with asyncio.timeout(_LOOK_UP_S):
            found = await asyncio.get_running_loop().getaddrinfo(url.host, url.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError, TimeoutError):
        return True
    return any(_allowed(str(place[0]), networks, url.scheme == "https") for *_, place in found)


def _allowed(address: str, networks: Sequence[Network], encrypted: bool) -> bool:
    try:
        check_address(address, networks, encrypted)
    except Refused:
        return False
    return True


def check_address(address: str, networks: Sequence[Network], encrypted: bool) -> None:
    """Check that something may be sent to an address.

    An address of the internet may be in any network that is listed. One that is not (private, loopback, link-local:
    where a cloud's secrets are) must be in one that means it: `0.0.0.0/0` does not.

    Raises
    ------
    Refused
        It is in no listed network, or without TLS beyond this machine.
    """
    try:
        ip = ip_address(address)
    except ValueError:
        raise Refused("no address") from None
    if ip.version == 6:
        ip = ip.ipv4_mapped or ip  # else ::ffff:127.0.0.1 would be an address of the internet
    if not (encrypted or ip.is_loopback):
        raise Refused("without TLS")
    for network in networks:
        if ip in network and (ip.is_global or network.prefixlen >= _MEANT[network.version]):
            return
    raise Refused("in no network that is allowed")
