"""Users and user groups: what is accepted and refused, what topologies are told, and when a change is over."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from factories import NOW, WORLD, a_group, have

from api_schemas.agent.access import Access, Credentials
from api_schemas.faults import (
    DefaultUserAssociatedToUserGroup,
    DefaultUserRequired,
    DuplicateUserName,
    Fault,
    InvalidParameterCombination,
    InvalidParameterValue,
    InvalidUserGroupState,
    InvalidUserState,
    UserAlreadyExists,
    UserGroupAlreadyExists,
    UserGroupNotFound,
    UserNotFound,
)
from api_schemas.replication_group import ModifyReplicationGroup
from api_schemas.user import AuthenticationMode, CreateUser, DeleteUser, DescribeUsers, Filter, ModifyUser, User
from api_schemas.user_group import CreateUserGroup, DeleteUserGroup, DescribeUserGroups, ModifyUserGroup, UserGroup
from controlplane.domain.access_control import WITHHELD
from controlplane.domain.reported import RUNNING, SeenNode
from controlplane.domain.topology import Kind, Topology
from controlplane.domain.user import hash_of
from controlplane.operations.context import Context
from controlplane.operations.guarding import with_guard_asked
from controlplane.operations.user_groups import create_user_group, delete_user_group, describe_user_groups, modify_user_group
from controlplane.operations.users import create_user, delete_user, describe_users, modify_user

PASSWORD, OTHER = "correct-horse-battery", "staple-battery-horse"
OPEN = {"no_password_required": True}


@pytest.fixture
def ctx(ctx: Context) -> Context:
    return replace(ctx, access_without_tls=True)


def new_user(ctx: Context, user_id: str, **given: Any) -> User:
    usual: dict[str, Any] = {"user_name": user_id, "engine": "redis", "access_string": "on ~* +@all", "passwords": [PASSWORD]}
    if {"no_password_required", "authentication_mode"} & given.keys():
        usual.pop("passwords")
    return create_user(ctx, CreateUser(user_id=user_id, **{**usual, **given}))


def new_group(ctx: Context, group_id: str, *users: str, engine: str = "redis") -> UserGroup:
    return create_user_group(ctx, CreateUserGroup(user_group_id=group_id, engine=engine, user_ids=list(users)))


def user(ctx: Context, user_id: str) -> User:
    return describe_users(ctx, DescribeUsers(user_id=user_id)).users[0]


def group(ctx: Context, group_id: str) -> UserGroup:
    return describe_user_groups(ctx, DescribeUserGroups(user_group_id=group_id)).user_groups[0]


def modified(ctx: Context, user_id: str, **given: Any) -> User:
    return modify_user(ctx, ModifyUser(user_id=user_id, **given))


def regrouped(ctx: Context, group_id: str, add: tuple[str, ...] = (), remove: tuple[str, ...] = ()) -> UserGroup:
    asked = ModifyUserGroup(user_group_id=group_id, user_ids_to_add=list(add), user_ids_to_remove=list(remove))
    return modify_user_group(ctx, asked)


def guarded(ctx: Context, group_id: str, name: str = "orders", **fields: Any) -> Topology:
    """An available replication group of one node that the user group guards, whose node enforces it."""
    topology = a_group(name, nodes=1, **fields)
    asked = ModifyReplicationGroup(replication_group_id=name, user_group_ids_to_add=[group_id])
    have(ctx, with_guard_asked(ctx, replace(topology, access=Access(Credentials("cachewright", "system"))), asked))
    enforce(ctx, name)
    return stored(ctx, name)


def stored(ctx: Context, name: str = "orders") -> Topology:
    found = ctx.unit.topologies.named(WORLD, Kind.REPLICATION_GROUP, name)
    assert found is not None
    return found


def enforce(ctx: Context, name: str = "orders") -> None:
    """The node reports that it enforces what is desired now."""
    topology = stored(ctx, name)
    assert topology.access is not None
    for node in topology.nodes:
        ctx.unit.reports.put_node(topology.key(node), SeenNode(RUNNING, node.boot, access=topology.access.digest), NOW)
    ctx.unit.reports.settle()


def rules(topology: Topology, name: str) -> tuple[str, ...]:
    assert topology.access is not None
    return next(each.rules for each in topology.access.users if each.name == name)


# ---- Users --------------------------------------------------------------------------------------------------------------
def test_a_new_user_is_active_and_shows_no_password(ctx: Context) -> None:
    made = new_user(ctx, "Alice", user_name="alice", engine="REDIS", access_string="~app:* +@read")
    assert (made.user_id, made.user_name, made.status, made.engine) == ("alice", "alice", "active", "redis")
    assert (made.access_string, made.minimum_engine_version) == ("off ~app:* -@all +@read", "6.0")
    assert (made.authentication.type, made.authentication.password_count) == ("password", 1)
    assert made.arn == "arn:aws:elasticache:us-east-1:000000000000:user:alice"
    kept = ctx.unit.users.get(WORLD, "alice")
    assert kept is not None
    assert kept.passwords == (hash_of(PASSWORD),)
    assert PASSWORD not in repr(CreateUser(user_id="a", user_name="a", engine="redis", access_string="on", passwords=[PASSWORD]))
    assert hash_of(PASSWORD) not in repr(kept)


def test_the_user_default_is_in_every_account(ctx: Context) -> None:
    new_user(ctx, "zoe")
    assert [each.user_id for each in describe_users(ctx, DescribeUsers()).users] == ["default", "zoe"]
    default = user(ctx, "default")
    assert (default.access_string, default.authentication.type, default.status) == ("on ~* +@all", "no-password", "active")
    for call in (lambda: modified(ctx, "default", access_string="on"), lambda: delete_user(ctx, DeleteUser(user_id="default"))):
        with pytest.raises(InvalidParameterValue, match="every account"):
            call()
    with pytest.raises(UserAlreadyExists):
        new_user(ctx, "default")


@pytest.mark.parametrize(
    ("given", "kind", "count"),
    [
        ({"passwords": [PASSWORD, OTHER]}, "password", 2),
        ({"passwords": [PASSWORD], "no_password_required": False}, "password", 1),
        ({"no_password_required": True}, "no-password", 0),
        ({"no_password_required": False, "authentication_mode": AuthenticationMode(type="password", passwords=[PASSWORD])}, "password", 1),
        ({"authentication_mode": AuthenticationMode(type="no-password-required")}, "no-password", 0),
    ],
)  # fmt: skip
def test_how_a_user_proves_who_it_is(ctx: Context, given: dict[str, Any], kind: str, count: int) -> None:
    made = new_user(ctx, "alice", **given).authentication
    assert (made.type, made.password_count) == (kind, count)


BAD_PASSWORDS = ["short", "x" * 129, "with,comma-1234567", 'with"quote-1234567', "with/slash-1234567", "with@at-1234567890", "zwölf-zwölf-zwölf!"]


@pytest.mark.parametrize(
    ("given", "fault", "why"),
    [
        *(({"passwords": [bad]}, InvalidParameterValue, "Passwords") for bad in BAD_PASSWORDS),
        ({"passwords": [PASSWORD, OTHER, PASSWORD + "3"]}, InvalidParameterValue, "at most 2"),
        ({"passwords": []}, InvalidParameterValue, "No password was provided"),
        ({"no_password_required": False}, InvalidParameterValue, "No password was provided"),
        ({"passwords": [PASSWORD], "no_password_required": True}, InvalidParameterCombination, "not several"),
        ({"passwords": [PASSWORD], "authentication_mode": AuthenticationMode(type="password", passwords=[OTHER])},
         InvalidParameterCombination, "not several"),
        ({"authentication_mode": AuthenticationMode(type="iam")}, InvalidParameterValue, "IAM authentication is not built"),
        ({"authentication_mode": AuthenticationMode(type="password")}, InvalidParameterValue, "No password was provided"),
        ({"authentication_mode": AuthenticationMode(type="no-password-required", passwords=[OTHER])}, InvalidParameterCombination, "type"),
        ({"authentication_mode": AuthenticationMode(type="token")}, InvalidParameterValue, "must be"),
        ({"user_name": "has blank"}, InvalidParameterValue, "UserName"),
        ({"user_name": "cachewright"}, InvalidParameterValue, "cachewright"),
        ({"engine": "memcached"}, InvalidParameterValue, "Engine"),
        ({"access_string": "on >password-in-here"}, InvalidParameterValue, "cannot hold passwords"),
    ],
)  # fmt: skip
def test_what_no_user_can_be(ctx: Context, given: dict[str, Any], fault: type[Fault], why: str) -> None:
    with pytest.raises(fault, match=why) as refused:
        new_user(ctx, "alice", **given)
    assert not [password for password in [PASSWORD, OTHER, *BAD_PASSWORDS[1:]] if password in refused.value.message]
    with pytest.raises(UserNotFound):
        user(ctx, "alice")


def test_modifying_replaces_appends_and_keeps(ctx: Context) -> None:
    new_user(ctx, "alice", access_string="on ~a -@all +get")
    assert modified(ctx, "alice", append_access_string="~b +set").access_string == "on ~a ~b -@all +get +set"
    assert modified(ctx, "alice", access_string="on ~c +@read").access_string == "on ~c -@all +@read"
    assert modified(ctx, "alice", passwords=[PASSWORD, OTHER]).authentication.password_count == 2
    assert modified(ctx, "alice", passwords=[OTHER], no_password_required=False).authentication.password_count == 1
    with pytest.raises(InvalidParameterCombination, match="No modifications"):
        modified(ctx, "alice", no_password_required=False)
    with pytest.raises(InvalidParameterCombination, match="not both"):
        modified(ctx, "alice", access_string="on", append_access_string="off")
    with pytest.raises(UserNotFound):
        modified(ctx, "bob", access_string="on")


def test_filters(ctx: Context) -> None:
    new_user(ctx, "alice")
    new_user(ctx, "bob", engine="valkey")
    new_group(ctx, "app", "default", "alice")

    def found(name: str, *values: str) -> list[str]:
        return [each.user_id for each in describe_users(ctx, DescribeUsers(filters=[Filter(name=name, values=list(values))])).users]

    assert found("user-name", "alice") == ["alice"]
    assert found("user-group-id", "app") == ["alice", "default"]
    assert found("engine", "valkey") == ["bob"]
    with pytest.raises(InvalidParameterValue, match="filter is named"):
        found("shoe-size", "44")
    assert [each.user_id for each in describe_users(ctx, DescribeUsers(engine="valkey")).users] == ["bob"]


# ---- User groups --------------------------------------------------------------------------------------------------------
def test_a_group_of_redis_needs_a_user_named_default(ctx: Context) -> None:
    new_user(ctx, "alice")
    for users in ((), ("alice",)):
        with pytest.raises(DefaultUserRequired):
            new_group(ctx, "app", *users)
    assert new_group(ctx, "app", "default", "alice").user_ids == ["default", "alice"]
    assert new_group(ctx, "fresh", "alice", engine="Valkey").engine == "valkey"
    assert user(ctx, "alice").user_group_ids == ["app", "fresh"]
    with pytest.raises(DefaultUserRequired):
        regrouped(ctx, "app", remove=("default",))


def test_the_default_user_can_be_swapped(ctx: Context) -> None:
    new_user(ctx, "shut", user_name="default", access_string="off -@all")
    new_group(ctx, "app", "default")
    with pytest.raises(DuplicateUserName):
        regrouped(ctx, "app", add=("shut",))
    assert regrouped(ctx, "app", add=("shut",), remove=("default",)).user_ids == ["shut"]
    with pytest.raises(DefaultUserAssociatedToUserGroup):
        delete_user(ctx, DeleteUser(user_id="shut"))


def test_what_groups_refuse(ctx: Context) -> None:
    new_user(ctx, "alice")
    new_user(ctx, "vera", engine="valkey")
    new_group(ctx, "app", "default", "alice")
    with pytest.raises(UserGroupAlreadyExists):
        new_group(ctx, "APP", "default")
    with pytest.raises(UserNotFound):
        new_group(ctx, "other", "default", "nobody")
    with pytest.raises(InvalidParameterValue, match="engine valkey"):
        new_group(ctx, "other", "default", "vera")
    with pytest.raises(InvalidParameterValue, match="more than once"):
        new_group(ctx, "other", "default", "alice", "Alice")
    with pytest.raises(InvalidParameterValue, match="not a member"):
        regrouped(ctx, "app", remove=("vera",))
    with pytest.raises(InvalidParameterValue, match="already a member"):
        regrouped(ctx, "app", add=("alice",))
    with pytest.raises(InvalidParameterCombination, match="No modifications"):
        regrouped(ctx, "app")
    with pytest.raises(UserGroupNotFound):
        group(ctx, "other")


# ---- What topologies are told, and when it is over ----------------------------------------------------------------------
def test_a_change_is_over_when_every_node_enforces_it(ctx: Context) -> None:
    new_user(ctx, "alice")
    new_user(ctx, "bob")
    new_group(ctx, "app", "default", "alice", "bob")
    before = guarded(ctx, "app")
    assert (group(ctx, "app").status, group(ctx, "app").replication_groups) == ("active", ["orders"])
    assert modified(ctx, "alice", access_string="on ~a +get").status == "modifying"
    assert (user(ctx, "alice").status, user(ctx, "bob").status, group(ctx, "app").status) == ("modifying", "active", "modifying")
    assert stored(ctx).access != before.access
    assert group(ctx, "app").pending_changes is None
    with pytest.raises(InvalidUserState):
        modified(ctx, "alice", access_string="on")
    with pytest.raises(InvalidUserGroupState):
        regrouped(ctx, "app", remove=("bob",))
    enforce(ctx)
    assert (user(ctx, "alice").status, group(ctx, "app").status) == ("active", "active")
    modified(ctx, "bob", access_string="on ~b +get")
    assert (user(ctx, "alice").status, user(ctx, "bob").status) == ("active", "modifying")


def test_members_come_and_go_when_every_node_knows(ctx: Context) -> None:
    for each in ("alice", "bob"):
        new_user(ctx, each)
    new_group(ctx, "app", "default", "alice")
    guarded(ctx, "app")
    changed = regrouped(ctx, "app", add=("bob",), remove=("alice",))
    assert (changed.status, changed.user_ids) == ("modifying", ["default", "alice"])
    assert changed.pending_changes is not None
    assert (changed.pending_changes.user_ids_to_add, changed.pending_changes.user_ids_to_remove) == (["bob"], ["alice"])
    enforce(ctx)
    assert (group(ctx, "app").user_ids, group(ctx, "app").pending_changes) == (["default", "bob"], None)


def test_a_deleted_user_is_deleting_until_it_is_kept_out_everywhere(ctx: Context) -> None:
    new_user(ctx, "alice")
    new_group(ctx, "app", "default", "alice")
    guarded(ctx, "app")
    assert delete_user(ctx, DeleteUser(user_id="alice")).status == "deleting"
    assert user(ctx, "alice").status == "deleting"
    access = stored(ctx).access
    assert access is not None
    assert [each.name for each in access.users] == ["default"]
    enforce(ctx)
    with pytest.raises(UserNotFound):
        user(ctx, "alice")
    assert group(ctx, "app").user_ids == ["default"]
    assert new_user(ctx, "alice").status == "active"


def test_a_user_group_that_guards_is_not_deleted(ctx: Context) -> None:
    new_group(ctx, "app", "default")
    guarded(ctx, "app")
    with pytest.raises(InvalidUserGroupState, match="associated with orders"):
        delete_user_group(ctx, DeleteUserGroup(user_group_id="app"))
    new_group(ctx, "idle", "default")
    assert delete_user_group(ctx, DeleteUserGroup(user_group_id="idle")).status == "deleting"
    with pytest.raises(UserGroupNotFound):
        group(ctx, "idle")


def test_what_engines_are_told(ctx: Context) -> None:
    new_user(ctx, "alice", passwords=[PASSWORD, OTHER], access_string="on ~a &x -@all +get (~b +set)")
    new_user(ctx, "bob", access_string="off ~* +@all", **OPEN)
    new_group(ctx, "app", "alice", "bob", engine="valkey")
    topology = guarded(ctx, "app")
    withheld = tuple(f"-{name}" for name in WITHHELD)
    assert rules(topology, "default") == ("off", "-@all")
    assert rules(topology, "alice") == (
        "on", f"#{hash_of(PASSWORD)}", f"#{hash_of(OTHER)}", "resetkeys", "~a", "resetchannels", "&x", "-@all", "+get", *withheld,
        f"(~b -@all +set {' '.join(withheld)})",
    )  # fmt: skip
    assert rules(topology, "bob")[:4] == ("off", "nopass", "resetkeys", "~*")


def test_users_must_be_understood_by_engines(ctx: Context) -> None:
    new_user(ctx, "alice", access_string="on %R~a +get")
    assert user(ctx, "alice").minimum_engine_version == "7.0"
    new_group(ctx, "app", "default", "alice")
    with pytest.raises(InvalidParameterCombination, match=r"needs engine version 7\.0"):
        guarded(ctx, "app", engine="redis", engine_version="6.2")
    assert guarded(ctx, "app", engine="redis", engine_version="7.0").guard.user_group == "app"
