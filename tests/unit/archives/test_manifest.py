"""A manifest is read as it was written, or refused with a reason."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archives.archive import ArchiveError
from archives.manifest import LARGEST, Manifest, ManifestFile, ManifestPart, ManifestRefusedError, must_be_whole, read_manifest

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


def a_file(name: str = "0001-1-ab.rdb", **other: Any) -> ManifestFile:
    return ManifestFile(**{"name": name, "size": 100, "sha256": "0" * 64, "version": "VALKEY080", "taken_at": AT, "keys": 3} | other)


def a_part(group: str = "0001", slots: str = "", **other: Any) -> ManifestPart:
    asked = {"node_group": group, "slots": slots, "replicas": 1, "zones": ["us-east-1a", "us-east-1b"], "node": f"orders-{group}-001"}
    return ManifestPart(**asked | {"file": a_file(f"{group}-1-ab.rdb")} | other)


def a_manifest(**other: Any) -> Manifest:
    asked = {"name": "monday", "taken_at": AT, "source": "orders", "engine": "valkey", "engine_version": "9.1", "cluster_mode": "enabled",
             "node_type": "cache.t4g.small", "port": 6379, "parameter_group": "default.valkey9.cluster.on", "parameters": {"a": "1"},
             "parts": [a_part("0001", "0-8191"), a_part("0002", "8192-16383")]}  # fmt: skip
    return Manifest(**asked | other)


def written(content: Any) -> bytes:
    """What somebody would have to write who knows how the digest is made."""
    import hashlib

    digest = hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
    return json.dumps({"digest": digest, "manifest": content}).encode()


def test_it_is_read_as_it_was_written() -> None:
    assert read_manifest(a_manifest().to_bytes()) == a_manifest()


@given(st.data())
def test_every_byte_counts(data: st.DataObject) -> None:
    """A change that leaves the meaning as it is (a blank more) is no change; any other is noticed."""
    content = a_manifest().to_bytes()
    at = data.draw(st.integers(0, len(content) - 1))
    changed = content[:at] + bytes([data.draw(st.integers(0, 255))]) + content[at + 1 :]
    try:
        assert read_manifest(changed) == a_manifest()
    except ManifestRefusedError as refused:
        assert str(refused)


@given(st.integers(0, 400))
def test_half_a_manifest_is_none(length: int) -> None:
    content = a_manifest().to_bytes()
    with pytest.raises(ManifestRefusedError):
        read_manifest(content[: min(length, len(content) - 3)])


@given(st.binary(max_size=300))
def test_anything_else_is_refused(content: bytes) -> None:
    with pytest.raises(ManifestRefusedError):
        read_manifest(content)


def the_content() -> dict[str, Any]:
    found: dict[str, Any] = a_manifest().model_dump(mode="json")
    return found


HOSTILE: list[tuple[str, Any, str]] = [
    ("a name that leads elsewhere", ("parts", 0, "file", "name", "../../etc/passwd"), "name"),
    ("a hidden file", ("parts", 0, "file", "name", ".ssh"), "name"),
    ("a file of no bytes", ("parts", 0, "file", "size", 0), "size"),
    ("a file of more bytes than there are", ("parts", 0, "file", "size", 1 << 60), "size"),
    ("a digest that is none", ("parts", 0, "file", "sha256", "zz"), "sha256"),
    ("a version that is none", ("parts", 0, "file", "version", "REDIS"), "version"),
    ("slots that are none", ("parts", 0, "slots", "0-8191;rm"), "slots"),
    ("an engine that keeps nothing", ("engine", "memcached"), "engine"),
    ("a port that is none", ("port", 70000), "port"),
    ("another form", ("format", 2), "format"),
    ("more than it should have", ("surprise", 1), "surprise"),
    ("no parts", ("parts", []), "parts"),
]


@pytest.mark.parametrize(("change", "named"), [(change, named) for _, change, named in HOSTILE], ids=[name for name, _, _ in HOSTILE])
def test_what_cannot_be_is_refused_by_its_place(change: tuple[Any, ...], named: str) -> None:
    content = the_content()
    *path, last, value = change
    inside: Any = content
    for step in path:
        inside = inside[step]
    inside[last] = value
    with pytest.raises(ManifestRefusedError, match=named):
        read_manifest(written(content))


def test_a_file_that_is_named_twice_is_refused() -> None:
    twice = a_manifest(parts=[a_part("0001", "0-8191"), a_part("0002", "8192-16383", file=a_file("0001-1-ab.rdb"))])
    with pytest.raises(ManifestRefusedError, match="a file twice"):
        read_manifest(twice.to_bytes())


def test_several_node_groups_are_for_cluster_mode() -> None:
    with pytest.raises(ManifestRefusedError, match="cluster mode"):
        read_manifest(a_manifest(cluster_mode="disabled").to_bytes())


def test_one_that_is_endless_is_not_read() -> None:
    with pytest.raises(ManifestRefusedError, match="bytes"):
        read_manifest(b"[" * (LARGEST + 1))
    with pytest.raises(ManifestRefusedError):
        read_manifest(b"[" * 1_000_000)


@pytest.mark.parametrize(("sizes", "says"), [({}, "missing"), ({"0001-1-ab.rdb": 99, "0002-1-ab.rdb": 100}, "has 99 bytes")])
def test_files_that_are_not_there_are_told(sizes: dict[str, int], says: str) -> None:
    with pytest.raises(ArchiveError, match=says):
        must_be_whole(a_manifest(), sizes)
    must_be_whole(a_manifest(), {"0001-1-ab.rdb": 100, "0002-1-ab.rdb": 100})
