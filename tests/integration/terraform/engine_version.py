"""How the provider reads an engine version: as dotted numbers, of which it keeps what a request may name."""

from __future__ import annotations

import re


class UnreadableVersion(Exception):
    """The service returned a version that is no dotted number."""


def read_version(engine: str, shown: str | None, configured: str | None) -> str | None:
    """What goes into the state as ``engine_version``: major and minor from version 6 on, all of it before and for Memcached."""
    if engine not in ("redis", "valkey"):
        return shown
    if not re.fullmatch(r"\d+(\.\d+)+", shown or ""):
        raise UnreadableVersion(f"reading engine version: {shown!r}")
    major, minor = (shown or "").split(".")[:2]
    if int(major) < 6:
        return shown
    return f"{major}.x" if (configured or "").endswith(".x") else f"{major}.{minor}"
