"""What a node type and a parameter group come to for one engine: memory, threads, and a value for every parameter."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from api_schemas.agent.configuration import Configuration
from controlplane.domain.engine_versions import engine_version
from controlplane.domain.node_types import MIB, NodeType, memory_for, node_type
from controlplane.domain.parameters import node_type_parameters, values_of
from controlplane.domain.topology import Make, Topology

Values = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Resources:
    """What every node of a topology shall run with."""

    threads: int
    configuration: Configuration

    @property
    def memory(self) -> int:
        """The engine's limit in bytes."""
        return self.configuration.memory

    @property
    def parameters(self) -> dict[str, str]:
        """Every parameter's value under the service's name."""
        return dict(self.configuration.parameters)


def resources_of(topology: Topology, make: Make | None = None) -> Resources:
    """Memory, threads and parameter values for the topology's nodes, or for those of another make."""
    made = make or topology.make
    values = topology.parameters if made.parameters is None else made.parameters
    return _resources(made.engine, made.engine_version, made.node_type, made.clustered, values)


def databases_of(topology: Topology) -> int:
    """How many databases its engines have: in cluster mode one, unless a parameter of Valkey 9 says more."""
    parameter = "cluster-databases" if topology.has_bus else "databases"
    return max(1, int(resources_of(topology).parameters.get(parameter, "1")))


@lru_cache(maxsize=512)
def _resources(engine: str, version: str, type_name: str, cluster_mode: bool, differing: Values) -> Resources:
    size, family = node_type(type_name), engine_version(engine, version).family
    parameters = values_of(family, cluster_mode=cluster_mode) | dict(differing)
    if "maxclients" in parameters:
        parameters["maxclients"] = str(size.maxclients)
        parameters |= _limits_of(family, size)
    return Resources(size.threads, Configuration(_memory(size, engine, parameters, dict(differing)), parameters))


def _limits_of(family: str, size: NodeType) -> dict[str, str]:
    """How far replicas may lag behind on such a node."""
    limits = (each for each in node_type_parameters(family) if each.name.startswith("client-output-buffer-limit-"))
    return {each.name: dict(each.values)[size.name] for each in limits}


def _memory(size: NodeType, engine: str, parameters: dict[str, str], differing: dict[str, str]) -> int:
    """What is reserved in bytes takes the place of a percentage; memcached keeps what connections take, but room for two items."""
    if engine == "memcached" and "memcached_connections_overhead" in differing:
        least = 2 * int(parameters["max_item_size"])
        return max(least, size.memory(engine) - int(differing["memcached_connections_overhead"]) * MIB)
    if "reserved-memory" in differing:
        return max(1, size.memory(engine) - int(differing["reserved-memory"]))
    return memory_for(size, engine, int(parameters.get("reserved-memory-percent", "0")))
