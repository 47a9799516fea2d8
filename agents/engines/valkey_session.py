"""A conversation with one Valkey or Redis: its role, its endpoints, and the proof that its replicas replicate."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import redis

from agents.engines.engine import AccessRefusedError, AddressHeldError, Configured, Enforced, EngineUnreachableError, Observation
from agents.engines.engine_connection import AccessDeniedError, engine_connection
from agents.engines.ping import answers_ping, replicated_at
from agents.engines.reach import own_reach, peer_reach
from agents.engines.transit_files import told_of_files
from agents.engines.users import refusal, told_of_others, told_of_ours
from agents.engines.valkey_config import changes, reached
from api_schemas.agent.configuration import Configuration
from api_schemas.agent.node import NodeSpec, Peer, Role

REPLICATION = ("INFO", "replication")
_MEMORY, _KEYSPACE = ("INFO", "memory"), ("INFO", "keyspace")
_PAUSE = 30 * 24 * 3600 * 1000
"""Milliseconds that writers are kept waiting at most. An agent ends it. It is to outlive agents, for the heir may have been elected."""

_CATCH_UP_WITHIN = 0.05  # seconds that an heir is asked for before others have their turn
_LONGEST_SILENCE = 2  # seconds without a word from its primary after which a replica is not linked, whatever the engine says
_BIND_WITHIN = 0.5  # seconds
_SMALL = 1000  # keys
_PATIENCE = 2.0  # seconds for an answer
_PROBE = "__cachewright__:probe"


class ValkeySession:
    """One connection to one engine. Not for two threads at once."""

    def __init__(self, spec: NodeSpec) -> None:
        self._own = spec.address
        self._demanded = 0
        self._connection = engine_connection(own_reach(spec), _PATIENCE, decode_responses=True)

    def observe(self) -> Observation:
        """Role, link, offset and replicas from INFO; the bound addresses from the configuration."""
        with self._talk():
            said = self._all(REPLICATION, _MEMORY, ("INFO", "server"), ("CONFIG", "GET", "bind"), _KEYSPACE)
        replication, memory, server, bind, keyspace = said
        run_id = fields_of(server).get("run_id", "")
        seen = _observation(fields_of(replication), run_id, frozenset(bind[1].split()) - {self._own})
        return self._refusing(replace(seen, used_memory=used_memory_in(memory), databases=databases_in(keyspace)), replication)

    def glance(self, former: Observation) -> Observation:
        """Role, link, offset and replicas; the process and its addresses do not change by themselves."""
        with self._talk():
            replication, memory, keyspace = self._all(REPLICATION, _MEMORY, _KEYSPACE)
        seen = _observation(fields_of(replication), former.run_id, former.holds)
        return self._refusing(replace(seen, used_memory=used_memory_in(memory), databases=databases_in(keyspace)), replication)

    def _refusing(self, seen: Observation, replication: str) -> Observation:
        good = int(fields_of(replication).get("min_slaves_good_slaves", "0"))
        return replace(seen, refuses=seen.role is Role.PRIMARY and good < self._demanded)

    def is_deposed(self, spec: NodeSpec, seen: Observation) -> bool:
        """Outside cluster mode engines hear nothing of one another's roles."""
        return False

    def assume(self, spec: NodeSpec, seen: Observation) -> bool:
        """REPLICAOF, once the primary answers: a replica told earlier would retry on its 1 Hz cron only."""
        if spec.role is Role.PRIMARY:
            if seen.role is Role.PRIMARY:
                return True
            self._say("REPLICAOF", "NO", "ONE")
            return False
        leader = spec.follows
        if leader is None:
            return False
        if seen.role is Role.REPLICA and seen.follows == f"{leader.address}:{leader.port}":
            return True
        if answers_ping(peer_reach(spec, leader)):
            self._speak_to(spec, leader)
            self._say("REPLICAOF", leader.address, str(leader.port))
        return False

    def hold(self, spec: NodeSpec, seen: Observation) -> None:
        """Bind the wanted addresses. One that is let go keeps no client: they would go on writing to the wrong node."""
        wanted = frozenset(spec.holds)
        if wanted == seen.holds or (spec.transit is not None and not spec.transit.native):
            return  # nothing to do, or its front's to do
        self._bind([self._own, *sorted(wanted)])
        for address in seen.holds - wanted:
            self._say("CLIENT", "KILL", "LADDR", f"{address}:{spec.port}")

    def _bind(self, addresses: list[str]) -> None:
        """CONFIG SET bind, until it takes.

        The engine closes all its listeners and opens the new ones. A child it forked this very moment (a snapshot for a new
        replica) still holds the old ones for an instant, so that even its own address may be refused, and the engine is then left
        without any listener. This connection is the only way back in: it must be used again at once, and not be closed.
        """
        deadline = time.monotonic() + _BIND_WITHIN
        while not self._binds(addresses):
            if time.monotonic() > deadline:
                if not self._binds([self._own]):
                    raise EngineUnreachableError(f"it cannot listen on {self._own} any more")
                raise AddressHeldError(f"another process holds one of {', '.join(addresses)}")
            time.sleep(0.001)

    def _binds(self, addresses: list[str]) -> bool:
        try:
            self._say("CONFIG", "SET", "bind", " ".join(addresses))
        except EngineUnreachableError as refused:
            if "Failed to bind" in str(refused):
                return False
            raise
        return True

    def send_away(self) -> None:
        """CLIENT KILL of those who give commands, and of those who listen to channels."""
        with self._talk():
            self._all(*(("CLIENT", "KILL", "TYPE", kind) for kind in ("NORMAL", "PUBSUB")))

    def certify(self, spec: NodeSpec) -> None:
        """CONFIG SET of all three files in one, if it can speak TLS: it loads them anew, whether or not they are called the same."""
        if spec.binary.tls:
            self._say("CONFIG", "SET", *(word for told in told_of_files(Path(spec.home)) for word in told))

    def _speak_to(self, spec: NodeSpec, leader: Peer) -> None:
        """Whether it replicates over TLS, before it is told from whom: while a group is switched, that differs from primary to primary."""
        if spec.transit is not None and spec.binary.tls:
            self._say("CONFIG", "SET", "tls-replication", "yes" if leader.tls else "no")

    def configure(self, spec: NodeSpec, runs_with: Configuration) -> Configured:
        """CONFIG SET for whatever differs, each by itself: what is refused keeps nothing else from being taken."""
        wanted = changes(spec, runs_with)
        with self._talk():
            answers = self._each(("CONFIG", "SET", name, "" if value == '""' else value) for name, value in wanted)
        refused = {told: str(answer) for told, answer in zip(wanted, answers, strict=True) if isinstance(answer, redis.ResponseError)}
        sentence = "; ".join(f"it refuses {name} {value}: {why}" for (name, value), why in refused.items())
        return Configured(reached(spec, runs_with, refused), sentence or None)

    def enforce(self, spec: NodeSpec) -> Enforced:
        """ACL SETUSER for each user, ours first so that we can go on whatever becomes of the others, and ACL DELUSER for who is left."""
        if spec.access is None:
            return Enforced()
        wanted = told_of_others(spec.access)
        with self._talk():
            self._all(*told_of_ours(spec.access))
            *answers, names = self._each([*wanted.values(), ("ACL", "USERS")])
            if gone := set(names) - wanted.keys() - {spec.access.system.username}:
                self._all(("ACL", "DELUSER", *sorted(gone)))
        refused = [refusal(name, said) for name, said in zip(wanted, answers, strict=True) if isinstance(said, redis.ResponseError)]
        return Enforced("", "; ".join(refused)) if refused else Enforced(spec.access.digest)

    def prove(self, spec: NodeSpec, streaming: int, patience: float) -> frozenset[str]:
        """Send a message down the replication stream, wait for acknowledgements, and see who has come that far.

        A PUBLISH is replicated like a write but leaves no key behind. That a link is up proves nothing: for up to a second the
        stream may not have begun.
        """
        with self._talk():
            wait = ("WAIT", str(streaming), str(int(patience * 1000)))
            _, sent, _, acknowledged = self._all(("PUBLISH", _PROBE, spec.key), REPLICATION, wait, REPLICATION)
        reached = int(fields_of(sent)["master_repl_offset"])
        return keys_at(reached, spec.replicas, fields_of(acknowledged))

    def demand(self, acknowledgements: int, lag: int) -> None:
        """CONFIG SET min-replicas-to-write and min-replicas-max-lag."""
        wanted = {"min-replicas-max-lag": lag, "min-replicas-to-write": acknowledgements}
        with self._talk():
            self._all(*(("CONFIG", "SET", name, str(value)) for name, value in wanted.items()))
        self._demanded = acknowledgements

    def yield_to(self, spec: NodeSpec, heir: Peer) -> bool:
        """CLIENT PAUSE for writers, and whether the heir has come as far as the last write before that.

        The heir itself is asked: an engine that pauses asks none of its replicas for acknowledgements.
        """
        with self._talk():
            _, told = self._all(("CLIENT", "PAUSE", str(_PAUSE), "WRITE"), REPLICATION)
        written = int(fields_of(told)["master_repl_offset"])
        deadline = time.monotonic() + _CATCH_UP_WITHIN
        while (reached := replicated_at(peer_reach(spec, heir))) is not None and reached < written:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.0005)
        return reached is not None

    def go_on(self) -> None:
        """CLIENT UNPAUSE: writers then succeed, or hear who is primary now."""
        self._say("CLIENT", "UNPAUSE")

    def nudge(self, spec: NodeSpec, keys: frozenset[str]) -> None:
        """Cut the links of these replicas, who then come back at once with a partial resynchronisation.

        A replica that loads its first snapshot very fast acknowledges before its primary has noticed the end of the transfer, and
        its stream then begins only at the next acknowledgement, up to a second later. On a new link it begins at once. Nothing is
        done for a data set large enough for a replica to be busy with.
        """
        addresses = {peer.address for peer in spec.replicas if peer.key in keys}
        if int(self._say("DBSIZE")) > _SMALL:
            return
        for client in self._say("CLIENT", "LIST", "TYPE", "REPLICA").splitlines():
            place = next((word[5:] for word in client.split() if word.startswith("addr=")), "")
            if place.rpartition(":")[0] in addresses:
                self._say("CLIENT", "KILL", "ADDR", place)

    def relink(self, spec: NodeSpec) -> None:
        """REPLICAOF anew, where ROLE says that the last attempt failed and the next one waits for the 1 Hz cron.

        A primary that binds an endpoint opens its listeners anew, which resets connections it has not accepted yet. Only for a
        replica that has nothing: for one with data the next try is a partial resynchronisation, which this would spoil.
        """
        role = self._say("ROLE")
        if spec.follows is not None and role[0] == "slave" and role[3] == "connect":
            self._say("REPLICAOF", "NO", "ONE")
            self._say("REPLICAOF", spec.follows.address, str(spec.follows.port))

    def disagreement(self, spec: NodeSpec, seen: Observation) -> str | None:
        """There is no bus outside cluster mode."""
        return None

    def arrived(self, spec: NodeSpec, seen: Observation) -> str:
        """There are no slots outside cluster mode."""
        return ""

    def save(self) -> None:
        """SHUTDOWN SAVE. Raises EngineUnreachableError when the engine could not save; it then goes on."""
        try:
            answer = self._all(("SHUTDOWN", "SAVE"))
        except (redis.ConnectionError, OSError):
            return  # it ends without an answer
        except redis.RedisError as refused:
            raise EngineUnreachableError(f"SHUTDOWN SAVE was refused: {refused}") from refused
        raise EngineUnreachableError(f"SHUTDOWN SAVE answered {answer}")

    def close(self) -> None:
        """Close the connection."""
        self._connection.disconnect()

    def _say(self, *command: str) -> Any:
        with self._talk():
            return self._all(command)[0]

    def _all(self, *commands: tuple[str, ...]) -> list[Any]:
        """Send the commands at once; their answers, as the engine gave them. Raises the first error among them."""
        answers = self._each(commands)
        for answer in answers:
            if isinstance(answer, redis.ResponseError):
                raise answer
        return answers

    def _each(self, commands: Iterable[tuple[str, ...]]) -> list[Any]:
        """Send the commands at once; their answers, errors among them."""
        asked = list(commands)
        self._connection.connect()
        self._connection.send_packed_command(self._connection.pack_commands(asked))
        return [self._answer() for _ in asked]

    def _answer(self) -> Any:
        try:
            return self._connection.read_response()
        except redis.ResponseError as refused:
            return refused

    @contextlib.contextmanager
    def _talk(self) -> Iterator[None]:
        try:
            yield
        except AccessDeniedError as denied:
            raise AccessRefusedError(str(denied)) from denied
        except (redis.RedisError, OSError) as failed:
            raise EngineUnreachableError(str(failed)) from failed


