"""Tags: on which resources, within which limits, and in which state of the resource."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest
from factories import WORLD, a_cache_cluster, a_group, have

from api_schemas.faults import (
    CacheClusterNotFound,
    CacheParameterGroupNotFound,
    CacheSecurityGroupNotFound,
    CacheSubnetGroupNotFound,
    Fault,
    GlobalReplicationGroupNotFound,
    InvalidARN,
    InvalidParameterValue,
    InvalidReplicationGroupState,
    ReplicationGroupNotFound,
    ReservedCacheNodeNotFound,
    ServerlessCacheNotFound,
    ServerlessCacheSnapshotNotFound,
    SnapshotNotFound,
    TagNotFound,
    TagQuotaPerResourceExceeded,
    UserGroupNotFound,
    UserNotFound,
)
from api_schemas.parts import Tag
from api_schemas.tag import AddTagsToResource, ListTagsForResource, RemoveTagsFromResource, TagList
from controlplane.domain.topology import Topology, World
from controlplane.operations.context import Context
from controlplane.operations.tagging import checked_tags, copy_to_members, tag_new
from controlplane.operations.tags import add_tags_to_resource, list_tags_for_resource, remove_tags_from_resource

HERE = "arn:aws:elasticache:us-east-1:000000000000"
ORDERS, FIRST = f"{HERE}:replicationgroup:orders", f"{HERE}:cluster:orders-001"
SESSIONS, SUBNETS = f"{HERE}:cluster:sessions", f"{HERE}:subnetgroup:default"


def as_dict(answer: TagList) -> dict[str, str]:
    return {tag.key: tag.value for tag in answer.tag_list}


def add(ctx: Context, arn: str, **tags: str) -> dict[str, str]:
    asked = AddTagsToResource(resource_name=arn, tags=[Tag(key=key, value=value) for key, value in tags.items()])
    return as_dict(add_tags_to_resource(ctx, asked))


def remove(ctx: Context, arn: str, *keys: str) -> dict[str, str]:
    return as_dict(remove_tags_from_resource(ctx, RemoveTagsFromResource(resource_name=arn, tag_keys=list(keys))))


def tags_of(ctx: Context, arn: str) -> dict[str, str]:
    return as_dict(list_tags_for_resource(ctx, ListTagsForResource(resource_name=arn)))


def calls(ctx: Context, arn: str) -> list[Callable[[], dict[str, str]]]:
    """Each of the three operations on that ARN, the one that only reads last."""
    return [partial(add, ctx, arn, k="v"), partial(remove, ctx, arn, "k"), partial(tags_of, ctx, arn)]


# ---- Adding and removing ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("arn", [ORDERS, FIRST, SESSIONS, SUBNETS])
def test_each_answer_is_the_whole_list(ctx: Context, arn: str) -> None:
    have(ctx, a_group("orders"), a_cache_cluster("sessions"))
    assert tags_of(ctx, arn) == {}
    assert add(ctx, arn, team="shop", stage="prod") == {"stage": "prod", "team": "shop"}
    assert add(ctx, arn, team="pay") == {"stage": "prod", "team": "pay"}
    assert remove(ctx, arn, "stage") == {"team": "pay"}
    assert tags_of(ctx, arn) == {"team": "pay"}


def test_keys_differ_by_case(ctx: Context) -> None:
    assert add(ctx, SUBNETS, team="a", Team="b") == {"Team": "b", "team": "a"}


def test_tags_of_a_group_go_to_its_members(ctx: Context) -> None:
    have(ctx, a_group("orders", nodes=2))
    add(ctx, FIRST, own="yes")
    add(ctx, ORDERS, team="shop", stage="prod")
    remove(ctx, ORDERS, "stage")
    assert tags_of(ctx, FIRST) == {"own": "yes", "team": "shop"}
    assert tags_of(ctx, f"{HERE}:cluster:orders-002") == {"team": "shop"}


def test_tags_of_a_member_are_its_own(ctx: Context) -> None:
    have(ctx, a_group("orders"))
    add(ctx, FIRST, own="yes")
    assert tags_of(ctx, ORDERS) == {}


def test_a_key_that_is_not_there_removes_nothing(ctx: Context) -> None:
    add(ctx, SUBNETS, team="shop")
    with pytest.raises(TagNotFound, match="Tag stage not found"):
        remove(ctx, SUBNETS, "team", "stage")
    assert tags_of(ctx, SUBNETS) == {"team": "shop"}


# ---- Limits -------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("tags", "fault"),
    [
        ([("", "x")], InvalidParameterValue),
        ([("k" * 129, "x")], InvalidParameterValue),
        ([("k", "v" * 257)], InvalidParameterValue),
        ([("aws:cloudformation:stack", "x")], InvalidParameterValue),
        ([("AWS:x", "x")], InvalidParameterValue),
        ([("k", "1"), ("k", "2")], InvalidParameterValue),
        ([(f"k{number}", "") for number in range(51)], TagQuotaPerResourceExceeded),
    ],
)  # fmt: skip
def test_what_is_refused(tags: list[tuple[str, str]], fault: type[Fault]) -> None:
    with pytest.raises(fault):
        checked_tags([Tag(key=key, value=value) for key, value in tags])


def test_what_is_just_within_the_limits() -> None:
    longest = {"k" * 128: "v" * 256, "awsome": "", **{f"k{number}": "" for number in range(48)}}
    assert checked_tags([Tag(key=key, value=value) for key, value in longest.items()]) == longest


def test_fifty_tags_in_all(ctx: Context) -> None:
    add(ctx, SUBNETS, **{f"k{number}": "" for number in range(50)})
    assert add(ctx, SUBNETS, k7="again")["k7"] == "again"
    with pytest.raises(TagQuotaPerResourceExceeded, match="at most 50"):
        add(ctx, SUBNETS, one="more")


# ---- Names --------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "arn",
    [
        "",
        "orders",
        "arn:aws:elasticache:us-east-1:000000000000",
        f"{HERE}:cluster",
        f"{HERE}:cluster:",
        f"{HERE}:queue:orders",
        "arn:aws:elasticache:eu-west-1:000000000000:cluster:sessions",
        "arn:aws:elasticache:us-east-1:111111111111:cluster:sessions",
        "arn:aws-cn:elasticache:us-east-1:000000000000:cluster:sessions",
        "arn:aws:elasticache::000000000000:cluster:sessions",
        "arn:aws:rds:us-east-1:000000000000:cluster:sessions",
        "urn:aws:elasticache:us-east-1:000000000000:cluster:sessions",
        f"{HERE}:globalreplicationgroup:worldwide",
    ],
)
def test_what_is_not_an_arn_of_this_account_and_region(ctx: Context, arn: str) -> None:
    have(ctx, a_cache_cluster("sessions"))
    for call in calls(ctx, arn):
        with pytest.raises(InvalidARN):
            call()


@pytest.mark.parametrize(
    ("resource", "fault"),
    [
        ("cluster:gone", CacheClusterNotFound),
        ("cluster:orders", CacheClusterNotFound),
        ("replicationgroup:gone", ReplicationGroupNotFound),
        ("replicationgroup:sessions", ReplicationGroupNotFound),
        ("subnetgroup:gone", CacheSubnetGroupNotFound),
        ("parametergroup:gone", CacheParameterGroupNotFound),
        ("securitygroup:default", CacheSecurityGroupNotFound),
        ("snapshot:automatic.orders-2026-07-01-03-00", SnapshotNotFound),
        ("user:alice", UserNotFound),
        ("usergroup:staff", UserGroupNotFound),
        ("serverlesscache:basket", ServerlessCacheNotFound),
        ("serverlesscachesnapshot:basket-1", ServerlessCacheSnapshotNotFound),
        ("reserved-instance:ri-2017-03-27-08-33-25-582", ReservedCacheNodeNotFound),
    ],
)
def test_a_resource_that_is_not_there(ctx: Context, resource: str, fault: type[Fault]) -> None:
    have(ctx, a_group("orders"), a_cache_cluster("sessions"))
    with pytest.raises(fault):
        tags_of(ctx, f"{HERE}:{resource}")


def test_a_global_datastore_is_in_no_region(ctx: Context) -> None:
    with pytest.raises(GlobalReplicationGroupNotFound):
        tags_of(ctx, "arn:aws:elasticache::000000000000:globalreplicationgroup:sgaui-worldwide")


@pytest.mark.parametrize(
    ("region", "partition"), [("cn-north-1", "aws-cn"), ("us-gov-west-1", "aws-us-gov"), ("eu-west-1", "aws")]
)
def test_a_region_has_its_partition(ctx: Context, region: str, partition: str) -> None:
    there = replace(ctx, world=World("000000000000", region))
    have(ctx, a_group("orders", world=there.world))
    assert add(there, f"arn:{partition}:elasticache:{region}:000000000000:replicationgroup:orders", k="v") == {"k": "v"}


def test_names_are_found_in_any_case(ctx: Context) -> None:
    have(ctx, a_group("orders"))
    assert add(ctx, f"{HERE}:replicationgroup:Orders", k="v") == tags_of(ctx, ORDERS)


def test_worlds_have_their_own_tags(ctx: Context) -> None:
    elsewhere = replace(ctx, world=replace(WORLD, account="111111111111"))
    add(ctx, SUBNETS, k="v")
    assert tags_of(elsewhere, "arn:aws:elasticache:us-east-1:111111111111:subnetgroup:default") == {}


def test_default_parameter_groups_keep_the_tags_they_have(ctx: Context) -> None:
    arn = f"{HERE}:parametergroup:default.valkey9"
    assert tags_of(ctx, arn) == {}
    for call in calls(ctx, arn)[:2]:
        with pytest.raises(InvalidParameterValue, match="default parameter group"):
            call()


# ---- States -------------------------------------------------------------------------------------------------------------
NOT_AVAILABLE = "Cluster not in available state to perform tagging operations."


@pytest.mark.parametrize(
    ("cache", "arn", "fault", "says"),
    [
        (a_group("orders", created=False), ORDERS, InvalidReplicationGroupState, NOT_AVAILABLE),
        (a_group("orders", created=False), FIRST, InvalidReplicationGroupState, NOT_AVAILABLE),
        (a_group("orders", modifying=True), ORDERS, InvalidReplicationGroupState, NOT_AVAILABLE),
        (a_group("orders", modifying=True), FIRST, InvalidReplicationGroupState, NOT_AVAILABLE),
        (a_group("orders").with_deletion(), ORDERS, InvalidReplicationGroupState, NOT_AVAILABLE),
        (a_group("orders").with_deletion(), FIRST, CacheClusterNotFound, "CacheCluster not found: orders-001"),
        (a_group("orders").with_deletion("orders-001"), FIRST, InvalidReplicationGroupState, NOT_AVAILABLE),
        (a_group("orders").with_departure_of(["orders-001"]), FIRST, CacheClusterNotFound, "CacheCluster not found: orders-001"),
        (a_cache_cluster("sessions", created=False), SESSIONS, InvalidReplicationGroupState, NOT_AVAILABLE),
        (a_cache_cluster("sessions").with_reboot_of(["0001"]), SESSIONS, InvalidReplicationGroupState, NOT_AVAILABLE),
        (a_cache_cluster("sessions").with_deletion(), SESSIONS, CacheClusterNotFound, "CacheCluster not found: sessions"),
    ],
)  # fmt: skip
def test_only_available_caches_are_tagged(ctx: Context, cache: Topology, arn: str, fault: type[Fault], says: str) -> None:
    have(ctx, cache)
    for call in calls(ctx, arn):
        with pytest.raises(fault, match=says):
            call()


# ---- What other operations do with tags ---------------------------------------------------------------------------------
def test_a_new_resource_does_not_inherit_from_one_of_its_name(ctx: Context) -> None:
    tag_new(ctx, ORDERS, [Tag(key="old", value="yes")])
    tag_new(ctx, ORDERS, [Tag(key="new", value="yes")])
    assert ctx.unit.tags.of(ORDERS) == {"new": "yes"}


def test_new_members_have_the_tags_of_their_group(ctx: Context) -> None:
    group = a_group("orders", nodes=3)
    have(ctx, group)
    tag_new(ctx, ORDERS, [Tag(key="team", value="shop")])
    copy_to_members(ctx, group, ["orders-003"])
    assert [bool(tags_of(ctx, f"{HERE}:cluster:orders-00{number}")) for number in (1, 2, 3)] == [False, False, True]
    copy_to_members(ctx, group)
    assert tags_of(ctx, FIRST) == {"team": "shop"}
