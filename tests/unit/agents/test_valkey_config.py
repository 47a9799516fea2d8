"""What a Valkey or Redis is started with, by engine and version; and that real ones take it and do as it says."""

from __future__ import annotations

import itertools
import os
import re
import resource
import stat
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis
from waiting import wait_until

from agents.engines.catalogue import find_binaries
from agents.engines.engine import Configured
from agents.engines.ping import answers_ping
from agents.engines.reach import own_reach
from agents.engines.valkey import ValkeyEngine
from agents.engines.valkey_config import at_start, changes, directives, reached, translated, version_of, write_config
from agents.engines.valkey_session import ValkeySession
from api_schemas.agent.configuration import Configuration
from api_schemas.agent.node import EngineBinary, NodeSpec, Peer, Role
from api_schemas.faults import InvalidParameterValue
from controlplane.domain.binaries import best_binary
from controlplane.domain.engine_versions import ENGINE_VERSIONS
from controlplane.domain.parameter_group import ParameterGroup
from controlplane.domain.parameters import Parameter, parameters_of, values_of
from controlplane.domain.topology import Binary, World

ENDPOINT = "127.100.0.1"
ADDRESSES = (f"127.99.{os.getpid() % 250}.{number}" for number in itertools.count(1))
PORT = 16380


def program(named: str) -> EngineBinary:
    """ "valkey 9.1.2" as a program. """
    engine, version = named.split()
    return EngineBinary(engine=engine, version=version, path=f"/opt/{engine}-server")


def a_spec(binary: EngineBinary | str = "valkey 9.1.2", **fields: object) -> NodeSpec:
    usual: dict[str, object] = {
        "key": "uid.n1", "generation": 1, "zone": "us-east-1a", "address": "127.101.0.1", "port": PORT, "role": Role.REPLICA, "epoch": 1,
        "follows": Peer(key="uid.n2", address="127.102.0.1", port=PORT, boot=1), "holds": [ENDPOINT], "memory": 2**26,
    }  # fmt: skip
    return NodeSpec.model_validate({**usual, "binary": program(binary) if isinstance(binary, str) else binary, **fields})


def config(binary: str = "valkey 9.1.2", **parameters: str) -> dict[str, str]:
    return dict(directives(a_spec(binary, parameters=parameters), Path("/data")))


def options(binary: str, parameters: Mapping[str, str]) -> list[tuple[str, str]]:
    return list(translated(parameters, program(binary)))


# ---- every engine


@pytest.mark.parametrize(
    ("fields", "demanded"),
    [
        ({}, {"min-replicas-to-write": "1"}),
        ({"parameters": {"min-replicas-to-write": "0"}}, {"min-replicas-to-write": "1"}),
        ({"parameters": {"min-replicas-to-write": "2"}}, {"min-replicas-to-write": "2"}),
        ({"parameters": {"min-slaves-to-write": "0"}}, {"min-slaves-to-write": "1"}),
        ({"role": Role.PRIMARY, "follows": None}, {}),
    ],
)
def test_a_starting_replica_takes_no_writes_whatever_the_parameter_group_says(fields: dict[str, object], demanded: dict[str, str]) -> None:
    """An engine starts as a primary, and is asked to follow another only later."""
    told = dict(directives(a_spec(**fields), Path("/data")))
    assert {name: value for name, value in told.items() if name.endswith("s-to-write")} == demanded


@pytest.mark.parametrize("binary", ["valkey 9.1.2", "valkey 8.1.8", "valkey 7.2.9", "redis 7.0.15"])
@pytest.mark.parametrize(
    ("directive", "value"),
    [
        ("bind", "127.101.0.1"),
        ("bind-source-addr", "127.101.0.1"),
        ("replica-announce-ip", "127.101.0.1"),
        ("port", str(PORT)),
        ("replica-announce-port", str(PORT)),
        ("maxmemory", str(2**26)),
        ("daemonize", "no"),
        ("save", '""'),
        ("appendonly", "no"),
        ("repl-diskless-sync-delay", "0"),
    ],
)
def test_every_engine_gets(binary: str, directive: str, value: str) -> None:
    assert config(binary)[directive] == value


