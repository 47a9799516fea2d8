"""Clients that write to a replica: found by what they said last, and disconnected, where their parameter group says so.

No engine has an option for it. But each counts the writes that it refuses, and lists what every client said last and when. So who has just
said a write to a replica, or the EXEC of a transaction with one, is told from the others; a client that has said more since then is not.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from agents.engines.engine import EngineUnreachableError
from agents.engines.reach import Reach, own_reach
from agents.engines.talk import Talk
from api_schemas.agent.node import NodeSpec, Role

log = logging.getLogger("cachewright.agent")

_INTERVAL = 0.1  # seconds between two questions to one replica that has refused something lately
_SELDOM = 1.0  # seconds between two to any other: with hundreds of replicas on a host, questions are what an idle agent costs
_LATELY = 30.0
_ANSWERS_WITHIN = 0.02
_REST = 20  # times as long as it took to look at all clients, before that is done again
_PATIENCE = 2.0
_COUNTS = ("INFO", "errorstats")
_CLIENTS = (("CLIENT", "LIST", "TYPE", "NORMAL"), ("INFO", "replication"))
_PARAMETERS = ("close-on-replica-write", "close-on-slave-write")


def closes_on_write(spec: NodeSpec, *, follows: bool) -> bool:
    """Whether clients that write to this node shall be disconnected. In cluster mode a replica sends them to its primary instead."""
    return follows and spec.role is Role.REPLICA and spec.mesh is None and any(spec.parameters.get(name) == "yes" for name in _PARAMETERS)


@dataclass
class _Replica:
    """One replica that is asked: how many writes and transactions it had refused when it was last heard.

    Nothing is known of one that is new here, so that whatever it has refused is looked into: it may have been a moment ago.
    """

    reach: Reach
    talk: Talk
    refused: dict[str, int] = field(default_factory=dict)
    asked: bool = False
    told_at: float = field(default_factory=time.monotonic)
    not_before: float = 0.0
    watched_until: float = field(default_factory=lambda: time.monotonic() + _LATELY)
    writes: dict[str, bool] = field(default_factory=dict)


class RefusedWriters:
    """Asks every watched replica how many writes it has refused, and has it disconnect those who said them."""

    def __init__(self, interval: float = _INTERVAL) -> None:
        self._interval = interval
        self._replicas: dict[str, _Replica] = {}
        self._left: list[_Replica] = []  # to be hung up on, by the one thread that talks
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def watch(self, spec: NodeSpec) -> None:
        """Disconnect those who write to that replica from now on."""
        reach = own_reach(spec)
        with self._lock:
            known = self._replicas.get(spec.key)
            if known is not None and known.reach == reach:
                return
            if known is not None:
                self._left.append(known)
            self._replicas[spec.key] = _Replica(reach, Talk(reach, patience=_PATIENCE))
            if self._thread is None and not self._closing.is_set():
                self._thread = threading.Thread(target=self._run, name="refused-writers", daemon=True)
                self._thread.start()

    def forget(self, key: str) -> None:
        """Disconnect nobody there any more."""
        with self._lock:
            replica = self._replicas.pop(key, None)
            if replica is not None:
                self._left.append(replica)

    def close(self) -> None:
        """End."""
        with self._lock:  # nobody is just starting the thread
            self._closing.set()
        if self._thread is not None:
            self._thread.join(2 * _PATIENCE)
        for key in list(self._replicas):
            self.forget(key)
        self._leave()

    def _leave(self) -> None:
        with self._lock:
            left, self._left = self._left, []
        for replica in left:
            replica.talk.close()

    def _run(self) -> None:
        while not self._closing.wait(self._interval):
            self._leave()
            with self._lock:
                replicas = list(self._replicas.items())
            for step in (self._ask, self._hear):
                for key, replica in replicas:
                    try:
                        step(key, replica)
                    except EngineUnreachableError as failed:
                        log.debug("replica does not say how many writes it refused  node=%s because=%s", key, failed)
                        replica.refused, replica.asked, replica.told_at = {}, False, time.monotonic()

    def _ask(self, key: str, replica: _Replica) -> None:
        if not replica.asked and time.monotonic() >= replica.not_before:
            replica.talk.send([_COUNTS])
            replica.asked = True

    def _hear(self, key: str, replica: _Replica) -> None:
        if not replica.asked or not replica.talk.hears(_ANSWERS_WITHIN):
            return
        answer, now = replica.talk.answers(1)[0], time.monotonic()
        replica.asked = False
        before, replica.refused = replica.refused, _counts_in(answer)
        since, replica.told_at = now - replica.told_at, now
        risen = {name: count - before.get(name, 0) for name, count in replica.refused.items()}
        if risen.get("READONLY", 0) > 0:
            self._dismiss(key, replica, since, risen.get("EXECABORT", 0))
            replica.watched_until = now + _LATELY
            replica.not_before = now + _REST * (time.monotonic() - now)
        elif now >= replica.watched_until:
            replica.not_before = now + _SELDOM

    def _dismiss(self, key: str, replica: _Replica, since: float, aborted: int) -> None:
        """CLIENT KILL of those who said a write last, since the replica was asked before."""
        listed, replication = replica.talk.each(_CLIENTS)
        if isinstance(listed, Exception) or b"role:slave" not in replication:
            return  # it leads by now
        recent = [client for client in _clients_in(listed) if int(client["idle"]) <= since + 1]  # told in whole seconds
        self._learn(replica, {client["cmd"] for client in recent})
        writers = [client for client in recent if replica.writes[client["cmd"]]]
        transactions = [client for client in recent if client["cmd"] == "exec"]
        if len(transactions) <= aborted:  # with more of them there is no telling whose was refused
            writers += transactions
        replica.talk.each([("CLIENT", "KILL", "ID", client["id"]) for client in writers])
        for client in writers:
            log.info("client wrote to a replica and is disconnected  node=%s client=%s said=%s", key, client["addr"], client["cmd"])

    def _learn(self, replica: _Replica, commands: set[str]) -> None:
        """Ask which of these commands are writes, of those that were not asked about before."""
        unknown = sorted(commands - replica.writes.keys())
        if not unknown:
            return
        answer = replica.talk.say("COMMAND", "INFO", *unknown)
        for name, about in zip(unknown, answer, strict=True):
            replica.writes[name] = about is not None and b"write" in about[2]


def _counts_in(info: bytes) -> dict[str, int]:
    """How often each kind of error was answered."""
    lines = (line.removeprefix("errorstat_").partition(":count=") for line in info.decode().splitlines() if ":count=" in line)
    return {name: int(count) for name, _, count in lines}


def _clients_in(listed: bytes) -> Iterator[dict[str, str]]:
    """Each line of CLIENT LIST; a name may be anything but has no blanks."""
    for line in listed.decode("utf-8", "replace").splitlines():
        yield dict(word.partition("=")[::2] for word in line.split(" "))
