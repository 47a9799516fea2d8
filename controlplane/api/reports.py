"""Where agents introduce themselves and report. Whatever they say must be said in the name that is in their certificate."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from urllib.parse import urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.routing import Route

from api_schemas.agent.agent import AgentHello, AgentReport, ReportTaken, Welcome
from api_schemas.agent.identity import Identity
from api_schemas.faults import AccessDenied, InvalidParameterValue
from api_schemas.shape import Shape
from controlplane.api.agent_requests import Guard, must_be_known
from controlplane.pki.peer import Peer

_NAME = re.compile(r"[a-z0-9-]{1,63}")
_ZONE = re.compile(r"[a-z]{2}(-[a-z0-9]+)+-\d{1,2}[a-z]")
_LONGEST_URL = 512


class Reports:
    """``check`` answers whose certificate it is, or raises AccessDenied; ``welcome`` takes an introduction, ``take`` a report,
    answering whether the agent is known.
    """

    def __init__(self, guard: Guard, check: Callable[[Peer], Identity], welcome: Callable[[AgentHello], Welcome],
                 take: Callable[[AgentReport], bool]) -> None:  # fmt: skip
        self._guard = guard
        self._check = check
        self._welcome = welcome
        self._take = take

    def routes(self) -> list[Route]:
        """Its part of the agents' door."""
        return [
            Route("/v1/agents", self._guard.guarded(self._introduce), methods=["POST"]),
            Route("/v1/agents/{agent}/reports", self._guard.guarded(self._report), methods=["POST"]),
        ]

    async def _introduce(self, request: Request) -> Shape:
        identity = await self._identity(request)
        hello = await self._guard.read(request, AgentHello)
        check_name(hello.agent, hello.zone)
        _check_place(hello)
        if (hello.agent, hello.zone) != (identity.agent, identity.zone):
            raise AccessDenied(f"The certificate is that of {identity}, the introduction that of {hello.agent} in {hello.zone}.")
        return await run_in_threadpool(self._welcome, hello)

    async def _report(self, request: Request) -> Shape:
        identity = await self._identity(request)
        if request.path_params["agent"] != identity.agent:
            raise AccessDenied(f"The certificate is that of {identity}, the path that of another agent.")
        report = await self._guard.read(request, AgentReport)
        if report.agent != identity.agent:
            raise AccessDenied(f"The certificate is that of {identity}, the report that of another agent.")
        return ReportTaken(unknown=not await run_in_threadpool(self._take, report))

    async def _identity(self, request: Request) -> Identity:
        """Whose certificate holds; of any other the request is not read. Raises AccessDenied."""
        return await run_in_threadpool(self._check, must_be_known(request))


def check_name(agent: str, zone: str) -> None:
    """Raises InvalidParameterValue for what must not be written down."""
    if not _NAME.fullmatch(agent):
        raise InvalidParameterValue("agent must be 1 to 63 lower case letters, digits and hyphens.")
    if not _ZONE.fullmatch(zone):
        raise InvalidParameterValue("zone must be an availability zone such as us-east-1b.")


def _check_place(hello: AgentHello) -> None:
    try:
        ipaddress.IPv4Network(hello.network)
    except ValueError as wrong:
        raise InvalidParameterValue(f"network must be a network such as 127.102.9.0/24: {wrong}") from None
    if not _is_reachable(hello.url):
        raise InvalidParameterValue("url must be where the agent takes orders, such as https://127.0.0.1:8401.")


def _is_reachable(url: str | None) -> bool:
    try:
        parts = urlsplit(url or "")
        port = parts.port
    except ValueError:
        return False
    plain = not (parts.query or parts.fragment or parts.username or parts.password) and port != 0
    return plain and parts.scheme == "https" and bool(parts.hostname) and len(url or "") <= _LONGEST_URL
