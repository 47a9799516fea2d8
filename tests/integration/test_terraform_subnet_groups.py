"""``aws_elasticache_subnet_group`` as Terraform's provider treats it."""

from __future__ import annotations

from typing import Any

import pytest
from caches import refused
from integration.terraform.subnet_group import SubnetGroup

SUBNETS = ["subnet-0c", "subnet-0a", "subnet-0b"]


@pytest.mark.parametrize(
    "config",
    [
        {"name": "one", "subnet_ids": ["subnet-0a1b2c3d"]},
        {"name": "Mixed-Case", "subnet_ids": SUBNETS},
        {"name": "told", "subnet_ids": SUBNETS, "description": "for <orders> & co"},
        {"name": "tagged", "subnet_ids": SUBNETS[:2], "tags": {"team": "web", "Empty": ""}},
        {"name": "twice", "subnet_ids": ["subnet-0a", "subnet-0a"]},
    ],
    ids=lambda config: config["name"],
)
def test_a_subnet_group_is_as_it_was_configured(elasticache: Any, config: dict[str, Any]) -> None:
    group = SubnetGroup(elasticache)
    assert set(group.apply(config)) == set(config) | {"description"}
    assert group.plan(config) == {}
    assert SubnetGroup.imported(elasticache, group.id).plan(config) == {}
    assert group.id == config["name"].lower()
    assert group.state["vpc_id"].startswith("vpc-")
    assert group.state["arn"].endswith(f":subnetgroup:{group.id}")
    group.destroy()
    refused(
        lambda: elasticache.describe_cache_subnet_groups(CacheSubnetGroupName=config["name"]), "CacheSubnetGroupNotFoundFault", "not found"
    )


def test_a_subnet_group_is_updated_in_place(elasticache: Any) -> None:
    before = {"name": "own", "subnet_ids": SUBNETS[:2], "tags": {"a": "1", "b": "2", "c": "3"}}
    group = SubnetGroup(elasticache)
    group.apply(before)
    arn = group.state["arn"]
    after = {"name": "own", "subnet_ids": SUBNETS, "description": "wider", "tags": {"a": "1", "b": "other", "d": "4"}}
    assert set(group.apply(after)) == {"subnet_ids", "description", "tags"}
    assert group.plan(after) == {}
    assert group.state["arn"] == arn
    assert set(group.apply(before)) == {"subnet_ids", "description", "tags"}
    assert group.plan(before) == {}


def test_a_new_name_makes_a_new_subnet_group(elasticache: Any) -> None:
    group = SubnetGroup(elasticache)
    group.apply({"name": "old", "subnet_ids": SUBNETS})
    plan = group.apply({"name": "new", "subnet_ids": SUBNETS})
    assert plan["name"].replaces
    names = {each["CacheSubnetGroupName"] for each in elasticache.describe_cache_subnet_groups()["CacheSubnetGroups"]}
    assert names == {"default", "new"}


def test_what_happened_behind_the_back_is_in_the_plan(elasticache: Any) -> None:
    config = {"name": "watched", "subnet_ids": SUBNETS, "tags": {"a": "1"}}
    group = SubnetGroup(elasticache)
    group.apply(config)
    elasticache.modify_cache_subnet_group(CacheSubnetGroupName="watched", SubnetIds=SUBNETS[:1])
    elasticache.add_tags_to_resource(ResourceName=group.state["arn"], Tags=[{"Key": "a", "Value": "2"}])
    assert set(group.plan(config)) == {"subnet_ids", "tags"}
    group.apply(config)
    assert group.plan(config) == {}
    elasticache.delete_cache_subnet_group(CacheSubnetGroupName="watched")
    assert "name" in group.plan(config)
    assert group.id == ""
    group.apply(config)
    assert group.plan(config) == {}
    elasticache.delete_cache_subnet_group(CacheSubnetGroupName="watched")
    group.id = "watched"
    group.destroy()  # gone already: no error
