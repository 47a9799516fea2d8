"""What callers' files are taken for, and what is refused: nothing that anybody may have written is believed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from factories import NOW, WORLD
from rdb_maker import aux, expiring, rdb, select, string

from api_schemas.snapshot_import import ImportSnapshot
from archives.manifest import Manifest, ManifestFile, ManifestPart
from archives.rdb.slots import slot_of
from controlplane.domain.slots import SlotRange
from controlplane.domain.topology import ClusterMode, Kind
from controlplane.reconciler.imported_files import ImportRefusedError, Look, Wanted, look_through
from controlplane.reconciler.uploads import Uploads

VALKEY_9 = aux(b"valkey-ver", b"9.1.2")
KEYS = [b"a", b"b", b"c", b"d", b"e", b"f"]
LOW = [key for key in KEYS if slot_of(key) < 8192]
HIGH = [key for key in KEYS if slot_of(key) >= 8192]


def a_file(*keys: bytes, header: bytes = b"VALKEY080", front: bytes = VALKEY_9, db: int = 0) -> bytes:
    return rdb(front, select(db, len(keys)), *map(string, keys), header=header)


def told(name: str, content: bytes, keys: int, **other: Any) -> ManifestFile:
    said = {"version": content[:9].decode(), "taken_at": NOW, "keys": keys, "expires": 0, "functions": 0, "databases": 1, "used_memory": 1000}
    return ManifestFile(name=name, size=len(content), sha256=hashlib.sha256(content).hexdigest(), **{**said, **other})


@dataclass
class Desk:
    """Files are sent, and looked through."""

    uploads: Uploads

    def send(self, name: str, content: bytes) -> None:
        with self.uploads.receiving(WORLD, "monday", name, len(content)) as receiver:
            receiver.write(content)

    def look(self, goes_on: Callable[[], bool] = lambda: True, **asked: Any) -> Look:
        with self.uploads.taken(WORLD, "monday") as pending:
            return look_through(pending, Wanted("monday", "uid1", ImportSnapshot(**asked), NOW, goes_on))

    def refusal(self, **asked: Any) -> str:
        with pytest.raises(ImportRefusedError) as refused:
            self.look(**asked)
        return str(refused.value)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    yield Desk(Uploads(tmp_path / "uploads", 1 << 20))
    left = [path for path in (tmp_path / "uploads").rglob("*") if path.is_file()]
    assert left == []


FIRST, SECOND = a_file(*LOW), a_file(*HIGH)


def a_manifest(**fields: Any) -> Manifest:
    """Of a cluster of two shards, whose files are FIRST and SECOND."""
    parts = [
        ManifestPart(node_group="0001", slots="0-8191", replicas=1, zones=["us-east-1a", "us-east-1b"], node="orders-0001-001",
                     file=told("1.rdb", FIRST, len(LOW))),
        ManifestPart(node_group="0002", slots="8192-16383", replicas=1, zones=["us-east-1b", "us-east-1c"], node="orders-0002-001",
                     file=told("2.rdb", SECOND, len(HIGH))),
    ]  # fmt: skip
    usual = {
        "name": "sunday", "taken_at": NOW, "source": "orders", "engine": "valkey", "engine_version": "9.1", "cluster_mode": "enabled",
        "node_type": "cache.t4g.medium", "port": 6380, "parameter_group": "default.valkey9.cluster.on",
        "parameters": {"cluster-enabled": "yes"}, "parts": parts,
    }  # fmt: skip
    return Manifest(**{**usual, **fields})


def send_both(desk: Desk, manifest: Manifest) -> None:
    desk.send("1.rdb", FIRST)
    desk.send("2.rdb", SECOND)
    desk.send("manifest.json", manifest.to_bytes())


# ---- a file alone


@pytest.mark.parametrize(
    ("front", "header", "asked", "engine", "version", "kind"),
    [
        (aux(b"valkey-ver", b"9.1.2"), b"VALKEY080", {}, "valkey", "9.1", Kind.REPLICATION_GROUP),
        (aux(b"valkey-ver", b"8.1.8"), b"REDIS0011", {}, "valkey", "8.1", Kind.REPLICATION_GROUP),
        (aux(b"redis-ver", b"7.0.15"), b"REDIS0010", {}, "redis", "7.0", Kind.CACHE_CLUSTER),
        (aux(b"redis-ver", b"5.0.14"), b"REDIS0009", {}, "redis", "5.0.6", Kind.CACHE_CLUSTER),
        (aux(b"redis-ver", b"7.0.15"), b"REDIS0010", {"engine": "valkey"}, "valkey", "9.1", Kind.REPLICATION_GROUP),
        (b"", b"REDIS0009", {"engine": "Redis", "engine_version": "6.2"}, "redis", "6.2", Kind.CACHE_CLUSTER),
    ],
)
def test_a_file_alone_is_of_whom_it_says(
    desk: Desk, front: bytes, header: bytes, asked: dict[str, str], engine: str, version: str, kind: Kind
) -> None:
    content = a_file(*KEYS, front=front, header=header)
    desk.send("dump.rdb", content)
    look = desk.look(**asked)
    assert (look.origin.engine, look.origin.engine_version, look.origin.kind) == (engine, version, kind)
    assert (look.origin.cluster_mode, look.origin.node_type) == (ClusterMode.DISABLED, "cache.t4g.small")
    [part] = look.parts
    assert part.slots == () and part.file is not None
    assert (part.file.key, part.file.size, part.file.keys, part.file.databases) == ("uid1/0001-0.rdb", len(content), len(KEYS), 1)
    assert part.file.sha256 == hashlib.sha256(content).hexdigest()


def test_what_a_writer_noted_is_kept_where_it_makes_sense(desk: Desk) -> None:
    desk.send("dump.rdb", a_file(b"a", front=VALKEY_9 + aux(b"ctime", b"1700000000") + aux(b"used-mem", b"12345"), db=3))
    file = desk.look(cache_node_type="cache.r7g.large").parts[0].file
    assert file is not None
    assert (int(file.taken_at.timestamp()), file.used_memory, file.databases) == (1700000000, 12345, 4)
    desk.send("dump.rdb", a_file(b"a", front=VALKEY_9 + aux(b"ctime", b"99999999999999")))
    file = desk.look().parts[0].file
    assert file is not None and file.taken_at == NOW


@pytest.mark.parametrize(
    ("content", "asked", "because"),
    [
        (a_file(b"a", front=b""), {}, "does not say which engine wrote it"),
        (a_file(b"a", front=aux(b"valkey-ver", b"7.9.1")), {}, "written by valkey 7.9.1, which is not on offer"),
        (a_file(b"a"), {"engine": "valkey", "engine_version": "8.1"}, "valkey 8.1 reads no later than REDIS0011"),
        (a_file(b"a"), {"engine": "memcached"}, "which RDB files memcached 1.6.22 reads"),
        (a_file(b"a"), {"engine": "dragonfly"}, "Invalid cache engine"),
        (a_file(b"a"), {"cache_node_type": "cache.huge"}, "Invalid Cache Node Type: cache.huge"),
        (a_file(b"a", b"a"), {}, "more than once"),
        (a_file(b"a")[:-3], {}, "offset"),
        (a_file(b"a")[:-8] + bytes(8), {}, "no checksum"),
        (b"", {}, "is empty"),
        (b"PK\3\4 a zip file", {}, "is no RDB file"),
        (b"REDIS0012" + a_file(b"a")[9:], {}, "is not known here"),
    ],
)
def test_a_file_that_will_not_do_is_refused_with_the_reason(desk: Desk, content: bytes, asked: dict[str, str], because: str) -> None:
    desk.send("dump.rdb", content)
    assert because in desk.refusal(**asked)


def test_several_files_without_a_manifest_are_refused(desk: Desk) -> None:
    desk.send("1.rdb", FIRST)
    desk.send("2.rdb", SECOND)
    assert "SnapshotArns" in desk.refusal()


# ---- with a manifest


def test_with_its_manifest_everything_is_as_it_was(desk: Desk) -> None:
    send_both(desk, a_manifest())
    look = desk.look()
    origin = look.origin
    assert (origin.name, origin.kind, origin.engine, origin.engine_version) == ("orders", Kind.REPLICATION_GROUP, "valkey", "9.1")
    assert (origin.cluster_mode, origin.node_type, origin.port) == (ClusterMode.ENABLED, "cache.t4g.medium", 6380)
    assert [part.slots for part in look.parts] == [(SlotRange(0, 8191),), (SlotRange(8192, 16383),)]
    assert [part.zones for part in look.parts] == [("us-east-1a", "us-east-1b"), ("us-east-1b", "us-east-1c")]
    assert {group: upload.name for group, upload in look.uploads.items()} == {"0001": "1.rdb", "0002": "2.rdb"}


def changed(number: int, **file: Any) -> list[ManifestPart]:
    parts = list(a_manifest().parts)
    parts[number] = parts[number].model_copy(update={"file": parts[number].file.model_copy(update=file)})
    return parts


def slots(first: str, second: str) -> list[ManifestPart]:
    return [part.model_copy(update={"slots": owned}) for part, owned in zip(a_manifest().parts, (first, second), strict=True)]


@pytest.mark.parametrize(
    ("fields", "because"),
    [
        ({"parts": changed(0, sha256="00" * 32)}, "1.rdb is another file than the manifest names"),
        ({"parts": changed(1, size=1000)}, "2.rdb is another file than the manifest names"),
        ({"parts": changed(0, keys=99)}, "and the manifest says 99"),
        ({"parts": changed(0, expires=1)}, "1.rdb has 0 as its expires, and the manifest says 1"),
        ({"parts": changed(0, functions=4)}, "1.rdb has 0 as its functions, and the manifest says 4"),
        ({"parts": changed(0, version="REDIS0011")}, "1.rdb has VALKEY080 as its version, and the manifest says REDIS0011"),
        ({"parts": changed(0, name="3.rdb")}, "the manifest names 3.rdb, which was not sent"),
        ({"parts": a_manifest().parts[:1]}, "the manifest does not name 2.rdb"),
        ({"parts": slots("8192-16383", "0-8191")}, "1.rdb: "),
        ({"parts": slots("0-8191", "8193-16383")}, "Slots 8192-8192 are in no node group"),
        ({"parts": slots("0-9000", "8192-16383")}, "Slot 8192 is in two node groups"),
        ({"parts": slots("", "0-16383")}, "lots"),
        ({"parts": slots("0-99999", "8192-16383")}, "lot"),
        ({"engine_version": "8.1"}, "valkey 8.1 reads no later than REDIS0011"),
        ({"engine_version": "12.0"}, "Cannot find version 12.0 for valkey"),
        ({"node_type": "cache.huge"}, "Invalid Cache Node Type"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused_with_the_reason(desk: Desk, fields: dict[str, Any], because: str) -> None:
    send_both(desk, a_manifest(**fields))
    assert because in desk.refusal()


def test_a_manifest_that_was_changed_is_refused(desk: Desk) -> None:
    desk.send("1.rdb", FIRST)
    desk.send("manifest.json", a_manifest().to_bytes().replace(b"orders", b"orderx"))
    assert "was changed after it was written" in desk.refusal()
    desk.send("1.rdb", FIRST)
    desk.send("manifest.json", b"[" * 100_000)
    assert "is no JSON" in desk.refusal()
    desk.send("manifest.json", a_manifest().to_bytes())
    assert "no RDB file" in desk.refusal()


def test_nothing_of_a_manifest_is_taken_over_that_is_in_no_list_of_ours(desk: Desk) -> None:
    hostile = {"dir": "/etc", "cluster-enabled": "yes", "maxmemory-policy": "no-such-policy", "timeout": "60"}
    names = {"source": "<script>", "parameter_group": "../../etc", "parameters": hostile}
    parts = [part.model_copy(update={"node": "a\nb", "zones": ["us-east-1a", "\x1b[2J"]}) for part in a_manifest().parts]
    send_both(desk, a_manifest(**names, parts=parts))
    look = desk.look()
    assert (look.origin.name, look.origin.parameter_group) == ("monday", "default.valkey9.cluster.on")
    assert look.origin.parameters == (("cluster-enabled", "yes"), ("timeout", "60"))
    assert {(part.node, part.zones) for part in look.parts} == {("monday", ("us-east-1a",))}


def test_a_cache_alone_is_one_again(desk: Desk) -> None:
    content = rdb(aux(b"redis-ver", b"7.0.15"), select(0, 1), expiring(2_000_000_000_000, string(b"a")), header=b"REDIS0010")
    part = ManifestPart(node_group="0001", replicas=0, zones=["us-east-1a"], node="sessions", file=told("1.rdb", content, 1, expires=1))
    desk.send("1.rdb", content)
    alone = {"engine": "redis", "engine_version": "7.0", "cluster_mode": "disabled", "source": "sessions", "parts": [part], "parameters": {}}
    desk.send("manifest.json", a_manifest(**alone, parameter_group="default.redis7").to_bytes())
    look = desk.look()
    assert (look.origin.kind, look.origin.name, look.origin.parameter_group) == (Kind.CACHE_CLUSTER, "sessions", "default.redis7")


def test_another_engine_than_the_manifests_is_refused(desk: Desk) -> None:
    send_both(desk, a_manifest())
    assert "Engine is redis: leave it out" in desk.refusal(engine="redis")
