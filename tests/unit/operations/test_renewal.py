"""What a caller may ask of what nodes are made of, and what is written down then."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from factories import a_cache_cluster, a_group, a_sharded_group, an_agent, have

from api_schemas.agent.node import EngineBinary
from api_schemas.cache_cluster import DescribeCacheClusters, ModifyCacheCluster
from api_schemas.faults import InsufficientCacheClusterCapacity, InvalidParameterCombination, InvalidParameterValue
from api_schemas.replication_group import ModifyReplicationGroup
from controlplane.domain.reported import SeenNode
from controlplane.domain.settings import Settings
from controlplane.domain.topology import Binary, ClusterMode, Make, Placement, Topology
from controlplane.operations.cache_clusters import describe_cache_clusters, modify_cache_cluster
from controlplane.operations.context import Context
from controlplane.operations.replication_groups import modify_replication_group

SMALL, LARGE, TINY = "cache.t4g.small", "cache.m7g.large", "cache.t4g.micro"
ON = Settings(automatic_failover=True)
VALKEY = EngineBinary(engine="valkey", version="9.1.2", path="/opt/valkey-server")


def ask(ctx: Context, **wanted: Any) -> Topology:
    modify_replication_group(ctx, ModifyReplicationGroup(replication_group_id="orders", **wanted))
    return ctx.replication_group("orders")


def hosts(ctx: Context, memory: int | None = None) -> None:
    for zone in "abc":
        ctx.unit.agents.put(an_agent(f"agent-{zone}", zone).model_copy(update={"engines": [VALKEY], "memory": memory}))
        ctx.unit.agents._heartbeats.hear(f"agent-{zone}")


def placed(topology: Topology) -> Topology:
    for number, node in enumerate(topology.nodes, start=1):
        place = Placement(f"agent-{node.zone[-1]}", f"127.101.0.{number}", Binary("valkey", "9.1.2", "/opt/valkey-server"))
        topology = topology.with_node(replace(node, placement=place))
    return topology


def pending_of(ctx: Context, name: str) -> Any:
    found = describe_cache_clusters(ctx, DescribeCacheClusters(cache_cluster_id=name)).cache_clusters[0]
    return found.pending_modified_values


def test_an_immediate_change_pins_every_node_to_what_it_is(ctx: Context) -> None:
    have(ctx, a_group(settings=ON))
    changed = ask(ctx, cache_node_type=LARGE, apply_immediately=True)
    assert changed.modifying and changed.renewal is not None
    assert (changed.node_type, changed.shown.node_type) == (LARGE, SMALL)
    assert {node.make for node in changed.nodes} == {Make("valkey", "9.1", SMALL)}
    shown = describe_cache_clusters(ctx, DescribeCacheClusters(cache_cluster_id="orders-001")).cache_clusters[0]
    assert (shown.cache_cluster_status, shown.cache_node_type) == ("modifying", SMALL)


def test_what_is_put_off_is_shown_replaced_and_cancelled(ctx: Context) -> None:
    have(ctx, a_group(settings=ON, engine_version="9.0"))
    assert not ask(ctx, cache_node_type=LARGE).modifying
    assert (pending_of(ctx, "orders-002").cache_node_type, pending_of(ctx, "orders-002").engine_version) == (LARGE, None)
    ask(ctx, cache_node_type=TINY)
    assert pending_of(ctx, "orders-002").cache_node_type == TINY
    ask(ctx, cache_node_type=SMALL)
    assert pending_of(ctx, "orders-002").cache_node_type is None
    assert ctx.replication_group("orders").remake is None


def test_an_immediate_modification_of_anything_does_what_is_pending(ctx: Context) -> None:
    have(ctx, a_group(settings=ON))
    ask(ctx, cache_node_type=LARGE)
    changed = ask(ctx, replication_group_description="other")
    assert changed.remake is not None
    ctx.unit.topologies.save(replace(changed, modifying=False))
    changed = ask(ctx, replication_group_description="another", apply_immediately=True)
    assert (changed.remake, changed.node_type) == (None, LARGE)


@pytest.mark.parametrize(
    ("wanted", "fault", "words"),
    [
        ({"cache_node_type": "cache.t4g.huge"}, InvalidParameterValue, "cache.t4g.huge"),
        ({"cache_node_type": "cache.r6gd.xlarge"}, InvalidParameterValue, "cache.r6gd.xlarge"),
        ({"cache_node_type": SMALL}, InvalidParameterCombination, "No modifications"),
        ({"engine_version": "9.0"}, InvalidParameterCombination, "can only be upgraded"),
        ({"engine_version": "9.2"}, InvalidParameterValue, "9.2"),
        ({"engine": "redis", "engine_version": "7.1"}, InvalidParameterCombination, "cannot become redis"),
        ({"engine": "memcached", "engine_version": "1.6.22"}, InvalidParameterCombination, "cannot become memcached"),
        ({"cluster_mode": "enabled"}, InvalidParameterCombination, "compatible first"),
        ({"cluster_mode": "disabled"}, InvalidParameterCombination, "No modifications"),
        ({"cluster_mode": "compatible", "multi_az_enabled": True}, InvalidParameterCombination, "MultiAZEnabled"),
        ({"cluster_mode": "compatible", "cache_parameter_group_name": "default.valkey9"}, InvalidParameterCombination, "cluster-enabled"),
    ],
)
@pytest.mark.parametrize("at_once", [True, False])
def test_refusals(ctx: Context, wanted: dict[str, Any], fault: type[Exception], words: str, at_once: bool) -> None:
    have(ctx, a_group(settings=ON))
    before = ctx.replication_group("orders")
    with pytest.raises(fault, match=words):
        ask(ctx, **wanted, apply_immediately=at_once)
    assert ctx.replication_group("orders") == before


def test_a_compatible_group_keeps_what_it_is_made_of(ctx: Context) -> None:
    have(ctx, a_sharded_group(shards=1, cluster_mode=ClusterMode.COMPATIBLE))
    with pytest.raises(InvalidParameterCombination, match="compatible"):
        ask(ctx, cache_node_type=LARGE, apply_immediately=True)
    assert ask(ctx, cluster_mode="enabled", apply_immediately=True).cluster_mode is ClusterMode.ENABLED


def test_an_upgrade_to_another_family_takes_its_default_group_or_needs_one(ctx: Context) -> None:
    hosts(ctx)
    have(ctx, a_group(settings=ON, engine="redis"), a_group("own", settings=ON, engine="redis", parameter_group="ours"))
    for wanted in ({"engine": "valkey"}, {"engine_version": "9.1"}):
        with pytest.raises((InvalidParameterCombination, InvalidParameterValue)):
            ask(ctx, **wanted)
    changed = ask(ctx, engine="valkey", engine_version="9.1", apply_immediately=True)
    assert (changed.engine, changed.engine_version, changed.parameter_group) == ("valkey", "9.1", "default.valkey9")
    assert {node.make for node in changed.nodes} == {Make("redis", "7.1", SMALL, parameters=())}
    with pytest.raises(InvalidParameterCombination, match="family valkey9"):
        modify_replication_group(ctx, ModifyReplicationGroup(replication_group_id="own", engine="valkey", engine_version="9.1"))


def test_a_node_type_does_not_change_while_an_upgrade_waits_unless_both_are_done_at_once(ctx: Context) -> None:
    hosts(ctx)
    have(ctx, a_group(settings=ON, engine_version="9.0"))
    ask(ctx, engine_version="9.1")
    for at_once in (True, False):
        with pytest.raises(InvalidParameterCombination, match="waits for the maintenance window"):
            ask(ctx, cache_node_type=LARGE, apply_immediately=at_once)
    changed = ask(ctx, cache_node_type=LARGE, engine_version="9.1", apply_immediately=True)
    assert changed.make == Make("valkey", "9.1", LARGE)


def test_data_that_would_not_fit_is_refused(ctx: Context) -> None:
    have(ctx, a_group(settings=ON))
    group = ctx.replication_group("orders")
    ctx.unit.reports.put_node(group.key("orders-001"), SeenNode("running", 1, used_memory=500 * 2**20), ctx.now)
    ctx.unit.reports.settle()
    with pytest.raises(InvalidParameterCombination, match=r"orders-001 does not fit: it uses 500 MiB.* can hold 384 MiB"):
        ask(ctx, cache_node_type=TINY)


def test_hosts_that_are_full_are_told_of(ctx: Context) -> None:
    hosts(ctx, memory=2 * 2**30)
    have(ctx, placed(a_group(settings=ON)))
    with pytest.raises(InsufficientCacheClusterCapacity, match=r"to make orders-001 anew as cache\.m7g\.large"):
        ask(ctx, cache_node_type=LARGE, apply_immediately=True)
    assert ask(ctx, cache_node_type=TINY, apply_immediately=True).node_type == TINY


@pytest.mark.parametrize(
    ("wanted", "fault"),
    [
        ({"scale_config": {"scale_percentage": 10}}, InvalidParameterCombination),
        ({"cache_node_type": LARGE, "scale_config": {"scale_percentage": 101}}, InvalidParameterValue),
        ({"cache_node_type": LARGE, "scale_config": {"scale_interval_minutes": 5}}, InvalidParameterValue),
        ({"engine": "valkey", "engine_version": "9.1"}, InvalidParameterValue),
        ({"engine_version": "1.6.17"}, InvalidParameterCombination),
    ],
)
def test_refusals_of_memcached(ctx: Context, wanted: dict[str, Any], fault: type[Exception]) -> None:
    have(ctx, a_cache_cluster(nodes=2))
    with pytest.raises(fault):
        modify_cache_cluster(ctx, ModifyCacheCluster(cache_cluster_id="sessions", apply_immediately=True, **wanted))


def test_a_spare_is_nobody_s_to_see(ctx: Context) -> None:
    from controlplane.domain.renewal import with_spare

    group = a_group(nodes=1)
    have(ctx, with_spare(group, group.node_groups[0]))
    shown = describe_cache_clusters(ctx, DescribeCacheClusters())
    assert [each.cache_cluster_id for each in shown.cache_clusters] == ["orders-001"]
    assert ctx.unit.topologies.owner_of(ctx.world, "orders-001--spare") is None
