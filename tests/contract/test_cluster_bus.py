"""The cluster bus of every installed engine: two shards of two nodes, started and led by sessions alone, without a control plane."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import redis
from bus import engine_at, seen_from, slots_in
from factories import a_sharded_group
from redis.crc import key_slot
from waiting import wait_until

from agents.engines.catalogue import find_binaries
from agents.engines.cluster_bus import BusView, differences
from agents.engines.cluster_session import ClusterSession
from agents.engines.engine import EngineUnreachableError, Observation
from agents.engines.valkey import ValkeyEngine
from api_schemas.agent.node import EngineBinary, NodeSpec, Role
from controlplane.domain.topology import Binary, Placement, Topology
from controlplane.reconciler.specs import node_specs

SERVERS = [binary for binary in find_binaries() if binary.engine != "memcached"]
ADDRESSES = (f"127.97.{os.getpid() % 250}.{number}" for number in itertools.count(1))
PORT = 16390
LEADER, FOLLOWER, OTHER, LAST = "orders-0001-001", "orders-0001-002", "orders-0002-001", "orders-0002-002"
ALL = (LEADER, FOLLOWER, OTHER, LAST)
ENGINE = ValkeyEngine()


class Ground:
    """The nodes of a group by their ids: what they shall be, their processes and their sessions."""

    def __init__(self, folder: Path, binary: EngineBinary) -> None:
        self.folder = folder
        self.topology = _placed(a_sharded_group(shards=2, replicas=1, port=PORT), binary)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.sessions: dict[str, ClusterSession] = {}
        self.proven: dict[str, frozenset[str]] = {}
        self.boots = 0

    def spec(self, node: str) -> NodeSpec:
        return next(spec for _, spec in node_specs(self.topology) if spec.key == self.topology.key(node))

    def start(self, *nodes: str) -> None:
        """Start them, each in a folder of its own that holds nothing but what the engine is started with."""
        self.boots += 1
        for node in nodes:
            folder = self.folder / f"{node}-{self.boots}"
            folder.mkdir()
            launch = ENGINE.launch(self.spec(node), folder)
            with (folder / "launch.log").open("wb") as log:
                self.processes[node] = subprocess.Popen(launch.argv, cwd=launch.folder, stdout=log, stderr=log)
        for node in nodes:
            wait_until(lambda: ENGINE.is_ready(self.spec(node)))  # noqa: B023

    def session(self, node: str) -> ClusterSession:
        if node not in self.sessions:
            session = ENGINE.open(self.spec(node))
            assert isinstance(session, ClusterSession)
            self.sessions[node] = session
        return self.sessions[node]

    def visit(self, node: str) -> tuple[Observation, str | None]:
        """What an agent does with a node at each visit; answers what it is and in what it disagrees."""
        session, spec = self.session(node), self.spec(node)
        seen = session.observe()
        if not session.assume(spec, seen):
            seen = session.observe()
            if not session.assume(spec, seen):
                return seen, "it does not have its role"
        if spec.role is Role.PRIMARY:
            self.proven[node] = session.prove(spec, len(seen.online), 0.04) if seen.online else frozenset()
        elif not seen.link_up:
            session.relink(spec)
        return seen, session.disagreement(spec, seen)

    def as_desired(self, *nodes: str) -> bool:
        """Whether each of these agrees, after one visit to each."""
        agreeing = [node for node in nodes if self._agrees(node)]
        return len(agreeing) == len(nodes)

    def _agrees(self, node: str) -> bool:
        try:
            _, disagreement = self.visit(node)
        except EngineUnreachableError:
            self.close(node)
            return False
        missing = {peer.key for peer in self.spec(node).replicas} - self.proven.get(node, frozenset())
        return disagreement is None and not (missing and self.spec(node).role is Role.PRIMARY)

    def agree(self, *nodes: str) -> None:
        """All of these see the bus as it is desired, and every replica is proven."""
        wait_until(lambda: self.as_desired(*(nodes or ALL)), within=30)

    def kill(self, *nodes: str) -> None:
        for node in nodes:
            self.close(node)
            self.processes[node].kill()
            self.processes[node].wait()

    def close(self, node: str) -> None:
        if node in self.sessions:
            self.sessions.pop(node).close()

    def elect(self, place: int, heir: str) -> None:
        """The heir is desired to be primary of that shard, at the next epoch."""
        group = self.topology.node_groups[place]
        self.topology = self.topology.with_group(replace(group, primary=heir, epoch=group.epoch + 1))

    def address(self, node: str) -> str:
        return self.spec(node).address

    def desired(self) -> Any:
        """What CLUSTER SHARDS shall say: slots, primary and replicas, by the address of the primary."""
        said = {}
        for group in self.topology.node_groups:
            primary = self.address(group.primary or "")
            slots = slots_in(",".join(map(str, group.slots)))
            said[primary] = (slots, primary, frozenset(self.address(node.id) for node in group.replicas))
        return said


def _placed(topology: Topology, binary: EngineBinary) -> Topology:
    program = Binary(binary.engine, binary.version, binary.path)
    for node in list(topology.nodes):
        topology = topology.with_node(replace(node, placement=Placement("agent", next(ADDRESSES), program)))
    return topology


@pytest.fixture(params=SERVERS, ids=lambda binary: f"{binary.engine}-{binary.version}")
def ground(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ground]:
    """Nothing runs yet; whatever was started is ended afterwards."""
    ground = Ground(tmp_path, request.param)
    yield ground
    ground.kill(*ground.processes)


@pytest.fixture
def at_work(ground: Ground) -> Ground:
    """All four nodes run and agree."""
    ground.start(*ALL)
    ground.agree()
    return ground


def keys_in(first: int, last: int, number: int) -> list[str]:
    """So many keys whose slots lie there."""
    names = (f"key:{n}" for n in itertools.count())
    return list(itertools.islice((name for name in names if first <= key_slot(name.encode()) <= last), number))


def test_a_real_engine_was_found() -> None:
    assert {binary.engine for binary in SERVERS} == {"valkey", "redis"}


# ---- from the file to agreement


def test_engines_that_start_from_their_files_come_to_agree(at_work: Ground) -> None:
    for node in ALL:
        assert seen_from(at_work.address(node), PORT) == at_work.desired()
        assert at_work.visit(node)[1] is None


def test_nobody_knows_a_stand_in_any_more_or_fails_too_late(at_work: Ground) -> None:
    for node in ALL:
        with engine_at(at_work.address(node), PORT) as engine:
            known = {entry["node_id"] for entry in engine.cluster("nodes").values()}
            timeout = int(engine.config_get("cluster-node-timeout")["cluster-node-timeout"])
        mesh = at_work.spec(node).mesh
        assert mesh is not None
        assert known == {member.id for member in mesh.members}
        assert timeout < 60_000


def test_primaries_took_their_slots_at_different_epochs(at_work: Ground) -> None:
    epochs = []
    for node in (LEADER, OTHER):
        with engine_at(at_work.address(node), PORT) as engine:
            epochs.append(int(engine.execute_command("CLUSTER INFO")["cluster_my_epoch"]))
    assert len(set(epochs)) == 2


def test_a_replica_that_has_copied_nothing_yet_says_so(ground: Ground) -> None:
    ground.start(FOLLOWER)
    seen, disagreement = ground.visit(FOLLOWER)
    assert (seen.role, seen.link_up, seen.offset) == (Role.REPLICA, False, 0)
    assert disagreement == "it does not have its role"
    ground.start(LEADER, OTHER, LAST)
    ground.agree()
    assert ground.visit(FOLLOWER)[0].offset > 0


# ---- proofs


def proof(ground: Ground) -> frozenset[str]:
    return ground.session(LEADER).prove(ground.spec(LEADER), 1, 2.0)


def sizes(ground: Ground) -> list[int]:
    found = []
    for node in (LEADER, FOLLOWER):
        with engine_at(ground.address(node), PORT) as engine:
            found.append(int(engine.dbsize()))  # type: ignore[arg-type]
    return found


def test_a_proof_names_the_replica_and_leaves_no_key_behind(at_work: Ground) -> None:
    before = at_work.session(FOLLOWER).observe().offset
    assert proof(at_work) == {at_work.topology.key(FOLLOWER)}
    assert sizes(at_work) == [0, 0]
    assert at_work.session(FOLLOWER).observe().offset > before


def test_a_full_memory_proves_all_the_same(at_work: Ground) -> None:
    with engine_at(at_work.address(LEADER), PORT) as engine:
        engine.config_set("maxmemory-policy", "noeviction")
        engine.config_set("maxmemory", "1mb")
        (key,) = keys_in(0, 8191, 1)
        wait_until(lambda: is_full(lambda: engine.rpush(key, "x" * 100_000)))
        keys = int(engine.dbsize())  # type: ignore[arg-type]
    before = at_work.session(FOLLOWER).observe().offset
    wait_until(lambda: proof(at_work) == {at_work.topology.key(FOLLOWER)}, within=2)
    assert at_work.session(FOLLOWER).observe().offset > before
    assert sizes(at_work) == [keys, keys]
    assert at_work.session(LEADER).disagreement(at_work.spec(LEADER), at_work.session(LEADER).observe()) is None


def is_full(write: Callable[[], object]) -> bool:
    try:
        write()
    except redis.exceptions.OutOfMemoryError:
        return True
    return False


def test_a_replica_that_hangs_is_not_proven(at_work: Ground) -> None:
    at_work.processes[FOLLOWER].send_signal(signal.SIGSTOP)
    try:
        assert at_work.session(LEADER).prove(at_work.spec(LEADER), 1, 0.05) == frozenset()
    finally:
        at_work.processes[FOLLOWER].send_signal(signal.SIGCONT)
    wait_until(lambda: proof(at_work) == {at_work.topology.key(FOLLOWER)})


# ---- looks


def test_a_takeover_that_nobody_desired_is_noticed_by_a_glance_and_undone(at_work: Ground) -> None:
    session, spec = at_work.session(LEADER), at_work.spec(LEADER)
    assert spec.mesh is not None
    former = wait_until(lambda: settled(session))
    with engine_at(at_work.address(LAST), PORT) as engine:
        engine.execute_command("CLUSTER FAILOVER TAKEOVER")
    glanced = wait_until(lambda: other_bus(session, former))
    assert former.bus is not None
    assert glanced.mark != former.bus.mark
    wait_until(lambda: {_bus_id(at_work, OTHER), _bus_id(at_work, LAST)} <= set(differences(spec.mesh, session.observe().bus)))  # type: ignore[arg-type]
    at_work.agree()
    wait_until(lambda: all(shows_as_desired(at_work, node) for node in ALL))


def test_a_primary_learns_that_it_is_deposed_and_its_stand_in_deposes_nobody(ground: Ground) -> None:
    ground.start(LEADER)
    seen = ground.session(LEADER).observe()
    assert seen.role is Role.REPLICA and not ground.session(LEADER).is_deposed(ground.spec(LEADER), seen)
    ground.start(FOLLOWER, OTHER, LAST)
    ground.agree()
    assert not any(ground.session(node).is_deposed(ground.spec(node), ground.session(node).observe()) for node in ALL)
    with engine_at(ground.address(LAST), PORT) as engine:
        engine.execute_command("CLUSTER FAILOVER TAKEOVER")
    wait_until(lambda: ground.session(OTHER).is_deposed(ground.spec(OTHER), ground.session(OTHER).observe()))
    assert not ground.session(LEADER).is_deposed(ground.spec(LEADER), ground.session(LEADER).observe())


def shows_as_desired(ground: Ground, node: str) -> bool:
    """Whether the node shows its clients everybody, online and in place."""
    try:
        return seen_from(ground.address(node), PORT) == ground.desired()
    except AssertionError:  # somebody is not online there yet
        return False


def other_bus(session: ClusterSession, former: Observation) -> BusView | None:
    """The bus at a glance, once it is another."""
    seen = session.glance(former)
    return seen.bus if seen.bus is not former.bus else None


def settled(session: ClusterSession) -> Observation | None:
    """A whole look, once a glance right after it finds nothing new."""
    seen = session.observe()
    return seen if session.glance(seen).bus is seen.bus else None


def test_who_has_just_asked_others_agrees_only_once_their_links_are_whole_again(at_work: Ground) -> None:
    desired = at_work.topology
    at_work.elect(0, FOLLOWER)
    session = at_work.session(OTHER)
    assert "is a primary there" in str(session.disagreement(at_work.spec(OTHER), session.observe()))
    at_work.topology = desired
    said = str(session.disagreement(at_work.spec(OTHER), session.observe()))
    assert said == "it has just asked others what they are" or said.endswith("is not connected"), said  # the link that breaks may be its own
    wait_until(lambda: at_work.visit(OTHER)[1] is None, within=5)
    for node in ALL:
        assert at_work.visit(node)[1] is None


# ---- nodes that die


def test_a_takeover_is_agreed_on_by_all_and_the_former_primary_comes_back(at_work: Ground) -> None:
    written = keys_in(0, 8191, 50)
    with engine_at(at_work.address(LEADER), PORT) as engine:
        for key in written:
            engine.set(key, key)
        assert engine.wait(1, 2000) == 1
    at_work.kill(LEADER)
    at_work.elect(0, FOLLOWER)
    survivors = (FOLLOWER, OTHER, LAST)
    wait_until(lambda: only_the_dead_differs(at_work, survivors, LEADER), within=15)
    with engine_at(at_work.address(FOLLOWER), PORT) as engine:
        assert [engine.get(key) for key in written] == written
        assert engine.set(written[0], "and it takes writes")
    at_work.start(LEADER)
    at_work.agree()
    wait_until(lambda: all(shows_as_desired(at_work, node) for node in ALL))
    assert sizes(at_work) == [50, 50]


def only_the_dead_differs(ground: Ground, survivors: tuple[str, ...], dead: str) -> bool:
    """Whether all that live see everything as desired but for the dead one."""
    found: set[str] = set()
    for node in survivors:
        mesh = ground.spec(node).mesh
        seen, _ = ground.visit(node)
        if mesh is None or seen.bus is None or seen.role is not ground.spec(node).role:
            return False
        found |= set(differences(mesh, seen.bus))
    return found <= {_bus_id(ground, dead)}


def _bus_id(ground: Ground, node: str) -> str:
    mesh = ground.spec(node).mesh
    assert mesh is not None
    return mesh.me


@pytest.mark.parametrize("node", [LAST, OTHER], ids=["replica", "primary"])
def test_a_node_that_starts_in_an_empty_folder_under_its_old_id_rejoins(at_work: Ground, node: str) -> None:
    at_work.kill(node)
    at_work.start(node)
    at_work.agree()
    wait_until(lambda: all(shows_as_desired(at_work, each) for each in ALL))


def test_a_shard_that_died_comes_back_beside_one_that_lives(at_work: Ground) -> None:
    kept = keys_in(0, 8191, 10)
    with engine_at(at_work.address(LEADER), PORT) as engine:
        for key in kept:
            engine.set(key, key)
    at_work.kill(OTHER, LAST)
    at_work.start(OTHER)
    wait_until(lambda: at_work.visit(OTHER)[0].role is Role.PRIMARY)
    at_work.start(LAST)
    at_work.agree()
    with engine_at(at_work.address(LEADER), PORT) as engine:
        assert [engine.get(key) for key in kept] == kept
    with engine_at(at_work.address(OTHER), PORT) as engine:
        assert engine.dbsize() == 0
        assert engine.set(keys_in(8192, 16383, 1)[0], "and it takes writes again")
