"""Reading a request's body, bounded."""

from __future__ import annotations

from starlette.requests import Request

from api_schemas.faults import RequestEntityTooLarge


async def read_body(request: Request, largest: int) -> bytes:
    """The whole body. Raises RequestEntityTooLarge as soon as it is known to have more than ``largest`` bytes."""
    announced = request.headers.get("content-length", "0")
    if announced.isdigit() and int(announced) > largest:
        raise RequestEntityTooLarge(_sentence(largest))
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > largest:
            raise RequestEntityTooLarge(_sentence(largest))
        parts.append(part)
    return b"".join(parts)


def _sentence(largest: int) -> str:
    return f"The request's body is larger than the {largest} bytes that are read."
