"""Where the name of an endpoint leads, from what is desired and what was reported: bound, to its address; named, to nodes.

A name never leads to a node that does not do there what the name is for. So it may lead nowhere for a moment: an empty answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from controlplane.domain.endpoint_names import EndpointName, Purpose, has
from controlplane.domain.reported import Reported, does_duty, holds_endpoint, is_up
from controlplane.domain.topology import Node, Topology

Heard = Callable[[str], bool]
"""Whether an agent is heard, by its id."""


def addresses(topology: Topology, name: EndpointName, reported: Reported, heard: Heard) -> tuple[str, ...] | None:
    """The addresses that the name leads to at this moment, in no order that means anything; None where the topology has no such name."""
    if not has(topology, name.purpose):
        return None
    if name.purpose is Purpose.NODE:
        node = _node(topology, name)
        return None if node is None else _of([node])
    if topology.deleting:
        return ()
    return _named(topology, name.purpose, reported, heard) if topology.is_named else _bound(topology, name.purpose)


def _node(topology: Topology, name: EndpointName) -> Node | None:
    if name.tls and name.group != topology.name:
        return None
    if topology.is_memcached:
        return topology.node(name.number) if name.owner == topology.name else None
    return topology.node(name.owner) if name.number == "0001" else None


def _bound(topology: Topology, purpose: Purpose) -> tuple[str, ...]:
    found = {Purpose.PRIMARY: topology.primary_address, Purpose.READER: topology.reader_address}
    address = found.get(purpose, topology.configuration_address)
    return (address,) if address else ()


def _named(topology: Topology, purpose: Purpose, reported: Reported, heard: Heard) -> tuple[str, ...]:
    match purpose:
        case Purpose.PRIMARY:
            return _of(_primaries(topology, reported))
        case Purpose.READER:
            return _of(_readers(topology, reported))
        case Purpose.CONFIGURATION:
            return _of(_answering(topology, reported, heard))
        case _:
            return _of(_discovering(topology, reported, heard))


def _primaries(topology: Topology, reported: Reported) -> Iterator[Node]:
    """The node that the endpoint was published to, while it reports the role at the present epoch."""
    for group in topology.node_groups:
        primary = group.primary_node
        if primary is not None and is_up(primary, reported.of(primary)) and holds_endpoint(topology, group, reported):
            yield primary


def _readers(topology: Topology, reported: Reported) -> Iterator[Node]:
    """Those among whom the planner spreads readers, but who was seen to end since."""
    for node in topology.nodes:
        at = node.placement.address if node.placement is not None else ""
        if f"{at}:{topology.port}" in topology.reader_backends and is_up(node, reported.of(node)):
            yield node


def _answering(topology: Topology, reported: Reported, heard: Heard) -> list[Node]:
    """The nodes of a group in cluster mode that do their duty, else those that run; whose agents are heard, if any's is."""
    running = [(group, node) for group in topology.node_groups for node in group.staying if is_up(node, reported.of(node))]
    running = [pair for pair in running if _is_heard(pair[1], heard)] or running
    at_duty = [node for group, node in running if does_duty(topology, group, node, reported)]
    return at_duty or [node for _, node in running]


def _discovering(topology: Topology, reported: Reported, heard: Heard) -> list[Node]:
    """The listed nodes of a Memcached cluster that tell clients of the list."""
    listed = topology.discovery.nodes if topology.discovery else ()
    telling = [node for node in topology.nodes if node.id in listed and _tells(node, reported)]
    return [node for node in telling if _is_heard(node, heard)] or telling


def _tells(node: Node, reported: Reported) -> bool:
    seen = reported.of(node)
    return seen is not None and is_up(node, seen) and seen.discovery > 0


def _is_heard(node: Node, heard: Heard) -> bool:
    return node.placement is not None and heard(node.placement.agent)


def _of(nodes: Iterator[Node] | list[Node]) -> tuple[str, ...]:
    return tuple(node.placement.address for node in nodes if node.placement is not None)
