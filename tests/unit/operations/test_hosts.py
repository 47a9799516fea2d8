"""Hosts: what they have and promise, how they are emptied, and that a cache for which there is no room is refused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from factories import NOW, a_cache_cluster, a_context, a_group, an_agent, have

from api_schemas.agent.agent import AgentHello, AgentReport
from api_schemas.agent.node import EngineBinary, NodeReport, Phase
from api_schemas.cache_cluster import CreateCacheCluster
from api_schemas.faults import AgentNotFound, InsufficientCacheClusterCapacity
from api_schemas.host import DrainAgent, UndrainAgent
from api_schemas.lab import DescribeAgents
from api_schemas.replication_group import CreateReplicationGroup
from controlplane.domain.hosts import demand_of
from controlplane.domain.topology import Binary, Leftover, Placement, Topology
from controlplane.operations.cache_clusters import create_cache_cluster
from controlplane.operations.context import Context
from controlplane.operations.fleet import Registry
from controlplane.operations.hosts import drain_agent, undrain_agent
from controlplane.operations.lab import describe_agents
from controlplane.operations.replication_groups import create_replication_group
from controlplane.store.store import Store

VALKEY = EngineBinary(engine="valkey", version="9.1.2", path="/opt/valkey-server")
MEMCACHED = EngineBinary(engine="memcached", version="1.6.18", path="/usr/bin/memcached")
GROUP: dict[str, Any] = {"replication_group_description": "d", "engine": "valkey", "cache_node_type": "cache.t4g.small"}
NEED = demand_of(a_group()).memory


def a_host(name: str, zone: str = "us-east-1a", **fields: Any) -> AgentHello:
    return an_agent(name, zone).model_copy(update={"engines": [VALKEY, MEMCACHED], **fields})


@pytest.fixture
def ctx(tmp_path: Path) -> Iterator[Context]:
    with a_context(tmp_path) as made:
        yield made


def join(ctx: Context, *hosts: AgentHello) -> None:
    for host in hosts:
        ctx.unit.agents.put(host)
        ctx.unit.agents._heartbeats.hear(host.agent)


def placed(topology: Topology, *agents: str) -> Topology:
    for node, agent in zip(topology.nodes, agents, strict=True):
        topology = topology.with_node(replace(node, placement=Placement(agent, f"127.64.0.{len(agent)}", Binary("valkey", "9.1.2", "/opt/v"))))
    return topology


def test_a_host_shows_what_it_has_and_what_its_nodes_are_promised(ctx: Context) -> None:
    join(ctx, a_host("one", memory=2**33, cores=4), a_host("two"))
    have(ctx, placed(a_group(nodes=2), "one", "one"))
    one, two = describe_agents(ctx, DescribeAgents()).agents
    assert (one.memory, one.memory_used, one.cores, one.nodes, one.draining) == (2**33, 2 * NEED, 4, 2, False)
    assert (two.memory, two.memory_used, two.cores, two.nodes) == (None, 0, None, 0)


def test_a_group_for_which_no_host_has_room_is_refused_and_changes_nothing(ctx: Context) -> None:
    join(ctx, a_host("one", memory=2 * NEED), a_host("two", "us-east-1b", memory=NEED))
    asked = CreateReplicationGroup(replication_group_id="big", num_cache_clusters=4, **GROUP)
    with pytest.raises(InsufficientCacheClusterCapacity, match=r"No host in us-east-1b has .* GiB left for a node of type cache.t4g.small"):
        create_replication_group(ctx, asked)
    assert list(ctx.unit.topologies.all()) == []
    create_replication_group(ctx, asked.model_copy(update={"num_cache_clusters": 2}))


def test_what_is_promised_to_others_is_no_room(ctx: Context) -> None:
    join(ctx, a_host("one", memory=2 * NEED))
    have(ctx, placed(a_group("others", nodes=1), "one"))
    asked = CreateReplicationGroup(replication_group_id="orders", num_cache_clusters=2, **GROUP)
    with pytest.raises(InsufficientCacheClusterCapacity):
        create_replication_group(ctx, asked)
    create_replication_group(ctx, asked.model_copy(update={"num_cache_clusters": 1}))


def test_memcached_nodes_need_room_as_well(ctx: Context) -> None:
    need = demand_of(a_cache_cluster()).memory
    join(ctx, a_host("one", memory=2 * need))
    asked = CreateCacheCluster(cache_cluster_id="m", engine="memcached", cache_node_type="cache.t4g.small", num_cache_nodes=3)
    with pytest.raises(InsufficientCacheClusterCapacity):
        create_cache_cluster(ctx, asked)
    create_cache_cluster(ctx, asked.model_copy(update={"num_cache_nodes": 2}))


def test_draining_wakes_everybody_and_names_what_stays(ctx: Context) -> None:
    join(ctx, a_host("one"))
    lonely, group = placed(a_group("lonely", nodes=1), "one"), placed(a_group("orders", nodes=2), "one", "two")
    have(ctx, lonely, group)
    drained = drain_agent(ctx, DrainAgent(agent="one"))
    assert drained.agent.draining
    assert drained.staying == ["lonely-001 of lonely: it is the only one with its data; add a replica, or delete it"]
    assert ctx.unit.woken == {lonely.uid, group.uid}
    assert drain_agent(ctx, DrainAgent(agent="one")) == drained, "asked twice it changes nothing"
    assert not undrain_agent(ctx, UndrainAgent(agent="one")).agent.draining


def test_an_unknown_agent_is_refused(ctx: Context) -> None:
    with pytest.raises(AgentNotFound, match="no agent nobody"):
        drain_agent(ctx, DrainAgent(agent="nobody"))


def test_draining_is_remembered(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path / 'plane.db'}")
    with store.transaction() as unit:
        unit.agents.put(a_host("one"))
        unit.agents.drain("one", True)
        assert unit.agents.is_draining("one")
    with store.transaction() as unit:
        unit.agents.put(a_host("one", memory=5))  # it joins again, with more to say
    store.close()
    again = Store(f"sqlite:///{tmp_path / 'plane.db'}")
    with again.transaction() as unit:
        assert unit.agents.is_draining("one")
        unit.agents.remove("one")
        assert unit.agents.get("one") is None
    with again.reading() as unit:
        assert (unit.agents.all(), unit.agents.is_draining("one")) == ([], False)
    again.close()


# ---- what a host keeps, and what it has left


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(f"sqlite:///{tmp_path / 'plane.db'}")
    yield opened
    opened.close()


class Clock:
    def now(self) -> Any:
        return NOW

    def uid(self) -> str:
        return "uid"

    def pick(self, among: int) -> int:
        return 0


def test_an_agent_that_joins_is_told_what_it_may_keep(store: Store) -> None:
    group = placed(a_group(nodes=2), "one", "two")
    with store.transaction() as unit:
        unit.topologies.save(group)
    registry = Registry(store, Clock())
    assert registry.welcome(a_host("one")).keeps == [group.key("orders-001")]
    assert registry.welcome(a_host("three")).keeps == []


def test_what_has_moved_away_is_gone_when_its_former_agent_says_so(store: Store) -> None:
    group = replace(placed(a_group(nodes=2), "one", "two"), leftovers=(Leftover("orders-001", "three", "127.64.0.9"),))
    with store.transaction() as unit:
        unit.topologies.save(group)
        unit.addresses.block("127.64.0.9")
    registry = Registry(store, Clock())
    for name in ("one", "three"):
        registry.welcome(a_host(name))
    gone = NodeReport(key=group.key("orders-001"), generation=1, phase=Phase.GONE, boot=1)
    registry.take(AgentReport(agent="one", nodes=[gone.model_copy(update={"key": group.key("orders-002")})]))
    assert store.topologies.by_uid[group.uid].leftovers == group.leftovers
    registry.take(AgentReport(agent="three", nodes=[gone]))
    assert store.topologies.by_uid[group.uid].leftovers == ()
    assert "127.64.0.9" not in store.addresses
    assert store.reports.nodes == {}, "of the node itself only its present agent tells"
