"""One suite for every way in which orders reach an agent and its word comes back: by direct call, and over TLS to a real agent.

Then what only agents that are programs of their own can show.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shutil
import signal
import ssl
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import httpx
import pytest
import redis
from agents_door import OpenDoor, another_plane, ask
from engine_aside import engine_aside
from factories import FixedClock, a_group
from redis.backoff import NoBackoff
from redis.retry import Retry
from waiting import wait_until

from agents.address_block import block_of, give_back
from agents.credentials import Credentials
from agents.engines.catalogue import engines_in, find_binaries
from agents.folder import network_of
from agents.journal import Journal
from agents.pace import Pace
from agents.runtimes.process import ProcessRuntime
from agents.supervisor import Host, Supervisor
from agents.tls import AgentTls
from api_schemas.agent.agent import AgentHello, AgentReport, Orders, Welcome
from api_schemas.agent.examination import ExaminationKind, ExaminationOrder, ExaminationPhase, ExaminationState
from api_schemas.agent.fault import FaultSpec, FaultyNode
from api_schemas.agent.identity import agent_host
from api_schemas.agent.logs import EngineLogMark, LogsWanted, NodeLogs, NodeLogsWanted, SlowLogMark
from api_schemas.agent.metrics import AgentMetrics, MetricsWanted, NodeMetrics
from api_schemas.agent.node import EngineBinary, NodeReport, NodeSpec, Peer, Phase, Role
from api_schemas.agent.route import RouteSpec
from api_schemas.fault_kind import FaultKind
from api_schemas.faults import InvalidParameterValue
from archives.directory import DirectoryArchive
from cachewright.embedded import EmbeddedFleet, MixedFleet
from controlplane.operations.fleet import Registry
from controlplane.reconciler.fleet import AgentUnreachableError, ExaminationRefusedError, Fleet
from controlplane.reconciler.http_fleet import HttpFleet
from controlplane.store.fleet import HEARD_WITHIN, Heartbeats
from controlplane.store.store import Store

ROOT = Path(__file__).parents[2]
ZONE = "us-east-1b"
PORT = 6379


# --- Grounds: a control plane's desk, and an agent that reports to it ---


class Desk:
    """The control plane's side, as far as agents see it: who has joined, and the newest word on each node."""

    def __init__(self) -> None:
        self.joined: dict[str, AgentHello] = {}
        self.nodes: dict[str, NodeReport] = {}
        self.routes_gone: set[str] = set()
        self.words: Counter[str] = Counter()
        self.listens = True

    def welcome(self, hello: AgentHello) -> Welcome:
        self.joined[hello.agent] = hello
        return Welcome()

    def take(self, report: AgentReport) -> bool:
        if not self.listens or report.agent not in self.joined:
            return False
        for node in report.nodes:
            self.nodes[node.key] = node
            self.words[node.key] += 1
        self.routes_gone.update(report.gone_routes)
        return True

    def url(self, agent: str) -> str | None:
        return self.joined[agent].url if agent in self.joined else None

    def phase(self, key: str) -> Phase | None:
        return self.nodes[key].phase if key in self.nodes else None


class Ground(Protocol):
    """Where the suite runs: one agent, its desk, the fleet that gives it orders, and what the world does to it."""

    name: str
    folder: Path
    desk: Desk

    @property
    def fleet(self) -> Fleet:
        """How the agent is given its orders."""

    def begin(self) -> None:
        """Start the agent, or start it again."""

    def crash(self) -> None:
        """End the agent from one moment to the next; its engines go on."""

    def clear(self) -> None:
        """Leave nothing behind."""


class EmbeddedGround:
    """The agent lives in this process. It cannot be killed, but it can be left where it stands."""

    def __init__(self, folder: Path) -> None:
        self.name, self.folder, self.desk = "agent-b", folder / "agent", Desk()
        self.folder.mkdir()
        self.fleet = EmbeddedFleet()
        self._supervisor: Supervisor | None = None

    def begin(self) -> None:
        network = network_of(ZONE, block_of(self.folder))
        host = Host(self.name, ZONE, network, self.folder, binaries=find_binaries())
        self._supervisor = Supervisor(host, ProcessRuntime(self.folder), engines_in(self.folder), self.desk.take, Pace(steady=0.2))
        self.desk.welcome(self._supervisor.hello())
        self._supervisor.start()
        self.fleet.add(self._supervisor)

    def crash(self) -> None:
        assert self._supervisor is not None
        self._supervisor.leave()
        self._supervisor = None
        self.fleet = EmbeddedFleet()

    def clear(self) -> None:
        if self._supervisor is not None:
            self._supervisor.leave()
        end_engines(self.folder)


