"""A cache parameter group of a caller's own: a family, and the values that were set in it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Self

from api_schemas.faults import InvalidParameterCombination, InvalidParameterValue
from controlplane.domain.node_types import MIB
from controlplane.domain.parameters import CONDITIONALLY_MODIFIABLE, Parameter, node_type_parameters, parameters_of
from controlplane.domain.topology import World

MOST_GROUPS, MOST_PARAMETERS_IN_A_CALL = 300, 20

# Two views of one thing, of which a group has one at a time. Families that list the second still take the first.
_RESERVED, _RESERVED_PERCENT = "reserved-memory", "reserved-memory-percent"

# Ordinary clients are disconnected for a longer answer than this, and our own agents are among them.
_HARD_LIMIT, _LEAST_HARD_LIMIT = "client-output-buffer-limit-normal-hard-limit", MIB

# What memcached starts with at all: bytes of a chunk, KiB of a log buffer.
_LEAST_CHUNK = 1024
_LOG_BUFFERS = {"watcher_logbuf_size": (1, 2097151)}

_SEARCH = "searching is not built yet"
_NO_FILE = "append only files are not built yet"
# What the service offers and nothing here would act on. Their defaults may be set.
_NOT_BUILT: Mapping[str, str] = {
    "appendonly": _NO_FILE,
    "appendfsync": _NO_FILE,
    "rename-commands": "a replica would lose what its primary rewrites, which reaches it under the commands' own names",
    "worker_logbuf_size": "memcached takes its value for a list of chunk sizes as well, and would waste its memory",
    "search-default-timeout-ms": _SEARCH,
    "search-enable-partial-results": _SEARCH,
    "search-fanout-target-mode": _SEARCH,
    "lua-replicate-commands": "no engine that runs here can still replicate scripts as such",
    "list-max-ziplist-entries": "no engine that runs here has such lists any more",
    "list-max-ziplist-value": "no engine that runs here has such lists any more",
    "repl-timeout": "it has had no effect since 2.8.22",
    "expirezero_does_not_evict": "no memcached that runs here knows it any more",
    "inline_ascii_resp": "no memcached that runs here knows it any more",
}


@dataclass(frozen=True, slots=True)
class ParameterGroup:
    """A named set of values for a family's parameters. ``values`` are those its owner has set, by name, their defaults included."""

    world: World
    name: str
    family: str
    description: str
    values: tuple[tuple[str, str], ...] = ()

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Every parameter as the group has it. What its owner has set has the source ``user``."""
        given = dict(self.values)
        listed = [_set(each, given) for each in parameters_of(self.family, custom=True)]
        if _RESERVED in given and _RESERVED not in {each.name for each in listed}:
            listed.append(_set(_reserved_memory(self.family), given))
        return tuple(sorted(listed, key=lambda each: each.name))

    @property
    def effective(self) -> dict[str, str | None]:
        """Each parameter's value, None where it has none."""
        return {each.name: each.value for each in self.parameters}

    @property
    def differing(self) -> tuple[tuple[str, str], ...]:
        """The values that are not the family's defaults, by name."""
        defaults = {each.name: each.value or "" for each in parameters_of(self.family, custom=True)}
        return tuple((name, value) for name, value in self.values if defaults.get(name) != value)

    @property
    def cluster_mode(self) -> bool:
        """Whether caches that use it run in cluster mode."""
        return dict(self.values).get("cluster-enabled") == "yes"

    def with_values(self, given: Mapping[str, str]) -> Self:
        """The same group with these set. Raises InvalidParameterValue for one that there is not, or that it cannot be.

        Raises InvalidParameterCombination for two that exclude each other.
        """
        if {_RESERVED, _RESERVED_PERCENT} <= given.keys():
            raise InvalidParameterCombination(f"Give {_RESERVED} or {_RESERVED_PERCENT}, not both: one takes the place of the other.")
        for name, value in given.items():
            _must_be_possible(self.family, name, value)
        kept = {name: value for name, value in self.values if name not in _excluded_by(given)}
        changed = replace(self, values=tuple(sorted({**kept, **given}.items())))
        _must_start(changed)
        return changed

    def without(self, names: Collection[str]) -> Self:
        """The same group with these at their defaults again. Raises InvalidParameterValue for one that cannot be reset."""
        for name in names:
            if name == _RESERVED and not _listed(self.family, name):
                raise InvalidParameterValue(f"Parameter {_RESERVED} doesn't exist")
            _must_be_changeable(self.family, name)
        changed = replace(self, values=tuple((name, value) for name, value in self.values if name not in names))
        _must_start(changed)
        return changed


