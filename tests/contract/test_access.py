"""Who may do what on the engines of an agent, on every installed engine: from the first answer on, and whatever becomes of a node."""

from __future__ import annotations

import hashlib
import logging
import os
import signal
import socket
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from factories import NOW, a_group, a_sharded_group
from redis.backoff import NoBackoff
from redis.crc import key_slot
from redis.retry import Retry
from waiting import wait_until

from agents.address_block import block_of, give_back
from agents.engines.catalogue import engines_in, find_binaries
from agents.engines.saving import Saving
from agents.folder import network_of
from agents.pace import Pace
from agents.runtimes.process import ProcessRuntime
from agents.supervisor import Host, Supervisor
from api_schemas.agent.access import Access, AclUser, Credentials
from api_schemas.agent.agent import AgentReport, Orders
from api_schemas.agent.metrics import MetricsWanted
from api_schemas.agent.node import EngineBinary, NodeReport, NodeSpec, Phase, Role
from controlplane.domain.resharding import Resharding, SlotMove
from controlplane.domain.slots import SlotRange
from controlplane.domain.topology import Binary, Node, Placement, Topology
from controlplane.reconciler.specs import node_specs

SERVERS = [binary for binary in find_binaries() if binary.engine != "memcached"]
ZONE = "us-east-1a"
PORT = 6379
SYSTEM = Credentials("__cachewright__", 'our "secret" \\ of all')
FIRST, SECOND, THIRD = "orders-001", "orders-002", "orders-003"
HUNG_AFTER = 0.5  # seconds
EVERYTHING = ("~*", "&*", "+@all")


def hashed(password: str) -> str:
    return f"#{hashlib.sha256(password.encode()).hexdigest()}"


def user(name: str, password: str, *rules: str) -> AclUser:
    return AclUser(name, ("on", hashed(password), *(rules or EVERYTHING)))


SHUT = AclUser("default", ("off",))
ALICE = user("alice", "first password")
CLOSED = Access(SYSTEM, (SHUT, ALICE))
OPEN = Access(SYSTEM)


class Ground:
    """One agent with all the nodes of one topology, ordered by hand."""

    def __init__(self, folder: Path, binary: EngineBinary) -> None:
        self.folder, self.binary = folder / "agent", binary
        self.folder.mkdir()
        self.reports: dict[str, NodeReport] = {}
        self.topology = a_group(nodes=2, created=False, port=PORT)
        self._numbers = 0
        self.supervisor = self._begun()

    def _begun(self) -> Supervisor:
        host = Host("agent", ZONE, network_of(ZONE, block_of(self.folder)), self.folder, binaries=find_binaries())
        pace = Pace(steady=0.2, hung_after=HUNG_AFTER, grace=timedelta(seconds=5))
        made = Supervisor(host, ProcessRuntime(self.folder), engines_in(self.folder), self._take, pace)
        made.start()
        made.lease.keep(made.beat)  # who is out of touch moves no slots
        return made

    def _take(self, report: AgentReport) -> bool:
        self.reports.update({node.key: node for node in report.nodes})
        return True

    def restart(self) -> None:
        """The agent ends, its engines go on, and it begins anew with what it has written down."""
        self.supervisor.leave()
        self.reports.clear()
        self.supervisor = self._begun()

    def order(self, topology: Topology | None = None, **fields: Any) -> None:
        """Have the agent make this true; nodes without a place get one."""
        made = replace(topology or self.topology, version=self.topology.version + 1, **fields)
        program = Binary(self.binary.engine, self.binary.version, self.binary.path)
        for node in made.nodes:
            if node.placement is None:
                self._numbers += 1
                place = Placement("agent", f"127.101.{block_of(self.folder)}.{self._numbers}", program)
                made = made.with_node(replace(node, placement=place))
        self.topology = made
        self.supervisor.take(Orders(nodes=[spec for _, spec in node_specs(made)]))

    def allow(self, access: Access | None) -> None:
        """Order these users, and return once every node is said to have them and does its duty."""
        self.order(access=access)
        self.settle()

    def settle(self) -> None:
        """Every node is said to do what was ordered last."""
        wait_until(lambda: all(self._is_done(node) for node in self.topology.nodes), within=30)

    def _is_done(self, node: Node) -> bool:
        spec, said = self.spec(node.id), self.reports.get(self.topology.key(node))
        if said is None or (said.generation, said.boot, said.phase, said.role) != (spec.generation, spec.boot, Phase.RUNNING, spec.role):
            return False
        if said.access != (spec.access.digest if spec.access is not None else "") or (spec.mesh and said.agrees != spec.mesh.digest):
            return False
        return said.link_up if spec.role is Role.REPLICA else said.proven == sorted(peer.key for peer in spec.replicas)

    def spec(self, node: str) -> NodeSpec:
        return next(spec for _, spec in node_specs(self.topology) if spec.key == self.topology.key(node))

    def said(self, node: str) -> NodeReport:
        return self.reports[self.topology.key(node)]

    def client(self, node: str, name: str | None = None, password: str | None = None) -> redis.Redis:
        """A client of one node, which connects once and never again by itself."""
        address = self.spec(node).address
        return redis.Redis(address, PORT, username=name, password=password, decode_responses=True, encoding_errors="replace",
                           protocol=2, socket_timeout=5, max_connections=1, retry=Retry(NoBackoff(), 0))  # fmt: skip

    def ask(self, node: str, *command: str, name: str | None = None, password: str | None = None) -> Any:
        """The answer to one command on a connection of its own, an error as its text."""
        with self.client(node, name, password) as client:
            try:
                return client.execute_command(*command)
            except redis.RedisError as refused:
                return str(refused)

    def lets_in(self, node: str, name: str | None = None, password: str | None = None) -> bool:
        return self.ask(node, "PING", name=name, password=password) is True

    def keeps_closed(self, node: str) -> bool:
        """Alice comes in with her password, and nobody without one or with another."""
        right, wrong = self.lets_in(node, "alice", "first password"), self.lets_in(node, "alice", "another password")
        return right and not wrong and not self.lets_in(node)

    def clear(self) -> None:
        self.supervisor.leave()
        runtime = ProcessRuntime(self.folder)
        for stray in runtime.strays([]):
            runtime.kill(stray)
        runtime.close()
        give_back(self.folder)


