"""How long a group in cluster mode takes, three shards of two nodes, against the same six engines made a cluster by hand."""

from __future__ import annotations

import contextlib
import itertools
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import redis

from agents.engines.catalogue import find_binaries
from agents.engines.cluster_bus import differences, nodes_file, not_online, stand_in_of, view_of
from agents.engines.valkey_config import replication_tuning
from agents.engines.valkey_session import fields_of
from api_schemas.agent.node import EngineBinary, Mesh, MeshMember, NodeSpec, Role
from bench import measure as m
from cachewright import local_server

ROUNDS = 8
BOUND = 400
ENGINES = (("valkey", "9.1", "Valkey 9.1"), ("valkey", "8.1", "Valkey 8.1"), ("redis", "7.1", "Redis 7.0 (asked for as 7.1)"))
SHARDS, NODES = 3, 2
_HAND_NETWORK = "127.120.78"
_PORT = 6379
_numbers = itertools.count(1)


def run() -> None:
    m.heading(f"shards: a group of {SHARDS} shards of {NODES} nodes in cluster mode, {ROUNDS} rounds")
    binaries = find_binaries()
    rows: list[list[str]] = []
    with local_server() as server:
        for engine, version, label in ENGINES:
            binary = m.binary_of(binaries, engine, version)
            if binary is None:
                print(f"{label}: not installed, left out\n")
                continue
            product = Product(server.url, engine, version)
            product.create()
            rows.append(_compare(label, product, binary))
    m.table(["engine", "introduced by hand, ms", "prepared by hand, ms", "Cachewright, ms", "to introduced", "to prepared", "target"], rows)
    print("Median (min, max) until every engine says cluster_state:ok, knows all six, shows every replica to its clients, and both of")
    print("each shard have a write. *Introduced*: started empty, slots assigned, MEET of every pair, REPLICATE: the best recipe that uses")
    print("commands alone. *Prepared*: started with the files that Cachewright writes, TAKEOVER and REPLICATE: the same trick without us.")
    print("Target: at most 1.2 × introduced by hand, and at most 800 ms.")


def _compare(label: str, product: Product, binary: EngineBinary) -> list[str]:
    variants: dict[str, Callable[[], float]] = {
        "introduced": lambda: by_hand(binary, introduced),
        "prepared": lambda: by_hand(binary, prepared),
        "ours": product.create,
    }
    taken = {name: m.Figures.of(of) for name, of in m.interleaved(ROUNDS, variants).items()}
    ours = taken["ours"].median
    ratio, floor = ours / taken["introduced"].median, ours / taken["prepared"].median
    met = "met" if ratio <= 1.2 and ours <= 0.8 else "**not met**"
    return [label, *(taken[name].in_ms() for name in variants), f"{ratio:.2f}", f"{floor:.2f}", met]


class Product:
    """Creates groups of three shards and deletes them again."""

    def __init__(self, url: str, engine: str, version: str) -> None:
        self._http = m.Http(url)
        self._engine = engine
        self._version = version

    def create(self) -> float:
        """Seconds from the one call until it answers that the group is available."""
        name, started = f"bench-{next(_numbers)}", time.perf_counter()
        wanted = {
            "replication_group_id": name, "replication_group_description": "bench", "engine": self._engine, "engine_version": self._version,
            "num_node_groups": SHARDS, "replicas_per_node_group": NODES - 1,
        }  # fmt: skip
        asked = self._http.request("POST", "/v1/replication-groups", json.dumps(wanted).encode(), Content_Type="application/json",
                                   Prefer="wait=20")  # fmt: skip
        group = json.loads(self._http.ask(asked))["replication_group"]
        taken = time.perf_counter() - started
        if group["status"] != "available":
            raise RuntimeError(f"the group is {group['status']}")
        self._http.ask(self._http.request("DELETE", f"/v1/replication-groups/{name}", Prefer="wait=20"))
        return taken


