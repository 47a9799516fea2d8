"""A group whose node groups change while it serves: asked for, watched from every side, and held to what it shall be in the end."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import redis
from bus import engine_at, must_agree, nodes_of, slots_in
from caches import new_name, remove_group
from cluster_clients import Place, Strict
from deployment import lives
from redis.crc import key_slot
from waiting import wait_until

from agents.engines.cluster_moves import said_in
from agents.engines.reach import Reach
from agents.engines.talk import Talk

SLOTS = 16384


class Group:
    """A group in cluster mode. ``progress`` is what was shown of the last resharding while it went on."""

    def __init__(self, client: Any, url: Callable[[], str], account: str, **wanted: Any) -> None:
        self.client, self.account, self.name = client, account, new_name("r")
        self.progress: list[float] = []
        self._url = url
        client.create_replication_group(ReplicationGroupId=self.name, ReplicationGroupDescription="d", **wanted)
        client.get_waiter("replication_group_available").wait(ReplicationGroupId=self.name)

    @property
    def seed(self) -> Place:
        """The configuration endpoint."""
        endpoint = self.shown()["ConfigurationEndpoint"]
        return endpoint["Address"], endpoint["Port"]

    def shown(self) -> Any:
        """The group as a list shows it now: a Describe of it alone would be held until it is available."""
        listed = self.client.describe_replication_groups()["ReplicationGroups"]
        return next(group for group in listed if group["ReplicationGroupId"] == self.name)

    def nodes(self) -> list[dict[str, Any]]:
        """Its nodes with their processes."""
        return nodes_of(self._url(), self.account, self.name)

    def node(self, shard: str, role: str = "primary") -> dict[str, Any]:
        """The node of a shard that has this role, once one has."""
        return wait_until(
            lambda: next((node for node in self.nodes() if node["node_group_id"] == shard and node.get("role") == role), None), within=30
        )

    def ask(self, count: int, **more: Any) -> Any:
        """Ask for so many node groups."""
        self.progress = []
        asked = self.client.modify_replication_group_shard_configuration
        return asked(ReplicationGroupId=self.name, NodeGroupCount=count, ApplyImmediately=True, **more)["ReplicationGroup"]

    def until_partly_moved(self, within: float = 60) -> float:
        """Wait until some slots have moved and others have not; how far it was."""
        return wait_until(lambda: next((share for share in [self._look()] if share is not None and 0 < share < 100), None), within=within)

    def until_resharded(self, within: float = 180) -> None:
        """Wait until it is available again. On the way: progress never falls, and who leaves owns nothing by the time it is gone."""
        leavers: dict[str, dict[str, Any]] = {node["node"]: node for node in self.nodes()}
        owned: dict[str, bool] = {}

        def is_available() -> bool:
            for name, node in leavers.items():
                with contextlib.suppress(redis.RedisError, OSError):
                    owned[name] = _owns_slots(node)
            self._look()
            return bool(self.shown()["Status"] == "available")

        wait_until(is_available, within=within, every=0.03)
        assert "Resharding" not in self.shown()["PendingModifiedValues"]
        assert self.progress == sorted(self.progress) and all(0 <= share <= 100 for share in self.progress), self.progress
        present = {node["node"] for node in self.nodes()}
        for name, node in leavers.items():
            if name not in present:
                assert not owned.get(name), f"{name} left with slots"
                assert not lives(node["process_id"]), f"{name} is gone and its process is not"

    def must_be_even(self, names: Sequence[str]) -> None:
        """These node groups own all slots, as many each, give or take one; every engine says so, for all hear of it by and by."""
        shown = {part["NodeGroupId"]: slots_in(part["Slots"]) for part in self.shown()["NodeGroups"]}
        assert sorted(shown) == sorted(names)
        owned = sorted(slot for slots in shown.values() for first, last in slots for slot in range(first, last + 1))
        assert owned == list(range(SLOTS))
        sizes = [sum(last - first + 1 for first, last in slots) for slots in shown.values()]
        assert max(sizes) - min(sizes) <= 1, sizes
        wait_until(self._agrees, within=20, every=0.1)
        for node in self.nodes():
            if node["role"] != "primary":
                continue  # a replica of Valkey 8 that was copying when a slot was closed goes on calling it open, to no effect
            said = said_in(_nodes_of(node))
            assert not said.exports and not said.imports, f"{node['node']} has open slots: {said}"

    def remove(self) -> None:
        """It is gone."""
        remove_group(self.client, self.name)

    def _agrees(self) -> bool:
        try:
            must_agree(self.client, self._url(), self.account, self.name)
        except (AssertionError, ValueError, redis.RedisError):
            return False
        return True

    def _look(self) -> float | None:
        resharding = self.shown()["PendingModifiedValues"].get("Resharding")
        if resharding is None:
            return None
        self.progress.append(resharding["SlotMigration"]["ProgressPercentage"])
        return self.progress[-1]


BALLAST = 120_000


def fill(group: Group, keys: int = BALLAST, replicas: int = 0) -> None:
    """So many small keys over all shards, on every replica, so that a move takes a while."""
    slots = _by_owner(group)
    for node, wanted in slots.items():
        talk = Talk(Reach(*node))
        try:
            mine = [number for number in range(keys) if _slot(number) in wanted]
            for start in range(0, len(mine), 5000):
                talk.obey([("SET", f"ballast:{number}", str(number)) for number in mine[start : start + 5000]])
            if replicas:
                (reached,) = talk.obey([("WAIT", str(replicas), "20000")])
                assert reached >= replicas
        finally:
            talk.close()


def ballast_lost(group: Group, keys: int = BALLAST) -> list[int]:
    """The numbers of those keys that nobody has any more."""
    found: set[int] = set()
    for place in _by_owner(group):
        with engine_at(*place) as engine:
            found |= {int(key[len("ballast:") :]) for key in engine.scan_iter("ballast:*", count=5000)}
    return sorted(set(range(keys)) - found)


def _by_owner(group: Group) -> dict[Place, set[int]]:
    with contextlib.closing(Strict(group.seed)) as client:
        return {place: client.owned_by(place) for place in client.primaries()}


def _slot(number: int) -> int:
    return key_slot(f"ballast:{number}".encode())


def _owns_slots(node: dict[str, Any]) -> bool:
    return bool(said_in(_nodes_of(node)).owned)


def _nodes_of(node: dict[str, Any]) -> str:
    with redis.Redis(node["address"], node["port"], socket_timeout=5) as engine:
        connection = engine.connection_pool.get_connection()
        try:
            connection.send_command("CLUSTER", "NODES")
            return str(connection.read_response().decode())
        finally:
            engine.connection_pool.release(connection)