def fields_of(info: str) -> dict[str, str]:
    """The ``name:value`` lines of an answer to INFO."""
    return dict(line.split(":", 1) for line in info.splitlines() if ":" in line)


def _observation(replication: dict[str, str], run_id: str, holds: frozenset[str]) -> Observation:
    is_primary = replication["role"] == "master"
    offset = replication.get("master_repl_offset" if is_primary else "slave_repl_offset", "0")
    return Observation(
        role=Role.PRIMARY if is_primary else Role.REPLICA,
        run_id=run_id,
        follows=None if is_primary else f"{replication['master_host']}:{replication['master_port']}",
        link_up=replication.get("master_link_status") == "up" and _silence(replication) <= _LONGEST_SILENCE,
        offset=max(0, int(offset)),
        online=frozenset(place for place, replica in _replicas(replication) if replica.get("state") == "online"),
        holds=holds,
    )


def used_memory_in(memory: str) -> int:
    """What the engine counts against its limit: its own buffers for replicas and writes to come are left out."""
    fields = fields_of(memory)
    return max(0, int(fields.get("used_memory", "0")) - int(fields.get("mem_not_counted_for_evict", "0")))


def databases_in(keyspace: str) -> int:
    """How many databases there are up to the last that has keys."""
    return max((int(name[2:]) + 1 for name in fields_of(keyspace) if name.startswith("db") and name[2:].isdigit()), default=0)


def _silence(replication: dict[str, str]) -> int:
    """Seconds since a replica's primary has said anything."""
    return int(replication.get("master_last_io_seconds_ago", "0"))


def _replicas(replication: dict[str, str]) -> Iterator[tuple[str, dict[str, str]]]:
    """Each replica that INFO lists, by its ``address:port``."""
    for name, value in replication.items():
        if name.startswith("slave") and name[5:].isdigit():
            replica = dict(part.split("=", 1) for part in value.split(","))
            yield f"{replica['ip']}:{replica['port']}", replica


def keys_at(offset: int, peers: list[Peer], replication: dict[str, str]) -> frozenset[str]:
    """The keys of the peers that have acknowledged the replication stream up to that offset."""
    keys = {f"{peer.address}:{peer.port}": peer.key for peer in peers}
    came_far = (place for place, replica in _replicas(replication) if int(replica.get("offset", "0")) >= offset)
    return frozenset(keys[place] for place in came_far if place in keys)
