"""What the store promises: whole or nothing, there after a restart, no reader waits, nobody's write is lost."""

from __future__ import annotations

import json
import re
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from factories import NOW, WORLD, a_cache_cluster, a_group, an_agent
from postgres import Postgres, postgres_server
from pydantic import TypeAdapter
from sqlalchemy import Engine, create_engine, inspect, text

from api_schemas.agent.agent import BEAT, LEASE
from api_schemas.fault_kind import FaultKind
from controlplane.domain.events import Event
from controlplane.domain.fault import InjectedFault, StruckNode, Target
from controlplane.domain.parameter_group import ParameterGroup
from controlplane.domain.reported import DEAD, RUNNING, SeenNode, SeenRoute
from controlplane.domain.subnet_group import SubnetGroup
from controlplane.domain.topology import Kind, Restart, Topology, World
from controlplane.store.fleet import HEARD_WITHIN, NOBODY, Heartbeats, NoAddressLeftError
from controlplane.store.session import HEAD, MIGRATIONS, migrate, open_database
from controlplane.store.store import Committed, Store, Unit
from controlplane.store.topologies import StaleTopologyError

NETWORK = "127.101.0.0/29"  # six addresses
OTHER_WORLD = World("111111111111", "eu-central-1")
ARN = "arn:aws:elasticache:us-east-1:000000000000:replicationgroup:orders"
SUBNETS = SubnetGroup(WORLD, "ours", "two subnets", ("subnet-1", "subnet-2"))
PARAMETERS = ParameterGroup(WORLD, "mine", "valkey9", "two values", (("maxmemory-policy", "noeviction"), ("timeout", "60")))
KEY = a_group().key("orders-001")
SEEN = SeenNode(RUNNING, 1, "primary", 1, offset=100, proven=frozenset({"a", "b"}), holds=frozenset({"127.100.0.1"}), run_id="r", pid=7)


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'plane.db'}"


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with postgres_server() as running:
        yield running


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> str:
    if request.param == "sqlite":
        return str(request.getfixturevalue("sqlite_url"))
    return str(request.getfixturevalue("postgres").database())


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    opened = Store(url)
    yield opened
    opened.close()


@pytest.fixture
def reopened(store: Store, url: str) -> Iterator[Callable[[], Store]]:
    """What a control plane finds that is started on the same database."""
    again: list[Store] = []

    def reopen() -> Store:
        again.append(Store(url))
        return again[-1]

    yield reopen
    for each in again:
        each.close()


def saved(store: Store, *topologies: Topology) -> list[Topology]:
    with store.transaction() as unit:
        return [unit.topologies.save(topology) for topology in topologies]


def rows(url: str, query: str) -> list[Any]:
    """What the database holds, read past the store."""
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.connect() as connection:
        found = [tuple(row) for row in connection.execute(text(query))]
    engine.dispose()
    return found


# ---- the schema


def shape_of(engine: Engine) -> dict[str, Any]:
    found = inspect(engine)
    return {
        table: {
            "columns": {(each["name"], str(each["type"]), each["nullable"]) for each in found.get_columns(table)},
            "key": tuple(found.get_pk_constraint(table)["constrained_columns"]),
            "indexes": {(each["name"], tuple(each["column_names"]), bool(each["unique"])) for each in found.get_indexes(table)},
            "unique": {tuple(each["column_names"]) for each in found.get_unique_constraints(table)},
        }
        for table in found.get_table_names()
        if table != "alembic_version"
    }


def version_of(engine: Engine) -> list[str]:
    with engine.connect() as connection:
        return list(connection.execute(text("SELECT version_num FROM alembic_version")).scalars())


def test_a_new_database_has_the_schema_that_migrations_lead_to(tmp_path: Path) -> None:
    same_schema(f"sqlite:///{tmp_path / 'fresh.db'}", f"sqlite:///{tmp_path / 'migrated.db'}")


def test_a_new_database_of_postgresql_has_it_too(postgres: Postgres) -> None:
    same_schema(postgres.database(), postgres.database())


def same_schema(one: str, other: str) -> None:
    fresh = open_database(one)
    migrated = create_engine(other.replace("postgresql:", "postgresql+psycopg:"))
    migrate(migrated)
    assert "topologies" in shape_of(fresh)
    assert shape_of(fresh) == shape_of(migrated)
    assert version_of(fresh) == version_of(migrated) == [HEAD]
    for engine in (fresh, migrated):
        engine.dispose()


