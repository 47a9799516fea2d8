"""The configuration an engine of the Valkey and Redis family is started with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from agents.engines.cluster_bus import NODES_FILE, nodes_file
from agents.engines.transit_files import bus_ports, encryption, listening, told_of_files, write_transit
from agents.engines.users import user_directives
from api_schemas.agent.configuration import Configuration
from api_schemas.agent.node import EngineBinary, NodeSpec, Role

# Parameters of the service that are not options of the engine, or that are set from elsewhere in the spec.
_NOT_ENGINE_OPTIONS = frozenset(
    {
        "appendonly", "appendfsync", "close-on-replica-write", "close-on-slave-write", "cluster-enabled", "cluster-databases",
        "cluster-preferred-endpoint-type", "lua-replicate-commands", "maxmemory", "rename-commands", "replica-allow-chaining",
        "slave-allow-chaining", "reserved-memory", "reserved-memory-percent", "search-default-timeout-ms",
        "search-enable-partial-results", "search-fanout-target-mode", "list-max-ziplist-entries", "list-max-ziplist-value",
        "repl-timeout",
    }
)  # fmt: skip

# The first version of each engine that knows an option, where not all that we run do.
_KNOWN_SINCE: dict[str, dict[str, tuple[int, int]]] = {
    "extended-redis-compatibility": {"valkey": (8, 0)},
    "commandlog-request-larger-than": {"valkey": (8, 1)},
    "commandlog-reply-larger-than": {"valkey": (8, 1)},
    "commandlog-large-request-max-len": {"valkey": (8, 1)},
    "commandlog-large-reply-max-len": {"valkey": (8, 1)},
    "latency-tracking": {"valkey": (7, 2), "redis": (7, 0)},
    "cluster-allow-pubsubshard-when-down": {"valkey": (7, 2), "redis": (7, 0)},
}

_OUTSIDE = frozenset({"databases"})  # of no meaning in cluster mode

_LONG = 3_600_000  # milliseconds

# What some builds of a program refuse. Told when it starts it would end them, so it is told, and refused, once they run.
_TRIED_AT_RUN_TIME = {"activedefrag": "no"}
# What no program changes while it runs, or only where the host lets it; they get it when they start.
_ONLY_AT_START = frozenset({"databases", "maxclients"})
# Any negative number turns these off; engines know only one.
_OFF_BELOW_ZERO = frozenset({"slowlog-log-slower-than", "commandlog-request-larger-than", "commandlog-reply-larger-than"})

_MOST_SAMPLES = 64  # of Valkey, which also serves families that allow more

_BUFFER_LIMIT = "client-output-buffer-limit-"


def version_of(binary: EngineBinary) -> tuple[int, int]:
    """Major and minor of the program."""
    major, minor = [*binary.version.split("."), "0"][:2]
    return int(major), int(minor)


def directives(spec: NodeSpec, folder: Path) -> Iterator[tuple[str, str]]:
    """Every directive of the node's configuration file, in order.

    The endpoint addresses are not among them: a second holder's start would fail, so they are only ever bound at run time.
    """
    yield "bind", spec.address
    yield from listening(spec)
    yield from encryption(spec, [(name, _quoted(Path(file))) for name, file in told_of_files(folder)])
    yield from {
        "dir": _quoted(folder),
        "dbfilename": "dump.rdb",
        "logfile": _quoted(folder / "engine.log"),
        "daemonize": "no",
        "protected-mode": "no",  # Redis takes our own replicas for strangers: they come from their own loopback addresses
        "save": '""',            # the service keeps no disk copy of its own accord; an orderly stop saves explicitly
        "appendonly": "no",
        "replica-announce-ip": spec.address,
        "replica-announce-port": str(spec.port),
        "maxmemory": str(spec.memory),
    }.items()
    yield from user_directives(spec)
    yield from source_address(spec)
    yield from replication_tuning(spec.binary)
    if spec.binary.engine == "valkey" and version_of(spec.binary) >= (8, 0):
        yield "availability-zone", spec.zone
    parameters = at_start(spec).parameters
    if spec.mesh is not None:
        yield from cluster_mode(spec)
        parameters = {name: value for name, value in parameters.items() if name not in _OUTSIDE}
    elif spec.role is Role.REPLICA:
        parameters = _taking_no_writes(parameters)
    yield from translated(parameters, spec.binary)


def _taking_no_writes(parameters: Mapping[str, str]) -> dict[str, str]:
    """For an engine that shall follow another: it starts as a primary without replicas, and clients may still know its address."""
    name = "min-slaves-to-write" if "min-slaves-to-write" in parameters else "min-replicas-to-write"
    return {**parameters, name: str(max(1, int(parameters.get(name, "0"))))}


def cluster_mode(spec: NodeSpec) -> Iterator[tuple[str, str]]:
    """Cluster mode, with every decision left to the control plane.

    Until it has its role a node must neither call others failing nor lose its stand-in, hence a timeout that is set right afterwards.
    """
    yield "cluster-enabled", "yes"
    yield "cluster-config-file", NODES_FILE
    yield "cluster-announce-ip", spec.address
    yield from bus_ports(spec)
    yield "cluster-node-timeout", str(_LONG)
    yield "cluster-replica-no-failover", "yes"
    yield "cluster-allow-replica-migration", "no"
    if (several := spec.parameters.get("cluster-databases")) and spec.binary.engine == "valkey" and version_of(spec.binary) >= (9, 0):
        yield "cluster-databases", several


def at_start(spec: NodeSpec) -> Configuration:
    """The configuration that a program is started with: as desired, but for what it is only asked to take once it runs."""
    return Configuration(spec.memory, {name: _TRIED_AT_RUN_TIME.get(name, value) for name, value in spec.parameters.items()})


def changes(spec: NodeSpec, runs_with: Configuration) -> list[tuple[str, str]]:
    """What a running program must be told so that it has the spec's configuration, as far as it can be told."""
    present = {*_settable(runs_with, spec.binary)}
    return [each for each in _settable(spec.configuration, spec.binary) if each not in present]


