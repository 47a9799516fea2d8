"""``cachewright scale``: more or fewer replicas, shards or nodes, or another node type."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from cachewright.cli.command import Session, remote
from cachewright.cli.describe import show
from cachewright.cli.resource import CACHE, GROUP, Found, Inventory, KindName, find
from cachewright.cli.server import Json, RefusedError
from cachewright.cli.settling import until_settled

_RESHARD = "ModifyReplicationGroupShardConfiguration"
_MOST_REPLICAS = 5

Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until it is done, and show how it comes along.")]


@dataclass(frozen=True)
class Step:
    """One change that is asked for, and waited for before the next: what is being done, and the request."""

    doing: str
    ask: Callable[[], Json]


@remote
def scale(
    session: Session,
    name: Annotated[str, typer.Argument(help="The replication group or the cache.")],
    replicas: Annotated[int | None, typer.Option(min=0, max=_MOST_REPLICAS, help="How many replicas of each shard.")] = None,
    shards: Annotated[int | None, typer.Option(min=1, help="How many shards; of fewer, those with the highest ids go.")] = None,
    nodes: Annotated[int | None, typer.Option(min=1, help="How many Memcached nodes; of fewer, those with the highest ids go.")] = None,
    node_type: Annotated[str | None, typer.Option(help="Size of its nodes, such as cache.t4g.small.")] = None,
    kind: Annotated[KindName | None, typer.Option(help="Which, where a group and a cache have the same name.")] = None,
    wait: Wait = True,
) -> None:
    """Change how many replicas, shards or nodes there are, or how large these are. Several changes are made one after the other."""
    _must_ask_for_something(replicas, shards, nodes, node_type, wait=wait)
    found = find(session.server, Inventory.of(session.server), name, kind)
    if found.kind is GROUP:
        _must_fit(nodes is None, f"{found.name} is a replication group; say --replicas or --shards in place of --nodes.")
        steps = _of_a_group(session, found, replicas, shards, node_type)
    else:
        _must_fit(replicas is None and shards is None, f"{found.name} is a cache without replicas and shards; say --nodes or --node-type.")
        steps = _of_a_cache(session, found, nodes, node_type)
    show(session, _taken(session, found, steps, wait))


def _must_ask_for_something(*asked: object, wait: bool) -> None:
    number = sum(one is not None for one in asked)
    _must_fit(number > 0, "Say what shall change: --replicas, --shards, --nodes or --node-type.")
    _must_fit(wait or number == 1, "Several changes come one after the other, so they have to be waited for; give one with --no-wait.")


def _must_fit(holds: bool, otherwise: str) -> None:
    if not holds:
        raise typer.BadParameter(otherwise)


def _taken(session: Session, found: Found, steps: Iterator[Step], wait: bool) -> Found:
    """The resource after every step. A step is made up only when the one before is over, and looks at what there is then."""
    is_first = True
    for step in steps:
        if not wait and not is_first:
            session.paper.aside(f"{step.doing} {found.name} has to wait until that is done; ask for it again then.")
            return found
        is_first = False
        found = Found(found.kind, step.ask()[found.kind.member])
        if wait:
            found = until_settled(session, found, step.doing) or found
    if is_first:
        session.paper.aside(f"{found.name} is so already; nothing was changed.")
    return found


# ---- replication groups


def _of_a_group(session: Session, found: Found, replicas: int | None, shards: int | None, node_type: str | None) -> Iterator[Step]:
    """Shards, more replicas, another size, fewer replicas: at no moment is there less than before and after."""
    if shards is not None:
        yield from _reshard(session, found, shards)
    if replicas is not None:
        yield from _count(session, found, replicas, 1)
    if node_type is not None and node_type != found.seen["cache_node_type"]:
        body = {"cache_node_type": node_type, "apply_immediately": True}
        yield Step("resizing", lambda: session.server.patch(GROUP.path, found.name, body=body))
    if replicas is not None:
        yield from _count(session, found, replicas, -1)


def _count(session: Session, found: Found, replicas: int, sign: int) -> Iterator[Step]:
    """More replicas for the shards that have fewer, or fewer for those that have more."""
    counts = {part["node_group_id"]: len(part["node_group_members"]) - 1 for part in _shards(session, found)}
    wrong = [shard for shard, count in counts.items() if (replicas - count) * sign > 0]
    if not wrong:
        return
    body: dict[str, Any] = {"new_replica_count": replicas, "apply_immediately": True}
    if len(wrong) < len(counts):
        each = [{"node_group_id": shard, "new_replica_count": replicas} for shard in wrong]
        body = {"replica_configuration": each, "apply_immediately": True}
    way = "increase-replica-count" if sign > 0 else "decrease-replica-count"
    yield Step("scaling", lambda: session.server.post(GROUP.path, found.name, way, body=body))


def _reshard(session: Session, found: Found, shards: int) -> Iterator[Step]:
    present = sorted(part["node_group_id"] for part in _shards(session, found))
    if shards == len(present):
        return
    body = {
        "node_group_count": shards,
        "apply_immediately": True,
        "node_groups_to_remove": present[shards:] or None,
    }
    yield Step("resharding", lambda: session.server.call(_RESHARD, {GROUP.id_field: found.name}, body))


def _shards(session: Session, found: Found) -> list[Json]:
    """The shards as they are now."""
    shards = session.server.get(GROUP.path, found.name)[GROUP.member].get("node_groups")
    if not shards:
        raise RefusedError("InvalidReplicationGroupState", f"{found.name} is {found.status}; it can be scaled when it is available.")
    return list(shards)


# ---- caches


def _of_a_cache(session: Session, found: Found, nodes: int | None, node_type: str | None) -> Iterator[Step]:
    body: dict[str, Any] = {}
    present = sorted(node["cache_node_id"] for node in found.seen.get("cache_nodes") or [])
    if nodes is not None and nodes != len(present):
        body = {"num_cache_nodes": nodes, "cache_node_ids_to_remove": present[nodes:] or None}
    if node_type is not None and node_type != found.seen["cache_node_type"]:
        body["cache_node_type"] = node_type
    if body:
        yield Step("scaling", lambda: session.server.patch(CACHE.path, found.name, body={**body, "apply_immediately": True}))