def test_head_is_the_newest_migration() -> None:
    newest = max((MIGRATIONS / "versions").glob("[0-9]*.py"))
    assert newest.name.startswith(f"{HEAD}_")
    assert re.search(r'^revision = "(.+)"$', newest.read_text(), re.MULTILINE)[1] == HEAD  # type: ignore[index]


def test_an_older_database_is_migrated_when_it_is_opened(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'old.db'}"
    with sqlite3.connect(tmp_path / "old.db") as old:
        old.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)")
    old.close()
    engine = open_database(url)
    assert version_of(engine) == [HEAD]
    engine.dispose()
    store = Store(url)
    saved(store, a_group())
    store.close()


def test_a_database_of_the_first_release_is_migrated_with_what_it_holds(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'first.db'}"
    first = create_engine(url)
    with first.begin() as connection:
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", str(MIGRATIONS))
        command.upgrade(config, "0001")
        document = TypeAdapter(Topology).dump_python(a_group(version=1), mode="json", exclude={"parameters", "endpoints"})
        seen = TypeAdapter(SeenNode).dump_python(SEEN, mode="json", exclude={"parameters"})
        row = {"uid": a_group().uid, "account": WORLD.account, "region": WORLD.region, "kind": "replication-group", "name": "orders"}
        columns = "(uid, account, region, kind, name, version, document) VALUES (:uid, :account, :region, :kind, :name, 1, :document)"
        connection.execute(text(f"INSERT INTO topologies {columns}"), {**row, "document": json.dumps(document)})
        columns = "(key, kind, uid, seen_at, document) VALUES (:key, 'node', :uid, '2026-07-01 12:00:00', :document)"
        connection.execute(text(f"INSERT INTO reports {columns}"), {"key": KEY, "uid": row["uid"], "document": json.dumps(seen)})
    assert version_of(first) == ["0001"]
    assert "parameter_groups" not in shape_of(first)
    first.dispose()
    store = Store(url)
    with store.transaction() as unit:
        assert unit.topologies.of(WORLD) == [a_group(version=1)]
        assert unit.reports.of(a_group()).nodes == {"orders-001": SEEN}
        unit.parameter_groups.save(PARAMETERS)
    with store.reading() as unit:
        assert unit.parameter_groups.get(WORLD, "mine") == PARAMETERS
    store.close()
    assert rows(url, "SELECT version_num FROM alembic_version") == [(HEAD,)]


def test_sqlite_writes_ahead_so_that_readers_do_not_wait(sqlite_url: str) -> None:
    Store(sqlite_url).close()
    assert rows(sqlite_url, "PRAGMA journal_mode") == [("wal",)]


# ---- whole or nothing


def write_everything(unit: Unit) -> None:
    unit.topologies.save(a_group())
    unit.reports.put_node(KEY, SEEN, NOW)
    unit.reports.put_route(a_group().route_key, SeenRoute(True, ("127.101.0.1:6379",)), NOW)
    unit.agents.put(an_agent("agent-a", "us-east-1a"))
    unit.addresses.draw(NETWORK, KEY)
    unit.addresses.block("127.101.0.2")
    unit.tags.put(ARN, {"team": "shop"})
    unit.events.say(Event(WORLD, "replication-group", "orders", "created", NOW, "asked for"))
    unit.subnet_groups.save(SUBNETS)
    unit.parameter_groups.save(PARAMETERS)
    unit.facts.put("id", "abc")


def everything(store: Store) -> dict[str, Any]:
    """All that can be read of what ``write_everything`` writes."""
    with store.reading() as unit:
        return {
            "topologies": list(unit.topologies.all()),
            "reported": unit.reports.of(a_group()),
            "times": unit.reports.times(a_group()),
            "agents": unit.agents.all(),
            "heard": unit.agents.is_heard("agent-a"),
            "addresses": dict(store.addresses),
            "tags": unit.tags.of(ARN),
            "events": unit.events.between(WORLD, NOW, NOW, None, None),
            "subnet groups": unit.subnet_groups.of(WORLD),
            "parameter groups": unit.parameter_groups.of(WORLD),
            "parameter group": unit.parameter_groups.get(WORLD, "mine"),
            "subnet group": unit.subnet_groups.get(WORLD, "ours"),
            "fact": unit.facts.get("id"),
        }