def reached(spec: NodeSpec, runs_with: Configuration, refused: Iterable[tuple[str, str]]) -> Configuration:
    """What a program runs with once it was told the changes and refused these."""
    kept = {*_ONLY_AT_START, *(name for directive in refused for name in _sources(directive, spec.parameters))}
    former = {name: value for name, value in runs_with.parameters.items() if name in kept}
    memory = runs_with.memory if any(name == "maxmemory" for name, _ in refused) else spec.memory
    return Configuration(memory, {**spec.parameters, **former})


def _settable(configuration: Configuration, binary: EngineBinary) -> Iterator[tuple[str, str]]:
    yield "maxmemory", str(configuration.memory)
    yield from (each for each in translated(configuration.parameters, binary) if each[0] not in _ONLY_AT_START)


def _sources(directive: tuple[str, str], parameters: Mapping[str, str]) -> list[str]:
    """The parameters that a directive was made of."""
    name, value = directive
    if name != _BUFFER_LIMIT.rstrip("-"):
        return [name]
    return [each for each in parameters if each.startswith(f"{_BUFFER_LIMIT}{value.split()[0]}-")]


def _quoted(path: Path) -> str:
    """As one word, whatever the folder is called."""
    return '"' + str(path).replace("\\", "\\\\").replace('"', '\\"') + '"'


def source_address(spec: NodeSpec) -> Iterator[tuple[str, str]]:
    """A node's outgoing connections come from its own address, so that the link between two zones can be cut."""
    yield "bind-source-addr", spec.address


def replication_tuning(binary: EngineBinary) -> Iterator[tuple[str, str]]:
    """The settings with which a first sync is fastest, by engine and version.

    Measured on three nodes started together, until both replicas acknowledged a write: Valkey 9.1 takes 144 ms with the snapshot
    loaded from the socket over a second channel, and a second without, for it otherwise notices a finished download on its
    1 Hz cron. Valkey 8.1 takes 24 ms with its defaults. Redis 7.0 takes 114 ms through the disk, and a second without.
    The delay of 5 s before a diskless sync starts is off for all.
    """
    yield "repl-diskless-sync-delay", "0"
    yield "repl-ping-replica-period", "1"  # seconds; a replica shall know within two whether its primary still speaks to it
    if binary.engine == "valkey" and version_of(binary) >= (9, 0):
        yield "repl-diskless-load", "swapdb"
        yield "dual-channel-replication-enabled", "yes"
    elif binary.engine == "redis":
        yield "repl-diskless-sync", "no"


def translated(parameters: Mapping[str, str], binary: EngineBinary) -> Iterator[tuple[str, str]]:
    """A parameter group's values as directives of this program; what it does not know is left out."""
    yield from _buffer_limits(parameters)
    for name, value in sorted(parameters.items()):
        if name in _NOT_ENGINE_OPTIONS or name.startswith(_BUFFER_LIMIT) or not _knows(binary, name):
            continue
        yield name, _as_known(binary, name, value)


def _as_known(binary: EngineBinary, name: str, value: str) -> str:
    """The value as the program takes it: with more it would refuse to start."""
    if name == "maxmemory-samples" and binary.engine == "valkey":
        return str(min(int(value), _MOST_SAMPLES))
    if name in _OFF_BELOW_ZERO and value.startswith("-"):
        return "-1"
    return value if value else '""'


def _knows(binary: EngineBinary, name: str) -> bool:
    since = _KNOWN_SINCE.get(name)
    return since is None or (binary.engine in since and version_of(binary) >= since[binary.engine])


def _buffer_limits(parameters: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Three parameters of the service make one directive of the engine."""
    for kind in ("normal", "pubsub", "replica", "slave"):
        parts = [parameters.get(f"{_BUFFER_LIMIT}{kind}-{part}") for part in ("hard-limit", "soft-limit", "soft-seconds")]
        if all(part is not None for part in parts):
            yield "client-output-buffer-limit", f"{kind} {' '.join(part or '0' for part in parts)}"


def write_config(spec: NodeSpec, folder: Path) -> Path:
    """Write the node's configuration file, and in cluster mode who is on the bus; only their owner may read them.

    Anew each time: in a container the folder belongs to an engine that has fewer rights than we do, and could have laid a link.
    """
    if spec.transit is not None:
        write_transit(spec.transit, folder)
    if spec.mesh is not None:
        _write_anew(folder / NODES_FILE, nodes_file(spec))
    path = folder / "engine.conf"
    _write_anew(path, "".join(f"{name} {value}\n" for name, value in directives(spec, folder)))
    return path


def _write_anew(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    path.touch(mode=0o600, exist_ok=False)
    path.write_text(text)
