"""Cache subnet groups: names, subnets and their zones, what is in use."""

from __future__ import annotations

from dataclasses import replace

import pytest
from factories import NOW, WORLD, a_cache_cluster, a_group, an_agent, have

from api_schemas.faults import (
    CacheSubnetGroupAlreadyExists,
    CacheSubnetGroupInUse,
    CacheSubnetGroupNotFound,
    CacheSubnetGroupQuotaExceeded,
    CacheSubnetQuotaExceeded,
    Fault,
    InvalidParameterValue,
    InvalidSubnet,
    SubnetInUse,
)
from api_schemas.parts import Tag
from api_schemas.subnet_group import (
    CacheSubnetGroup,
    CreateCacheSubnetGroup,
    DeleteCacheSubnetGroup,
    DescribeCacheSubnetGroups,
    ModifyCacheSubnetGroup,
)
from controlplane.domain.subnet_group import SubnetGroup
from controlplane.domain.topology import Topology
from controlplane.operations.context import Context
from controlplane.operations.subnet_groups import (
    create_cache_subnet_group,
    delete_cache_subnet_group,
    describe_cache_subnet_groups,
    modify_cache_subnet_group,
)

A, B, C, D = (f"subnet-0000000{letter}" for letter in "abcd")
ARN = "arn:aws:elasticache:us-east-1:000000000000:subnetgroup:"


def create(ctx: Context, name: str = "private", subnets: tuple[str, ...] = (A, B), **fields: object) -> CacheSubnetGroup:
    asked = {"cache_subnet_group_name": name, "cache_subnet_group_description": "ours", "subnet_ids": subnets, **fields}
    return create_cache_subnet_group(ctx, CreateCacheSubnetGroup.model_validate(asked)).cache_subnet_group


def modify(ctx: Context, name: str, **fields: object) -> CacheSubnetGroup:
    asked = ModifyCacheSubnetGroup.model_validate({"cache_subnet_group_name": name, **fields})
    return modify_cache_subnet_group(ctx, asked).cache_subnet_group


def delete(ctx: Context, name: str) -> None:
    delete_cache_subnet_group(ctx, DeleteCacheSubnetGroup(cache_subnet_group_name=name))


def shown(ctx: Context, name: str | None = None) -> list[CacheSubnetGroup]:
    return describe_cache_subnet_groups(ctx, DescribeCacheSubnetGroups(cache_subnet_group_name=name)).cache_subnet_groups


def names(ctx: Context) -> list[str]:
    return [group.cache_subnet_group_name for group in shown(ctx)]


def subnets(group: CacheSubnetGroup) -> dict[str, str]:
    return {each.subnet_identifier: each.subnet_availability_zone.name for each in group.subnets}


# ---- Create -------------------------------------------------------------------------------------------------------------
def test_a_new_group_is_shown_as_it_was_asked_for(ctx: Context) -> None:
    created = create(ctx, "Private")
    assert shown(ctx, "PRIVATE") == [created]
    assert (created.cache_subnet_group_name, created.cache_subnet_group_description) == ("private", "ours")
    assert created.arn == f"{ARN}private"
    assert created.supported_network_types == ["ipv4"]
    assert [each.supported_network_types for each in created.subnets] == [["ipv4"], ["ipv4"]]


@pytest.mark.parametrize(
    ("letters", "zones"),
    [
        ("", ["us-east-1a", "us-east-1b", "us-east-1c", "us-east-1a"]),
        ("cca", ["us-east-1a", "us-east-1c", "us-east-1a", "us-east-1c"]),
        ("b", ["us-east-1b"] * 4),
    ],
)
def test_each_subnet_has_a_zone_that_an_agent_is_in(ctx: Context, letters: str, zones: list[str]) -> None:
    for number, letter in enumerate(letters):
        ctx.unit.agents.put(an_agent(f"agent-{number}", letter))
    assert list(subnets(create(ctx, subnets=(A, B, C, D))).values()) == zones


def test_a_subnet_that_is_given_twice_counts_once(ctx: Context) -> None:
    assert list(subnets(create(ctx, subnets=(A, B, A)))) == [A, B]


def test_tags_come_with_it(ctx: Context) -> None:
    create(ctx, tags=[Tag(key="team", value="shop")])
    assert ctx.unit.tags.of(f"{ARN}private") == {"team": "shop"}


def test_a_vpc_is_the_same_for_all_groups_of_a_world_and_no_other(ctx: Context) -> None:
    elsewhere = replace(ctx, world=replace(WORLD, region="eu-west-1"))
    here = {create(ctx).vpc_id, shown(ctx, "default")[0].vpc_id}
    assert len(here) == 1
    assert shown(elsewhere, "default")[0].vpc_id not in here
    assert names(elsewhere) == ["default"]


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"name": "default"}, CacheSubnetGroupAlreadyExists),
        ({"name": "PRIVATE"}, CacheSubnetGroupAlreadyExists),
        ({"name": ""}, InvalidParameterValue),
        ({"name": "no/slash"}, InvalidParameterValue),
        ({"name": "x" * 256}, InvalidParameterValue),
        ({"name": "b", "subnets": ()}, InvalidSubnet),
        ({"name": "b", "subnets": ("vpc-12345678",)}, InvalidSubnet),
        ({"name": "b", "subnets": (A, "subnet-")}, InvalidSubnet),
        ({"name": "b", "subnets": (f"subnet-{'0' * 41}",)}, InvalidSubnet),
        ({"name": "b", "subnets": tuple(f"subnet-{number:08x}" for number in range(21))}, CacheSubnetQuotaExceeded),
        ({"name": "b", "tags": [Tag(key="aws:team")]}, InvalidParameterValue),
    ],
)  # fmt: skip
def test_what_is_refused(ctx: Context, fields: dict[str, object], fault: type[Fault]) -> None:
    create(ctx, "private")
    with pytest.raises(fault):
        create(ctx, **fields)  # type: ignore[arg-type]


