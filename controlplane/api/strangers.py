"""Keeps web pages of strangers out. Whoever can reach a loopback address may use the service, but a page in a browser is not that person.

A browser sends forms, which is what the Query door takes, to any address a page names. It also says so: ``Origin`` and
``Sec-Fetch-Site`` cannot be forged by a page, and no SDK or command-line tool sends them.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

from api_schemas.faults import AccessDenied
from controlplane.api.audit import address_of, note_of
from controlplane.api.failures import Failures


class NoStrangers:
    """An ASGI application that refuses what a browser sends on behalf of a page which did not come from this machine.

    ``origins`` are those of pages elsewhere that are let in, such as ``https://console.example.com``.
    """

    def __init__(self, app: ASGIApp, origins: Collection[str] = ()) -> None:
        self._app = app
        self._failures = Failures()
        self._origins = frozenset(origin.encode() for origin in origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not is_strange(dict(scope["headers"]), self._origins):
            await self._app(scope, receive, send)
            return
        fault = AccessDenied("Requests from web pages of other hosts are refused.")
        address = address_of(scope)
        if not self._failures.wait(address):  # else the first refusals tell enough, and a flood would drive all else out of the audit
            self._failures.add(address)
            note_of(scope).code = fault.code
        body = json.dumps({"error": {"code": fault.code, "message": fault.message, "request_id": ""}}).encode()
        await send({"type": "http.response.start", "status": fault.status, "headers": [(b"content-type", b"application/json")]})
        await send({"type": "http.response.body", "body": body})


def is_strange(headers: dict[bytes, bytes], origins: Collection[bytes] = ()) -> bool:
    """Whether a browser sent this for a page of another host: by its origin, its site, or a name that was pointed at us."""
    if headers.get(b"origin") in origins:
        return False
    origin, site = headers.get(b"origin"), headers.get(b"sec-fetch-site")
    if origin is not None and not _is_local(urlsplit(origin.decode("latin-1")).hostname):
        return True
    if site is None:
        return False
    host = urlsplit(f"//{headers.get(b'host', b'').decode('latin-1')}").hostname
    return site in (b"cross-site", b"same-site") or not _is_local(host)


def _is_local(host: str | None) -> bool:
    if host is None:
        return False
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
