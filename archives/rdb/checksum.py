"""The CRC-64 at the end of an RDB file, eight bytes in little endian, over all that is in front of it."""

from __future__ import annotations

import anycrc

_CRC = anycrc.CRC(width=64, poly=0xAD93D23594C935A9, init=0, refin=True, refout=True, xorout=0)

SIZE = 8  # bytes


def crc64(content: bytes | memoryview, so_far: int = 0) -> int:
    """The checksum of some bytes, or of those that ``so_far`` is the checksum of and these."""
    found: int = _CRC.calc(content, so_far) if so_far else _CRC.calc(content)
    return found


def to_footer(checksum: int) -> bytes:
    """As it is written."""
    return checksum.to_bytes(SIZE, "little")


def from_footer(footer: bytes) -> int:
    """As it was written; 0 where the writer was told to compute none."""
    return int.from_bytes(footer, "little")
