"""Where a storm takes place: something with zones, and a group in each mode."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import Any

import redis
from bus import must_agree
from redis.crc import key_slot
from waiting import wait_until

from cachewright import client
from chaos.clients import Lane, Probes, as_it_is

PLAIN, SHARDED = "plain", "sharded"
ACCOUNT = "000000000000"
SHARDS = 2
HEALED_WITHIN = 60.0  # seconds in which everything must be well again


class Stage:
    """What a storm asks of where it takes place, and whether all is well there."""

    lanes: list[Lane]
    roaming: Lane
    """A slot that goes to each shard that is added, and comes back when that goes."""
    sharded_version = "8.1"
    probes_are_inside = False
    """Whether each probe is where its node is, as a client there would be."""

    def start(self) -> None:
        """Everything runs, both groups are available."""
        raise NotImplementedError

    def clear(self) -> None:
        """Nothing is left, also where it did not start."""
        raise NotImplementedError

    @property
    def url(self) -> str:
        """Of a control plane that answers."""
        raise NotImplementedError

    @property
    def elasticache(self) -> Any:
        """An unmodified client."""
        raise NotImplementedError

    def ask(self, path: str) -> dict[str, Any]:
        """What the REST door answers."""
        raise NotImplementedError

    def available(self, group: str) -> dict[str, Any]:
        """What Describe says of the group, once it is available."""
        raise NotImplementedError

    def all_are_heard(self) -> bool:
        """Whether each agent is."""
        raise NotImplementedError

    def create_groups(self, **more: Any) -> None:
        """Both, and the lanes of their shards."""
        common = {"ReplicationGroupDescription": "for a storm", "AutomaticFailoverEnabled": True, "MultiAZEnabled": True, **more}
        self.elasticache.create_replication_group(ReplicationGroupId=PLAIN, NumCacheClusters=3, Engine="valkey", **common)
        self.elasticache.create_replication_group(ReplicationGroupId=SHARDED, NumNodeGroups=SHARDS, ReplicasPerNodeGroup=2, Engine="valkey",
                                                  EngineVersion=self.sharded_version, **common)  # fmt: skip
        self.lanes = [*self._lanes(self.available(PLAIN)), *self._lanes(self.available(SHARDED))]
        last = self.lanes[-1]
        self.roaming = replace(last, shard="any", tag=_tag_of(16383, 16383))
        self.is_whole_soon()

    # ---- what is there

    @property
    def lab(self) -> Any:
        return client("lab", endpoint_url=self.url)

    def address_of(self, host: str) -> str:
        """Where clients find what an endpoint is called."""
        return as_it_is(host)

    def nodes(self, lane: Lane | None = None) -> list[dict[str, Any]]:
        """Every node, or those of a lane."""
        found = self.ask("/v1/nodes")["nodes"]
        return [node for node in found if lane is None or (node["replication_group_id"], node["node_group_id"]) == (lane.group, lane.shard)]

    def primary(self, lane: Lane) -> dict[str, Any]:
        return next(node for node in self.nodes(lane) if node.get("role") == "primary")

    def probes(self, lane: Lane) -> Probes:
        """Probes of every node of the lane, which can reach it whatever happens."""
        return Probes(lane, {node["node"]: (node["address"], node["port"]) for node in self.nodes(lane)})

    def elections(self, lane: Lane, after: int = 0) -> list[dict[str, Any]]:
        """Those of that shard after this epoch, the oldest first."""
        found = self.ask(f"/v1/replication-groups/{lane.group}/history")["elections"]
        return [election for election in reversed(found) if election["node_group_id"] == lane.shard and election["epoch"] > after]

    # ---- whether all is well

    def is_whole_soon(self) -> None:
        """Return when what is described is what the engines do. AssertionError, which says what is wrong, if that takes too long."""
        wait_until(self.all_are_heard, within=HEALED_WITHIN, every=0.05)
        wait_until(lambda: all(node["in_sync"] for node in self.nodes()), within=HEALED_WITHIN, every=0.05)
        for group in (PLAIN, SHARDED):
            self.available(group)
        last: list[AssertionError] = []

        def is_so() -> bool:
            try:
                self.must_be_so()
            except (AssertionError, redis.RedisError, OSError, ValueError) as wrong:
                last[:] = [AssertionError(f"{type(wrong).__name__}: {wrong}")]
                return False
            return True

        try:
            wait_until(is_so, within=15, every=0.1)
        except AssertionError:
            raise last[0] from None

    def must_be_so(self) -> None:
        """AssertionError, which says what is wrong, unless the engines do what is described."""
        for lane in self.lanes or []:
            nodes = self.nodes(lane)
            (primary,) = [node for node in nodes if node.get("role") == "primary"]
            for node in nodes:
                _must_have_its_role(node, primary)
        must_agree(self.elasticache, self.url, ACCOUNT, SHARDED)

    def _lanes(self, group: dict[str, Any]) -> list[Lane]:
        sharded = bool(group["ClusterEnabled"])
        lanes = []
        for part in group["NodeGroups"]:
            place = group["ConfigurationEndpoint"] if sharded else part["PrimaryEndpoint"]
            first, _, last = (part.get("Slots") or "0-16383").partition("-")
            tag = _tag_of(int(first), (int(first) + int(last)) // 2)  # the highest slots go to shards that are added
            lanes.append(Lane(group["ReplicationGroupId"], part["NodeGroupId"], (place["Address"], place["Port"]), tag, sharded, self.address_of))
        return lanes


def _tag_of(first: int, last: int) -> str:
    """A hash tag of one of these slots, the lowest that is found."""
    return next(str(n) for n in range(1_000_000) if first <= key_slot(str(n).encode()) <= last)


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
