"""What a request that has arrived says of its AWS Signature Version 4: read strictly, and not yet believed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import parse_qsl

from api_schemas.faults import (
    IncompleteSignature,
    InvalidClientTokenId,
    MalformedQueryString,
    MissingAuthenticationToken,
    RequestExpired,
    SignatureDoesNotMatch,
)

ALGORITHM = "AWS4-HMAC-SHA256"
SERVICE = "elasticache"
SKEW = timedelta(minutes=15)
"""By how much the clock of who signs may differ from ours."""

LONGEST_PRESIGNED = 7 * 24 * 3600  # seconds, as in the service

_CREDENTIAL = re.compile(r"([A-Za-z0-9]{4,128})/([0-9]{8})/([a-z]{2}(?:-[a-z0-9]{1,20}){1,4}-[0-9]{1,2})/([a-z0-9-]{1,40})/aws4_request")
_SIGNATURE = re.compile(r"[0-9a-f]{64}")
_HEADER_NAMES = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]{1,100}(;[a-z0-9!#$%&'*+.^_`|~-]{1,100}){0,99}")
_WRITTEN = "%Y%m%dT%H%M%SZ"
_TIME = re.compile(r"[12][0-9]{7}T[0-9]{6}Z")
_IN_QUERY = ("X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-SignedHeaders", "X-Amz-Signature")


@dataclass(frozen=True)
class Arrived:
    """A request as it came: the path as it was encoded, header names in lower case and in order."""

    method: str
    raw_path: str
    query: str
    headers: Sequence[tuple[str, str]]
    body: bytes = field(repr=False)

    @classmethod
    def of(cls, scope: Any, body: bytes) -> Arrived:
        """The request of an ASGI scope."""
        headers = [(name.decode("latin-1").lower(), _text(value)) for name, value in scope["headers"]]
        raw_path = scope.get("raw_path") or scope["path"].encode()
        return cls(scope["method"], raw_path.decode("latin-1"), scope["query_string"].decode("latin-1"), headers, body)

    def header(self, name: str) -> str | None:
        """The value of a header that comes once. Raises IncompleteSignature where it comes more often."""
        values = [value for known, value in self.headers if known == name]
        if len(values) > 1:
            raise IncompleteSignature(f"The header {name} is given more than once.")
        return values[0] if values else None

    def pairs(self) -> list[tuple[str, str]]:
        """The query, decoded as the doors decode it. Raises MalformedQueryString."""
        try:
            return parse_qsl(self.query, keep_blank_values=True, max_num_fields=10_000, errors="strict")
        except ValueError as unreadable:
            raise MalformedQueryString(f"The query is not a readable form: {unreadable}.") from unreadable


@dataclass(frozen=True)
class Signature:
    """What a request says of its signature. ``until`` is when it ends to be valid; ``presigned`` says that it stands in the query."""

    key: str
    region: str
    timestamp: str
    until: datetime
    signed_headers: tuple[str, ...]
    value: str = field(repr=False)
    presigned: bool = False


def read(arrived: Arrived, now: datetime) -> Signature:
    """The signature of a request, if it is in order and in time; whether it is right is not known yet.

    Raises MissingAuthenticationToken, IncompleteSignature, InvalidClientTokenId, SignatureDoesNotMatch, RequestExpired,
    MalformedQueryString.
    """
    header, pairs = arrived.header("authorization"), arrived.pairs()
    in_query = any(name in _IN_QUERY for name, _ in pairs)
    if header is not None and in_query:
        raise IncompleteSignature("The request is signed twice, in its Authorization header and in its query.")
    if header is None and not in_query:
        raise MissingAuthenticationToken()
    _must_have_no_session(arrived, pairs)
    signature = _in_header(arrived, header, now) if header is not None else _in_query(pairs, now)
    _must_sign_enough(arrived, signature)
    return signature


def _in_header(arrived: Arrived, header: str, now: datetime) -> Signature:
    algorithm, _, rest = header.strip().partition(" ")
    if algorithm != ALGORITHM:
        raise IncompleteSignature(f"Unsupported signature algorithm: the Authorization header must begin with {ALGORITHM}.")
    parts = _parts(rest)
    timestamp = _timestamp(arrived)
    signature = _made(parts["Credential"], timestamp, parts["SignedHeaders"], parts["Signature"], SKEW)
    moment = _moment(timestamp)
    if moment < now - SKEW:
        earliest = _written(now - SKEW)
        raise SignatureDoesNotMatch(f"Signature expired: {timestamp} is now earlier than {earliest} ({_written(now)} - 15 min.)")
    _must_be_current(timestamp, now)
    return signature


def _parts(rest: str) -> dict[str, str]:
    parts: dict[str, str] = {}
    for part in rest.split(","):
        name, _, value = part.strip().partition("=")
        if name in parts:
            raise IncompleteSignature("The Authorization header has a parameter more than once.")
        parts[name] = value
    missing = [name for name in ("Credential", "SignedHeaders", "Signature") if not parts.get(name)]
    if missing:
        raise IncompleteSignature(f"Authorization header requires '{missing[0]}' parameter.")
    return parts


def _in_query(pairs: Iterable[tuple[str, str]], now: datetime) -> Signature:
    given: dict[str, str] = {}
    for name, value in pairs:
        if name in given and name in _IN_QUERY:
            raise IncompleteSignature(f"The query has {name} more than once.")
        given[name] = value
    missing = [name for name in _IN_QUERY if not given.get(name)]
    if missing:
        raise IncompleteSignature(f"The query must contain {missing[0]} where it is signed.")
    algorithm, credential, timestamp, expires, signed, value = (given[name] for name in _IN_QUERY)
    if algorithm != ALGORITHM:
        raise IncompleteSignature(f"Unsupported signature algorithm: X-Amz-Algorithm must be {ALGORITHM}.")
    if not re.fullmatch("[0-9]{1,6}", expires) or not 1 <= int(expires) <= LONGEST_PRESIGNED:
        raise IncompleteSignature(f"X-Amz-Expires must be a number of seconds from 1 to {LONGEST_PRESIGNED}.")
    lasts = timedelta(seconds=int(expires))
    signature = _made(credential, timestamp, signed, value, lasts, presigned=True)
    if signature.until < now:
        raise RequestExpired()
    _must_be_current(timestamp, now)
    return signature


def _made(credential: str, timestamp: str, signed: str, value: str, lasts: timedelta, *, presigned: bool = False) -> Signature:
    if not _TIME.fullmatch(timestamp):
        raise IncompleteSignature("The date of the request must be written as in 20260701T120000Z.")
    scope = _CREDENTIAL.fullmatch(credential)
    if scope is None:
        raise IncompleteSignature("Credential must be KEY/YYYYMMDD/REGION/elasticache/aws4_request, with the id of an access key.")
    if scope[4] != SERVICE:
        raise SignatureDoesNotMatch(f"Credential should be scoped to correct service: '{SERVICE}'.")
    if scope[2] != timestamp[:8]:
        raise SignatureDoesNotMatch("Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP.")
    if not _HEADER_NAMES.fullmatch(signed):
        raise IncompleteSignature("SignedHeaders must be names of headers in lower case with semicolons between.")
    if not _SIGNATURE.fullmatch(value):
        raise IncompleteSignature("Signature must be 64 hexadecimal digits in lower case.")
    return Signature(scope[1], scope[3], timestamp, _moment(timestamp) + lasts, tuple(signed.split(";")), value, presigned)


def _must_sign_enough(arrived: Arrived, signature: Signature) -> None:
    """The host and whatever is AWS's must be signed, else it could be changed on the way. Raises SignatureDoesNotMatch."""
    if list(signature.signed_headers) != sorted(set(signature.signed_headers)):
        raise IncompleteSignature("SignedHeaders must be sorted, and name no header twice.")
    names = {name for name, _ in arrived.headers}
    needed = {"host"} | {name for name in names if name.startswith("x-amz-")}
    if not signature.presigned and "x-amz-date" not in names:
        needed.add("date")
    for name in sorted(needed - set(signature.signed_headers)):
        raise SignatureDoesNotMatch(f"'{name[:100]}' must be a 'SignedHeader' in the AWS Authorization.")
    for name in sorted(set(signature.signed_headers) - names):
        raise SignatureDoesNotMatch(f"'{name[:100]}' is a 'SignedHeader', and the request has no such header.")
    if not arrived.raw_path.startswith("/") or re.search(r"//|/\.{1,2}(/|$)", arrived.raw_path):
        raise SignatureDoesNotMatch("A path with empty steps, or with steps of dots, cannot be signed: signing takes them out.")


