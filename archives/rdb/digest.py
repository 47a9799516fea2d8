"""A digest is the same for files that hold the same keys and values, in whatever order and form engines wrote them."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from archives.rdb import kinds
from archives.rdb.elements import family_content
from archives.rdb.records import Told, mapped, walk

_BYTES = 16
_ALL = (1 << 8 * _BYTES) - 1
_FAMILY_BYTE = {kind: bytes((place,)) for place, kinds_of_it in enumerate(kinds.FAMILIES.values()) for kind in kinds_of_it}


@dataclass(frozen=True, slots=True)
class Digest:
    """What is compared: how many keys there are, how many of them expire, and a number of 128 bits over all of them."""

    keys: int
    expires: int
    hexdigest: str


def digest(path: Path, told: Told | None = None) -> Digest:
    """The digest of databases, keys, expiries and values, and of the code of functions. The checksum is not looked at.

    Raises RdbRefusedError, also for values that are damaged within, and OSError.
    """
    total = keys = expires = 0
    with mapped(path) as data:
        for kind, db, expiry, key, start, value, _ in walk(data, told):
            if kind >= kinds.LEAST_OPCODE:
                if kind == kinds.FUNCTION_2:
                    total += int.from_bytes(blake2b(key, digest_size=_BYTES, person=b"function").digest(), "little")
                continue
            keys += 1
            expires += expiry is not None
            hashed = blake2b(b"%d %d %d " % (db, -1 if expiry is None else expiry, len(key)), digest_size=_BYTES, person=_FAMILY_BYTE[kind])
            hashed.update(key)
            for piece in family_content(data, kind, value, start):
                hashed.update(piece)
            total += int.from_bytes(hashed.digest(), "little")
    return Digest(keys, expires, f"{total & _ALL:032x}")
