"""What may go wrong, and what may be done meanwhile: each begins, ends, and says whom it strikes and what it may cost."""

from __future__ import annotations

import math
import random
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, ClassVar

from botocore.exceptions import ClientError
from deployment import ZONES

from chaos.clients import Lane
from chaos.stage import PLAIN, SHARDED

LONG = 60  # seconds; a fault is ended by its round
HOLDS = (4.0, 8.0)  # seconds for which a lasting trouble holds, from and to


@dataclass
class Trouble:
    """One of a kind, made for one round. ``struck`` are the zones in which it may cost data or put nodes out of reach."""

    name: ClassVar[str] = ""
    order: ClassVar[int] = 0
    """Those of a lower number begin first and end last: who is gone cannot be asked for anything."""
    unseats: ClassVar[bool] = False
    """Whether a primary that it strikes is replaced."""
    loses: ClassVar[bool] = False
    """Whether writes may be lost that the struck primary had acknowledged but not handed on."""
    parts: ClassVar[bool] = False
    """Whether a struck primary may take writes for a while beside its heir."""
    lasts: ClassVar[bool] = False
    certain: ClassVar[bool] = True
    """Whether a struck primary is replaced in any case, where one is."""
    undecided: ClassVar[float] = 0.0
    """Seconds, at most, for which nobody can be elected because of it, however long it lasts."""

    struck: frozenset[str] = frozenset()
    told: str = ""

    def strikes(self, primary: dict[str, Any]) -> bool:
        """Whether it strikes this primary."""
        return False

    def begin(self, stage: Any) -> None:
        """From now on it is so."""

    def end(self, stage: Any) -> None:
        """It is so no more, as far as that depends on us."""

    def clear(self, stage: Any) -> None:
        """What is left to be put away when all is well again."""

    def __str__(self) -> str:
        return f"{self.name} {self.told}".strip()


@dataclass
class Injected(Trouble):
    """A fault of the product's own."""

    kind: ClassVar[str] = ""
    fault: str = ""

    def target(self) -> dict[str, Any]:
        """What the fault is injected into."""
        raise NotImplementedError

    def begin(self, stage: Any) -> None:
        asked = {"Kind": self.kind, "DurationSeconds": LONG, **self.target()}
        self.fault = stage.lab.create_fault(**asked)["Fault"]["FaultId"]

    def end(self, stage: Any) -> None:
        stage.lab.delete_fault(FaultId=self.fault)


@dataclass
class OnNode(Injected):
    """A fault of one node."""

    node: str = ""

    def strikes(self, primary: dict[str, Any]) -> bool:
        return bool(primary["node"] == self.node)

    def target(self) -> dict[str, Any]:
        return {"CacheClusterId": self.node}


class Crash(OnNode):
    """kill -9."""

    name, kind, unseats, loses = "crash", "node-crash", True, True


class Hang(OnNode):
    """SIGSTOP, until it is killed for it."""

    name, kind, unseats, loses, lasts, order = "hang", "node-hang", True, True, True, 1


class Slow(OnNode):
    """It gets a fifth of its time: nobody takes over from it."""

    name, kind, lasts, order = "slow", "node-slow", True, 1


@dataclass
class OnZone(Injected):
    """A fault of a whole zone."""

    lasts: ClassVar[bool] = True
    order: ClassVar[int] = 1
    zone: str = ""

    def strikes(self, primary: dict[str, Any]) -> bool:
        return primary["zone"] in self.struck

    def target(self) -> dict[str, Any]:
        return {"Zone": self.zone}


class PowerLoss(OnZone):
    """Every process of the zone is killed, its agent is silent."""

    name, kind, unseats, loses = "power loss", "zone-power-loss", True, True


class Isolation(OnZone):
    """No packet passes between the zone and the others, its agent is silent; clients still reach it."""

    name, kind, unseats, loses, parts = "isolation", "zone-isolation", True, True, True


class Silence(OnZone):
    """The agent neither reports nor takes orders."""

    name, kind = "silent agent", "agent-silence"


@dataclass
class Cut(Injected):
    """No packet passes between two zones; both still speak with everybody else."""

    name: ClassVar[str] = "cut link"
    kind: ClassVar[str] = "link-cut"
    lasts: ClassVar[bool] = True
    order: ClassVar[int] = 1
    zones: tuple[str, str] = ("", "")

    def target(self) -> dict[str, Any]:
        return {"Zones": list(self.zones)}


@dataclass
class AgentKilled(Trouble):
    """kill -9 of the program that looks after a zone's engines, which go on."""

    name: ClassVar[str] = "killed agent"
    lasts: ClassVar[bool] = True
    order: ClassVar[int] = 2
    zone: str = ""

    def begin(self, stage: Any) -> None:
        stage.deployment.agents[self.zone].end(signal.SIGKILL)

    def end(self, stage: Any) -> None:
        stage.deployment.agents[self.zone].start()


