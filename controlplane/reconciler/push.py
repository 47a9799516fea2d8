"""Levels that an agent has not yet taken go to it. What was taken is remembered; forgetting it only costs a repetition."""

from __future__ import annotations

import logging
import threading
from collections import defaultdict

from api_schemas.agent.agent import Orders
from api_schemas.agent.node import NodeSpec, Role
from api_schemas.agent.route import RouteSpec
from controlplane.domain.topology import Topology
from controlplane.reconciler.fleet import AgentUnreachableError, Fleet
from controlplane.reconciler.specs import dropped_nodes, node_specs, reader_route

log = logging.getLogger("cachewright.reconciler")


class Pusher:
    """Sends each agent what it has not taken yet."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._lock = threading.Lock()
        self._taken: dict[str, dict[str, object]] = defaultdict(dict)

    def push(self, topology: Topology) -> bool:
        """Bring every agent up to date with the topology; answers whether all took their orders."""
        orders: dict[str, Orders] = defaultdict(Orders)
        news = [(agent, spec) for agent, spec in node_specs(topology) if self._is_news(agent, spec)]
        for agent, spec in sorted(news, key=self._moves_an_endpoint):
            orders[agent].nodes.append(spec)
        for agent, key in dropped_nodes(topology):
            orders[agent].dropped_nodes.append(key)
        self._add_route(topology, orders)
        optional = {leftover.agent for leftover in topology.leftovers}  # one that is lost is told when it joins again
        delivered = {agent: self._deliver(agent, order) for agent, order in orders.items()}  # to each, whoever does not answer
        return all(taken or (agent in optional and not orders[agent].nodes) for agent, taken in delivered.items())

    def forget(self, agent: str) -> None:
        """The agent has joined again, perhaps without what it knew: everything is news to it."""
        with self._lock:
            self._taken.pop(agent, None)

    def forget_all(self) -> None:
        """Another control plane may have told the agents other things since: everything is news to them."""
        with self._lock:
            self._taken.clear()

    def _add_route(self, topology: Topology, orders: dict[str, Orders]) -> None:
        if topology.reader_agent is None:
            return
        route = reader_route(topology)
        if route is None:
            orders[topology.reader_agent].dropped_routes.append(topology.route_key)
        elif self._is_news(*route):
            orders[route[0]].routes.append(route[1])

    def _is_news(self, agent: str, level: NodeSpec | RouteSpec) -> bool:
        with self._lock:
            return self._taken[agent].get(level.key) != _timeless(level)

    def _moves_an_endpoint(self, order: tuple[str, NodeSpec]) -> int:
        """Who lets an endpoint go comes first, for until then it takes writes, and everybody waits for the endpoint; the others have time.

        One that yields takes no writes; its heir, which has a role to take before the endpoint, needs longer. What was told by a former
        life of this process nobody knows: then those who shall follow come before those who shall lead.
        """
        agent, spec = order
        with self._lock:
            former = self._taken[agent].get(spec.key)
        if not isinstance(former, NodeSpec):
            return 5 if spec.role is Role.PRIMARY and spec.epoch > 1 else 4
        had, has = _led_to(former), _led_to(spec)
        if had - has:
            return 0 if former.yields_to is None else 2
        return 1 if has - had else 3

    def _deliver(self, agent: str, order: Orders) -> bool:
        with self._lock:
            taken = self._taken[agent]  # what is forgotten meanwhile stays forgotten
        try:
            self._fleet.push(agent, order)
        except AgentUnreachableError as unreachable:
            log.warning("agent did not take its orders  agent=%s because=%s", agent, unreachable)
            return False
        with self._lock:
            levels: list[NodeSpec | RouteSpec] = [*order.nodes, *order.routes]
            for level in levels:
                taken[level.key] = _timeless(level)
            for key in (*order.dropped_nodes, *order.dropped_routes):
                taken.pop(key, None)
        return True


def _led_to(spec: NodeSpec) -> set[str]:
    """The addresses at which clients of an endpoint reach the node: those that it binds, or by a name its own."""
    return {*spec.holds, spec.address} if spec.named and spec.role is Role.PRIMARY else set(spec.holds)


def _timeless(level: NodeSpec | RouteSpec) -> object:
    """The level without what alone is no news: its generation, and that its boot is up by now."""
    return level.model_copy(update={"generation": 0, "was_up": False} if isinstance(level, NodeSpec) else {"generation": 0})
