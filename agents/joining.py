"""How an agent gets its certificates: the first for a join token, each further one for the one before.

Before the token is sent anywhere, whoever answers must show the authority that the token is pinned to, and then prove in a new
handshake to be a control plane of that authority.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from typing import TypeVar

import httpx
from pydantic import ValidationError

from agents.tls import trusting, trusting_nobody
from api_schemas.agent.identity import CONTROL_PLANE_HOST
from api_schemas.agent.join_token import JoinToken, pin_of
from api_schemas.agent.joining import AuthorityShown, CertificateWanted, Certified
from api_schemas.shape import Shape

S = TypeVar("S", bound=Shape)
_PATIENCE = 5.0  # seconds for one answer
_LARGEST = 65_536  # bytes of an answer of who is not known yet


class CannotJoinError(Exception):
    """The control plane refused, or is not the one that it should be; the text says why and what to do."""


class NoAnswerError(Exception):
    """There is no control plane that answers; it may come."""


def fetch_authority(url: str, token: JoinToken) -> str:
    """The certificate (PEM) of the authority that the token is pinned to. Raises CannotJoinError for any other, and NoAnswerError."""
    shown = _parsed(AuthorityShown, _ask(httpx.Request("GET", f"{url}/v1/authority"), trusting_nobody())).certificate
    try:
        certificate = ssl.PEM_cert_to_DER_cert(shown)
    except ValueError as wrong:
        raise CannotJoinError(f"what answers at {url} shows no certificate of an authority; is that the agents' URL?") from wrong
    if pin_of(certificate) != token.pin:
        raise CannotJoinError(f"the control plane at {url} is not the one that the join token {token.id} is for, so it was not sent there. "
                              "Check --join, and that the token was made by that control plane")  # fmt: skip
    return ssl.DER_cert_to_PEM_cert(certificate)


def join(url: str, token: JoinToken, authority: str, wanted: CertificateWanted) -> str:
    """The first certificate (PEM). Raises CannotJoinError, NoAnswerError."""
    return _certified(url, wanted, trusting(ssl.PROTOCOL_TLS_CLIENT, authority), {"Authorization": f"Bearer {token.text}"})


def renew(url: str, context: ssl.SSLContext, wanted: CertificateWanted) -> str:
    """The next certificate (PEM), for the one that the context shows. Raises CannotJoinError, NoAnswerError."""
    return _certified(url, wanted, context, {})


def _certified(url: str, wanted: CertificateWanted, context: ssl.SSLContext, headers: dict[str, str]) -> str:
    headers = {"Content-Type": "application/json", **headers}
    request = httpx.Request("POST", f"{url}/v1/certificates", content=wanted.model_dump_json(), headers=headers,
                            extensions={"sni_hostname": CONTROL_PLANE_HOST})  # fmt: skip
    return _parsed(Certified, _ask(request, context)).certificate


def _ask(request: httpx.Request, context: ssl.SSLContext) -> bytes:
    request.extensions.setdefault("timeout", httpx.Timeout(_PATIENCE).as_dict())
    where = f"{request.url.scheme}://{request.url.netloc.decode()}"
    try:
        with httpx.Client(verify=context, trust_env=False) as client:
            answer = client.send(request, stream=True)
            body = b"".join(_bounded(answer))
    except httpx.HTTPError as failed:
        raise NoAnswerError(f"the control plane at {where} does not answer: {str(failed) or type(failed).__name__}") from failed
    if answer.status_code == 200:
        return body
    told = f"the control plane at {where} answered {answer.status_code}: {body[:500].decode(errors='replace')}"
    raise CannotJoinError(told) if 400 <= answer.status_code < 500 else NoAnswerError(told)


def _bounded(answer: httpx.Response) -> Iterator[bytes]:
    size = 0
    for part in answer.iter_bytes():
        size += len(part)
        if size > _LARGEST:
            raise NoAnswerError("what answers says more than a control plane would")
        yield part


def _parsed(shape: type[S], body: bytes) -> S:
    try:
        return shape.model_validate_json(body)
    except ValidationError as wrong:
        raise CannotJoinError("what answers is no control plane; is --join the agents' URL that the control plane printed?") from wrong
