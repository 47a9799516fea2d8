"""Engine parameters: the families, what each of their parameters is and allows, and the groups the service brings along."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache

from api_schemas.faults import InvalidParameterCombination, InvalidParameterValue
from controlplane.domain.engine_versions import version_numbers
from controlplane.domain.node_types import NODE_TYPES, NodeType
from controlplane.domain.parameter_tables import FAMILY_TABLE, KEY_VALUE_TABLE, MEMCACHED_TABLE, NODE_TYPE_TABLE

# Refused while a cache uses the group, and two groups must agree on them for a cache to go from one to the other.
# Source: Amazon ElastiCache User Guide, "Parameter management" (conditionally modifiable parameters).
CONDITIONALLY_MODIFIABLE = frozenset({"activerehashing", "cluster-databases", "cluster-enabled", "databases"})


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a family, as DescribeCacheParameters shows it.

    ``value`` is None when there is none. ``allowed`` lists words, numbers and ranges ("0,20-"), and is empty when nothing
    is published. ``change_type`` is "immediate" or "requires-reboot". ``source`` is "system" until a caller sets the value.
    """

    name: str
    value: str | None
    allowed: str
    data_type: str
    modifiable: bool
    change_type: str
    minimum_engine_version: str
    description: str
    source: str = "system"

    def allows(self, value: str) -> bool:
        """Whether a caller may give the parameter this value, were it modifiable."""
        if self.name in _FORMS:
            return _FORMS[self.name].fullmatch(value) is not None
        highest = _HIGHEST_OF_32 if self.name in _IN_32_BITS else _HIGHEST
        return not self.allowed or any(_within(value, part, self.data_type, highest) for part in self.allowed.split(","))


@dataclass(frozen=True, slots=True)
class NodeTypeParameter:
    """A parameter whose value goes with the node type: ``values`` are pairs of a node type's name and the value on it."""

    name: str
    description: str
    source: str
    data_type: str
    allowed: str
    modifiable: bool
    minimum_engine_version: str
    change_type: str
    values: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class ParameterFamily:
    """The parameters that versions of an engine have in common. ``mark`` is its place among the families of its kind."""

    name: str
    engine: str
    mark: str
    first_version: str


@dataclass(frozen=True, slots=True)
class DefaultGroup:
    """A parameter group that is always there and that nobody can change."""

    name: str
    family: str
    cluster_mode: bool
    description: str


FAMILIES: tuple[ParameterFamily, ...] = tuple(ParameterFamily(*line.split()) for line in FAMILY_TABLE.strip().splitlines())


def family(name: str) -> ParameterFamily:
    """The family of that name. Raises InvalidParameterValue when there is none."""
    for each in FAMILIES:
        if each.name == name:
            return each
    known = ", ".join(each.name for each in FAMILIES)
    raise InvalidParameterValue(f"CacheParameterGroupFamily {name} is not a valid parameter group family. On offer: {known}.")


@cache
def parameters_of(family_name: str, *, cluster_mode: bool = False, custom: bool = False) -> tuple[Parameter, ...]:
    """The parameters of a family with their default values, in alphabetical order.

    ``cluster_mode`` gives those of the family's ``.cluster.on`` group. ``custom`` gives them as a new group of the caller's
    own shows them: there the conditionally modifiable ones may be changed. Raises InvalidParameterValue for no family.
    """
    of = family(family_name)
    table = MEMCACHED_TABLE if of.engine == "memcached" else KEY_VALUE_TABLE
    found = (_parameter(cells, description, of) for cells, description in _rows(table) if _has(of, cells[5]))
    return tuple(sorted((_as_shown(each, cluster_mode, custom) for each in found), key=lambda each: each.name))


@cache
def node_type_parameters(family_name: str) -> tuple[NodeTypeParameter, ...]:
    """The parameters of a family whose value goes with the node type. None of them can be changed.

    Raises InvalidParameterValue for no family.
    """
    of = family(family_name)
    return tuple(
        NodeTypeParameter(
            name=name,
            description=description,
            source="system",
            data_type="integer",
            allowed="0-",
            modifiable=False,
            minimum_engine_version=of.first_version,
            change_type="requires-reboot" if of.engine == "memcached" else "immediate",
            values=tuple((node.name, str(_figure(figure, node))) for node in NODE_TYPES if node.memory(of.engine)),
        )
        for (name, figure, families), description in _rows(NODE_TYPE_TABLE)
        if _has(of, families)
    )


def default_group_for(family_name: str, *, cluster_mode: bool) -> DefaultGroup:
    """The group a cache of this family uses when none is named.

    Raises InvalidParameterValue for no family, InvalidParameterCombination when the family has no cluster mode.
    """
    of = family(family_name)
    for each in DEFAULT_GROUPS:
        if (each.family, each.cluster_mode) == (of.name, cluster_mode):
            return each
    raise InvalidParameterCombination(f"{family_name} has no cluster mode. It needs redis 3.2.4 or later, or valkey.")


