"""What uploaded files are: each is looked at from its first byte to its last, and by its manifest, before any engine sees it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from api_schemas.faults import Fault
from api_schemas.snapshot_import import ImportSnapshot
from archives import manifest as m
from archives.rdb import aside
from archives.rdb.checking import Summary
from archives.rdb.cutting import Cut
from archives.rdb.header import RdbRefusedError, why_unreadable
from controlplane.domain.backup import SavedFile
from controlplane.domain.engine_versions import ENGINE_VERSIONS, EngineVersion, engine_version, normalised_engine
from controlplane.domain.node_types import must_support, node_type
from controlplane.domain.parameters import default_group_for, parameters_of
from controlplane.domain.settings import Settings
from controlplane.domain.slots import must_cover_all, parsed_slots
from controlplane.domain.snapshot import Origin, SnapshotPart
from controlplane.domain.topology import ClusterMode, Kind
from controlplane.reconciler.uploads import Pending, Uploaded

DEFAULT_NODE_TYPE = "cache.t4g.small"

_ID = re.compile(r"[a-z](?:-?[a-z0-9]){0,49}")
_ZONE = re.compile(r"[a-z]{2}(-[a-z0-9]+)+-\d{1,2}[a-z]")


class ImportRefusedError(Exception):
    """No snapshot can be made of the files; the text says why."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A snapshot of that name shall be made, with what a caller says of it. ``goes_on`` is asked whether it is still wanted."""

    name: str
    uid: str
    asked: ImportSnapshot
    now: datetime
    goes_on: Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Look:
    """What was found: the origin and the parts of the snapshot to be, with the upload that is each part's file."""

    origin: Origin
    parts: tuple[SnapshotPart, ...]
    uploads: dict[str, Uploaded]


def look_through(pending: Pending, wanted: Wanted) -> Look:
    """What the snapshot would be. Raises ImportRefusedError, RdbAsideError, OSError."""
    files = dict(pending.files)
    written = files.pop(m.NAME, None)
    if not files:
        raise ImportRefusedError("there is a manifest and no RDB file: send the files that it names")
    try:
        manifest = m.read_manifest(written.path.read_bytes() if written.size <= m.LARGEST else b"") if written else None
        if manifest is None:
            return _alone(pending, _only(files), wanted)
        return _by_manifest(pending, manifest, files, wanted)
    except m.ManifestRefusedError as refused:
        raise ImportRefusedError(str(refused)) from refused
    except Fault as refused:  # what the domain says of an engine, a version, a node type, slots
        raise ImportRefusedError(refused.message) from refused


def _only(files: dict[str, Uploaded]) -> Uploaded:
    if len(files) > 1:
        raise ImportRefusedError(
            f"{len(files)} RDB files came without the manifest.json that says which slots each has: send it with them, or put the files "
            "into a bucket and create a replication group from them by SnapshotArns"
        )
    return next(iter(files.values()))


# ---- a file alone


def _alone(pending: Pending, file: Uploaded, wanted: Wanted) -> Look:
    asked, summary = wanted.asked, _summary(pending, file, wanted)
    writer = summary.engine
    if not asked.engine and writer is None:
        raise ImportRefusedError(f"{file.name} does not say which engine wrote it: give Engine and EngineVersion")
    engine = normalised_engine(asked.engine) if asked.engine else (writer or ("", ""))[0]
    said = writer[1] if writer is not None and writer[0] == engine else None
    version = engine_version(engine, asked.engine_version) if asked.engine_version or not said else _listed(engine, said)
    _must_read(file, summary, version)
    created = wanted.now if summary.created is None else _moment(summary.created, wanted.now)
    kind = Kind.CACHE_CLUSTER if engine == "redis" else Kind.REPLICATION_GROUP
    source = _id("", wanted.name)
    origin = _origin(wanted.uid, kind, source, version, asked.cache_node_type or DEFAULT_NODE_TYPE, 6379, ClusterMode.DISABLED)
    node = source if kind is Kind.CACHE_CLUSTER else f"{source}-001"
    part = SnapshotPart("0001", (), 0, (), node, file=_saved(wanted.uid, "0001", summary, created))
    return Look(origin, (part,), {"0001": file})