@pytest.fixture(params=SERVERS, ids=lambda binary: f"{binary.engine}-{binary.version}")
def ground(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ground]:
    """An agent that was ordered nothing yet."""
    made = Ground(tmp_path, request.param)
    yield made
    made.clear()


@pytest.fixture
def closed(ground: Ground) -> Ground:
    """A primary and its replica, where alice may do everything and nobody else anything."""
    ground.allow(CLOSED)
    return ground


# --- from the first answer on ---


def test_nobody_comes_in_at_any_moment_of_a_start(ground: Ground) -> None:
    ground.order(access=CLOSED)
    answers: set[bytes] = set()

    def done() -> bool:
        answers.update(said for node in (FIRST, SECOND) if (said := bare_answer(ground.spec(node).address)))
        return all(ground._is_done(node) for node in ground.topology.nodes)

    wait_until(done, within=30)
    assert len(answers) == 1 and answers.pop().startswith(b"-NOAUTH")
    assert ground.said(FIRST).access == ground.said(SECOND).access == CLOSED.digest


def bare_answer(address: str) -> bytes:
    """What an engine says to PING from anybody, nothing while there is none."""
    try:
        with socket.create_connection((address, PORT), timeout=5) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(100)
    except ConnectionError:
        return b""


def test_without_callers_users_whoever_connects_may_do_everything_and_we_have_a_name(ground: Ground) -> None:
    ground.allow(OPEN)
    assert ground.lets_in(FIRST) and ground.ask(FIRST, "SET", "color", "green") is True
    assert set(ground.ask(FIRST, "ACL", "USERS")) == {"default", SYSTEM.username}
    names = [client["user"] for client in ground.ask(FIRST, "CLIENT LIST")]
    assert names.count(SYSTEM.username) >= 2  # we and our replica
    assert ground.said(FIRST).access == OPEN.digest


def test_without_access_nothing_is_told_and_nothing_reported(ground: Ground) -> None:
    ground.allow(None)
    assert ground.ask(FIRST, "ACL", "USERS") == ["default"]
    assert ground.said(FIRST).access == ""


