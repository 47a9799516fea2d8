"""Engine versions: what a request may ask for, and what it then gets."""

from __future__ import annotations

import json
import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from api_schemas.faults import InvalidParameterValue
from controlplane.domain.engine_versions import ENGINE_VERSIONS, EngineVersion, default_version, engine_version, normalised_engine


@pytest.mark.parametrize(
    ("engine", "asked", "version", "shown", "family"),
    [
        ("redis", None, "7.1", "7.1.0", "redis7"),
        ("redis", "", "7.1", "7.1.0", "redis7"),
        ("redis", "4.0.10", "4.0.10", "4.0.10", "redis4.0"),
        ("redis", "5.0.6", "5.0.6", "5.0.6", "redis5.0"),
        ("redis", "6.0", "6.0", "6.0.5", "redis6.x"),
        ("redis", "6.2", "6.2", "6.2.6", "redis6.x"),
        ("redis", "6.x", "6.2", "6.2.6", "redis6.x"),
        ("redis", "7.0", "7.0", "7.0.7", "redis7"),
        ("redis", "7.x", "7.1", "7.1.0", "redis7"),
        ("valkey", None, "9.1", "9.1.0", "valkey9"),
        ("valkey", "7.2", "7.2", "7.2.6", "valkey7"),
        ("valkey", "8.0", "8.0", "8.0.1", "valkey8"),
        ("valkey", "8.2", "8.2", "8.2.0", "valkey8"),
        ("memcached", None, "1.6.22", "1.6.22", "memcached1.6"),
        ("memcached", "1.4.5", "1.4.5", "1.4.5", "memcached1.4"),
        ("memcached", "1.5.16", "1.5.16", "1.5.16", "memcached1.5"),
    ],
)
def test_a_request_gets_this_version(engine: str, asked: str | None, version: str, shown: str, family: str) -> None:
    found = engine_version(engine, asked)
    assert (found.engine, found.version, found.full, found.family) == (engine, version, shown, family)


@pytest.mark.parametrize(
    ("engine", "asked", "says"),
    [
        ("redis", "6.2.6", "Give major.minor, such as 6.2"),
        ("redis", "7.1.0", "Give major.minor, such as 7.1"),
        ("valkey", "7.2.6", "Give major.minor, such as 7.2"),
        ("valkey", "8.1.0", "Give major.minor, such as 8.1"),
        ("redis", "7.2", "Cannot find version 7.2 for redis"),
        ("redis", "5.0", "Cannot find version 5.0 for redis"),
        ("redis", "5.0.7", "Cannot find version 5.0.7 for redis"),
        ("redis", "5.x", "Cannot find version 5.x for redis"),
        ("redis", "newest", "Cannot find version newest for redis"),
        ("valkey", "8.x", "Cannot find version 8.x for valkey"),
        ("valkey", "7.1", "Cannot find version 7.1 for valkey"),
        ("memcached", "1.6", "Cannot find version 1.6 for memcached"),
        ("memcached", "1.6.x", "Cannot find version 1.6.x for memcached"),
        ("redis", "2.8.24", "end of life"),
        ("redis", "3.2.10", "end of life"),
        ("redis", "5.0.5", "end of life"),
    ],
)
def test_a_request_is_refused_and_told_what_is_on_offer(engine: str, asked: str, says: str) -> None:
    with pytest.raises(InvalidParameterValue, match=re.escape(says)) as refused:
        engine_version(engine, asked)
    assert default_version(engine).version in str(refused.value).partition("On offer:")[2]


def test_what_is_on_offer_leaves_out_what_would_be_refused() -> None:
    with pytest.raises(InvalidParameterValue) as refused:
        engine_version("redis", "9.9")
    assert str(refused.value).endswith("On offer: 4.0.10, 5.0.6, 6.0, 6.2, 7.0, 7.1.")


@pytest.mark.parametrize("asked", ["redis", "REDIS", "Redis"])
def test_engines_are_written_in_any_case(asked: str) -> None:
    assert normalised_engine(asked) == "redis"


@pytest.mark.parametrize("asked", ["", "mysql", "redis "])
def test_an_unknown_engine_is_refused_naming_the_three(asked: str) -> None:
    with pytest.raises(InvalidParameterValue, match="redis, valkey, memcached"):
        normalised_engine(asked)


@pytest.mark.parametrize("engine", ["redis", "valkey", "memcached"])
def test_versions_of_an_engine_are_listed_once_and_oldest_first(engine: str) -> None:
    numbers = [each.numbers for each in ENGINE_VERSIONS if each.engine == engine]
    assert numbers == sorted(set(numbers))


@pytest.mark.parametrize("engine", ["redis", "valkey", "memcached"])
def test_the_default_can_be_created(engine: str) -> None:
    assert default_version(engine).creatable


@pytest.mark.parametrize("each", ENGINE_VERSIONS, ids=lambda each: f"{each.engine}-{each.version}")
def test_what_describes_show_is_three_numbers_that_begin_as_the_version_does(each: EngineVersion) -> None:
    # Terraform parses it and stops on anything else.
    assert re.fullmatch(r"\d+\.\d+\.\d+", each.full)
    assert each.full == each.version or each.full.startswith(f"{each.version}.")


def _answer_of_the_service() -> list[dict[str, str]]:
    spec = find_spec("awscli")
    if spec is None or spec.origin is None:
        pytest.skip("the AWS CLI, which brings examples of the service's answers, is not installed")
    example = Path(spec.origin).parent / "examples/elasticache/describe-cache-engine-versions.rst"
    answer, _ = json.JSONDecoder().raw_decode(example.read_text().split("Output::")[1].strip())
    versions: list[dict[str, str]] = answer["CacheEngineVersions"]
    return versions


def test_redis_versions_up_to_5_are_listed_as_the_service_lists_them() -> None:
    listed = {each.version: each for each in ENGINE_VERSIONS if each.engine == "redis"}
    told = _answer_of_the_service()
    assert told
    for each in told:
        if each["EngineVersion"] not in listed:
            continue
        ours = listed[each["EngineVersion"]]
        assert ours.family == each["CacheParameterGroupFamily"]
        assert ours.description == each["CacheEngineDescription"]
        assert ours.version_description == each["CacheEngineVersionDescription"]
    assert len(listed.keys() & {each["EngineVersion"] for each in told}) > 10
