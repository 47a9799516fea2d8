"""Topics and log deliveries as Terraform's provider configures and reads them: nothing is left to plan after an apply."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from caches import new_account, new_name, remove_everything
from integration.terraform.cache_cluster import CacheCluster
from integration.terraform.replication_group import ReplicationGroup

from cachewright import LocalServer

SLOW = {"destination": "/caches/slow", "destination_type": "cloudwatch-logs", "log_format": "text", "log_type": "slow-log"}
ENGINE = {"destination": "stream", "destination_type": "kinesis-firehose", "log_format": "json", "log_type": "engine-log"}
CHANGES: list[dict[str, Any]] = [
    {"log_delivery_configuration": [{**SLOW, "log_format": "json"}, ENGINE]},
    {"log_delivery_configuration": [ENGINE]},
    {"notification_topic_arn": "other"},
    {"notification_topic_arn": None},
    {"notification_topic_arn": "topic", "log_delivery_configuration": [SLOW]},
    {"log_delivery_configuration": []},
]
GROUP = {"engine": "valkey", "node_type": "cache.t4g.small", "description": "d", "num_cache_clusters": 2}


@pytest.fixture(scope="module")
def account() -> str:
    return new_account()


@pytest.fixture(scope="module")
def elasticache(server: LocalServer, account: str) -> Iterator[Any]:
    client = server.client(account_id=account)
    yield client
    remove_everything(client)


def with_topic(config: dict[str, Any], account: str) -> dict[str, Any]:
    topic = config.get("notification_topic_arn")
    return {**config, "notification_topic_arn": f"arn:aws:sns:us-east-1:{account}:{topic}" if topic else None}


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        (CacheCluster, {"engine": "redis", "node_type": "cache.t3.micro", "cluster_id": "c"}),
        (ReplicationGroup, {**GROUP, "replication_group_id": "g"}),
    ],
    ids=["cluster", "group"],
)
def test_deliveries_are_made_changed_and_taken_away(elasticache: Any, account: str, kind: Any, config: dict[str, Any]) -> None:
    name = "cluster_id" if kind is CacheCluster else "replication_group_id"
    config = {**config, name: new_name(), "apply_immediately": True, "log_delivery_configuration": [ENGINE, SLOW]}
    config["notification_topic_arn"] = "topic"
    resource = kind.applied(elasticache, with_topic(config, account))
    assert resource.plan(with_topic(config, account)) == {}
    for changed in CHANGES:
        config = {**config, **changed}
        assert set(resource.apply(with_topic(config, account))) == set(changed)
        assert resource.plan(with_topic(config, account)) == {}, changed
    assert resource.state["log_delivery_configuration"] == []
    resource.destroy()
