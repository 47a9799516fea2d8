"""How large a node is: memory, threads and connections of every node type, and which type may become which."""

from __future__ import annotations

from dataclasses import dataclass

from api_schemas.faults import InvalidParameterCombination, InvalidParameterValue
from controlplane.domain.engine_versions import EngineVersion, version_numbers

MIB = 1024 * 1024
USUAL_OVERHEAD = 100
"""MiB, the default of ``memcached_connections_overhead``."""
_TINY = "cache.t1.micro"


@dataclass(frozen=True, slots=True)
class NodeType:
    """One size of node.

    ``maxmemory`` is in bytes and holds for redis and valkey; ``memcached_megabytes`` is in MiB, None where memcached is
    not offered. ``threads`` is the number of vCPUs. A type that is not ``creatable`` is of an older generation: caches
    that have it keep it, new ones cannot ask for it.
    """

    name: str
    maxmemory: int
    memcached_megabytes: int | None
    threads: int
    maxclients: int
    creatable: bool

    @property
    def generation(self) -> str:
        """The part between the dots: "r6gd" of "cache.r6gd.xlarge"."""
        return self.name.split(".")[1]

    @property
    def tiers_data(self) -> bool:
        """Whether part of the data is kept on a local disk. Such nodes neither become nor replace ordinary ones."""
        return self.generation == "r6gd"

    def memory(self, engine: str) -> int:
        """Bytes the node has for an engine before anything is reserved; 0 where the engine is not offered on it."""
        return (self.memcached_megabytes or 0) * MIB if engine == "memcached" else self.maxmemory


def node_type(name: str) -> NodeType:
    """The node type of that name. Raises InvalidParameterValue when there is none or it can no longer be created."""
    found = _BY_NAME.get(name)
    if found is None or not found.creatable:
        raise InvalidParameterValue(f"Invalid Cache Node Type: {name}. {_nearest_on_offer(name)}")
    return found


def takes_snapshots(name: str) -> bool:
    """Whether snapshots can be taken of nodes of that type, which may be one that can no longer be created."""
    return name != _TINY


def must_support(node: NodeType, version: EngineVersion) -> None:
    """Raise InvalidParameterCombination when this version of the engine does not run on nodes of this type."""
    if not node.memory(version.engine):
        raise InvalidParameterCombination(f"{node.name} is not supported for {version.engine}.")
    needed = _MINIMUM_VERSIONS.get(node.generation, {}).get(version.engine)
    if needed and version.numbers < version_numbers(needed):
        raise InvalidParameterCombination(
            f"{node.name} needs {version.engine} version {needed} or later, but version {version.version} was asked for."
        )


def must_not_tier_data(node: NodeType) -> None:
    """Raise InvalidParameterCombination for nodes that a new cache can only have with DataTieringEnabled, which is not built."""
    if node.tiers_data:
        raise InvalidParameterCombination(f"{node.name} can only be had with DataTieringEnabled=true, and data tiering is not built yet.")


def allowed_modifications(current: str, engine: str) -> tuple[list[str], list[str]]:
    """The types a node may be scaled up to (as much memory or more) and down to (less), each in alphabetical order.

    The present type may be of an older generation, the answers are not. Nodes that tier data only become one another.
    Raises InvalidParameterValue when the present type is unknown.
    """
    present = _BY_NAME.get(current)
    if present is None:
        raise InvalidParameterValue(f"Invalid Cache Node Type: {current}. {_nearest_on_offer(current)}")
    others = [each for each in NODE_TYPES if each.creatable and each is not present]
    fitting = [each for each in others if each.memory(engine) and each.tiers_data == present.tiers_data]
    up = sorted(each.name for each in fitting if each.memory(engine) >= present.memory(engine))
    down = sorted(each.name for each in fitting if each.memory(engine) < present.memory(engine))
    return up, down