@pytest.mark.parametrize(
    ("binary", "directive", "value"),
    [
        ("valkey 9.1.2", "repl-diskless-load", "swapdb"),
        ("valkey 9.1.2", "dual-channel-replication-enabled", "yes"),
        ("valkey 9.1.2", "availability-zone", "us-east-1a"),
        ("valkey 9.1.2", "repl-diskless-sync", None),
        ("valkey 8.1.8", "repl-diskless-load", None),
        ("valkey 8.1.8", "dual-channel-replication-enabled", None),
        ("valkey 8.1.8", "availability-zone", "us-east-1a"),
        ("valkey 7.2.9", "availability-zone", None),
        ("redis 7.0.15", "repl-diskless-sync", "no"),
        ("redis 7.0.15", "repl-diskless-load", None),
        ("redis 7.0.15", "availability-zone", None),
        ("redis 8.2.0", "availability-zone", None),  # a version number of another engine says nothing
    ],
)
def test_what_goes_with_engine_and_version(binary: str, directive: str, value: str | None) -> None:
    assert config(binary).get(directive) == value


@pytest.mark.parametrize(("version", "numbers"), [("9.1.2", (9, 1)), ("7.0.15", (7, 0)), ("8", (8, 0)), ("10.12", (10, 12))])
def test_a_version_is_its_major_and_minor(version: str, numbers: tuple[int, int]) -> None:
    assert version_of(EngineBinary(engine="valkey", version=version, path="/x")) == numbers


def test_a_directive_is_said_once_but_for_the_buffer_limits() -> None:
    said = [name for name, _ in directives(a_spec(parameters=values_of("valkey9", cluster_mode=False)), Path("/data"))]
    assert {name for name in said if said.count(name) > 1} <= {"client-output-buffer-limit"}


# ---- parameters


@pytest.mark.parametrize(
    ("binary", "parameter", "known"),
    [
        ("valkey 8.0.1", "extended-redis-compatibility", True),
        ("valkey 7.2.9", "extended-redis-compatibility", False),
        ("redis 7.0.15", "extended-redis-compatibility", False),
        ("valkey 8.1.8", "commandlog-reply-larger-than", True),
        ("valkey 8.0.1", "commandlog-reply-larger-than", False),
        ("redis 8.2.0", "commandlog-reply-larger-than", False),
        ("redis 7.0.15", "latency-tracking", True),
        ("redis 6.2.14", "latency-tracking", False),
        ("valkey 7.2.9", "latency-tracking", True),
        ("redis 6.2.14", "maxmemory-policy", True),
    ],
)
def test_what_a_program_does_not_know_is_left_out(binary: str, parameter: str, known: bool) -> None:
    assert options(binary, {parameter: "7"}) == ([(parameter, "7")] if known else [])


@pytest.mark.parametrize(
    "parameter",
    [
        "reserved-memory-percent", "cluster-enabled", "maxmemory", "appendonly", "rename-commands", "close-on-replica-write",
        "repl-timeout",
    ],
)  # fmt: skip
def test_what_is_the_services_own_is_left_out(parameter: str) -> None:
    assert options("valkey 9.1.2", {parameter: "7"}) == []


def test_values_are_handed_on_in_order_and_empty_ones_quoted() -> None:
    given = {"notify-keyspace-events": "", "maxmemory-policy": "allkeys-lru", "databases": "16"}
    expected = [("databases", "16"), ("maxmemory-policy", "allkeys-lru"), ("notify-keyspace-events", '""')]
    assert options("valkey 9.1.2", given) == expected


def buffer_limit(kind: str, *parts: str) -> dict[str, str]:
    return {f"client-output-buffer-limit-{kind}-{part}": "1" for part in parts} | {
        f"client-output-buffer-limit-{kind}-{part}": value
        for part, value in {"hard-limit": "33554432", "soft-limit": "8388608", "soft-seconds": "60"}.items()
        if part in parts
    }


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        (buffer_limit("pubsub", "hard-limit", "soft-limit", "soft-seconds"), ["pubsub 33554432 8388608 60"]),
        (buffer_limit("replica", "hard-limit", "soft-limit", "soft-seconds"), ["replica 33554432 8388608 60"]),
        (buffer_limit("slave", "hard-limit", "soft-limit", "soft-seconds"), ["slave 33554432 8388608 60"]),
        (
            buffer_limit("normal", "hard-limit", "soft-limit", "soft-seconds")
            | buffer_limit("pubsub", "hard-limit", "soft-limit", "soft-seconds"),
            ["normal 33554432 8388608 60", "pubsub 33554432 8388608 60"],
        ),
        (buffer_limit("replica", "soft-seconds"), []),  # two thirds of a directive are none
        ({}, []),
    ],
)
def test_three_parameters_make_one_buffer_limit(parameters: dict[str, str], said: list[str]) -> None:
    assert options("valkey 9.1.2", parameters) == [("client-output-buffer-limit", limit) for limit in said]


