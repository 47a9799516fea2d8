"""Where the storm takes place: a control plane and three agents as programs of their own, and a group in each mode."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import redis
from bus import must_agree
from deployment import ZONES, Deployment
from redis.crc import key_slot
from waiting import wait_until

from cachewright import client
from chaos.clients import Lane

PLAIN, SHARDED = "plain", "sharded"
ACCOUNT = "000000000000"
SHARDS = 2
HEALED_WITHIN = 60.0  # seconds in which everything must be well again


class Stage:
    """The deployment, what is asked of it, and whether all is well."""

    def __init__(self, folder: Path) -> None:
        self.deployment = Deployment(folder)
        self.lanes: list[Lane] = []

    def start(self) -> None:
        """Everything runs, both groups are available."""
        self.deployment.start()
        wait_until(lambda: sum(self.deployment.heard().values()) == len(ZONES))
        elasticache, common = self.deployment.client(), {"ReplicationGroupDescription": "for a storm", "AutomaticFailoverEnabled": True}
        elasticache.create_replication_group(ReplicationGroupId=PLAIN, NumCacheClusters=3, Engine="valkey", MultiAZEnabled=True, **common)
        elasticache.create_replication_group(ReplicationGroupId=SHARDED, NumNodeGroups=SHARDS, ReplicasPerNodeGroup=2, Engine="valkey",
                                             EngineVersion="8.1", MultiAZEnabled=True, **common)  # fmt: skip
        self.lanes = [*self._lanes(self.deployment.available(PLAIN)), *self._lanes(self.deployment.available(SHARDED))]
        self.is_whole_soon()

    def clear(self) -> None:
        self.deployment.clear()

    @property
    def elasticache(self) -> Any:
        return self.deployment.client()

    @property
    def lab(self) -> Any:
        return client("lab", endpoint_url=self.deployment.url)

    def nodes(self, lane: Lane | None = None) -> list[dict[str, Any]]:
        """Every node, or those of a lane."""
        found = self.deployment.nodes()
        return [node for node in found if lane is None or (node["replication_group_id"], node["node_group_id"]) == (lane.group, lane.shard)]

    def primary(self, lane: Lane) -> dict[str, Any]:
        return next(node for node in self.nodes(lane) if node.get("role") == "primary")

    def elections(self, lane: Lane, after: int = 0) -> list[dict[str, Any]]:
        """Those of that shard after this epoch, the oldest first."""
        found = self.deployment.ask(f"/v1/replication-groups/{lane.group}/history")["elections"]
        return [election for election in reversed(found) if election["node_group_id"] == lane.shard and election["epoch"] > after]

    def is_whole_soon(self) -> None:
        """Return when what is described is what the engines do. AssertionError, which says what is wrong, if that takes too long."""
        wait_until(lambda: all(self.deployment.heard().values()), within=HEALED_WITHIN, every=0.05)
        wait_until(lambda: all(node["in_sync"] for node in self.nodes()), within=HEALED_WITHIN, every=0.05)
        for group in (PLAIN, SHARDED):
            self.deployment.available(group)
        last: list[AssertionError] = []

        def is_so() -> bool:
            try:
                self._must_be_so()
            except (AssertionError, redis.RedisError, OSError, ValueError) as wrong:
                last[:] = [AssertionError(f"{type(wrong).__name__}: {wrong}")]
                return False
            return True

        try:
            wait_until(is_so, within=15, every=0.1)
        except AssertionError:
            raise last[0] from None

    def _must_be_so(self) -> None:
        for lane in self.lanes or []:
            nodes = self.nodes(lane)
            (primary,) = [node for node in nodes if node.get("role") == "primary"]
            for node in nodes:
                _must_have_its_role(node, primary)
        must_agree(self.elasticache, self.deployment.url, ACCOUNT, SHARDED)

    def _lanes(self, group: dict[str, Any]) -> list[Lane]:
        sharded = bool(group["ClusterEnabled"])
        lanes = []
        for part in group["NodeGroups"]:
            place = group["ConfigurationEndpoint"] if sharded else part["PrimaryEndpoint"]
            first, _, last = (part.get("Slots") or "0-16383").partition("-")
            tag = next(str(n) for n in range(100_000) if int(first) <= key_slot(str(n).encode()) <= int(last))
            lanes.append(Lane(group["ReplicationGroupId"], part["NodeGroupId"], (place["Address"], place["Port"]), tag, sharded))
        return lanes


def _must_have_its_role(node: dict[str, Any], primary: dict[str, Any]) -> None:
    """The engine is what it is said to be, and no fence is left on it."""
    with contextlib.closing(redis.Redis(node["address"], node["port"], decode_responses=True, socket_timeout=5)) as engine:
        said = engine.info("replication")
        demanded = engine.config_get("min-replicas-to-write")["min-replicas-to-write"]
    assert demanded == "0", f"{node['node']} still demands acknowledgements of {demanded}"
    if node["node"] == primary["node"]:
        assert said["role"] == "master", f"{node['node']} is {said['role']}"
    else:
        found = (said["role"], said["master_host"], said["master_link_status"])
        assert found == ("slave", primary["address"], "up"), f"{node['node']} is {found}, its primary is at {primary['address']}"
