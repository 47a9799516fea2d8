"""Which images serve an engine and version: the settings' table, and what this host has already."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from api_schemas.agent.node import ANY_VERSION, EngineBinary

PROGRAMS = {"valkey": "valkey-server", "redis": "redis-server", "memcached": "memcached"}

USUAL = "valkey=valkey/valkey:{version},redis=redis:{version},memcached=memcached:{version}"
LOCAL = "local"
"""In place of a table: offer only images that are here."""

_OURS = "cachewright/"  # what the images of deploy/images are called
_ENTRY = re.compile(r"(?P<engine>[a-z]+)(?::(?P<version>\d+(?:\.\d+)*))?=(?P<image>[A-Za-z0-9][\w.:/{}@-]*)")
_NUMBERS = re.compile(r"\d+(?:\.\d+)*")
_VERSION_LABEL = "org.opencontainers.image.version"


class ImagesRefusedError(Exception):
    """The table of images makes no sense; the text says where and what to do."""


def offered(table: str, registry: str, here: Mapping[str, Mapping[str, str]]) -> list[EngineBinary]:
    """What an agent offers. ``here`` are the images of this host by their names, each with its labels.

    An engine's entries in the table take the place of the usual one. Images that are here come first, so that none is fetched for a
    version that one of them has. Raises ImagesRefusedError.
    """
    entries = list(_entries(table if table != LOCAL else "", registry))
    named = {entry.engine for entry in entries}
    entries += [entry for entry in _entries(USUAL, registry) if entry.engine not in named]
    found = list(_here(entries, here))
    if table == LOCAL:
        entries = []
    distinct: dict[tuple[str, str], EngineBinary] = {}
    for binary in [*found, *entries]:
        distinct.setdefault((binary.engine, binary.version), binary)
    return list(distinct.values())


def _entries(table: str, registry: str) -> Iterator[EngineBinary]:
    for text in filter(None, (part.strip() for part in table.split(","))):
        entry = _ENTRY.fullmatch(text)
        if entry is None or entry["engine"] not in PROGRAMS:
            raise ImagesRefusedError(f"--images: {text!r} is no engine[:version]=image, such as valkey=valkey/valkey:{{version}}.")
        image = f"{registry.rstrip('/')}/{entry['image']}" if registry else entry["image"]
        version = entry["version"] or (ANY_VERSION if "{version}" in image else _numbers(image.rpartition(":")[2]))
        if version is None:
            raise ImagesRefusedError(f"--images: say which version {text!r} is, as in {entry['engine']}:8.1={entry['image']}.")
        if version != ANY_VERSION:
            image = image.replace("{version}", version)
        yield _binary(entry["engine"], version, image)


def _here(entries: Iterable[EngineBinary], here: Mapping[str, Mapping[str, str]]) -> Iterator[EngineBinary]:
    """The images that are here: those of deploy/images, and those that an entry of the table would have fetched."""
    patterns = [(entry.engine, entry.image or "") for entry in entries]
    ours = [(engine, f"{_OURS}{engine}:{{version}}") for engine in PROGRAMS]
    for engine, pattern in (*ours, *patterns):
        wanted = re.compile(re.escape(pattern).replace(re.escape("{version}"), r"(\d+(?:\.\d+)*)"))
        for name, labels in sorted(here.items()):
            if (matching := wanted.fullmatch(name)) is not None:
                version = _numbers(labels.get(_VERSION_LABEL, "")) or (matching[1] if wanted.groups else _numbers(name.rpartition(":")[2]))
                if version is not None:
                    yield _binary(engine, version, name)


def _binary(engine: str, version: str, image: str) -> EngineBinary:
    return EngineBinary(engine=engine, version=version, path=PROGRAMS[engine], image=image)


def _numbers(text: str) -> str | None:
    return text if _NUMBERS.fullmatch(text) else None
