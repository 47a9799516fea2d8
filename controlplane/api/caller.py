"""Who calls: the account and the region that a request is for, and whether its caller may ask."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping

from starlette.requests import Request

from api_schemas.faults import AccessDenied, InvalidParameterValue
from controlplane.api.audit import note_of
from controlplane.api.gate import CALLER, Caller, Gate
from controlplane.domain.topology import World

_SCOPE = re.compile(r"Credential=([^/,\s]{1,128})/\d{8}/([a-z0-9-]{1,40})/[a-z0-9-]{1,40}/aws4_request")
_ACCOUNT = re.compile(r"\d{12}")
_REGION = re.compile(r"[a-z]{2}(-[a-z0-9]+)+-\d{1,2}")


class Callers:
    """Reads the caller's world from a request; what a request leaves open is the default's.

    With a gate, callers are who they have shown to be: the account is that of the access key, the region of a signature the signed one.
    """

    def __init__(self, default: World, gate: Gate | None = None) -> None:
        self._default = default
        self._gate = gate

    def from_signature(self, authorization: str | None) -> World:
        """The world of an AWS Signature Version 4: the region of its scope, and the access key where that is an account id.

        The signature itself is not checked: who can reach a loopback address may use the service.
        """
        if not authorization:
            return self._default
        found = _SCOPE.search(authorization)
        if found is None:
            return self._default
        account = found[1] if _ACCOUNT.fullmatch(found[1]) else self._default.account
        return World(account, found[2])

    def from_headers(self, headers: Mapping[str, str]) -> World:
        """The world of a REST request: X-Account-Id and X-Region, or a signature's. Raises InvalidParameterValue."""
        return _world(headers, self.from_signature(headers.get("authorization")))

    def asks_for(self, request: Request, operation: str, *, changes: bool = False) -> World:
        """The world of a REST request for an operation. Raises InvalidParameterValue, and AccessDenied where its caller may not."""
        note = note_of(request.scope)
        note.operation, note.changes = operation, changes
        if changes:
            note.request_id = str(uuid.uuid4())
        if self._gate is None:
            return self.from_headers(request.headers)
        caller = caller_of(request)
        self._gate.must_be_allowed(caller, operation, changes=changes)
        return self._guarded(caller, request.headers)

    def is_still_in(self, request: Request) -> bool:
        """Whether the caller of a request that goes on would be let in now as well."""
        return self._gate is None or self._gate.is_valid(caller_of(request))

    def only_account(self, request: Request) -> str | None:
        """The account of whose things alone the caller may see what is not asked for by account; None for who sees everybody's."""
        if self._gate is None:
            return None
        caller = caller_of(request)
        return None if caller.sees_everybody else caller.key.account

    def _guarded(self, caller: Caller, headers: Mapping[str, str]) -> World:
        signed = caller.signature
        asked = _world(headers, World(caller.key.account, signed.region if signed is not None else self._default.region))
        if asked.account != caller.key.account:
            raise AccessDenied(f"User: {caller.arn} is not authorized to act for account {asked.account}: an access key has one account.")
        if signed is not None and asked.region != signed.region:
            raise InvalidParameterValue(f"X-Region is {asked.region}, and the request is signed for {signed.region}.")
        return asked


def caller_of(request: Request) -> Caller:
    """Who was let in with the request. Raises AccessDenied where nobody was, whoever forgot to ask."""
    caller: Caller | None = request.scope.get(CALLER)
    if caller is None:
        raise AccessDenied("Nobody was identified for this request, and it is not answered to anybody.")
    return caller


def _world(headers: Mapping[str, str], otherwise: World) -> World:
    account, region = headers.get("x-account-id", otherwise.account), headers.get("x-region", otherwise.region)
    if not _ACCOUNT.fullmatch(account):
        raise InvalidParameterValue("X-Account-Id must be an account id of 12 digits.")
    if not _REGION.fullmatch(region) or len(region) > 40:
        raise InvalidParameterValue("X-Region must be a region such as us-east-1.")
    return World(account, region)