@dataclass
class PlaneKilled(Trouble):
    """kill -9 of the control plane."""

    name: ClassVar[str] = "killed control plane"
    lasts: ClassVar[bool] = True
    order: ClassVar[int] = 3
    undecided: ClassVar[float] = math.inf

    def begin(self, stage: Any) -> None:
        stage.deployment.plane.end(signal.SIGKILL)

    def end(self, stage: Any) -> None:
        stage.deployment.start_plane()


@dataclass
class HandOver(Trouble):
    """TestFailover of a shard."""

    name: ClassVar[str] = "planned failover"
    order: ClassVar[int] = -1  # it is refused while a node of the group is replaced
    unseats: ClassVar[bool] = True
    lane: Lane | None = None
    node: str = ""

    @property
    def group(self) -> str:
        """The group that is asked for something."""
        return self.lane.group if self.lane else ""

    def strikes(self, primary: dict[str, Any]) -> bool:
        return bool(primary["node"] == self.node)

    def begin(self, stage: Any) -> None:
        assert self.lane is not None
        stage.elasticache.test_failover(ReplicationGroupId=self.lane.group, NodeGroupId=self.lane.shard)


@dataclass
class AddReplica(Trouble):
    """A fourth node joins the group outside cluster mode while other things happen, and one leaves it when all is well."""

    name: ClassVar[str] = "added replica"
    group: ClassVar[str] = PLAIN
    node: str = "plain-added"

    def begin(self, stage: Any) -> None:
        stage.elasticache.create_cache_cluster(CacheClusterId=self.node, ReplicationGroupId=PLAIN)

    def clear(self, stage: Any) -> None:
        (lane,) = [lane for lane in stage.lanes if lane.group == PLAIN]
        leaver = self.node
        if stage.primary(lane)["node"] == leaver:  # it is in office: one of the others in its zone goes, or any
            others = sorted(stage.nodes(lane), key=lambda node: (node["zone"] != stage.primary(lane)["zone"], node["node"]))
            leaver = next(node["node"] for node in others if node["node"] != self.node)
        stage.elasticache.delete_cache_cluster(CacheClusterId=leaver)
        stage.elasticache.get_waiter("cache_cluster_deleted").wait(CacheClusterId=leaver)
        self.node = leaver


@dataclass
class MoreReplicas(Trouble):
    """Every shard of the group in cluster mode gets a third replica while other things happen, and loses one when all is well."""

    name: ClassVar[str] = "more replicas"
    group: ClassVar[str] = SHARDED
    order: ClassVar[int] = -1

    def begin(self, stage: Any) -> None:
        stage.elasticache.increase_replica_count(ReplicationGroupId=SHARDED, NewReplicaCount=3, ApplyImmediately=True)

    def clear(self, stage: Any) -> None:
        stage.available(SHARDED)
        stage.elasticache.decrease_replica_count(ReplicationGroupId=SHARDED, NewReplicaCount=2, ApplyImmediately=True)
        stage.available(SHARDED)


@dataclass
class MoreShards(Trouble):
    """The group in cluster mode gets a third shard, to which a third of all slots goes while other things happen; it leaves when all is well."""

    name: ClassVar[str] = "more shards"
    group: ClassVar[str] = SHARDED
    order: ClassVar[int] = -1

    def begin(self, stage: Any) -> None:
        stage.elasticache.modify_replication_group_shard_configuration(ReplicationGroupId=SHARDED, NodeGroupCount=3, ApplyImmediately=True)

    def clear(self, stage: Any) -> None:
        stage.available(SHARDED)
        stage.elasticache.modify_replication_group_shard_configuration(
            ReplicationGroupId=SHARDED, NodeGroupCount=2, NodeGroupsToRemove=["0003"], ApplyImmediately=True
        )
        stage.available(SHARDED)


@dataclass
class OtherNodes(Trouble):
    """Every node of the group outside cluster mode is made anew on a larger node type, or on the smaller one again."""

    name: ClassVar[str] = "other nodes"
    group: ClassVar[str] = PLAIN
    order: ClassVar[int] = -1
    unseats: ClassVar[bool] = True
    certain: ClassVar[bool] = False  # one that crashes meanwhile is made anew at once

    def strikes(self, primary: dict[str, Any]) -> bool:
        return bool(primary["replication_group_id"] == PLAIN)

    def begin(self, stage: Any) -> None:
        present = stage.available(PLAIN)["CacheNodeType"]
        wanted = next(each for each in ("cache.t4g.small", "cache.t4g.medium") if each != present)
        stage.elasticache.modify_replication_group(ReplicationGroupId=PLAIN, CacheNodeType=wanted, ApplyImmediately=True)