# ---- By hand -------------------------------------------------------------------------------------------------------------------


class Hand:
    """Six engines and a connection to each. ``mesh`` is what they shall become; primaries come first in each shard."""

    def __init__(self, binary: EngineBinary, folder: Path) -> None:
        self.binary = binary
        self.folder = folder
        self.processes: list[subprocess.Popen[Any]] = []
        self.wires: dict[str, redis.Redis] = {}
        bounds = [16384 * part // SHARDS for part in range(SHARDS + 1)]
        self.members = [
            MeshMember(
                id=f"{shard + 1:020x}{node + 1:020x}", shard=f"{shard + 1:040x}", address=f"{_HAND_NETWORK}.{10 * shard + node + 1}", port=_PORT,
                follows=f"{shard + 1:020x}{1:020x}" if node else None, slots="" if node else f"{bounds[shard]}-{bounds[shard + 1] - 1}",
            )
            for shard in range(SHARDS) for node in range(NODES)
        ]  # fmt: skip

    def mesh(self, me: str) -> Mesh:
        return Mesh(me=me, epoch=1, digest="-", members=self.members)

    def start(self, node_timeout: int, files: bool) -> None:
        """All at once, then a connection to each as soon as it answers."""
        for member in self.members:
            own = self.folder / member.address
            own.mkdir()
            if files:
                (own / "nodes.conf").write_text(nodes_file(self._spec(member)))
            lines = {
                "bind": member.address, "port": str(_PORT), "dir": str(own), "logfile": str(own / "engine.log"), "save": '""',
                "protected-mode": "no", "bind-source-addr": member.address, "replica-announce-ip": member.address,
                "cluster-enabled": "yes", "cluster-announce-ip": member.address, "cluster-node-timeout": str(node_timeout),
                "cluster-require-full-coverage": "no", "cluster-replica-no-failover": "yes", **dict(replication_tuning(self.binary)),
            }  # fmt: skip
            config = own / "engine.conf"
            config.write_text("".join(f"{name} {value}\n" for name, value in lines.items()))
            self.processes.append(subprocess.Popen([self.binary.path, str(config)]))
        for member in self.members:
            self.wires[member.id] = m.until(lambda member=member: _connected(member.address), 10.0)  # type: ignore[misc]

    def say(self, member: MeshMember, *words: str) -> str:
        wire = self.wires[member.id].connection_pool.get_connection()
        try:
            wire.send_command(*words)
            return wire.read_response()  # type: ignore[no-any-return]
        finally:
            self.wires[member.id].connection_pool.release(wire)

    def insist(self, member: MeshMember, *words: str) -> None:
        """Until it is not refused."""

        def accepted() -> bool | None:
            with contextlib.suppress(redis.ResponseError):
                self.say(member, *words)
                return True
            return None

        m.until(accepted, 10.0)

    def agree(self, mesh_of: Callable[[MeshMember], Mesh], *, ask: bool = False) -> None:
        """Wait until all six have a write, see what they shall and show it to clients.

        With ``ask`` those of whom one has heard nothing new are pinged by an introduction ten times a second, as Cachewright does.
        """
        for member in self.members:
            if not member.follows:
                m.until(lambda member=member: self._replicated(member), 20.0)  # type: ignore[misc]
        asked_at = time.perf_counter()
        while stale := [seen for member in self.members for seen in self._stale(member, mesh_of(member))]:
            if ask and time.perf_counter() - asked_at > 0.1:
                asked_at = time.perf_counter()
                for member, other in stale:
                    if other is not None:
                        self.say(member, "CLUSTER", "MEET", other.address, str(_PORT))
            time.sleep(0.001)

    def _stale(self, member: MeshMember, mesh: Mesh) -> list[tuple[MeshMember, MeshMember | None]]:
        """Whom a member sees otherwise than it should; None beside it where asking would not help."""
        view = view_of(self.say(member, "CLUSTER", "NODES"), fields_of(self.say(member, "CLUSTER", "INFO")))
        found = differences(mesh, view) or not_online(list(self.say(member, "CLUSTER", "SHARDS")))
        others = {other.id: other for other in mesh.members if other.id != mesh.me}
        return [(member, others.get(node) if difference.stale else None) for node, difference in found.items()]

    def _replicated(self, member: MeshMember) -> bool | None:
        wire = self.wires[member.id]
        shard = int(member.shard, 16) - 1
        with contextlib.suppress(redis.ResponseError):  # no slots are served yet
            wire.set(f"{{{_TAGS[shard]}}}", "1")
            return wire.wait(NODES - 1, 5) == NODES - 1 or None
        return None

    def _spec(self, member: MeshMember) -> NodeSpec:
        return NodeSpec(key=member.id, generation=1, binary=self.binary, zone="-", address=member.address, port=_PORT, role=Role.REPLICA,
                        epoch=1, memory=0, mesh=self.mesh(member.id))  # fmt: skip

    def stop(self) -> None:
        for wire in self.wires.values():
            wire.close()
        for process in self.processes:
            process.kill()
            process.wait()


_TAGS = ("b", "c", "a")
"""A key of each of the three even shards: their slots are 3300, 7365 and 15495."""


def _connected(address: str) -> redis.Redis | None:
    client = redis.Redis(host=address, port=_PORT, decode_responses=True, socket_timeout=5, protocol=2)
    with contextlib.suppress(redis.RedisError):
        client.ping()
        return client
    client.close()
    return None


@contextlib.contextmanager
def _hand(binary: EngineBinary) -> Iterator[Hand]:
    folder = Path(tempfile.mkdtemp(prefix="cachewright-bench-"))
    hand = Hand(binary, folder)
    try:
        yield hand
    finally:
        hand.stop()
        shutil.rmtree(folder)


def by_hand(binary: EngineBinary, recipe: Callable[[Hand], None]) -> float:
    """Seconds from the first start until all agree."""
    started = time.perf_counter()
    with _hand(binary) as hand:
        recipe(hand)
        return time.perf_counter() - started


def introduced(hand: Hand) -> None:
    """Started empty and introduced: slots, different epochs, MEET of every pair, REPLICATE as soon as the other is known."""
    hand.start(node_timeout=1000, files=False)
    real = {member.id: hand.say(member, "CLUSTER", "MYID") for member in hand.members}
    for number, member in enumerate(hand.members):
        if member.slots:
            hand.say(member, "CLUSTER", "ADDSLOTSRANGE", *member.slots.split("-"))
        hand.say(member, "CLUSTER", "SET-CONFIG-EPOCH", str(number + 1))
    for member, other in itertools.combinations(hand.members, 2):
        hand.say(member, "CLUSTER", "MEET", other.address, str(_PORT))
    for member in hand.members:
        if member.follows:
            hand.insist(member, "CLUSTER", "REPLICATE", real[member.follows])
    named = [each.model_copy(update={"id": real[each.id], "follows": real.get(each.follows or "")}) for each in hand.members]
    hand.agree(lambda member: Mesh(me=real[member.id], epoch=1, digest="-", members=named))


def prepared(hand: Hand) -> None:
    """Started right in the middle of it; takeover and replication by command, the stand-ins forgotten."""
    hand.start(node_timeout=5000, files=True)
    for member in hand.members:
        if not member.follows:
            hand.say(member, "CLUSTER", "FAILOVER", "TAKEOVER")
    for member in hand.members:
        if member.follows:
            hand.insist(member, "CLUSTER", "REPLICATE", member.follows)
    for member in hand.members:
        hand.insist(member, "CLUSTER", "FORGET", stand_in_of(member.id))
    hand.agree(lambda member: hand.mesh(member.id), ask=True)


if __name__ == "__main__":
    m.main(run, BOUND)
