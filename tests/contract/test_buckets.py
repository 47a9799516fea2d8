"""What buckets of callers do, in folders and in S3."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from object_store import ObjectStore
from ports import free_port

from archives import buckets as b

_numbers = itertools.count(1)


@pytest.fixture(params=["folder", "s3"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def buckets(kind: str, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[b.Buckets]:
    if kind == "folder":
        (tmp_path / "buckets").mkdir()
        yield b.DirectoryBuckets(tmp_path / "buckets")
        return
    store: ObjectStore = request.getfixturevalue("store")
    store.use(monkeypatch)
    s3 = b.S3Buckets(store.endpoint, "us-east-1")
    yield s3
    s3.close()


@pytest.fixture
def bucket(kind: str, buckets: b.Buckets, tmp_path: Path, request: pytest.FixtureRequest) -> str:
    name = f"exports-{next(_numbers)}"
    if kind == "folder":
        (tmp_path / "buckets" / name).mkdir()
    else:
        request.getfixturevalue("store").make_bucket(name)
    return name


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "dump.rdb").write_bytes(os.urandom(9 << 20))
    return tmp_path / "dump.rdb"


@pytest.mark.parametrize("key", ["orders-0001.rdb", "a/b c/ä~?#%41+.rdb", "x~0123456789abcdef"])
def test_what_was_put_is_fetched_under_any_name(buckets: b.Buckets, bucket: str, source: Path, tmp_path: Path, key: str) -> None:
    told: list[int] = []
    buckets.put(bucket, key, source, told.append)
    buckets.fetch(bucket, key, tmp_path / "target", told.append)
    assert (tmp_path / "target").read_bytes() == source.read_bytes()
    assert buckets.size(bucket, key) == told[-1] == 9 << 20


def test_a_bucket_is_there_or_not(buckets: b.Buckets, bucket: str) -> None:
    assert buckets.exists(bucket)
    assert not any(buckets.exists(name) for name in ("no-such-bucket", "..", "Big", "", "a/b"))


def test_what_is_missing_is_said_with_bucket_and_key(buckets: b.Buckets, bucket: str, source: Path, tmp_path: Path) -> None:
    for call in (lambda: buckets.size(bucket, "a/b"), lambda: buckets.fetch(bucket, "a/b", tmp_path / "target")):
        with pytest.raises(b.NoSuchKeyError) as missing:
            call()
        assert (missing.value.bucket, missing.value.key) == (bucket, "a/b")
    calls: list[Callable[[], object]] = [
        lambda: buckets.size("no-such-bucket", "k"),
        lambda: buckets.fetch("no-such-bucket", "k", tmp_path / "target"),
        lambda: buckets.put("no-such-bucket", "k", source),
        lambda: buckets.put("..", "k", source),
    ]
    for call in calls:
        with pytest.raises(b.NoSuchBucketError) as absent:
            call()
        assert absent.value.key == "k"
    assert not (tmp_path / "target").exists()


def test_an_object_that_is_there_is_not_replaced(buckets: b.Buckets, bucket: str, source: Path, tmp_path: Path) -> None:
    buckets.put(bucket, "k", source)
    (tmp_path / "other").write_bytes(b"other")
    with pytest.raises(b.KeyExistsError, match="already contains an object k"):
        buckets.put(bucket, "k", tmp_path / "other")
    assert buckets.size(bucket, "k") == 9 << 20


def test_a_name_that_no_object_has_is_refused(buckets: b.Buckets, bucket: str, source: Path) -> None:
    for key in ("", "é" * 513, "\ud800"):
        with pytest.raises(b.BadKeyError):
            buckets.put(bucket, key, source)


def test_trouble_with_the_callers_own_file_is_no_trouble_of_the_bucket(buckets: b.Buckets, bucket: str, source: Path, tmp_path: Path) -> None:
    buckets.put(bucket, "k", source)
    for call in (lambda: buckets.put(bucket, "k2", tmp_path / "absent"), lambda: buckets.fetch(bucket, "k", tmp_path / "absent/target")):
        with pytest.raises(b.BucketError, match="absent") as found:
            call()
        assert type(found.value) is b.BucketError


# ---- folders alone


def test_no_name_leads_out_of_a_folder(tmp_path: Path, source: Path) -> None:
    (tmp_path / "buckets/exports").mkdir(parents=True)
    (tmp_path / "buckets/linked").symlink_to(tmp_path)
    (tmp_path / "buckets/exports/out").symlink_to(tmp_path)
    buckets = b.DirectoryBuckets(tmp_path / "buckets")
    for key in ("../dump.rdb", "/etc/passwd", "a/../../dump.rdb", "a\0", "a//b", "a/", "."):
        with pytest.raises(b.BadKeyError):
            buckets.size("exports", key)
    assert not buckets.exists("linked")
    with pytest.raises(b.NoSuchBucketError):
        buckets.size("linked", "dump.rdb")
    with pytest.raises(b.NotAccessibleError, match="is refused"):
        buckets.size("exports", "out/dump.rdb")
    with pytest.raises(b.NotWritableError, match="is refused"):
        buckets.put("exports", "out/new", source)
    assert not (tmp_path / "new").exists()


def test_a_callers_file_is_never_taken_for_a_leftover(tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("archives.aside.OLD", -1.0)
    mine = tmp_path / "buckets/exports/x~0123456789abcdef"
    mine.parent.mkdir(parents=True)
    mine.touch()
    b.DirectoryBuckets(tmp_path / "buckets").put("exports", "k", source)
    assert mine.exists()


# ---- S3 alone


def test_wrong_credentials_are_not_accessible(store: ObjectStore, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store.make_bucket("others")
    store.use(monkeypatch)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    buckets = b.S3Buckets(store.endpoint)
    for call in (
        lambda: buckets.exists("others"),
        lambda: buckets.size("others", "k"),
        lambda: buckets.fetch("others", "k", tmp_path / "target"),
        lambda: buckets.put("others", "k", source),
    ):
        with pytest.raises(b.NotAccessibleError):
            call()
    buckets.close()


def test_an_endpoint_that_is_dead_is_away(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.use(monkeypatch)
    buckets = b.S3Buckets(f"http://127.0.0.1:{free_port()}")
    with pytest.raises(b.BucketAwayError):
        buckets.exists("exports")
    buckets.close()