class HttpGround:
    """The agent is a process of its own, started as its users start it."""

    def __init__(self, folder: Path) -> None:
        self.name, self.folder, self.desk = "agent-b", folder / "agent", Desk()
        self.door = OpenDoor(folder / "plane", self.desk.welcome, self.desk.take)
        self.fleet = self.door.fleet(self.desk.url)
        self.token_file = folder / "token"
        self.token_file.write_text(self.door.token())
        self.log = folder / "agent.log"
        self.process: subprocess.Popen[str] | None = None
        self.url = ""

    def begin(self) -> None:
        self.process = self.launch()
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert "is ready at https://" in line, self.log.read_text()
        self.url = line.split(" is ready at ")[1].split()[0]
        wait_until(lambda: self.desk.url(self.name) == self.url)

    def launch(self, *options: str) -> subprocess.Popen[str]:
        asked = {"zone": ZONE, "name": self.name, "join": self.door.url, "token-file": self.token_file, "data-dir": self.folder}
        words = [f"--{option}={value}" for option, value in asked.items()]
        with self.log.open("a") as log:
            command = [sys.executable, "-m", "agents", *words, *options]
            return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=log, text=True)

    def ask(self, method: str, path: str, context: ssl.SSLContext | None = None, **sent: Any) -> httpx.Response:
        """The agent's answer, to the control plane if nobody else is said to ask."""
        return ask(context or self.door.tls.client, method, self.url + path, agent_host(self.name), **sent)

    def crash(self) -> None:
        self._end(signal.SIGKILL)

    def end(self) -> None:
        """Stop the agent in order."""
        self._end(signal.SIGTERM)

    def clear(self) -> None:
        if self.process is not None:
            self._end(signal.SIGKILL)
        self.fleet.close()
        self.door.close()
        end_engines(self.folder)

    def _end(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)
        self.process.wait(30)
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.process = None


def end_engines(folder: Path) -> None:
    """End every process that an agent of this folder has started, and give its addresses back."""
    if not folder.exists():
        return
    runtime = ProcessRuntime(folder)
    for stray in runtime.strays([]):
        runtime.kill(stray)
    runtime.close()
    give_back(folder)
    shutil.rmtree(folder)


@pytest.fixture(params=[EmbeddedGround, HttpGround], ids=["embedded", "http"])
def ground(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ground]:
    made: Ground = request.param(tmp_path)
    try:
        made.begin()
        yield made
    finally:
        made.clear()


@pytest.fixture
def http(tmp_path: Path) -> Iterator[HttpGround]:
    made = HttpGround(tmp_path)
    try:
        made.begin()
        yield made
    finally:
        made.clear()


# --- Orders ---


@dataclass
class Orderer:
    """Writes specs for nodes of one group on the ground's addresses."""

    ground: Ground
    epoch: int = 1
    generation: int = 1
    uid: str = field(default_factory=lambda: secrets.token_hex(5))

    @property
    def block(self) -> int:
        return block_of(self.ground.folder)

    @property
    def endpoint(self) -> str:
        return f"127.100.{self.block}.1"

    def key(self, number: int) -> str:
        return f"{self.uid}.orders-{number:03d}"

    def address(self, number: int) -> str:
        return f"127.102.{self.block}.{number}"

    def peer(self, number: int) -> Peer:
        return Peer(key=self.key(number), address=self.address(number), port=PORT, boot=1)

    def spec(self, number: int = 1, role: Role = Role.PRIMARY, **fields: Any) -> NodeSpec:
        usual: dict[str, Any] = {
            "key": self.key(number),
            "generation": self.generation,
            "binary": binary(),
            "zone": ZONE,
            "address": self.address(number),
            "port": PORT,
            "role": role,
            "epoch": self.epoch,
            "memory": 32 * 1024 * 1024,
            "follows": self.peer(1) if role is Role.REPLICA else None,
        }
        return NodeSpec(**{**usual, **fields})

    def give(self, *specs: NodeSpec, **orders: Any) -> None:
        self.ground.fleet.push(self.ground.name, Orders(nodes=list(specs), **orders))

    def running(self, number: int = 1) -> NodeReport:
        """The newest word on the node, once it says that it runs."""
        wait_until(lambda: self.ground.desk.phase(self.key(number)) is Phase.RUNNING)
        return self.ground.desk.nodes[self.key(number)]

    def settle(self) -> None:
        """Return when everything ordered before has been carried out and reported: a later order was."""
        marker = f"{self.uid}.marker-{secrets.token_hex(3)}"
        self.give(dropped_nodes=[marker])
        wait_until(lambda: self.ground.desk.phase(marker) is Phase.GONE)


@pytest.fixture
def order(ground: Ground) -> Orderer:
    return Orderer(ground)


def binary() -> EngineBinary:
    found = find_binaries()
    return next(each for each in found if each.engine == "valkey")


def pings(address: str) -> bool:
    with redis.Redis(address, PORT, socket_timeout=2, retry=Retry(NoBackoff(), 0)) as client:
        try:
            return bool(client.ping())
        except redis.ConnectionError:
            return False


def lives(pid: int | None) -> bool:
    assert pid is not None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return _state(pid) != "Z"


def stands_still(pid: int | None) -> bool:
    assert pid is not None
    return _state(pid) == "T"


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


# --- The suite for both ---


def test_a_node_is_started_and_reported_with_its_role(ground: Ground, order: Orderer) -> None:
    order.give(order.spec(generation=7, epoch=3))
    said = order.running()
    assert (said.role, said.epoch, said.generation, said.boot) == (Role.PRIMARY, 3, 7, 1)
    assert lives(said.pid)
    assert pings(order.address(1))


def test_orders_are_written_down_when_they_are_taken(ground: Ground, order: Orderer) -> None:
    order.give(order.spec(), routes=[RouteSpec(key=f"{order.uid}.reader", generation=1, address=order.endpoint, port=PORT)])
    assert order.key(1) in Journal(ground.folder).entries()
    assert f"{order.uid}.reader" in Journal(ground.folder).routes()


