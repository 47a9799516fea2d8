"""Users and user groups: who may come in, by which passwords, and to do what."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Self

from controlplane.domain.access_string import AccessString, parsed
from controlplane.domain.engine_versions import version_numbers
from controlplane.domain.topology import Topology, World

DEFAULT = "default"
"""The id of the user that is in every account, and the name of the user that connections are until they say who they are."""

MOST_USERS, MOST_GROUPS, MOST_IN_A_GROUP, MOST_PASSWORDS = 2000, 200, 100, 2
_LEAST, _WITH_SELECTORS = "6.0", "7.0"


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who may come in. ``passwords`` are SHA-256 in hex; without any and with ``no_password``, whoever says the name may.

    ``awaits`` are the uids of the topologies that had to be told of the newest change; one that is ``deleting`` is gone once they know.
    """

    world: World
    id: str
    name: str
    engine: str
    access: str
    passwords: tuple[str, ...] = field(default=(), repr=False)
    no_password: bool = False
    awaits: frozenset[str] = frozenset()
    deleting: bool = False

    @property
    def access_string(self) -> AccessString:
        """What it may do."""
        return parsed(self.access)

    @property
    def is_builtin(self) -> bool:
        """Whether it is the one that is in every account, which nobody can change."""
        return self.id == DEFAULT

    @property
    def minimum_engine_version(self) -> str:
        """The first version whose engines understand it."""
        return _WITH_SELECTORS if self.access_string.needs_selectors else _LEAST


@dataclass(frozen=True, slots=True)
class UserGroup:
    """Users that come in together, by their ids. ``former`` are those it had before the change that ``awaits`` topologies."""

    world: World
    id: str
    engine: str
    users: tuple[str, ...] = ()
    former: tuple[str, ...] = ()
    awaits: frozenset[str] = frozenset()

    def with_users(self, users: tuple[str, ...]) -> Self:
        """The same group with other users, remembering those it has where not all know the newest change."""
        return replace(self, users=users, former=self.former if self.awaits else self.users)


def builtin_user(world: World) -> User:
    """The user ``default`` of an account, which needs no password and may do everything."""
    return User(world, DEFAULT, DEFAULT, "redis", "on ~* +@all", no_password=True)


def hash_of(password: str) -> str:
    """What is kept of a password; engines take it as well."""
    return sha256(password.encode()).hexdigest()


def works_with(version: str, topology: Topology) -> bool:
    """Whether the topology's engines understand users that need that version."""
    return topology.engine == "valkey" or version_numbers(topology.engine_version) >= version_numbers(version)