def test_rules_come_in_as_they_are_written(ground: Ground) -> None:
    odd = user("odd", "p", '~a"b"\\c*', "~é*", "%R~read:*", "resetchannels", "&news.*", "-@all", "+get", "+set", "+client|id")
    picky = user("picky", "p", "~app:*", "-@all", "+get", "(~other:* +set)")
    ground.allow(CLOSED)
    ground.allow(replace(CLOSED, users=(SHUT, ALICE, odd, picky)))
    told = rules(ground, "odd"), rules(ground, "picky")
    ground.order(ground.topology.with_node(replace(ground.topology.node(SECOND), boot=2)))
    ground.settle()
    assert (rules(ground, "odd", SECOND), rules(ground, "picky", SECOND)) == told
    with ground.client(SECOND, "odd", "p") as client:
        assert client.get('a"b"c1') is client.get("é1") is client.get("read:1") is None
        with pytest.raises(redis.exceptions.NoPermissionError):
            client.get("others")


def rules(ground: Ground, name: str, node: str = FIRST) -> list[str]:
    """The words of a user as the engine lists it, in no order that means anything."""
    listed = ground.ask(node, "ACL", "LIST", name=SYSTEM.username, password=SYSTEM.password)
    return next(sorted(line.split()) for line in listed if line.split()[1] == name)


# --- whatever becomes of a node ---


def test_a_new_replica_a_promoted_one_and_a_rebuilt_one_keep_it_closed(closed: Ground) -> None:
    assert closed.ask(FIRST, "SET", "color", "green", name="alice", password="first password") is True
    group = closed.topology.node_groups[0]
    third = replace(group.nodes[1], id=THIRD, placement=None)
    closed.order(closed.topology.with_group(replace(group, nodes=(*group.nodes, third))))
    closed.settle()
    group = closed.topology.node_groups[0]
    os.kill(closed.said(FIRST).pid or 0, signal.SIGKILL)
    wait_until(lambda: closed.said(FIRST).phase is Phase.DEAD)
    nodes = (replace(group.nodes[0], boot=2), *group.nodes[1:])
    closed.order(closed.topology.with_group(replace(group, nodes=nodes, primary=SECOND, epoch=group.epoch + 1)))
    closed.settle()
    for node in (FIRST, SECOND, THIRD):
        assert closed.keeps_closed(node)
        assert closed.ask(node, "GET", "color", name="alice", password="first password") == "green"


def test_an_agent_that_comes_back_goes_on_with_the_users_of_its_journal(closed: Ground) -> None:
    pids = [closed.said(node).pid for node in (FIRST, SECOND)]
    closed.restart()
    wait_until(lambda: len(closed.reports) == 2)
    closed.settle()
    assert [closed.said(node).pid for node in (FIRST, SECOND)] == pids
    assert closed.keeps_closed(FIRST) and closed.keeps_closed(SECOND)
    closed.allow(OPEN)
    assert closed.lets_in(FIRST) and closed.lets_in(SECOND)


def test_a_node_that_is_suspended_comes_back_with_its_data_and_its_users(closed: Ground) -> None:
    assert closed.ask(FIRST, "SET", "color", "green", name="alice", password="first password") is True
    closed.supervisor.suspend()
    closed.reports.clear()
    closed.supervisor = closed._begun()
    closed.settle()
    assert closed.keeps_closed(FIRST)
    assert closed.ask(FIRST, "GET", "color", name="alice", password="first password") == "green"


# --- at run time ---


def test_engines_that_began_without_users_are_told_them_and_are_told_to_be_open_again(ground: Ground) -> None:
    ground.allow(None)
    with ground.client(FIRST) as before:
        assert before.ping()
        pids = [ground.said(node).pid for node in (FIRST, SECOND)]
        ground.allow(CLOSED)
        assert ground.keeps_closed(FIRST) and ground.keeps_closed(SECOND)
        assert "no permissions" in refusal_of(before.ping)  # still connected, as somebody who may do nothing any more
        ground.allow(OPEN)
        assert before.ping()
    assert ground.lets_in(FIRST) and not ground.lets_in(FIRST, "alice", "first password")
    assert [ground.said(node).pid for node in (FIRST, SECOND)] == pids
    assert ground.ask(FIRST, "CONFIG", "GET", "masteruser") == ["masteruser", SYSTEM.username]


def test_a_new_password_is_taken_at_once_and_who_is_connected_stays_so(closed: Ground) -> None:
    with closed.client(FIRST, "alice", "first password") as connected:
        assert connected.ping()
        closed.allow(replace(CLOSED, users=(SHUT, user("alice", "second password"))))
        assert not closed.lets_in(FIRST, "alice", "first password") and not closed.lets_in(SECOND, "alice", "first password")
        assert closed.lets_in(FIRST, "alice", "second password") and closed.lets_in(SECOND, "alice", "second password")
        assert connected.ping()
        closed.allow(replace(CLOSED, users=(SHUT, user("alice", "second password", "~*", "-@all", "+get"))))
        assert connected.get("color") is None
        assert "no permissions" in refusal_of(lambda: connected.set("color", "red"))