def _moment(seconds: int, now: datetime) -> datetime:
    """When a file says that it was written; now, where that is no time in the past."""
    return datetime.fromtimestamp(seconds, UTC) if 0 < seconds < now.timestamp() else now


def _listed(engine: str, writer: str) -> EngineVersion:
    """The version on offer that is the writer's but for the patch."""
    numbers = tuple(int(part) for part in writer.split(".")[:2] if part.isdigit())
    found = [each for each in ENGINE_VERSIONS if each.engine == engine and each.creatable and each.numbers[:2] == numbers]
    if not found:
        offered = ", ".join(each.version for each in ENGINE_VERSIONS if each.engine == engine and each.creatable)
        raise ImportRefusedError(f"the file was written by {engine} {writer[:20]}, which is not on offer: give EngineVersion as {offered}")
    return max(found, key=lambda each: each.numbers)


# ---- files with their manifest


def _by_manifest(pending: Pending, manifest: m.Manifest, files: dict[str, Uploaded], wanted: Wanted) -> Look:
    asked = wanted.asked
    if (asked.engine or manifest.engine).lower() != manifest.engine:
        raise ImportRefusedError(f"the manifest says that the engine was {manifest.engine}, and Engine is {asked.engine}: leave it out")
    version = engine_version(manifest.engine, asked.engine_version or manifest.engine_version)
    mode = ClusterMode(manifest.cluster_mode)
    clustered = mode is ClusterMode.ENABLED
    _must_be_those(manifest, files)
    slots = [parsed_slots(part.slots) if clustered else () for part in manifest.parts]
    if clustered:
        must_cover_all(slots)
    parts = []
    for told, owned in zip(manifest.parts, slots, strict=True):
        file = files[told.file.name]
        summary = _summary(pending, file, wanted)
        _must_read(file, summary, version)
        _must_be_as_told(file, summary, told.file)
        if clustered:
            _must_be_in_its_slots(pending, file, [(each.first, each.last) for each in owned], wanted)
        zones = tuple(zone for zone in told.zones if _ZONE.fullmatch(zone))
        saved = _saved(wanted.uid, told.node_group, summary, told.file.taken_at, told.file)
        parts.append(SnapshotPart(told.node_group, owned, told.replicas, zones, _id(told.node, wanted.name), file=saved))
    origin = _origin(
        wanted.uid, _kind(manifest, mode), _id(manifest.source, wanted.name), version, asked.cache_node_type or manifest.node_type,
        manifest.port, mode, manifest,
    )  # fmt: skip
    return Look(origin, tuple(parts), {part.node_group: files[part.file.name] for part in manifest.parts})


def _must_be_those(manifest: m.Manifest, files: dict[str, Uploaded]) -> None:
    named = {part.file.name: part.file for part in manifest.parts}
    if missing := sorted(named.keys() - files.keys()):
        raise ImportRefusedError(f"the manifest names {missing[0]}, which was not sent")
    if surplus := sorted(files.keys() - named.keys()):
        raise ImportRefusedError(f"the manifest does not name {surplus[0]}: send only the files of one snapshot")
    for name, told in named.items():
        found = files[name]
        if (found.size, found.sha256) != (told.size, told.sha256):
            raise ImportRefusedError(f"{name} is another file than the manifest names: it has {found.size} bytes with the SHA-256 "
                                     f"{found.sha256}, and should have {told.size} with {told.sha256}")  # fmt: skip


def _must_be_as_told(file: Uploaded, summary: Summary, told: m.ManifestFile) -> None:
    found = {"version": str(summary.version), "keys": summary.total_keys, "expires": summary.expires, "functions": len(summary.functions)}
    for what, value in found.items():
        said = getattr(told, what)
        if said is not None and said != value:
            raise ImportRefusedError(f"{file.name} has {value} as its {what}, and the manifest says {said}")


