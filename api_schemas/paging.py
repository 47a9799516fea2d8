"""Pages of a listing: MaxRecords and Marker, once for all describe operations."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import TypeVar

from api_schemas.faults import InvalidParameterValue
from api_schemas.shape import Shape

Item = TypeVar("Item")

SMALLEST_PAGE, LARGEST_PAGE = 20, 100


class Paged(Shape):
    """A describe request that is answered a page at a time: 20 to 100 records, 100 when not said."""

    max_records: int | None = None
    marker: str | None = None


def page(items: Sequence[Item], asked: Paged, *, largest: int = LARGEST_PAGE, default: int = LARGEST_PAGE) -> tuple[list[Item], str | None]:
    """The records asked for, and the marker of the page after them, or None when this is the last.

    Raises InvalidParameterValue for a MaxRecords outside its bounds or a marker that is not one of ours.
    """
    size = default if asked.max_records is None else asked.max_records
    if not SMALLEST_PAGE <= size <= largest:
        raise InvalidParameterValue(f"Invalid value {size} for MaxRecords. Must be between {SMALLEST_PAGE} and {largest}")
    start = _start_of(asked.marker)
    following = start + size
    return list(items[start:following]), (_marker_for(following) if following < len(items) else None)


def _marker_for(start: int) -> str:
    return base64.urlsafe_b64encode(f"after:{start}".encode()).decode()


def _start_of(marker: str | None) -> int:
    if not marker:
        return 0
    try:
        word, _, number = base64.urlsafe_b64decode(marker.encode()).decode("ascii").partition(":")
    except (binascii.Error, UnicodeError) as unreadable:
        raise InvalidParameterValue(_NOT_OURS) from unreadable
    if word != "after" or not number.isdigit() or len(number) > 9:
        raise InvalidParameterValue(_NOT_OURS)
    return int(number)


_NOT_OURS = "The Marker is not one that an earlier page of this operation returned. Leave it out to start at the first page."
