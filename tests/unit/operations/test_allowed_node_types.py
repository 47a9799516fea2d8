"""ListAllowedNodeTypeModifications: which node types a cache could have instead of its own."""

from __future__ import annotations

import pytest
from factories import a_cache_cluster, a_group, have

from api_schemas.faults import CacheClusterNotFound, Fault, InvalidParameterCombination, ReplicationGroupNotFound
from api_schemas.node_type import AllowedNodeTypeModifications, ListAllowedNodeTypeModifications
from controlplane.operations.context import Context
from controlplane.operations.node_types import list_allowed_node_type_modifications


def allowed(ctx: Context, **asked: str) -> AllowedNodeTypeModifications:
    return list_allowed_node_type_modifications(ctx, ListAllowedNodeTypeModifications(**asked))


def test_up_is_as_much_memory_or_more_and_down_is_less(ctx: Context) -> None:
    have(ctx, a_group("orders", node_type="cache.t4g.small"))
    found = allowed(ctx, replication_group_id="Orders")
    assert {"cache.t3.small", "cache.t4g.medium", "cache.r7g.large"} <= set(found.scale_up_modifications)
    assert found.scale_down_modifications == ["cache.t2.micro", "cache.t3.micro", "cache.t4g.micro"]


def test_a_member_may_have_what_its_group_may(ctx: Context) -> None:
    have(ctx, a_group("orders"))
    assert allowed(ctx, cache_cluster_id="orders-002") == allowed(ctx, replication_group_id="orders")


@pytest.mark.parametrize(
    ("engine", "version", "node_type", "possible"),
    [
        ("redis", "5.0.6", "cache.r7g.large", True),
        ("redis", "4.0.10", "cache.r7g.large", False),
        ("redis", "4.0.10", "cache.r5.large", True),
        ("memcached", "1.6.22", "cache.m8g.large", True),
        ("memcached", "1.5.16", "cache.m8g.large", False),
        ("memcached", "1.5.16", "cache.m7g.large", True),
        ("memcached", "1.6.22", "cache.r6gd.xlarge", False),
        ("valkey", "7.2", "cache.r6gd.xlarge", False),  # nodes that tier data become only one another
        ("valkey", "7.2", "cache.r3.large", False),  # of an older generation
    ],
)
def test_the_engine_must_run_on_it(ctx: Context, engine: str, version: str, node_type: str, possible: bool) -> None:
    have(ctx, a_cache_cluster("sessions", engine=engine, engine_version=version, node_type="cache.t3.small"))
    assert (node_type in allowed(ctx, cache_cluster_id="sessions").scale_up_modifications) is possible


@pytest.mark.parametrize(
    ("asked", "fault"),
    [
        ({}, InvalidParameterCombination),
        ({"cache_cluster_id": "sessions", "replication_group_id": "orders"}, InvalidParameterCombination),
        ({"cache_cluster_id": "orders"}, CacheClusterNotFound),
        ({"replication_group_id": "sessions"}, ReplicationGroupNotFound),
    ],
)
def test_what_is_refused(ctx: Context, asked: dict[str, str], fault: type[Fault]) -> None:
    have(ctx, a_group("orders"), a_cache_cluster("sessions"))
    with pytest.raises(fault):
        allowed(ctx, **asked)
