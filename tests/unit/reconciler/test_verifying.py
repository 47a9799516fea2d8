"""A verification, look by look: who is asked, what is believed, and what happens when somebody falls silent over it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from factories import NOW, FixedClock, a_group, an_agent

from api_schemas.agent.agent import Orders
from api_schemas.agent.examination import ExaminationOrder, ExaminationPhase, ExaminationState
from api_schemas.agent.metrics import AgentMetrics, MetricsWanted
from api_schemas.agent.node import EngineBinary
from archives.directory import DirectoryArchive
from archives.identity import identity
from controlplane.domain.backup import ArchivePlace, Cause, SavedFile
from controlplane.domain.snapshot import Snapshot, SnapshotState, begun
from controlplane.domain.verification import PartVerification, Verdict, Verification
from controlplane.reconciler.filing import publish
from controlplane.reconciler.fleet import AgentUnreachableError, ExaminationRefusedError
from controlplane.reconciler.verifying import MOST_ATTEMPTS, NOBODY_FOR, Verifier
from controlplane.store.store import Store

CONTENT = b"REDIS0011 and so on"
V7, V8, V9 = ("valkey", "7.2.11"), ("valkey", "8.1.8"), ("valkey", "9.1.2")
SOUND = {"keys": 7, "expires": 3, "functions": 1, "digest": "d1", "digest_after": "d1"}


class Fleet:
    """Agents that answer what a test says, and write down what they were asked."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.asked: list[tuple[str, ExaminationOrder]] = []
        self.cancelled: list[str] = []

    def push(self, agent: str, orders: Orders) -> None:
        raise AgentUnreachableError(agent)

    def measure(self, agent: str, wanted: MetricsWanted) -> AgentMetrics:
        raise AgentUnreachableError(agent)

    def examine(self, agent: str, order: ExaminationOrder) -> ExaminationState:
        self.asked.append((agent, order))
        answer = self.answers.get(agent, ExaminationPhase.RUNNING)
        if isinstance(answer, Exception):
            raise answer
        told = answer if isinstance(answer, dict) else {"phase": answer}
        return ExaminationState(name=order.name, **told)

    def cancel_examination(self, agent: str, name: str) -> None:
        self.cancelled.append(name)


class Desk:
    """A store with agents, a snapshot that is there, and its verification."""

    def __init__(self, folder: Path) -> None:
        self.store = Store(f"sqlite:///{folder / 'plane.db'}")
        self.clock = FixedClock()
        self.fleet = Fleet()
        self.verifier = Verifier(self.store, self.fleet, self.clock)
        self.archive = DirectoryArchive(folder / "archive")
        self.place = ArchivePlace(self.archive.url, identity(self.archive))
        self.snapshot = self._snapshot()
        self.verification = Verification("v1", NOW, tuple(PartVerification(part.group) for part in self.snapshot.parts))

    def _snapshot(self) -> Snapshot:
        _, made = begun(a_group(engine_version="8.1"), "monday", Cause.MANUAL, self.place, NOW, "uid1")
        file = SavedFile("uid1/0001-1.rdb", len(CONTENT), "ab" * 32, "REDIS0011", NOW, keys=7, expires=3, functions=1, databases=1)
        self.archive.put_bytes(file.key, CONTENT)
        parts = tuple(replace(part, file=file) for part in made.parts)
        return publish(replace(made, parts=parts, state=SnapshotState.AVAILABLE, gathered=True))

    def hears(self, agent: str, *programs: tuple[str, str], image: str | None = None) -> None:
        engines = [EngineBinary(engine=engine, version=version, path=f"/{engine}", image=image) for engine, version in programs]
        with self.store.transaction() as unit:
            unit.agents.put(an_agent(agent, "us-east-1a").model_copy(update={"engines": engines}))
        self.store.heartbeats.hear(agent)

    def look(self) -> PartVerification:
        self.verification = self.verifier.advanced(self.snapshot, self.verification)
        return self.verification.parts[0]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path)
    yield made
    made.store.close()


def silent(desk: Desk, agent: str) -> None:
    with desk.store.transaction() as unit:
        unit.agents.remove(agent)


@pytest.mark.parametrize(
    ("programs", "chosen"),
    [([V7, V8, V9], V8), ([V7, V9], V9), ([V7], V7), ([("redis", "7.2.4")], ("redis", "7.2.4")), ([V9, ("memcached", "1.6.22")], V9)],
)
def test_the_program_that_wrote_it_comes_first_and_then_the_next_that_reads_it(
    desk: Desk, programs: list[tuple[str, str]], chosen: tuple[str, str]
) -> None:
    desk.hears("agent-a", *programs)
    part = desk.look()
    assert part.binary is not None
    assert ((part.binary.engine, part.binary.version), part.agent, part.attempt) == (chosen, "agent-a", 1)
    [(agent, order)] = desk.fleet.asked
    assert (agent, order.name, order.key, order.keys) == ("agent-a", "v1-0001-1", "uid1/0001-1.rdb", 7)
    assert (order.archive, order.archive_id) == (desk.place.url, desk.place.id)


@pytest.mark.parametrize(
    ("programs", "image"), [([], None), ([("memcached", "1.6.22")], None), ([("redis", "6.2.14")], None), ([V8], "valkey:8.1")]
)
def test_where_nobody_can_the_verdict_is_that(desk: Desk, programs: list[tuple[str, str]], image: str | None) -> None:
    desk.hears("agent-a", *programs, image=image)
    assert (desk.look().verdict, desk.fleet.asked) == (Verdict.WAITING, [])
    desk.clock.moment += NOBODY_FOR * 1.1
    part = desk.look()
    assert part.verdict is Verdict.FAILED
    assert part.problem == (
        "it could not be restored aside: no agent that is heard has a program that reads files of version REDIS0011"
    )
    assert desk.verification.verdict is Verdict.FAILED


