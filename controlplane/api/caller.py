"""Who calls: the account and the region that a request is for."""

from __future__ import annotations

import re
from collections.abc import Mapping

from api_schemas.faults import InvalidParameterValue
from controlplane.domain.topology import World

_SCOPE = re.compile(r"Credential=([^/,\s]{1,128})/\d{8}/([a-z0-9-]{1,40})/[a-z0-9-]{1,40}/aws4_request")
_ACCOUNT = re.compile(r"\d{12}")
_REGION = re.compile(r"[a-z]{2}(-[a-z0-9]+)+-\d{1,2}")


class Callers:
    """Reads the caller's world from a request; what a request leaves open is the default's."""

    def __init__(self, default: World) -> None:
        self._default = default

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
        signed = self.from_signature(headers.get("authorization"))
        account, region = headers.get("x-account-id", signed.account), headers.get("x-region", signed.region)
        if not _ACCOUNT.fullmatch(account):
            raise InvalidParameterValue("X-Account-Id must be an account id of 12 digits.")
        if not _REGION.fullmatch(region) or len(region) > 40:
            raise InvalidParameterValue("X-Region must be a region such as us-east-1.")
        return World(account, region)