def memory_for(node: NodeType, engine: str, reserved_percent: int, overhead: int | None = None) -> int:
    """Bytes an engine may fill with data on such a node.

    For redis and valkey that is maxmemory less the reserved percentage, and at least 1: an engine would read 0 as no limit.
    For memcached it is the node's memory less what connections take (``overhead`` in MiB, where it is not the usual), and at
    least 1 MiB; nothing can be reserved there, so the percentage is not looked at. Raises InvalidParameterCombination when
    the engine is not offered on this type.
    """
    if not node.memory(engine):
        raise InvalidParameterCombination(f"{node.name} is not supported for {engine}.")
    if engine == "memcached":
        taken = _connections_overhead(node) if overhead in (None, USUAL_OVERHEAD) else overhead
        return max(MIB, node.memory(engine) - (taken or 0) * MIB)
    return max(1, node.maxmemory * (100 - reserved_percent) // 100)


def _connections_overhead(node: NodeType) -> int:
    # 100 would be half of the smallest type.
    return 13 if node.name == _TINY else USUAL_OVERHEAD


def _nearest_on_offer(name: str) -> str:
    on_offer = [each for each in NODE_TYPES if each.creatable]
    sizes = [each.name.split(".")[2] for each in on_offer if name.startswith(f"cache.{each.generation}.")]
    if sizes:
        return f"Sizes on offer of this generation: {', '.join(sizes)}."
    generations = dict.fromkeys(each.generation for each in on_offer)
    return f"Generations on offer: {', '.join(generations)}; for example cache.t4g.small."


# Graviton came later than the engines. Source: Amazon ElastiCache User Guide, "Supported node types".
_GRAVITON_2_AND_3 = {"redis": "5.0.6", "memcached": "1.5.16"}
_GRAVITON_4 = {"redis": "5.0.6", "memcached": "1.6.6"}
_MINIMUM_VERSIONS: dict[str, dict[str, str]] = {
    **dict.fromkeys(("t4g", "m6g", "r6g", "m7g", "r7g", "c7gn"), _GRAVITON_2_AND_3),
    **dict.fromkeys(("m8g", "r8g", "c8gn"), _GRAVITON_4),
    "r6gd": {"redis": "6.2.0"},
}

_RETIRED_GENERATIONS = frozenset({"t1", "m1", "m2", "m3", "c1", "r3"})

# Source: Amazon ElastiCache User Guide, "Node-type specific parameters", one row for generations that share their figures.
# generations, size, maxmemory in bytes, memcached MiB ("=" when not published: maxmemory in MiB, as elsewhere; "no" when
# memcached is not offered), threads.
_SIZES = """
t1                  micro        142606336     213   1
t2                  micro        581959680     555   1
t2                  small       1665138688    1588   1
t2                  medium      3461349376    3301   2
t3,t4g              micro        536870912     512   2
t3,t4g              small       1471026299    1402   2
t3                  medium      3317862236    3364   2
t4g                 medium      3317862236    3164   2
m1                  small        943718400    1300   1
m1                  medium      3093299200    3350   1
m1                  large       7025459200    7100   2
m1                  xlarge     14889779200   14600   4
m2                  xlarge     17091788800   16700   2
m2                  2xlarge    35022438400   33800   4
m2                  4xlarge    70883737600   68000   8
m3                  medium      2988441600    2850   1
m3                  large       6501171200    6200   2
m3                  xlarge     14260633600   13600   4
m3                  2xlarge    29989273600   28600   8
m4                  large       6892593152    6573   2
m4                  xlarge     15328501760   11496   4
m4                  2xlarge    31889126359   30412   8
m4                  4xlarge    65257290629   62234  16
m4                  10xlarge  166047614239  158355  40
m5,m6g,m7g          large       6854542746    6537   2
m5,m6g,m7g          xlarge     13891921715   13248   4
m5,m6g,m7g          2xlarge    27966669210   26671   8
m5,m6g,m7g          4xlarge    56116178125   53516  16
m6g,m7g             8xlarge   111325552312  107000  32
m5,m6g,m7g          12xlarge  168715971994  160900  48
m6g,m7g             16xlarge  225000375228  214577  64
m5                  24xlarge  337500562842  321865  96
m8g                 large       7294178820       =   2
m8g                 xlarge     15222495510       =   4
m8g                 2xlarge    31866224640       =   8
m8g                 4xlarge    65856864256       =  16
m8g                 8xlarge   133838143488       =  32
m8g                 12xlarge  201819422720       =  48
m8g                 16xlarge  269800701952       =  64
c1                  xlarge      6501171200    6600   8
c7gn                large       3317862236       =   2
c7gn                xlarge      6854542746       =   4
c7gn                2xlarge    13891921715       =   8
c7gn                4xlarge    27966669210       =  16
c7gn                8xlarge    56116178125       =  32
c7gn                12xlarge   84357985997       =  48
c7gn                16xlarge  113609865216       =  64
c8gn                large       3330020474       =   2
c8gn                xlarge      7294178820       =   4
c8gn                2xlarge    15222495510       =   8
c8gn                4xlarge    31866224640       =  16
c8gn                8xlarge    65856864256       =  32
c8gn                12xlarge   99847503872       =  48
c8gn                16xlarge  133838143488       =  64
r3                  large      14470348800   13800   2
r3                  xlarge     30513561600   29100   4
r3                  2xlarge    62495129600   59600   8
r3                  4xlarge   126458265600  120600  16
r3                  8xlarge   254384537600  242600  32
r4                  large      13201781556   12590   2
r4                  xlarge     26898228839   25652   4
r4                  2xlarge    54197537997   51686   8
r4                  4xlarge   108858546586  103815  16
r4                  8xlarge   218255432090  208144  32
r4                  16xlarge  437021573120  416776  64
r5,r6g,r7g          large      14037181030   13387   2
r5,r6g,r7g          xlarge     28261849702   26953   4
r5,r6g,r7g          2xlarge    56711183565   54084   8
r5,r6g,r7g          4xlarge   113609865216  108347  16
r6g,r7g             8xlarge   225000375228  214577  32
r5,r6g,r7g          12xlarge  341206346547  325400  48
r6g,r7g             16xlarge  450000750456  429154  64
r5                  24xlarge  682485973811  650869  96
r6gd                xlarge     28261849702      no   4
r6gd                2xlarge    56711183565      no   8
r6gd                4xlarge   113609865216      no  16
r6gd                8xlarge   225000375228      no  32
r6gd                12xlarge  341206346547      no  48
r6gd                16xlarge  450000750456      no  64
r8g                 large      15222495510       =   2
r8g                 xlarge     31866224640       =   4
r8g                 2xlarge    65856864256       =   8
r8g                 4xlarge   133838143488       =  16
r8g                 8xlarge   269800701952       =  32
r8g                 12xlarge  405763260416       =  48
r8g                 16xlarge  541725818880       =  64
"""


def _sized(generation: str, size: str, maxmemory: int, megabytes: str, threads: int) -> NodeType:
    name = f"cache.{generation}.{size}"
    published = {"=": maxmemory // MIB, "no": None}
    return NodeType(
        name=name,
        maxmemory=maxmemory,
        memcached_megabytes=published[megabytes] if megabytes in published else int(megabytes),
        threads=threads,
        maxclients=_maxclients(generation, name),
        creatable=generation not in _RETIRED_GENERATIONS,
    )


def _maxclients(generation: str, name: str) -> int:
    # Source: Amazon ElastiCache User Guide, the maxclients parameter. The bigger t4g sizes are not held back as the t3 ones are.
    if generation == "t2" or name in ("cache.t3.micro", "cache.t4g.micro"):
        return 20_000
    return 46_000 if generation == "t3" else 65_000


NODE_TYPES: tuple[NodeType, ...] = tuple(
    _sized(generation, size, int(maxmemory), megabytes, int(threads))
    for generations, size, maxmemory, megabytes, threads in (line.split() for line in _SIZES.strip().splitlines())
    for generation in generations.split(",")
)

_BY_NAME = {each.name: each for each in NODE_TYPES}
