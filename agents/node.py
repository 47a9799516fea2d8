"""One node on this host: makes its engine match its spec, a step at a time, and says what it sees."""

from __future__ import annotations

import logging
import math
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from agents.address_block import is_taken
from agents.archiver import Archiver
from agents.engines.engine import AccessRefusedError, AddressHeldError, Engine, EngineUnreachableError, Observation, Session
from agents.front_seen import FrontSeen, is_fronted, with_front
from agents.journal import Entry, Journal
from agents.launch import Launch
from agents.led_clients import LedClients
from agents.pace import Pace
from agents.proofs import Proofs
from agents.runtimes.runtime import Ending, Handle, NotYetError, Progress, Runtime, StartRefusedError
from agents.seeder import Seeder
from agents.slot_mover import SlotMover, is_moving
from agents.transit_kept import TransitKept
from agents.users_kept import UsersKept
from agents.yielding import Yielding
from api_schemas.agent.node import NodeReport, NodeSpec, Phase, Role

log = logging.getLogger("cachewright.agent")

_EVERYBODY = (1000, 1)
"""A demand of acknowledgements that nobody can meet."""


class LocalNode:
    """A node's spec, its process and its session. Visited by one thread at a time; orders may come from another."""

    def __init__(self, entry: Entry, folder: Path, runtime: Runtime, engines: dict[str, Engine], journal: Journal, pace: Pace,
                 ended: Callable[[str], None], front: Callable[[str], FrontSeen] = lambda key: FrontSeen(),
                 in_touch_for: Callable[[], float | None] = lambda: math.inf,
                 without_power: Callable[[str], bool] = lambda key: False) -> None:  # fmt: skip
        self._entry = _knowing_what_it_runs_with(entry)
        self._front = front
        self._without_power = without_power
        self._front_refused_since: float | None = None
        self._folder = folder
        self._runtime = runtime
        self._engine = engines[entry.spec.binary.engine]
        self._journal = journal
        self._pace = pace
        self._ended = ended
        self._orders = threading.RLock()
        self._session: Session | None = None
        self._ready_by: float | None = None
        self._seen: Observation | None = None
        self._silent_since: float | None = None
        self._relink_at: float | None = None
        self._awaiting_since: float | None = None
        self._epoch = 0
        self._agrees: str | None = None
        self._disagreement: str | None = None
        self._arrived = ""
        self._mover = SlotMover(lambda: ended(self.spec.key))
        self._in_touch_for = in_touch_for
        self._demanded: tuple[int, int] | None = None  # None: nobody knows, so it is to be said
        self._fenced = False
        self._deposed_since: float | None = None
        self._told: int | None = None  # the newest generation that came to this agent, and not only to a former one
        self._yielding = Yielding(pace.yield_within, pace.lift_after, adopted=entry.handle is not None)
        self._proofs = Proofs(pace.patience, pace.replaced_within)
        self._archiver = Archiver(folder, lambda: ended(self.spec.key))
        self._seeder = Seeder(folder, lambda: ended(self.spec.key))
        self._seeder.adopt(entry)
        self._watched: Handle | None = None
        self._over: set[Handle] = set()
        self._glances = 0
        self._refused: str | None = None
        self._users = UsersKept()
        self._transit = TransitKept(folder)
        self._clients = LedClients()
        self._out_of_memory = 0
        self._last: NodeReport | None = None
        self.dropped = False
        self.front_holds: tuple[str, ...] = tuple(entry.spec.holds) if entry.handle is not None else ()

    @property
    def spec(self) -> NodeSpec:
        """The newest spec this node was given."""
        return self._entry.spec

    @property
    def handle(self) -> Handle | None:
        """The process it was last seen with."""
        return self._entry.handle

    def accept(self, spec: NodeSpec) -> None:
        """Take a newer spec, written down before it is used. An older generation or a lower epoch is refused silently: it is stale."""
        with self._orders:
            mine = self._entry.spec
            if spec.generation < mine.generation or spec.epoch < mine.epoch:
                return
            self._write(spec=spec)
            self._told, self._awaiting_since = spec.generation, None

    @property
    def leads(self) -> bool:
        """Whether it serves as a primary just now."""
        return self._last is not None and self._last.phase is Phase.RUNNING and self._last.role is Role.PRIMARY

    def progress(self) -> Progress | None:
        """What its process has done; None when it has none."""
        handle = self._entry.handle
        return None if handle is None else self._runtime.progress(handle)

    def kill_hung(self) -> None:
        """End a process that answers nobody; its end is then noticed like any other."""
        handle = self._entry.handle
        if handle is not None:
            self._runtime.kill(handle)

    def visit(self) -> tuple[NodeReport, float]:
        """One look and at most a few steps; answers what is now, and in how many seconds to look again."""
        spec = self._entry.spec
        if self._without_power(spec.key):
            return self._dark(spec), self._pace.steady
        if self._entry.boot_done < spec.boot or self._entry.suspended:
            problem = self._start(spec)
            if problem is not None:
                return problem, self._pace.fetching if problem.phase is Phase.STARTING else self._pace.steady
        if self._entry.handle is None or not self._runs(self._entry.handle):
            return self._dead(spec), self._pace.steady
        self._watch(self._entry.handle)
        if self._ready_by is not None and not self._came_up(spec):
            return self._report(spec, Phase.STARTING), self._pace.eager / 3
        if (wrong := self._seeder.complaint(spec)) is not None:
            self._runtime.kill(self._entry.handle)
            return self._report(spec, Phase.FAILED, problem=wrong), self._pace.steady
        if self._is_shut_out(spec):
            return self._expelled(spec), self._pace.steady
        try:
            return self._converge(spec)
        except EngineUnreachableError as failed:
            self._close_session()
            return self._unreachable(spec, failed), self._pace.eager * 10
        except AddressHeldError as held:
            return self._report(spec, Phase.RUNNING, self._seen, problem=str(held)), self._pace.eager * 10

    def resuming(self) -> NodeReport:
        """That this node was suspended and comes back: said before anything else, for what was last reported of it is past."""
        return self._report(self._entry.spec, Phase.STARTING)

    def remove(self) -> NodeReport:
        """End the process and leave nothing behind."""
        self._close_session()
        if self._entry.handle is not None:
            self._runtime.kill(self._entry.handle)
        shutil.rmtree(self._folder, ignore_errors=True)
        self._journal.forget(self.spec.key)
        return NodeReport(key=self.spec.key, generation=self.spec.generation, phase=Phase.GONE, boot=self.spec.boot)

    def suspend(self) -> None:
        """Save and stop, so that a later agent resumes this boot with its data. One that cannot save is left to be found dead."""
        handle = self._entry.handle
        if handle is None or not self._runtime.alive(handle):
            return
        self._mover.want(None)
        try:
            if self._engine.keeps_data:
                self._engine.open(self.spec).save()
            self._runtime.stop(handle, self._pace.grace)
            self._write(handle=None, suspended=True)
        except EngineUnreachableError as failed:
            log.warning("node could not save  node=%s because=%s", self.spec.key, failed)
            self._runtime.stop(handle, self._pace.grace)

    def release(self) -> None:
        """Let go of the session; the engine goes on."""
        self._close_session()

    def _start(self, spec: NodeSpec) -> NodeReport | None:
        """Start the desired boot; answers a report when that failed."""
        if self._entry.handle is not None:
            self._close_session()
            self._learn_why_it_ended(self._entry.handle)
            self._runtime.kill(self._entry.handle)
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not self._entry.suspended or spec.seed is not None:  # what begins with data has nothing else to keep yet
            try:
                self._seeder.fetch(spec)
            except NotYetError as not_yet:
                self._write(handle=None)
                return self._report(spec, Phase.STARTING, problem=str(not_yet))
            except StartRefusedError as refused:
                self._write(handle=None, boot_done=spec.boot)
                return self._report(spec, Phase.FAILED, problem=str(refused))
            self._engine.wipe(self._folder)
            self._seeder.place(spec)
        if not is_fronted(spec) and is_taken(spec.address, spec.port):  # a front of ours may listen there: it tells whether it cannot
            self._write(handle=None, boot_done=spec.boot, suspended=False)
            return self._expelled(spec)
        self._epoch, self._silent_since, self._agrees = 0, None, None
        self._proofs.forget()
        self._clients = LedClients(are_here=False)
        self._seen, self._glances = None, 0  # the next look is a whole one: what was seen of the former process holds no more
        self._yielding = Yielding(self._pace.yield_within, self._pace.lift_after, adopted=False)
        self._fenced = False
        self.front_holds = ()
        self._demanded = None if spec.role is Role.REPLICA else _own_demand(spec)  # a replica starts without taking writes
        try:
            handle = self._runtime.start(self._launch(spec))
        except NotYetError as not_yet:
            self._write(handle=None)
            return self._report(spec, Phase.STARTING, problem=str(not_yet))
        except StartRefusedError as refused:
            self._write(handle=None, boot_done=spec.boot, suspended=False)
            return self._report(spec, Phase.FAILED, problem=str(refused))
        self._write(handle=handle, boot_done=spec.boot, suspended=False, runs_with=self._engine.starts_with(spec))
        self._refused = None
        self._ready_by = time.monotonic() + self._pace.start_within
        log.info("node started  node=%s boot=%d pid=%d program=%s", spec.key, spec.boot, handle.pid, spec.binary.path)
        return None

    def _is_shut_out(self, spec: NodeSpec) -> bool:
        """Whether the node's front could not listen for some time, because somebody else does at its address."""
        if not is_fronted(spec) or self._front(spec.key).problem is None:
            self._front_refused_since = None
            return False
        self._front_refused_since = self._front_refused_since or time.monotonic()
        return time.monotonic() - self._front_refused_since > self._pace.shut_out_after

    def _expelled(self, spec: NodeSpec) -> NodeReport:
        problem = f"another process already listens on {spec.address}:{spec.port}"
        return self._report(spec, Phase.FAILED, problem=problem, address_taken=True)

    def _launch(self, spec: NodeSpec) -> Launch:
        return self._engine.launch(spec, self._folder)

    def _came_up(self, spec: NodeSpec) -> bool:
        if self._engine.is_ready(spec):
            self._ready_by = None
            return True
        if self._ready_by is not None and time.monotonic() > self._ready_by and self._entry.handle is not None:
            if self._engine.is_loading(spec):
                self._ready_by = time.monotonic() + self._pace.start_within  # it has much to load
                return False
            log.warning("node does not answer and is stopped  node=%s after=%.0fs", spec.key, self._pace.start_within)
            self._runtime.kill(self._entry.handle)
        return False

    def _converge(self, spec: NodeSpec) -> tuple[NodeReport, float]:
        session = self._session or self._engine.open(spec)
        self._session = session
        seen = self._seen = self._look(session)
        self._silent_since = None
        self._arrived = session.arrived(spec, seen)
        self._users.keep(session, spec)
        self._transit.keep(session, spec)
        self._configure(session, spec)
        refuses_all = seen.refuses and self._fenced
        if refuses_all:
            spec = spec.model_copy(update={"holds": []})  # who refuses all writes lets go, so that whoever took over can be reached
        if seen.holds - frozenset(spec.holds):
            session.hold(spec, seen)  # let go before anything else: its heir waits for the address, its clients for a reason to go
            seen = self._observed(session)
        settled = self._assume(session, spec, seen)
        if not settled:
            seen = self._observed(session)
            settled = self._assume(session, spec, seen)
        self._seen = seen
        self._refuse_while_deposed(session, spec, seen, settled)
        self._clients.look(session, spec, seen, gives_up=refuses_all, settled=settled)
        if settled:
            self._epoch = max(self._epoch, spec.epoch)
            self._yield(session, spec)
            self._fence(session, spec)
            self.front_holds = tuple(spec.holds)
            if frozenset(spec.holds) != seen.holds:
                session.hold(spec, seen)
                seen = self._seen = self._observed(session)
            self._proofs.keep(session, spec, seen, ask=not self._yielding.writers_wait)
            self._relink(session, spec, seen)
        self._agrees = self._digest_agreed_with(session, spec, seen)
        self._mover.want(spec if settled and not self._fenced and self._in_touch_for() is not None else None)
        self._archiver.want(spec)
        done = settled and self._is_content(spec, seen)
        self._glances = self._glances + 1 if done else 0
        return self._report(spec, Phase.RUNNING, seen, problem=self._refused or self._users.refused), self._again(spec, done)

    def _assume(self, session: Session, spec: NodeSpec, seen: Observation) -> bool:
        """Bring the engine's role towards the spec, unless that may be past.

        Who was deposed stays so while out of touch, or only just back, or if it may have been the heir to whom it yielded.
        """
        in_touch_for = self._in_touch_for()
        is_sure = in_touch_for is not None and in_touch_for >= self._pace.lift_after and not self._yielding.is_counted_on(spec.yields_to)
        return (is_sure or not session.is_deposed(spec, seen)) and session.assume(spec, seen)

    def _refuse_while_deposed(self, session: Session, spec: NodeSpec, seen: Observation, settled: bool) -> None:
        """A primary that shall follow another and cannot yet, for it does not hear that one, takes no write that would be lost."""
        if settled or spec.role is not Role.REPLICA or seen.role is not Role.PRIMARY:
            self._deposed_since = None
            return
        self._deposed_since = self._deposed_since or time.monotonic()
        if time.monotonic() - self._deposed_since > self._pace.deposed_after and self._demanded != _EVERYBODY:
            session.demand(*_EVERYBODY)
            log.info("node takes no writes, for another leads  node=%s", spec.key)
            self._demanded = _EVERYBODY

    def _configure(self, session: Session, spec: NodeSpec) -> None:
        """Have the engine take what of its configuration differs from the spec, and remember what it then runs with."""
        runs_with = self._entry.runs_with
        if runs_with is None or runs_with == spec.configuration:
            self._refused = None
            return
        configured = session.configure(spec, runs_with)
        if configured.runs_with != runs_with:
            self._write(runs_with=configured.runs_with)
        if configured.refused and configured.refused != self._refused:
            log.warning("engine refused part of its configuration  node=%s because=%s", spec.key, configured.refused)
        self._refused = configured.refused

    def _look(self, session: Session) -> Observation:
        """A glance while nothing was amiss the last few times, a whole look now and then and whenever something is."""
        if self._seen is None or self._glances % self._pace.glances == 0:
            return self._observed(session)
        return with_front(session.glance(self._seen), self.spec, self._front(self.spec.key))

    def _observed(self, session: Session) -> Observation:
        return with_front(session.observe(), self.spec, self._front(self.spec.key))

    def _again(self, spec: NodeSpec, done: bool) -> float:
        """In how many seconds to look again: soon while something is awaited, less so the longer it does not come.

        The more members a mesh has, the more each look costs, and the more nodes look.
        """
        if done:
            self._awaiting_since = None
            return self._pace.fenced if self._fenced else self._pace.steady
        now = time.monotonic()
        self._awaiting_since = self._awaiting_since or now
        eager = self._pace.eager * (1 + len(spec.mesh.members) / 10 if spec.mesh else 1)
        if spec.mesh is not None and self._agrees is not None:
            eager = self._pace.resharding  # all that is awaited are slots, of which the mover tells
        return min(self._pace.steady, max(eager, (now - self._awaiting_since) / 50))

    def _relink(self, session: Session, spec: NodeSpec, seen: Observation) -> None:
        """A replica that has never been linked in this boot does not wait for the engine's own next try."""
        if spec.role is not Role.REPLICA or seen.link_up or seen.offset > 0:
            self._relink_at = None
        elif self._relink_at is None:
            self._relink_at = time.monotonic() + self._pace.relink_after
        elif time.monotonic() > self._relink_at:
            self._relink_at = None
            session.relink(spec)

    def _fence(self, session: Session, spec: NodeSpec) -> None:
        """While we are out of touch, have a primary demand acknowledgements from outside its zone, where somebody may take over from it.

        If only the control plane is away, they come and writes go on. If the zone is cut off, they do not, and the engine refuses writes.
        Replicas acknowledge once a second by themselves, which is too seldom to be counted by the second: they are asked.
        """
        demanded = _own_demand(spec)
        self._fenced = self._is_to_be_fenced(spec)
        if self._fenced:
            inside = sum(peer.zone == spec.zone for peer in (*spec.replicas, *spec.departing))  # the engine counts whoever streams
            demanded = (max(demanded[0], inside + 1), self._pace.fence_lag)
        if demanded != self._demanded:
            session.demand(*demanded)
            log.info("node demands acknowledgements  node=%s of=%d within=%ds", spec.key, *demanded)
        self._demanded = demanded
        if self._fenced and not self._yielding.writers_wait:
            session.prove(spec, len(spec.replicas), self._pace.patience)

    def _is_to_be_fenced(self, spec: NodeSpec) -> bool:
        """Out of touch; or only just back, for orders that say who has taken over may still be on their way."""
        if not spec.fenced or all(peer.zone == spec.zone for peer in spec.replicas):
            return False
        in_touch_for = self._in_touch_for()
        return in_touch_for is None or (self._fenced and in_touch_for < self._pace.lift_after)

    def _yield(self, session: Session, spec: NodeSpec) -> None:
        heir = spec.yields_to
        proven, told = heir is not None and heir.key in self._proofs.keys, spec.generation == self._told
        self._yielding.keep(session, spec, proven=proven, told=told, in_touch_for=self._in_touch_for())

    def _digest_agreed_with(self, session: Session, spec: NodeSpec, seen: Observation) -> str | None:
        """The digest of the spec's mesh if that is what the engine sees on the cluster bus."""
        if spec.mesh is None:
            return None
        because = session.disagreement(spec, seen)
        if because is not None and because != self._disagreement:
            log.debug("the cluster bus is not as desired yet  node=%s because=%s", spec.key, because)
        self._disagreement = because
        return spec.mesh.digest if because is None else None

    def _is_content(self, spec: NodeSpec, seen: Observation) -> bool:
        if spec.yields_to is not None and self._yielding.to is None:
            return False
        if spec.mesh is not None and (self._agrees is None or is_moving(spec.mesh)):
            return False
        if spec.role is Role.PRIMARY:
            return {peer.key for peer in spec.replicas} == self._proofs.keys
        if spec.role is Role.NONE:
            return not is_fronted(spec) or self._front(spec.key).listening
        return seen.link_up

    def _dead(self, spec: NodeSpec) -> NodeReport:
        self._close_session()
        self._ready_by = None
        former = self._last
        if former is not None and former.phase in (Phase.DEAD, Phase.FAILED) and former.boot == spec.boot:
            return former.model_copy(update={"generation": spec.generation, "roll": spec.roll})
        came_up = former is not None and former.phase is Phase.RUNNING and former.boot == spec.boot
        phase = Phase.DEAD if came_up or former is None else Phase.FAILED
        # Nobody waits for the news of one that never served.
        ending = self._learn_why_it_ended(self._entry.handle) if phase is Phase.FAILED and self._entry.handle else Ending()
        said = "it ran out of memory" if ending.out_of_memory else self._engine.why_it_ended(self._folder) or ending.said
        why = said or "it left no log"
        log.warning("node ended  node=%s boot=%d said=%s", spec.key, spec.boot, why)
        return self._report(spec, phase, problem=f"its process ended: {why}")

    def _learn_why_it_ended(self, handle: Handle) -> Ending:
        """What the runtime knows of an end that nobody ordered. It may take a moment to say, so a death is reported before it is asked."""
        ending = Ending() if self._runtime.alive(handle) else self._runtime.ending(handle)
        if ending.out_of_memory:
            self._out_of_memory = handle.boot
            log.warning("node ran out of memory  node=%s boot=%d", handle.key, handle.boot)
        return ending

    def _dark(self, spec: NodeSpec) -> NodeReport:
        """Without power no process runs, and none is started, whatever boot is desired."""
        self._close_session()
        self._ready_by = None
        if self._entry.handle is not None:
            self._runtime.kill(self._entry.handle)
        return self._report(spec, Phase.DEAD, problem="power loss: its zone has no power")

    def _unreachable(self, spec: NodeSpec, failed: EngineUnreachableError) -> NodeReport:
        """One that answers others but not us is left alone: to end it would be to lose what it holds."""
        why = str(failed)
        if self._entry.handle is not None and not self._runtime.alive(self._entry.handle):
            return self._dead(spec)
        is_shut = isinstance(failed, AccessRefusedError)
        self._silent_since = None if is_shut else self._silent_since or time.monotonic()
        silent_for = 0.0 if self._silent_since is None else time.monotonic() - self._silent_since
        if self._entry.handle is not None and silent_for > self._pace.hung_after:
            log.warning("node is hung and is killed  node=%s because=%s", spec.key, why)
            self._runtime.kill(self._entry.handle)
            return self._dead(spec)
        former = self._last
        if former is not None and former.phase is Phase.RUNNING and former.boot == self._entry.boot_done:
            problem = why if is_shut else f"it does not answer: {why}"
            access = "" if is_shut else former.access
            return former.model_copy(update={"link_up": False, "roll": spec.roll, "access": access, "problem": problem})
        return self._report(spec, Phase.STARTING, problem=why)

    def _report(self, spec: NodeSpec, phase: Phase, seen: Observation | None = None, problem: str | None = None,
                address_taken: bool = False) -> NodeReport:  # fmt: skip
        handle = self._entry.handle
        front = self._front(spec.key) if is_fronted(spec) and phase is Phase.RUNNING else FrontSeen()
        self._last = NodeReport(
            key=spec.key,
            generation=spec.generation,
            phase=phase,
            boot=self._entry.boot_done,
            problem=problem,
            address_taken=address_taken,
            pid=handle.pid if handle is not None and phase in (Phase.STARTING, Phase.RUNNING) else None,
            run_id=seen.run_id if seen else None,
            role=seen.role if seen else None,
            epoch=self._epoch,
            roll=spec.roll,
            follows=seen.follows if seen else None,
            link_up=seen.link_up if seen else False,
            offset=seen.offset if seen else 0,
            proven=sorted(self._proofs.keys),
            holds=sorted(seen.holds) if seen else [],
            agrees=self._agrees if phase is Phase.RUNNING else None,
            arrived=self._arrived if phase is Phase.RUNNING else "",
            yielded_to=self._yielding.to if phase is Phase.RUNNING else None,
            parameters=self._entry.runs_with.digest if self._entry.runs_with else "",
            access=self._users.digest if phase is Phase.RUNNING else "",
            transit=self._transit.digest if phase is Phase.RUNNING else "",
            fronted=front.listening,
            discovery=min(seen.discovery, front.discovery) if seen and spec.front else seen.discovery if seen else 0,
            out_of_memory=self._out_of_memory,
            used_memory=seen.used_memory if seen else 0,
            databases=seen.databases if seen else 0,
            saved=self._archiver.state,
            seeded=self._seeder.seeded,
        )
        return self._last

    def _runs(self, handle: Handle) -> bool:
        """Whether the process runs: as its watcher knows, or by looking while nobody watches it yet."""
        return handle not in self._over if self._watched == handle else self._runtime.alive(handle)

    def _watch(self, handle: Handle) -> None:
        if self._watched != handle:
            self._watched = handle
            self._over.clear()
            self._runtime.watch(handle, self._hear_of_the_end)

    def _hear_of_the_end(self, handle: Handle) -> None:
        self._over.add(handle)
        self._ended(self.spec.key)

    def _write(self, **changes: Any) -> None:
        with self._orders:  # what an order and a start write at the same moment is both kept
            entry = replace(self._entry, **changes)
            self._journal.write(entry)
            self._entry = entry

    def _close_session(self) -> None:
        self._mover.want(None)
        self._archiver.want(None)
        if self._session is not None:
            self._session.close()
            self._session, self._demanded = None, None
            self._users.forget()
            self._transit.forget()


def _knowing_what_it_runs_with(entry: Entry) -> Entry:
    """An engine that an earlier release has started runs with what its spec says: no parameter could change then."""
    if entry.runs_with is not None or entry.boot_done == 0:
        return entry
    return replace(entry, runs_with=entry.spec.configuration)


def _own_demand(spec: NodeSpec) -> tuple[int, int]:
    """What the parameter group demands: of how many replicas, within how many seconds."""
    told = spec.parameters
    replicas = told.get("min-replicas-to-write", told.get("min-slaves-to-write", "0"))
    return int(replicas), int(told.get("min-replicas-max-lag", told.get("min-slaves-max-lag", "10")))