def test_what_is_committed_is_there_now_and_after_a_restart(store: Store, reopened: Callable[[], Store]) -> None:
    with store.transaction() as unit:
        write_everything(unit)
    found = everything(store)
    assert found["topologies"] == [replace(a_group(), version=1)]
    assert found["reported"].nodes == {"orders-001": SEEN}
    assert found["reported"].route == SeenRoute(True, ("127.101.0.1:6379",))
    assert found["times"] == {"orders-001": NOW}
    assert found["agents"] == [an_agent("agent-a", "us-east-1a")]
    assert found["addresses"] == {"127.101.0.1": KEY, "127.101.0.2": NOBODY}
    assert found["tags"] == {"team": "shop"}
    assert found["events"] == [Event(WORLD, "replication-group", "orders", "created", NOW, "asked for", 1)]
    assert found["subnet groups"] == [found["subnet group"]] == [SUBNETS]
    assert found["parameter groups"] == [found["parameter group"]] == [PARAMETERS]
    assert found["fact"] == "abc"
    assert everything(reopened()) == {**found, "heard": True}  # nobody is silent before there was time to speak


def test_what_raises_changes_nothing_now_or_after_a_restart(store: Store, reopened: Callable[[], Store]) -> None:
    before = everything(store)

    class Refused(Exception):
        pass

    with pytest.raises(Refused), store.transaction() as unit:
        write_everything(unit)
        raise Refused
    assert everything(store) == before
    assert everything(reopened()) == before
    with store.transaction() as unit:
        write_everything(unit)  # and nothing is in the way of a second try


def test_a_unit_of_work_sees_its_own_changes_and_nobody_else_does_yet(store: Store) -> None:
    with store.transaction() as unit:
        unit.topologies.save(a_group())
        assert unit.topologies.named(WORLD, Kind.REPLICATION_GROUP, "orders") is not None
        assert unit.topologies.owner_of(WORLD, "orders-002") is not None
        with store.reading() as other:
            assert list(other.topologies.all()) == []
            assert other.topologies.owner_of(WORLD, "orders-002") is None
    with store.reading() as other:
        assert [topology.name for topology in other.topologies.all()] == ["orders"]


def test_a_reading_unit_cannot_write(store: Store) -> None:
    with store.reading() as unit:
        for write in (
            lambda: unit.topologies.save(a_group()),
            lambda: unit.reports.put_node(KEY, SEEN, NOW),
            lambda: unit.agents.put(an_agent("agent-a", "us-east-1a")),
            lambda: unit.addresses.draw(NETWORK, KEY),
        ):
            with pytest.raises(RuntimeError, match="cannot write"):
                write()
    assert everything(store)["topologies"] == []


# ---- topologies


def test_every_save_is_a_new_version(store: Store, reopened: Callable[[], Store]) -> None:
    (first,) = saved(store, a_group())
    (second,) = saved(store, replace(first, modifying=True))
    assert (first.version, second.version) == (1, 2)
    assert list(reopened().topologies.by_uid.values()) == [second]


def test_a_stale_version_is_refused(store: Store, reopened: Callable[[], Store]) -> None:
    (first,) = saved(store, a_group())
    saved(store, replace(first, modifying=True))
    for stale in (first, a_group()):
        with pytest.raises(StaleTopologyError), store.transaction() as unit:
            unit.topologies.save(replace(stale, deleting=True))
    assert [topology.deleting for topology in reopened().topologies.by_uid.values()] == [False]


def test_a_forgotten_topology_may_come_back_under_its_name(store: Store, reopened: Callable[[], Store]) -> None:
    (first,) = saved(store, a_group())
    with store.transaction() as unit:
        unit.topologies.forget(first)
        assert unit.topologies.get(first.uid) is None
        assert unit.topologies.named(WORLD, Kind.REPLICATION_GROUP, "orders") is None
        assert unit.topologies.owner_of(WORLD, "orders-001") is None
    again = replace(a_group(), uid="another")
    saved(store, again)
    assert list(reopened().topologies.by_uid) == ["another"]