def _must_be_in_its_slots(pending: Pending, file: Uploaded, slots: Sequence[tuple[int, int]], wanted: Wanted) -> None:
    pending.tell(f"{file.name} is compared with its slots", file.size)
    made = file.path.with_name(f".{file.name}.cut")
    try:
        cut = [Cut(made, tuple(slots))]
        aside.cut([file.path], cut, every_database=True, must_place_every_key=True, told=pending.told, goes_on=wanted.goes_on)
    except RdbRefusedError as refused:
        raise ImportRefusedError(f"{file.name}: {refused}") from refused
    finally:
        made.unlink(missing_ok=True)


def _kind(manifest: m.Manifest, mode: ClusterMode) -> Kind:
    """A cache alone has one node, which has its name."""
    [*_, last] = manifest.parts
    alone = manifest.engine == "redis" and len(manifest.parts) == 1 and last.node == manifest.source
    return Kind.CACHE_CLUSTER if alone and mode is not ClusterMode.ENABLED else Kind.REPLICATION_GROUP


# ---- any


def _summary(pending: Pending, file: Uploaded, wanted: Wanted) -> Summary:
    pending.tell(f"{file.name} is looked through", file.size)
    try:
        summary = aside.summarise(file.path, deep=True, told=pending.told, goes_on=wanted.goes_on)
    except RdbRefusedError as refused:
        raise ImportRefusedError(f"{file.name}: {refused}") from refused
    if summary.sha256 != file.sha256:
        raise ImportRefusedError(f"{file.name} is not what was sent any more: its SHA-256 is {summary.sha256}, and was {file.sha256}")
    if summary.modules:
        raise ImportRefusedError(f"{file.name} has data of the modules {', '.join(summary.modules)}, which no engine here has")
    if summary.importing:
        raise ImportRefusedError(f"{file.name} was written while slots were on their way to its writer, so that some keys are missing")
    return summary


def _must_read(file: Uploaded, summary: Summary, version: EngineVersion) -> None:
    if why := why_unreadable(summary.version, version.engine, version.version):
        raise ImportRefusedError(f"{file.name}: {why}")


def _saved(uid: str, group: str, summary: Summary, taken_at: datetime, told: m.ManifestFile | None = None) -> SavedFile:
    return SavedFile(
        key=f"{uid}/{group}-0.rdb",
        size=summary.size,
        sha256=summary.sha256,
        version=str(summary.version),
        taken_at=taken_at if taken_at.tzinfo else taken_at.replace(tzinfo=UTC),
        keys=summary.total_keys,
        expires=summary.expires,
        functions=len(summary.functions),
        databases=max((db for db, keys in summary.keys.items() if keys), default=-1) + 1,
        used_memory=(told.used_memory if told else 0) or summary.used_memory or 0,
    )


def _origin(uid: str, kind: Kind, source: str, version: EngineVersion, node: str, port: int, mode: ClusterMode,
            manifest: m.Manifest | None = None) -> Origin:  # fmt: skip
    """Nothing that is in no list of ours is taken from a manifest, which anybody may have written."""
    must_support(node_type(node), version)
    clustered = mode is ClusterMode.ENABLED
    parameters = {each.name: each for each in parameters_of(version.family, cluster_mode=clustered)}
    given = manifest.parameters if manifest is not None else {}
    kept = tuple(sorted((name, value) for name, value in given.items() if name in parameters and parameters[name].allows(value)))
    default = default_group_for(version.family, cluster_mode=clustered).name
    group = manifest.parameter_group if manifest is not None else ""
    return Origin(
        uid=uid,
        kind=kind,
        name=source,
        engine=version.engine,
        engine_version=version.version,
        node_type=node,
        port=port,
        parameter_group=group if _ID.fullmatch(group) else default,
        parameters=kept,
        subnet_group=None,
        settings=Settings(),
        cluster_mode=mode,
        created_at=None,
    )


def _id(told: str, otherwise: str) -> str:
    return told if _ID.fullmatch(told) else otherwise[:40].rstrip("-")