def test_twenty_subnets_are_not_too_many(ctx: Context) -> None:
    assert len(create(ctx, subnets=tuple(f"subnet-{number:08x}" for number in range(20))).subnets) == 20


def test_three_hundred_groups_are_enough(ctx: Context) -> None:
    for number in range(300):
        ctx.unit.subnet_groups.save(SubnetGroup(WORLD, f"group-{number}", "", (A,)))
    with pytest.raises(CacheSubnetGroupQuotaExceeded, match="at most 300"):
        create(ctx)


# ---- Describe -----------------------------------------------------------------------------------------------------------
def test_the_default_group_is_always_there(ctx: Context) -> None:
    [default] = shown(ctx)
    assert default.cache_subnet_group_name == "default"
    assert list(subnets(default).values()) == ["us-east-1a", "us-east-1b", "us-east-1c"]
    assert shown(ctx, "Default") == [default]


def test_groups_are_shown_by_name(ctx: Context) -> None:
    for name in ("west", "east"):
        create(ctx, name)
    assert names(ctx) == ["default", "east", "west"]


def test_a_group_that_is_not_there(ctx: Context) -> None:
    with pytest.raises(CacheSubnetGroupNotFound, match="Cache subnet group private not found") as refused:
        shown(ctx, "private")
    assert (refused.value.code, refused.value.status) == ("CacheSubnetGroupNotFoundFault", 400)


@pytest.mark.parametrize("records", [19, 101])
def test_pages_have_bounds(ctx: Context, records: int) -> None:
    with pytest.raises(InvalidParameterValue, match="Must be between 20 and 100"):
        describe_cache_subnet_groups(ctx, DescribeCacheSubnetGroups(max_records=records))


# ---- Modify -------------------------------------------------------------------------------------------------------------
def test_what_is_not_given_stays(ctx: Context) -> None:
    create(ctx)
    assert list(subnets(modify(ctx, "private", cache_subnet_group_description="new"))) == [A, B]
    assert modify(ctx, "private", subnet_ids=[C]).cache_subnet_group_description == "new"
    assert list(subnets(shown(ctx, "private")[0])) == [C]


def test_a_used_group_gains_subnets_but_loses_none(ctx: Context) -> None:
    create(ctx)
    have(ctx, a_group("orders", subnet_group="private"))
    assert list(subnets(modify(ctx, "private", subnet_ids=[A, B, C]))) == [A, B, C]
    with pytest.raises(SubnetInUse, match=f"Subnet {B} is currently in use"):
        modify(ctx, "private", subnet_ids=[A, C])


def test_the_default_group_can_be_changed(ctx: Context) -> None:
    modify(ctx, "default", subnet_ids=[A])
    assert names(ctx) == ["default"]
    assert list(subnets(shown(ctx, "default")[0])) == [A]


@pytest.mark.parametrize(
    ("name", "ids", "fault"),
    [
        ("gone", [A], CacheSubnetGroupNotFound),
        ("private", [], InvalidSubnet),
        ("private", ["subnet_1"], InvalidSubnet),
        ("private", [f"subnet-{number:08x}" for number in range(21)], CacheSubnetQuotaExceeded),
    ],
)
def test_what_a_group_cannot_become(ctx: Context, name: str, ids: list[str], fault: type[Fault]) -> None:
    create(ctx)
    with pytest.raises(fault):
        modify(ctx, name, subnet_ids=ids)


# ---- Delete -------------------------------------------------------------------------------------------------------------
def test_a_deleted_group_leaves_nothing(ctx: Context) -> None:
    create(ctx, tags=[Tag(key="team", value="shop")])
    delete(ctx, "Private")
    assert names(ctx) == ["default"]
    assert ctx.unit.tags.of(f"{ARN}private") == {}


@pytest.mark.parametrize("cache", [a_group(subnet_group="private"), a_cache_cluster(subnet_group="private")])
def test_a_used_group_cannot_be_deleted(ctx: Context, cache: Topology) -> None:
    create(ctx)
    have(ctx, cache)
    with pytest.raises(CacheSubnetGroupInUse, match="Cache subnet group private is currently in use by a cache cluster"):
        delete(ctx, "private")


def test_a_cache_of_another_world_does_not_use_it(ctx: Context) -> None:
    create(ctx)
    have(ctx, a_group("orders", subnet_group="private", world=replace(WORLD, account="111111111111")))
    delete(ctx, "private")


@pytest.mark.parametrize(("name", "fault"), [("default", CacheSubnetGroupInUse), ("gone", CacheSubnetGroupNotFound)])
def test_what_cannot_be_deleted(ctx: Context, name: str, fault: type[Fault]) -> None:
    with pytest.raises(fault):
        delete(ctx, name)


# ---- Events -------------------------------------------------------------------------------------------------------------
def test_each_change_is_an_event(ctx: Context) -> None:
    create(ctx)
    modify(ctx, "private", subnet_ids=[C])
    delete(ctx, "private")
    said = ctx.unit.events.between(WORLD, NOW, NOW, "cache-subnet-group", "private")
    assert [event.message.rsplit(" ", 1)[1] for event in said] == ["deleted", "modified", "created"]
