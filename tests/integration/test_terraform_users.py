"""Users, user groups, associations and guarded replication groups as Terraform's provider treats them: no plan after an apply."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from guarded import ALICE, OTHER, guarding_server, who_may
from integration.terraform.replication_group import ReplicationGroup
from integration.terraform.user import User
from integration.terraform.user_group import UserGroup, UserGroupAssociation

from cachewright import LocalServer

FIRST, SECOND = "the-first-token-of-all", "the-second-token-of-all"


@pytest.fixture(scope="module")
def guarding() -> Iterator[LocalServer]:
    with guarding_server() as running:
        yield running


@pytest.fixture
def cloud(guarding: LocalServer) -> Any:
    return guarding.client(account_id=str(uuid.uuid4().int)[:12])


def user(cloud: Any, user_id: str, **config: Any) -> User:
    made = User(cloud)
    usual = {"user_id": user_id, "user_name": user_id, "engine": "redis", "access_string": "on ~* +@all", "passwords": [ALICE]}
    made.apply({**usual, **config})
    assert made.plan({**usual, **config}) == {}
    return made


@pytest.mark.parametrize(
    "config",
    [
        {"access_string": "on ~app:* -@all +@read +@hash", "passwords": [ALICE, OTHER]},
        {"access_string": "off ~* &* +@all -@dangerous", "engine": "VALKEY"},
        {"access_string": "on ~* +@all", "no_password_required": True, "passwords": None},
        {"access_string": "on ~* +@all", "user_name": "default", "tags": {"team": "web"}},
    ],
    ids=["read only", "valkey", "no password", "default"],
)  # fmt: skip
def test_a_user_is_as_it_was_configured(cloud: Any, config: dict[str, Any]) -> None:
    made = user(cloud, "alice", **config)
    after = {"user_id": "alice", "user_name": "alice", "engine": "redis", **config, "access_string": "on ~other:* -@all +get"}
    after = {**after, "passwords": config.get("passwords", [ALICE])}
    assert set(made.apply(after)) == {"access_string"}
    assert made.plan(after) == {}
    made.destroy()


def test_a_group_and_an_association_are_as_they_were_configured(cloud: Any) -> None:
    for each in ("alice", "bob"):
        user(cloud, each)
    config = {"user_group_id": "app", "engine": "REDIS", "user_ids": ["default", "alice"]}
    group = UserGroup(cloud)
    group.apply(config)
    assert group.plan(config) == {}
    association = UserGroupAssociation(cloud)
    association.apply({"user_group_id": "app", "user_id": "bob"})
    assert association.plan({"user_group_id": "app", "user_id": "bob"}) == {}
    association.destroy()
    after = {**config, "user_ids": ["default", "bob"]}
    assert set(group.apply(after)) == {"user_ids"}
    assert group.plan(after) == {}
    group.destroy()


def test_a_guarded_group_is_as_it_was_configured(cloud: Any) -> None:
    user(cloud, "alice")
    for name in ("one", "two"):
        UserGroup(cloud).apply({"user_group_id": name, "engine": "redis", "user_ids": ["default", "alice"]})
    config = {"replication_group_id": "orders", "description": "d", "engine": "valkey", "num_cache_clusters": 1, "apply_immediately": True,
              "node_type": "cache.t4g.small", "user_group_ids": ["one"]}  # fmt: skip
    group = ReplicationGroup(cloud)
    group.apply(config)
    assert group.plan(config) == {}
    after = {**config, "user_group_ids": ["two"]}
    assert set(group.apply(after)) == {"user_group_ids"}
    assert group.plan(after) == {}
    group.destroy()


def test_a_token_is_kept_and_rotated(cloud: Any) -> None:
    config = {"replication_group_id": "orders", "description": "d", "engine": "valkey", "num_cache_clusters": 1,
              "node_type": "cache.t4g.small", "auth_token": FIRST}  # fmt: skip
    group = ReplicationGroup(cloud)
    group.apply(config)
    assert group.plan(config) == {}
    after = {**config, "auth_token": SECOND, "auth_token_update_strategy": "ROTATE"}
    assert set(group.apply(after)) == {"auth_token", "auth_token_update_strategy"}
    assert group.plan(after) == {}
    assert who_may(cloud, "orders", password=FIRST) == who_may(cloud, "orders", password=SECOND) == {True}
    group.apply({**after, "auth_token_update_strategy": "SET"})
    assert (who_may(cloud, "orders", password=FIRST), who_may(cloud, "orders", password=SECOND)) == ({False}, {True})
