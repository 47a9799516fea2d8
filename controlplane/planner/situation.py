"""What the planner looks at: one topology, what was seen of it, the agents, the time."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from controlplane.domain.endpoint_names import EndpointStyle
from controlplane.domain.reported import Reported, SeenAgent
from controlplane.domain.topology import Node, Topology


@dataclass(frozen=True, slots=True)
class Policy:
    """The intervals and bounds of planning, in one place so that a test can run at another speed.

    ``settle`` is how long an election waits for replicas that do not answer the roll; ``last_resort`` how long a lost primary is not
    started empty while a replica, which may hold its data, has not answered; ``handover_within`` how long a caller's wish for another
    primary waits for a replica that is in sync; ``yields_for`` how long the word of a primary counts that it has yielded (it takes writes
    again after 2 s); ``most_failover_tests`` how many node groups of an account may be tested in 24 hours, 0 meaning any number, and
    ``most_manual_snapshots`` how many may be taken by request of a node, or of a group in cluster mode, in that time, 0 again meaning any
    number; ``linger`` is how long the nodes of a shard that owns nothing any more go on sending clients to those that do;
    ``led_away_within`` how long a replica that leaves runs on at most until readers are led away from it; ``lost_after`` how long a host
    may be silent until its nodes move to another host of their zone; ``most_boots`` how many starts of a node that has never joined may
    fail before its creation counts as failed; ``retry`` the pause before a node which could not be started is tried again, doubled with
    each try up to ``longest_retry``; ``most_saves`` how many nodes may fail to save what a node group holds for a snapshot,
    ``replica_awaited`` how long a replica in sync is waited for before the primary saves, and ``saved_within`` how long anybody is.
    """

    settle: timedelta = timedelta(seconds=1)
    last_resort: timedelta = timedelta(seconds=30)
    handover_within: timedelta = timedelta(seconds=30)
    yields_for: timedelta = timedelta(seconds=1.5)
    most_failover_tests: int = 0
    most_manual_snapshots: int = 20
    linger: timedelta = timedelta(seconds=2)
    led_away_within: timedelta = timedelta(seconds=10)
    lost_after: timedelta = timedelta(seconds=60)
    most_boots: int = 4
    most_saves: int = 4
    replica_awaited: timedelta = timedelta(seconds=5)
    saved_within: timedelta = timedelta(minutes=5)
    style: EndpointStyle = field(default_factory=EndpointStyle)
    retry: timedelta = timedelta(seconds=0.5)
    longest_retry: timedelta = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Situation:
    """Everything a rule may read. ``seen_at`` is when the newest report of each node arrived, by node id."""

    topology: Topology
    reported: Reported
    agents: tuple[SeenAgent, ...]
    now: datetime
    policy: Policy = field(default_factory=Policy)
    seen_at: dict[str, datetime] = field(default_factory=dict)

    def silent_since(self, node: Node) -> str | None:
        """Names the moment since when the node's agent is silent; None while it is heard."""
        agent = self.agent_of(node)
        return None if agent is None or agent.heard else agent.last_word or "ever"

    def agent_of(self, node: Node) -> SeenAgent | None:
        """The agent of the host where the node lives."""
        if node.placement is None:
            return None
        return next((agent for agent in self.agents if agent.id == node.placement.agent), None)
