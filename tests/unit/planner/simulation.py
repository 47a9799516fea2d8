"""A simulated fleet for the planner: engines that boot, replicate, crash and report late, at no cost in time.

Data is a number, the count of acknowledged writes to its shard that a node holds. A write is acknowledged by whoever holds the primary
endpoint, in cluster mode by whoever owns the shard's slots, and reaches every replica that is linked at that moment. With named endpoints
it goes to whom the name leads, and from then on also to that node itself, until its clients are closed.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from factories import NOW
from simulated_archive import PLACE, Archive, Save
from simulated_bus import Belief, Bus

from api_schemas.agent.discovery import DiscoveryList
from api_schemas.agent.node import NodeSpec, Role
from api_schemas.agent.route import RouteSpec
from controlplane.domain.endpoint_names import EndpointName, Purpose
from controlplane.domain.mesh import mesh_of
from controlplane.domain.reported import DEAD, FAILED, GONE, RUNNING, STARTING, Reported, SeenAgent, SeenNode, SeenRoute
from controlplane.domain.resolution import addresses
from controlplane.domain.slots import merged, shown_slots, without
from controlplane.domain.topology import Binary, Make, Node, NodeGroup, Topology
from controlplane.planner import decisions as d
from controlplane.planner.decisions import CloseRestart, Decision, ElectPrimary, LookAgain, PublishConfiguration, WelcomeNode
from controlplane.planner.outcome import Addresses, after
from controlplane.planner.rules import plan
from controlplane.planner.situation import Policy, Situation
from controlplane.reconciler.specs import dropped_nodes, node_specs, reader_route

BINARY = Binary("valkey", "9.1.2", "/opt/valkey-server")
MEMCACHED = Binary("memcached", "1.6.18", "/usr/bin/memcached")


YIELDS_FOR = timedelta(seconds=2)
"""How long a primary keeps writers waiting for its heir to be elected."""


@dataclass
class Engine:
    """One simulated node on its agent."""

    spec: NodeSpec
    boot: int = 0
    phase: str = STARTING
    role: Role = Role.NONE
    epoch: int = 0
    follows: str | None = None
    data: int = 0
    synced: bool = False
    has_synced: bool = False
    holds: set[str] = field(default_factory=set)
    has_clients: bool = False
    """A name has led clients here, and nobody has closed them."""
    proven: dict[str, int] = field(default_factory=dict)
    fails: int = 0
    stalled: int = 0
    fronted: bool = False
    listing: DiscoveryList | None = None
    belief: Belief | None = None
    agrees: str | None = None
    ever_agreed: set[str] = field(default_factory=set)
    out_of_memory: int = 0
    runs_with: int = 0
    """The memory limit that its boot was started with."""
    yielded_to: str | None = None
    yielded_at: datetime = NOW
    save: Save | None = None
    seeded: str = ""

    @property
    def alive(self) -> bool:
        return self.phase in (STARTING, RUNNING)

    @property
    def place(self) -> str:
        return f"{self.spec.address}:{self.spec.port}"


class Fleet:
    """All agents at once: takes specs, moves engines a step at a time, and tells the planner what it wants to when it wants to."""

    def __init__(self, topology: Topology, seed: int) -> None:
        self.random = random.Random(seed)
        self.relay = random.Random(-seed)
        self.topology: Topology | None = topology
        self.engines: dict[str, Engine] = {}
        self.reported: dict[str, SeenNode] = {}
        self.seen_at: dict[str, datetime] = {}
        self.route: SeenRoute | None = None
        self.route_wanted: RouteSpec | None = None
        self.route_served: RouteSpec | None = None
        self.versions: list[int] = []
        self.now = NOW
        self.writes = {group.id: 0 for group in topology.node_groups}
        self.safe = dict(self.writes)
        """By node group, writes that must not be lost: held by at least one node that has lived ever since."""
        self.pushed: Topology | None = None
        self.next_address = 0
        self.elections: list[tuple[str, int]] = []
        self.led: dict[tuple[str, int], set[str]] = {}
        """Who was ever primary of a node group at an epoch."""
        self.bus = Bus(self.engines, self.random)
        self.archive = Archive(seed)
        self.rash: list[Decision] = []
        """Decisions that what really happened up to then did not allow."""
        self.first = topology.node_groups[0].primary
        self.cannot_be_had: Make | None = None
        """What no engine comes up as."""
        self.used_memory = 0
        self.agents = tuple(SeenAgent(f"agent-{zone}", zone, (BINARY, MEMCACHED)) for zone in "abc")

    # ---- the control plane's side

    def converge_once(self) -> list[Decision]:
        """One pass: observe, plan, record, push."""
        if self.topology is None:
            return []
        before = self.topology
        decisions = plan(self._situation(before))
        changed: Topology | None = before
        for decision in decisions:
            if changed is None:
                break
            if isinstance(decision, ElectPrimary):
                self.elections.append((decision.group, decision.epoch))
                self._give_up_what_is_not_promised(before, decision)
            if self._is_rash(before, decision):
                self.rash.append(decision)
            changed = self._after(changed, decision)
        if changed is not None and changed != before:
            changed = replace(changed, version=before.version + 1)
        self.topology = changed
        if changed is not None and changed.discovery is not None:
            self.versions.append(changed.discovery.version)
        self._push()
        return decisions

    def _after(self, topology: Topology, decision: Decision) -> Topology | None:
        changed = after(topology, decision, self.now, self._draw(topology))
        self.archive.judge(topology, decision, changed, self.engines)
        if isinstance(decision, d.BeginBackup):
            self.archive.open(topology, self.engines, self.safe)
        if isinstance(decision, d.Announce) and topology.seed is not None:
            self.recount(seeded=True)
        if isinstance(decision, d.CloseBackup) and changed is not None and changed.deleting:
            self.safe = dict.fromkeys(self.safe, 0)
        return changed

    def _situation(self, topology: Topology) -> Situation:
        times = {key.split(".")[1]: at for key, at in self.seen_at.items()}
        return Situation(topology, self.all_reported(), self.agents, self.now, Policy(), times)

    def all_reported(self) -> Reported:
        """What the control plane knows."""
        return Reported({key.split(".")[1]: seen for key, seen in self.reported.items()}, self.route)

    def _give_up_what_is_not_promised(self, topology: Topology, decision: ElectPrimary) -> None:
        """An election after a loss goes by what it was told in time, and trusts proofs: what others have may be lost.

        Others: who has not answered the roll within ``settle``, and beside a proven replica who has not been proven yet.
        """
        group = topology.group_of(decision.node)
        lost = self.reported.get(topology.key(group.primary or ""))
        if lost is None or lost.phase not in (DEAD, FAILED):
            return
        heard = {e.spec.key for e in self._in(group) if (seen := self.reported.get(e.spec.key)) and seen.roll >= group.roll}
        counted = heard & lost.proven if topology.key(decision.node) in lost.proven else heard
        held = (engine.data for engine in self._in(group) if engine.alive and engine.spec.key in counted and not self._leaves(engine))
        self.safe[group.id] = min(self.safe[group.id], max(held, default=0))
        self.archive.lower(self.safe)

    def _is_rash(self, topology: Topology, decision: Decision) -> bool:
        """Whether a node is counted as at work that never saw the bus as it is desired, the configuration endpoint led to the dead, or
        a pass asked for at a time that has come already, which would be one after the other without end."""
        mesh = mesh_of(topology)
        if isinstance(decision, LookAgain):
            return decision.at <= self.now
        if mesh is None or mesh.outside is not None or not isinstance(decision, WelcomeNode | CloseRestart | PublishConfiguration):
            return False
        if isinstance(decision, PublishConfiguration):
            seen = self.reported.get(topology.key(decision.node))
            return seen is not None and seen.phase in (DEAD, FAILED)
        engine, node = self.engines.get(topology.key(decision.node)), topology.node(decision.node)
        if node is not None and not topology.is_clustered(node):
            return False
        return engine is None or mesh.digest not in engine.ever_agreed

    def _draw(self, topology: Topology) -> Addresses:
        self.next_address += 4
        drawn = (f"127.1.{n // 250}.{n % 250}" for n in range(self.next_address, self.next_address + 4))
        return Addresses(*drawn, snapshot=f"s{topology.version}", archive=PLACE)

    def _push(self) -> None:
        if self.topology is None or self.topology is self.pushed:
            return
        self.pushed = self.topology
        for _, spec in node_specs(self.topology):
            known = self.engines.get(spec.key)
            if known is None:
                self.engines[spec.key] = Engine(spec)
            elif spec.generation >= known.spec.generation and spec.epoch >= known.spec.epoch:
                known.spec = spec
        for _, key in dropped_nodes(self.topology):
            self._forget(key)
        route = reader_route(self.topology)
        self.route_wanted = route[1] if route else None

    def _forget(self, key: str) -> None:
        ended = self.engines.pop(key, None)
        if ended is not None and self.topology is not None and not self.topology.deleting:
            if self.topology.is_memcached:
                self._nobody_may_name(ended)
            else:
                self._nobody_may_read_from(ended)
        self.reported[key] = SeenNode(GONE, 0)
        self.recount()

    def _nobody_may_name(self, ended: Engine) -> None:
        """Whoever stays has told clients to go without a node before that node ends."""
        assert self.topology is not None
        staying = [self.engines.get(self.topology.key(node.id)) for node in self.topology.nodes if not node.leaving]
        served = [engine.listing for engine in staying if engine is not None and engine.phase == RUNNING]
        for listing in (*served, self.route_served.discovery if self.route_served else None):
            assert listing is None or ended.spec.address not in listing.nodes, f"{ended.spec.key} ended while clients were led to it"

    def _nobody_may_read_from(self, ended: Engine) -> None:
        """The relay spreads readers without a replica before that ends, if it has heard of it in time."""
        assert self.topology is not None
        node = self.topology.node(ended.spec.key.split(".")[1])
        if node is None or node.left_at is None or node.left_at + Policy().led_away_within <= self.now:
            return
        served = self.route_served.backends if self.route_served else []
        assert ended.place not in served, f"{ended.spec.key} ended while readers were led to it"

    # ---- the agents' side

    def step(self) -> None:
        """One engine gets one step further, then perhaps tells of it."""
        if self.engines:
            key = self.random.choice(sorted(self.engines))
            self.move(key)
            if self.random.random() < 0.4:
                self.report(key)
        chance = self.random if self.topology is not None and self.topology.is_memcached else self.relay
        if chance.random() < 0.3:
            self._serve_route()
        if self.random.random() < 0.3:
            self.report_route()

    def settle(self) -> None:
        """Everything moves and everything is told, several times over."""
        for _ in range(4):
            for key in sorted(self.engines):
                self.move(key)
        for key in sorted(self.engines):
            self.report(key)
        self._serve_route()
        self.report_route()

    def _serve_route(self) -> None:
        """The relay takes its orders, and its agent tells at once of other backends."""
        before, self.route_served = self.route_served, self.route_wanted
        if before is not None and self.route_wanted is not None and before.backends != self.route_wanted.backends:
            self.report_route()

    def move(self, key: str) -> None:
        """What one visit of the agent does."""
        engine = self.engines[key]
        if engine.boot < engine.spec.boot:
            self._boot(engine)
        elif engine.phase == STARTING:
            engine.phase = RUNNING
            self.archive.begin(engine, engine.spec.seed)
            engine.role = engine.spec.role if engine.spec.role is Role.NONE else Role.REPLICA if engine.belief else Role.PRIMARY
        elif engine.phase == RUNNING:
            self._assume(engine)
            self.bus.move_slots(engine)
            self.archive.visit(engine, self._group_of(key).id, self.now)

    def _boot(self, engine: Engine) -> None:
        if engine.phase == DEAD and engine.boot % 2:  # of every other death the agent learns that it was for want of memory
            engine.out_of_memory = engine.boot
        engine.boot = engine.spec.boot
        engine.data, engine.synced, engine.epoch, engine.follows = 0, False, 0, None
        engine.holds, engine.proven, engine.has_synced = set(), {}, False
        engine.fronted, engine.listing, engine.has_clients = False, None, False
        engine.belief = Belief.at_start(engine.spec.mesh) if engine.spec.mesh else None
        engine.agrees, engine.ever_agreed, engine.yielded_to = None, set(), None
        engine.save, engine.seeded = None, ""
        engine.runs_with = engine.spec.memory
        if self._cannot_be_had(engine):
            engine.phase = FAILED
        elif engine.fails:
            engine.fails -= 1
            engine.phase = FAILED
        else:
            engine.phase = STARTING

    def _cannot_be_had(self, engine: Engine) -> bool:
        """Whether the engine is started as what does not come up."""
        node = self._desired(engine)
        return node is not None and self.topology is not None and self.topology.make_of(node) == self.cannot_be_had

    def _assume(self, engine: Engine) -> None:
        if engine.belief is not None:
            self._assume_on_the_bus(engine, engine.belief)
            return
        spec = engine.spec
        if spec.role is Role.REPLICA and spec.follows is not None:
            target = f"{spec.follows.address}:{spec.follows.port}"
            if engine.role is Role.REPLICA and engine.follows == target:
                self._sync(engine)
            elif not self._answers(target):
                return  # it is told once its primary answers; until then it is what it was
            else:
                engine.role, engine.follows, engine.synced = Role.REPLICA, target, False
        elif spec.role is Role.PRIMARY:
            engine.role, engine.follows = Role.PRIMARY, None
        engine.fronted, engine.listing = spec.front, spec.discovery
        engine.epoch = max(engine.epoch, spec.epoch)
        self._send_away(engine)
        self._serve(engine)

    def _send_away(self, engine: Engine) -> None:
        """As the agent does with the clients of a former primary, if its order says so."""
        if engine.spec.named and engine.spec.role is not Role.PRIMARY:
            engine.has_clients = False

    def _answers(self, place: str) -> bool:
        leader = self._at(place)
        return leader is not None and leader.phase == RUNNING

    def _assume_on_the_bus(self, engine: Engine, belief: Belief) -> None:
        self._send_away(engine)
        has_role = self.bus.assume(engine)
        for other in self.engines.values():  # a takeover changes what others are
            if other.belief is not None and other.belief.obeyed != other.belief.follows[other.belief.me] and other.phase == RUNNING:
                self._obey_the_bus(other, other.belief)
        if engine.role is Role.REPLICA and has_role:
            self._sync(engine)
        if has_role:
            engine.epoch = max(engine.epoch, engine.spec.epoch)
            self._serve(engine)
        engine.agrees = self.bus.agreement(engine)
        engine.ever_agreed |= {engine.agrees} if engine.agrees else set()

    def _obey_the_bus(self, engine: Engine, belief: Belief) -> None:
        """An engine's role is what it says of itself on the bus."""
        leader = belief.obeyed = belief.follows[belief.me]
        members = engine.spec.mesh.members if engine.spec.mesh else []
        engine.role = Role.PRIMARY if leader is None else Role.REPLICA
        engine.follows = None if leader is None else next((f"{m.address}:{m.port}" for m in members if m.id == leader), belief.stand_in_at)
        engine.synced = False

    def _serve(self, engine: Engine) -> None:
        if engine.role is Role.PRIMARY:
            self.led.setdefault((self._group_of(engine.spec.key).id, engine.epoch), set()).add(engine.spec.key)
        self._hold(engine)
        self._prove(engine)
        self._yield(engine)

    def _yield(self, engine: Engine) -> None:
        """A primary takes no writes while it is to make an heir ready that has all of them, but only for so long."""
        heir = engine.spec.yields_to
        if heir is None or engine.role is not Role.PRIMARY or heir.key not in engine.proven:
            engine.yielded_to = None
        elif engine.yielded_to != heir.key:
            engine.yielded_to, engine.yielded_at = heir.key, self.now
        elif self.now - engine.yielded_at > YIELDS_FOR:
            engine.yielded_to = None

    def _sync(self, engine: Engine) -> None:
        leader = self._at(engine.follows)
        if engine.stalled:
            engine.stalled -= 1
            engine.synced = False
        elif leader is not None and leader.role is Role.PRIMARY and leader.phase == RUNNING:
            engine.data, engine.synced, engine.has_synced = leader.data, True, True
            self.bus.hear_leader(engine, leader)
        else:
            engine.synced = False

    def _hold(self, engine: Engine) -> None:
        for address in set(engine.spec.holds) - engine.holds:
            holder = next((other for other in self.engines.values() if address in other.holds and other.alive), None)
            if holder is None:
                engine.holds.add(address)
        engine.holds &= set(engine.spec.holds)

    def _prove(self, engine: Engine) -> None:
        engine.proven = {
            peer.key: peer.boot
            for peer in engine.spec.replicas
            if (other := self.engines.get(peer.key)) and other.boot == peer.boot and other.phase == RUNNING
            and other.synced and other.follows == engine.place and engine.role is Role.PRIMARY
        }  # fmt: skip

    def _at(self, place: str | None) -> Engine | None:
        return next((engine for engine in self.engines.values() if engine.place == place and engine.alive), None)

    def report(self, key: str) -> None:
        """What the agent sees of one node reaches the control plane."""
        engine = self.engines[key]
        if engine.boot == 0:
            return
        leader = self._at(engine.follows)
        linked = engine.synced and leader is not None and leader.role is Role.PRIMARY
        seen = SeenNode(
            phase=engine.phase,
            boot=engine.boot,
            role=engine.role.value if engine.phase == RUNNING else None,
            epoch=engine.epoch,
            roll=engine.spec.roll,
            follows=engine.follows,
            link_up=linked,
            offset=engine.data + 1 if engine.has_synced or engine.role is Role.PRIMARY else 0,
            proven=frozenset(engine.proven),
            holds=frozenset(engine.holds) if engine.phase == RUNNING else frozenset(),
            fronted=engine.fronted and engine.phase == RUNNING,
            discovery=engine.listing.version if engine.listing and engine.phase == RUNNING else 0,
            agrees=engine.agrees if engine.phase == RUNNING else None,
            arrived=self.bus.arrived(engine) if engine.phase == RUNNING else "",
            out_of_memory=engine.out_of_memory,
            used_memory=self.used_memory,
            yielded_to=engine.yielded_to if engine.phase == RUNNING else None,
            saved=engine.save.state if engine.save else None,
            seeded=engine.seeded if engine.phase == RUNNING else "",
        )
        former = self.reported.get(key)
        if former is None or replace(former, offset=seen.offset) != seen:
            self.seen_at[key] = self.now
        self.reported[key] = seen

    def report_route(self) -> None:
        """What the relay does reaches the control plane."""
        if self.route_wanted is None:
            self.route = SeenRoute(False, gone=True) if self.topology and self.topology.deleting else None
        elif (served := self.route_served) is not None:
            self.route = SeenRoute(True, tuple(served.backends), discovery=served.discovery.version if served.discovery else 0)

    # ---- the world

    def write(self) -> None:
        """A client writes to every shard that anybody serves."""
        if self.topology is None or self.topology.seed is not None:
            return  # before it is announced nothing is promised
        for group in self.topology.node_groups:
            self.lead()
            for engine in self.serving(group):
                self._take(group, engine)

    def led_to(self, purpose: Purpose) -> list[Engine]:
        """The engines that a name leads to, whatever has become of them by now."""
        if self.topology is None:
            return []
        name = EndpointName(purpose, self.topology.name, "", "")
        found = addresses(self.topology, name, self.all_reported(), lambda agent: True) or ()
        return [engine for engine in self.engines.values() if engine.spec.address in found]

    def lead(self) -> None:
        """A client asks for the name of the primary, and connects."""
        if self.topology is not None and self.topology.is_named and self.topology.has_endpoints:
            for engine in self.led_to(Purpose.PRIMARY):
                engine.has_clients |= engine.phase == RUNNING

    def serving(self, group: NodeGroup) -> list[Engine]:
        """Who takes writes for a node group: the holder of its primary endpoint, in cluster mode the owner of its slots."""
        if self.topology is None or self.topology.is_memcached:
            return []
        if self.topology.has_bus and all(engine.belief is not None or not engine.alive for engine in self._in(group)):
            resharding = self.topology.resharding
            moving = merged(part for move in resharding.moves for part in move.slots) if resharding else ()
            return self.bus.owners_of(shown_slots(without(group.slots, moving)))
        if self.topology.is_named:
            return [e for e in self.engines.values() if e.has_clients and e.phase == RUNNING and e.role is Role.PRIMARY]
        address = self.topology.primary_address
        return [e for e in self.engines.values() if address in e.holds and e.phase == RUNNING and e.role is Role.PRIMARY]

    def _take(self, group: NodeGroup, engine: Engine) -> None:
        if engine.yielded_to is not None and self.now - engine.yielded_at <= YIELDS_FOR:
            return  # the writer waits
        self.writes[group.id] += 1
        engine.data = self.writes[group.id]
        for other in self.engines.values():
            if other.synced and other.follows == engine.place and other.phase == RUNNING:
                other.data = engine.data
        if not self._is_condemned(engine):
            self.safe[group.id] = engine.data

    def crash(self, key: str) -> None:
        """A process ends without being asked to."""
        engine = self.engines[key]
        if engine.alive:
            engine.phase = DEAD
            self.archive.crash(engine)
            engine.holds, engine.synced, engine.has_clients = set(), False, False
            for other in self.engines.values():
                if other.follows == engine.place:
                    other.synced = False
        self.recount()

    def lose_data_on_purpose(self, key: str, *, everything: bool) -> None:
        """A caller reboots a node: what it held alone may go, and with a primary what its replicas hold as well."""
        group = self._group_of(key)
        others = [engine.data for engine in self._in(group) if engine.alive and engine.spec.key != key]
        self.safe[group.id] = 0 if everything else min(self.safe[group.id], max(others, default=0))
        self.archive.lower(self.safe)

    def recount(self, *, seeded: bool = False) -> None:
        """Only the end of a process loses data; being told to copy from an emptier node must never happen to the last that has it."""
        for group in self.topology.node_groups if self.topology else ():
            alive = (engine for engine in self._in(group) if engine.alive and not self._is_condemned(engine))
            held = max((engine.data for engine in alive), default=0)
            self.safe[group.id] = held if seeded else min(self.safe[group.id], held)
            self.writes[group.id] = max(self.writes[group.id], held)
        self.archive.lower(self.safe)

    def _in(self, group: NodeGroup) -> list[Engine]:
        assert self.topology is not None
        keys = (self.topology.key(node.id) for node in group.nodes)
        return [self.engines[key] for key in keys if key in self.engines]

    def _group_of(self, key: str) -> NodeGroup:
        assert self.topology is not None
        return self.topology.group_of(key.split(".")[1])

    def _is_condemned(self, engine: Engine) -> bool:
        """Whether a caller has asked for its reboot, which will empty it, or for its removal."""
        node = self._desired(engine)
        return node is not None and (node.boot > engine.boot or node.leaving)

    def _leaves(self, engine: Engine) -> bool:
        node = self._desired(engine)
        return node is not None and node.leaving

    def _desired(self, engine: Engine) -> Node | None:
        return self.topology.node(engine.spec.key.split(".")[1]) if self.topology else None

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        self.bus.let_pass(seconds)


def is_quiet(decisions: list[Decision]) -> bool:
    """Whether a pass decided nothing but to look again."""
    return all(isinstance(decision, LookAgain) for decision in decisions)