# ---- what a running engine is told

BUFFERS = buffer_limit("pubsub", "hard-limit", "soft-limit", "soft-seconds")


@pytest.mark.parametrize(
    ("present", "wanted", "told"),
    [
        ({"timeout": "0"}, {"timeout": "0"}, []),
        ({"timeout": "0", "lfu-decay-time": "1"}, {"timeout": "60", "lfu-decay-time": "1"}, [("timeout", "60")]),
        ({"notify-keyspace-events": "Ex"}, {"notify-keyspace-events": ""}, [("notify-keyspace-events", '""')]),
        (
            BUFFERS,
            {**BUFFERS, "client-output-buffer-limit-pubsub-soft-seconds": "30"},
            [("client-output-buffer-limit", "pubsub 33554432 8388608 30")],
        ),
        ({"databases": "16", "maxclients": "10"}, {"databases": "8", "maxclients": "20"}, []),  # only when it starts
        ({"close-on-replica-write": "yes"}, {"close-on-replica-write": "no"}, []),  # not the engine's
        ({"activedefrag": "no"}, {"activedefrag": "yes"}, [("activedefrag", "yes")]),
        ({"maxmemory-samples": "3"}, {"maxmemory-samples": "100"}, [("maxmemory-samples", "64")]),
        ({"slowlog-log-slower-than": "0"}, {"slowlog-log-slower-than": "-7"}, [("slowlog-log-slower-than", "-1")]),
    ],
)
def test_only_what_differs_is_told(present: dict[str, str], wanted: dict[str, str], told: list[tuple[str, str]]) -> None:
    spec = a_spec(parameters=wanted)
    assert changes(spec, Configuration(spec.memory, present)) == told


def test_memory_is_told_as_well() -> None:
    assert changes(a_spec(memory=2**27), Configuration(2**26)) == [("maxmemory", str(2**27))]


@pytest.mark.parametrize(
    ("present", "wanted", "refused", "runs_with"),
    [
        ({"timeout": "0"}, {"timeout": "60"}, [], {"timeout": "60"}),
        ({"timeout": "0", "a": "1"}, {"timeout": "60", "a": "2"}, [("timeout", "60")], {"timeout": "0", "a": "2"}),
        ({"databases": "16"}, {"databases": "8"}, [], {"databases": "16"}),
        ({"reserved-memory": "1"}, {}, [], {}),
        (
            BUFFERS,
            dict.fromkeys(BUFFERS, "1") | {"timeout": "60"},
            [("client-output-buffer-limit", "pubsub 1 1 1")],
            {**BUFFERS, "timeout": "60"},
        ),
    ],
)
def test_what_it_refused_it_does_not_run_with(
    present: dict[str, str], wanted: dict[str, str], refused: list[tuple[str, str]], runs_with: dict[str, str]
) -> None:
    spec = a_spec(parameters=wanted)
    assert reached(spec, Configuration(2**20, present), refused) == Configuration(spec.memory, runs_with)


def test_memory_that_it_refused_it_does_not_have() -> None:
    assert reached(a_spec(), Configuration(2**20), [("maxmemory", "1")]).memory == 2**20


def test_what_some_builds_refuse_is_not_told_when_they_start(tmp_path: Path) -> None:
    spec = a_spec(parameters={"activedefrag": "yes", "timeout": "60"})
    assert dict(directives(spec, tmp_path))["activedefrag"] == "no"
    assert at_start(spec) == Configuration(spec.memory, {"activedefrag": "no", "timeout": "60"})


# ---- the file


