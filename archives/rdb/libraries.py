"""Function libraries, each once, however many files it is in."""

from __future__ import annotations

import re

from archives.rdb.header import RdbRefusedError

_NAME = re.compile(rb"#!\S+[ \t]+(?:[^\n]*[ \t])?name=([A-Za-z0-9_]+)")


class Libraries:
    """The libraries that were seen, by name."""

    def __init__(self) -> None:
        self._code: dict[str, bytes] = {}

    @property
    def names(self) -> list[str]:
        """In alphabetical order."""
        return sorted(self._code)

    def add(self, code: bytes, at: int) -> bool:
        """Whether this one was not known yet. Raises RdbRefusedError for another one of the same name, and for one without."""
        found = _NAME.match(code)
        if found is None:
            raise RdbRefusedError(f"At offset {at} there is a function library that does not tell its name: it begins with {code[:40]!r}.")
        name = found[1].decode()
        known = self._code.setdefault(name, code)
        if known != code:
            raise RdbRefusedError(f"At offset {at} there is another function library of the name {name}, with other code than the first.")
        return known is code
