"""Caches in integration tests: looked at with real clients, and put away in whatever state they are."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from botocore.exceptions import ClientError
from pymemcache.client.base import Client as Memcache
from waiting import wait_until

QUICK = {"Engine": "valkey", "EngineVersion": "8.1"}
"""The engine that starts and syncs fastest."""


def new_account() -> str:
    """An account that nobody else uses."""
    return str(uuid.uuid4().int)[:12]


def new_name(letter: str = "x") -> str:
    """A name that no other test uses, so that leftovers can be told apart."""
    return f"{letter}{uuid.uuid4().hex[:10]}"


def refused(call: Callable[[], Any], code: str, *fragments: str) -> ClientError:
    """The call fails with this code, and with every fragment in its message."""
    with pytest.raises(ClientError) as raised:
        call()
    error = raised.value.response["Error"]
    assert error["Code"] == code, error
    assert all(fragment in error["Message"] for fragment in fragments), error["Message"]
    assert 400 <= raised.value.response["ResponseMetadata"]["HTTPStatusCode"] < 500
    return raised.value


@contextlib.contextmanager
def connected(endpoint: Any) -> Iterator[redis.Redis]:
    """A client of a Redis or Valkey engine at an endpoint."""
    with redis.Redis(host=endpoint["Address"], port=endpoint["Port"], decode_responses=True) as engine:
        yield engine


@contextlib.contextmanager
def memcache(endpoint: Any) -> Iterator[Memcache]:
    """A client of a Memcached engine at an endpoint."""
    with contextlib.closing(Memcache((endpoint["Address"], endpoint["Port"]), connect_timeout=5, timeout=5)) as client:
        yield client


def describe_group(client: Any, name: str) -> Any:
    """A replication group as it is shown now."""
    return client.describe_replication_groups(ReplicationGroupId=name)["ReplicationGroups"][0]


def describe_cache_cluster(client: Any, name: str) -> Any:
    """A cache cluster with its nodes as it is shown now."""
    return client.describe_cache_clusters(CacheClusterId=name, ShowCacheNodeInfo=True)["CacheClusters"][0]


def remove_group(client: Any, name: str) -> None:
    """A replication group is gone, in whatever state it was."""
    with contextlib.suppress(client.exceptions.ReplicationGroupNotFoundFault):
        wait_until(lambda: describe_group(client, name)["Status"] not in ("creating", "modifying"), within=30)
        if describe_group(client, name)["Status"] != "deleting":
            client.delete_replication_group(ReplicationGroupId=name)
        client.get_waiter("replication_group_deleted").wait(ReplicationGroupId=name)


def remove_cache_cluster(client: Any, name: str) -> None:
    """A stand-alone cache cluster is gone, in whatever state it was."""
    settled = ("available", "deleting", "create-failed", "restore-failed")
    with contextlib.suppress(client.exceptions.CacheClusterNotFoundFault):
        wait_until(lambda: describe_cache_cluster(client, name)["CacheClusterStatus"] in settled, within=30)
        if describe_cache_cluster(client, name)["CacheClusterStatus"] != "deleting":
            client.delete_cache_cluster(CacheClusterId=name)
        client.get_waiter("cache_cluster_deleted").wait(CacheClusterId=name)


def remove_everything(client: Any) -> None:
    """Every cache of an account is gone."""
    for group in client.describe_replication_groups()["ReplicationGroups"]:
        remove_group(client, group["ReplicationGroupId"])
    for found in client.describe_cache_clusters(ShowCacheClustersNotInReplicationGroups=True)["CacheClusters"]:
        remove_cache_cluster(client, found["CacheClusterId"])
