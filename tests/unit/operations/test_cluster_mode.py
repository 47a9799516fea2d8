"""Whether a new group is in cluster mode, with which parameter group; and what follows from that for its other settings."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from factories import NOW, WORLD, a_sharded_group, an_agent, have

from api_schemas.agent.node import EngineBinary
from api_schemas.faults import (
    CacheClusterAlreadyExists,
    CacheParameterGroupNotFound,
    Fault,
    InvalidParameterCombination,
    InvalidParameterValue,
    NodeQuotaForCustomerExceeded,
)
from api_schemas.replication_group import (
    CreateReplicationGroup,
    DeleteReplicationGroup,
    ModifyReplicationGroup,
    ReplicationGroup,
)
from controlplane.domain.engine_versions import EngineVersion, engine_version
from controlplane.domain.topology import ClusterMode, Kind, Topology
from controlplane.operations.cluster_mode import mode_asked
from controlplane.operations.context import Context
from controlplane.operations.describe import replication_group as described
from controlplane.operations.replication_groups import (
    create_replication_group,
    delete_replication_group,
    modify_replication_group,
)

ENABLED, COMPATIBLE, DISABLED = ClusterMode.ENABLED, ClusterMode.COMPATIBLE, ClusterMode.DISABLED
COMBINATION, VALUE = InvalidParameterCombination, InvalidParameterValue
PLAIN, SHARDED = "default.valkey8", "default.valkey8.cluster.on"
VALKEY_8 = engine_version("valkey", "8.1")
ONE, SEVERAL = {"num_node_groups": 1}, {"num_node_groups": 2}


def asking(**fields: Any) -> CreateReplicationGroup:
    return CreateReplicationGroup(replication_group_id="orders", replication_group_description="d", **fields)


def decided_for(ctx: Context, asked: CreateReplicationGroup, version: EngineVersion = VALKEY_8) -> tuple[ClusterMode, str]:
    """The mode and the name of the parameter group."""
    mode, group = mode_asked(ctx, asked, version)
    return mode, group.name


# ---- the mode and its parameter group

REFUSED = None
DECISIONS = [
    # said         parameter group  node groups  mode and parameter group
    (None,         None,            {},          (DISABLED, PLAIN)),
    (None,         None,            ONE,         (DISABLED, PLAIN)),  # one node group alone does not make cluster mode
    (None,         None,            SEVERAL,     (ENABLED, SHARDED)),
    (None,         PLAIN,           {},          (DISABLED, PLAIN)),
    (None,         PLAIN,           ONE,         (DISABLED, PLAIN)),
    (None,         PLAIN,           SEVERAL,     REFUSED),
    (None,         SHARDED,         {},          (ENABLED, SHARDED)),
    (None,         SHARDED,         ONE,         (ENABLED, SHARDED)),
    (None,         SHARDED,         SEVERAL,     (ENABLED, SHARDED)),
    ("disabled",   None,            {},          (DISABLED, PLAIN)),
    ("disabled",   None,            ONE,         (DISABLED, PLAIN)),
    ("disabled",   None,            SEVERAL,     REFUSED),
    ("disabled",   PLAIN,           {},          (DISABLED, PLAIN)),
    ("disabled",   PLAIN,           ONE,         (DISABLED, PLAIN)),
    ("disabled",   PLAIN,           SEVERAL,     REFUSED),
    ("disabled",   SHARDED,         {},          REFUSED),
    ("disabled",   SHARDED,         ONE,         REFUSED),
    ("disabled",   SHARDED,         SEVERAL,     REFUSED),
    ("compatible", None,            {},          (COMPATIBLE, SHARDED)),
    ("compatible", None,            ONE,         (COMPATIBLE, SHARDED)),
    ("compatible", None,            SEVERAL,     REFUSED),
    ("compatible", PLAIN,           {},          REFUSED),
    ("compatible", PLAIN,           ONE,         REFUSED),
    ("compatible", PLAIN,           SEVERAL,     REFUSED),
    ("compatible", SHARDED,         {},          (COMPATIBLE, SHARDED)),
    ("compatible", SHARDED,         ONE,         (COMPATIBLE, SHARDED)),
    ("compatible", SHARDED,         SEVERAL,     REFUSED),
    ("enabled",    None,            {},          (ENABLED, SHARDED)),
    ("enabled",    None,            ONE,         (ENABLED, SHARDED)),
    ("enabled",    None,            SEVERAL,     (ENABLED, SHARDED)),
    ("enabled",    PLAIN,           {},          REFUSED),
    ("enabled",    PLAIN,           ONE,         REFUSED),
    ("enabled",    PLAIN,           SEVERAL,     REFUSED),
    ("enabled",    SHARDED,         {},          (ENABLED, SHARDED)),
    ("enabled",    SHARDED,         ONE,         (ENABLED, SHARDED)),
    ("enabled",    SHARDED,         SEVERAL,     (ENABLED, SHARDED)),
]  # fmt: skip


@pytest.mark.parametrize(("said", "parameters", "number", "decided"), DECISIONS)
def test_mode_parameter_group_and_number_of_node_groups_decide_together(
    ctx: Context, said: str | None, parameters: str | None, number: dict[str, int], decided: tuple[ClusterMode, str] | None
) -> None:
    asked = asking(cluster_mode=said, cache_parameter_group_name=parameters, **number)
    if decided is None:
        with pytest.raises(InvalidParameterCombination):
            decided_for(ctx, asked)
    else:
        assert decided_for(ctx, asked) == decided


@pytest.mark.parametrize(("configurations", "mode"), [([{}], DISABLED), ([{}, {}], ENABLED)])
def test_node_groups_that_are_described_count_like_a_number(ctx: Context, configurations: list[Any], mode: ClusterMode) -> None:
    assert decided_for(ctx, asking(node_group_configuration=configurations))[0] is mode


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"cluster_mode": "disabled", **SEVERAL}, "More than one node group needs ClusterMode enabled, not disabled"),
        ({"cluster_mode": "compatible", **SEVERAL}, "More than one node group needs ClusterMode enabled, not compatible"),
        ({"cache_parameter_group_name": PLAIN, **SEVERAL}, f"{PLAIN} cannot be used with more than one node group: that needs a"),
        ({"cache_parameter_group_name": PLAIN, **SEVERAL}, "cluster-enabled=yes"),
        ({"cache_parameter_group_name": PLAIN, "cluster_mode": "enabled"}, "with ClusterMode enabled: that needs a parameter group"),
        ({"cache_parameter_group_name": SHARDED, "cluster_mode": "disabled"}, "cluster-enabled=no"),
        ({"cache_parameter_group_name": "default.redis7"}, "Expected a parameter group of family valkey8"),
        ({"cache_parameter_group_name": "default.valkey9.cluster.on"}, "Expected a parameter group of family valkey8"),
    ],
)
def test_a_contradiction_is_told_in_the_callers_words(ctx: Context, asked: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidParameterCombination) as refused:
        decided_for(ctx, asking(**asked))
    assert says in refused.value.message


@pytest.mark.parametrize("said", ["ENABLED", "Enabled", "enabled"])
def test_a_mode_may_be_written_in_any_case(ctx: Context, said: str) -> None:
    assert decided_for(ctx, asking(cluster_mode=said))[0] is ENABLED


@pytest.mark.parametrize("said", ["sharded", "yes", " enabled", "x" * 1000])
def test_a_mode_that_does_not_exist(ctx: Context, said: str) -> None:
    with pytest.raises(InvalidParameterValue, match=r"ClusterMode\. Must be one of: disabled, compatible, enabled") as refused:
        decided_for(ctx, asking(cluster_mode=said))
    assert len(refused.value.message) < 150


def test_a_parameter_group_that_does_not_exist(ctx: Context) -> None:
    with pytest.raises(CacheParameterGroupNotFound):
        decided_for(ctx, asking(cache_parameter_group_name="mine"))


REDIS_6, REDIS_7, VALKEY_7 = (engine_version(*named) for named in (("redis", "6.2"), ("redis", "7.0"), ("valkey", "7.2")))


@pytest.mark.parametrize(
    ("version", "mode", "possible"),
    [
        (REDIS_6, "compatible", False),
        (REDIS_6, "enabled", True),
        (REDIS_7, "compatible", True),
        (VALKEY_7, "compatible", True),
        (engine_version("redis", "5.0.6"), "enabled", True),
    ],
)
def test_which_versions_may_be_compatible(ctx: Context, version: EngineVersion, mode: str, possible: bool) -> None:
    if possible:
        assert decided_for(ctx, asking(cluster_mode=mode), version) == (ClusterMode(mode), f"default.{version.family}.cluster.on")
    else:
        with pytest.raises(InvalidParameterCombination, match=r"needs version 7.0 or later, not redis 6\.2"):
            decided_for(ctx, asking(cluster_mode=mode), version)


# ---- what follows for the group


@pytest.fixture
def ctx(ctx: Context) -> Context:
    """As everywhere, with an agent in each of three zones that has a Valkey 8.1."""
    valkey = EngineBinary(engine="valkey", version="8.1.4", path="/opt/valkey-server")
    for letter in "abc":
        ctx.unit.agents.put(an_agent(f"agent-{letter}", f"{WORLD.region}{letter}").model_copy(update={"engines": [valkey]}))
    return ctx


def create(ctx: Context, **fields: Any) -> Topology:
    create_replication_group(ctx, asking(engine="valkey", engine_version="8.1", **fields))
    return ctx.replication_group("orders")


def test_a_sharded_group_names_its_members_after_their_node_groups(ctx: Context) -> None:
    group = create(ctx, replicas_per_node_group=1, **SEVERAL)
    assert [node.id for node in group.nodes] == ["orders-0001-001", "orders-0001-002", "orders-0002-001", "orders-0002-002"]
    assert [part.primary for part in group.node_groups] == ["orders-0001-001", "orders-0002-001"]
    assert (group.cluster_mode, group.parameter_group) == (ENABLED, SHARDED)
    assert not group.has_endpoints
    assert group.has_configuration_endpoint


def test_a_compatible_group_names_them_as_outside_cluster_mode(ctx: Context) -> None:
    group = create(ctx, cluster_mode="compatible", num_cache_clusters=2)
    assert [node.id for node in group.nodes] == ["orders-001", "orders-002"]
    assert group.has_endpoints
    assert group.has_configuration_endpoint


def test_a_member_that_exists_already_is_not_made_twice(ctx: Context) -> None:
    have(ctx, replace(a_sharded_group("other"), node_groups=a_sharded_group("orders", shards=1, replicas=0).node_groups))
    with pytest.raises(CacheClusterAlreadyExists, match="orders-0001-001"):
        create(ctx, **SEVERAL)


@pytest.mark.parametrize(
    ("asked", "automatic", "multi_az"),
    [
        (SEVERAL, True, False),  # cluster mode switches it on
        ({"automatic_failover_enabled": True, **SEVERAL}, True, False),
        ({"replicas_per_node_group": 1, "multi_az_enabled": True, **SEVERAL}, True, True),
        ({"num_cache_clusters": 2}, False, False),
        ({"num_cache_clusters": 2, "cluster_mode": "compatible"}, False, False),
        ({"num_cache_clusters": 2, "cluster_mode": "compatible", "automatic_failover_enabled": True}, True, False),
    ],
    ids=str,
)
def test_automatic_failover_and_multi_az(ctx: Context, asked: dict[str, Any], automatic: bool, multi_az: bool) -> None:
    settings = create(ctx, **asked).settings
    assert (settings.automatic_failover, settings.multi_az) == (automatic, multi_az)


HERE_ONLY = [{"replica_availability_zones": ["us-east-1a"], "primary_availability_zone": "us-east-1a"}, {"replica_count": 1}]


@pytest.mark.parametrize(
    ("asked", "fault", "says"),
    [
        (
            {"automatic_failover_enabled": False, **SEVERAL},
            COMBINATION, "Turning off automatic failover for replication group with cluster mode enabled is not supported.",
        ),
        ({"multi_az_enabled": True, **SEVERAL}, COMBINATION, "Multi-AZ needs nodes in at least 2 availability zones in every"),
        ({"multi_az_enabled": True, "node_group_configuration": HERE_ONLY}, COMBINATION, "in every node group"),
        ({"cluster_mode": "compatible", "automatic_failover_enabled": True}, COMBINATION, "at least 2 cache clusters"),
        ({"cluster_mode": "compatible", "num_cache_clusters": 2, "multi_az_enabled": True}, COMBINATION, "Multi-AZ needs automatic"),
        ({"port": 55536, **SEVERAL}, VALUE, "between 1024 and 55535"),
        ({"port": 55536, "cluster_mode": "compatible"}, VALUE, "between 1024 and 55535"),
        ({"port": 65536}, VALUE, "between 1024 and 65535"),
        ({"cache_parameter_group_name": "mine", **SEVERAL}, CacheParameterGroupNotFound, "mine"),
    ],
    ids=lambda value: str(value)[:60] if isinstance(value, dict) else "",
)  # fmt: skip
def test_what_is_refused_makes_nothing(ctx: Context, asked: dict[str, Any], fault: type[Fault], says: str) -> None:
    with pytest.raises(fault) as refused:
        create(ctx, **asked)
    assert says in refused.value.message
    assert ctx.unit.topologies.named(WORLD, Kind.REPLICATION_GROUP, "orders") is None


@pytest.mark.parametrize("port", [1024, 55535])
def test_the_bus_leaves_room_for_these_ports(ctx: Context, port: int) -> None:
    assert create(ctx, port=port, **SEVERAL).port == port


def test_all_nodes_of_all_groups_count_for_the_region(ctx: Context) -> None:
    have(ctx, *(a_sharded_group(f"group{number}", shards=30, replicas=2) for number in range(3)))  # 270 nodes
    with pytest.raises(NodeQuotaForCustomerExceeded, match="300"):
        create(ctx, num_node_groups=31)
    assert len(list(create(ctx, num_node_groups=30).nodes)) == 30


# ---- how it is shown


def shown(ctx: Context, group: Topology) -> ReplicationGroup:
    return described(ctx, group)


def addressed(group: Topology) -> Topology:
    return replace(group, configuration_address="127.100.0.3")


def test_a_sharded_group_shows_slots_and_one_endpoint(ctx: Context) -> None:
    seen = shown(ctx, addressed(a_sharded_group(shards=2, replicas=1)))
    assert (seen.cluster_enabled, seen.cluster_mode, seen.automatic_failover) == (True, "enabled", "enabled")
    assert seen.configuration_endpoint is not None
    assert (seen.configuration_endpoint.address, seen.configuration_endpoint.port) == ("127.100.0.3", 6379)
    assert seen.snapshotting_cluster_id is None
    assert seen.node_groups is not None
    assert [(part.node_group_id, part.slots) for part in seen.node_groups] == [("0001", "0-8191"), ("0002", "8192-16383")]
    for part in seen.node_groups:
        assert part.primary_endpoint is None and part.reader_endpoint is None
        assert part.node_group_members is not None
        for member in part.node_group_members:
            assert member.current_role is None and member.read_endpoint is None
            assert member.preferred_availability_zone is not None


def test_while_it_is_created_it_shows_neither_node_groups_nor_an_endpoint(ctx: Context) -> None:
    seen = shown(ctx, addressed(a_sharded_group(created=False)))
    assert (seen.status, seen.node_groups, seen.configuration_endpoint) == ("creating", None, None)
    assert seen.automatic_failover == "enabling"


def test_a_compatible_group_shows_the_endpoints_of_both_and_no_slots(ctx: Context) -> None:
    group = addressed(a_sharded_group(shards=1, cluster_mode=COMPATIBLE))
    seen = shown(ctx, replace(group, primary_address="127.100.0.1", reader_address="127.100.0.2"))
    assert seen.node_groups is not None
    (part,) = seen.node_groups
    assert part.primary_endpoint is not None and part.reader_endpoint is not None and part.slots is None
    assert (part.primary_endpoint.address, part.reader_endpoint.address) == ("127.100.0.1", "127.100.0.2")
    assert part.node_group_members is not None
    assert all(member.current_role for member in part.node_group_members)
    assert (seen.cluster_enabled, seen.cluster_mode) == (True, "compatible")


# ---- changed and deleted


def test_automatic_failover_cannot_be_switched_off(ctx: Context) -> None:
    have(ctx, a_sharded_group())
    with pytest.raises(InvalidParameterCombination, match="Turning off automatic failover"):
        modify_replication_group(ctx, ModifyReplicationGroup(replication_group_id="orders", automatic_failover_enabled=False))


@pytest.mark.parametrize(("replicas", "possible"), [(1, True), (0, False)])
def test_multi_az_can_be_switched_on_where_every_shard_has_a_second_zone(ctx: Context, replicas: int, possible: bool) -> None:
    have(ctx, a_sharded_group(replicas=replicas))
    asked = ModifyReplicationGroup(replication_group_id="orders", multi_az_enabled=True)
    if possible:
        assert modify_replication_group(ctx, asked).replication_group.multi_az == "enabled"
        assert ctx.replication_group("orders").modifying
    else:
        with pytest.raises(InvalidParameterCombination, match="in every node group"):
            modify_replication_group(ctx, asked)


@pytest.mark.parametrize("mode", ["compatible", "disabled"])
def test_cluster_mode_enabled_is_final(ctx: Context, mode: str) -> None:
    have(ctx, a_sharded_group())
    asked = ModifyReplicationGroup(replication_group_id="orders", cluster_mode=mode)
    with pytest.raises(InvalidParameterCombination, match=f"ClusterMode enabled is final: it cannot become {mode}"):
        modify_replication_group(ctx, asked)


@pytest.mark.parametrize("mode", [ENABLED, COMPATIBLE])
def test_no_node_of_it_can_be_retained(ctx: Context, mode: ClusterMode) -> None:
    have(ctx, a_sharded_group(cluster_mode=mode))
    asked = DeleteReplicationGroup(replication_group_id="orders", retain_primary_cluster=True)
    with pytest.raises(InvalidParameterCombination, match="no node of it can stand alone"):
        delete_replication_group(ctx, asked)
    assert not ctx.replication_group("orders").deleting


def test_deletion_takes_every_node_of_every_shard(ctx: Context) -> None:
    have(ctx, a_sharded_group(shards=3, replicas=1, announced_at=NOW))
    delete_replication_group(ctx, DeleteReplicationGroup(replication_group_id="orders"))
    assert all(node.leaving for node in ctx.replication_group("orders").nodes)
