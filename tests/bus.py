"""What the engines of a group in cluster mode say, held against what Describe says, node by node."""

from __future__ import annotations

from typing import Any

import httpx
import redis

Shards = dict[str, tuple[tuple[tuple[int, int], ...], str, frozenset[str]]]
"""By the address of its primary: a shard's slots, that address again, and the addresses of its replicas."""


def engine_at(address: str, port: int = 6379) -> redis.Redis:
    """A plain client of one node."""
    return redis.Redis(host=address, port=port, decode_responses=True, socket_timeout=5)


def nodes_of(url: str, account: str, group: str) -> list[dict[str, Any]]:
    """The nodes with their processes, as our REST door tells them."""
    answer = httpx.get(f"{url}/v1/nodes", params={"replication_group_id": group}, headers={"X-Account-Id": account})
    return list(answer.json()["nodes"])


def slots_in(text: str) -> tuple[tuple[int, int], ...]:
    """``0-99,200-300`` as pairs."""
    return tuple((int(first), int(last)) for first, _, last in (part.partition("-") for part in text.split(",")))


def seen_from(address: str, port: int = 6379) -> Shards:
    """What CLUSTER SHARDS answers at one node. A node that it does not call online raises AssertionError."""
    with engine_at(address, port) as engine:
        answer = engine.connection_pool.get_connection()
        try:
            answer.send_command("CLUSTER", "SHARDS")
            shards = [_pairs(shard) for shard in answer.read_response()]
        finally:
            engine.connection_pool.release(answer)
    found: Shards = {}
    for shard in shards:
        nodes = [_pairs(node) for node in shard["nodes"]]
        assert all(node["health"] == "online" for node in nodes), nodes
        (primary,) = [node["ip"] for node in nodes if node["role"] == "master"]
        bounds = list(map(int, shard["slots"]))
        slots = tuple(zip(bounds[::2], bounds[1::2], strict=True))
        found[primary] = (slots, primary, frozenset(node["ip"] for node in nodes if node["role"] != "master"))
    return found


def _pairs(flat: list[Any]) -> dict[str, Any]:
    return flat if isinstance(flat, dict) else dict(zip(flat[::2], flat[1::2], strict=True))


def must_agree(client: Any, url: str, account: str, name: str) -> Shards:
    """Describe, our nodes, and CLUSTER SHARDS as every single engine answers it, say the same. Answers what they say."""
    group = client.describe_replication_groups(ReplicationGroupId=name)["ReplicationGroups"][0]
    nodes = {node["node"]: node for node in nodes_of(url, account, name)}
    said: Shards = {}
    for part in group["NodeGroups"]:
        ids = [member["CacheClusterId"] for member in part["NodeGroupMembers"]]
        (primary,) = [nodes[each]["address"] for each in ids if nodes[each]["role"] == "primary"]
        replicas = frozenset(nodes[each]["address"] for each in ids if nodes[each]["role"] == "replica")
        assert 1 + len(replicas) == len(ids), "a node has no role"
        said[primary] = (slots_in(part.get("Slots") or "0-16383"), primary, replicas)
        for member in part["NodeGroupMembers"]:
            _zone_must_agree(nodes[member["CacheClusterId"]], member["PreferredAvailabilityZone"])
    for node in nodes.values():
        assert seen_from(node["address"], node["port"]) == said, f"as seen from {node['node']}"
        _role_must_agree(node, said)
    return said


def _zone_must_agree(node: dict[str, Any], shown: str) -> None:
    assert node["zone"] == shown
    with engine_at(node["address"], node["port"]) as engine:
        server = engine.info("server")
    if "availability_zone" in server:
        assert server["availability_zone"] == shown


def _role_must_agree(node: dict[str, Any], said: Shards) -> None:
    with engine_at(node["address"], node["port"]) as engine:
        replication = engine.info("replication")
        state = engine.execute_command("CLUSTER INFO")
    assert state["cluster_state"] == "ok", node["node"]
    if node["address"] in said:
        assert replication["role"] == "master"
        return
    (leader,) = [primary for _, primary, replicas in said.values() if node["address"] in replicas]
    assert (replication["role"], replication["master_host"]) == ("slave", leader)
    assert replication["master_link_status"] == "up"
