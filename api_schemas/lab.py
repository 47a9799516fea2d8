"""What is ours beyond the service: the agents, the zones, and the real processes behind the nodes."""

from __future__ import annotations

from api_schemas.operation import Operation
from api_schemas.shape import Shape


class DescribeAgents(Shape):
    """Which agents to show: all."""


class InstalledEngine(Shape):
    """A server program of an agent: on its host, or, with an ``image``, in a container. The version ``*`` is any."""

    engine: str
    version: str
    path: str
    tls: bool
    image: str | None = None


class Agent(Shape):
    """An agent that has joined, how many nodes it runs for everybody, and whether it was heard in the last seconds.

    ``memory`` is what its nodes may take of the host's in bytes, absent where they are not counted, and ``memory_used`` what their node
    types promise; ``cores`` are the host's processors. One that is ``draining`` gets no more nodes and gives away those it has.
    ``faults`` are the kinds of fault that can be injected there.
    """

    agent: str
    zone: str
    host: str
    runtime: str
    network: str
    heard: bool
    nodes: int
    memory: int | None = None
    memory_used: int
    cores: int | None = None
    draining: bool
    engines: list[InstalledEngine]
    faults: list[str]


class Agents(Shape):
    """Every agent."""

    agents: list[Agent]


class DescribeZones(Shape):
    """Which zones to show: those of the caller's region."""


class Zone(Shape):
    """An availability zone of the caller's region, and the agents in it."""

    zone: str
    agents: list[str]
    nodes: int


class Zones(Shape):
    """Every zone of the region."""

    zones: list[Zone]


class DescribeNodes(Shape):
    """Which nodes to show: those of one resource, or all."""

    replication_group_id: str | None = None
    cache_cluster_id: str | None = None


class Node(Shape):
    """A node with the process behind it: what was desired of it, and what its agent saw last."""

    node: str
    cache_cluster_id: str
    replication_group_id: str | None = None
    node_group_id: str
    zone: str
    agent: str | None = None
    address: str | None = None
    port: int
    desired_role: str
    role: str | None = None
    phase: str | None = None
    in_sync: bool
    boot: int
    epoch: int
    offset: int | None = None
    holds: list[str]
    process_id: int | None = None
    run_id: str | None = None
    engine_binary: InstalledEngine | None = None
    problem: str | None = None


class Nodes(Shape):
    """Every node asked for."""

    nodes: list[Node]


DESCRIBE_AGENTS = Operation("DescribeAgents", "GET /agents", DescribeAgents, Agents,
                            "Show the agents, their zones and the engines installed on their hosts.", reads=True, ours=True)  # fmt: skip
DESCRIBE_ZONES = Operation("DescribeZones", "GET /zones", DescribeZones, Zones,
                           "Show the availability zones of the region.", reads=True, ours=True)  # fmt: skip
DESCRIBE_NODES = Operation("DescribeNodes", "GET /nodes", DescribeNodes, Nodes,
                           "Show nodes with their processes: desired and reported side by side.", reads=True, ours=True)  # fmt: skip
