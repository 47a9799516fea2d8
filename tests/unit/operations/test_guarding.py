"""What requests about AUTH tokens and user groups are refused, and which tokens are valid after which change."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from factories import NOW, WORLD, a_group

from api_schemas.faults import Fault, InvalidParameterCombination, InvalidParameterValue, UserGroupNotFound
from api_schemas.replication_group import CreateReplicationGroup, ModifyReplicationGroup
from controlplane.domain.guard import Guard, TokenChange
from controlplane.domain.topology import Topology
from controlplane.domain.user import UserGroup, hash_of
from controlplane.operations.context import Context
from controlplane.operations.guarding import guarded, with_guard_asked

A, B, C = "a-token-of-sixteen", "b-token-of-sixteen", "c-token-of-sixteen"


@pytest.fixture
def ctx(ctx: Context) -> Context:
    ctx = replace(ctx, access_without_tls=True)
    ctx.unit.user_groups.save(UserGroup(WORLD, "app", "redis", ("default",)))
    ctx.unit.user_groups.save(UserGroup(WORLD, "vapp", "valkey"))
    return ctx


def changed(ctx: Context, before: Topology, **asked: Any) -> Topology:
    usual = {"replication_group_id": before.name, "apply_immediately": True}
    return with_guard_asked(ctx, before, ModifyReplicationGroup(**{**usual, **asked}))


def tokens(topology: Topology) -> list[str]:
    """The tokens that are valid, by name, the oldest first."""
    names = {hash_of(A): "A", hash_of(B): "B", hash_of(C): "C"}
    return [names[token] for token in topology.guard.tokens]


def test_which_tokens_are_valid_after_which_change(ctx: Context) -> None:
    topology = changed(ctx, a_group(), auth_token=A)
    assert (tokens(topology), topology.guard.also_without, topology.guard.token_change) == (["A"], True, TokenChange.ROTATING)
    assert topology.access is not None
    assert topology.access.users[0].rules[:2] == ("on", "nopass")
    topology = changed(ctx, topology, auth_token=B, auth_token_update_strategy="ROTATE")
    assert (tokens(topology), topology.guard.also_without) == (["A", "B"], False)
    assert tokens(changed(ctx, topology, auth_token=C)) == ["B", "C"]
    assert tokens(changed(ctx, topology, auth_token=A)) == ["B", "A"]
    topology = changed(ctx, topology, auth_token=B, auth_token_update_strategy="SET")
    assert (tokens(topology), topology.guard.token_change) == (["B"], TokenChange.SETTING)
    assert topology.guard.tokens_changed_at == NOW
    assert changed(ctx, topology, auth_token=B, auth_token_update_strategy="SET") == topology


def test_the_password_of_the_system_stays(ctx: Context) -> None:
    first = changed(ctx, a_group(), auth_token=A)
    second = changed(ctx, first, auth_token=B)
    assert first.access is not None
    assert second.access is not None
    assert first.access.system == second.access.system
    assert len(first.access.system.password) > 40
    assert first.access.system.password not in repr(first)
    assert hash_of(A) not in repr(first)


OPEN, TOKEN, GROUPED = Guard(), Guard(tokens=(hash_of(A),)), Guard(user_group="app")


@pytest.mark.parametrize(
    ("guard", "asked", "fault", "why"),
    [
        (OPEN, {"auth_token": A, "apply_immediately": False}, InvalidParameterCombination, "ApplyImmediately"),
        (OPEN, {"auth_token": "short"}, InvalidParameterValue, "16 to 128"),
        (OPEN, {"auth_token": "with@at-sign-in-it-1"}, InvalidParameterValue, "letters, digits"),
        (OPEN, {"auth_token": A, "auth_token_update_strategy": "SWAP"}, InvalidParameterValue, "SET, ROTATE, DELETE"),
        (OPEN, {"auth_token_update_strategy": "SET"}, InvalidParameterCombination, "needs an AuthToken"),
        (TOKEN, {"auth_token_update_strategy": "DELETE"}, InvalidParameterCombination, "moves to the user group"),
        (TOKEN, {"auth_token": B, "auth_token_update_strategy": "DELETE"}, InvalidParameterCombination, "with the AuthTokenUpdateStrategy"),
        (OPEN, {"auth_token_update_strategy": "DELETE", "user_group_ids_to_add": ["app"]}, InvalidParameterCombination, "with an AuthToken"),
        (TOKEN, {"user_group_ids_to_add": ["app"]}, InvalidParameterCombination, "Strategy DELETE"),
        (OPEN, {"auth_token": A, "user_group_ids_to_add": ["app"]}, InvalidParameterCombination, "AuthToken cannot be given"),
        (GROUPED, {"auth_token": A}, InvalidParameterCombination, "has user group app"),
        (GROUPED, {"user_group_ids_to_add": ["vapp"]}, InvalidParameterCombination, "one user group at most"),
        (OPEN, {"user_group_ids_to_add": ["app", "vapp"]}, InvalidParameterCombination, "one user group at most"),
        (OPEN, {"user_group_ids_to_add": ["nobody"]}, UserGroupNotFound, "nobody"),
        (OPEN, {"user_group_ids_to_remove": ["app"]}, InvalidParameterValue, "not associated"),
        (OPEN, {"remove_user_groups": True}, InvalidParameterCombination, "has no user group"),
        (GROUPED, {"remove_user_groups": True, "user_group_ids_to_add": ["app"]}, InvalidParameterCombination, "RemoveUserGroups"),
    ],
)  # fmt: skip
def test_what_is_refused(ctx: Context, guard: Guard, asked: dict[str, Any], fault: type[Fault], why: str) -> None:
    with pytest.raises(fault, match=why) as refused:
        changed(ctx, a_group(guard=guard), **asked)
    assert not [token for token in (A, B, "with@at-sign-in-it-1") if token in refused.value.message]


def test_a_valkey_user_group_does_not_guard_redis(ctx: Context) -> None:
    with pytest.raises(InvalidParameterCombination, match="engine valkey"):
        changed(ctx, a_group(engine="redis"), user_group_ids_to_add=["vapp"])
    assert changed(ctx, a_group(), user_group_ids_to_add=["app"]).guard.user_group == "app"


def test_both_need_encryption_unless_the_settings_say_otherwise(ctx: Context) -> None:
    strict = replace(ctx, access_without_tls=False)
    for asked in ({"auth_token": A}, {"user_group_ids_to_add": ["app"]}):
        with pytest.raises(InvalidParameterCombination, match="TransitEncryptionEnabled"):
            changed(strict, a_group(), **asked)
    asked = CreateReplicationGroup(replication_group_id="g", replication_group_description="d", auth_token=A, user_group_ids=["app"])
    with pytest.raises(InvalidParameterCombination, match="with UserGroupIds"):
        guarded(ctx, a_group(), asked)


def test_what_is_new_has_a_password_of_its_own(ctx: Context) -> None:
    asked = CreateReplicationGroup(replication_group_id="g", replication_group_description="d")
    one, other = (guarded(ctx, a_group(), asked).access for _ in range(2))
    assert one is not None
    assert other is not None
    assert one.users == ()
    assert one.system.username == "cachewright"
    assert one.system.password != other.system.password