def test_the_connections_of_a_removed_user_are_closed(closed: Ground) -> None:
    both = replace(CLOSED, users=(*CLOSED.users, user("bob", "b")))
    closed.allow(both)
    with closed.client(FIRST, "bob", "b") as bob, closed.client(FIRST, "alice", "first password") as alice:
        assert bob.ping() and alice.ping()
        closed.allow(CLOSED)
        assert "invalid username-password pair" in refusal_of(bob.ping)  # its library connected anew, and was refused
        assert alice.ping()
    assert not closed.lets_in(SECOND, "bob", "b")


def refusal_of(done: Callable[[], object]) -> str:
    """The words with which it was refused."""
    with pytest.raises(redis.RedisError) as refused:
        done()
    return str(refused.value)


def test_rules_that_an_engine_refuses_are_a_problem_and_the_others_are_kept(closed: Ground) -> None:
    closed.order(access=replace(CLOSED, users=(SHUT, ALICE, user("bad", "b", "+@no-such-category"), user("bob", "b"))))
    wait_until(lambda: closed.lets_in(FIRST, "bob", "b") and closed.said(FIRST).problem)
    assert "it refuses the rules of user bad" in str(closed.said(FIRST).problem)
    assert closed.said(FIRST).access == ""
    closed.allow(CLOSED)
    assert closed.said(FIRST).problem is None


def test_a_password_of_ours_that_was_changed_by_hand_is_a_problem_and_costs_no_data(closed: Ground) -> None:
    pid = closed.said(FIRST).pid
    closed.ask(FIRST, "ACL", "SETUSER", SYSTEM.username, "resetpass", ">changed", name="alice", password="first password")
    closed.restart()
    wait_until(lambda: closed.topology.key(FIRST) in closed.reports and "lets nobody in" in str(closed.said(FIRST).problem))
    assert closed.said(FIRST).access == "" and "changed by hand" in str(closed.said(FIRST).problem)
    assert SYSTEM.password not in str(closed.said(FIRST).problem)
    until = time.monotonic() + 3 * HUNG_AFTER
    wait_until(lambda: time.monotonic() > until)  # one that hangs would not live so long
    assert closed.keeps_closed(FIRST)
    restored = ("ACL", "SETUSER", SYSTEM.username, "resetpass", f">{SYSTEM.password}")
    closed.ask(FIRST, *restored, name="alice", password="first password")
    closed.settle()
    assert closed.said(FIRST).pid == pid and closed.said(FIRST).problem is None


def test_a_caller_cannot_be_called_as_we_are(ground: Ground) -> None:
    with pytest.raises(ValueError, match="no caller's user can have that name"):
        ground.order(access=replace(CLOSED, users=(SHUT, user(SYSTEM.username, "p"))))
    assert not ground.supervisor.keys()


# --- what else comes in at an engine ---


def test_measures_and_snapshots_are_taken_where_nobody_else_comes_in(closed: Ground, tmp_path: Path) -> None:
    assert closed.ask(FIRST, "SET", "color", "green", name="alice", password="first password") is True
    key = closed.topology.key(FIRST)
    wait_until(lambda: items_in(closed, key) == 1)
    with Saving(closed.spec(FIRST), closed.folder / "nodes" / key, lambda: True) as saving:
        saved = saving.run(tmp_path / "kept.rdb", lambda *_: None)
    assert saved is not None and saved.databases == 1


def items_in(ground: Ground, key: str) -> float:
    """How many keys are measured there."""
    told = ground.supervisor.measure(MetricsWanted(keys=[key])).nodes[0]
    assert told.problem is None and told.now is not None
    return told.now.values["CurrItems"]


def test_memcached_knows_no_users(tmp_path: Path) -> None:
    binary = next(each for each in find_binaries() if each.engine == "memcached")
    made = Ground(tmp_path, binary)
    try:
        address = f"127.101.{block_of(made.folder)}.1"
        spec = NodeSpec(key="uid.n1", generation=1, binary=binary, zone=ZONE, address=address, port=11211, role=Role.NONE, epoch=1,
                        memory=64 * 2**20, access=CLOSED)  # fmt: skip
        made.supervisor.take(Orders(nodes=[spec]))
        wait_until(lambda: "uid.n1" in made.reports and made.reports["uid.n1"].phase is Phase.RUNNING)
        assert (made.reports["uid.n1"].access, made.reports["uid.n1"].problem) == ("", None)
    finally:
        made.clear()