def test_names_and_members_are_taken_once_in_each_world(store: Store) -> None:
    elsewhere = replace(a_group(), uid="elsewhere", world=OTHER_WORLD)
    saved(store, a_group(), elsewhere, a_cache_cluster("sessions"))
    with store.reading() as unit:
        owner = unit.topologies.owner_of(OTHER_WORLD, "orders-002")
        assert owner is not None
        assert owner.uid == "elsewhere"
        assert [topology.name for topology in unit.topologies.of(WORLD)] == ["orders", "sessions"]
        assert unit.topologies.owner_of(WORLD, "0001") is None  # a Memcached node is no cache cluster
        assert unit.topologies.owner_of(WORLD, "sessions") is not None
        assert unit.topologies.named(WORLD, Kind.CACHE_CLUSTER, "orders") is None


@pytest.mark.parametrize("twin", [a_group(uid="twin"), a_cache_cluster("orders-002", engine="valkey")])
def test_the_database_refuses_what_is_taken_even_if_nobody_looked(store: Store, twin: Topology) -> None:
    saved(store, a_group())
    with pytest.raises(Exception, match=r"(UNIQUE|unique) constraint"):
        saved(store, twin)
    assert [topology.uid for topology in everything(store)["topologies"]] == [a_group().uid]


def test_a_member_that_left_gives_its_name_back(store: Store, reopened: Callable[[], Store]) -> None:
    (group,) = saved(store, a_group())
    nodes = group.node_groups[0].nodes
    saved(store, group.with_group(replace(group.node_groups[0], nodes=nodes[:2])))
    saved(store, a_cache_cluster("orders-003", engine="valkey"))
    assert len(reopened().topologies.by_uid) == 2


def test_a_released_node_keeps_its_name_under_another_kind(store: Store, url: str) -> None:
    (group,) = saved(store, a_group(nodes=1))
    saved(store, replace(group, kind=Kind.CACHE_CLUSTER, name="orders-001"))
    with store.reading() as unit:
        assert unit.topologies.named(WORLD, Kind.REPLICATION_GROUP, "orders") is None
        assert unit.topologies.named(WORLD, Kind.CACHE_CLUSTER, "orders-001") is not None
        assert unit.topologies.owner_of(WORLD, "orders-001") is not None
    assert rows(url, "SELECT kind, name FROM topologies") == [("cache-cluster", "orders-001")]
    assert rows(url, "SELECT cache_cluster FROM members") == [("orders-001",)]


def test_every_field_of_a_topology_survives(store: Store, reopened: Callable[[], Store]) -> None:
    rebooting = a_group(reader_backends=("127.101.0.1:6379",), subnet_group="ours", retained="orders-001").with_reboot_of(["orders-002"])
    rich = rebooting.with_group(replace(rebooting.node_groups[0], roll=3, roll_for="orders-001/1", roll_at=NOW, home="orders-003"))
    (written,) = saved(store, rich)
    (read,) = reopened().topologies.by_uid.values()
    assert read == written
    assert [node.restart for node in read.nodes] == [None, Restart.ASKED, None]


# ---- reports


def reports_written(url: str) -> list[Any]:
    written = rows(url, "SELECT document, seen_at FROM reports ORDER BY key")
    return [(json.loads(document)["offset"], seen_at) for document, seen_at in written]


def put(store: Store, seen: SeenNode, minutes: float = 0) -> bool:
    with store.transaction() as unit:
        return unit.reports.put_node(KEY, seen, NOW + timedelta(minutes=minutes))


def test_an_offset_alone_is_seen_at_once_but_not_written(store: Store, url: str) -> None:
    assert put(store, SEEN)
    first = reports_written(url)
    assert not put(store, replace(SEEN, offset=200), minutes=1)
    assert everything(store)["reported"].nodes["orders-001"].offset == 200
    assert everything(store)["times"] == {"orders-001": NOW}
    assert reports_written(url) == first
    assert first[0][0] == 100


