"""Which addresses belong to the public internet, and sockets to those alone."""

from __future__ import annotations

import ipaddress
import socket
from typing import Any


def open_public(
    family: int, kind: int, protocol: int, address: tuple[Any, ...]
) -> tuple[socket.socket | None, str | None]:
    """Open a socket to a public address; return None and the address if it is not."""
    host = address[0].decode() if isinstance(address[0], bytes) else str(address[0])
    if not is_public(host):
        return None, host
    return _Lent(family, kind, protocol), None


def is_public(host: str) -> bool:
    """Say whether an address is one of the public internet, also when it hides in an IPv6 one."""
    address = ipaddress.ip_address(host.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        teredo = address.teredo
        if teredo is not None:
            inner = teredo[1]
        if inner is None and address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return inner.is_global and not inner.is_multicast
    return address.is_global and not address.is_multicast


_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


class _Lent(socket.socket):
    """A socket that pycurl duplicates and drops: closing it unasked is then no mistake."""

    def __del__(self) -> None:
        """Close it."""
        self.close()