def test_an_endpoint_is_held_and_let_go(ground: Ground, order: Orderer) -> None:
    order.give(order.spec())
    order.running()
    order.give(order.spec(holds=[order.endpoint]))
    wait_until(lambda: ground.desk.nodes[order.key(1)].holds == [order.endpoint])
    assert pings(order.endpoint)
    order.give(order.spec())
    wait_until(lambda: ground.desk.nodes[order.key(1)].holds == [])
    assert not pings(order.endpoint)


def test_a_replica_is_proven(ground: Ground, order: Orderer) -> None:
    order.give(order.spec(replicas=[order.peer(2)]), order.spec(2, Role.REPLICA))
    wait_until(lambda: order.running().proven == [order.key(2)])
    wait_until(lambda: order.running(2).link_up)
    said = order.running(2)
    assert (said.role, said.follows, said.epoch) == (Role.REPLICA, f"{order.address(1)}:{PORT}", 1)


def test_a_reader_route_is_served_and_reported_gone_when_dropped(ground: Ground, order: Orderer) -> None:
    key = f"{order.uid}.reader"
    order.give(order.spec())
    order.running()
    route = RouteSpec(key=key, generation=1, address=order.endpoint, port=PORT, backends=[f"{order.address(1)}:{PORT}"])
    order.give(routes=[route])
    wait_until(lambda: pings(order.endpoint))
    order.give(dropped_routes=[key])
    wait_until(lambda: key in ground.desk.routes_gone)
    assert not pings(order.endpoint)


def test_orders_delivered_twice_change_nothing(ground: Ground, order: Orderer) -> None:
    orders = [order.spec(replicas=[order.peer(2)], holds=[order.endpoint]), order.spec(2, Role.REPLICA)]
    order.give(*orders)
    wait_until(lambda: order.running().proven == [order.key(2)] and order.running().holds and order.running(2).link_up)
    wait_until(lambda: order.running().offset and order.running(2).offset)
    before, words = dict(ground.desk.nodes), Counter(ground.desk.words)
    for _ in range(2):
        order.give(*orders)
        order.settle()
    for key in (order.key(1), order.key(2)):
        assert ground.desk.nodes[key] == before[key]
        assert ground.desk.words[key] == words[key]
        assert lives(before[key].pid)


def test_a_lower_generation_or_epoch_is_refused(ground: Ground, order: Orderer) -> None:
    order.give(order.spec(generation=5, epoch=2))
    said = order.running()
    order.give(order.spec(generation=4, epoch=2, holds=[order.endpoint]))
    order.give(order.spec(generation=6, epoch=1, boot=2))
    order.settle()
    kept = Journal(ground.folder).entries()[order.key(1)].spec
    assert (kept.generation, kept.epoch, kept.boot, kept.holds) == (5, 2, 1, [])
    assert ground.desk.nodes[order.key(1)] == said
    assert not pings(order.endpoint)


def test_a_dropped_node_is_reported_gone_and_leaves_nothing(ground: Ground, order: Orderer) -> None:
    order.give(order.spec())
    said = order.running()
    order.give(dropped_nodes=[order.key(1)])
    wait_until(lambda: ground.desk.phase(order.key(1)) is Phase.GONE)
    assert not lives(said.pid)
    assert not (ground.folder / "nodes" / order.key(1)).exists()
    assert Journal(ground.folder).entries() == {}
    order.give(dropped_nodes=[order.key(1)])
    order.settle()


def measured(order: Orderer, number: int = 1, **wanted: Any) -> NodeMetrics | None:
    """What the agent measures of a node; None while it does not run."""
    answer = order.ground.fleet.measure(order.ground.name, MetricsWanted(**wanted))
    assert answer.agent == order.ground.name
    return next((node for node in answer.nodes if node.key == order.key(number)), None)


def figures(order: Orderer, number: int = 1, **wanted: Any) -> dict[str, float]:
    """Its metrics; none while it was not measured."""
    found = measured(order, number, **wanted)
    return found.now.values if found and found.now else {}


def test_a_node_that_runs_is_measured(ground: Ground, order: Orderer) -> None:
    order.give(order.spec(replicas=[order.peer(2)]), order.spec(2, Role.REPLICA))
    wait_until(lambda: order.running(2).link_up)
    with redis.Redis(order.address(1), PORT) as client:
        client.set("color", "green")
        assert [client.get("color"), client.get("colour")] == [b"green", None]
    wait_until(lambda: figures(order).get("CacheHits") == 1 and figures(order, 2).get("CurrItems") == 1)
    found = measured(order, counters=True)
    assert found is not None and found.now is not None and found.problem is None
    assert found.now.age < 2
    assert found.counters["CacheHits"] == found.counters["CacheMisses"] == 1
    values = found.now.values
    assert (values["IsPrimary"], values["CacheHitRate"], values["SetTypeCmds"], values["CurrItems"]) == (1, 50, 1, 1)
    assert figures(order, 2)["IsPrimary"] == 0
    assert measured(order, keys=[order.key(2)]) is None
    assert measured(order, 2, keys=[order.key(2)]) is not None