def values_of(family_name: str, *, cluster_mode: bool) -> dict[str, str]:
    """What a default group of the family hands to the engine: each name with its value.

    One whose value shown is not one it could be set to is left to the engine. One without a value is handed over as empty where
    it may be: an engine that had another is told so.
    """
    parameters = parameters_of(family_name, cluster_mode=cluster_mode)
    return {each.name: each.value or "" for each in parameters if each.allows(each.value or "")}


def _as_shown(parameter: Parameter, cluster_mode: bool, custom: bool) -> Parameter:
    shown = parameter
    if cluster_mode and shown.name == "cluster-enabled":
        shown = replace(shown, value="yes")
    if custom and shown.name in CONDITIONALLY_MODIFIABLE:
        shown = replace(shown, modifiable=True)
    return shown


# How a parameter changes, as the tables say it: whether it is shown as modifiable, and its ChangeType.
_CHANGES = {
    "live": (True, "immediate"),
    "launch": (True, "requires-reboot"),
    "unused": (False, "requires-reboot"),
    "fixed": (False, "immediate"),
    "built": (False, "requires-reboot"),
}

# Parameters with no published set but with a form of their own.
_FORMS = {
    "notify-keyspace-events": re.compile(r"[KEg$lshzxentdmA]*"),
    "rename-commands": re.compile(r"(\S+ +\S+( +\S+ +\S+)*)?"),
}

# How the numbers of a data type are written. Digits are spelled out because other scripts' digits mean nothing to an engine;
# one that reads 060 refuses to start.
_NUMBERS = {"integer": re.compile(r"0|-?[1-9][0-9]*"), "float": re.compile(r"-?[0-9]+(\.[0-9]+)?")}
# The lower end may be negative, either end may be missing: "0-100", "16384-", "-1-", "-".
_RANGE = re.compile(r"(?P<lowest>-?[0-9.]+)?-(?P<highest>[0-9.]+)?")
# Where a range has no end, engines still keep the number in 64 bits.
_LOWEST, _HIGHEST, _HIGHEST_OF_32 = -(2**63), 2**63 - 1, 2**31 - 1
# … but these in 32, and refuse to start with more.
_IN_32_BITS = frozenset(
    {
        "lfu-decay-time", "lfu-log-factor", "list-compress-depth", "list-max-ziplist-size", "maxmemory-samples",
        "min-replicas-max-lag", "min-replicas-to-write", "min-slaves-max-lag", "min-slaves-to-write", "tcp-keepalive", "timeout",
    }
)  # fmt: skip


def _within(value: str, part: str, data_type: str, highest: int) -> bool:
    """Whether a value is the word or number, or lies in the range, that is one part of an allowed set."""
    number, span = _NUMBERS.get(data_type), _RANGE.fullmatch(part)
    # A part such as "-5" is a number of its own and not a range without a lower end.
    if number is None or span is None or number.fullmatch(part):
        return value == part
    if not number.fullmatch(value):
        return False
    read = int if data_type == "integer" else float
    return read(span["lowest"] or _LOWEST) <= read(value) <= read(span["highest"] or highest)


def _rows(table: str) -> Iterator[tuple[list[str], str]]:
    """Each row's cells, and the description on the line below."""
    lines = table.strip().splitlines()
    for row, description in zip(lines[::2], lines[1::2], strict=True):
        yield [cell.strip() for cell in row.split("|")], description.strip()


def _parameter(cells: list[str], description: str, of: ParameterFamily) -> Parameter:
    name, value, allowed, data_type, changes, _families, since = cells
    modifiable, change_type = _CHANGES[changes]
    return Parameter(
        name=name,
        value={"": None, '""': ""}.get(value, value),
        allowed=allowed,
        data_type=data_type,
        modifiable=modifiable,
        change_type=change_type,
        # The service shows the family's first version for everything that the family had from its start.
        minimum_engine_version=max(of.first_version, since or "0", key=version_numbers),
        description=description,
    )


# The marks of redis and valkey come before those of memcached, each oldest first. redis7 and valkey7 share one.
_MARKS = list(dict.fromkeys(each.mark for each in FAMILIES))


def _has(of: ParameterFamily, families: str) -> bool:
    """Whether a family lies in the span of a table's ``families`` column."""
    first, until, last = families.partition("..")
    newest = _MARKS[-1] if until else first
    return _MARKS.index(first) <= _MARKS.index(of.mark) <= _MARKS.index(last or newest)


def _figure(figure: str, node: NodeType) -> int:
    """One figure of a node type. A replica may lag behind by a tenth of the memory before it is disconnected."""
    figures = {
        "maxmemory": node.maxmemory,
        "replica buffer": node.maxmemory // 10,
        "memcached megabytes": node.memcached_megabytes or 0,
        "threads": node.threads,
    }
    return figures[figure]


def _default_groups() -> Iterator[DefaultGroup]:
    for each in FAMILIES:
        yield DefaultGroup(f"default.{each.name}", each.name, False, f"Default parameter group for {each.name}")
        if any(parameter.name == "cluster-enabled" for parameter in parameters_of(each.name)):
            says = f"Customized default parameter group for {each.name} with cluster mode on"
            yield DefaultGroup(f"default.{each.name}.cluster.on", each.name, True, says)


DEFAULT_GROUPS: tuple[DefaultGroup, ...] = tuple(_default_groups())