def test_only_its_owner_may_read_the_file(tmp_path: Path) -> None:
    former_mask = os.umask(0)
    try:
        path = write_config(a_spec(), tmp_path)
    finally:
        os.umask(former_mask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_that_others_could_read_is_closed_to_them(tmp_path: Path) -> None:
    (tmp_path / "engine.conf").write_text("old")
    (tmp_path / "engine.conf").chmod(0o644)
    path = write_config(a_spec(), tmp_path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "old" not in path.read_text()


def test_a_link_that_an_engine_has_laid_is_not_followed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "secret"
    elsewhere.write_text("root's")
    for name in ("engine.conf", "engine.log"):
        (tmp_path / name).symlink_to(elsewhere)
    path = write_config(a_spec(), tmp_path)
    assert not path.is_symlink()
    assert elsewhere.read_text() == "root's"
    assert ValkeyEngine().why_it_ended(tmp_path) is None


def test_no_endpoint_and_no_leader_is_in_the_file(tmp_path: Path) -> None:
    text = write_config(a_spec(parameters=values_of("valkey9", cluster_mode=False)), tmp_path).read_text()
    assert ENDPOINT not in text  # a second holder's start would fail
    assert "127.102.0.1" not in text
    assert "replicaof" not in text


# ---- real engines


SERVERS = [binary for binary in find_binaries() if binary.engine != "memcached"]


def families_served_by(binary: EngineBinary) -> list[str]:
    """The families of those versions that may be created and that this program would serve."""
    own = Binary(binary.engine, binary.version, binary.path)
    served = (each for each in ENGINE_VERSIONS if each.creatable and best_binary(each.engine, each.version, [own]))
    return list(dict.fromkeys(each.family for each in served))


PAIRS = [pytest.param(binary, family, id=f"{binary.engine}-{binary.version}-{family}")
         for binary in SERVERS for family in families_served_by(binary)]  # fmt: skip


def possible(name: str, value: str) -> str:
    """An engine lowers ``maxclients`` by itself to what this host lets a process open, less 32 files of its own."""
    _, files = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowered = name == "maxclients" and files != resource.RLIM_INFINITY
    return str(min(int(value), files - 32)) if lowered else value


@contextmanager
def started(spec: NodeSpec, folder: Path) -> Iterator[redis.Redis]:
    """The spec's engine as a process, and a connection to it."""
    folder.mkdir(exist_ok=True)
    process = subprocess.Popen([spec.binary.path, str(write_config(spec, folder))], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    client = redis.Redis(spec.address, spec.port, decode_responses=True)
    try:
        wait_until(lambda: answers_ping(own_reach(spec)) or process.poll() is not None)
        if process.poll() is not None:
            assert process.stdout is not None
            pytest.fail(process.stdout.read().decode())
        yield client
    finally:
        client.close()
        process.kill()
        process.communicate()


@pytest.mark.parametrize(("binary", "family"), PAIRS)
def test_an_engine_runs_with_what_its_parameter_group_says(binary: EngineBinary, family: str, tmp_path: Path) -> None:
    parameters = values_of(family, cluster_mode=False)
    spec = a_spec(binary, address=next(ADDRESSES), role=Role.PRIMARY, follows=None, parameters=parameters)
    asked = [(name, value) for name, value in translated(parameters, binary) if name != "client-output-buffer-limit"]
    with started(spec, tmp_path) as engine:
        found = {name: engine.config_get(name).get(name) for name, _ in asked}
        assert found == {name: possible(name, value.strip('"')) for name, value in asked}
        assert len(found) > 20
        limits = str(engine.config_get("client-output-buffer-limit")["client-output-buffer-limit"])
        for name, value in translated(parameters, binary):
            if name == "client-output-buffer-limit":
                assert value.replace("replica", "slave") in limits.replace("replica", "slave")


def others(parameter: Parameter) -> list[str]:
    """Allowed values that are not the default: the words, the ends of ranges, and what lies just above the default."""
    found = [word for word in parameter.allowed.split(",") if word]
    if parameter.data_type == "integer":
        ends = re.findall(r"(?:(?<=,)|^)-?[0-9]+|[0-9]+$", parameter.allowed)
        found = [*ends, str(int(parameter.value or 0) + 1), str(2**31 - 1)]
    if parameter.name == "notify-keyspace-events":
        found = ["KEA", "Ex"]
    return [value for value in dict.fromkeys(found) if value != (parameter.value or "") and parameter.allows(value)]


def as_shown(name: str, value: str) -> str:
    """What an engine answers that was told a value. It tells the letters of events in an order of its own, and all of them as ``A``."""
    return {"Ex": "xE", "KEA": "AKE"}.get(value, value.strip('"')) if name == "notify-keyspace-events" else value.strip('"')


@pytest.mark.parametrize(("binary", "family"), PAIRS)
def test_a_running_engine_takes_every_value_that_a_caller_may_set(binary: EngineBinary, family: str, tmp_path: Path) -> None:
    usual = values_of(family, cluster_mode=False)
    group = ParameterGroup(World("000000000000", "us-east-1"), "mine", family, "d")
    settable = [each for each in parameters_of(family) if each.modifiable and _may_be(group, each) and each.name != "activedefrag"]
    spec = a_spec(binary, address=next(ADDRESSES), parameters=usual)
    runs_with = at_start(spec)
    with started(spec, tmp_path) as engine:
        session = ValkeySession(spec)
        for choice in range(max(len(others(each)) for each in settable) + 1):
            chosen = {each.name: [*others(each), each.value or ""][choice % (len(others(each)) + 1)] for each in settable}
            wanted = spec.model_copy(update={"parameters": {**usual, **chosen}, "memory": spec.memory + choice})
            configured = session.configure(wanted, runs_with)
            assert configured == Configured(wanted.configuration)
            runs_with = configured.runs_with
            told = [each for each in translated(chosen, binary) if each[0] != "client-output-buffer-limit"]
            found = {name: engine.config_get(name).get(name) for name, _ in told}
            assert found == {name: as_shown(name, value) for name, value in told}
            assert engine.config_get("maxmemory")["maxmemory"] == str(wanted.memory)
        assert len(settable) > 20
        session.close()


@pytest.mark.parametrize(("binary", "family"), PAIRS)
def test_an_engine_starts_with_every_value_that_a_caller_may_set(binary: EngineBinary, family: str, tmp_path: Path) -> None:
    group = ParameterGroup(World("000000000000", "us-east-1"), "mine", family, "d")
    settable = [each for each in parameters_of(family, custom=True) if each.modifiable and _may_be(group, each)]
    for choice in range(3):
        chosen = {each.name: others(each)[min(choice, len(others(each)) - 1)] for each in settable} | {"databases": "100"}
        values = {**values_of(family, cluster_mode=False), **chosen}
        spec = a_spec(binary, address=next(ADDRESSES), role=Role.PRIMARY, follows=None, parameters=values)
        with started(spec, tmp_path / str(choice)) as engine:
            assert engine.config_get("databases")["databases"] == "100"


def _may_be(group: ParameterGroup, parameter: Parameter) -> bool:
    """Whether it can be anything but its default here."""
    try:
        return bool([group.with_values({parameter.name: value}) for value in others(parameter)])
    except InvalidParameterValue:
        return False


@pytest.mark.parametrize("binary", [pytest.param(binary, id=f"{binary.engine}-{binary.version}") for binary in SERVERS])
def test_what_an_engine_refuses_is_told_and_the_rest_is_taken(binary: EngineBinary, tmp_path: Path) -> None:
    usual = {"timeout": "0", "maxmemory-policy": "noeviction"}
    spec = a_spec(binary, address=next(ADDRESSES), parameters=usual)
    with started(spec, tmp_path) as engine:
        session = ValkeySession(spec)
        wanted = spec.model_copy(update={"parameters": {"timeout": "60", "maxmemory-policy": "nonsense"}})
        configured = session.configure(wanted, spec.configuration)
        assert configured.runs_with.parameters == {"timeout": "60", "maxmemory-policy": "noeviction"}
        assert configured.refused is not None
        assert configured.refused.startswith("it refuses maxmemory-policy nonsense: ")
        assert engine.config_get("timeout")["timeout"] == "60"
        assert session.observe().run_id  # and the conversation goes on
        session.close()


@pytest.mark.parametrize("binary", [pytest.param(binary, id=f"{binary.engine}-{binary.version}") for binary in SERVERS])
def test_an_engine_runs_as_its_spec_says_in_a_folder_of_any_name(binary: EngineBinary, tmp_path: Path) -> None:
    folder = tmp_path / 'my "data" folder'
    spec = a_spec(binary, address=next(ADDRESSES))
    with started(spec, folder) as engine:
        assert engine.config_get("maxmemory")["maxmemory"] == str(spec.memory)
        assert engine.config_get("bind")["bind"] == spec.address
        assert engine.config_get("dir")["dir"] == str(folder)
        assert engine.config_get("save")["save"] == ""
        assert (folder / "engine.log").exists()


def test_a_real_engine_was_found() -> None:
    assert SERVERS
    assert PAIRS