def test_logs_are_told_from_a_mark_on(ground: Ground, order: Orderer) -> None:
    order.give(order.spec())
    order.running()

    def told(slow: SlowLogMark, engine: EngineLogMark) -> NodeLogs:
        wanted = NodeLogsWanted(key=order.key(1), slow=slow, engine=engine)
        answer = ground.fleet.logs(ground.name, LogsWanted(nodes=[wanted, NodeLogsWanted(key=order.key(2), slow=slow)]))
        assert (answer.agent, [node.key for node in answer.nodes]) == (ground.name, [order.key(1)])
        return answer.nodes[0]

    first = told(SlowLogMark(), EngineLogMark())
    assert any("Server initialized" in line.message for line in first.engine)
    assert first.slow_mark is not None and first.engine_mark is not None
    with redis.Redis(order.address(1), PORT, client_name="till") as client:
        client.eval("local x = 0 for i = 1, 3000000 do x = x + i end return x", 0)
    second = told(first.slow_mark, first.engine_mark)
    assert [(entry.command, entry.client_name) for entry in second.slow] == [("EVAL ... (2 more arguments)", "till")]
    assert not {line.message for line in second.engine} & {line.message for line in first.engine}
    assert second.slow_mark is not None and second.engine_mark is not None
    assert told(second.slow_mark, second.engine_mark).slow == []


def test_a_node_that_died_is_not_measured_and_begins_anew(ground: Ground, order: Orderer) -> None:
    order.give(order.spec())
    pid = order.running().pid
    with redis.Redis(order.address(1), PORT) as client:
        for _ in range(50):
            client.get("nothing")
    wait_until(lambda: figures(order).get("CacheMisses") == 50)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: measured(order) is None)
    order.give(order.spec(generation=2, boot=2))
    wait_until(lambda: "CacheMisses" in figures(order))
    assert figures(order)["CacheMisses"] == 0


def test_a_node_that_hangs_holds_up_no_other_and_has_no_figures(ground: Ground, order: Orderer) -> None:
    order.give(order.spec(replicas=[order.peer(2)]), order.spec(2, Role.REPLICA))
    wait_until(lambda: order.running(2).link_up and figures(order) and figures(order, 2))
    hang = FaultSpec(id="fault-1", kind=FaultKind.HANG, seconds=60, nodes=[FaultyNode(key=order.key(2), boot=1)])
    order.give(faults=[hang])

    def told() -> str:
        assert figures(order)
        found = measured(order, 2)
        return (found.problem or "") if found is not None and found.now is None else ""

    wait_until(lambda: "does not answer" in told(), every=0.05)
    order.give(faults=[])


def test_a_silent_agent_says_nothing_of_what_it_measures(ground: Ground, order: Orderer) -> None:
    order.give(order.spec())
    order.running()
    order.give(faults=[FaultSpec(id="fault-1", kind=FaultKind.SILENCE, seconds=60, whole=True)])
    with pytest.raises(AgentUnreachableError, match="silent"):
        measured(order)
    order.give(faults=[])
    wait_until(lambda: figures(order))


def test_a_silent_agent_is_heard_of_no_more_and_still_hears_of_faults(ground: Ground, order: Orderer) -> None:
    order.give(order.spec())
    said = order.running()
    silence = FaultSpec(id="fault-1", kind=FaultKind.SILENCE, seconds=60, whole=True)
    order.give(faults=[silence])
    with pytest.raises(AgentUnreachableError, match="silent"):
        order.give(order.spec(generation=2, boot=2))
    words = ground.desk.words.total()
    crash = FaultSpec(id="fault-2", kind=FaultKind.CRASH, seconds=60, nodes=[FaultyNode(key=order.key(1), boot=1)])
    order.give(faults=[silence, crash])
    wait_until(lambda: not lives(said.pid))
    assert ground.desk.words.total() == words, "a silent agent has spoken"
    order.give(faults=[])
    wait_until(lambda: ground.desk.phase(order.key(1)) is Phase.DEAD)
    order.give(order.spec(generation=2, boot=2))
    wait_until(lambda: order.running().boot == 2)


def test_a_node_without_power_is_not_started_before_it_is_back(ground: Ground, order: Orderer) -> None:
    order.give(order.spec())
    order.running()
    loss = FaultSpec(id="fault-1", kind=FaultKind.POWER_LOSS, seconds=60, nodes=[FaultyNode(key=order.key(1), boot=1)])
    order.give(faults=[loss])
    wait_until(lambda: ground.desk.phase(order.key(1)) is Phase.DEAD)
    assert "power" in (ground.desk.nodes[order.key(1)].problem or "")
    order.give(order.spec(generation=2, boot=2))
    order.settle()
    assert not pings(order.address(1))
    order.give(faults=[])
    wait_until(lambda: order.running().boot == 2)
    assert pings(order.address(1))


def test_a_fault_is_undone_in_time_by_an_agent_that_nobody_speaks_to(ground: Ground, order: Orderer) -> None:
    order.give(order.spec())
    said = order.running()
    hang = FaultSpec(id="fault-1", kind=FaultKind.HANG, seconds=0.5, nodes=[FaultyNode(key=order.key(1), boot=1)])
    order.give(faults=[hang])
    wait_until(lambda: stands_still(said.pid))
    wait_until(lambda: not stands_still(said.pid))
    assert pings(order.address(1))


