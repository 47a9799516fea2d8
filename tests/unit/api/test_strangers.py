"""Programs are let in, web pages of other hosts are not."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from controlplane.api.strangers import NoStrangers, is_strange

LET_IN = [
    {},  # curl, SDKs
    {"host": "127.0.0.1:8379"},
    {"host": "cache.internal:8379"},  # a name of one's own, from a program
    {"origin": "http://127.0.0.1:8379", "host": "127.0.0.1:8379", "sec-fetch-site": "same-origin"},
    {"origin": "http://localhost:3000", "host": "localhost:8379"},
    {"origin": "http://[::1]:8379"},
    {"host": "localhost:8379", "sec-fetch-site": "none"},  # typed into the address bar
]
KEPT_OUT = [
    {"origin": "https://evil.example"},
    {"origin": "null"},
    {"origin": "http://127.0.0.1.evil.example"},
    {"origin": "http://evil.example:8379", "host": "evil.example:8379", "sec-fetch-site": "same-origin"},  # a name pointed at us
    {"host": "evil.example:8379", "sec-fetch-site": "same-origin"},
    {"host": "127.0.0.1:8379", "sec-fetch-site": "cross-site"},
    {"host": "127.0.0.1:8379", "sec-fetch-site": "same-site"},
]


@pytest.mark.parametrize("headers", LET_IN)
def test_programs_and_local_pages_are_let_in(headers: dict[str, str]) -> None:
    assert not is_strange(_raw(headers))


@pytest.mark.parametrize("headers", KEPT_OUT)
def test_pages_of_other_hosts_are_kept_out(headers: dict[str, str]) -> None:
    assert is_strange(_raw(headers))


def test_what_is_kept_out_reaches_nothing() -> None:
    asyncio.run(_try_both())


async def _try_both() -> None:
    reached = []

    async def endpoint(request: Request) -> PlainTextResponse:
        reached.append(request.method)
        return PlainTextResponse("done")

    transport = httpx.ASGITransport(NoStrangers(Starlette(routes=[Route("/", endpoint, methods=["POST"])])))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        refused = await client.post("/", data={"Action": "DeleteReplicationGroup"}, headers={"origin": "https://evil.example"})
        allowed = await client.post("/", data={"Action": "DescribeReplicationGroups"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "AccessDenied")
    assert (allowed.status_code, reached) == (200, ["POST"])


def _raw(headers: dict[str, str]) -> dict[bytes, bytes]:
    return {name.encode(): value.encode() for name, value in headers.items()}


def test_named_pages_are_let_in_wherever_they_are() -> None:
    origins = [b"https://console.example.com"]
    assert not is_strange(_raw({"origin": "https://console.example.com", "host": "cache.internal", "sec-fetch-site": "cross-site"}), origins)
    for other in ("https://console.example.com.evil.example", "http://console.example.com", "https://console.example.com:8443", "null"):
        assert is_strange(_raw({"origin": other}), origins)
