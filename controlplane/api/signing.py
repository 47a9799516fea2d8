"""Compares the signature of a request with what botocore makes of it.

Nothing here computes a signature by itself: the canonical request, the string to sign and the signing key are botocore's.
"""

from __future__ import annotations

from hashlib import sha256

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.compat import HTTPHeaders
from botocore.credentials import Credentials

from api_schemas.faults import SignatureDoesNotMatch
from controlplane.api.signature import SERVICE, Arrived, Signature
from controlplane.pki.secret import are_equal

_MISMATCH = (
    "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. "
    "Consult the service documentation for details."
)


def must_match(arrived: Arrived, signature: Signature, secret: str) -> None:
    """Raises SignatureDoesNotMatch unless who signed knows the secret, and nothing that was signed has changed."""
    told = arrived.header("x-amz-content-sha256")
    if told is not None and told != sha256(arrived.body).hexdigest():
        raise SignatureDoesNotMatch("The header x-amz-content-sha256 is not the SHA-256 of the request's body.")
    if not are_equal(signature.value, _computed(arrived, signature, secret)):
        raise SignatureDoesNotMatch(_MISMATCH)


class _Again(SigV4Auth):  # type: ignore[misc]
    """Signs the headers that the caller signed, whichever botocore would choose."""

    def __init__(self, secret: str, signature: Signature, headers: HTTPHeaders) -> None:
        super().__init__(Credentials(signature.key, secret), SERVICE, signature.region)
        self._headers = headers

    def headers_to_sign(self, request: AWSRequest) -> HTTPHeaders:
        return self._headers


def _computed(arrived: Arrived, signature: Signature, secret: str) -> str:
    """The signature that the request would have if all of it is as it was when it was signed. The query is taken as the doors read it."""
    headers = HTTPHeaders()
    for name, value in arrived.headers:
        if name in signature.signed_headers:
            headers.add_header(name, value)
    pairs = [(name, value) for name, value in arrived.pairs() if name != "X-Amz-Signature"]
    request = AWSRequest(arrived.method, f"http://door{arrived.raw_path}", data=arrived.body, params=pairs)
    request.context["timestamp"] = signature.timestamp
    again = _Again(secret, signature, headers)
    return str(again.signature(again.string_to_sign(request, again.canonical_request(request)), request))