def test_an_agent_that_was_killed_undoes_its_faults_when_it_starts(ground: Ground, order: Orderer) -> None:
    order.give(order.spec())
    said = order.running()
    hang = FaultSpec(id="fault-1", kind=FaultKind.HANG, seconds=600, nodes=[FaultyNode(key=order.key(1), boot=1)])
    order.give(faults=[hang])
    ground.crash()
    ground.begin()
    wait_until(lambda: not stands_still(said.pid))
    wait_until(lambda: order.running().pid == said.pid)


def test_a_node_that_the_agent_does_not_know_is_gone(ground: Ground, order: Orderer) -> None:
    order.give(dropped_nodes=[order.key(1)])
    wait_until(lambda: ground.desk.phase(order.key(1)) is Phase.GONE)


def test_an_agent_that_was_killed_adopts_its_nodes(ground: Ground, order: Orderer) -> None:
    order.give(order.spec(holds=[order.endpoint]))
    wait_until(lambda: order.running().holds)
    before = order.running()
    ground.crash()
    assert pings(order.endpoint)
    ground.desk.nodes.clear()
    ground.begin()
    wait_until(lambda: order.running().holds)
    now = order.running()
    assert now == before.model_copy(update={"offset": now.offset, "used_memory": now.used_memory})
    order.give(dropped_nodes=[order.key(1)])
    wait_until(lambda: ground.desk.phase(order.key(1)) is Phase.GONE)
    assert not lives(before.pid)


def test_an_engine_that_ended_while_its_agent_was_away_is_reported_dead(ground: Ground, order: Orderer) -> None:
    order.give(order.spec())
    said = order.running()
    ground.crash()
    assert said.pid is not None
    os.kill(said.pid, signal.SIGKILL)
    ground.begin()
    wait_until(lambda: ground.desk.phase(order.key(1)) is Phase.DEAD)
    order.give(order.spec(generation=2, boot=2))
    wait_until(lambda: order.running().boot == 2)


def test_a_dead_agent_is_unreachable_until_it_is_back(ground: Ground, order: Orderer) -> None:
    ground.crash()
    with pytest.raises(AgentUnreachableError, match="agent-b"):
        order.give(order.spec())
    ground.begin()
    order.give(order.spec())
    order.running()


def test_an_agent_that_never_joined_is_unreachable(ground: Ground) -> None:
    with pytest.raises(AgentUnreachableError, match="agent-z"):
        ground.fleet.measure("agent-z", MetricsWanted())
    with pytest.raises(AgentUnreachableError, match="agent-x"):
        ground.fleet.push("agent-x", Orders())


def test_what_was_not_taken_is_said_again(ground: Ground, order: Orderer) -> None:
    order.give(order.spec(2))
    order.running(2)
    ground.desk.listens = False
    order.give(order.spec(), dropped_nodes=[order.key(2)])
    wait_until(lambda: pings(order.address(1)) and not Journal(ground.folder).entries().get(order.key(2)))
    assert ground.desk.phase(order.key(1)) is None
    assert ground.desk.phase(order.key(2)) is Phase.RUNNING
    ground.desk.listens = True
    order.running()
    wait_until(lambda: ground.desk.phase(order.key(2)) is Phase.GONE)


# --- Examinations ---


@pytest.fixture
def examined(tmp_path: Path) -> ExaminationOrder:
    """An order to restore a file with a hundred keys."""
    saved = tmp_path / "saved"
    saved.mkdir()
    with engine_aside(binary(), saved) as client:
        client.mset({f"key:{number}": number for number in range(100)})
        client.save()
    content = (saved / "dump.rdb").read_bytes()
    archive = DirectoryArchive(tmp_path / "archive")
    archive.found()
    archive.put_bytes("a1/0001.rdb", content)
    return ExaminationOrder(name="a1.0001", kind=ExaminationKind.RESTORE, binary=binary(), archive=archive.url, key="a1/0001.rdb",
                            size=len(content), sha256=hashlib.sha256(content).hexdigest(), keys=100)  # fmt: skip


SLOW = {"key-load-delay": "100000"}  # microseconds for each key: ten seconds for all


def finished(ground: Ground, order: ExaminationOrder) -> ExaminationState:
    def over() -> ExaminationState | None:
        state = ground.fleet.examine(ground.name, order)
        return state if state.phase is not ExaminationPhase.RUNNING else None

    state = wait_until(over, within=30)
    assert state is not None
    return state


def examining(ground: Ground) -> list[int]:
    """The engines that run for examinations, whoever knows them."""
    runtime = ProcessRuntime(ground.folder)
    found = [handle.pid for handle in runtime.strays([]) if handle.key.startswith("examination.")]
    runtime.close()
    return found


def scratch(ground: Ground) -> list[Path]:
    folder = ground.folder / "examinations"
    return list(folder.iterdir()) if folder.exists() else []


@pytest.mark.parametrize("kind", list(ExaminationKind))
def test_a_file_is_examined_and_asked_about_by_its_name(kind: ExaminationKind, ground: Ground, examined: ExaminationOrder) -> None:
    order = examined.model_copy(update={"kind": kind})
    first = ground.fleet.examine(ground.name, order)
    assert (first.name, first.phase) == ("a1.0001", ExaminationPhase.RUNNING)
    state = finished(ground, order)
    assert (state.phase, state.keys, state.problem) == (ExaminationPhase.DONE, 100, None)
    assert ground.fleet.examine(ground.name, order) == state
    wait_until(lambda: not scratch(ground))
    assert examining(ground) == []


