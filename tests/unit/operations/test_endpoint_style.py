"""How endpoints are shown: by address or by name, and that no two of them have one name."""

from __future__ import annotations

from dataclasses import replace

import pytest
from factories import an_agent, have
from situations import CONFIGURATION_ADDRESS, PRIMARY_ADDRESS, READER_ADDRESS, at_work, memcached_at_work, named, sharded_at_work

from api_schemas.agent.node import EngineBinary
from api_schemas.cache_cluster import CreateCacheCluster
from api_schemas.faults import InvalidParameterValue
from api_schemas.replication_group import CreateReplicationGroup
from controlplane.domain.endpoint_names import EndpointStyle
from controlplane.domain.topology import Endpoints
from controlplane.operations.cache_clusters import create_cache_cluster
from controlplane.operations.context import Context
from controlplane.operations.describe import cache_cluster, replication_group
from controlplane.operations.replication_groups import create_replication_group
from controlplane.planner.situation import Situation

SERVED, NAMED = EndpointStyle(served=True, suffix="cache.test"), EndpointStyle(new=Endpoints.NAMED, suffix="cache.test")
NAMES = {
    "primary": "orders.rfejuh.ng.0001.use1.cache.test", "reader": "orders-ro.rfejuh.ng.0001.use1.cache.test",
    "node": "orders-001.rfejuh.0001.use1.cache.test",
}  # fmt: skip


def shown(ctx: Context, now: Situation) -> dict[str, str | None]:
    """The addresses that a group is shown with."""
    group = replication_group(ctx, now.topology)
    assert group.node_groups
    part = group.node_groups[0]
    found = {"primary": part.primary_endpoint, "reader": part.reader_endpoint, "node": part.node_group_members[0].read_endpoint}
    return {name: endpoint.address if endpoint else None for name, endpoint in found.items()}


def test_bound_endpoints_are_addresses_until_names_are_served(ctx: Context) -> None:
    assert shown(ctx, at_work()) == {"primary": PRIMARY_ADDRESS, "reader": READER_ADDRESS, "node": "127.101.0.1"}
    assert shown(replace(ctx, style=SERVED), at_work()) == NAMES


def test_named_endpoints_are_names_also_where_nobody_here_serves_them(ctx: Context) -> None:
    assert shown(replace(ctx, style=NAMED), named(at_work())) == NAMES


def test_a_bound_group_without_addresses_yet_shows_no_endpoint(ctx: Context) -> None:
    now = at_work()
    bare = replace(now, topology=replace(now.topology, primary_address=None, reader_address=None))
    for style in (EndpointStyle(), SERVED):
        assert shown(replace(ctx, style=style), bare)["primary"] is None


@pytest.mark.parametrize(("style", "address"), [(EndpointStyle(), CONFIGURATION_ADDRESS), (SERVED, "{}.rfejuh.{}.use1.cache.test")])
def test_configuration_endpoints_are_shown_alike(ctx: Context, style: EndpointStyle, address: str) -> None:
    ctx = replace(ctx, style=style)
    shards = replication_group(ctx, sharded_at_work().topology).configuration_endpoint
    sessions = cache_cluster(ctx, memcached_at_work().topology, None, with_nodes=False).configuration_endpoint
    assert shards and shards.address == address.format("orders", "clustercfg")
    assert sessions and sessions.address == address.format("sessions", "cfg")


def test_nodes_of_memcached_are_told_apart_by_their_numbers(ctx: Context) -> None:
    told = cache_cluster(replace(ctx, style=SERVED), memcached_at_work().topology, None, with_nodes=True)
    addresses = [node.endpoint.address for node in told.cache_nodes or [] if node.endpoint]
    assert addresses == ["sessions.rfejuh.0001.use1.cache.test", "sessions.rfejuh.0002.use1.cache.test"]


def with_agents(ctx: Context, style: EndpointStyle) -> Context:
    engines = [EngineBinary(engine="valkey", version="9.1.2", path="/v"), EngineBinary(engine="memcached", version="1.6.18", path="/m")]
    for zone in "abc":
        ctx.unit.agents.put(an_agent(f"agent-{zone}", f"us-east-1{zone}").model_copy(update={"engines": engines}))
    return replace(ctx, style=style)


def a_request(name: str) -> CreateReplicationGroup:
    return CreateReplicationGroup(replication_group_id=name, replication_group_description="d", engine="valkey", num_cache_clusters=2)


@pytest.mark.parametrize(("style", "endpoints"), [(SERVED, Endpoints.BOUND), (NAMED, Endpoints.NAMED), (EndpointStyle(), Endpoints.BOUND)])
def test_what_is_created_has_the_endpoints_that_the_style_says(ctx: Context, style: EndpointStyle, endpoints: Endpoints) -> None:
    ctx = with_agents(ctx, style)
    create_replication_group(ctx, a_request("orders"))
    create_cache_cluster(ctx, CreateCacheCluster(cache_cluster_id="sessions", engine="memcached", num_cache_nodes=1))
    assert ctx.replication_group("orders").endpoints is endpoints
    assert ctx.cache_cluster("sessions")[0].endpoints is endpoints


@pytest.mark.parametrize(("there", "asked"), [("orders", "orders-ro"), ("orders-ro", "orders")])
@pytest.mark.parametrize("style", [SERVED, NAMED])
def test_no_group_may_be_called_as_a_reader_endpoint_is(ctx: Context, style: EndpointStyle, there: str, asked: str) -> None:
    ctx = with_agents(ctx, style)
    have(ctx, replace(at_work().topology, name=there))
    with pytest.raises(InvalidParameterValue, match=f"{asked} cannot be the ReplicationGroupId beside {there}: orders-ro would be"):
        create_replication_group(ctx, a_request(asked))


def test_where_nobody_names_anything_it_may(ctx: Context) -> None:
    ctx = with_agents(ctx, EndpointStyle())
    create_replication_group(ctx, a_request("orders"))
    create_replication_group(ctx, a_request("orders-ro"))
    create_replication_group(replace(ctx, style=SERVED), a_request("others-ro"))
