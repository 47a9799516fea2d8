"""Tags of a resource that is named by its ARN: add, remove, list."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from api_schemas.faults import (
    CacheClusterNotFound,
    CacheSecurityGroupNotFound,
    GlobalReplicationGroupNotFound,
    InvalidARN,
    InvalidParameterValue,
    InvalidReplicationGroupState,
    NotFound,
    ReservedCacheNodeNotFound,
    ServerlessCacheNotFound,
    ServerlessCacheSnapshotNotFound,
    TagNotFound,
    UserGroupNotFound,
    UserNotFound,
)
from api_schemas.tag import (
    ADD_TAGS_TO_RESOURCE,
    LIST_TAGS_FOR_RESOURCE,
    REMOVE_TAGS_FROM_RESOURCE,
    AddTagsToResource,
    ListTagsForResource,
    RemoveTagsFromResource,
    TagList,
)
from controlplane.domain import naming
from controlplane.domain.parameters import DefaultGroup
from controlplane.domain.status import ACTIVE, AVAILABLE, DELETING, member_status
from controlplane.domain.topology import Topology, World
from controlplane.operations.context import Context
from controlplane.operations.enforcement import status_of
from controlplane.operations.parameter_groups import parameter_group
from controlplane.operations.performs import performs
from controlplane.operations.snapshots import snapshot_of
from controlplane.operations.subnet_groups import subnet_group
from controlplane.operations.tagging import as_tags, checked_tags, member_arns, within_quota
from controlplane.operations.user_groups import user_group_of
from controlplane.operations.users import user_of


@dataclass(frozen=True, slots=True)
class Tagged:
    """A resource that was found by its ARN: itself, and what its tags go to as well. The tags of a fixed one never change."""

    arn: str
    also: tuple[str, ...] = ()
    fixed: bool = False


@performs(ADD_TAGS_TO_RESOURCE)
def add_tags_to_resource(ctx: Context, asked: AddTagsToResource) -> TagList:
    """Add tags to a resource, and to the members of a replication group with it."""
    resource = _changeable(ctx, asked.resource_name)
    added = checked_tags(asked.tags)
    for arn in (resource.arn, *resource.also):
        ctx.unit.tags.put(arn, within_quota({**ctx.unit.tags.of(arn), **added}))
    return TagList(tag_list=as_tags(ctx.unit.tags.of(resource.arn)))


@performs(REMOVE_TAGS_FROM_RESOURCE)
def remove_tags_from_resource(ctx: Context, asked: RemoveTagsFromResource) -> TagList:
    """Remove tags from a resource, and from the members of a replication group with it."""
    resource = _changeable(ctx, asked.resource_name)
    present = ctx.unit.tags.of(resource.arn)
    for key in asked.tag_keys:
        if key not in present:
            raise TagNotFound(key)
    for arn in (resource.arn, *resource.also):
        ctx.unit.tags.put(arn, {key: value for key, value in ctx.unit.tags.of(arn).items() if key not in asked.tag_keys})
    return TagList(tag_list=as_tags(ctx.unit.tags.of(resource.arn)))


@performs(LIST_TAGS_FOR_RESOURCE)
def list_tags_for_resource(ctx: Context, asked: ListTagsForResource) -> TagList:
    """Show the tags of a resource."""
    return TagList(tag_list=as_tags(ctx.unit.tags.of(_tagged(ctx, asked.resource_name).arn)))


def _changeable(ctx: Context, asked: str) -> Tagged:
    resource = _tagged(ctx, asked)
    if resource.fixed:
        raise InvalidParameterValue("The tags of a default parameter group cannot be changed.")
    return resource


def _tagged(ctx: Context, asked: str) -> Tagged:
    """The resource of that ARN. Raises InvalidARN, or the NotFound of its kind."""
    kind, name = _kind_and_name(ctx.world, asked)
    if kind in _THERE_IS_NONE:
        raise _THERE_IS_NONE[kind](name)
    return _FINDERS[kind](ctx, name)


def _kind_and_name(world: World, asked: str) -> tuple[str, str]:
    """What an ARN of this account and region is about. Raises InvalidARN."""
    parts = asked.split(":", 6)
    if len(parts) == 7 and all(parts[5:]):
        kind, name = parts[5], parts[6].lower()
        own = naming.arn(world, kind, name)
        # Of all kinds, only a global datastore is in no region.
        expected = own.replace(f":{world.region}:", "::", 1) if kind == _GLOBAL else own
        if kind in (*_FINDERS, *_THERE_IS_NONE) and [*parts[:6], name] == expected.split(":", 6):
            return kind, name
    example = naming.arn(world, "cluster", "my-cache")
    raise InvalidARN(f"{asked[:200]!r} is not the ARN of a resource of this account and region, such as {example}.")


def _replication_group(ctx: Context, name: str) -> Tagged:
    group = ctx.replication_group(name)
    _must_be_available(ctx, group)
    return Tagged(naming.arn(ctx.world, "replicationgroup", group.name), also=member_arns(group))


def _cache_cluster(ctx: Context, name: str) -> Tagged:
    topology, member = ctx.cache_cluster(name)
    reported = ctx.reported(topology)
    status = member_status(topology, member, reported, ctx.policy.most_boots) if member else ctx.status(topology)
    if status == DELETING:
        raise CacheClusterNotFound(name)
    _must_be_available(ctx, topology)
    return Tagged(naming.arn(ctx.world, "cluster", name))


def _snapshot(ctx: Context, name: str) -> Tagged:
    return Tagged(naming.arn(ctx.world, "snapshot", snapshot_of(ctx, name).name))


def _subnet_group(ctx: Context, name: str) -> Tagged:
    return Tagged(naming.arn(ctx.world, "subnetgroup", subnet_group(ctx, name).name))


def _parameter_group(ctx: Context, name: str) -> Tagged:
    group = parameter_group(ctx, name)
    return Tagged(naming.arn(ctx.world, "parametergroup", group.name), fixed=isinstance(group, DefaultGroup))


def _user(ctx: Context, name: str) -> Tagged:
    user = user_of(ctx, name)
    if status_of(ctx.unit, user) != ACTIVE:
        raise UserNotFound(message=f"User {user.id} is not available for tagging.")
    return Tagged(naming.arn(ctx.world, "user", user.id))


def _user_group(ctx: Context, name: str) -> Tagged:
    group = user_group_of(ctx, name)
    if status_of(ctx.unit, group) != ACTIVE:
        raise UserGroupNotFound(message=f"User group {group.id} is not available for tagging.")
    return Tagged(naming.arn(ctx.world, "usergroup", group.id))


def _must_be_available(ctx: Context, topology: Topology) -> None:
    if ctx.status(topology) != AVAILABLE:
        raise InvalidReplicationGroupState("Cluster not in available state to perform tagging operations.")


_GLOBAL = "globalreplicationgroup"

_FINDERS: Mapping[str, Callable[[Context, str], Tagged]] = {
    "cluster": _cache_cluster,
    "replicationgroup": _replication_group,
    "snapshot": _snapshot,
    "subnetgroup": _subnet_group,
    "parametergroup": _parameter_group,
    "user": _user,
    "usergroup": _user_group,
}

_THERE_IS_NONE: Mapping[str, type[NotFound]] = {
    "securitygroup": CacheSecurityGroupNotFound,
    "serverlesscache": ServerlessCacheNotFound,
    "serverlesscachesnapshot": ServerlessCacheSnapshotNotFound,
    "reserved-instance": ReservedCacheNodeNotFound,
    _GLOBAL: GlobalReplicationGroupNotFound,
}
