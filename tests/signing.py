"""Requests as AWS's SDK signs them, at any moment and with anything in them."""

from __future__ import annotations

from typing import Any

from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from factories import NOW

from controlplane.api.signature import Arrived

KEY, SECRET = "CWAKAAAAAAAAAAAAAAAA", "s" * 40
FORM = b"Action=DescribeEvents&Version=2015-02-02"
HOST = "cache.example.com:8379"


def signed(body: bytes = FORM, *, method: str = "POST", path: str = "/", at: Any = NOW, service: str = "elasticache",
           region: str = "us-east-1", headers: dict[str, str] | None = None, secret: str = SECRET, key: str = KEY,
           host: str = HOST) -> Arrived:  # fmt: skip
    """A request as the SDK signs it, at that moment."""
    content = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"} if body else {}
    request = AWSRequest(method, f"http://{host}{path}", headers={"Host": host, **content, **(headers or {})}, data=body)
    _sign(SigV4Auth(Credentials(key, secret), service, region), request, at)
    return _arrived(request, body, host)


def presigned(at: Any = NOW, expires: int = 60, body: bytes = b"", path: str = "/?Action=DescribeEvents&Version=2015-02-02",
              secret: str = SECRET, key: str = KEY, host: str = HOST) -> Arrived:  # fmt: skip
    """A URL as the SDK presigns it, asked for with GET."""
    request = AWSRequest("GET", f"http://{host}{path}", headers={"Host": host})
    _sign(SigV4QueryAuth(Credentials(key, secret), "elasticache", "us-east-1", expires), request, at)
    return _arrived(request, body, host)


def _sign(auth: SigV4Auth, request: AWSRequest, at: Any) -> None:
    """What ``add_auth`` does, at another time than now."""
    request.context["timestamp"] = at.strftime("%Y%m%dT%H%M%SZ")
    auth._modify_request_before_signing(request)
    auth._inject_signature_to_request(request, auth.signature(auth.string_to_sign(request, auth.canonical_request(request)), request))


def _arrived(request: AWSRequest, body: bytes, host: str) -> Arrived:
    path, _, query = request.url.removeprefix(f"http://{host}").partition("?")
    headers = [(name.lower(), value) for name, value in request.headers.items()]
    return Arrived(request.method, path, query, headers, body)
