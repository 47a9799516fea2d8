"""Rules about the topology as a whole: announced when it first works, changes closed when seen, buried when nothing is left."""

from __future__ import annotations

from collections.abc import Iterator

from controlplane.domain.access_control import all_enforce
from controlplane.domain.reported import holds_configuration, holds_endpoint, serves_discovery
from controlplane.domain.topology import Leftover
from controlplane.planner.decisions import Announce, Bury, CloseModification, Decision, Release
from controlplane.planner.discovery import publish_discovery
from controlplane.planner.nodes import all_up
from controlplane.planner.situation import Situation


def announce(now: Situation) -> Iterator[Decision]:
    """A topology is announced once every node has joined, does its duty, and every endpoint leads where it should."""
    topology = now.topology
    if topology.announced_at is not None or topology.deleting:
        return
    if not all_enforce(topology, now.reported):
        return
    if all(node.joined_at for node in topology.nodes) and all_up(now) and endpoints_lead(now) and _all_seeded(now):
        yield Announce(because="every node does its duty and every endpoint leads to its node")


def _all_seeded(now: Situation) -> bool:
    """Whether every primary that was to begin with data has loaded that very file."""
    seed = now.topology.seed
    if seed is None:
        return True
    files = {each.group: each.file.sha256 for each in seed.files or ()}
    return all(
        group.id not in files or ((seen := now.reported.nodes.get(group.primary or "")) is not None and seen.seeded == files[group.id])
        for group in now.topology.node_groups
    )


def close_modification(now: Situation) -> Iterator[Decision]:
    """A change that a caller made is over once the engines were seen to match it."""
    topology = now.topology
    if topology.resharding or any(group.handover or group.leaving for group in topology.node_groups):
        return
    if any(topology.is_old(node) or node.temporary for node in topology.nodes):
        return
    if topology.has_too_many_addresses or (topology.renewal is not None and not topology.renewal.fits):
        return  # it is not over, or has not begun
    if any(node.leaving or node.joined_at is None for node in topology.nodes) or not all_enforce(topology, now.reported):
        return
    if topology.modifying and not topology.deleting and topology.announced_at and all_up(now) and endpoints_lead(now):
        yield CloseModification(because="the engines match")


def endpoints_lead(now: Situation) -> bool:
    """Whether each endpoint leads to the node it was published to, and readers are spread as desired, or discovery is served."""
    topology = now.topology
    if topology.is_memcached:
        return serves_discovery(topology, now.reported) and not list(publish_discovery(now))
    if topology.has_bus and not holds_configuration(topology, now.reported):
        return False
    if not topology.has_endpoints:
        return True
    route = now.reported.route
    held = all(holds_endpoint(topology, group, now.reported) for group in topology.node_groups)
    if not topology.is_spread:
        return held and bool(topology.reader_backends)
    return held and route is not None and route.listening and set(route.backends) == set(topology.reader_backends)


def _left_behind(now: Situation) -> list[Leftover]:
    """What is left with agents that could still take it away; who is silent is told what it may keep when it joins again."""
    heard = {agent.id for agent in now.agents if agent.heard}
    return [leftover for leftover in now.topology.leftovers if leftover.agent in heard]


def bury(now: Situation) -> Iterator[Decision]:
    """A deleted topology is forgotten once none of it runs, or released to its retained node."""
    topology = now.topology
    left = [node for node in topology.nodes if node.id != topology.retained] or _left_behind(now)
    route_gone = topology.route_address is None or now.reported.route is None or now.reported.route.gone
    if not topology.deleting or left or not route_gone:
        return
    if topology.retained is None:
        yield Bury(because="nothing of it runs any more")
        return
    seen = now.reported.nodes.get(topology.retained)
    if seen is not None and topology.primary_address not in seen.holds:
        yield Release(topology.retained, because="its group is gone")
