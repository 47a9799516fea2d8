"""One node on its host: each desired boot once, roles as ordered, and the truth about what became of it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from waiting import wait_until

from agents.engines.engine import AccessRefusedError, AddressHeldError, Configured, Enforced, EngineUnreachableError, Observation
from agents.journal import Entry, Journal
from agents.launch import Launch
from agents.node import LocalNode
from agents.pace import Pace
from agents.runtimes.fake import FakeRuntime
from agents.runtimes.runtime import Ending
from api_schemas.agent.access import Access, AclUser, Credentials
from api_schemas.agent.configuration import Configuration
from api_schemas.agent.node import EngineBinary, Mesh, NodeReport, NodeSpec, Peer, Phase, Role

ADDRESS, PORT = "127.99.200.1", 16379
ENDPOINT = "127.99.200.100"
PEER = Peer(key="uid.n2", address="127.99.200.2", port=PORT, boot=1)
PLACE_OF_PEER = f"{PEER.address}:{PORT}"
SPEC = NodeSpec(
    key="uid.n1", generation=1, binary=EngineBinary(engine="toy", version="1.0.0", path="/toy"), zone="us-east-1a",
    address=ADDRESS, port=PORT, role=Role.PRIMARY, epoch=1, memory=2**20,
)  # fmt: skip
QUICK = Pace(start_within=60, hung_after=60, relink_after=60, grace=timedelta(0))


@dataclass
class Toy:
    """An engine and its session at once: does as it is told, unless a field says otherwise."""

    keeps_data: bool = True
    ready: bool = True
    silent: bool = False
    """It does not answer."""
    shut: bool = False
    """It does not let us in."""
    says: str | None = None
    seen: Observation = field(default_factory=lambda: Observation(Role.PRIMARY))
    acknowledge: frozenset[str] = frozenset()
    held_elsewhere: bool = False
    cannot_save: bool = False
    heir_is_ready: bool = True
    """A replica that it yields to has every write."""
    refuses: str | None = None
    """What it says of a configuration that it does not take."""
    takes_nothing: bool = False
    """It takes its configuration only when it starts."""
    disagrees: str | None = None
    """In what it sees another cluster bus than it shall."""
    demanded: tuple[int, int] = (0, 10)
    """Of how many replicas it demands acknowledgements, and within how many seconds."""
    acknowledging: int = 1
    """How many replicas do acknowledge."""
    deposed: bool = False
    """It has heard of another primary in its place."""
    wiped: int = 0
    opened: int = 0
    closed: int = 0
    done: list[str] = field(default_factory=list)

    def launch(self, spec: NodeSpec, folder: Path) -> Launch:
        return Launch(spec.key, spec.boot, ("toy",), folder, folder / "launch.log")

    def starts_with(self, spec: NodeSpec) -> Configuration:
        return spec.configuration

    def is_ready(self, spec: NodeSpec) -> bool:
        return self.ready

    def is_loading(self, spec: NodeSpec) -> bool:
        return False

    def open(self, spec: NodeSpec) -> Toy:
        self.opened += 1
        return self

    def why_it_ended(self, folder: Path) -> str | None:
        return self.says

    def wipe(self, folder: Path) -> None:
        self.wiped += 1

    def observe(self) -> Observation:
        if self.silent:
            raise EngineUnreachableError("no answer within 2 s")
        if self.shut:
            raise AccessRefusedError("it lets nobody in as ours")
        return replace(self.seen, refuses=self.seen.role is Role.PRIMARY and self.acknowledging < self.demanded[0])

    def is_deposed(self, spec: NodeSpec, seen: Observation) -> bool:
        return self.deposed and spec.role is Role.PRIMARY

    def assume(self, spec: NodeSpec, seen: Observation) -> bool:
        if seen.role is spec.role:
            return True
        self.done.append(f"become {spec.role.value}")
        self.seen = replace(seen, role=spec.role, follows=f"{spec.follows.address}:{spec.follows.port}" if spec.follows else None)
        return False

    def hold(self, spec: NodeSpec, seen: Observation) -> None:
        if self.held_elsewhere:
            raise AddressHeldError(f"another process holds {spec.holds}")
        self.done.append(f"hold {sorted(spec.holds)}")
        self.seen = replace(seen, holds=frozenset(spec.holds))

    def send_away(self) -> None:
        self.done.append("send away")

    def glance(self, seen: Observation) -> Observation:
        """As an engine that holds what it held: only a whole look finds out."""
        return replace(self.observe(), holds=seen.holds)

    def prove(self, spec: NodeSpec, *how: float) -> frozenset[str]:
        self.done.append("prove")
        return self.acknowledge

    def yield_to(self, spec: NodeSpec, heir: Peer) -> bool:
        self.done.append(f"yield to {heir.key}")
        return self.heir_is_ready

    def go_on(self) -> None:
        self.done.append("go on")

    def configure(self, spec: NodeSpec, runs_with: Configuration) -> Configured:
        self.done.append("configure")
        if self.refuses:
            return Configured(runs_with, self.refuses)
        return Configured(runs_with if self.takes_nothing else spec.configuration)

    def enforce(self, spec: NodeSpec) -> Enforced:
        self.done.append("enforce")
        return Enforced("", self.refuses) if self.refuses or spec.access is None else Enforced(spec.access.digest)

    def nudge(self, spec: NodeSpec, keys: frozenset[str]) -> None:
        self.done.append(f"nudge {sorted(keys)}")

    def demand(self, acknowledgements: int, lag: int) -> None:
        self.demanded = (acknowledgements, lag)
        self.done.append(f"demand {acknowledgements} within {lag}")

    def relink(self, spec: NodeSpec) -> None:
        self.done.append("relink")

    def arrived(self, spec: NodeSpec, seen: Observation) -> str:
        return ""

    def disagreement(self, spec: NodeSpec, seen: Observation) -> str | None:
        return self.disagrees

    def save(self) -> None:
        if self.cannot_save:
            raise EngineUnreachableError("disk full")
        self.done.append("save")

    def close(self) -> None:
        self.closed += 1


@dataclass
class Host:
    """A node with its toy engine, and what belongs to it."""

    folder: Path
    runtime: FakeRuntime
    toy: Toy
    journal: Journal
    ended: list[str] = field(default_factory=list)
    out_of_touch: bool = False
    back_for: float = 0.0
    """Seconds for which it has been answered again."""
    node: LocalNode = field(init=False)

    def __post_init__(self) -> None:
        self.take(Entry(SPEC))

    def take(self, entry: Entry, pace: Pace = QUICK) -> LocalNode:
        """The node as an agent has it that starts with this in its journal."""
        self.journal.write(entry)
        folder = self.folder / "nodes" / entry.spec.key
        self.node = LocalNode(entry, folder, self.runtime, {"toy": self.toy}, self.journal, pace, self.ended.append,
                              in_touch_for=lambda: None if self.out_of_touch else self.back_for)  # fmt: skip
        return self.node

    def order(self, **changes: Any) -> NodeSpec:
        """A newer spec is delivered."""
        spec = self.node.spec.model_copy(update={"generation": self.node.spec.generation + 1, **changes})
        self.node.accept(spec)
        return spec

    def visit(self) -> NodeReport:
        return self.node.visit()[0]

    def crash(self) -> None:
        """The process ends by itself, and whoever watches it has heard."""
        heard = len(self.ended)
        self.runtime.crash(SPEC.key)
        wait_until(lambda: len(self.ended) > heard)

    def running(self) -> int:
        """How many processes of the node live."""
        return len(self.runtime.strays([]))


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    made = Host(tmp_path, FakeRuntime(tmp_path), Toy(), Journal(tmp_path))
    yield made
    made.runtime.close()


# ---- cluster mode: whether the engine sees the bus as it shall


MESH = Mesh(me="a" * 40, epoch=1, digest="digest-1")


def test_the_digest_is_reported_once_the_engine_agrees(host: Host) -> None:
    host.toy.disagrees = "127.99.200.2 is not known"
    host.order(mesh=MESH)
    report, again = host.node.visit()
    assert (report.phase, report.agrees, again) == (Phase.RUNNING, None, QUICK.eager)
    host.toy.disagrees = None
    report, again = host.node.visit()
    assert (report.agrees, again) == ("digest-1", QUICK.steady)
    host.toy.disagrees = "127.99.200.2 is flagged fail"
    assert host.visit().agrees is None


def test_another_mesh_is_agreed_to_under_its_own_digest(host: Host) -> None:
    host.order(mesh=MESH)
    assert host.visit().agrees == "digest-1"
    host.order(mesh=MESH.model_copy(update={"digest": "digest-2"}))
    assert host.visit().agrees == "digest-2"


def test_who_does_not_run_agrees_to_nothing(host: Host) -> None:
    host.order(mesh=MESH)
    assert host.visit().agrees == "digest-1"
    host.crash()
    assert (host.visit().phase, host.visit().agrees) == (Phase.DEAD, None)
    host.order(boot=2)
    host.toy.ready = False
    assert (host.visit().phase, host.visit().agrees) == (Phase.STARTING, None)


def test_outside_of_cluster_mode_nothing_is_agreed_to(host: Host) -> None:
    host.toy.disagrees = "nobody asks"
    report, again = host.node.visit()
    assert (report.agrees, again) == (None, QUICK.steady)


# ---- each desired boot is started once


def test_a_new_node_is_started_emptied_and_reported(host: Host) -> None:
    report = host.visit()
    assert (report.phase, report.boot, report.role, report.epoch, report.generation) == (Phase.RUNNING, 1, Role.PRIMARY, 1, 1)
    assert report.pid is not None
    assert (host.running(), host.toy.wiped) == (1, 1)


def test_looking_again_starts_nothing(host: Host) -> None:
    first = host.visit()
    assert [host.visit() for _ in range(3)] == [first] * 3
    assert (host.running(), host.toy.wiped, host.toy.opened) == (1, 1, 1)


def test_what_is_content_is_looked_at_seldom(host: Host) -> None:
    assert host.node.visit()[1] == QUICK.steady
    host.order(replicas=[PEER])
    assert host.node.visit()[1] == QUICK.eager


def test_a_dead_engine_is_not_started_by_itself(host: Host) -> None:
    host.visit()
    host.crash()
    for _ in range(3):
        assert host.visit().phase is Phase.DEAD
    host.order(role=Role.PRIMARY)  # nor by orders that ask for no boot
    assert host.visit().phase is Phase.DEAD
    assert host.running() == 0


def test_a_raised_boot_starts_it_again_emptied(host: Host) -> None:
    host.visit()
    host.crash()
    host.order(boot=2)
    assert (host.visit().phase, host.visit().boot) == (Phase.RUNNING, 2)
    assert (host.running(), host.toy.wiped) == (1, 2)


def test_a_raised_boot_ends_what_still_runs(host: Host) -> None:
    before = host.visit().pid
    host.order(boot=2)
    after = host.visit()
    assert after.boot == 2
    assert after.pid != before
    assert host.running() == 1
    assert host.toy.closed == 1


def test_a_new_boot_holds_nothing_until_it_is_told_to_although_the_former_did(host: Host) -> None:
    host.order(holds=[ENDPOINT])
    assert [host.visit().holds for _ in range(3)] == [[ENDPOINT]] * 3
    host.crash()
    host.toy.seen, host.toy.done = Observation(Role.PRIMARY), []
    host.order(boot=2)
    assert host.visit().holds == [ENDPOINT]
    assert f"hold {[ENDPOINT]}" in host.toy.done


def test_several_missed_boots_are_one_start(host: Host) -> None:
    host.order(boot=5)
    assert host.visit().boot == 5
    assert host.toy.wiped == 1


def test_a_node_known_to_the_journal_is_found_again_without_a_start(host: Host) -> None:
    before = host.visit()
    (entry,) = host.journal.entries().values()
    host.take(entry)
    assert host.visit() == before
    assert (host.running(), host.toy.wiped) == (1, 1)


def test_one_that_died_while_no_agent_ran_is_dead_and_not_failed(host: Host) -> None:
    host.visit()
    host.crash()
    (entry,) = host.journal.entries().values()
    host.take(entry)
    assert (host.visit().phase, host.running()) == (Phase.DEAD, 0)


def test_the_end_of_a_process_wakes_whoever_looks_after_it(host: Host) -> None:
    host.visit()
    host.crash()
    assert wait_until(lambda: host.ended) == [SPEC.key]


# ---- stale orders


@pytest.mark.parametrize(
    ("stale", "taken"),
    [
        ({"generation": 4, "epoch": 5}, False),
        ({"generation": 6, "epoch": 4}, False),
        ({"generation": 5, "epoch": 5}, True),  # delivered twice
        ({"generation": 6, "epoch": 5}, True),
        ({"generation": 5, "epoch": 6}, True),
    ],
)
def test_a_lower_generation_or_epoch_is_refused(host: Host, stale: dict[str, int], taken: bool) -> None:
    host.node.accept(SPEC.model_copy(update={"generation": 5, "epoch": 5, "memory": 1}))
    host.node.accept(SPEC.model_copy(update={"memory": 2, **stale}))
    assert host.node.spec.memory == (2 if taken else 1)
    assert host.journal.entries()[SPEC.key].spec == host.node.spec


def test_orders_are_written_down_before_they_are_used(host: Host) -> None:
    host.order(boot=7)
    assert host.journal.entries()[SPEC.key].spec.boot == 7


class SlowJournal(Journal):
    """Lets something happen while a start is being written down."""

    meanwhile: Callable[[], None] | None = None

    def write(self, entry: Entry) -> None:
        super().write(entry)
        if entry.handle is not None and (meanwhile := self.meanwhile):
            self.meanwhile = None
            meanwhile()


def test_orders_that_arrive_during_a_start_are_not_lost_nor_is_the_process(host: Host) -> None:
    journal = SlowJournal(host.folder)
    host.journal = journal
    node = host.take(Entry(SPEC))
    newer = SPEC.model_copy(update={"generation": 2, "memory": 2**21})
    order = threading.Thread(target=node.accept, args=(newer,))

    def deliver() -> None:
        order.start()
        order.join(0.2)

    journal.meanwhile = deliver
    node.visit()
    order.join()
    assert node.spec == newer
    assert journal.entries()[SPEC.key].spec == newer
    assert node.handle is not None
    assert node.visit()[0].phase is Phase.RUNNING


# ---- suspended and resumed


def test_a_suspended_node_is_resumed_as_the_same_boot_with_its_data(host: Host) -> None:
    host.visit()
    host.node.suspend()
    assert host.toy.done == ["save"]
    assert host.running() == 0
    (entry,) = host.journal.entries().values()
    assert (entry.suspended, entry.handle, entry.boot_done) == (True, None, 1)
    resumed = host.take(entry)
    assert (resumed.resuming().phase, resumed.resuming().boot) == (Phase.STARTING, 1)
    assert (host.visit().phase, host.visit().boot) == (Phase.RUNNING, 1)
    assert (host.running(), host.toy.wiped) == (1, 1)
    assert not host.journal.entries()[SPEC.key].suspended


def test_after_it_was_resumed_the_next_boot_is_empty_again(host: Host) -> None:
    host.visit()
    host.node.suspend()
    host.take(host.journal.entries()[SPEC.key])
    host.visit()
    host.order(boot=2)
    host.visit()
    assert host.toy.wiped == 2


def test_one_that_cannot_save_ends_and_is_not_taken_for_suspended(host: Host) -> None:
    host.visit()
    host.toy.cannot_save = True
    host.node.suspend()
    (entry,) = host.journal.entries().values()
    assert not entry.suspended
    assert host.running() == 0
    host.take(entry)
    assert host.visit().phase is Phase.DEAD


def test_one_that_keeps_no_data_is_suspended_without_saving(host: Host) -> None:
    host.toy.keeps_data = False
    host.visit()
    host.node.suspend()
    assert host.toy.done == []
    assert host.journal.entries()[SPEC.key].suspended


def test_the_dead_are_not_suspended(host: Host) -> None:
    host.visit()
    host.crash()
    host.node.suspend()
    assert not host.journal.entries()[SPEC.key].suspended


# ---- dead, failed, starting


def test_dead_is_what_had_come_up_and_says_its_last_words(host: Host) -> None:
    host.visit()
    host.toy.says = "Out of memory"
    host.crash()
    report = host.visit()
    assert (report.phase, report.problem) == (Phase.DEAD, "its process ended: Out of memory")
    assert (report.pid, report.role, report.holds) == (None, None, [])
    host.toy.says = "something else"
    assert host.visit() == report


def test_failed_is_what_never_came_up(host: Host) -> None:
    host.toy.ready = False
    assert host.visit().phase is Phase.STARTING
    host.toy.says = "Bad directive"
    host.crash()
    report = host.visit()
    assert (report.phase, report.problem) == (Phase.FAILED, "its process ended: Bad directive")


def test_failed_is_a_second_boot_that_never_came_up_though_the_first_did(host: Host) -> None:
    host.visit()
    host.toy.ready = False
    host.order(boot=2)
    assert host.visit().phase is Phase.STARTING
    host.crash()
    assert host.visit().phase is Phase.FAILED


def test_failed_is_what_the_runtime_refused_to_start(host: Host) -> None:
    host.runtime.start_fails_times = 1
    report = host.visit()
    assert (report.phase, report.boot) == (Phase.FAILED, 1)
    assert "was made to fail" in (report.problem or "")
    assert host.visit().phase is Phase.FAILED  # and it is not tried again by itself
    host.order(boot=2)
    assert host.visit().phase is Phase.RUNNING


def test_what_is_still_being_fetched_is_starting_and_asked_for_again(host: Host) -> None:
    host.runtime.not_yet_times = 2
    report = host.visit()
    assert (report.phase, report.boot) == (Phase.STARTING, 0)
    assert "not there yet" in (report.problem or "")
    assert host.visit().phase is Phase.STARTING
    report = host.visit()
    assert (report.phase, report.boot, report.problem) == (Phase.RUNNING, 1, None)


def test_why_it_ended_is_learnt_before_the_next_boot_and_a_death_is_told_without(host: Host) -> None:
    host.visit()
    host.runtime.ends_by = Ending(out_of_memory=True, said="Killed")
    host.crash()
    assert (host.visit().phase, host.visit().out_of_memory) == (Phase.DEAD, 0)
    host.order(boot=2)
    report = host.visit()
    assert (report.phase, report.boot, report.out_of_memory) == (Phase.RUNNING, 2, 1)


@pytest.mark.parametrize(
    ("wrote", "ending", "problem"),
    [
        (None, Ending(said="FATAL CONFIG FILE ERROR"), "its process ended: FATAL CONFIG FILE ERROR"),
        ("Bad directive", Ending(said="bye"), "its process ended: Bad directive"),
        ("Loading", Ending(out_of_memory=True, said="bye"), "its process ended: it ran out of memory"),
    ],
)
def test_what_never_came_up_says_what_the_runtime_knows(host: Host, wrote: str | None, ending: Ending, problem: str) -> None:
    host.toy.ready, host.toy.says, host.runtime.ends_by = False, wrote, ending
    host.visit()
    host.crash()
    report = host.visit()
    assert (report.phase, report.problem, report.out_of_memory) == (Phase.FAILED, problem, int(ending.out_of_memory))


def test_what_answers_too_late_is_ended(host: Host) -> None:
    host.toy.ready = False
    host.take(Entry(SPEC), replace(QUICK, start_within=0.0))
    wait_until(lambda: host.visit().phase is Phase.FAILED)
    assert host.running() == 0


# ---- an address that a foreign process has


def test_an_address_that_is_taken_is_told_and_nothing_is_started(host: Host) -> None:
    with socket.socket() as foreign:
        foreign.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        foreign.bind((ADDRESS, PORT))
        foreign.listen()
        report = host.visit()
        assert (report.phase, report.address_taken, report.boot) == (Phase.FAILED, True, 1)
        assert report.problem == f"another process already listens on {ADDRESS}:{PORT}"
        assert host.running() == 0
        assert host.visit().address_taken  # still so at the next look
        host.order(boot=2, address="127.99.200.9")
        moved = host.visit()
    assert (moved.phase, moved.address_taken, moved.boot) == (Phase.RUNNING, False, 2)


# ---- endpoints


def test_endpoint_addresses_are_bound_and_let_go(host: Host) -> None:
    host.order(holds=[ENDPOINT])
    assert host.visit().holds == [ENDPOINT]
    host.visit()
    host.order(holds=[])
    assert host.visit().holds == []
    assert host.toy.done == [f"hold ['{ENDPOINT}']", "hold []"]


def test_nothing_is_bound_before_the_role_is_assumed(host: Host) -> None:
    host.visit()

    class Reluctant(Toy):
        def assume(self, spec: NodeSpec, seen: Observation) -> bool:
            return False

    host.node.release()
    host.toy.__class__ = Reluctant
    host.order(holds=[ENDPOINT], epoch=2)
    report = host.visit()
    assert (report.holds, report.epoch, host.toy.done) == ([], 1, [])


def test_an_endpoint_that_somebody_else_holds_is_a_problem_and_the_node_goes_on(host: Host) -> None:
    host.toy.held_elsewhere = True
    host.order(holds=[ENDPOINT])
    report = host.visit()
    assert (report.phase, report.holds) == (Phase.RUNNING, [])
    assert "another process holds" in (report.problem or "")
    host.toy.held_elsewhere = False
    report = host.visit()
    assert (report.holds, report.problem) == ([ENDPOINT], None)


# ---- handing over


def with_an_heir(host: Host) -> Host:
    """A primary whose one replica is proven."""
    assert proving(host).proven == [PEER.key]
    host.toy.done.clear()
    return host


def test_an_heir_is_proven_before_the_primary_yields_for_no_replica_is_asked_while_writers_wait(host: Host) -> None:
    host.toy.seen = Observation(Role.PRIMARY, online=frozenset({PLACE_OF_PEER}))
    host.order(replicas=[PEER], yields_to=PEER)
    report, again = host.node.visit()
    assert (report.yielded_to, again, host.toy.done[0]) == (None, QUICK.eager, "prove")
    assert f"yield to {PEER.key}" not in host.toy.done
    host.toy.acknowledge = frozenset({PEER.key})
    host.visit()
    assert host.visit().yielded_to == PEER.key


def test_a_primary_goes_on_when_its_heir_goes_away(host: Host) -> None:
    with_an_heir(host).order(yields_to=PEER)
    host.visit()
    host.toy.seen = Observation(Role.PRIMARY)
    host.visit()
    assert host.visit().yielded_to is None
    assert host.toy.done[-1] == "go on"


def test_a_primary_yields_for_as_long_as_it_is_asked_to(host: Host) -> None:
    assert with_an_heir(host).visit().yielded_to is None
    host.order(yields_to=PEER)
    report, again = host.node.visit()
    assert (report.yielded_to, report.phase, again) == (PEER.key, Phase.RUNNING, QUICK.steady)
    assert host.visit().yielded_to == PEER.key
    assert host.toy.done == [f"yield to {PEER.key}"] * 2  # its pause ends by itself, so it is asked for again


def test_an_heir_that_lacks_a_write_is_not_ready_and_is_looked_at_again_soon(host: Host) -> None:
    with_an_heir(host).toy.heir_is_ready = False
    host.order(yields_to=PEER)
    report, again = host.node.visit()
    assert (report.yielded_to, again) == (None, QUICK.eager)
    host.toy.heir_is_ready = True
    assert host.visit().yielded_to == PEER.key
    host.toy.heir_is_ready = False
    assert host.visit().yielded_to is None


def test_a_primary_that_is_no_longer_to_yield_goes_on_once(host: Host) -> None:
    with_an_heir(host).order(yields_to=PEER)
    host.visit()
    host.order(yields_to=None)
    assert host.visit().yielded_to is None
    host.visit()
    assert host.toy.done == [f"yield to {PEER.key}", "go on"]


def test_a_primary_goes_on_when_nobody_took_over_in_time(host: Host) -> None:
    node = host.take(Entry(SPEC), replace(QUICK, yield_within=0.05))
    with_an_heir(host).order(yields_to=PEER)
    assert host.visit().yielded_to == PEER.key
    wait_until(lambda: node.visit()[0].yielded_to is None)
    assert host.toy.done[-1] == "go on"
    yielded = host.toy.done.count(f"yield to {PEER.key}")
    assert host.visit().yielded_to is None
    assert host.toy.done.count(f"yield to {PEER.key}") == yielded  # until something else is desired of it
    host.order(yields_to=None)
    host.visit()
    host.order(yields_to=PEER)
    assert host.visit().yielded_to == PEER.key


def test_a_former_primary_lets_go_of_the_endpoint_before_it_follows_and_only_then_lets_writers_hear(host: Host) -> None:
    with_an_heir(host).order(holds=[ENDPOINT], yields_to=PEER)
    host.visit()
    host.toy.done.clear()
    host.order(role=Role.REPLICA, follows=PEER, epoch=2, holds=[], yields_to=None)
    report = host.visit()
    assert (report.role, report.holds, report.yielded_to, report.epoch) == (Role.REPLICA, [], None, 2)
    assert host.toy.done == ["hold []", "become replica", "go on"]


def test_what_was_yielded_is_forgotten_with_the_boot(host: Host) -> None:
    with_an_heir(host).order(yields_to=PEER)
    host.visit()
    host.toy.heir_is_ready = False
    host.order(boot=2)
    assert host.visit().yielded_to is None
    host.crash()
    assert host.visit().yielded_to is None


# ---- roles, proofs, rolls


def test_a_role_is_assumed_at_the_epoch_it_was_given(host: Host) -> None:
    host.visit()
    host.order(role=Role.REPLICA, follows=PEER, epoch=2)
    report = host.visit()
    assert (report.role, report.follows, report.epoch) == (Role.REPLICA, PLACE_OF_PEER, 2)


def test_an_epoch_ends_with_the_boot(host: Host) -> None:
    host.visit()
    host.toy.ready = False
    host.order(boot=2)
    assert host.visit().epoch == 0


def proving(host: Host) -> NodeReport:
    """A primary whose one replica streams and acknowledges."""
    host.order(replicas=[PEER])
    host.toy.seen = Observation(Role.PRIMARY, online=frozenset({PLACE_OF_PEER}))
    host.toy.acknowledge = frozenset({PEER.key})
    return host.visit()


def test_a_replica_that_acknowledges_is_proven_and_not_asked_again(host: Host) -> None:
    assert proving(host).proven == [PEER.key]
    assert host.visit().proven == [PEER.key]
    assert host.toy.done == ["prove"]


def test_a_replica_that_is_not_online_is_not_asked(host: Host) -> None:
    host.order(replicas=[PEER])
    host.toy.acknowledge = frozenset({PEER.key})
    assert host.visit().proven == []
    assert host.toy.done == []


def test_a_silent_replica_is_nudged_once_a_boot(host: Host) -> None:
    host.order(replicas=[PEER])
    host.toy.seen = Observation(Role.PRIMARY, online=frozenset({PLACE_OF_PEER}))
    for _ in range(3):
        assert host.visit().proven == []
    nudge = f"nudge ['{PEER.key}']"
    assert host.toy.done.count(nudge) == 1
    host.order(replicas=[PEER.model_copy(update={"boot": 2})])
    host.toy.seen = Observation(Role.PRIMARY)  # its former process is gone
    host.visit()
    host.toy.seen = Observation(Role.PRIMARY, online=frozenset({PLACE_OF_PEER}))
    host.visit()
    assert host.toy.done.count(nudge) == 2


def test_a_proof_ends_when_the_replica_goes_offline(host: Host) -> None:
    proving(host)
    host.toy.seen = Observation(Role.PRIMARY)
    assert host.visit().proven == []


def test_a_proof_ends_with_the_boot_of_the_replica(host: Host) -> None:
    proving(host)
    host.toy.acknowledge = frozenset()
    host.order(replicas=[PEER.model_copy(update={"boot": 2})])
    assert host.visit().proven == []


def test_the_former_process_of_a_replica_proves_nothing_for_its_new_boot(host: Host) -> None:
    proving(host)
    host.order(replicas=[PEER.model_copy(update={"boot": 2})])
    for _ in range(3):
        assert host.visit().proven == []  # it still streams and acknowledges, but it is about to be killed
    host.toy.seen = Observation(Role.PRIMARY)
    host.visit()
    host.toy.seen = Observation(Role.PRIMARY, online=frozenset({PLACE_OF_PEER}))
    assert host.visit().proven == [PEER.key]


def test_a_proof_ends_with_the_boot_of_the_primary(host: Host) -> None:
    proving(host)
    host.toy.ready = False
    host.order(boot=2)
    assert host.visit().proven == []


def test_a_replica_that_is_desired_no_more_is_not_proven(host: Host) -> None:
    proving(host)
    host.order(replicas=[])
    assert host.visit().proven == []


def test_the_roll_is_answered_dead_or_alive(host: Host) -> None:
    host.order(roll=3)
    assert host.visit().roll == 3
    host.crash()
    assert host.visit().roll == 3
    host.order(roll=4)
    report = host.visit()
    assert (report.phase, report.roll, report.generation) == (Phase.DEAD, 4, host.node.spec.generation)


@pytest.mark.parametrize(
    ("seen", "told"),
    [
        (Observation(Role.REPLICA, follows=PLACE_OF_PEER), True),
        (Observation(Role.REPLICA, follows=PLACE_OF_PEER, link_up=True), False),
        (Observation(Role.REPLICA, follows=PLACE_OF_PEER, offset=7), False),  # its next try is a partial one
    ],
)
def test_a_replica_that_never_linked_is_told_anew(host: Host, seen: Observation, told: bool) -> None:
    host.take(Entry(SPEC.model_copy(update={"role": Role.REPLICA, "follows": PEER})), replace(QUICK, relink_after=0.0))
    host.toy.seen = seen
    for _ in range(3):
        host.visit()
    assert ("relink" in host.toy.done) is told


# ---- one that does not answer


ACCESS = Access(Credentials("ours", "secret"))


def test_users_are_told_once_over_each_connection_and_when_they_change(host: Host) -> None:
    assert host.visit().access == ""
    assert "enforce" not in host.toy.done
    host.order(access=ACCESS)
    assert host.visit().access == host.visit().access == ACCESS.digest
    assert host.toy.done.count("enforce") == 1
    other = replace(ACCESS, users=(AclUser("default", ("off",)),))
    host.order(access=other)
    assert host.visit().access == other.digest
    host.toy.silent = True
    host.visit()
    host.toy.silent = False
    assert host.visit().access == other.digest
    assert host.toy.done.count("enforce") == 3
    host.crash()
    assert host.visit().access == ""


def test_users_that_are_refused_are_a_problem_until_they_are_taken(host: Host) -> None:
    host.order(access=ACCESS)
    host.toy.refuses = "it refuses the rules of user bob"
    for _ in range(2):
        report = host.visit()
        assert (report.phase, report.access, report.problem) == (Phase.RUNNING, "", "it refuses the rules of user bob")
    host.toy.refuses = None
    report = host.visit()
    assert (report.access, report.problem) == (ACCESS.digest, None)


def test_one_that_does_not_let_us_in_says_so_and_is_never_taken_for_hung(host: Host) -> None:
    host.take(Entry(SPEC.model_copy(update={"access": ACCESS})), replace(QUICK, hung_after=0.0))
    assert host.visit().access == ACCESS.digest
    host.toy.shut = True
    for _ in range(3):
        report = host.visit()
        assert (report.phase, report.access, report.problem) == (Phase.RUNNING, "", "it lets nobody in as ours")
    assert host.running() == 1
    host.toy.shut = False
    assert (host.visit().access, host.visit().problem) == (ACCESS.digest, None)


def test_one_that_stops_answering_says_so_and_is_given_time(host: Host) -> None:
    host.visit()
    host.toy.silent = True
    report = host.visit()
    assert (report.phase, report.role, report.link_up) == (Phase.RUNNING, Role.PRIMARY, False)
    assert report.problem == "it does not answer: no answer within 2 s"
    assert host.running() == 1
    host.toy.silent = False
    assert host.visit().problem is None


def test_a_hung_engine_is_killed_because_it_holds_its_addresses(host: Host) -> None:
    host.take(Entry(SPEC), replace(QUICK, hung_after=0.0))
    host.visit()
    host.toy.silent = True
    wait_until(lambda: host.visit().phase is Phase.DEAD)
    assert host.running() == 0


def test_the_silence_of_one_boot_does_not_count_against_the_next(host: Host) -> None:
    host.take(Entry(SPEC), replace(QUICK, hung_after=0.2))
    host.visit()
    host.toy.silent = True
    wait_until(lambda: host.visit().phase is Phase.DEAD)
    host.order(boot=2)
    assert host.visit().phase is not Phase.DEAD
    assert host.running() == 1


def test_what_an_earlier_boot_was_is_not_said_of_one_that_never_answered(host: Host) -> None:
    host.visit()
    host.toy.silent = True
    host.order(boot=2)
    report = host.visit()
    assert (report.phase, report.boot, report.role) == (Phase.STARTING, 2, None)


def test_silence_counts_from_the_last_answer(host: Host) -> None:
    host.take(Entry(SPEC), replace(QUICK, hung_after=60))
    host.visit()
    host.toy.silent = True
    host.visit()
    host.toy.silent = False
    host.visit()
    assert host.node._silent_since is None


def test_one_that_died_unseen_while_it_was_asked_is_dead(host: Host) -> None:
    host.visit()

    class DiesWhenAsked(Toy):
        def observe(self) -> Observation:
            host.runtime.crash(SPEC.key)
            raise EngineUnreachableError("connection reset")

    host.toy.__class__ = DiesWhenAsked
    assert host.visit().phase is Phase.DEAD


# ---- the end


def test_a_removed_node_leaves_nothing_behind(host: Host) -> None:
    host.visit()
    assert (host.folder / "nodes" / SPEC.key).is_dir()
    gone = host.node.remove()
    assert (gone.phase, gone.key) == (Phase.GONE, SPEC.key)
    assert (host.running(), host.journal.entries(), list((host.folder / "nodes").iterdir())) == (0, {}, [])
    assert host.node.remove().phase is Phase.GONE


def test_released_the_engine_goes_on(host: Host) -> None:
    host.visit()
    host.node.release()
    assert (host.toy.closed, host.running()) == (1, 1)


# ---- configuration


def test_what_it_was_started_with_is_reported_and_not_told_again(host: Host) -> None:
    report = host.visit()
    assert report.parameters == SPEC.configuration.digest
    assert "configure" not in host.toy.done
    assert host.journal.entries()[SPEC.key].runs_with == SPEC.configuration


@pytest.mark.parametrize("changed", [{"parameters": {"timeout": "60"}}, {"memory": 2**21}])
def test_a_changed_configuration_is_told_to_the_running_engine_once(host: Host, changed: dict[str, Any]) -> None:
    host.visit()
    spec = host.order(**changed)
    report = host.visit()
    host.visit()
    assert report.parameters == spec.configuration.digest != SPEC.configuration.digest
    assert (host.toy.done.count("configure"), host.running(), host.toy.wiped) == (1, 1, 1)
    assert host.journal.entries()[SPEC.key].runs_with == spec.configuration


def test_what_the_engine_refuses_is_a_problem_until_it_takes_it_or_need_not(host: Host) -> None:
    host.visit()
    host.toy.refuses = "it refuses activedefrag yes"
    spec = host.order(parameters={"activedefrag": "yes"})
    for _ in range(2):
        report = host.visit()
        assert (report.phase, report.problem) == (Phase.RUNNING, "it refuses activedefrag yes")
        assert report.parameters == SPEC.configuration.digest
    host.toy.refuses = None
    assert (host.visit().problem, host.visit().parameters) == (None, spec.configuration.digest)
    host.toy.refuses = "it refuses activedefrag maybe"
    host.order(parameters={"activedefrag": "maybe"})
    assert host.visit().problem is not None
    host.order(parameters={"activedefrag": "yes"})
    assert host.visit().problem is None


def test_what_takes_its_configuration_when_it_starts_has_it_after_the_next_boot(host: Host) -> None:
    host.toy.takes_nothing = True
    host.visit()
    spec = host.order(parameters={"max_item_size": "2097152"})
    assert host.visit().parameters == SPEC.configuration.digest
    host.order(boot=2)
    assert host.visit().parameters == spec.configuration.digest


def test_an_agent_that_comes_back_knows_what_the_engine_runs_with(host: Host) -> None:
    host.visit()
    spec = host.order(parameters={"timeout": "60"})
    entry = host.journal.entries()[SPEC.key]
    assert (entry.spec, entry.runs_with) == (spec, SPEC.configuration)
    host.take(entry)
    assert host.visit().parameters == spec.configuration.digest
    assert host.toy.done.count("configure") == 1


def test_an_engine_that_an_earlier_release_started_runs_with_what_its_spec_said(host: Host) -> None:
    host.visit()
    host.take(replace(host.journal.entries()[SPEC.key], runs_with=None))
    spec = host.order(parameters={"timeout": "60"})
    assert host.visit().parameters == spec.configuration.digest
    assert host.toy.done.count("configure") == 1


# ---- out of touch with the control plane: a primary takes no write that nobody outside its zone acknowledges


NEAR = Peer(key="uid.n3", address="127.99.200.3", port=PORT, boot=1, zone=SPEC.zone)
FAR = PEER.model_copy(update={"zone": "us-east-1b"})
FENCED = {"replicas": [FAR], "fenced": True, "holds": [ENDPOINT]}


def fences(host: Host) -> list[str]:
    """What the engine was told to demand, in order."""
    return [said for said in host.toy.done if said.startswith("demand")]


def lead(host: Host, **changes: Any) -> None:
    """The node leads, in touch, and has nothing left to do."""
    host.order(**{**FENCED, **changes})
    host.visit()
    host.visit()
    assert fences(host) == []


@pytest.mark.parametrize(
    ("changes", "demanded"),
    [
        ({}, ["demand 1 within 1"]),
        ({"replicas": [FAR, NEAR]}, ["demand 2 within 1"]),  # one of them may be the one in its own zone
        ({"departing": [NEAR]}, ["demand 2 within 1"]),  # it still streams, though nobody counts on it
        ({"replicas": [FAR, NEAR], "departing": [FAR]}, ["demand 2 within 1"]),
        ({"replicas": [NEAR], "departing": [FAR]}, []),
        ({"replicas": [NEAR]}, []),  # nobody elsewhere could take over
        ({"replicas": []}, []),
        ({"fenced": False}, []),
        ({"parameters": {"min-replicas-to-write": "3", "min-replicas-max-lag": "7"}}, ["demand 3 within 1"]),
        ({"parameters": {"min-slaves-to-write": "0", "min-slaves-max-lag": "7"}}, ["demand 1 within 1"]),
    ],
    ids=["a replica elsewhere", "one elsewhere, one here", "one here departs", "one elsewhere departs", "who is left is here",
         "only here", "none", "nobody may take over", "more is asked for", "old names"],
)
def test_what_a_primary_demands_while_out_of_touch(host: Host, changes: dict[str, Any], demanded: list[str]) -> None:
    host.toy.acknowledging = 3
    lead(host, **changes)
    host.out_of_touch = True
    for _ in range(3):
        host.visit()
    assert fences(host) == demanded


@pytest.mark.parametrize(
    ("parameters", "restored"),
    [({}, "demand 0 within 10"), ({"min-replicas-to-write": "1", "min-replicas-max-lag": "5"}, "demand 1 within 5")],
)
def test_back_in_touch_for_a_while_the_parameter_groups_value_returns(host: Host, parameters: dict[str, str], restored: str) -> None:
    lead(host, parameters=parameters)
    host.out_of_touch = True
    host.visit()
    host.out_of_touch, host.back_for = False, QUICK.lift_after - 0.001
    host.visit()
    assert fences(host) == ["demand 1 within 1"]
    host.back_for = QUICK.lift_after
    for _ in range(3):
        host.visit()
    assert fences(host) == ["demand 1 within 1", restored]


def test_nobody_is_asked_for_acknowledgements_while_writers_wait_for_an_heir(host: Host) -> None:
    """An engine that keeps writers waiting would have whoever asks wait with them."""
    host.toy.acknowledge, host.toy.heir_is_ready = frozenset({FAR.key}), False
    host.toy.seen = replace(host.toy.seen, online=frozenset({PLACE_OF_PEER}))
    lead(host)
    host.out_of_touch = True
    host.visit()
    host.order(yields_to=FAR)
    host.toy.done.clear()
    host.visit()
    assert [said for said in host.toy.done if said == "prove" or said.startswith("yield")] == [f"yield to {FAR.key}"]
    host.order(yields_to=None)
    host.visit()
    assert host.toy.done[-2:] == ["go on", "prove"]


@pytest.mark.parametrize("heir", [True, False], ids=["another was elected", "nobody was"])
def test_who_was_deposed_while_out_of_touch_takes_nothing_back_until_newer_orders_would_have_come(host: Host, heir: bool) -> None:
    lead(host)
    host.out_of_touch, host.toy.deposed, host.toy.seen = True, True, Observation(Role.REPLICA, follows=PLACE_OF_PEER)
    for out_of_touch, back_for in ((True, 0.0), (False, 0.0), (False, QUICK.lift_after - 0.001)):
        host.out_of_touch, host.back_for = out_of_touch, back_for
        host.visit()
    assert not [said for said in host.toy.done if said.startswith("become")]
    if heir:
        host.order(role=Role.REPLICA, follows=FAR, epoch=2, fenced=False, holds=[])
    host.back_for = QUICK.lift_after
    assert host.visit().role is (Role.REPLICA if heir else Role.PRIMARY)


def test_a_replica_demands_what_it_shall_once_it_follows_for_it_starts_without_taking_writes(host: Host) -> None:
    host.order(role=Role.REPLICA, follows=PEER)
    host.toy.seen = Observation(Role.REPLICA, follows=PLACE_OF_PEER)
    host.visit()
    assert fences(host) == ["demand 0 within 10"]


def test_a_primary_that_cannot_follow_its_heir_yet_takes_no_writes(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.visit()
    monkeypatch.setattr(Toy, "assume", lambda toy, spec, seen: seen.role is spec.role)  # it does not hear its heir
    host.order(role=Role.REPLICA, follows=PEER, epoch=2)
    host.visit()
    assert fences(host) == [], "writers are kept waiting for longer than a handover takes"
    wait_until(lambda: host.visit() is not None and fences(host) == ["demand 1000 within 1"])
    monkeypatch.undo()
    host.visit()
    assert fences(host) == ["demand 1000 within 1", "demand 0 within 10"]


def test_while_fenced_replicas_are_asked_and_it_is_looked_at_often(host: Host) -> None:
    host.toy.acknowledge = frozenset({FAR.key})
    host.toy.seen = replace(host.toy.seen, online=frozenset({PLACE_OF_PEER}))
    lead(host)
    asked, (_, again) = host.toy.done.count("prove"), host.node.visit()
    assert (again, host.toy.done.count("prove")) == (QUICK.steady, asked)
    host.out_of_touch = True
    for number in (1, 2, 3):
        assert host.node.visit()[1] == QUICK.fenced
        assert host.toy.done.count("prove") == asked + number


def test_who_is_led_to_by_a_name_sends_its_clients_away_as_soon_as_it_follows_and_before_writers_go_on(host: Host) -> None:
    host.toy.acknowledge = frozenset({PEER.key})
    host.toy.seen = replace(host.toy.seen, online=frozenset({PLACE_OF_PEER}))
    lead(host, named=True, holds=[], replicas=[PEER], yields_to=PEER)
    host.toy.done.clear()
    host.order(role=Role.REPLICA, follows=PEER, yields_to=None, replicas=[])
    host.visit()
    assert [said for said in host.toy.done if said in ("become replica", "send away", "go on")] == ["become replica", "send away", "go on"]
    host.visit()
    assert host.toy.done.count("send away") == 1


def test_who_is_led_to_by_a_name_sends_its_clients_away_when_writes_are_refused(host: Host) -> None:
    lead(host, named=True, holds=[])
    host.out_of_touch = True
    for _ in range(3):
        host.visit()
    assert "send away" not in host.toy.done
    host.toy.acknowledging = 0
    for _ in range(3):
        host.visit()
    assert host.toy.done.count("send away") == 1


def test_the_endpoint_is_let_go_only_when_writes_are_refused(host: Host) -> None:
    lead(host)
    host.out_of_touch = True
    for _ in range(3):
        assert host.visit().holds == [ENDPOINT]
    host.toy.acknowledging = 0
    assert host.visit().holds == []
    host.toy.acknowledging = 1
    assert host.visit().holds == [ENDPOINT]


def test_who_refuses_for_its_parameter_group_alone_keeps_the_endpoint(host: Host) -> None:
    lead(host)
    host.toy.demanded, host.toy.acknowledging = (1, 10), 0
    assert host.node.visit()[0].holds == [ENDPOINT]


def test_who_had_to_refuse_refuses_until_it_is_told_who_leads(host: Host) -> None:
    lead(host)
    host.out_of_touch = True
    host.toy.acknowledging = 0
    host.visit()
    host.visit()
    host.out_of_touch = False
    for _ in range(3):
        assert host.visit().holds == []
    assert fences(host) == ["demand 1 within 1"]
    host.order(role=Role.REPLICA, follows=FAR, epoch=2, replicas=[], fenced=False, holds=[])
    assert (host.visit().role, fences(host)[-1]) == (Role.REPLICA, "demand 0 within 10")


def test_who_is_only_just_back_and_lost_again_never_took_the_fence_away(host: Host) -> None:
    lead(host)
    for _ in range(3):
        host.out_of_touch = True
        host.visit()
        host.out_of_touch = False
        host.visit()
    assert fences(host) == ["demand 1 within 1"]


def test_who_had_to_refuse_takes_writes_at_once_when_replicas_are_back(host: Host) -> None:
    lead(host)
    host.out_of_touch = True
    host.toy.acknowledging = 0
    host.visit()
    host.visit()
    host.out_of_touch, host.toy.acknowledging = False, 1
    assert (host.visit().holds, fences(host)) == ([ENDPOINT], ["demand 1 within 1"])  # which is met


def test_who_had_to_refuse_takes_writes_when_no_orders_came_in_time(host: Host) -> None:
    host.order(**FENCED)
    host.toy.acknowledging = 0
    host.out_of_touch = True
    host.visit()
    assert (host.visit().holds, fences(host)) == ([], ["demand 1 within 1"])
    host.out_of_touch, host.back_for = False, QUICK.lift_after
    host.visit()
    assert (host.visit().holds, fences(host)[-1]) == ([ENDPOINT], "demand 0 within 10")


@pytest.mark.parametrize("out_of_touch", [True, False])
def test_an_agent_that_comes_back_does_not_know_what_is_demanded_and_says_it(host: Host, out_of_touch: bool) -> None:
    lead(host)
    host.out_of_touch = True
    host.visit()
    host.toy.done.clear()
    host.take(Journal(host.folder).entries()[SPEC.key])
    host.out_of_touch = out_of_touch
    host.visit()
    assert fences(host) == ["demand 1 within 1" if out_of_touch else "demand 0 within 10"]


def test_a_new_conversation_is_told_again(host: Host) -> None:
    lead(host)
    host.out_of_touch = True
    host.visit()
    host.toy.silent = True
    host.visit()
    host.toy.silent = False
    host.visit()
    assert fences(host) == ["demand 1 within 1"] * 2


def test_a_new_boot_begins_without_a_fence(host: Host) -> None:
    lead(host)
    host.out_of_touch = True
    host.visit()
    host.out_of_touch = False
    host.order(boot=2)
    host.visit()
    assert fences(host) == ["demand 1 within 1"]