def test_an_agent_that_comes_in_time_is_taken(desk: Desk) -> None:
    assert desk.look().verdict is Verdict.WAITING
    desk.hears("agent-a", V8)
    assert desk.look().verdict is Verdict.RUNNING


def test_how_far_it_is_is_told_and_the_same_examination_is_asked_about(desk: Desk) -> None:
    desk.hears("agent-a", V8)
    desk.fleet.answers["agent-a"] = {"phase": "running", "step": "is looked through", "done": 5, "total": 19}
    part = desk.look()
    assert (part.verdict, part.step, part.done, part.total) == (Verdict.RUNNING, "is looked through", 5, 19)
    desk.look()
    assert [order.name for _, order in desk.fleet.asked] == ["v1-0001-1", "v1-0001-1"]
    assert desk.fleet.asked[0][1] == desk.fleet.asked[1][1]


def test_one_who_knows_nothing_of_it_goes_on_with_what_is_written_down(desk: Desk) -> None:
    desk.hears("agent-a", V8)
    desk.look()
    another = Verifier(desk.store, desk.fleet, desk.clock)
    another.advanced(desk.snapshot, desk.verification)
    assert desk.fleet.asked[0] == desk.fleet.asked[1]


def test_a_sound_file_passes_and_its_agent_forgets_it(desk: Desk) -> None:
    desk.hears("agent-a", V8)
    desk.fleet.answers["agent-a"] = {"phase": "done", **SOUND}
    part = desk.look()
    assert (part.verdict, part.keys, part.digest, part.step) == (Verdict.PASSED, 7, "d1", "")
    assert (desk.verification.verdict, desk.verification.ended_at) == (Verdict.PASSED, NOW)
    assert desk.fleet.cancelled == ["v1-0001-1"]


@pytest.mark.parametrize(
    ("told", "problem"),
    [
        ({"digest_after": "d2"}, "what an engine holds after it has loaded the file has the digest d2, and the file has d1"),
        ({"digest": None, "digest_after": None}, "what an engine holds after it has loaded the file has the digest None, and the file has None"),
        ({"keys": 6}, "the file has 6 keys, and the manifest says 7"),
        ({"expires": 0}, "the file has 0 expires, and the manifest says 3"),
        ({"functions": None}, "the file has None functions, and the manifest says 1"),
        ({"phase": "failed", "problem": "it is damaged"}, "it is damaged"),
    ],
)
def test_whatever_is_otherwise_is_told(desk: Desk, told: dict[str, Any], problem: str) -> None:
    desk.hears("agent-a", V8)
    desk.fleet.answers["agent-a"] = {"phase": "done", **SOUND, **told}
    part = desk.look()
    assert (part.verdict, part.problem) == (Verdict.FAILED, problem)
    assert desk.verification.verdict is Verdict.FAILED


def test_in_place_of_an_agent_that_is_gone_another_is_asked(desk: Desk) -> None:
    desk.hears("agent-a", V8)
    desk.look()
    desk.hears("agent-b", V8)
    desk.fleet.answers["agent-a"] = AgentUnreachableError("agent-a does not answer")
    assert desk.look().agent == "agent-a", "it is heard, so it may answer yet"
    silent(desk, "agent-a")
    assert desk.look().verdict is Verdict.WAITING
    part = desk.look()
    assert (part.agent, part.attempt, desk.fleet.asked[-1][1].name) == ("agent-b", 2, "v1-0001-2")


def test_a_file_that_silences_one_agent_after_another_is_not_given_to_all(desk: Desk) -> None:
    for number in range(MOST_ATTEMPTS):
        agent = f"agent-{number}"
        desk.hears(agent, V8)
        desk.look()
        desk.fleet.answers[agent] = AgentUnreachableError("it does not answer")
        silent(desk, agent)
        desk.look()
    part = desk.look()
    assert part.verdict is Verdict.FAILED and part.problem == f"{MOST_ATTEMPTS} agents fell silent over it: it does not answer"


def test_an_agent_that_refuses_is_not_asked_again(desk: Desk) -> None:
    desk.hears("agent-a", V8)
    desk.fleet.answers["agent-a"] = ExaminationRefusedError("agent-a has no such program")
    desk.hears("agent-b", V8)
    assert desk.look().refused == ("agent-a",)
    assert desk.look().agent == "agent-b"


def test_where_all_refuse_the_verdict_says_what_the_last_said(desk: Desk) -> None:
    desk.hears("agent-a", V8)
    desk.fleet.answers["agent-a"] = ExaminationRefusedError("agent-a has no such program")
    desk.look()
    assert desk.look().problem == "it could not be restored aside: agent-a has no such program"


def test_without_its_manifest_no_agent_is_asked(desk: Desk) -> None:
    desk.hears("agent-a", V8)
    desk.archive.put_bytes("uid1/manifest.json", b"{}")
    desk.look()
    assert desk.verification.verdict is Verdict.FAILED
    assert desk.verification.problem is not None and "manifest" in desk.verification.problem
    assert desk.fleet.asked == []


def test_a_file_that_is_gone_is_noticed_before_anybody_is_asked(desk: Desk) -> None:
    desk.hears("agent-a", V8)
    desk.archive.delete("uid1/0001-1.rdb")
    desk.look()
    assert desk.verification.problem == "0001-1.rdb of snapshot monday is missing"
