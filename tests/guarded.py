"""Caches that users guard: made through boto3, and asked whom they let in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.exceptions import NoPermissionError
from redis.retry import Retry
from waiting import wait_until

from cachewright import LocalServer, local_server

ALICE, OTHER, SHUT = "alices-first-password", "alices-other-password", "nobody-knows-this-one"
WITHOUT_TLS = "CACHEWRIGHT_ACCESS_WITHOUT_TLS"


@contextmanager
def guarding_server() -> Iterator[LocalServer]:
    """A server that lets users guard what is not encrypted."""
    with ExitStack() as stack:
        with pytest.MonkeyPatch.context() as environment:  # for this server alone
            environment.setenv(WITHOUT_TLS, "true")
            running = stack.enter_context(local_server())
        yield running


def have_users(cloud: Any, **access: str) -> None:
    for name, string in access.items():
        cloud.create_user(UserId=name, UserName=name, Engine="redis", AccessString=string, Passwords=[ALICE])


def have_group(cloud: Any, group: str, *users: str) -> None:
    """A user group of these users, whose default user is off."""
    cloud.create_user(UserId=f"{group}-off", UserName="default", Engine="redis", AccessString="off -@all", Passwords=[SHUT])
    cloud.create_user_group(UserGroupId=group, Engine="redis", UserIds=[f"{group}-off", *users])


def have_cache(cloud: Any, name: str, nodes: int = 2, **wanted: Any) -> None:
    usual = {"Engine": "valkey", "NumCacheClusters": nodes, "AutomaticFailoverEnabled": nodes > 1}
    usual = {key: value for key, value in usual.items() if key != "NumCacheClusters" or "NumNodeGroups" not in wanted}
    cloud.create_replication_group(ReplicationGroupId=name, ReplicationGroupDescription="d", **{**usual, **wanted})
    available(cloud, name)


def available(cloud: Any, name: str) -> Any:
    cloud.get_waiter("replication_group_available").wait(ReplicationGroupId=name)
    return cloud.describe_replication_groups(ReplicationGroupId=name)["ReplicationGroups"][0]


def is_active(cloud: Any, user: str) -> bool:
    return bool(cloud.describe_users(UserId=user)["Users"][0]["Status"] == "active")


def group_active(cloud: Any, group: str) -> None:
    wait_until(lambda: cloud.describe_user_groups(UserGroupId=group)["UserGroups"][0]["Status"] == "active", within=20)


def nodes(cloud: Any, name: str) -> list[tuple[str, int]]:
    shown = cloud.describe_cache_clusters(ShowCacheNodeInfo=True)["CacheClusters"]
    places = [each["CacheNodes"][0]["Endpoint"] for each in shown if each.get("ReplicationGroupId") == name and each.get("CacheNodes")]
    return [(place["Address"], place["Port"]) for place in places]


@contextmanager
def come_in(place: tuple[str, int], user: str | None, password: str | None) -> Iterator[redis.Redis]:
    never = Retry(NoBackoff(), 0)  # to be kept out is no reason to try again
    with redis.Redis(*place, username=user, password=password, decode_responses=True, protocol=2, retry=never) as engine:
        yield engine


def lets_in(place: tuple[str, int], user: str | None = None, password: str | None = None) -> bool:
    """Whether somebody who says that may do anything there."""
    with come_in(place, user, password) as engine:
        try:
            engine.execute_command("PING")
        except (redis.AuthenticationError, NoPermissionError):
            return False
        return True


def who_may(cloud: Any, name: str, user: str | None = None, password: str | None = None) -> set[bool]:
    return {lets_in(place, user, password) for place in nodes(cloud, name)}
