"""The stand-in for Terraform's provider is worth what it notices: each wrong answer that users of a service have met must show."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from caches import new_account, remove_everything
from integration.terraform import patience
from integration.terraform.cache_cluster import AVAILABLE as CACHE_CLUSTER_AVAILABLE
from integration.terraform.cache_cluster import CacheCluster, NilPointer, may_pass
from integration.terraform.engine_version import UnreadableVersion, read_version
from integration.terraform.lookup import TooManyResults
from integration.terraform.patience import GONE, StateChange, UnexpectedState, retried
from integration.terraform.replication_group import DELETED, ReplicationGroup
from integration.terraform.resource import Resource

from cachewright import LocalServer

Spoil = Callable[[Any], Any]

CLUSTERS, GROUPS = "DescribeCacheClusters", "DescribeReplicationGroups"


@pytest.fixture(scope="module")
def account() -> str:
    return new_account()


@pytest.fixture(scope="module")
def truthful(server: LocalServer, account: str) -> Iterator[Any]:
    """A client that changes nothing of what it is told."""
    client = server.client(account_id=account)
    yield client
    remove_everything(client)


GROUP: dict[str, Any] = {
    "replication_group_id": "judged", "description": "d", "engine": "valkey", "engine_version": "8.1", "node_type": "cache.t4g.small",
    "num_cache_clusters": 2, "automatic_failover_enabled": True, "security_group_ids": ["sg-0a"], "snapshot_window": "01:00-02:00",
}  # fmt: skip
SPREAD: dict[str, Any] = {
    "cluster_id": "spread",
    "engine": "memcached",
    "node_type": "cache.t3.micro",
    "num_cache_nodes": 2,
    "az_mode": "cross-az",
}
ALONE: dict[str, Any] = {"cluster_id": "alone", "engine": "redis", "node_type": "cache.t3.micro", "engine_version": "7.1"}


@pytest.fixture(scope="module")
def applied(truthful: Any) -> dict[str, tuple[Resource, dict[str, Any]]]:
    """A resource of each kind, applied to its configuration and without a plan."""
    made: dict[str, tuple[Resource, dict[str, Any]]] = {
        "group": (ReplicationGroup(truthful), GROUP),
        "spread": (CacheCluster(truthful), SPREAD),
        "alone": (CacheCluster(truthful), ALONE),
    }
    for resource, config in made.values():
        resource.apply(config)
        assert resource.plan(config) == {}
    return made


@pytest.fixture
def lying(server: LocalServer, account: str) -> Callable[[str, Spoil], Any]:
    """A client that spoils the answers of one operation before anybody reads them."""

    def client_of(operation: str, spoil: Spoil) -> Any:
        client = server.client(account_id=account)

        def spoiled(parsed: Any, **_: Any) -> None:
            for each in [*parsed.get("CacheClusters", []), *parsed.get("ReplicationGroups", [])]:
                spoil(each)

        client.meta.events.register(f"after-call.elasticache.{operation}", spoiled)
        return client

    return client_of


def as_seen_by(client: Any, resource: Resource) -> Resource:
    seen = type(resource)(client)
    seen.id, seen.state = resource.id, dict(resource.state)
    return seen


@pytest.mark.parametrize(
    ("kind", "operation", "spoil", "shows"),
    [
        ("group", GROUPS, lambda g: g["MemberClusters"].pop(), "num_cache_clusters"),
        ("group", GROUPS, lambda g: g.update(AutomaticFailover="disabled"), "automatic_failover_enabled"),
        ("group", GROUPS, lambda g: g.pop("SnapshotWindow"), "snapshot_window"),
        ("group", GROUPS, lambda g: g.update(Description="D"), "description"),
        ("group", CLUSTERS, lambda c: c.update(Engine="redis"), "engine"),
        ("group", CLUSTERS, lambda c: c.update(EngineVersion="8.2.0"), "engine_version"),
        ("group", CLUSTERS, lambda c: c.update(SecurityGroups=[]), "security_group_ids"),
        ("group", CLUSTERS, lambda c: c.update(CacheNodeType="cache.t4g.micro"), "node_type"),
        ("spread", CLUSTERS, lambda c: c.update(PreferredAvailabilityZone="us-east-1a"), "az_mode"),
        ("spread", CLUSTERS, lambda c: c.update(NumCacheNodes=1), "num_cache_nodes"),
        ("alone", CLUSTERS, lambda c: c.update(AutoMinorVersionUpgrade=False), "auto_minor_version_upgrade"),
    ],
)
def test_a_wrong_field_is_an_endless_diff(
    applied: Any, lying: Callable[[str, Spoil], Any], kind: str, operation: str, spoil: Spoil, shows: str
) -> None:
    resource, config = applied[kind]
    assert set(as_seen_by(lying(operation, spoil), resource).plan(config)) == {shows}


@pytest.mark.parametrize(
    ("kind", "operation", "spoil", "error"),
    [
        ("alone", CLUSTERS, lambda c: c["CacheNodes"][0].pop("CustomerAvailabilityZone", None), NilPointer),
        ("spread", CLUSTERS, lambda c: c["CacheNodes"][1].pop("Endpoint", None), NilPointer),
        ("spread", CLUSTERS, lambda c: c["CacheNodes"][1]["Endpoint"].pop("Port", None), NilPointer),
        ("alone", CLUSTERS, lambda c: c["CacheNodes"][0].pop("Endpoint", None), KeyError),
        ("alone", CLUSTERS, lambda c: c.update(EngineVersion="7"), UnreadableVersion),
        ("group", CLUSTERS, lambda c: c.update(EngineVersion=""), UnreadableVersion),
        ("group", GROUPS, lambda g: g.update(NodeGroups=[]), IndexError),
    ],
)
def test_a_missing_field_is_an_error(
    applied: Any, lying: Callable[[str, Spoil], Any], kind: str, operation: str, spoil: Spoil, error: type[Exception]
) -> None:
    resource, config = applied[kind]
    seen = as_seen_by(lying(operation, spoil), resource)
    with pytest.raises(error):
        seen.plan(config)


def test_a_configuration_endpoint_outside_cluster_mode_hides_the_primary(applied: Any, lying: Callable[[str, Spoil], Any]) -> None:
    resource, config = applied["group"]
    wrong = {"Address": "127.0.0.1", "Port": 6379}
    seen = as_seen_by(lying(GROUPS, lambda group: group.update(ConfigurationEndpoint=wrong)), resource)
    seen.plan(config)
    assert "primary_endpoint_address" in resource.state
    assert "primary_endpoint_address" not in seen.state


def test_an_answer_with_more_than_was_asked_for_is_an_error(applied: Any, server: LocalServer, account: str) -> None:
    resource, config = applied["alone"]
    client = server.client(account_id=account)
    client.meta.events.register(
        "provide-client-params.elasticache.DescribeCacheClusters", lambda params, **_: dict(params, CacheClusterId="")
    )
    with pytest.raises(TooManyResults):
        as_seen_by(client, resource).plan(config)


@pytest.mark.parametrize(
    ("waiting", "states", "error"),
    [
        (StateChange({"creating"}, {"available"}), ["creating", "available"], None),
        (StateChange({"creating"}, {"available"}), ["creating", "create-failed"], UnexpectedState),
        (StateChange({"creating"}, {"available"}), ["", "available"], UnexpectedState),
        (StateChange({"creating"}, {"available"}), [GONE, "creating", "available"], None),
        (StateChange({"deleting"}), ["deleting", GONE], None),
        (DELETED, ["modifying", GONE], UnexpectedState),
        (DELETED, ["available", "deleting", GONE], None),
        (CACHE_CLUSTER_AVAILABLE, ["rebooting cache cluster nodes", "available"], UnexpectedState),
    ],
)
def test_a_wait_takes_no_state_that_it_does_not_know(waiting: StateChange, states: list[str], error: type[Exception] | None) -> None:
    shown = iter(states)
    if error is None:
        waiting.wait(lambda: next(shown))
        assert list(shown) == []
    else:
        with pytest.raises(error):
            waiting.wait(lambda: next(shown))


@pytest.mark.parametrize(
    ("engine", "shown", "configured", "read"),
    [
        ("redis", "7.1.0", "7.1", "7.1"),
        ("redis", "6.2.6", "6.x", "6.x"),
        ("redis", "6.2.6", None, "6.2"),
        ("redis", "5.0.6", "5.0.6", "5.0.6"),
        ("valkey", "8.1.0", "8.1", "8.1"),
        ("memcached", "1.6.22", "1.6.22", "1.6.22"),
    ],
)
def test_a_version_is_read_as_a_request_would_name_it(engine: str, shown: str, configured: str | None, read: str) -> None:
    assert read_version(engine, shown, configured) == read


def failure(code: str, message: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, "AnyOperation")


BUSY = failure("InvalidCacheClusterState", "Cache cluster x is snapshotting")
PRIMARY = failure("InvalidCacheClusterState", "Cache cluster x is serving as primary for replication group y")


@pytest.mark.parametrize(
    ("failures", "raised"),
    [
        ([], None),
        ([BUSY, BUSY], None),
        ([BUSY, PRIMARY], PRIMARY),
        ([BUSY] * 1000, BUSY),
        ([failure("AccessDenied", "no")], "AccessDenied"),
    ],
)
def test_a_delete_is_tried_again_only_while_that_may_help(
    monkeypatch: pytest.MonkeyPatch, failures: list[ClientError], raised: ClientError | str | None
) -> None:
    monkeypatch.setattr(patience, "MINUTE", 0.1)
    left = iter(failures)

    def delete() -> None:
        if failed := next(left, None):
            raise failed

    if raised is None:
        retried(delete, 5, may_pass)
        assert list(left) == []
    else:
        with pytest.raises(ClientError) as ended:
            retried(delete, 5, may_pass)
        assert raised in (ended.value, ended.value.response["Error"]["Code"])
