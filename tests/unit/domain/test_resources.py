"""What a node type and a parameter group come to: memory, values, and the digest that both sides compare."""

from __future__ import annotations

from dataclasses import replace

import pytest
from factories import a_cache_cluster, a_group

from api_schemas.agent.configuration import Configuration
from controlplane.domain.node_types import MIB, node_type
from controlplane.domain.resources import resources_of
from controlplane.domain.topology import Binary, Placement, Topology
from controlplane.reconciler.specs import node_specs

SMALL = node_type("cache.t4g.small")


def having(topology: Topology, **values: str) -> Topology:
    return replace(topology, parameters=tuple(sorted((name.replace("_", "-"), value) for name, value in values.items())))


@pytest.mark.parametrize(
    ("values", "memory"),
    [
        ({}, SMALL.maxmemory * 75 // 100),
        ({"reserved_memory_percent": "0"}, SMALL.maxmemory),
        ({"reserved_memory_percent": "50"}, SMALL.maxmemory // 2),
        ({"reserved_memory_percent": "100"}, 1),  # 0 would mean no limit
        ({"reserved_memory": "1000"}, SMALL.maxmemory - 1000),
        ({"reserved_memory": str(2**40)}, 1),
    ],
)
def test_what_is_reserved_is_not_for_data(values: dict[str, str], memory: int) -> None:
    assert resources_of(having(a_group(), **values)).memory == memory


@pytest.mark.parametrize(
    ("values", "memory"),
    [
        ((), 1402 - 100),
        ((("memcached_connections_overhead", "500"),), 1402 - 500),
        ((("memcached_connections_overhead", "0"),), 1402),
        ((("memcached_connections_overhead", "5000"),), 2),  # memcached needs room for two items
    ],
)
def test_memcached_keeps_what_connections_take(values: tuple[tuple[str, str], ...], memory: int) -> None:
    assert resources_of(replace(a_cache_cluster(), parameters=values)).memory == memory * MIB


def test_values_of_the_group_take_the_place_of_defaults() -> None:
    usual, changed = resources_of(a_group()), resources_of(having(a_group(), timeout="60"))
    assert changed.parameters == {**usual.parameters, "timeout": "60"}
    assert usual.parameters["timeout"] == "0"
    assert usual.parameters["notify-keyspace-events"] == ""
    assert usual.parameters["maxclients"] == str(SMALL.maxclients)


def test_what_is_handed_out_can_be_changed_by_nobody_else() -> None:
    resources_of(a_group()).parameters["timeout"] = "60"
    assert resources_of(a_group()).parameters["timeout"] == "0"


def test_every_node_is_told_its_groups_values() -> None:
    topology = having(a_group(nodes=2), timeout="60")
    for number, node in enumerate(topology.nodes, 1):
        place = Placement("agent-a", f"127.101.0.{number}", Binary("valkey", "9.1.2", "/opt/valkey"))
        topology = topology.with_node(replace(node, placement=place))
    specs = [spec for _, spec in node_specs(topology)]
    assert [spec.parameters["timeout"] for spec in specs] == ["60", "60"]
    assert {spec.configuration.digest for spec in specs} == {resources_of(topology).configuration.digest}


# ---- digests


def test_equal_configurations_have_equal_digests_whatever_their_order() -> None:
    assert Configuration(1, {"a": "1", "b": "2"}).digest == Configuration(1, {"b": "2", "a": "1"}).digest


@pytest.mark.parametrize(
    "other",
    [
        Configuration(2, {"a": "1", "b": "2"}),
        Configuration(1, {"a": "1", "b": "3"}),
        Configuration(1, {"a": "1", "c": "2"}),
        Configuration(1, {"a": "1"}),
        Configuration(1, {"a": "1", "b": ""}),
        Configuration(1),
    ],
)
def test_a_digest_tells_whatever_differs(other: Configuration) -> None:
    assert other.digest != Configuration(1, {"a": "1", "b": "2"}).digest
