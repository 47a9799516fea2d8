"""Which engines and versions are on offer, how requests name them and how describes show them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NoReturn

from api_schemas.faults import InvalidParameterValue

ENGINES = ("redis", "valkey", "memcached")

# What a request without an EngineVersion gets. The newest valkey that is generally available moves most often.
DEFAULT_VERSIONS = {"redis": "7.1", "valkey": "9.1", "memcached": "1.6.22"}


@dataclass(frozen=True, slots=True)
class EngineVersion:
    """One version of one engine.

    ``version`` is what requests give and DescribeCacheEngineVersions lists ("7.1"), ``full`` what describes of caches
    show ("7.1.0"), ``family`` the parameter group family that goes with it. A version that is not ``creatable`` is
    past its end of life: still listed, refused at create.
    """

    engine: str
    version: str
    full: str
    family: str
    description: str
    version_description: str
    creatable: bool

    @property
    def numbers(self) -> tuple[int, ...]:
        """The full version as numbers, for comparing one version of an engine with another."""
        return version_numbers(self.full)


def version_numbers(version: str) -> tuple[int, ...]:
    """A dotted version as numbers, so that 2.8.9 sorts before 2.8.10. Raises ValueError for anything else."""
    return tuple(int(part) for part in version.split("."))


def default_version(engine: str) -> EngineVersion:
    """The version a request gets that names none. The engine must be a normalised one."""
    return _BY_NAME[engine, DEFAULT_VERSIONS[engine]]


def engine_version(engine: str, asked: str | None) -> EngineVersion:
    """The version a request asks for: one on the list, "6.x" or "7.x" for the newest redis of it, nothing for the default.

    Raises InvalidParameterValue for a version that is not on the list, that names a patch where only major.minor may be
    chosen (redis from 6.0, valkey), or that is past its end of life. The engine must be a normalised one.
    """
    if not asked:
        return default_version(engine)
    found = _newest_of(engine, asked) if asked.endswith(".x") else _BY_NAME.get((engine, asked))
    if found is None:
        _refuse_unknown(engine, asked)
    if not found.creatable:
        raise InvalidParameterValue(
            f"{engine} version {asked} has reached its end of life and can no longer be created. On offer: {_on_offer(engine)}."
        )
    return found


def normalised_engine(asked: str) -> str:
    """The engine's name in lower case; requests may write it in any. Raises InvalidParameterValue for an unknown one."""
    engine = asked.lower()
    if engine not in ENGINES:
        raise InvalidParameterValue(f"Invalid cache engine: {asked}. Must be one of: {', '.join(ENGINES)}.")
    return engine


def _newest_of(engine: str, asked: str) -> EngineVersion | None:
    # Only redis ever had versions written like this, and only since patches stopped being chosen by the caller.
    major = asked.removesuffix(".x")
    if engine != "redis" or major not in ("6", "7"):
        return None
    of_major = [each for each in ENGINE_VERSIONS if each.engine == engine and each.numbers[0] == int(major)]
    return max(of_major, key=lambda each: each.numbers)


def _refuse_unknown(engine: str, asked: str) -> NoReturn:
    patch_of = re.fullmatch(r"(\d+\.\d+)\.\d+", asked)
    if patch_of and (engine == "valkey" or (engine == "redis" and version_numbers(asked)[0] >= 6)):
        raise InvalidParameterValue(
            f"A patch level cannot be chosen for {engine} version {asked}. Give major.minor, such as {patch_of[1]}; "
            f"the newest patch of it is used. On offer: {_on_offer(engine)}."
        )
    raise InvalidParameterValue(f"Cannot find version {asked} for {engine}. On offer: {_on_offer(engine)}.")


def _on_offer(engine: str) -> str:
    return ", ".join(each.version for each in ENGINE_VERSIONS if each.engine == engine and each.creatable)


# Source: Amazon ElastiCache User Guide, "Supported engines and versions", and what DescribeCacheEngineVersions answers.
# Engine, family, then versions as requests give them: "=" leads to what describes show where that differs, "!" marks those
# that can no longer be created.
_LISTED = """
redis     redis2.6      2.6.13!
redis     redis2.8      2.8.6! 2.8.19! 2.8.21! 2.8.22! 2.8.23! 2.8.24!
redis     redis3.2      3.2.4! 3.2.6! 3.2.10!
redis     redis4.0      4.0.10
redis     redis5.0      5.0.0! 5.0.3! 5.0.4! 5.0.5! 5.0.6
redis     redis6.x      6.0=6.0.5 6.2=6.2.6
redis     redis7        7.0=7.0.7 7.1=7.1.0
valkey    valkey7       7.2=7.2.6
valkey    valkey8       8.0=8.0.1 8.1=8.1.0 8.2=8.2.0
valkey    valkey9       9.0=9.0.0 9.1=9.1.0
memcached memcached1.4  1.4.5 1.4.14 1.4.24 1.4.33 1.4.34
memcached memcached1.5  1.5.10 1.5.16
memcached memcached1.6  1.6.6 1.6.12 1.6.17 1.6.22
"""

# The service writes two of its engines with a capital and one without.
_DESCRIPTIONS = {"redis": "Redis", "valkey": "Valkey", "memcached": "memcached"}


def _listed(engine: str, family: str, entry: str) -> EngineVersion:
    version, _, shown = entry.rstrip("!").partition("=")
    full = shown or version
    return EngineVersion(
        engine=engine,
        version=version,
        full=full,
        family=family,
        description=_DESCRIPTIONS[engine],
        version_description=f"{engine} version {full}",
        creatable=not entry.endswith("!"),
    )


ENGINE_VERSIONS: tuple[EngineVersion, ...] = tuple(
    _listed(engine, family, entry)
    for engine, family, *entries in (line.split() for line in _LISTED.strip().splitlines())
    for entry in entries
)

_BY_NAME = {(each.engine, each.version): each for each in ENGINE_VERSIONS}