def differences(before: ParameterGroup, after: ParameterGroup) -> dict[str, str]:
    """The values that changed from one state of a group to another, by name; empty for what has no value any more."""
    former, present = before.effective, after.effective
    return {name: present.get(name) or "" for name in sorted({*former, *present}) if former.get(name) != present.get(name)}


def conditionals(family: str, values: tuple[tuple[str, str], ...]) -> dict[str, str]:
    """What two groups of a family must have in common for a cache to go from one to the other, from their values that differ."""
    given = dict(values)
    of_family = parameters_of(family, custom=True)
    return {each.name: given.get(each.name, each.value or "") for each in of_family if each.name in CONDITIONALLY_MODIFIABLE}


def _set(parameter: Parameter, given: Mapping[str, str]) -> Parameter:
    return replace(parameter, value=given[parameter.name], source="user") if parameter.name in given else parameter


def _listed(family: str, name: str) -> Parameter | None:
    return next((each for each in parameters_of(family, custom=True) if each.name == name), None)


def _reserved_memory(family: str) -> Parameter:
    """It is no longer listed from 3.2 on, where it can still be set."""
    percent = _listed(family, _RESERVED_PERCENT)
    if percent is None:
        raise InvalidParameterValue(f"The parameter {_RESERVED} cannot be found in the family {family}.")
    return replace(percent, name=_RESERVED, value=None, allowed="0-", description="Bytes of the node's memory kept free of data.")


def _excluded_by(given: Mapping[str, str]) -> set[str]:
    both = {_RESERVED: _RESERVED_PERCENT, _RESERVED_PERCENT: _RESERVED}
    return {both[name] for name in given if name in both}


def _must_be_changeable(family: str, name: str) -> Parameter:
    found = _reserved_memory(family) if name == _RESERVED and not _listed(family, name) else _listed(family, name)
    if found is None and name not in {each.name for each in node_type_parameters(family)}:
        raise InvalidParameterValue(f"The parameter {name[:80]} cannot be found in the family {family}.")
    if found is None or not found.modifiable:
        raise InvalidParameterValue(f"The parameter {name} cannot be modified.")
    return found


def _must_be_possible(family: str, name: str, value: str) -> None:
    found = _must_be_changeable(family, name)
    if not found.allows(value):
        allowed = f" Allowed: {found.allowed}." if found.allowed else ""
        raise InvalidParameterValue(f"The value {value[:80]!r} is not valid for the parameter {name}.{allowed}")
    if name == _HARD_LIMIT and 0 < int(value) < _LEAST_HARD_LIMIT:
        raise InvalidParameterValue(
            f"The parameter {name} must be 0 or at least {_LEAST_HARD_LIMIT} bytes, but {value} was given: with less, nodes would "
            "disconnect those who look after them. Nothing was changed."
        )
    if name in _NOT_BUILT and value != (found.value or ""):
        default = found.value or "empty"
        raise InvalidParameterValue(f"The parameter {name} can only be {default}: {_NOT_BUILT[name]}. Nothing was changed.")


def _must_start(group: ParameterGroup) -> None:
    """Raises InvalidParameterValue for values that memcached refuses to start with, possible as each of them is by itself."""
    values = {name: value for name, value in group.effective.items() if value}
    for why in _what_memcached_refuses(values) if group.family.startswith("memcached") else ():
        raise InvalidParameterValue(f"memcached would not start: {why}. Nothing was changed.")


def _what_memcached_refuses(values: Mapping[str, str]) -> Iterator[str]:
    item, chunk = int(values["max_item_size"]), int(values["slab_chunk_max"])
    if MIB % chunk or chunk < _LEAST_CHUNK:
        yield f"slab_chunk_max must be {_LEAST_CHUNK} or a power of two above it, up to {MIB}; it is {chunk}"
    if item % chunk:
        yield f"max_item_size must be a multiple of slab_chunk_max, but {item} is not one of {chunk}"
    if float(values["chunk_size_growth_factor"]) <= 1:
        yield "chunk_size_growth_factor must be greater than 1"
    for name, (least, most) in _LOG_BUFFERS.items():
        if not least <= int(values[name]) <= most:
            yield f"{name} must be between {least} and {most}"
