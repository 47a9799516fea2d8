"""Create, describe, modify and delete users. What changes of one reaches every cache that its user groups guard."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace

from api_schemas.faults import (
    DefaultUserAssociatedToUserGroup,
    InvalidParameterCombination,
    InvalidParameterValue,
    InvalidUserState,
    UserAlreadyExists,
    UserNotFound,
    UserQuotaExceeded,
)
from api_schemas.paging import page
from api_schemas.user import (
    CREATE_USER,
    DELETE_USER,
    DESCRIBE_USERS,
    MODIFY_USER,
    Authentication,
    CreateUser,
    DeleteUser,
    DescribeUsers,
    Filter,
    ModifyUser,
    User,
    Users,
)
from controlplane.domain import user as domain
from controlplane.domain.access_control import SYSTEM_USER
from controlplane.domain.access_string import parsed
from controlplane.domain.naming import arn, user_id
from controlplane.domain.status import ACTIVE, DELETING
from controlplane.domain.user import DEFAULT, MOST_USERS, UserGroup, builtin_user, works_with
from controlplane.operations.context import Context
from controlplane.operations.credentials import MISSING, Proof, proof_asked
from controlplane.operations.enforcement import guarded_by, status_of, tell, tidy
from controlplane.operations.performs import performs
from controlplane.operations.tagging import forget_tags, tag_new

SOURCE_TYPE = "user"
ENGINES = ("redis", "valkey")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9._:-]{0,119}")


@performs(CREATE_USER)
def create_user(ctx: Context, asked: CreateUser) -> User:
    """A user is active at once: it may come in nowhere until it is in a user group."""
    tidy(ctx.unit, ctx.world)
    name = user_id(asked.user_id)
    if name == DEFAULT or ctx.unit.users.get(ctx.world, name):
        raise UserAlreadyExists(asked.user_id)
    proof = proof_asked(asked.passwords, asked.no_password_required, asked.authentication_mode)
    if proof is None:
        raise InvalidParameterValue(MISSING)
    if len(ctx.unit.users.of(ctx.world)) >= MOST_USERS - 1:  # the one in every account counts
        raise UserQuotaExceeded(MOST_USERS)
    made = domain.User(ctx.world, name, _user_name(asked.user_name), engine(asked.engine), parsed(asked.access_string).text)
    made = _with_proof(made, proof)
    ctx.unit.users.save(made)
    tag_new(ctx, _arn(made), asked.tags)
    ctx.say(SOURCE_TYPE, name, "User created")
    return _shown(ctx, made, [])


@performs(DESCRIBE_USERS)
def describe_users(ctx: Context, asked: DescribeUsers) -> Users:
    """Show one user, those that filters let through, or all by id."""
    found = [user_of(ctx, asked.user_id)] if asked.user_id else _all(ctx)
    if asked.engine:
        found = [user for user in found if user.engine == asked.engine.lower()]
    for each in asked.filters:
        lets_through = _filter(ctx, each)
        found = [user for user in found if lets_through(user)]
    shown, marker = page(found, asked)
    groups = ctx.unit.user_groups.of(ctx.world)
    return Users(marker=marker, users=[_shown(ctx, user, groups) for user in shown])


@performs(MODIFY_USER)
def modify_user(ctx: Context, asked: ModifyUser) -> User:
    """A user is modifying until every node of every cache that it may come in to enforces the change."""
    tidy(ctx.unit, ctx.world)
    user = _changeable(ctx, asked.user_id)
    proof = proof_asked(asked.passwords, asked.no_password_required, asked.authentication_mode)
    if proof is None and not (asked.access_string or asked.append_access_string or asked.engine):
        raise InvalidParameterCombination("No modifications were requested")
    changed = replace(user, access=_access_asked(user, asked), engine=engine(asked.engine) if asked.engine else user.engine)
    if proof is not None:
        changed = _with_proof(changed, proof)
    groups = groups_of(ctx, user.id)
    _must_work_everywhere(ctx, changed, groups)
    _tell_of(ctx, changed, [group.with_users(group.users) for group in groups])
    ctx.say(SOURCE_TYPE, user.id, "User modified")
    return _shown(ctx, user_of(ctx, user.id), groups)


@performs(DELETE_USER)
def delete_user(ctx: Context, asked: DeleteUser) -> User:
    """A user leaves all its user groups, and is deleting until every node keeps it out."""
    tidy(ctx.unit, ctx.world)
    user = user_of(ctx, asked.user_id)
    groups = groups_of(ctx, user.id)
    if groups and user.name == DEFAULT:
        raise DefaultUserAssociatedToUserGroup(
            f"User {user.id} is the default user of user group {groups[0].id} and cannot be deleted. Replace it there first."
        )
    if user.is_builtin:
        raise InvalidParameterValue("The user default is in every account and cannot be deleted.")
    _must_be_active(ctx, user)
    _tell_of(ctx, replace(user, deleting=True), [group.with_users(without(group.users, [user.id])) for group in groups])
    forget_tags(ctx, _arn(user))
    ctx.say(SOURCE_TYPE, user.id, "User deleted")
    return _shown(ctx, replace(user, deleting=True), [])


def user_of(ctx: Context, name: str) -> domain.User:
    """The user of that id. Raises UserNotFound, also once a deleted one is kept out everywhere."""
    found = builtin_user(ctx.world) if name.lower() == DEFAULT else ctx.unit.users.get(ctx.world, name.lower())
    if found is None or status_of(ctx.unit, found) is None:
        raise UserNotFound(name)
    return found


def groups_of(ctx: Context, user: str) -> list[UserGroup]:
    """The user groups that hold the user, by id."""
    return [group for group in ctx.unit.user_groups.of(ctx.world) if user in group.users]


def engine(asked: str) -> str:
    """An engine that has users, in lower case. Raises InvalidParameterValue."""
    if asked.lower() not in ENGINES:
        raise InvalidParameterValue(f"Invalid value {asked[:60]!r} for Engine: it must be {' or '.join(ENGINES)}.")
    return asked.lower()


def without(users: Iterable[str], gone: Collection[str]) -> tuple[str, ...]:
    """The users that are not among the others."""
    return tuple(each for each in users if each not in gone)


def _shown(ctx: Context, user: domain.User, groups: Iterable[UserGroup]) -> User:
    """A user as it is shown, without its passwords."""
    kind = "no-password" if user.no_password else "password"
    return User(
        user_id=user.id,
        user_name=user.name,
        status=status_of(ctx.unit, user) or DELETING,
        engine=user.engine,
        minimum_engine_version=user.minimum_engine_version,
        access_string=user.access,
        user_group_ids=[group.id for group in groups if user.id in group.users],
        authentication=Authentication(type=kind, password_count=len(user.passwords)),
        arn=_arn(user),
    )


def _tell_of(ctx: Context, user: domain.User, groups: Iterable[UserGroup]) -> None:
    """Write a user down, and tell every cache that one of the groups guards; both are in transition until all of those know."""
    ctx.unit.users.save(user)
    awaits = user.awaits
    for group in groups:
        ctx.unit.user_groups.save(group)
        told = tell(ctx.unit, group)
        ctx.unit.user_groups.save(replace(group, awaits=group.awaits | told))
        awaits |= told
    ctx.unit.users.save(replace(user, awaits=awaits))


def _changeable(ctx: Context, name: str) -> domain.User:
    user = user_of(ctx, name)
    if user.is_builtin:
        raise InvalidParameterValue("The user default is in every account and cannot be modified. Create another user named default.")
    _must_be_active(ctx, user)
    return user


def _must_be_active(ctx: Context, user: domain.User) -> None:
    if (status := status_of(ctx.unit, user)) != ACTIVE:
        raise InvalidUserState(f"User {user.id} must be active to be changed; it is {status}.")


def _access_asked(user: domain.User, asked: ModifyUser) -> str:
    if asked.access_string and asked.append_access_string:
        raise InvalidParameterCombination("Give AccessString or AppendAccessString, not both.")
    if asked.append_access_string:
        return parsed(f"{user.access} {asked.append_access_string}").text
    return parsed(asked.access_string).text if asked.access_string else user.access


def _must_work_everywhere(ctx: Context, user: domain.User, groups: Iterable[UserGroup]) -> None:
    for group in groups:
        if group.engine == "redis" and user.engine == "valkey":
            raise InvalidParameterCombination(f"User {user.id} cannot be of engine valkey while it is in user group {group.id}, of redis.")
        for topology in guarded_by(ctx.unit, group):
            if not works_with(user.minimum_engine_version, topology):
                raise InvalidParameterCombination(
                    f"User {user.id} would need engine version {user.minimum_engine_version}, and {topology.name} has "
                    f"{topology.engine} {topology.engine_version}: selectors, %R~ and %W~ are not known there."
                )


def _with_proof(user: domain.User, proof: Proof) -> domain.User:
    return replace(user, passwords=proof.passwords, no_password=proof.no_password)


def _user_name(asked: str) -> str:
    if not _NAME.fullmatch(asked):
        raise InvalidParameterValue(
            "UserName is not valid: it has 1 to 120 letters, digits, dots, colons, underscores and hyphens, and begins with a letter."
        )
    if asked == SYSTEM_USER:
        raise InvalidParameterValue(f"UserName cannot be {SYSTEM_USER}: that is who Cachewright itself comes in as.")
    return asked


def _all(ctx: Context) -> list[domain.User]:
    stored = [user for user in ctx.unit.users.of(ctx.world) if status_of(ctx.unit, user) is not None]
    return sorted([builtin_user(ctx.world), *stored], key=lambda user: user.id)


def _filter(ctx: Context, asked: Filter) -> Callable[[domain.User], bool]:
    if asked.name.lower() not in _FILTERS:
        raise InvalidParameterValue(f"Invalid value {asked.name[:60]!r} for Filters: a filter is named {', '.join(_FILTERS)}.")
    values = {value.lower() for value in asked.values}
    read = _FILTERS[asked.name.lower()]
    return lambda user: not values.isdisjoint(each.lower() for each in read(ctx, user))


_FILTERS: Mapping[str, Callable[[Context, domain.User], Iterable[str]]] = {
    "user-id": lambda ctx, user: (user.id,),
    "user-name": lambda ctx, user: (user.name,),
    "user-group-id": lambda ctx, user: (group.id for group in groups_of(ctx, user.id)),
    "engine": lambda ctx, user: (user.engine,),
    "status": lambda ctx, user: (status_of(ctx.unit, user) or "",),
}
"""What can be filtered by. The service does not say which filters it knows."""


def _arn(user: domain.User) -> str:
    return arn(user.world, "user", user.id)
