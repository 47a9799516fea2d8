"""Create, describe, modify and delete user groups. Who comes and goes does so on every cache that a group guards."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from api_schemas.faults import (
    DefaultUserRequired,
    DuplicateUserName,
    InvalidParameterCombination,
    InvalidParameterValue,
    InvalidUserGroupState,
    UserGroupAlreadyExists,
    UserGroupNotFound,
    UserGroupQuotaExceeded,
    UserNotFound,
)
from api_schemas.paging import page
from api_schemas.user_group import (
    CREATE_USER_GROUP,
    DELETE_USER_GROUP,
    DESCRIBE_USER_GROUPS,
    MODIFY_USER_GROUP,
    CreateUserGroup,
    DeleteUserGroup,
    DescribeUserGroups,
    ModifyUserGroup,
    UserGroup,
    UserGroupPendingChanges,
    UserGroups,
)
from controlplane.domain import user as domain
from controlplane.domain.engine_versions import version_numbers
from controlplane.domain.naming import arn, user_group_id
from controlplane.domain.status import ACTIVE, DELETING, MODIFYING
from controlplane.domain.topology import Kind
from controlplane.domain.user import DEFAULT, MOST_GROUPS, MOST_IN_A_GROUP, User, works_with
from controlplane.operations.context import Context
from controlplane.operations.enforcement import guarded_by, status_of, tell, tidy, users_in
from controlplane.operations.performs import performs
from controlplane.operations.tagging import forget_tags, tag_new
from controlplane.operations.users import engine, user_of, without

SOURCE_TYPE = "user-group"


@performs(CREATE_USER_GROUP)
def create_user_group(ctx: Context, asked: CreateUserGroup) -> UserGroup:
    """A user group is active at once: it guards nothing yet."""
    tidy(ctx.unit, ctx.world)
    name = user_group_id(asked.user_group_id)
    if ctx.unit.user_groups.get(ctx.world, name):
        raise UserGroupAlreadyExists(asked.user_group_id)
    group = domain.UserGroup(ctx.world, name, engine(asked.engine), _ids(ctx, asked.user_ids))
    _must_fit_together(group, users_in(ctx.unit, ctx.world, group.users))
    if len(ctx.unit.user_groups.of(ctx.world)) >= MOST_GROUPS:
        raise UserGroupQuotaExceeded(MOST_GROUPS)
    ctx.unit.user_groups.save(group)
    tag_new(ctx, _arn(group), asked.tags)
    ctx.say(SOURCE_TYPE, name, "User group created")
    return _shown(ctx, group)


@performs(DESCRIBE_USER_GROUPS)
def describe_user_groups(ctx: Context, asked: DescribeUserGroups) -> UserGroups:
    """Show one user group, or all by id."""
    found = [user_group_of(ctx, asked.user_group_id)] if asked.user_group_id else ctx.unit.user_groups.of(ctx.world)
    shown, marker = page(found, asked)
    return UserGroups(marker=marker, user_groups=[_shown(ctx, group) for group in shown])


@performs(MODIFY_USER_GROUP)
def modify_user_group(ctx: Context, asked: ModifyUserGroup) -> UserGroup:
    """A user group is modifying until every node of every cache that it guards lets in who came, and nobody who went."""
    tidy(ctx.unit, ctx.world)
    group = user_group_of(ctx, asked.user_group_id)
    must_be_active(ctx, group)
    if not (asked.user_ids_to_add or asked.user_ids_to_remove or asked.engine):
        raise InvalidParameterCombination("No modifications were requested")
    changed = replace(_with_members_asked(ctx, group, asked), engine=engine(asked.engine) if asked.engine else group.engine)
    users = users_in(ctx.unit, ctx.world, changed.users)
    _must_fit_together(changed, users)
    for topology in guarded_by(ctx.unit, changed):
        if changed.engine == "valkey" and topology.engine != "valkey":
            raise InvalidParameterCombination(f"User group {group.id} guards {topology.name}, of redis, and cannot be of engine valkey.")
        if not works_with(minimum_version(users), topology):
            raise InvalidParameterCombination(
                f"User group {group.id} guards {topology.name}, of {topology.engine} {topology.engine_version}, which does not know "
                "selectors, %R~ and %W~."
            )
    ctx.unit.user_groups.save(changed)
    changed = replace(changed, awaits=changed.awaits | tell(ctx.unit, changed))
    ctx.unit.user_groups.save(changed)
    ctx.say(SOURCE_TYPE, group.id, "User group modified")
    return _shown(ctx, changed)


@performs(DELETE_USER_GROUP)
def delete_user_group(ctx: Context, asked: DeleteUserGroup) -> UserGroup:
    """A user group that guards nothing is gone at once. Its users stay."""
    tidy(ctx.unit, ctx.world)
    group = user_group_of(ctx, asked.user_group_id)
    if guarded := guarded_by(ctx.unit, group):
        raise InvalidUserGroupState(f"User group {group.id} is associated with {guarded[0].name} and cannot be deleted.")
    must_be_active(ctx, group)
    ctx.unit.user_groups.forget(group)
    forget_tags(ctx, _arn(group))
    ctx.say(SOURCE_TYPE, group.id, "User group deleted")
    return _shown(ctx, group).model_copy(update={"status": DELETING})


def user_group_of(ctx: Context, name: str) -> domain.UserGroup:
    """The user group of that id. Raises UserGroupNotFound."""
    found = ctx.unit.user_groups.get(ctx.world, name.lower())
    if found is None:
        raise UserGroupNotFound(name)
    return found


def must_be_active(ctx: Context, group: domain.UserGroup) -> None:
    """Raises InvalidUserGroupState while not every node knows what the group is."""
    if (status := status_of(ctx.unit, group)) != ACTIVE:
        raise InvalidUserGroupState(f"User group {group.id} must be active; it is {status}.")


def minimum_version(users: Iterable[User]) -> str:
    """The first version whose engines understand all of these users."""
    return max((user.minimum_engine_version for user in users), key=version_numbers, default="6.0")


def _with_members_asked(ctx: Context, group: domain.UserGroup, asked: ModifyUserGroup) -> domain.UserGroup:
    removed = [each.lower() for each in asked.user_ids_to_remove]
    added = _ids(ctx, asked.user_ids_to_add)
    for each in removed:
        if each not in group.users:
            raise InvalidParameterValue(f"User {each[:60]} is not a member of user group {group.id}.")
        if each in added:
            raise InvalidParameterCombination(f"User {each} cannot be added and removed at once.")
    for each in added:
        if each in group.users:
            raise InvalidParameterValue(f"User {each} is already a member of user group {group.id}.")
    return group.with_users((*without(group.users, removed), *added))


def _ids(ctx: Context, asked: Sequence[str]) -> tuple[str, ...]:
    """The ids of users that exist. Raises UserNotFound, and InvalidParameterValue for one that is named twice."""
    ids = [user_of(ctx, each).id for each in asked]
    for each in ids:
        if ids.count(each) > 1:
            raise InvalidParameterValue(f"User {each} is named more than once.")
        if each != DEFAULT and status_of(ctx.unit, user_of(ctx, each)) == DELETING:
            raise UserNotFound(each)
    return tuple(ids)


def _must_fit_together(group: domain.UserGroup, users: Sequence[User]) -> None:
    """Raises what the service does for users that cannot be in one group."""
    if len(users) > MOST_IN_A_GROUP:
        raise InvalidParameterValue(f"A user group can have at most {MOST_IN_A_GROUP} users; this one would have {len(users)}.")
    names: dict[str, User] = {}
    for user in users:
        if user.name in names:
            raise DuplicateUserName(f"Users {names[user.name].id} and {user.id} are both named {user.name}; a group takes one of them.")
        names[user.name] = user
        if group.engine == "redis" and user.engine == "valkey":
            raise InvalidParameterValue(f"User {user.id} is of engine valkey and cannot be in user group {group.id}, of engine redis.")
    if group.engine == "redis" and DEFAULT not in names:
        raise DefaultUserRequired(f"User group {group.id}, of engine redis, needs a user named default.")


def _shown(ctx: Context, group: domain.UserGroup) -> UserGroup:
    """While not all nodes know, the users are those it had, and who comes and goes is pending."""
    status = status_of(ctx.unit, group) or ACTIVE
    users = group.users if status == ACTIVE else group.former
    come, go = without(group.users, users), without(users, group.users)
    is_pending = status == MODIFYING and bool(come or go)
    return UserGroup(
        user_group_id=group.id,
        status=status,
        engine=group.engine,
        user_ids=list(users),
        minimum_engine_version=minimum_version(users_in(ctx.unit, ctx.world, group.users)),
        pending_changes=UserGroupPendingChanges(user_ids_to_add=list(come), user_ids_to_remove=list(go)) if is_pending else None,
        replication_groups=[topology.name for topology in guarded_by(ctx.unit, group) if topology.kind is Kind.REPLICATION_GROUP],
        arn=_arn(group),
    )


def _arn(group: domain.UserGroup) -> str:
    return arn(group.world, "usergroup", group.id)