def test_a_file_that_is_not_what_it_should_be_fails_its_examination(ground: Ground, examined: ExaminationOrder) -> None:
    state = finished(ground, examined.model_copy(update={"sha256": "0" * 64}))
    assert state.phase is ExaminationPhase.FAILED
    assert "has been changed" in str(state.problem)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"binary": EngineBinary(engine="valkey", version="9.1.2", path="/bin/true")}, "this agent has no valkey 9.1.2 at /bin/true"),
        ({"binary": EngineBinary(engine="valkey", version="9.1.2", path="valkey-server", image="valkey:9.1")}, "in the image valkey:9.1"),
        ({"name": "../outside"}, "name"),
    ],
)
def test_an_examination_that_cannot_be_done_there_is_refused(
    ground: Ground, examined: ExaminationOrder, change: dict[str, Any], told: str
) -> None:
    with pytest.raises(ExaminationRefusedError, match=re.escape(told)):
        ground.fleet.examine(ground.name, examined.model_copy(update=change))
    assert scratch(ground) == []


def test_an_examination_is_cancelled(ground: Ground, examined: ExaminationOrder) -> None:
    slow = examined.model_copy(update={"parameters": SLOW})
    ground.fleet.examine(ground.name, slow)
    wait_until(lambda: examining(ground))
    ground.fleet.cancel_examination(ground.name, slow.name)
    wait_until(lambda: not scratch(ground))
    assert examining(ground) == []
    ground.fleet.cancel_examination(ground.name, slow.name)
    ground.fleet.cancel_examination(ground.name, "never-heard-of")
    assert finished(ground, examined).phase is ExaminationPhase.DONE


def test_an_examination_that_an_agent_ended_in_leaves_nothing_and_begins_anew(ground: Ground, examined: ExaminationOrder) -> None:
    slow = examined.model_copy(update={"parameters": SLOW})
    ground.fleet.examine(ground.name, slow)
    wait_until(lambda: examining(ground))
    ground.crash()
    with pytest.raises(AgentUnreachableError, match="agent-b"):
        ground.fleet.examine(ground.name, slow)
    ground.begin()
    assert examining(ground) == []
    assert scratch(ground) == []
    assert finished(ground, examined).phase is ExaminationPhase.DONE


def test_a_silent_agent_examines_nothing(ground: Ground, order: Orderer, examined: ExaminationOrder) -> None:
    order.give(faults=[FaultSpec(id="fault-1", kind=FaultKind.SILENCE, seconds=60, whole=True)])
    with pytest.raises(AgentUnreachableError, match="silent"):
        ground.fleet.examine(ground.name, examined)
    with pytest.raises(AgentUnreachableError, match="silent"):
        ground.fleet.cancel_examination(ground.name, examined.name)
    assert scratch(ground) == []
    order.give(faults=[])


# --- What only programs of their own can show ---


def test_an_agent_introduces_itself(http: HttpGround) -> None:
    hello = http.desk.joined[http.name]
    assert (hello.agent, hello.zone, hello.runtime, hello.url) == (http.name, ZONE, "process", http.url)
    assert hello.network == network_of(ZONE, block_of(http.folder))
    assert hello.engines == find_binaries()
    assert http.ask("GET", "/healthz", http.door.without_certificate()).status_code == 200


def test_the_newest_reports_can_be_read(http: HttpGround) -> None:
    order = Orderer(http)
    order.give(order.spec())
    said = order.running()
    answer = http.ask("GET", "/v1/reports")
    report = AgentReport.model_validate_json(answer.content)
    assert (report.agent, report.full) == (http.name, True)
    assert [(node.key, node.pid, node.phase) for node in report.nodes] == [(order.key(1), said.pid, Phase.RUNNING)]


@pytest.mark.parametrize("who", ["nobody", "another agent", "the agent itself"])
def test_an_agent_takes_orders_of_the_control_plane_alone(
    http: HttpGround, tmp_path: Path, examined: ExaminationOrder, who: str
) -> None:
    order = Orderer(http)
    contexts = {
        "nobody": http.door.without_certificate(),
        "another agent": http.door.certify(tmp_path / "other", "agent-c", "us-east-1c").client,
        "the agent itself": AgentTls(Credentials(http.folder)).client,
    }
    body = Orders(nodes=[order.spec()]).model_dump_json()
    answers = [
        http.ask("PUT", "/v1/orders", contexts[who], content=body),
        http.ask("GET", "/v1/reports", contexts[who]),
        http.ask("POST", "/v1/metrics", contexts[who], content="{}"),
        http.ask("POST", "/v1/examinations", contexts[who], content=examined.model_dump_json()),
        http.ask("DELETE", "/v1/examinations/a1.0001", contexts[who]),
    ]
    assert [answer.status_code for answer in answers] == [401 if who == "nobody" else 403] * 5
    assert all(answer.json()["error"]["code"] == "AccessDenied" for answer in answers)
    assert "stranger refused" in http.log.read_text()
    order.settle()
    assert Journal(http.folder).entries() == {}
    assert scratch(http) == []
    assert order.key(1) not in http.desk.nodes


def test_nobody_is_given_orders_without_tls(http: HttpGround) -> None:
    http.desk.welcome(http.desk.joined[http.name].model_copy(update={"url": http.url.replace("https://", "http://")}))
    with pytest.raises(AgentUnreachableError, match="over TLS"):
        http.fleet.push(http.name, Orders())


