"""Parameters: what each family has, what a value may be, and what the default groups are."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from api_schemas.faults import InvalidParameterCombination, InvalidParameterValue
from controlplane.domain.engine_versions import ENGINE_VERSIONS
from controlplane.domain.node_types import NODE_TYPES
from controlplane.domain.parameters import (
    CONDITIONALLY_MODIFIABLE,
    DEFAULT_GROUPS,
    FAMILIES,
    Parameter,
    default_group_for,
    family,
    node_type_parameters,
    parameters_of,
    values_of,
)

KEY_VALUE = [each.name for each in FAMILIES if each.engine != "memcached"]
MEMCACHED = [each.name for each in FAMILIES if each.engine == "memcached"]
EVERY = KEY_VALUE + MEMCACHED


def parameter(of: str, name: str, *, custom: bool = False) -> Parameter:
    """The one parameter of that name; fails when there is none."""
    return next(each for each in parameters_of(of, custom=custom) if each.name == name)


def names(of: str) -> set[str]:
    return {each.name for each in parameters_of(of)}


# ---- Families -----------------------------------------------------------------------------------------------------------


def test_the_families_are_those_of_the_engine_versions() -> None:
    assert {(each.engine, each.name) for each in FAMILIES} == {(each.engine, each.family) for each in ENGINE_VERSIONS}


@pytest.mark.parametrize("name", ["redis8", "redis6", "valkey", "memcached1.7", "default.redis7", ""])
def test_an_unknown_family_is_refused(name: str) -> None:
    with pytest.raises(InvalidParameterValue, match=f"CacheParameterGroupFamily {name} is not a valid") as refused:
        family(name)
    assert "redis7" in str(refused.value)
    with pytest.raises(InvalidParameterValue):
        parameters_of(name)


# ---- What every family holds to -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("of", EVERY)
def test_names_are_in_alphabetical_order_and_unique(of: str) -> None:
    listed = [each.name for each in parameters_of(of)]
    assert listed == sorted(set(listed))
    assert not set(listed) & {each.name for each in node_type_parameters(of)}


@pytest.mark.parametrize("of", EVERY)
def test_every_default_is_a_value_that_is_allowed(of: str) -> None:
    outside = {each.name for each in parameters_of(of) if each.value is not None and not each.allows(each.value)}
    # 0 is shown although it cannot be set: it stands for the engine's own default.
    assert outside == ({"cluster-databases"} if of == "valkey9" else set())


@pytest.mark.parametrize("of", EVERY)
def test_every_parameter_is_described_in_one_sentence(of: str) -> None:
    described = {each.name: each.description for each in parameters_of(of)}
    described |= {each.name: each.description for each in node_type_parameters(of)}
    assert [name for name, text in described.items() if not (text.endswith(".") and 15 < len(text) < 130)] == []


@pytest.mark.parametrize("of", EVERY)
def test_types_and_changes_are_the_words_the_service_uses(of: str) -> None:
    assert {each.data_type for each in parameters_of(of)} <= {"string", "integer", "boolean", "float"}
    assert {each.change_type for each in parameters_of(of)} <= {"immediate", "requires-reboot"}


@pytest.mark.parametrize("of", KEY_VALUE)
def test_switches_of_redis_and_valkey_are_strings(of: str) -> None:
    # Ansible's module knows no other types than these two.
    assert {each.data_type for each in parameters_of(of)} == {"string", "integer"}


@pytest.mark.parametrize("of", KEY_VALUE)
def test_whatever_may_be_changed_in_a_default_group_takes_effect_at_once(of: str) -> None:
    assert {each.change_type for each in parameters_of(of) if each.modifiable} == {"immediate"}


@pytest.mark.parametrize("of", MEMCACHED)
def test_memcached_takes_every_change_when_it_starts(of: str) -> None:
    assert {each.change_type for each in parameters_of(of)} == {"requires-reboot"}


@pytest.mark.parametrize("of", KEY_VALUE)
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("maxmemory-policy", "volatile-lru"),
        ("timeout", "0"),
        ("databases", "16"),
        ("appendonly", "no"),
        ("maxclients", "65000"),
        ("slowlog-log-slower-than", "10000"),
        ("set-max-intset-entries", "512"),
    ],
)
def test_every_redis_and_valkey_has(of: str, name: str, value: str) -> None:
    assert values_of(of, cluster_mode=False)[name] == value


@pytest.mark.parametrize("of", MEMCACHED)
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_item_size", "1048576"),
        ("chunk_size_growth_factor", "1.25"),
        ("binding_protocol", "auto"),
        ("memcached_connections_overhead", "100"),
        ("config_size_max", "65536"),
        ("idle_timeout", "0"),
    ],
)
def test_every_memcached_has(of: str, name: str, value: str) -> None:
    assert values_of(of, cluster_mode=False)[name] == value


# ---- What came, went and changed ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "first", "last"),
    [
        ("hash-max-ziplist-entries", "redis2.6", "redis6.x"),
        ("hash-max-listpack-entries", "redis7", "valkey9"),
        ("list-max-ziplist-value", "redis2.6", "redis2.8"),
        ("list-max-ziplist-size", "redis3.2", "redis6.x"),
        ("close-on-slave-write", "redis2.8", "redis4.0"),
        ("close-on-replica-write", "redis5.0", "valkey9"),
        ("min-slaves-to-write", "redis2.8", "redis4.0"),
        ("min-replicas-to-write", "redis5.0", "valkey9"),
        ("client-output-buffer-limit-slave-soft-seconds", "redis2.6", "redis4.0"),
        ("client-output-buffer-limit-replica-soft-seconds", "redis5.0", "valkey9"),
        ("lazyfree-lazy-eviction", "redis4.0", "valkey7"),
        ("lazyfree-lazy-user-del", "redis6.x", "valkey7"),
        ("lua-replicate-commands", "redis5.0", "redis5.0"),
        ("reserved-memory", "redis2.6", "redis2.8"),
        ("reserved-memory-percent", "redis3.2", "valkey9"),
        ("cluster-enabled", "redis3.2", "valkey9"),
        ("repl-timeout", "redis2.8", "redis4.0"),
        ("activerehashing", "redis2.6", "redis6.x"),
        ("activedefrag", "redis4.0", "valkey9"),
        ("rename-commands", "redis5.0", "valkey9"),
        ("acl-pubsub-default", "redis6.x", "valkey9"),
        ("latency-tracking", "redis7", "valkey9"),
        ("extended-redis-compatibility", "valkey8", "valkey9"),
        ("cluster-databases", "valkey9", "valkey9"),
        ("expirezero_does_not_evict", "memcached1.4", "memcached1.4"),
        ("modern", "memcached1.4", "memcached1.4"),
        ("inline_ascii_resp", "memcached1.5", "memcached1.5"),
        ("no_modern", "memcached1.5", "memcached1.6"),
        ("slab_automove", "memcached1.4", "memcached1.6"),
    ],
)
def test_a_parameter_is_in_these_families_and_no_others(name: str, first: str, last: str) -> None:
    having = [of for of in EVERY if name in names(of)]
    assert having == EVERY[EVERY.index(first) : EVERY.index(last) + 1]


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("tcp-keepalive", {"redis2.8": "0", "redis3.2": "300", "valkey9": "300"}),
        ("repl-backlog-size", {"redis7": "1048576", "valkey7": "1048576", "valkey8": "10485760", "valkey9": "10485760"}),
        ("replica-lazy-flush", {"redis5.0": "no", "redis6.x": "yes", "valkey8": "yes"}),
        ("active-defrag-cycle-min", {"redis4.0": "25", "redis5.0": "5", "valkey9": "5"}),
    ],
)
def test_a_default_changed(name: str, values: dict[str, str]) -> None:
    assert {of: parameter(of, name).value for of in values} == values


def test_the_least_frequently_used_can_be_evicted_from_redis_4() -> None:
    assert not parameter("redis3.2", "maxmemory-policy").allows("allkeys-lfu")
    assert parameter("redis4.0", "maxmemory-policy").allows("allkeys-lfu")


def test_valkey_7_has_what_redis_7_has() -> None:
    def without_versions(of: str) -> list[tuple[object, ...]]:
        return [(each.name, each.value, each.allowed, each.modifiable) for each in parameters_of(of)]

    assert without_versions("valkey7") == without_versions("redis7")


@pytest.mark.parametrize(
    ("of", "name", "version"),
    [
        ("redis2.8", "close-on-slave-write", "2.8.23"),
        ("redis3.2", "close-on-slave-write", "3.2.4"),
        ("redis5.0", "timeout", "5.0.0"),
        ("redis5.0", "rename-commands", "5.0.3"),
        ("redis6.x", "rename-commands", "6.0.0"),
        ("redis6.x", "acl-pubsub-default", "6.2.0"),
        ("valkey7", "acl-pubsub-default", "7.2.0"),
        ("valkey8", "commandlog-reply-larger-than", "8.1.0"),
        ("valkey8", "search-default-timeout-ms", "8.2.0"),
        ("valkey9", "search-default-timeout-ms", "9.0.0"),
        ("memcached1.4", "lru_crawler", "1.4.24"),
        ("memcached1.6", "lru_crawler", "1.6.6"),
    ],
)
def test_a_parameter_is_there_from_this_version(of: str, name: str, version: str) -> None:
    assert parameter(of, name).minimum_engine_version == version


# ---- Values -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("of", "name", "allowed", "refused"),
    [
        ("redis7", "timeout", ["0", "20", "86400"], ["1", "19", "-1", "", "ten", "20.5"]),
        ("redis7", "reserved-memory-percent", ["0", "25", "100"], ["101", "-1", "25%", "0-100"]),
        ("redis7", "activedefrag", ["yes", "no"], ["y", "yes,no", "YES", "1", ""]),
        ("redis7", "maxmemory-policy", ["noeviction", "allkeys-lru"], ["lru", "allkeys"]),
        ("redis7", "repl-backlog-size", ["16384", "9223372036854775807"], ["16383", "9223372036854775808", "1mb"]),
        ("redis7", "slowlog-log-slower-than", ["-1", "0", "10000"], ["", "-", "soon", "\u0663"]),
        ("redis6.x", "list-max-ziplist-size", ["-5", "-1", "1", "4096"], ["-6", "0"]),
        ("redis7", "lua-time-limit", ["5000"], ["5001", "500"]),
        ("redis7", "notify-keyspace-events", ["", "KEA", "Kg$"], ["Q", "K E"]),
        ("redis7", "rename-commands", ["", "KEYS hidden", "KEYS hidden FLUSHALL gone"], ["KEYS", "KEYS a FLUSHALL"]),
        ("valkey9", "maxmemory-samples", ["1", "64"], ["0", "65"]),
        ("valkey9", "cluster-databases", ["1", "10000"], ["0", "10001"]),
        ("memcached1.6", "chunk_size_growth_factor", ["1.25", "2", "10.0"], ["0.9", "10.5", "1.2.5"]),
        ("memcached1.6", "slab_automove", ["0", "1", "2"], ["3"]),
        ("memcached1.6", "binding_protocol", ["auto", "ascii"], ["binary"]),
        ("memcached1.6", "idle_timeout", ["0", "86400"], ["86401"]),
        ("memcached1.6", "max_item_size", ["134217728"], ["134217729"]),
    ],
)
def test_a_value_is_allowed_or_not(of: str, name: str, allowed: list[str], refused: list[str]) -> None:
    asked = parameter(of, name)
    assert [value for value in allowed + refused if asked.allows(value)] == allowed


def test_a_default_group_hands_over_only_what_the_engine_can_be_told() -> None:
    told = values_of("valkey9", cluster_mode=True)
    assert told["cluster-enabled"] == "yes"
    assert "cluster-databases" not in told


def test_what_a_default_group_leaves_empty_is_told_as_empty() -> None:
    told = values_of("valkey9", cluster_mode=False)
    assert (told["notify-keyspace-events"], told["rename-commands"]) == ("", "")


# ---- Groups -------------------------------------------------------------------------------------------------------------


def test_the_groups_that_are_always_there() -> None:
    clustered = ["redis3.2", "redis4.0", "redis5.0", "redis6.x", "redis7", "valkey7", "valkey8", "valkey9"]
    plain = ["redis2.6", "redis2.8", *clustered, "memcached1.4", "memcached1.5", "memcached1.6"]
    expected = [f"default.{of}" for of in plain] + [f"default.{of}.cluster.on" for of in clustered]
    assert sorted(each.name for each in DEFAULT_GROUPS) == sorted(expected)


@pytest.mark.parametrize(
    ("of", "cluster_mode", "name", "description"),
    [
        ("redis7", False, "default.redis7", "Default parameter group for redis7"),
        ("redis7", True, "default.redis7.cluster.on", "Customized default parameter group for redis7 with cluster mode on"),
        ("memcached1.6", False, "default.memcached1.6", "Default parameter group for memcached1.6"),
    ],
)
def test_a_cache_that_names_no_group_gets(of: str, cluster_mode: bool, name: str, description: str) -> None:
    found = default_group_for(of, cluster_mode=cluster_mode)
    assert (found.name, found.description, found.family, found.cluster_mode) == (name, description, of, cluster_mode)


@pytest.mark.parametrize("of", ["redis2.6", "redis2.8", "memcached1.6"])
def test_no_group_for_cluster_mode_where_there_is_none(of: str) -> None:
    with pytest.raises(InvalidParameterCombination, match="no cluster mode"):
        default_group_for(of, cluster_mode=True)


def test_no_group_of_an_unknown_family() -> None:
    with pytest.raises(InvalidParameterValue):
        default_group_for("redis8", cluster_mode=False)


@pytest.mark.parametrize("of", [each.family for each in DEFAULT_GROUPS if each.cluster_mode])
def test_cluster_mode_differs_in_one_value(of: str) -> None:
    off, on = values_of(of, cluster_mode=False), values_of(of, cluster_mode=True)
    assert {name: (off[name], on[name]) for name in off if off[name] != on[name]} == {"cluster-enabled": ("no", "yes")}
    assert off.keys() == on.keys()


@pytest.mark.parametrize("of", KEY_VALUE)
def test_a_group_of_ones_own_may_change_what_is_fixed_once_in_use(of: str) -> None:
    default = {each.name for each in parameters_of(of) if each.modifiable}
    custom = {each.name for each in parameters_of(of, custom=True) if each.modifiable}
    assert custom - default == CONDITIONALLY_MODIFIABLE & names(of)
    assert default < custom


# ---- Node types ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("of", "name", "node_type", "value"),
    [
        ("redis7", "maxmemory", "cache.t3.micro", "536870912"),
        ("redis7", "client-output-buffer-limit-replica-hard-limit", "cache.r4.large", "1320178155"),
        ("redis4.0", "client-output-buffer-limit-slave-soft-limit", "cache.t2.small", "166513868"),
        ("memcached1.6", "max_cache_memory", "cache.m5.large", "6537"),
        ("memcached1.4", "num_threads", "cache.m4.10xlarge", "40"),
    ],
)
def test_a_value_goes_with_the_node_type(of: str, name: str, node_type: str, value: str) -> None:
    found = {each.name: each for each in node_type_parameters(of)}[name]
    assert dict(found.values)[node_type] == value
    assert not found.modifiable


@pytest.mark.parametrize("of", EVERY)
def test_every_node_type_that_runs_the_engine_has_every_value(of: str) -> None:
    running = {each.name for each in NODE_TYPES if not (of in MEMCACHED and each.memcached_megabytes is None)}
    assert node_type_parameters(of)
    for each in node_type_parameters(of):
        assert {name for name, _ in each.values} == running


# ---- What the service itself answers ------------------------------------------------------------------------------------


def answer_of_the_service(operation: str) -> list[dict[str, Any]]:
    """The parameters of redis5.0 in the example answer that the AWS CLI brings for an operation."""
    spec = find_spec("awscli")
    if spec is None or spec.origin is None:
        pytest.skip("the AWS CLI, which brings examples of the service's answers, is not installed")
    example = Path(spec.origin).parent / f"examples/elasticache/{operation}.rst"
    answer, _ = json.JSONDecoder().raw_decode(example.read_text().split("Output::")[1].strip())
    found: list[dict[str, Any]] = answer.get("EngineDefaults", answer)["Parameters"]
    return found


@pytest.mark.parametrize(
    ("operation", "custom"),
    [("describe-engine-default-parameters", False), ("describe-cache-parameters", True)],
)
def test_redis_5_is_listed_as_the_service_lists_it(operation: str, custom: bool) -> None:
    told = {
        each["ParameterName"]: (
            each["DataType"],
            # The service lists every command that can be renamed; what the value must look like is not in that list.
            "" if each["ParameterName"] == "rename-commands" else each.get("AllowedValues", ""),
            each["IsModifiable"],
            each["MinimumEngineVersion"],
            each["ChangeType"],
        )
        for each in answer_of_the_service(operation)
    }
    ours = {
        each.name: (each.data_type, each.allowed, each.modifiable, each.minimum_engine_version, each.change_type)
        for each in parameters_of("redis5.0", custom=custom)
    }
    assert ours == told


def test_redis_5_has_the_defaults_the_service_has() -> None:
    answer = answer_of_the_service("describe-engine-default-parameters")
    told = {each["ParameterName"]: each.get("ParameterValue") for each in answer}
    assert {each.name: each.value for each in parameters_of("redis5.0")} == told
