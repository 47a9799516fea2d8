"""The life of a topology in one tuple. Each rule is pure, reads only the situation, and keeps one sentence true."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from controlplane.planner.backups import begin_automatic_backups, close_backups, take_backups
from controlplane.planner.decisions import Decision
from controlplane.planner.departures import stop_leaving_nodes
from controlplane.planner.discovery import apply_pending, publish_discovery
from controlplane.planner.endpoints import give_back_addresses, give_endpoints, publish_configuration, publish_primary, spread_readers
from controlplane.planner.lifecycle import announce, bury, close_modification
from controlplane.planner.nodes import close_restarts, note_out_of_memory, retire_leaving_nodes, start_dead_nodes, welcome_nodes
from controlplane.planner.placement import drain_hosts, place_missing_nodes, replace_lost_nodes
from controlplane.planner.primaries import call_roll, elect_primaries, hand_back, hand_over, rebuild_formers
from controlplane.planner.renewal import boot_unled_nodes, renew_nodes
from controlplane.planner.sharding import begin_resharding, dismiss_empty_groups, land_slots
from controlplane.planner.situation import Situation
from controlplane.planner.transit import issue_certificates

Rule = Callable[[Situation], Iterator[Decision]]

RULES: tuple[Rule, ...] = (
    apply_pending,          # what was put off to the maintenance window is done when it opens
    place_missing_nodes,    # every desired node has an agent in its zone
    replace_lost_nodes,     # a node whose host is lost lives on another
    drain_hosts,            # nodes leave a host that is being emptied
    give_endpoints,         # every topology has its stable addresses
    give_back_addresses,    # and none of an endpoint that it shall have no more
    issue_certificates,     # what is encrypted proves who it is, by every name it has
    begin_resharding,       # slots move where what they hold has room
    land_slots,             # slots that have moved belong to the shard they went to
    call_roll,              # whoever may replace a lost primary has told how far it came
    elect_primaries,        # every node group has a living primary
    hand_back,              # a primary that was rebuilt in place is primary again
    hand_over,              # a primary that a caller wants replaced yields to its heir
    rebuild_formers,        # a primary whose failover was tested is rebuilt
    boot_unled_nodes,       # a node in cluster mode follows a primary that is not
    renew_nodes,            # every node is made of what is desired
    note_out_of_memory,     # a node that ended for want of memory is told of
    start_dead_nodes,       # every node whose process ended is started again
    publish_primary,        # the primary endpoint leads to the node that reports the role
    publish_configuration,  # the configuration endpoint leads to a node that can answer
    welcome_nodes,          # a node that does its duty has joined
    close_restarts,         # a restarted node that does its duty is back
    spread_readers,         # the reader endpoint is spread over what is in sync
    publish_discovery,      # clients are told of every node that has joined and stays
    stop_leaving_nodes,     # a node that clients are no longer told of ends
    dismiss_empty_groups,   # a shard that was to leave goes once it owns nothing
    begin_automatic_backups,  # a snapshot is taken when its window opens
    take_backups,           # every node group of which a snapshot is taken has a node that saves
    close_backups,          # a snapshot of which every file is kept is taken
    announce,               # a topology that works is available
    close_modification,     # a change that was seen in the engines is over
    retire_leaving_nodes,   # a leaving node that left nothing behind is forgotten
    bury,                   # a deleted topology that runs no more is forgotten
)


def plan(now: Situation) -> list[Decision]:
    """What to do next, in the order of the rules. Nothing means that the topology is as desired, or waits for a report."""
    decisions: list[Decision] = []
    for rule in RULES:
        decisions.extend(rule(now))
    return decisions
