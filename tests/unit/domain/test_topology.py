"""A topology is a frozen value; each change answers another one."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace

import pytest
from factories import NOW, a_cache_cluster, a_group

from controlplane.domain.topology import Restart

ORDERS = a_group()
FIRST, SECOND, THIRD = "orders-001", "orders-002", "orders-003"


def ids(nodes: object) -> list[str]:
    return [node.id for node in nodes]  # type: ignore[attr-defined]


def test_who_is_in_a_group() -> None:
    group = ORDERS.node_groups[0]
    assert ids(ORDERS.nodes) == [FIRST, SECOND, THIRD]
    assert group.primary_node == ORDERS.node(FIRST)
    assert ids(group.replicas) == [SECOND, THIRD]
    assert ORDERS.node("strangers-001") is None
    assert group.node("strangers-001") is None


def test_a_leaving_node_is_neither_staying_nor_a_replica() -> None:
    group = ORDERS.with_departure_of([SECOND]).node_groups[0]
    assert ids(group.nodes) == [FIRST, SECOND, THIRD]
    assert ids(group.staying) == [FIRST, THIRD]
    assert ids(group.replicas) == [THIRD]


def test_memcached_has_no_primary_and_no_endpoints() -> None:
    sessions = a_cache_cluster(nodes=2)
    assert sessions.is_memcached
    assert not sessions.has_endpoints
    assert sessions.node_groups[0].primary_node is None


def test_only_a_replication_group_has_endpoints() -> None:
    assert ORDERS.has_endpoints
    assert not a_cache_cluster(engine="valkey").has_endpoints
    assert not a_cache_cluster(engine="valkey").is_memcached


def test_keys_differ_from_one_topology_to_the_next_of_that_name() -> None:
    later = replace(ORDERS, uid="another")
    assert ORDERS.key(FIRST) != later.key(FIRST)
    assert len({ORDERS.key(FIRST), ORDERS.key(SECOND), ORDERS.route_key}) == 3


def test_the_group_of_a_node() -> None:
    assert ORDERS.group_of(SECOND) == ORDERS.node_groups[0]
    with pytest.raises(KeyError, match="strangers-001"):
        ORDERS.group_of("strangers-001")


@pytest.mark.parametrize(
    ("asked", "boots"),
    [([SECOND], [1, 2, 1]), ([FIRST, THIRD], [2, 1, 2]), ([], [1, 1, 1]), (["strangers-001"], [1, 1, 1])],
)
def test_a_reboot_touches_only_the_named_nodes(asked: list[str], boots: list[int]) -> None:
    rebooting = ORDERS.with_reboot_of(asked)
    assert [node.boot for node in rebooting.nodes] == boots
    assert [node.restart for node in rebooting.nodes] == [Restart.ASKED if boot > 1 else None for boot in boots]


def test_a_change_leaves_the_former_value_as_it_was() -> None:
    before = a_group()
    before.with_reboot_of([FIRST]).with_departure_of([SECOND]).with_deletion()
    assert before == ORDERS
    with pytest.raises(FrozenInstanceError):
        before.deleting = True  # type: ignore[misc]


def test_deletion_takes_every_node() -> None:
    gone = ORDERS.with_deletion()
    assert gone.deleting
    assert gone.retained is None
    assert [node.leaving for node in gone.nodes] == [True, True, True]


def test_deletion_may_retain_a_node() -> None:
    gone = ORDERS.with_deletion(retained=FIRST)
    assert (gone.deleting, gone.retained) == (True, FIRST)
    assert [node.leaving for node in gone.nodes] == [False, True, True]


def test_nobody_comes_home_to_what_is_deleted() -> None:
    standing_in = ORDERS.with_group(replace(ORDERS.node_groups[0], primary=SECOND, home=FIRST))
    assert standing_in.with_deletion(retained=SECOND).node_groups[0].home is None


def test_replacing_one_group_or_node_leaves_the_others() -> None:
    other = replace(ORDERS.node_groups[0], id="0002", nodes=())
    both = replace(ORDERS, node_groups=(*ORDERS.node_groups, other))
    assert both.with_group(replace(other, epoch=7)).node_groups == (ORDERS.node_groups[0], replace(other, epoch=7))
    third = ORDERS.node(THIRD)
    assert third is not None
    assert list(ORDERS.with_node(replace(third, joined_at=NOW, boot=5)).nodes)[:2] == list(ORDERS.nodes)[:2]