def test_orders_of_the_control_plane_of_others_are_refused_and_change_nothing(http: HttpGround) -> None:
    order = Orderer(http)
    stranger = another_plane()
    stranger.client.load_verify_locations(cadata=http.door.enrolment.authority.certificate)
    fleet = HttpFleet(lambda: stranger.client, http.desk.url)
    with pytest.raises(AgentUnreachableError, match="agent-b does not answer"):
        fleet.push(http.name, Orders(nodes=[order.spec()]))
    fleet.close()
    assert Journal(http.folder).entries() == {}


def test_an_agent_at_the_place_of_another_is_told_nothing(http: HttpGround) -> None:
    order = Orderer(http)
    http.desk.welcome(http.desk.joined[http.name].model_copy(update={"agent": "agent-before"}))
    fleet = http.door.fleet(http.desk.url)
    with pytest.raises(AgentUnreachableError, match=r"agent-before does not answer.*agent-before\.agents"):
        fleet.push("agent-before", Orders(nodes=[order.spec()]))
    fleet.close()
    assert Journal(http.folder).entries() == {}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"key": "../outside"}, "letters, digits"),
        ({"binary": EngineBinary(engine="abacus", version="1", path="/bin/true")}, "abacus"),
    ],
)
def test_orders_that_make_no_sense_are_refused_with_a_sentence(http: HttpGround, change: dict[str, Any], told: str) -> None:
    order = Orderer(http)
    with pytest.raises(AgentUnreachableError, match=f"400.*{told}"):
        order.give(order.spec(**change))
    order.settle()
    assert Journal(http.folder).entries() == {}


@pytest.mark.parametrize("body", ['{"window": 1}', '{"minutes": 16}', '{"other": 1}', "[]", ""])
def test_a_question_about_metrics_that_makes_no_sense_is_refused_with_a_sentence(http: HttpGround, body: str) -> None:
    answer = http.ask("POST", "/v1/metrics", content=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"].startswith("The question makes no sense at ")


def test_orders_for_another_agent_are_refused_on_a_connection_that_is_open_already(http: HttpGround) -> None:
    order = Orderer(http)
    order.settle()
    http.desk.welcome(http.desk.joined[http.name].model_copy(update={"agent": "agent-before"}))
    with pytest.raises(AgentUnreachableError, match="421"):
        http.fleet.push("agent-before", Orders(nodes=[order.spec()]))
    assert Journal(http.folder).entries() == {}


def test_too_many_orders_are_not_read(http: HttpGround) -> None:
    answer = http.ask("PUT", "/v1/orders", content=b" " * (16 * 1024 * 1024 + 1))
    assert answer.status_code == 413


def test_an_agent_whose_certificate_is_spoilt_says_so(http: HttpGround) -> None:
    http.end()
    (http.folder / "tls" / "certificate.pem").write_text("nonsense")
    again = http.launch()
    assert again.wait(20) == 1
    assert again.stdout is not None
    again.stdout.close()
    assert "cannot be read" in http.log.read_text()
    assert "Traceback" not in http.log.read_text()


def test_an_agent_that_is_unknown_introduces_itself_again_and_tells_everything(http: HttpGround) -> None:
    order = Orderer(http)
    order.give(order.spec())
    before = order.running()
    http.desk.joined.clear()
    http.desk.nodes.clear()
    wait_until(lambda: http.name in http.desk.joined)
    assert order.running().pid == before.pid


def test_engines_go_on_while_the_control_plane_is_away(http: HttpGround) -> None:
    order = Orderer(http)
    order.give(order.spec())
    before = order.running()
    http.door.stop()
    assert pings(order.address(1))
    order.give(order.spec(2))
    wait_until(lambda: pings(order.address(2)))
    assert http.desk.phase(order.key(2)) is None
    http.desk.nodes.clear()
    http.door.open()
    assert order.running().pid == before.pid
    order.running(2)


def test_an_agent_that_stops_in_order_saves_and_brings_its_nodes_back(http: HttpGround) -> None:
    order = Orderer(http)
    order.give(order.spec())
    before = order.running()
    with redis.Redis(order.address(1), PORT) as client:
        client.set("kept", "yes")
    http.end()
    assert not lives(before.pid)
    http.desk.nodes.clear()
    http.begin()
    said = order.running()
    assert (said.boot, said.pid != before.pid) == (1, True)
    with redis.Redis(order.address(1), PORT, decode_responses=True) as client:
        assert client.get("kept") == "yes"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ([], "another agent"),
        (["--zone=nowhere"], "--zone"),
        (["--join=ftp://x"], "--join"),
        (["--listen=nonsense"], "cannot listen"),
        (["--listen=127.0.0.1:99999"], "cannot listen"),
        (["--join=http://127.0.0.1:1"], "https://"),
        (["--url=http://127.0.0.1:1"], "https://"),
    ],
)
def test_an_agent_that_cannot_start_says_why(http: HttpGround, options: list[str], told: str) -> None:
    second = http.launch(*options)
    assert second.wait(20) == 1
    assert second.stdout is not None
    second.stdout.close()
    assert told in http.log.read_text()
    assert "Traceback" not in http.log.read_text()