# --- cluster mode ---


def keys_in(first: int, last: int, number: int) -> list[str]:
    names = (f"key:{n}" for n in range(1_000_000))
    inside = (name for name in names if first <= key_slot(name.encode()) <= last)
    return [next(inside) for _ in range(number)]


def move(ground: Ground, source: str, target: str) -> None:
    """The first hundred slots go from the first shard to the second, as its engines do it."""
    topology = ground.topology
    for node in list(topology.nodes):
        topology = topology.with_node(replace(node, joined_at=NOW))
    ground.order(topology, resharding=Resharding((SlotMove("0001", "0002", (SlotRange(0, 99),)),), 100))
    wait_until(lambda: ground.said(source).arrived == ground.said(target).arrived == "0-99", within=30)


@pytest.fixture
def sharded(ground: Ground) -> Ground:
    """Two shards of two nodes, where alice may do everything and nobody else anything."""
    ground.topology = a_sharded_group(shards=2, replicas=1, created=False, port=PORT)
    ground.allow(CLOSED)
    return ground


def test_shards_agree_and_hand_over_slots_where_nobody_else_comes_in(sharded: Ground) -> None:
    leader, other = "orders-0001-001", "orders-0002-001"
    moved = keys_in(0, 99, 40)
    with sharded.client(leader, "alice", "first password") as client:
        for key in moved:
            client.set(key, key)
    move(sharded, leader, other)
    with sharded.client(other, "alice", "first password") as client:
        assert [client.get(key) for key in moved] == moved
    assert all(sharded.keeps_closed(node.id) for node in sharded.topology.nodes)


# --- secrets ---


def test_secrets_are_where_only_their_owner_reads_them(closed: Ground, caplog: pytest.LogCaptureFixture) -> None:
    secrets = (SYSTEM.password, hashed("first password")[1:], hashed(SYSTEM.password)[1:])
    caplog.set_level(logging.DEBUG)
    closed.allow(replace(CLOSED, users=(*CLOSED.users, user("bob", "b"))))
    closed.restart()
    closed.settle()
    told = caplog.text + "".join(said.model_dump_json() for said in closed.reports.values())
    told += "".join(Path(f"/proc/{closed.said(node).pid}/{each}").read_text() for node in (FIRST, SECOND) for each in ("cmdline", "environ"))
    told += "".join(path.read_text(errors="replace") for path in closed.folder.rglob("*.log"))
    told += str(closed.spec(FIRST)) + repr(closed.topology)
    assert not any(secret in told for secret in secrets)
    holding = [path for path in closed.folder.rglob("*") if path.is_file() and any(secret in path.read_text("latin1") for secret in secrets)]
    assert {path.name for path in holding} >= {"engine.conf"}
    assert all(stat.S_IMODE(path.stat().st_mode) & 0o077 == 0 for path in holding)


def test_what_callers_can_read_of_commands_does_not_hold_our_password(sharded: Ground) -> None:
    leader, other = "orders-0001-001", "orders-0002-001"
    for node in (leader, other):
        sharded.ask(node, "CONFIG", "SET", "slowlog-log-slower-than", "0", name=SYSTEM.username, password=SYSTEM.password)
        sharded.ask(node, "CONFIG", "SET", "slowlog-max-len", "100000", name=SYSTEM.username, password=SYSTEM.password)
    with sharded.client(leader, "alice", "first password") as client:
        for key in keys_in(0, 99, 40):
            client.set(key, key)
    with sharded.client(leader, "alice", "first password") as watching, watching.monitor() as monitor:
        move(sharded, leader, other)
        sharded.allow(replace(CLOSED, users=(*CLOSED.users, user("bob", "b"))))
        sharded.ask(leader, "ECHO", "over", name="alice", password="first password")
        heard = []
        while "over" not in (heard[-1:] or [""])[0]:
            heard.append(str(monitor.next_command()["command"]))
    slow = [str(sharded.ask(node, "SLOWLOG", "GET", "-1", name="alice", password="first password")) for node in (leader, other)]
    assert len(heard) > 10 and all(len(each) > 1000 for each in slow)
    assert any("MIGRATE" in said for said in heard) or sharded.binary.version.startswith("9.")  # whose engines do it by themselves
    assert not any("of all" in said for said in (*slow, *heard))
