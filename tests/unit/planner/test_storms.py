"""Thousands of random histories: whatever happens in whatever order, nothing unsafe is decided, and in the end all is as desired."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import pytest
from factories import a_cache_cluster, a_group, a_sharded_group
from simulated_bus import parts_in, shown_parts
from simulation import Fleet, is_quiet

from api_schemas.agent.node import Role
from controlplane.domain.endpoint_names import Purpose
from controlplane.domain.mesh import mesh_of
from controlplane.domain.renewal import remade
from controlplane.domain.reported import RUNNING, does_duty, holds_configuration, holds_endpoint
from controlplane.domain.resharding import Resharding, SlotMove
from controlplane.domain.resizing import Resizing
from controlplane.domain.resources import resources_of
from controlplane.domain.settings import Settings
from controlplane.domain.slots import all_of, even_transfers, number_of_slots, parsed_slots, slots_of
from controlplane.domain.status import AVAILABLE, CREATE_FAILED, topology_status
from controlplane.domain.topology import ClusterMode, Endpoints, Kind, Node, NodeGroup, Remake, Topology
from controlplane.domain.windows import next_opening

STORMS, STORMS_OVER_SHARDS, STORMS_OVER_NAMES, STORMS_OVER_COUNTS = 600, 150, 400, 300
PER_TEST, PER_TEST_OVER_SHARDS = 200, 50
MOST_ROUNDS = 60

Happening = Callable[[Fleet], None]


@pytest.mark.parametrize("first", range(0, STORMS, PER_TEST))
def test_every_storm_passes_and_all_is_as_desired(first: int) -> None:
    for seed in range(first, first + PER_TEST):
        _weather(Fleet(_some_topology(seed), seed), seed)


@pytest.mark.parametrize("first", range(0, STORMS_OVER_SHARDS, PER_TEST_OVER_SHARDS))
def test_every_storm_over_shards_passes_and_all_is_as_desired(first: int) -> None:
    for seed in range(first, first + PER_TEST_OVER_SHARDS):
        _weather(Fleet(_some_shards(seed), seed), seed)


@pytest.mark.parametrize("first", range(0, STORMS_OVER_NAMES, PER_TEST))
def test_every_storm_over_names_passes_and_every_name_leads_where_it_should(first: int) -> None:
    for seed in range(first, first + PER_TEST):
        topology = _some_shards(seed) if seed % 6 == 0 else _some_topology(seed)
        fleet = Fleet(replace(topology, endpoints=Endpoints.NAMED), seed)
        _weather(fleet, seed)
        _must_be_led(fleet, seed)


@pytest.mark.parametrize("first", range(0, STORMS_OVER_COUNTS, PER_TEST_OVER_SHARDS))
def test_every_storm_over_replica_counts_passes_and_each_group_has_as_many_as_asked(first: int) -> None:
    for seed in range(first, first + PER_TEST_OVER_SHARDS):
        topology = _some_shards(seed // 3) if seed % 3 == 0 else _some_group(seed)
        fleet = Fleet(replace(topology, endpoints=Endpoints.NAMED) if seed % 7 == 0 else topology, seed)
        _weather(fleet, seed, COUNTING)
        assert fleet.topology is None or fleet.topology.replicas_from is None, f"storm {seed}: the change is not over"


@pytest.mark.parametrize("seed", [1003, 1209])
def test_storms_that_once_lost_data(seed: int) -> None:
    _weather(Fleet(_some_topology(seed), seed), seed)


@pytest.mark.parametrize("seed", [333, 563, 685])
def test_storms_over_shards_that_once_lost_data(seed: int) -> None:
    _weather(Fleet(_some_shards(seed), seed), seed)


def _weather(fleet: Fleet, seed: int, besides: dict[Happening, float] | None = None) -> None:
    if seed % 2:
        _calm(fleet)  # half of the storms hit something that already works
    _storm(fleet, besides or {})
    _calm(fleet)
    _must_be_as_desired(fleet, seed)


def _some_topology(seed: int) -> Topology:
    if seed % 5 == 0:
        return a_cache_cluster(nodes=1 + seed % 7, created=False, settings=Settings(fronted=seed % 2 == 0))
    return _some_group(seed)


def _some_group(seed: int) -> Topology:
    settings = {"automatic_failover": seed % 3 != 0}
    group = a_group(nodes=1 + seed % 4, created=False)
    return replace(group, settings=replace(group.settings, **settings))


def _some_shards(seed: int) -> Topology:
    """One to four shards of up to three replicas; each fourth is a compatible group, half of these without automatic failover."""
    replicas = seed // 2 % 4
    if seed % 4:
        return a_sharded_group(shards=1 + seed // 8 % 4, replicas=replicas, created=False)
    group = a_sharded_group(shards=1, replicas=replicas, created=False, cluster_mode=ClusterMode.COMPATIBLE)
    return replace(group, settings=replace(group.settings, automatic_failover=seed % 8 == 0))


def _storm(fleet: Fleet, besides: dict[Happening, float]) -> None:
    for _ in range(fleet.random.randint(20, 90)):
        more = MEMCACHED_HAPPENINGS if fleet.topology is not None and fleet.topology.is_memcached else besides
        happening = fleet.random.choices([*HAPPENINGS, *more], [*WEIGHTS, *more.values()])[0]
        happening(fleet)
        _must_be_safe(fleet)


def _calm(fleet: Fleet) -> None:
    """No more faults, and every report arrives, until four rounds running decide nothing."""
    quiet = 0
    for _ in range(MOST_ROUNDS):
        fleet.settle()
        hands_over = fleet.topology is not None and any(group.handover for group in fleet.topology.node_groups)
        fleet.advance(seconds=40 if not hands_over else 3 if quiet else 0.1)
        quiet = quiet + 1 if is_quiet(fleet.converge_once()) else 0
        _must_be_safe(fleet)
        if quiet >= 4 and (fleet.topology is None or fleet.topology.backup is None):
            return


# ---- what can happen


def _pass(fleet: Fleet) -> None:
    fleet.converge_once()


def _step(fleet: Fleet) -> None:
    fleet.step()


def _write(fleet: Fleet) -> None:
    fleet.write()


def _time(fleet: Fleet) -> None:
    fleet.advance(seconds=fleet.random.choice([0.01, 0.3, 2]))


def _crash(fleet: Fleet) -> None:
    if fleet.engines:
        fleet.crash(fleet.random.choice(sorted(fleet.engines)))


def _crash_of_the_primary(fleet: Fleet) -> None:
    if fleet.topology is not None:
        leaders = [engine.spec.key for group in fleet.topology.node_groups for engine in fleet.serving(group)]
        if leaders:
            fleet.crash(fleet.random.choice(leaders))


def _link_stalls(fleet: Fleet) -> None:
    replicas = [engine for _, engine in sorted(fleet.engines.items()) if engine.role is Role.REPLICA]
    if replicas:
        stalling = fleet.random.choice(replicas)
        stalling.synced, stalling.stalled = False, 4


def _start_fails(fleet: Fleet) -> None:
    if fleet.engines:
        fleet.engines[fleet.random.choice(sorted(fleet.engines))].fails = 1


def _reboot(fleet: Fleet) -> None:
    topology = fleet.topology
    if topology is None or topology.announced_at is None or topology.deleting:
        return
    node = fleet.random.choice(list(topology.nodes))
    if not node.leaving and all(other.restart is None for other in topology.nodes):
        fleet.lose_data_on_purpose(topology.key(node.id), everything=topology.group_of(node.id).primary == node.id)
        fleet.topology = replace(topology.with_reboot_of([node.id]), version=topology.version + 1)


def _add_replica(fleet: Fleet) -> None:
    topology = fleet.topology
    if topology is None or topology.is_memcached or topology.announced_at is None or topology.deleting:
        return
    group = fleet.random.choice(topology.node_groups)
    if len(group.nodes) < 6:
        new = Node(f"new-{topology.version}", f"us-east-1{fleet.random.choice('abc')}")
        grown = topology.with_group(replace(group, nodes=(*group.nodes, new)))
        fleet.topology = replace(grown, version=topology.version + 1)


def _remove_replica(fleet: Fleet) -> None:
    topology = fleet.topology
    if topology is None or topology.is_memcached or topology.announced_at is None or topology.deleting:
        return
    group = fleet.random.choice(topology.node_groups)
    replicas = group.replicas
    if len(replicas) > 1 and group.home is None:
        leaving = topology.with_departure_of([fleet.random.choice(replicas).id], fleet.now)
        fleet.topology = replace(leaving, version=topology.version + 1)


def _reshard(fleet: Fleet) -> None:
    """A caller wants more shards, or fewer."""
    topology = fleet.topology
    if topology is None or topology.cluster_mode is not ClusterMode.ENABLED or topology.deleting:
        return
    if topology_status(topology, fleet.all_reported(), 4) != AVAILABLE:
        return
    present, wanted = len(topology.node_groups), fleet.random.choice([1, 2, 3, 4])
    fresh = tuple(_new_shard(fleet, topology, number) for number in range(present, wanted))
    leaving = {group.id for group in fleet.random.sample(topology.node_groups, max(0, present - wanted))}
    groups = tuple(replace(group, leaving=group.id in leaving) for group in (*topology.node_groups, *fresh))
    for group in fresh:
        fleet.writes[group.id] = fleet.safe[group.id] = 0
    fleet.topology = _with_even_parts(replace(topology, node_groups=groups, version=topology.version + 1, modifying=True))


def _with_even_parts(topology: Topology) -> Topology:
    """With as much to move as it takes, in whole parts of the simulated bus."""
    owned = {group.id: slots_of(parts_in(all_of(group.slots))) for group in topology.node_groups}
    moves = tuple(
        SlotMove(move.source, move.target, parsed_slots(shown_parts(all_of(move.slots))))
        for move in even_transfers(owned, [group.id for group in topology.node_groups if not group.leaving])
    )
    called = tuple(replace(group, roll=group.roll + 1, roll_for=None) for group in topology.node_groups)
    fits = not any(group.leaving for group in called)
    slots = sum(number_of_slots(move.slots) for move in moves)
    return replace(topology, node_groups=called, resharding=Resharding(moves, slots, fits) if moves else None)


def _new_shard(fleet: Fleet, topology: Topology, number: int) -> NodeGroup:
    name = f"{topology.version:03d}{number}"
    nodes = tuple(Node(f"orders-{name}-{n:03d}", f"us-east-1{zone}", born=topology.version) for n, zone in zip(range(1, 4), "abc"[: fleet.random.randint(1, 3)], strict=False))
    return NodeGroup(name, nodes, primary=nodes[0].id)
def _increase(fleet: Fleet) -> None:
    """A caller wants more replicas in some node groups."""
    topology = _scalable(fleet)
    if topology is None:
        return
    grown = topology
    for group in fleet.random.sample(topology.node_groups, fleet.random.randint(1, len(topology.node_groups))):
        more = min(fleet.random.randint(1, 3), 6 - len(group.nodes))
        free = [name for name in (f"{group.id}-{number:03d}" for number in range(1, 12)) if topology.node(name) is None]
        nodes = [Node(name, f"us-east-1{fleet.random.choice('abc')}", born=topology.version) for name in free[:more]]
        grown = grown.with_group(replace(group, nodes=(*group.nodes, *nodes)))
    _scale(fleet, topology, grown)


def _decrease(fleet: Fleet) -> None:
    """A caller wants fewer replicas in some node groups, or none where that is allowed."""
    topology = _scalable(fleet)
    if topology is None:
        return
    least = topology.settings.automatic_failover and topology.cluster_mode is not ClusterMode.ENABLED
    leaving: list[str] = []
    for group in fleet.random.sample(topology.node_groups, fleet.random.randint(1, len(topology.node_groups))):
        most = min(len(group.dispensable), len(group.replicas) - least)
        if most > 0 and _seems_led(fleet, topology, group):
            leaving += [node.id for node in fleet.random.sample(group.dispensable, fleet.random.randint(1, most))]
    if leaving:
        _scale(fleet, topology, topology.with_departure_of(leaving, fleet.now))


def _scalable(fleet: Fleet) -> Topology | None:
    topology = fleet.topology
    is_available = topology is not None and topology_status(topology, fleet.all_reported(), 4) == AVAILABLE
    return topology if is_available else None


def _seems_led(fleet: Fleet, topology: Topology, group: NodeGroup) -> bool:
    """As far as is known when the caller asks."""
    seen = fleet.all_reported().nodes.get(group.primary or "")
    boot = group.primary_node.boot if group.primary_node else 0
    return seen is not None and (seen.phase, seen.boot, seen.role, seen.epoch) == (RUNNING, boot, "primary", group.epoch)


def _scale(fleet: Fleet, before: Topology, wanted: Topology) -> None:
    changing = replace(wanted, modifying=True, replicas_from=before.number_of_replicas)
    fleet.topology = replace(changing, version=before.version + 1)
    fleet.recount()


def _resize(fleet: Fleet) -> None:
    """A caller changes the number of Memcached nodes, at once or when the maintenance window opens."""
    topology = fleet.topology
    if topology is None or not topology.is_memcached or topology.announced_at is None or topology.deleting or topology.modifying:
        return
    present = [node.id for node in topology.nodes]
    if any(node.leaving or node.joined_at is None or node.restart for node in topology.nodes):
        return
    more = fleet.random.randint(1, 3)
    change = Resizing(tuple((f"{int(present[-1]) + step:04d}", f"us-east-1{fleet.random.choice('abc')}") for step in range(1, more + 1)))
    if len(present) > 1 and fleet.random.random() < 0.5:
        change = Resizing(removed=tuple(sorted(fleet.random.sample(present, fleet.random.randint(1, len(present) - 1)))))
    changed = replace(topology, pending=change) if fleet.random.random() < 0.3 else topology.resized(change)
    fleet.topology = replace(changed, version=topology.version + 1)


def _modify_the_make(fleet: Fleet) -> None:
    """A caller changes node type or version, or both, at once or when the maintenance window opens; some cannot be had, some do not fit."""
    topology = fleet.topology
    if topology is None or topology.announced_at is None or topology.deleting or topology.modifying:
        return
    if any(node.leaving or node.joined_at is None or node.restart for node in topology.nodes):
        return
    if any(node.make for node in topology.nodes):
        return
    node_type = fleet.random.choice(["cache.t4g.small", "cache.t4g.micro", "cache.m7g.large"])
    version = fleet.random.choice(["1.6.17", "1.6.22"] if topology.is_memcached else ["9.0", "9.1"])
    remake = Remake(replace(topology.make, node_type=node_type, engine_version=version))
    if topology.kind is Kind.REPLICATION_GROUP and fleet.random.random() < 0.5:
        remake = _into_cluster_mode(topology, back=fleet.random.random() < 0.3)
    if remake.make == topology.make and remake.cluster_mode is None:
        return
    fleet.cannot_be_had = remake.make if fleet.random.random() < 0.15 and remake.make != topology.make else None
    fleet.used_memory = fleet.random.choice([0, 0, 0, 2**50])
    changed = replace(topology, remake=remake) if fleet.random.random() < 0.3 else remade(topology, remake)
    fleet.topology = replace(changed, version=topology.version + 1)


def _into_cluster_mode(topology: Topology, *, back: bool) -> Remake:
    """The next cluster mode, or the way back, or nothing else than there is."""
    if topology.cluster_mode is ClusterMode.DISABLED:
        group = "default.valkey9.cluster.on"
        return Remake(replace(topology.make, clustered=True), group, (("cluster-enabled", "yes"),), ClusterMode.COMPATIBLE)
    if topology.cluster_mode is ClusterMode.COMPATIBLE and back:
        return Remake(replace(topology.make, clustered=False), "default.valkey9", (), ClusterMode.DISABLED)
    is_ready = topology.cluster_mode is ClusterMode.COMPATIBLE and topology.settings.automatic_failover
    return Remake(topology.make, cluster_mode=ClusterMode.ENABLED if is_ready else None)


def _window_opens(fleet: Fleet) -> None:
    if fleet.topology is not None and (fleet.topology.pending is not None or fleet.topology.remake is not None):
        fleet.now = next_opening(fleet.topology.settings.maintenance_window, fleet.now)


def _relay_ends(fleet: Fleet) -> None:
    """The fronts of an agent are away for a moment, or a client flushes what a node holds."""
    for engine in fleet.engines.values():
        if fleet.random.random() < 0.5:
            engine.fronted = False
        if fleet.random.random() < 0.2:
            engine.listing = None


def _delete(fleet: Fleet) -> None:
    topology = fleet.topology
    if topology is None or topology.announced_at is None or topology.deleting:
        return
    keeps = topology.has_endpoints and not topology.has_bus and fleet.random.random() < 0.5
    retained = topology.node_groups[0].primary if keeps else None
    fleet.safe = dict.fromkeys(fleet.safe, 0)
    fleet.topology = replace(topology.with_deletion(retained), version=topology.version + 1)


HAPPENINGS = [
    _pass, _step, _write, _time, _crash, _crash_of_the_primary, _link_stalls,
    _start_fails, _reboot, _add_replica, _remove_replica, _reshard, _delete, _modify_the_make, _window_opens,
]  # fmt: skip
WEIGHTS = [20, 45, 15, 4, 2, 4, 4, 1, 1, 1, 1, 3, 0.3, 2, 1]
COUNTING: dict[Happening, float] = {_increase: 4, _decrease: 6}
MEMCACHED_HAPPENINGS: dict[Happening, float] = {_resize: 3, _relay_ends: 1}


# ---- what must hold


def _must_be_safe(fleet: Fleet) -> None:
    holders = [address for engine in fleet.engines.values() if engine.alive for address in engine.holds]
    assert len(holders) == len(set(holders)), "two nodes serve one endpoint"
    _elections_must_be_safe(fleet)
    assert not fleet.archive.wrongs, fleet.archive.wrongs
    if fleet.topology is None:
        return
    writable = [e for e in fleet.engines.values() if e.alive and fleet.topology.primary_address in e.holds]
    assert all(engine.role is Role.PRIMARY for engine in writable), "a replica serves writers"
    is_led_to = fleet.topology.has_endpoints and not fleet.topology.has_bus
    visited = [e for e in fleet.engines.values() if e.has_clients and e.phase == RUNNING and is_led_to]
    assert all(engine.role is Role.PRIMARY for engine in visited), "a replica has the clients of a primary"
    for group in fleet.topology.node_groups:
        assert len(fleet.serving(group)) <= 1, "two primaries serve"
    read_from = fleet.route_served.backends if fleet.route_served and not fleet.topology.is_memcached else []
    have_led = {node for nodes in fleet.led.values() for node in nodes}
    replicas = [e for e in fleet.engines.values() if e.place in read_from and e.spec.role is Role.REPLICA and e.spec.key not in have_led]
    new = [engine for engine in replicas if engine.boot == engine.spec.boot == 1]
    assert all(engine.has_synced for engine in new if engine.phase == RUNNING), "readers meet a new replica that is empty"
    if fleet.topology.has_endpoints and not fleet.topology.settings.automatic_failover:
        served = {group.holder for group in fleet.topology.node_groups}
        may = {None, fleet.first, *(each.elected for each in fleet.topology.elections if "made anew" in each.because)}
        assert served <= may, "a replica took over although failover is off"
    steps = {after - before for before, after in pairwise(fleet.versions)}
    assert steps <= {0, 1}, "a version of the list was left out, or one went back"


def _elections_must_be_safe(fleet: Fleet) -> None:
    for group in {group for group, _ in fleet.elections}:
        epochs = [epoch for each, epoch in fleet.elections if each == group]
        assert epochs == sorted(set(epochs)), "two elections share an epoch, or one went back"
    assert all(len(nodes) == 1 for nodes in fleet.led.values()), f"two nodes led a shard at one epoch: {fleet.led}"
    assert not fleet.bus.orphaned, "a former primary showed its slots to be nobody's before its heir led"
    assert not fleet.rash, fleet.rash


def _must_be_as_desired(fleet: Fleet, seed: int) -> None:
    topology = fleet.topology
    if topology is None:
        assert not fleet.engines, f"storm {seed}: something runs that nobody desires"
        return
    reported = fleet.all_reported()
    _must_be_made_of_what_is_desired(fleet, topology, seed)
    status = topology_status(topology, reported, 4)
    assert status in (AVAILABLE, CREATE_FAILED), f"storm {seed}: {status}"
    assert set(fleet.engines) == {topology.key(node.id) for node in topology.nodes}, f"storm {seed}"
    if status == CREATE_FAILED:
        return
    if topology.is_memcached:
        _must_be_discovered(fleet, topology, seed)
    for group in topology.node_groups:
        for node in group.nodes:
            assert does_duty(topology, group, node, reported), f"storm {seed}: {node} {reported.nodes[node.id]}"
        if topology.has_endpoints:
            assert holds_endpoint(topology, group, reported), f"storm {seed}: the endpoint leads nowhere"
        if group.primary is not None and topology.kind is Kind.REPLICATION_GROUP:
            primary, safe = fleet.engines[topology.key(group.primary)], fleet.safe[group.id]
            fleet.lead()
            assert fleet.serving(group) == [primary], f"storm {seed}: another node serves"
            assert primary.data >= safe, f"storm {seed}: {safe} writes to {group.id} were safe, {primary.data} are left"
    if topology.has_bus:
        assert holds_configuration(topology, reported), f"storm {seed}: the configuration endpoint leads nowhere"
        digests = {engine.agrees for engine in fleet.engines.values()}
        assert digests == {mesh.digest for mesh in [mesh_of(topology)] if mesh}, f"storm {seed}: the engines do not agree"
    assert is_quiet(fleet.converge_once()), f"storm {seed}: still deciding"


def _must_be_made_of_what_is_desired(fleet: Fleet, topology: Topology, seed: int) -> None:
    """Every node runs with what its topology desires, nobody stands in any more, and what is pending waits for its window."""
    assert topology.renewal is None, f"storm {seed}: {topology.renewal}"
    assert not any(node.make or node.temporary or node.withdrawn for node in topology.nodes), f"storm {seed}: {list(topology.nodes)}"
    assert topology.make != fleet.cannot_be_had, f"storm {seed}: what cannot be had is desired"
    memory = resources_of(topology).memory
    assert {engine.runs_with for engine in fleet.engines.values() if engine.alive} <= {memory}, f"storm {seed}: other memory"
    assert topology.remake is None or next_opening(topology.settings.maintenance_window, fleet.now) > fleet.now, f"storm {seed}: pending"


def _must_be_led(fleet: Fleet, seed: int) -> None:
    """Each name of a topology that works leads to the nodes that do what it is for."""
    topology = fleet.topology
    if topology is None or topology_status(topology, fleet.all_reported(), 4) != AVAILABLE:
        return
    assert (topology.primary_address, topology.reader_address, topology.configuration_address, topology.reader_agent) == (None,) * 4
    everybody = set(fleet.engines)
    leaders = {topology.key(group.primary) for group in topology.node_groups if group.primary}
    wanted = {Purpose.PRIMARY: leaders, Purpose.READER: everybody - leaders or leaders} if topology.has_endpoints else {}
    wanted |= {Purpose.CONFIGURATION: everybody} if topology.has_bus else {}
    wanted |= {Purpose.DISCOVERY: everybody} if topology.is_memcached else {}
    for purpose, keys in wanted.items():
        assert {engine.spec.key for engine in fleet.led_to(purpose)} == keys, f"storm {seed}: {purpose}"


def _must_be_discovered(fleet: Fleet, topology: Topology, seed: int) -> None:
    """Everybody names every node and no other."""
    assert topology.discovery is not None, f"storm {seed}: nothing is listed"
    assert topology.discovery.nodes == tuple(node.id for node in topology.nodes), f"storm {seed}: {topology.discovery}"
    addresses = sorted(node.placement.address for node in topology.nodes if node.placement)
    relayed = [fleet.route_served and fleet.route_served.discovery] if topology.is_spread else []
    for listing in (*(engine.listing for engine in fleet.engines.values()), *relayed):
        assert listing is not None, f"storm {seed}: somebody names nobody"
        assert (listing.version, listing.nodes) == (topology.discovery.version, " ".join(f"{a}|{a}|11211" for a in addresses))
    opens = next_opening(topology.settings.maintenance_window, fleet.now)
    assert topology.pending is None or opens > fleet.now, f"storm {seed}: what is pending was not done"
