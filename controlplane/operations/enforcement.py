"""How far a change of users or user groups has come: which topologies were told, and whether all their nodes enforce it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from api_schemas.agent.access import Access, Credentials
from controlplane.clock import Clock
from controlplane.domain.access_control import SYSTEM_USER, access_of, all_enforce
from controlplane.domain.status import ACTIVE, DELETING, MODIFYING
from controlplane.domain.topology import Topology, World
from controlplane.domain.user import DEFAULT, User, UserGroup, builtin_user
from controlplane.store.store import Unit


def fresh_access(clock: Clock) -> Access:
    """The access of a new topology: everybody may come in, and we have a password that nobody knows."""
    return Access(Credentials(SYSTEM_USER, clock.secret()))


def still_awaited(unit: Unit, one: User | UserGroup) -> frozenset[str]:
    """The uids of those topologies of which a node does not enforce the newest change yet."""
    found = (unit.topologies.get(uid) for uid in one.awaits)
    return frozenset(topology.uid for topology in found if topology is not None and not all_enforce(topology, unit.reports.of(topology)))


def status_of(unit: Unit, one: User | UserGroup) -> str | None:
    """The status of a user or a user group; None when it is gone. As long as a node does not enforce it, it is in transition."""
    awaited = still_awaited(unit, one)
    if isinstance(one, User) and one.deleting:
        return DELETING if awaited else None
    return MODIFYING if awaited else ACTIVE


def tidy(unit: Unit, world: World) -> None:
    """Forget what is enforced everywhere by now, and deleted users with it.

    Every change begins with it, so that nobody is taken for changing because of a later change that does not concern it.
    """
    for user in unit.users.of(world):
        awaits = still_awaited(unit, user)
        if user.deleting and not awaits:
            unit.users.forget(user)
        elif awaits != user.awaits:
            unit.users.save(replace(user, awaits=awaits))
    for group in unit.user_groups.of(world):
        awaits = still_awaited(unit, group)
        if awaits != group.awaits:
            unit.user_groups.save(replace(group, awaits=awaits))


def users_in(unit: Unit, world: World, ids: Iterable[str]) -> list[User]:
    """The users of these ids that exist and are not being deleted."""
    found = (builtin_user(world) if each == DEFAULT else unit.users.get(world, each) for each in ids)
    return [user for user in found if user is not None and not user.deleting]


def guarded_by(unit: Unit, group: UserGroup) -> Sequence[Topology]:
    """The topologies that a user group guards, by name."""
    return [topology for topology in unit.topologies.of(group.world) if topology.guard.user_group == group.id]


def with_effect(unit: Unit, topology: Topology) -> Topology:
    """The topology with the access that its guard and the users of its user group come to. Raises ValueError where it has none yet."""
    guard = topology.guard
    if topology.access is None:
        raise ValueError(f"{topology.name} has no password for us yet")
    group = unit.user_groups.get(topology.world, guard.user_group) if guard.user_group else None
    users = users_in(unit, topology.world, group.users) if group else []
    return replace(topology, access=access_of(guard, users, topology.access.system))


def tell(unit: Unit, group: UserGroup) -> frozenset[str]:
    """Give every topology that a group guards its users as they are written down now; answers the uids of those that were told."""
    told = set()
    for topology in guarded_by(unit, group):
        is_known = all_enforce(topology, unit.reports.of(topology))
        changed = with_effect(unit, replace(topology, guard=topology.guard.settled) if is_known else topology)
        if changed.access != topology.access:
            unit.topologies.save(changed)
            told.add(topology.uid)
    return frozenset(told)