def test_that_a_primary_has_yielded_is_news_but_is_not_written(store: Store, reopened: Callable[[], Store], url: str) -> None:
    put(store, SEEN)
    first = reports_written(url)
    assert put(store, replace(SEEN, offset=200, yielded_to="heir"), minutes=1)
    assert everything(store)["reported"].nodes["orders-001"].yielded_to == "heir"
    assert everything(store)["times"] == {"orders-001": NOW + timedelta(minutes=1)}
    assert reports_written(url) == first
    assert everything(reopened())["reported"].nodes["orders-001"].yielded_to is None
    assert put(store, SEEN, minutes=2)


@pytest.mark.parametrize("news", [{"offset": 0}, {"phase": DEAD}, {"offset": 300, "epoch": 2}, {"proven": frozenset()}])
def test_anything_else_is_written(store: Store, reopened: Callable[[], Store], news: dict[str, Any]) -> None:
    put(store, SEEN)
    assert put(store, replace(SEEN, **news), minutes=1)
    again = everything(reopened())
    assert again["reported"].nodes == {"orders-001": replace(SEEN, **news)}
    assert again["times"] == {"orders-001": NOW + timedelta(minutes=1)}


def test_one_unit_may_take_several_reports_on_a_node(store: Store, reopened: Callable[[], Store]) -> None:
    with store.transaction() as unit:
        assert unit.reports.put_node(KEY, SEEN, NOW)
        assert unit.reports.put_node(KEY, replace(SEEN, phase=DEAD), NOW)
        assert unit.reports.put_node(KEY, replace(SEEN, offset=101), NOW)
        assert not unit.reports.put_node(KEY, replace(SEEN, offset=102), NOW)
    assert everything(store)["reported"].nodes == {"orders-001": replace(SEEN, offset=102)}
    assert everything(store)["times"] == {"orders-001": NOW}
    assert everything(reopened())["reported"].nodes == {"orders-001": replace(SEEN, offset=101)}


def test_what_was_forgotten_may_be_seen_again(store: Store, reopened: Callable[[], Store]) -> None:
    put(store, SEEN)
    with store.transaction() as unit:
        unit.reports.forget(KEY)
        assert unit.reports.put_node(KEY, SEEN, NOW)
    assert everything(reopened())["reported"].nodes == {"orders-001": SEEN}
    with store.transaction() as unit:
        unit.reports.forget(KEY)
    assert everything(store)["reported"].nodes == {}
    assert everything(reopened())["times"] == {}


def test_a_route_that_says_the_same_is_not_news(store: Store) -> None:
    with store.transaction() as unit:
        assert unit.reports.put_route("uid.reader", SeenRoute(True), NOW)
    with store.transaction() as unit:
        assert not unit.reports.put_route("uid.reader", SeenRoute(True), NOW)
        assert unit.reports.put_route("uid.reader", SeenRoute(False), NOW)


# ---- agents


def test_an_agent_is_known_as_it_introduced_itself_last(store: Store, reopened: Callable[[], Store]) -> None:
    newest = an_agent("agent-a", "us-east-1a").model_copy(update={"host": "box"})
    with store.transaction() as unit:
        unit.agents.put(an_agent("agent-b", "us-east-1b"))
        unit.agents.put(an_agent("agent-a", "us-east-1a"))
        unit.agents.put(newest)  # twice in one unit
    with store.transaction() as unit:
        unit.agents.put(newest)
    assert everything(reopened())["agents"] == [newest, an_agent("agent-b", "us-east-1b")]


