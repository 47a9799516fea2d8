"""Who may come in to a cache: its user group or its AUTH tokens, as a create or a modify request asks for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from api_schemas.cache_cluster import CreateCacheCluster, ModifyCacheCluster
from api_schemas.faults import InvalidParameterCombination, InvalidParameterValue
from api_schemas.replication_group import CreateReplicationGroup, ModifyReplicationGroup
from controlplane.domain.engine_versions import version_numbers
from controlplane.domain.guard import Guard, TokenChange
from controlplane.domain.topology import Topology
from controlplane.domain.user import MOST_PASSWORDS, UserGroup, works_with
from controlplane.operations.context import Context
from controlplane.operations.credentials import token_hash
from controlplane.operations.enforcement import fresh_access, tidy, users_in, with_effect
from controlplane.operations.user_groups import minimum_version, must_be_active, user_group_of

SET, ROTATE, DELETE = "SET", "ROTATE", "DELETE"
STRATEGIES = (SET, ROTATE, DELETE)
_FIRST_CHANGEABLE = "5.0.6"  # the first Redis whose token can be changed
_ONE = "A replication group has one user group at most"


def must_be_encrypted(ctx: Context, topology: Topology) -> None:
    """Raises InvalidParameterCombination where passwords would go in clear, unless the settings let them."""
    if topology.transit is None and not ctx.access_without_tls:
        raise InvalidParameterCombination(
            f"Users and AUTH tokens need encryption in transit, which {topology.name} does not have: set TransitEncryptionEnabled to true. "
            "For tests, the setting CACHEWRIGHT_ACCESS_WITHOUT_TLS=true lets them be used without."
        )


def guarded(ctx: Context, topology: Topology, asked: CreateReplicationGroup | CreateCacheCluster) -> Topology:
    """A new topology with the guard that is asked for. Raises what the service does where that is not possible."""
    topology = topology if topology.is_memcached else replace(topology, access=fresh_access(ctx.clock))
    group_ids = asked.user_group_ids if isinstance(asked, CreateReplicationGroup) else []
    if not asked.auth_token and not group_ids:
        return topology
    if asked.auth_token and group_ids:
        raise InvalidParameterCombination("AuthToken cannot be given with UserGroupIds.")
    must_be_encrypted(ctx, topology)
    if asked.auth_token:
        guard = Guard(tokens=(token_hash(asked.auth_token),), tokens_changed_at=ctx.now)
    else:
        guard = Guard(user_group=_group_to_be(ctx, topology, group_ids).id)
    return with_effect(ctx.unit, replace(topology, guard=guard.settled))


def with_guard_asked(ctx: Context, topology: Topology, asked: ModifyReplicationGroup | ModifyCacheCluster) -> Topology:
    """The topology with the guard that a request asks for, or as it is. Raises what the service does where that is not possible."""
    added, removed, drops = _groups_asked(asked)
    strategy = _strategy(asked)
    if not (added or removed or drops or asked.auth_token or strategy):
        return topology
    if (asked.auth_token or strategy) and not asked.apply_immediately:
        raise InvalidParameterCombination("AuthToken and AuthTokenUpdateStrategy need ApplyImmediately to be true.")
    if added and drops:
        raise InvalidParameterCombination("UserGroupIdsToAdd cannot be given with RemoveUserGroups.")
    if added and asked.auth_token:
        raise InvalidParameterCombination("AuthToken cannot be given with UserGroupIdsToAdd.")
    must_be_encrypted(ctx, topology)
    tidy(ctx.unit, ctx.world)
    guard = topology.guard.settled
    guard = _with_groups(ctx, topology, guard, added, removed, drops)
    guard = _with_token(ctx, topology, guard, asked.auth_token, strategy, becomes_group=bool(added))
    if guard.settled == topology.guard.settled:
        return topology
    return with_effect(ctx.unit, replace(topology, guard=guard, access=topology.access or fresh_access(ctx.clock)))


def _groups_asked(asked: ModifyReplicationGroup | ModifyCacheCluster) -> tuple[list[str], list[str], bool]:
    if isinstance(asked, ModifyCacheCluster):
        return [], [], False
    return asked.user_group_ids_to_add, asked.user_group_ids_to_remove, bool(asked.remove_user_groups)


def _strategy(asked: ModifyReplicationGroup | ModifyCacheCluster) -> str | None:
    strategy = (asked.auth_token_update_strategy or "").upper()
    if strategy and strategy not in STRATEGIES:
        raise InvalidParameterValue(f"Invalid value for AuthTokenUpdateStrategy: it must be {', '.join(STRATEGIES)}.")
    if asked.auth_token and strategy == DELETE:
        raise InvalidParameterCombination("AuthToken cannot be given with the AuthTokenUpdateStrategy DELETE.")
    if strategy in (SET, ROTATE) and not asked.auth_token:
        raise InvalidParameterCombination(f"The AuthTokenUpdateStrategy {strategy} needs an AuthToken.")
    return strategy or (ROTATE if asked.auth_token else None)


def _with_groups(ctx: Context, topology: Topology, guard: Guard, added: Sequence[str], removed: Sequence[str], drops: bool) -> Guard:
    for each in removed:
        if each.lower() != guard.user_group:
            raise InvalidParameterValue(f"User group {each[:60]} is not associated with {topology.name}.")
    if drops and guard.user_group is None:
        raise InvalidParameterCombination(f"RemoveUserGroups cannot be given: {topology.name} has no user group.")
    if removed or drops:
        guard = replace(guard, user_group=None)
    if not added:
        return guard
    if guard.user_group is not None:
        raise InvalidParameterCombination(f"{_ONE}; remove {guard.user_group} from {topology.name} in the same call.")
    return replace(guard, user_group=_group_to_be(ctx, topology, added).id)


def _group_to_be(ctx: Context, topology: Topology, asked: Sequence[str]) -> UserGroup:
    if len(asked) != 1:
        raise InvalidParameterCombination(f"{_ONE}; {len(asked)} were given.")
    group = user_group_of(ctx, asked[0])
    must_be_active(ctx, group)
    if group.engine == "valkey" and topology.engine != "valkey":
        raise InvalidParameterCombination(f"User group {group.id} is of engine valkey and cannot guard {topology.name}, of redis.")
    needed = minimum_version(users_in(ctx.unit, ctx.world, group.users))
    if not works_with(needed, topology):
        raise InvalidParameterCombination(
            f"User group {group.id} needs engine version {needed}; {topology.name} has {topology.engine} {topology.engine_version}."
        )
    return group


def _with_token(ctx: Context, topology: Topology, guard: Guard, token: str | None, strategy: str | None, *, becomes_group: bool) -> Guard:
    if strategy == DELETE:
        if not becomes_group or not guard.tokens:
            raise InvalidParameterCombination(
                "The AuthTokenUpdateStrategy DELETE is for a replication group with an AuthToken that moves to the user group in "
                "UserGroupIdsToAdd."
            )
        return replace(guard, tokens=(), also_without=False, tokens_changed_at=ctx.now)
    if becomes_group and guard.tokens:
        raise InvalidParameterCombination(
            f"{topology.name} has an AuthToken: give the AuthTokenUpdateStrategy DELETE with UserGroupIdsToAdd to move to users."
        )
    if not token:
        return guard
    if guard.user_group is not None:
        raise InvalidParameterCombination(f"AuthToken cannot be given: {topology.name} has user group {guard.user_group}.")
    if topology.engine == "redis" and version_numbers(topology.engine_version) < version_numbers(_FIRST_CHANGEABLE):
        raise InvalidParameterCombination(f"AuthToken can be changed since Redis {_FIRST_CHANGEABLE}; this is {topology.engine_version}.")
    return _set(ctx, guard, token_hash(token)) if strategy == SET else _rotated(ctx, guard, token_hash(token))


def _set(ctx: Context, guard: Guard, token: str) -> Guard:
    """Only this token is valid."""
    return replace(guard, tokens=(token,), also_without=False, tokens_changed_at=ctx.now, token_change=TokenChange.SETTING)


def _rotated(ctx: Context, guard: Guard, token: str) -> Guard:
    """This token is valid, and the newest besides it; where there was none, to give none is."""
    before = [each for each in guard.tokens if each != token]
    valid = (*before, token)[-MOST_PASSWORDS:]
    was_open = not guard.tokens and guard.former_group is None
    also_without = was_open or (guard.also_without and len(valid) < MOST_PASSWORDS)
    return replace(guard, tokens=valid, also_without=also_without, tokens_changed_at=ctx.now, token_change=TokenChange.ROTATING)
