"""Ids, names and ARNs."""

from __future__ import annotations

import pytest

from api_schemas.faults import InvalidParameterValue
from controlplane.domain.naming import arn, cache_cluster_id, group_name, member_id, replication_group_id
from controlplane.domain.topology import World


@pytest.mark.parametrize(
    ("asked", "stored"),
    [
        ("orders", "orders"),
        ("Orders", "orders"),
        ("ORDERS-2", "orders-2"),
        ("a", "a"),
        ("a1-b2-c3", "a1-b2-c3"),
        ("x" * 50, "x" * 50),
    ],
)
def test_an_id_is_stored_in_lower_case(asked: str, stored: str) -> None:
    assert cache_cluster_id(asked) == stored


@pytest.mark.parametrize(
    "asked",
    [
        "", "1orders", "-orders", "orders-", "or--ders", "or_ders", "or.ders", "or ders", "örders", "orders\n", " orders",
        "orders/../x", "x" * 51,
    ],
)  # fmt: skip
def test_what_is_no_id(asked: str) -> None:
    with pytest.raises(InvalidParameterValue, match="The parameter CacheClusterId is not a valid identifier"):
        cache_cluster_id(asked)


def test_a_replication_group_has_a_shorter_id_and_is_called_so() -> None:
    assert replication_group_id("x" * 40) == "x" * 40
    with pytest.raises(InvalidParameterValue, match=r"The parameter ReplicationGroupId .* 1 to 40 "):
        replication_group_id("x" * 41)


def test_every_member_of_the_longest_group_has_a_valid_id() -> None:
    assert cache_cluster_id(member_id(replication_group_id("x" * 40), 6)) == f"{'x' * 40}-006"


@pytest.mark.parametrize(("number", "member"), [(1, "orders-001"), (12, "orders-012")])
def test_members_are_counted_with_three_digits(number: int, member: str) -> None:
    assert member_id("orders", number) == member


@pytest.mark.parametrize("asked", ["default", "My.Group_1", "a", "9-lives", "x" * 255])
def test_a_group_name(asked: str) -> None:
    assert group_name(asked, "CacheSubnetGroupName") == asked.lower()


@pytest.mark.parametrize("asked", ["", "-x", ".x", "x/y", "x ", "é", "x\n", "x" * 256])
def test_what_is_no_group_name(asked: str) -> None:
    with pytest.raises(InvalidParameterValue, match="The parameter CacheSubnetGroupName is not valid"):
        group_name(asked, "CacheSubnetGroupName")


@pytest.mark.parametrize(
    ("region", "partition"),
    [("us-east-1", "aws"), ("eu-central-1", "aws"), ("cn-north-1", "aws-cn"), ("us-gov-west-1", "aws-us-gov"), ("local-1", "aws")],
)
def test_an_arn_names_partition_region_and_account(region: str, partition: str) -> None:
    world = World("123456789012", region)
    assert arn(world, "cluster", "sessions") == f"arn:{partition}:elasticache:{region}:123456789012:cluster:sessions"
