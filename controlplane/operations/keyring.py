"""The keyring: which access keys let somebody in now, with their secrets. It lives in the database, for every control plane on it."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import timedelta

from api_schemas.access_key import CreateAccessKey
from api_schemas.credentials import Credentials
from api_schemas.faults import InvalidClientTokenId, ServiceUnavailable
from controlplane.clock import Clock
from controlplane.domain.access_key import AccessKey, Role
from controlplane.domain.topology import World
from controlplane.operations.access_keys import create_access_key
from controlplane.operations.context import Context
from controlplane.pki.sealing import Sealer, SealingError
from controlplane.planner.situation import Policy
from controlplane.store.store import Store, StoreAwayError

log = logging.getLogger("cachewright.access")

_INVALID = "The security token included in the request is invalid."
_AWAY = "The database of the control plane does not answer, so it is not known who may ask. Try again."
_USED_TO = timedelta(hours=1)


class UnusableKeysError(Exception):
    """Nobody could be let in; the text says why and what to do."""


@dataclass(frozen=True)
class KnownKey:
    """A key that is valid now, and its secret."""

    key: AccessKey
    secret: str = field(repr=False)


class Keyring:
    """Finds keys, and makes the first."""

    def __init__(self, store: Store, clock: Clock, sealer: Sealer) -> None:
        self._store = store
        self._clock = clock
        self._sealer = sealer

    def find(self, key: str) -> KnownKey:
        """The valid key of that id. Raises InvalidClientTokenId for any other, ServiceUnavailable where it cannot be known."""
        found = self._kept(key)
        if found is None or found.status(self._clock.now()) != "valid":
            raise InvalidClientTokenId(_INVALID)
        try:
            return KnownKey(found, self._sealer.open(found.sealed_secret))
        except SealingError as why:
            log.error("the secret of an access key cannot be opened: %s  access_key=%s", why, key)
            raise ServiceUnavailable(f"The secret of access key {key} cannot be opened by this control plane; its log says why.") from None

    def is_valid(self, key: str) -> bool:
        """Whether the key lets somebody in now. A database that is away does not shut out who is in."""
        try:
            found = self._kept(key)
        except ServiceUnavailable:
            return True
        return found is not None and found.status(self._clock.now()) == "valid"

    def was_used(self, key: AccessKey) -> None:
        """Write down that the key was used, at most once an hour."""
        hour = self._clock.now().replace(minute=0, second=0, microsecond=0)
        if key.last_used is not None and hour - key.last_used < _USED_TO:
            return
        try:
            with self._store.transaction() as unit:
                unit.access_keys.was_used(key.id, hour)
        except StoreAwayError as away:
            log.warning("the use of an access key was not written down  access_key=%s because=%s", key.id, away)

    def make(self, account: str, role: Role, name: str | None = None, lasts: timedelta | None = None) -> Credentials:
        """A new key. Raises InvalidParameterValue."""
        seconds = None if lasts is None else int(lasts.total_seconds())
        asked = CreateAccessKey(role=role.value, name=name, account_id=account, expires_in_seconds=seconds)
        with self._store.transaction() as unit:
            made = create_access_key(Context(World(account, ""), unit, self._clock, Policy(), sealer=self._sealer), asked)
        return Credentials(made.access_key.access_key_id, made.secret_access_key)

    def must_let_somebody_in(self) -> None:
        """Raises UnusableKeysError unless there is a valid key, and those that are valid can be opened."""
        with self._store.reading() as unit:
            valid = [key for key in unit.access_keys.all() if key.status(self._clock.now()) == "valid"]
        if not valid:
            raise UnusableKeysError("there is no access key that is valid")
        for key in valid:
            try:
                self._sealer.open(key.sealed_secret)
            except SealingError as why:
                raise UnusableKeysError(f"the secret of access key {key.id} cannot be opened: {why}") from why

    def _kept(self, key: str) -> AccessKey | None:
        try:
            with self._store.reading() as unit:
                return unit.access_keys.get(key)
        except StoreAwayError as away:
            raise ServiceUnavailable(_AWAY) from away