class Ticks:
    """A clock that tests set."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_who_is_heard() -> None:
    clock = Ticks()
    heartbeats = Heartbeats(clock)
    assert not heartbeats.is_heard("agent-a")
    assert heartbeats.hear("agent-a")
    clock.now += HEARD_WITHIN
    assert heartbeats.is_heard("agent-a")
    assert not heartbeats.hear("agent-a")
    clock.now += HEARD_WITHIN + 0.001
    assert not heartbeats.is_heard("agent-a")
    assert heartbeats.hear("agent-a")  # it had been silent


def test_an_agent_counts_as_heard_for_longer_than_its_lease_and_the_beat_after_it() -> None:
    assert HEARD_WITHIN > LEASE + BEAT


def test_each_silence_has_a_name_of_its_own() -> None:
    clock = Ticks()
    heartbeats = Heartbeats(clock)
    assert heartbeats.last_word("agent-a") is None  # it was never heard, so it is not silent since anything
    names = set()
    for _ in range(2):
        heartbeats.hear("agent-a")
        assert heartbeats.last_word("agent-a") is None
        clock.now += HEARD_WITHIN + 1
        first = heartbeats.last_word("agent-a")
        clock.now += 5
        assert heartbeats.last_word("agent-a") == first
        names.add(first)
    assert len(names - {None}) == 2


def test_what_nobody_could_hear_counts_for_nobody() -> None:
    clock = Ticks()
    heartbeats = Heartbeats(clock)
    heartbeats.hear("agent-a")
    clock.now += 1
    heartbeats.hear("agent-b")
    clock.now += 60
    heartbeats.forgive(60)
    assert heartbeats.is_heard("agent-a")
    clock.now += HEARD_WITHIN - 1 + 0.001
    assert (heartbeats.is_heard("agent-a"), heartbeats.is_heard("agent-b")) == (False, True)


# ---- addresses


def test_no_address_is_drawn_twice(store: Store, reopened: Callable[[], Store]) -> None:
    with store.transaction() as unit:
        drawn = [unit.addresses.draw(NETWORK, f"key-{number}") for number in range(3)]
    with store.transaction() as unit:
        drawn += [unit.addresses.draw(NETWORK, f"key-{number}") for number in range(3, 5)]
    with reopened().transaction() as unit:
        drawn.append(unit.addresses.draw(NETWORK, "key-5"))
        with pytest.raises(NoAddressLeftError, match=NETWORK):
            unit.addresses.draw(NETWORK, "key-6")
    assert drawn == [f"127.101.0.{number}" for number in range(1, 7)]


def test_an_address_given_back_is_drawn_again_and_only_that(store: Store) -> None:
    with store.transaction() as unit:
        for key in ("one", "two", "two", "three"):
            unit.addresses.draw(NETWORK, key)
    with store.transaction() as unit:
        unit.addresses.give_back("two")
        unit.addresses.give_back("nobody's")
        assert [unit.addresses.draw(NETWORK, "new") for _ in range(3)] == ["127.101.0.2", "127.101.0.3", "127.101.0.5"]


def test_a_blocked_address_is_not_drawn_even_when_its_key_gives_all_back(store: Store, reopened: Callable[[], Store]) -> None:
    with store.transaction() as unit:
        unit.addresses.draw(NETWORK, "one")
        unit.addresses.block("127.101.0.1")
        unit.addresses.block("127.101.0.2")
        assert unit.addresses.draw(NETWORK, "one") == "127.101.0.3"
        unit.addresses.give_back("one")
    with reopened().transaction() as unit:
        assert unit.addresses.draw(NETWORK, "new") == "127.101.0.3"


# ---- small records


def test_tags_are_replaced_as_a_whole(store: Store, reopened: Callable[[], Store]) -> None:
    with store.transaction() as unit:
        unit.tags.put(ARN, {"b": "2", "a": "1"})
        unit.tags.put(f"{ARN}-2", {"c": "3"})
    with store.transaction() as unit:
        unit.tags.put(ARN, {"a": "9"})
    with reopened().reading() as unit:
        assert (unit.tags.of(ARN), unit.tags.of(f"{ARN}-2"), unit.tags.of("other")) == ({"a": "9"}, {"c": "3"}, {})
    with store.transaction() as unit:
        unit.tags.put(ARN, {})
        assert unit.tags.of(ARN) == {}


def test_events_are_told_newest_first_of_one_world_and_old_ones_pruned(store: Store) -> None:
    with store.transaction() as unit:
        for minute, world in enumerate((WORLD, OTHER_WORLD, WORLD)):
            unit.events.say(Event(world, "cache-cluster", f"c{minute}", "happened", NOW + timedelta(minutes=minute)))

    def sources(**asked: Any) -> list[str]:
        with store.reading() as unit:
            found = unit.events.between(WORLD, NOW, NOW + timedelta(minutes=9), asked.get("of"), asked.get("source"))
            return [event.source for event in found]

    assert sources() == ["c2", "c0"]
    assert sources(source="c0") == ["c0"]
    assert sources(of="replication-group") == []
    with store.transaction() as unit:
        unit.events.prune(NOW + timedelta(minutes=1))
    assert sources() == ["c2"]


def test_subnet_groups_are_saved_over_and_forgotten(store: Store) -> None:
    with store.transaction() as unit:
        unit.subnet_groups.save(SUBNETS)
        unit.subnet_groups.save(replace(SUBNETS, description="changed"))
        unit.subnet_groups.save(replace(SUBNETS, world=OTHER_WORLD))
    with store.transaction() as unit:
        assert [group.description for group in unit.subnet_groups.of(WORLD)] == ["changed"]
        unit.subnet_groups.forget(SUBNETS)
        assert unit.subnet_groups.get(WORLD, "ours") is None
        assert unit.subnet_groups.get(OTHER_WORLD, "ours") is not None


def test_parameter_groups_are_saved_over_and_forgotten(store: Store, reopened: Callable[[], Store]) -> None:
    with store.transaction() as unit:
        for group in (PARAMETERS, replace(PARAMETERS, values=()), replace(PARAMETERS, name="a"), replace(PARAMETERS, world=OTHER_WORLD)):
            unit.parameter_groups.save(group)
    with reopened().transaction() as unit:
        assert unit.parameter_groups.of(WORLD) == [replace(PARAMETERS, name="a"), replace(PARAMETERS, values=())]
        unit.parameter_groups.forget(PARAMETERS)
        assert unit.parameter_groups.get(WORLD, "mine") is None
        assert unit.parameter_groups.get(OTHER_WORLD, "mine") is not None


def test_a_fact_is_replaced(store: Store) -> None:
    with store.transaction() as unit:
        unit.facts.put("block", "1")
        unit.facts.put("block", "2")
    with store.reading() as unit:
        assert (unit.facts.get("block"), unit.facts.get("other")) == ("2", None)


# ---- who hears of it


def test_listeners_are_told_once_for_each_commit_what_it_touched(store: Store) -> None:
    told: list[Committed] = []
    store.listen(told.append)
    happened = Event(WORLD, "replication-group", "orders", "created", NOW)
    with store.transaction() as unit:
        group = unit.topologies.save(a_group())
        unit.topologies.save(replace(group, modifying=True))
        unit.events.say(happened)
        unit.woken.add("another")
        assert told == []
    assert told == [Committed(frozenset({group.uid, "another"}), (happened,))]
    with store.transaction() as unit:
        unit.topologies.forget(replace(group, version=2))
    assert told[1:] == [Committed(frozenset({group.uid}), ())]


def test_a_listener_finds_what_it_is_told_of_and_may_write_itself(store: Store) -> None:
    found: list[bool] = []

    def look(committed: Committed) -> None:
        if committed.topologies:
            with store.transaction() as unit:
                found.extend(unit.topologies.get(uid) is not None for uid in committed.topologies)

    store.listen(look)
    saved(store, a_group())
    assert found == [True]


def test_listeners_hear_nothing_of_what_raised(store: Store) -> None:
    told: list[Committed] = []
    store.listen(told.append)
    with pytest.raises(ZeroDivisionError), store.transaction() as unit:
        unit.topologies.save(a_group())
        raise ZeroDivisionError
    assert told == []


# ---- at the same time


def test_threads_that_write_at_once_lose_nothing(store: Store, reopened: Callable[[], Store]) -> None:
    (counted,) = saved(store, a_group(port=0))
    threads, each = 4, 25
    together = threading.Barrier(threads)

    def write(name: int) -> None:
        together.wait()
        for number in range(each):
            with store.transaction() as unit:
                mine = unit.topologies.get(counted.uid)
                assert mine is not None
                unit.topologies.save(replace(mine, port=mine.port + 1))
                unit.addresses.draw("127.101.0.0/16", f"{name}-{number}")
                unit.tags.put(ARN, {"last": str(name)})

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(write, range(threads)))
    for found in (everything(store), everything(reopened())):
        assert [topology.port for topology in found["topologies"]] == [threads * each]
        assert len(set(found["addresses"].values())) == len(found["addresses"]) == threads * each


def test_a_reader_during_a_long_write_sees_the_old_state_and_does_not_wait(store: Store) -> None:
    with store.transaction() as unit:
        write_everything(unit)
    before = everything(store)
    with store.transaction() as unit, ThreadPoolExecutor(1) as elsewhere:
        group = unit.topologies.get(a_group().uid)
        assert group is not None
        unit.topologies.save(replace(group, modifying=True))
        unit.tags.put(ARN, {"team": "other"})
        unit.facts.put("id", "xyz")
        unit.reports.put_node(KEY, replace(SEEN, phase=DEAD), NOW)
        assert elsewhere.submit(everything, store).result(timeout=5) == before
    after = everything(store)
    assert (after["fact"], after["tags"], after["topologies"][0].modifying) == ("xyz", {"team": "other"}, True)


def test_a_topology_that_is_saved_again_and_again_is_never_unknown_to_readers(store: Store) -> None:
    (group,) = saved(store, a_group())
    done = threading.Event()

    def read() -> int:
        reads = 0
        while not done.is_set():
            with store.reading() as unit:
                assert unit.topologies.get(group.uid) is not None
                assert unit.topologies.named(WORLD, Kind.REPLICATION_GROUP, "orders") is not None
                assert unit.topologies.owner_of(WORLD, "orders-001") is not None
            reads += 1
        return reads

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # threads are interrupted anywhere
    try:
        with ThreadPoolExecutor(2) as elsewhere:
            reading = [elsewhere.submit(read) for _ in range(2)]
            for _ in range(20_000):
                store.topologies.put(group)
            done.set()
            assert all(each.result(timeout=10) > 100 for each in reading)
    finally:
        done.set()
        sys.setswitchinterval(interval)


# ---- injected faults


def a_fault(name: str, world: World = WORLD, minutes: int = 0, **fields: Any) -> InjectedFault:
    began = NOW + timedelta(minutes=minutes)
    usual: dict[str, Any] = {"kind": FaultKind.CUT, "target": Target(zones=("us-east-1a", "us-east-1b"))}
    return InjectedFault(id=name, world=world, started_at=began, ends_at=began + timedelta(minutes=1), **usual | fields)


def test_a_fault_is_found_by_its_world_and_by_everybody_while_it_is_active(store: Store, reopened: Callable[[], Store]) -> None:
    struck = StruckNode("orders-001", KEY, "agent-a", 3)
    whole = a_fault("f1", kind=FaultKind.HANG, target=Target(cache_cluster="orders-001"), nodes=(struck,), problems=("one",),
                    sources=(("cache-cluster", "orders-001"),))  # fmt: skip
    later, foreign = a_fault("f2", minutes=5), a_fault("f3", OTHER_WORLD, minutes=1)
    with store.transaction() as unit:
        for fault in (whole, later, foreign):
            unit.faults.save(fault)
    with reopened().reading() as unit:
        assert unit.faults.of(WORLD) == [later, whole]
        assert unit.faults.active() == [whole, foreign, later]
        assert unit.faults.get("f3") == foreign
        assert unit.faults.get("f4") is None


def test_an_ended_fault_is_forgotten_after_a_while(store: Store) -> None:
    ended, fresh, active = (a_fault(name) for name in ("f1", "f2", "f3"))
    with store.transaction() as unit:
        unit.faults.save(active)
        for fault, minutes in ((ended, 1), (fresh, 9)):
            unit.faults.save(fault)
            unit.faults.save(fault.ended(NOW + timedelta(minutes=minutes), "it is over"))
    with store.transaction() as unit:
        unit.faults.forget_ended(NOW + timedelta(minutes=5))
        assert [fault.id for fault in unit.faults.of(WORLD)] == ["f3", "f2"]
        assert unit.faults.active() == [active]


def test_a_commit_says_whether_it_changed_a_fault(store: Store) -> None:
    heard: list[bool] = []
    store.listen(lambda committed: heard.append(committed.faults))
    with store.transaction() as unit:
        unit.faults.save(a_fault("f1"))
    saved(store, a_group())
    assert heard == [True, False]


def test_a_database_from_before_faults_gains_their_table(url: str) -> None:
    old = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    with old.begin() as connection:
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", str(MIGRATIONS))
        command.upgrade(config, "0002")
    assert "faults" not in shape_of(old)
    old.dispose()
    migrated = Store(url)
    with migrated.transaction() as unit:
        unit.faults.save(a_fault("f1"))
        assert unit.faults.active() == [a_fault("f1")]
    migrated.close()
