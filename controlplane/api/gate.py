"""The gate of a guarded control plane: who asks, by signature or token, and whether that key may ask for this."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from api_schemas.credentials import Credentials
from api_schemas.faults import AccessDenied, Fault, IncompleteSignature, MissingAuthenticationToken, SignatureDoesNotMatch, Throttling
from controlplane.api.failures import Failures
from controlplane.api.replays import Replays
from controlplane.api.signature import Arrived, Signature, read
from controlplane.clock import Clock
from controlplane.domain.access_key import AccessKey, Role
from controlplane.operations.keyring import Keyring
from controlplane.operations.roles import may
from controlplane.pki.secret import are_equal

log = logging.getLogger("cachewright.access")

_MISSING = "Missing Authentication Token: send Authorization: Bearer ID.SECRET with an access key, or sign the request with it."

CALLER = "cachewright.caller"
"""Where an ASGI scope has who asks."""


@dataclass(frozen=True)
class Caller:
    """Who asks: the access key, and the signature unless it came with a token."""

    key: AccessKey
    signature: Signature | None = None

    @property
    def arn(self) -> str:
        """The caller as AWS names users."""
        return f"arn:aws:iam::{self.key.account}:user/{self.key.name}"

    @property
    def sees_everybody(self) -> bool:
        """Whether it may see what is of other accounts, where that cannot be told apart or is asked for as a whole."""
        return self.key.role is Role.ADMIN


class Gate:
    """Lets callers in with access keys."""

    def __init__(self, keyring: Keyring, clock: Clock) -> None:
        self._keyring = keyring
        self._clock = clock
        self._failures = Failures()
        self._replays = Replays()

    def signed(self, arrived: Arrived, address: str) -> Caller:
        """Who has signed the request. Raises a Fault of those that ``signature.read`` and the keyring raise, and Throttling."""
        self.must_be_patient(address)
        try:
            signature = read(arrived, self._clock.now())
            known = self._keyring.find(signature.key)
            from controlplane.api.signing import must_match  # botocore's signing takes a while to load, and an open server never needs it

            must_match(arrived, signature, known.secret)
        except Fault as refused:
            raise self._counted(refused, address) from refused.__cause__
        self._keyring.was_used(known.key)
        return Caller(known.key, signature)

    def bearing(self, authorization: str | None, address: str) -> Caller:
        """Who has the token of an Authorization header. Raises a Fault."""
        self.must_be_patient(address)
        try:
            if not authorization:
                raise MissingAuthenticationToken(message=_MISSING)
            given = _token(authorization)
            known = self._keyring.find(given.id)
            if not are_equal(given.secret, known.secret):
                raise SignatureDoesNotMatch("The token's secret is not that of its access key.")
        except Fault as refused:
            raise self._counted(refused, address) from refused.__cause__
        self._keyring.was_used(known.key)
        return Caller(known.key)

    def must_be_patient(self, address: str) -> None:
        """Raises Throttling for an address that has failed too often of late."""
        if self._failures.wait(address):
            raise Throttling()

    def must_be_allowed(self, caller: Caller, operation: str, *, changes: bool) -> None:
        """Raises AccessDenied where the key's role does not allow the operation, or its signature has been used for a change before."""
        if not may(caller.key.role, operation):
            raise AccessDenied(f"User: {caller.arn} is not authorized to perform: elasticache:{operation} because its role, "
                               f"{caller.key.role.value}, does not allow the elasticache:{operation} action")  # fmt: skip
        if changes and caller.signature is not None:
            self._replays.must_be_new(caller.signature.value, self._clock.now(), caller.signature.until)

    def is_valid(self, caller: Caller) -> bool:
        """Whether the key lets its bearer in now as well."""
        return self._keyring.is_valid(caller.key.id)

    def _counted(self, refused: Fault, address: str) -> Fault:
        if refused.status < 500 and self._failures.add(address):
            log.warning("an address has failed to authenticate too often and is refused for up to a minute  address=%s", address)
        return refused


def _token(authorization: str) -> Credentials:
    scheme, _, text = authorization.partition(" ")
    if scheme.lower() != "bearer":
        raise IncompleteSignature("The Authorization header must be that of a signature, AWS4-HMAC-SHA256, or of a token, Bearer.")
    try:
        return Credentials.parse_token(text.strip())
    except ValueError as why:
        raise IncompleteSignature(f"The token is none: {why}.") from None