@pytest.mark.parametrize("option", ["--name=agent-other", "--zone=us-east-1c"])
def test_a_folder_is_that_of_one_agent(http: HttpGround, option: str) -> None:
    http.end()
    other = http.launch(option)
    assert other.wait(20) == 1
    assert other.stdout is not None
    other.stdout.close()
    assert f"is the folder of agent {http.name} in zone {ZONE}" in http.log.read_text()


# --- Who is heard ---


@dataclass
class Seconds:
    """A clock that is told what time it is."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


def hello(agent: str, url: str | None = "https://127.0.0.1:1") -> AgentHello:
    return AgentHello(agent=agent, zone=ZONE, host="here", runtime="process", network="127.102.9.0/24", url=url)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(f"sqlite:///{tmp_path / 'plane.db'}")
    yield made
    made.close()


def heard(store: Store, agent: str) -> bool:
    with store.reading() as unit:
        return unit.agents.is_heard(agent)


def test_an_agent_of_another_process_is_heard_for_some_seconds_after_its_last_word(store: Store) -> None:
    clock = Seconds()
    store.heartbeats = Heartbeats(clock)
    registry = Registry(store, FixedClock())
    assert not heard(store, "agent-b")
    registry.welcome(hello("agent-b"))
    clock.now += HEARD_WITHIN
    assert heard(store, "agent-b")
    clock.now += 0.1
    assert not heard(store, "agent-b")
    assert registry.take(AgentReport(agent="agent-b"))
    assert heard(store, "agent-b")


def test_an_agent_of_this_process_has_a_heartbeat_like_any_other(store: Store) -> None:
    clock = Seconds()
    store.heartbeats = Heartbeats(clock)
    registry = Registry(store, FixedClock())
    registry.welcome(hello("agent-a", url=None))
    clock.now += HEARD_WITHIN + 0.1
    assert not heard(store, "agent-a")
    assert registry.take(AgentReport(agent="agent-a"))
    assert heard(store, "agent-a")


def test_after_a_restart_nobody_is_silent_before_there_was_time_to_speak(store: Store, tmp_path: Path) -> None:
    registry = Registry(store, FixedClock())
    registry.welcome(hello("agent-a", url=None))
    registry.welcome(hello("agent-b"))
    again = Store(f"sqlite:///{tmp_path / 'plane.db'}")
    assert heard(again, "agent-a")
    assert heard(again, "agent-b")
    again.close()


def test_an_agent_of_this_process_is_not_replaced_by_one_of_another(store: Store) -> None:
    registry = Registry(store, FixedClock())
    registry.welcome(hello("agent-a", url=None))
    with pytest.raises(InvalidParameterValue, match="agent-a"):
        registry.welcome(hello("agent-a"))
    registry.welcome(hello("agent-b"))
    registry.welcome(hello("agent-b", url="https://127.0.0.1:2"))
    assert store.agents["agent-b"].url == "https://127.0.0.1:2"


def test_who_joins_or_is_heard_again_wakes_what_has_no_place(store: Store) -> None:
    clock, woken = Seconds(), list[str]()
    store.heartbeats = Heartbeats(clock)
    with store.transaction() as unit:
        unit.topologies.save(a_group("orders", created=False))
    store.listen(lambda committed: woken.extend(committed.topologies))
    registry = Registry(store, FixedClock())
    registry.welcome(hello("agent-b"))
    assert woken == ["uid-replication-group-orders"]
    registry.take(AgentReport(agent="agent-b"))
    assert len(woken) == 1
    clock.now += HEARD_WITHIN + 1
    registry.take(AgentReport(agent="agent-b"))
    assert len(woken) == 2


def test_a_mixed_fleet_gives_each_agent_its_orders_where_it_lives() -> None:
    class Noting:
        def __init__(self) -> None:
            self.pushed: list[str] = []

        def push(self, agent: str, orders: Orders) -> None:
            self.pushed.append(agent)

        def measure(self, agent: str, wanted: MetricsWanted) -> AgentMetrics:
            self.pushed.append(f"{agent} measures")
            return AgentMetrics(agent=agent, nodes=[])

        def examine(self, agent: str, order: ExaminationOrder) -> ExaminationState:
            self.pushed.append(f"{agent} examines")
            return ExaminationState(name=order.name, phase=ExaminationPhase.RUNNING)

        def cancel_examination(self, agent: str, name: str) -> None:
            self.pushed.append(f"{agent} cancels {name}")

        def has(self, agent: str) -> bool:
            return agent == "agent-a"

    embedded, remote = Noting(), Noting()
    mixed = MixedFleet(embedded, remote)  # type: ignore[arg-type]
    mixed.push("agent-a", Orders())
    mixed.push("agent-b", Orders())
    assert mixed.measure("agent-b", MetricsWanted()) == AgentMetrics(agent="agent-b", nodes=[])
    mixed.measure("agent-a", MetricsWanted())
    asked = ExaminationOrder(name="e1", kind=ExaminationKind.CHECK, binary=binary(), archive="file:///a", key="k", size=0, sha256="0" * 64)
    assert mixed.examine("agent-a", asked).name == "e1"
    mixed.cancel_examination("agent-b", "e1")
    assert embedded.pushed == ["agent-a", "agent-a measures", "agent-a examines"]
    assert remote.pushed == ["agent-b", "agent-b measures", "agent-b cancels e1"]