Maker = Callable[[random.Random, Any], Iterator[Trouble]]
"""Given a stage, yields every trouble of one kind that could be had now, in an order drawn at random."""


def _on_primaries(kind: type[OnNode]) -> Maker:
    def make(draw: random.Random, stage: Any) -> Iterator[Trouble]:
        for lane in draw.sample(stage.lanes, len(stage.lanes)):
            primary = stage.primary(lane)
            yield kind(struck=frozenset({primary["zone"]}), told=f"of {primary['node']}, the primary of {lane}", node=primary["node"])

    return make


def _on_replicas(kind: type[OnNode]) -> Maker:
    def make(draw: random.Random, stage: Any) -> Iterator[Trouble]:
        replicas = [node for lane in stage.lanes for node in stage.nodes(lane) if node.get("role") == "replica"]
        for node in draw.sample(replicas, len(replicas)):
            yield kind(struck=frozenset({node["zone"]}), told=f"of {node['node']}, a replica", node=node["node"])

    return make


def _on_zones(kind: type[OnZone]) -> Maker:
    def make(draw: random.Random, stage: Any) -> Iterator[Trouble]:
        zones = draw.sample(ZONES, len(ZONES))
        for zone in sorted(zones, key=lambda zone: all(stage.primary(lane)["zone"] != zone for lane in stage.lanes)):
            yield kind(struck=frozenset() if kind is Silence else frozenset({zone}), told=f"of {zone}", zone=zone)

    return make


def hand_overs(draw: random.Random, stage: Any) -> Iterator[Trouble]:
    for lane in draw.sample(stage.lanes, len(stage.lanes)):
        yield HandOver(told=f"of {lane}", lane=lane, node=stage.primary(lane)["node"])


def _cuts(draw: random.Random, stage: Any) -> Iterator[Trouble]:
    for zone in draw.sample(ZONES, len(ZONES)):
        one, other = (each for each in ZONES if each != zone)
        yield Cut(struck=frozenset({one, other}), told=f"between {one} and {other}", zones=(one, other))


def _killed_agents(draw: random.Random, stage: Any) -> Iterator[Trouble]:
    for zone in draw.sample(ZONES, len(ZONES)):
        yield AgentKilled(told=f"of {zone}", zone=zone)


def _slow(draw: random.Random, stage: Any) -> Iterator[Trouble]:
    for lane in draw.sample(stage.lanes, len(stage.lanes)):
        node = stage.primary(lane)["node"]
        yield Slow(told=f"{node}, the primary of {lane}", node=node)


def _only(kind: type[Trouble]) -> Maker:
    def make(draw: random.Random, stage: Any) -> Iterator[Trouble]:
        yield kind()

    return make


KINDS: dict[str, Maker] = {
    "crashed primary": _on_primaries(Crash),
    "hung primary": _on_primaries(Hang),
    "power loss": _on_zones(PowerLoss),
    "isolation": _on_zones(Isolation),
    "planned failover": hand_overs,
    "killed agent": _killed_agents,
    "silent agent": _on_zones(Silence),
    "cut link": _cuts,
    "crashed replica": _on_replicas(Crash),
    "hung replica": _on_replicas(Hang),
    "slow primary": _slow,
    "killed control plane": _only(PlaneKilled),
    "added replica": _only(AddReplica),
    "more replicas": _only(MoreReplicas),
    "more shards": _only(MoreShards),
    "other nodes": _only(OtherNodes),
}
BY_FILTER = {"isolation", "cut link"}
SCALING = frozenset({"added replica", "more replicas", "more shards", "other nodes"})
ALONE_THEY_TEACH_NOTHING = {"added replica", "more replicas"}


def drawn(draw: random.Random, stage: Any, makers: list[Maker]) -> list[Trouble]:
    """A trouble of each of these kinds, as far as one zone with all its data stays in reach."""
    found: list[Trouble] = []
    for maker in makers:
        struck = frozenset[str]().union(*(trouble.struck for trouble in found))
        fitting = (trouble for trouble in maker(draw, stage) if len(struck | trouble.struck) < len(ZONES))
        with suppress(StopIteration):
            found.append(next(trouble for trouble in fitting if not _clash(trouble, found)))
    return sorted(found, key=lambda trouble: trouble.order)


_APART = ("node", "zone", "plane", "group")


def _clash(one: Trouble, others: list[Trouble]) -> bool:
    """Whether they cannot be had together: the same node, zone or control plane twice, a shard that is to hand over and to lose its primary,
    or two things that are asked of one group, which would refuse the second."""
    mine = {getattr(one, name, None) for name in _APART} - {None, ""}
    return any(mine & {getattr(other, name, None) for name in _APART} for other in others)


def ended(trouble: Trouble, stage: Any) -> None:
    """End it; a fault of a process that is no more may have ended by itself."""
    with suppress(ClientError):
        trouble.end(stage)