def _must_have_no_session(arrived: Arrived, pairs: Iterable[tuple[str, str]]) -> None:
    if arrived.header("x-amz-security-token") or any(name == "X-Amz-Security-Token" for name, _ in pairs):
        raise InvalidClientTokenId("The request has a session token, and this control plane issues none: use an access key of its own, "
                                   "without AWS_SESSION_TOKEN.")  # fmt: skip


def _must_be_current(timestamp: str, now: datetime) -> None:
    if _moment(timestamp) > now + SKEW:
        raise SignatureDoesNotMatch(f"Signature not yet current: {timestamp} is still later than {_written(now + SKEW)} "
                                    f"({_written(now)} + 15 min.)")  # fmt: skip


def _timestamp(arrived: Arrived) -> str:
    """When the request says that it was signed. Raises IncompleteSignature where it does not say."""
    date = arrived.header("x-amz-date") or arrived.header("date")
    if date is None:
        raise IncompleteSignature("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.")
    if _TIME.fullmatch(date):
        return date
    try:
        return _written(parsedate_to_datetime(date))
    except (ValueError, OverflowError) as unreadable:
        raise IncompleteSignature("The date of the request must be written as in 20260701T120000Z.") from unreadable


def _moment(timestamp: str) -> datetime:
    try:
        return datetime.strptime(timestamp, _WRITTEN).replace(tzinfo=UTC)
    except ValueError as unreadable:
        raise IncompleteSignature("The date of the request must be written as in 20260701T120000Z.") from unreadable


def _written(moment: datetime) -> str:
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC).strftime(_WRITTEN)


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")
