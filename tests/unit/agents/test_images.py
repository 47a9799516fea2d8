"""Which images serve which engine and version: the table, the registry, and what is here."""

from __future__ import annotations

import pytest

from agents.engines.images import ImagesRefusedError, offered
from api_schemas.agent.node import EngineBinary

BUILT = {"cachewright/valkey:9.1": {"org.opencontainers.image.version": "9.1.2"}, "cachewright/valkey:9.1.2": {},
         "cachewright/redis:7.0": {"org.opencontainers.image.version": "7.0.15"}}  # fmt: skip
PULLED: dict[str, dict[str, str]] = {"valkey/valkey:8.1": {}, "redis:latest": {}, "busybox:1.36": {}}


def told(binaries: list[EngineBinary]) -> list[str]:
    return [f"{binary.engine} {binary.version} {binary.image}" for binary in binaries]


USUAL = ["valkey * valkey/valkey:{version}", "redis * redis:{version}", "memcached * memcached:{version}"]


@pytest.mark.parametrize(
    ("table", "registry", "here", "expected"),
    [
        ("", "", {}, USUAL),
        ("", "mirror:5000/x/", {}, [line.replace(" * ", " * mirror:5000/x/") for line in USUAL]),
        ("valkey=my/valkey:{version}-alpine", "", {}, ["valkey * my/valkey:{version}-alpine", *USUAL[1:]]),
        ("redis:7.1=my/redis:7", "", {}, ["redis 7.1 my/redis:7", USUAL[0], USUAL[2]]),
        ("redis:7.1=my/redis:{version}, redis:7.0=old:1", "", {}, ["redis 7.1 my/redis:7.1", "redis 7.0 old:1", USUAL[0], USUAL[2]]),
        ("memcached=memcached:1.6", "", {}, ["memcached 1.6 memcached:1.6", *USUAL[:2]]),
        # what is here comes first, with the version that its label or its tag says
        ("", "", BUILT, ["valkey 9.1.2 cachewright/valkey:9.1", "redis 7.0.15 cachewright/redis:7.0", *USUAL]),
        ("", "", PULLED, ["valkey 8.1 valkey/valkey:8.1", *USUAL]),
        ("local", "", BUILT | PULLED, ["valkey 9.1.2 cachewright/valkey:9.1", "redis 7.0.15 cachewright/redis:7.0",
                                       "valkey 8.1 valkey/valkey:8.1"]),
        ("local", "mirror", PULLED, []),
    ],
)  # fmt: skip
def test_what_is_offered(table: str, registry: str, here: dict[str, dict[str, str]], expected: list[str]) -> None:
    assert told(offered(table, registry, here)) == expected


@pytest.mark.parametrize("table", ["valkey", "abacus=abacus:{version}", "valkey=", "valkey=my/valkey", "valkey=my/valkey:latest", "valkey:x=y:1"])
def test_a_table_that_makes_no_sense_is_refused(table: str) -> None:
    with pytest.raises(ImagesRefusedError, match=r"--images: .* such as|--images: say which version"):
        offered(table, "", {})


def test_a_program_has_its_name_in_the_image() -> None:
    assert [binary.path for binary in offered("", "", {})] == ["valkey-server", "redis-server", "memcached"]
