"""The log collector: asks agents for what has come to the logs of their nodes, and hands it over to the destinations of each cache."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace

from api_schemas.agent.logs import EngineLogMark, LogsWanted, NodeLogs, NodeLogsWanted, SlowLogMark
from controlplane.clock import Clock
from controlplane.delivery.log_outlets import LogOutlet
from controlplane.delivery.trouble import ReceiverAwayError, ReceiverRefusedError
from controlplane.domain.log_delivery import SLOW_LOG, LogDelivery, LogState, LogStream
from controlplane.domain.log_records import LogRecord, engine_record, lost_record, slow_record
from controlplane.domain.topology import Node, Topology
from controlplane.reconciler.fleet import AgentUnreachableError, Fleet
from controlplane.reconciler.log_progress import LogProgress, Progress
from controlplane.store.leadership import NotLeadingError
from controlplane.store.store import Committed, Store, StoreAwayError

log = logging.getLogger("cachewright.reconciler")

_EVERY = 1.0  # seconds from one round to the next
_IDLE = 3600.0
_AT_ONCE = 8
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 30.0  # seconds before a destination that took nothing is tried again
_TRIES = 3  # in a row that a destination may be away before the status says so
_SAID_EVERY = 10.0  # seconds between two words about what was dropped


class LogCollector:
    """One thread that makes rounds while this control plane leads and some cache has its logs delivered. Else it sleeps."""

    def __init__(self, store: Store, fleet: Fleet, clock: Clock, outlet: LogOutlet, every: float = _EVERY) -> None:
        self._store = store
        self._fleet = fleet
        self._clock = clock
        self._outlet = outlet
        self._every = every
        self._progress = LogProgress(store)
        self._troubles: dict[tuple[str, str], _Trouble] = {}
        self._dropped: dict[tuple[str, str], _Dropped] = {}
        self._away: set[str] = set()
        self._begins = threading.Event()  # to lead, and so to read first how far logs are
        self._knows = False
        self._woken = threading.Event()
        self._closing = threading.Event()
        self._pool: ThreadPoolExecutor | None = None
        self._thread = threading.Thread(target=self._work, name="log-collector", daemon=True)
        store.listen(self._on_commit)

    def start(self) -> None:
        """Begin, as soon as this control plane leads."""
        self._thread.start()

    def lead(self) -> None:
        """Go on from where a former life, or another control plane, was."""
        self._begins.set()
        self._woken.set()

    def close(self) -> None:
        """End; whatever was not handed over is read again by whoever leads next."""
        self._closing.set()
        self._woken.set()
        if self._thread.is_alive():
            self._thread.join(15)
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
        self._outlet.close()

    def round(self) -> None:
        """See what became of destinations, then take and hand over what has come. Raises as the store."""
        topologies = self._logged()
        for topology in topologies:
            for delivery in topology.settings.log_deliveries:
                if delivery.state in (LogState.ENABLING, LogState.MODIFYING, LogState.ERROR) and self._is_due(topology, delivery):
                    self._try(topology, delivery)
        self._collect(self._logged())
        for topology in topologies:
            for delivery in topology.settings.log_deliveries:
                if delivery.state is LogState.DISABLING:
                    self._settle(topology, delivery, None)
        self._progress.keep_only({(key, log_type) for key, log_type, _ in self._wanted_of(self._logged())})

    def _logged(self) -> list[Topology]:
        return [each for each in list(self._store.topologies.by_uid.values()) if each.settings.log_deliveries and not each.deleting]

    # ---- destinations

    def _try(self, topology: Topology, delivery: LogDelivery) -> None:
        """A destination is active once it says that it would take something."""
        node = next(iter(topology.members))
        try:
            self._outlet.check(_stream(topology, node, delivery))
        except (ReceiverAwayError, ReceiverRefusedError) as failed:
            self._failed(topology, delivery, failed)
        else:
            self._troubles.pop((topology.uid, delivery.log_type), None)
            self._settle(topology, delivery, replace(delivery, state=LogState.ACTIVE, message=""))

    def _failed(self, topology: Topology, delivery: LogDelivery, failed: ReceiverAwayError | ReceiverRefusedError) -> None:
        """It is shown as an error at once when it refuses, and after some tries when it is away. Either is tried again."""
        trouble = self._troubles.setdefault((topology.uid, delivery.log_type), _Trouble())
        trouble.tries += 1
        trouble.not_before = time.monotonic() + min(_FIRST_PAUSE * 2.0 ** min(trouble.tries - 1, 10), _LONGEST_PAUSE)
        if isinstance(failed, ReceiverRefusedError) or trouble.tries >= _TRIES:
            wrong = replace(delivery, state=LogState.ERROR, message=str(failed))
            if delivery.state is not LogState.DISABLING and wrong != delivery:
                log.warning("logs not taken  cache=%s log=%s because=%s", topology.name, delivery.log_type, failed)
                self._settle(topology, delivery, wrong)

    def _is_due(self, topology: Topology, delivery: LogDelivery) -> bool:
        trouble = self._troubles.get((topology.uid, delivery.log_type))
        return trouble is None or time.monotonic() >= trouble.not_before

    def _settle(self, topology: Topology, former: LogDelivery, changed: LogDelivery | None) -> None:
        """Write down how far a delivery is, unless a caller has changed it meanwhile; None is that it is no more."""
        with self._store.transaction(leading=True) as unit:
            now = unit.topologies.get(topology.uid)
            if now is None or former not in now.settings.log_deliveries:
                return
            kept = tuple(changed if each == former else each for each in now.settings.log_deliveries)
            settings = replace(now.settings, log_deliveries=tuple(each for each in kept if each is not None))
            unit.topologies.save(replace(now, settings=settings))

    # ---- records

    def _collect(self, topologies: Iterable[Topology]) -> None:
        """Ask all agents at once, each of which is then served by a thread of its own."""
        nodes: dict[str, list[tuple[Topology, Node, LogDelivery]]] = {}
        for topology in topologies:
            for node in topology.nodes:
                for delivery in topology.settings.log_deliveries:
                    is_on = delivery.state in (LogState.ACTIVE, LogState.DISABLING)
                    if node.placement is not None and is_on and self._is_due(topology, delivery):
                        nodes.setdefault(node.placement.agent, []).append((topology, node, delivery))
        if nodes:
            self._pool = self._pool or ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="logs")
            served = [self._pool.submit(self._serve, agent, of_agent) for agent, of_agent in nodes.items()]
            wait(served)  # all of them, whatever becomes of one: a log is read by one thread at a time
            for each in served:
                each.result()

    def _serve(self, agent: str, nodes: list[tuple[Topology, Node, LogDelivery]]) -> None:
        """Take what has come from one agent, and hand it over, until there is no more for now."""
        streams = {(topology.key(node), each.log_type): (topology, _stream(topology, node, each)) for topology, node, each in nodes}
        begun = time.monotonic()
        left = {key for key, _ in streams}
        while left and not self._closing.is_set() and time.monotonic() - begun < 5 * self._every:
            try:
                told = self._fleet.logs(agent, self._question(streams, left))
            except AgentUnreachableError as away:
                if agent not in self._away:
                    log.warning("logs not told, asking again  agent=%s because=%s", agent, away)
                    self._away.add(agent)
                return
            self._away.discard(agent)
            if not self._store.leadership.leads:
                return
            left = set()
            moved: list[tuple[str, str, str, Progress]] = []
            for node in told.nodes:
                for log_type in ("slow-log", "engine-log"):
                    if (found := streams.get((node.key, log_type))) is not None and self._is_due(found[0], found[1].delivery):
                        moved += self._hand_over(*found, node)
                        left |= {node.key} if node.more else set()
            self._progress.put(moved)
            if not moved:
                return

    def _question(self, streams: dict[tuple[str, str], tuple[Topology, LogStream]], keys: set[str]) -> LogsWanted:
        wanted: dict[str, NodeLogsWanted] = {key: NodeLogsWanted(key=key) for key in sorted(keys)}
        for (key, log_type), (_, stream) in streams.items():
            if key in wanted:
                progress, since = self._progress.of(key, log_type), stream.delivery.since.timestamp()
                if log_type == SLOW_LOG:
                    mark = progress.slow or SlowLogMark()
                    wanted[key] = wanted[key].model_copy(update={"slow": mark, "slow_since": since})
                else:
                    line = progress.engine or EngineLogMark()
                    wanted[key] = wanted[key].model_copy(update={"engine": line, "engine_since": since})
        return LogsWanted(nodes=list(wanted.values()))

    def _hand_over(self, topology: Topology, stream: LogStream, node: NodeLogs) -> Iterator[tuple[str, str, str, Progress]]:
        """How far the log is once its destination has taken what came; nothing where nothing moved, or it did not take it."""
        log_type = stream.delivery.log_type
        before = self._progress.of(node.key, log_type)
        records, lost = self._records(stream, node)
        after = replace(before, slow=node.slow_mark) if log_type == SLOW_LOG else replace(before, engine=node.engine_mark)
        if (node.slow_mark if log_type == SLOW_LOG else node.engine_mark) is None:
            return
        if records:
            try:
                if before.file is None and (mark := self._outlet.mark(stream)) is not None:
                    before = replace(before, file=mark)
                    self._progress.put([(node.key, log_type, topology.uid, before)])
                file = self._outlet.write(stream, records, before.file)
            except (ReceiverAwayError, ReceiverRefusedError) as failed:
                self._failed(topology, stream.delivery, failed)
                return
            after = replace(after, file=file)
            self._troubles.pop((topology.uid, log_type), None)
        if lost:
            self._note_dropped(topology, stream.delivery, lost)
        if after != before:
            yield node.key, log_type, topology.uid, after

    def _records(self, stream: LogStream, node: NodeLogs) -> tuple[list[LogRecord], int]:
        if stream.delivery.log_type == SLOW_LOG:
            records, lost = [slow_record(stream, entry) for entry in node.slow], node.slow_lost
        else:
            records, lost = [engine_record(stream, line) for line in node.engine], node.engine_lost
        return ([lost_record(stream, lost, self._clock.now()), *records] if lost else records), lost

    def _note_dropped(self, topology: Topology, delivery: LogDelivery, number: int) -> None:
        """Have the status say how much was dropped, not too often."""
        dropped = self._dropped.setdefault((topology.uid, delivery.log_type), _Dropped())
        dropped.number += number
        if time.monotonic() - dropped.said_at > _SAID_EVERY and delivery.state is LogState.ACTIVE:
            dropped.said_at = time.monotonic()
            message = f"{dropped.number} records were dropped until {self._clock.now():%Y-%m-%d %H:%M:%S} UTC"
            self._settle(topology, delivery, replace(delivery, message=message))

    def _wanted_of(self, topologies: Iterable[Topology]) -> Iterator[tuple[str, str, Topology]]:
        for topology in topologies:
            for node in topology.nodes:
                for delivery in topology.settings.log_deliveries:
                    yield topology.key(node), delivery.log_type, topology

    # ---- the thread

    def _on_commit(self, committed: Committed) -> None:
        for uid in committed.topologies:
            topology = self._store.topologies.by_uid.get(uid)
            if topology is not None and topology.settings.log_deliveries:
                self._woken.set()

    def _work(self) -> None:
        while not self._closing.is_set():
            is_on = bool(self._logged() or self._progress.is_any)
            self._woken.wait(self._every if is_on else _IDLE)
            self._woken.clear()
            if self._closing.is_set() or not self._store.leadership.leads:
                self._knows = False  # others go on from here
                continue
            begun = time.monotonic()
            try:
                if self._is_ready():
                    self.round()
            except NotLeadingError:
                log.info("logs are another control plane's to deliver now")
            except StoreAwayError as away:
                log.warning("logs wait, for the database is away  because=%s", away)
            except Exception:  # what fails of one log must not end the delivery of all others
                log.exception("logs could not be delivered")
            self._closing.wait(max(0.0, self._every - (time.monotonic() - begun)))

    def _is_ready(self) -> bool:
        """Whether it is known how far logs are. Until we were told to lead, somebody else may be at them."""
        if self._begins.is_set():
            self._progress.load()
            self._begins.clear()
            self._knows = True
        return self._knows


class _Trouble:
    """How often in a row a destination took nothing, and when it is tried again."""

    def __init__(self) -> None:
        self.tries = 0
        self.not_before = 0.0


class _Dropped:
    """How much of a log was dropped, and when that was last said."""

    def __init__(self) -> None:
        self.number = 0
        self.said_at = -_SAID_EVERY - 1


def _stream(topology: Topology, node: Node, delivery: LogDelivery) -> LogStream:
    world = topology.world
    return LogStream(world.account, world.region, delivery, topology.make_of(node).engine, node.id, "0001")
