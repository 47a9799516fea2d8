"""From a guard and its users to the ACL rules of engines, and whether the engines enforce them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache

from api_schemas.agent.access import DEFAULT_USER, Access, AclUser, Credentials
from controlplane.domain.access_string import AccessString, Permissions
from controlplane.domain.acl_commands import CONTAINERS, known_to
from controlplane.domain.guard import Guard
from controlplane.domain.reported import RUNNING, STARTING, Reported
from controlplane.domain.topology import Binary, Node, Topology
from controlplane.domain.user import DEFAULT, User

SYSTEM_USER = "cachewright"

_WITHHELD = """
    acl|deluser acl|getuser acl|list acl|load acl|log acl|save acl|setuser bgrewriteaof bgsave cluster|addslots cluster|addslotsrange
    cluster|bumpepoch cluster|cancelslotmigrations cluster|delslots cluster|delslotsrange cluster|failover cluster|flushslot
    cluster|flushslots cluster|forget cluster|links cluster|meet cluster|migrateslots cluster|replicate cluster|reset cluster|saveconfig
    cluster|set-config-epoch cluster|setslot cluster|syncslots config debug failover migrate module psync replconf replicaof
    restore-asking save shutdown slaveof sync
"""
WITHHELD = tuple(_WITHHELD.split())
"""Commands that no user of a caller's has, whatever its access string says: they would change the engine's users, its place in its group,
or what it is told to run with, or show the hashes of passwords."""

_ALL = AccessString(on=True, root=Permissions(keys=("~*",), channels=("&*",), commands=("+@all",)))


def access_of(guard: Guard, users: Iterable[User], system: Credentials) -> Access:
    """What the engines of a topology shall enforce."""
    return Access(system, tuple(_users_of(guard, list(users))))


def _users_of(guard: Guard, users: Sequence[User]) -> Iterator[AclUser]:
    if guard.user_group is not None:
        if all(user.name != DEFAULT_USER for user in users):
            yield AclUser(DEFAULT_USER, ("off", "-@all"))
        yield from (_acl_user(user) for user in sorted(users, key=lambda user: (user.name != DEFAULT_USER, user.name)))
    elif guard.tokens:
        # Engines let in with any password, or none, who needs no password: they know no "this token or none".
        who = ("nopass",) if guard.also_without else tuple(f"#{token}" for token in guard.tokens)
        yield AclUser(DEFAULT_USER, ("on", *who, *_ALL.engine_rules(WITHHELD)))


def _acl_user(user: User) -> AclUser:
    access = _ALL if user.id == DEFAULT else user.access_string
    who = ("nopass",) if user.no_password else tuple(f"#{password}" for password in user.passwords)
    return AclUser(user.name, ("on" if access.on else "off", *who, *access.engine_rules(WITHHELD)))


def access_for(topology: Topology, node: Node) -> Access | None:
    """What one node shall enforce: the topology's access without the commands that its program does not know."""
    if topology.access is None or node.placement is None:
        return topology.access
    return _understood(topology.access, node.placement.binary)


@lru_cache(maxsize=512)
def _understood(access: Access, binary: Binary) -> Access:
    known = known_to(binary.engine, _release(binary))
    return replace(access, users=tuple(replace(user, rules=tuple(_rules_in(user.rules, known))) for user in access.users))


def _release(binary: Binary) -> tuple[int, int]:
    major, minor, *_ = (*(int(part) for part in binary.version.split(".") if part.isdigit()), 0, 0)
    return major, minor


def _rules_in(rules: Iterable[str], known: frozenset[str]) -> Iterator[str]:
    for rule in rules:
        if rule.startswith("("):
            yield f"({' '.join(_rules_in(rule[1:-1].split(' '), known))})"
        elif rule[0] in "+-" and rule[1:2] != "@":
            yield from _command_in(rule, known)
        else:
            yield rule


def _command_in(rule: str, known: frozenset[str]) -> Iterator[str]:
    """The rule where the engine knows its command. One that cannot name a subcommand loses the whole command with it."""
    command = rule[1:].partition("|")[0]
    if rule[1:] in known or (rule[0] == "+" and command in known - CONTAINERS):
        yield rule
    elif rule[0] == "-" and command in known and not any("|" in name for name in known):
        yield f"-{command}"


def enforces(topology: Topology, node: Node, reported: Reported) -> bool:
    """Whether nobody comes in to the node, as far as it was heard of, who shall not.

    One that does not run keeps nobody out: it starts with what is desired. An engine that has no users lets everybody in, which is right
    where everybody may.
    """
    seen, desired = reported.of(node), access_for(topology, node)
    if seen is None or desired is None or seen.phase not in (STARTING, RUNNING):
        return True
    if not seen.access:
        return seen.phase == STARTING or not desired.users
    return seen.access == desired.digest


def all_enforce(topology: Topology, reported: Reported) -> bool:
    """Whether every node of the topology keeps out who shall not come in."""
    return topology.access is None or all(enforces(topology, node, reported) for node in topology.nodes)
