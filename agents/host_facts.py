"""What this host has for nodes: memory, processors, and the addresses of a network."""

from __future__ import annotations

import ipaddress
import os
import re
import socket
from collections.abc import Iterator

_UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?", re.IGNORECASE)
_MOST_SHOWN = 3


def bytes_of(size: str) -> int:
    """The number of bytes that ``8G``, ``512MiB`` or ``1073741824`` says. Raises ValueError."""
    found = _SIZE.fullmatch(size.strip())
    if found is None:
        raise ValueError("it must be a size such as 8G, 512M or a number of bytes")
    return int(float(found[1]) * _UNITS[found[2].lower()])


def physical_memory() -> int | None:
    """Bytes of memory that this host has; None where the system does not tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return None


def why_unusable(network: str) -> str | None:
    """What is wrong with a network for nodes, in a sentence: each of its addresses must be this host's. None when nothing is."""
    missing = list(_not_ours(network))
    if not missing:
        return None
    shown = ", ".join(missing[:_MOST_SHOWN]) + (f" and {len(missing) - _MOST_SHOWN} more" if len(missing) > _MOST_SHOWN else "")
    return (f"{shown} of {network} cannot be listened at: a node gets an address of its own, and each must belong to this host. "
            f"Add them, for example: ip addr add {missing[0]}/32 dev eth0")  # fmt: skip


def _not_ours(network: str) -> Iterator[str]:
    block = ipaddress.IPv4Network(network)
    if block.is_loopback:
        return
    for address in block.hosts():
        with socket.socket() as probe:
            try:
                probe.bind((str(address), 0))
            except OSError:
                yield str(address)
