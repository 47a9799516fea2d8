"""Rules about discovery: which nodes a Memcached cluster names to its clients, and how it changes its number of nodes meanwhile."""

from __future__ import annotations

from collections.abc import Iterator

from controlplane.domain.windows import next_opening
from controlplane.planner.decisions import ApplyPending, Decision, LookAgain, PublishDiscovery
from controlplane.planner.situation import Situation


def publish_discovery(now: Situation) -> Iterator[Decision]:
    """Clients are told of every node that has joined and stays, also while it is started again, and of no other.

    The first list is complete: before a cluster is announced, nobody asks.
    """
    topology = now.topology
    if not topology.is_memcached or topology.deleting:
        return
    staying = [node for group in topology.node_groups for node in group.staying]
    listed = tuple(node.id for node in staying if node.joined_at is not None)
    is_first = topology.discovery is None
    if is_first and len(listed) < len(staying):
        return
    if listed and (topology.discovery is None or listed != topology.discovery.nodes):
        yield PublishDiscovery(listed, because=f"{len(listed)} nodes have joined and stay")


def apply_pending(now: Situation) -> Iterator[Decision]:
    """What waits for the maintenance window is done when it opens."""
    topology = now.topology
    if (topology.pending is None and topology.remake is None) or topology.is_going or topology.backup is not None:
        return  # what is being saved is left alone meanwhile
    opens = next_opening(topology.settings.maintenance_window, now.now)
    if opens > now.now:
        yield LookAgain(opens, because="the maintenance window opens then")
    else:
        yield ApplyPending(because=f"the maintenance window {topology.settings.maintenance_window} is open")
