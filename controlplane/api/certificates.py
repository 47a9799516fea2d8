"""Where agents come by their certificates: the first with a join token, each further one with the one before."""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.routing import Route

from api_schemas.agent.joining import AuthorityShown, CertificateWanted
from api_schemas.shape import Shape
from controlplane.api.agent_requests import Guard, Unidentified, peer_in
from controlplane.api.reports import check_name
from controlplane.operations.enrolment import Enrolment

_LARGEST = 16_384  # bytes of a request, which are read of who is not yet known for long


class Certificates:
    """The part of the agents' door that is open to who has no certificate yet."""

    def __init__(self, guard: Guard, enrolment: Enrolment) -> None:
        self._guard = guard
        self._enrolment = enrolment

    def routes(self) -> list[Route]:
        """Its part of the agents' door."""
        return [
            Route("/v1/authority", self._guard.guarded(self._show), methods=["GET"]),
            Route("/v1/certificates", self._guard.guarded(self._certify), methods=["POST"]),
        ]

    async def _show(self, _: Request) -> Shape:
        """Nobody is asked who they are: with its pin, a token tells this from what an impostor shows."""
        return AuthorityShown(certificate=self._enrolment.authority.certificate)

    async def _certify(self, request: Request) -> Shape:
        token, peer = _bearer_of(request.headers.get("authorization")), peer_in(request)
        if token is not None:
            await run_in_threadpool(self._enrolment.admit, token)
        elif peer is not None:
            await run_in_threadpool(self._enrolment.check, peer)
        else:
            raise Unidentified("Joining needs the header Authorization: Bearer with a join token.")
        wanted = await self._guard.read(request, CertificateWanted, _LARGEST)
        check_name(wanted.agent, wanted.zone)
        if token is None and peer is not None:
            return await run_in_threadpool(self._enrolment.renew, peer, wanted)
        return await run_in_threadpool(self._enrolment.certify, wanted)


def _bearer_of(authorization: str | None) -> str | None:
    scheme, _, token = (authorization or "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token.strip() else None
