"""What every archive does, in a folder and in a bucket."""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic
from urllib.parse import quote

import pytest
from breaking_relay import breaking_relay
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from object_store import ObjectStore
from ports import free_port

from archives.archive import Archive, ArchiveAwayError, ArchiveError, Entry, NotInArchiveError
from archives.identity import identity, must_be
from archives.keys import is_part
from archives.opening import open_archive

MEGABYTE = 1 << 20
_numbers = itertools.count(1)

New = Callable[[], Archive]


@pytest.fixture(scope="module")
def buckets(store: ObjectStore) -> str:
    """One bucket for all: each archive has a prefix of its own in it."""
    store.make_bucket("archives")
    return f"s3://archives/{{}}?endpoint={quote(store.endpoint, safe='')}&region=us-east-1"


@pytest.fixture(params=["folder", "bucket"])
def new(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[New]:
    """Makes empty archives."""
    opened: list[Archive] = []

    def make() -> Archive:
        number = next(_numbers)
        opened.append(open_archive(where.format(f"a{number}")))
        opened[-1].found()
        return opened[-1]

    if request.param == "folder":
        where = tmp_path.as_uri() + "/{}"
    else:
        where = request.getfixturevalue("buckets")
        request.getfixturevalue("store").use(monkeypatch)
    yield make
    for archive in opened:
        archive.close()


@pytest.fixture
def archive(new: New) -> Archive:
    return new()


def keys_of(archive: Archive, prefix: str = "") -> list[str]:
    return [entry.key for entry in archive.list(prefix)]


def test_what_was_put_is_fetched(archive: Archive, tmp_path: Path) -> None:
    source, target = tmp_path / "dump.rdb", tmp_path / "target.rdb"
    source.write_bytes(b"REDIS0011")
    archive.put("a1b2/0001.rdb", source)
    archive.fetch("a1b2/0001.rdb", target)
    assert target.read_bytes() == archive.read_bytes("a1b2/0001.rdb", 9) == b"REDIS0011"
    assert archive.size("a1b2/0001.rdb") == 9
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["dump.rdb", "target.rdb"]


@pytest.mark.parametrize("may_link", [False, True])
def test_a_large_file_comes_back_as_it_was_and_both_ways_are_told(archive: Archive, tmp_path: Path, may_link: bool) -> None:
    source, target = tmp_path / "dump.rdb", tmp_path / "target.rdb"
    source.write_bytes(os.urandom(30 * MEGABYTE))
    put: list[int] = []
    fetched: list[int] = []
    archive.put("large/1", source, may_link=may_link, told=put.append)
    archive.fetch("large/1", target, told=fetched.append)
    assert target.read_bytes() == source.read_bytes()
    for told in (put, fetched):
        assert told == sorted(told) and told[-1] == 30 * MEGABYTE
    with archive.open("large/1") as file:
        assert file.read(5) + file.read() == source.read_bytes()


def test_an_empty_file_is_a_file(archive: Archive, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    archive.put("a/empty", tmp_path / "empty")
    archive.put_bytes("a/bytes", b"")
    archive.fetch("a/empty", tmp_path / "target")
    assert list(archive.list("")) == [Entry("a/bytes", 0), Entry("a/empty", 0)]
    assert (tmp_path / "target").read_bytes() == archive.read_bytes("a/bytes", 0) == b""
    with archive.open("a/empty") as file:
        assert file.read() == b""


def test_what_is_missing_is_said_to_be(archive: Archive, tmp_path: Path) -> None:
    assert archive.size("a/1") is None
    for missing in (
        lambda: archive.fetch("a/1", tmp_path / "target"),
        lambda: archive.read_bytes("a/1", 10),
        lambda: archive.open("a/1"),
        lambda: archive.copy("a/1", "a/2"),
        lambda: archive.copy("a/1", "a/1"),
    ):
        with pytest.raises(NotInArchiveError, match="a/1"):
            missing()
    archive.delete("a/1")
    archive.delete_all("a")
    assert keys_of(archive) == list(tmp_path.glob("target*")) == []


def test_a_source_that_is_none_is_refused(archive: Archive, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc/passwd")
    os.mkfifo(tmp_path / "pipe")
    for name in ("absent", "link", "pipe", "."):
        for may_link in (False, True):
            with pytest.raises(ArchiveError):
                archive.put("a/1", tmp_path / name, may_link=may_link)
    assert keys_of(archive) == []


def test_a_replaced_file_is_replaced_whole_and_its_readers_keep_the_old_one(archive: Archive) -> None:
    archive.put_bytes("a/1", b"old, and longer")
    with archive.open("a/1") as file:
        archive.put_bytes("a/1", b"new")
        assert file.read() == b"old, and longer"
    assert archive.read_bytes("a/1", 10) == b"new"


def test_a_copy_stays_when_the_original_is_replaced_or_deleted(archive: Archive, tmp_path: Path) -> None:
    archive.put_bytes("a/1", b"first")
    archive.copy("a/1", "b/1")
    archive.copy("b/1", "b/1")
    archive.copy("a/1", "b/1")
    archive.put_bytes("a/1", b"second")
    archive.copy("b/1", "c/1")
    archive.delete("b/1")
    assert [archive.read_bytes(key, 10) for key in ("a/1", "c/1")] == [b"second", b"first"]
    assert keys_of(archive) == ["a/1", "c/1"]


def test_the_same_file_may_be_put_twice_by_a_link(archive: Archive, tmp_path: Path) -> None:
    source = tmp_path / "dump.rdb"
    source.write_bytes(b"1")
    for _ in range(2):
        archive.put("a/1", source, may_link=True)
    source.unlink()
    assert list(archive.list("a")) == [Entry("a/1", 1)]


def test_more_than_was_expected_is_not_read(archive: Archive) -> None:
    archive.put_bytes("a/1", b"12345")
    with pytest.raises(ArchiveError, match=r"a/1 .*has (more than the 4|5) bytes"):
        archive.read_bytes("a/1", 4)


def test_of_those_who_would_be_first_one_is(archive: Archive) -> None:
    start = threading.Barrier(6)

    def race(number: int) -> bool:
        start.wait()
        return archive.put_new("a/1", str(number).encode())

    with ThreadPoolExecutor(6) as pool:
        first = list(pool.map(race, range(6)))
    assert first.count(True) == 1
    assert archive.read_bytes("a/1", 1) == str(first.index(True)).encode()


def test_an_identity_is_made_once_and_tells_archives_apart(new: New) -> None:
    one, other = new(), new()
    with ThreadPoolExecutor(4) as pool:
        seen = set(pool.map(lambda _: identity(one), range(4)))
    assert seen == {identity(open_archive(one.url))}
    must_be(one, identity(one))
    with pytest.raises(ArchiveError, match="share the folder, or use an S3 bucket"):
        must_be(other, identity(one))
    with pytest.raises(ArchiveError, match="sees another place"):
        must_be(other, identity(one)) if identity(other) else None


def test_an_identity_that_was_written_over_is_refused(archive: Archive) -> None:
    for content in (b"", b"[]", b'{"identity": 1}', b'{"identity": "../.."}'):
        archive.put_bytes("archive.json", content)
        with pytest.raises(ArchiveError, match="restore it"):
            identity(archive)


def test_a_list_is_in_the_order_of_keys_whatever_folders_there_are(archive: Archive) -> None:
    keys = ["a-b/1", "a.b", "a/1", "a/b/1", "a0", "ab/1", "b"]
    for key in reversed(keys):
        archive.put_bytes(key, b"")
    assert keys_of(archive) == keys
    assert keys_of(archive, "a/") == ["a/1", "a/b/1"]
    assert keys_of(archive, "ab") == ["ab/1"]
    assert keys_of(archive, "a/b") == ["a/b/1"]
    assert keys_of(archive, "none/") == []


def test_a_list_may_be_long(archive: Archive) -> None:
    keys = [f"many/{number:05}" for number in range(1100)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda key: archive.put_bytes(key, b"1"), keys))
    archive.put_bytes("manyfold", b"")
    assert keys_of(archive, "many/") == keys
    archive.delete_all("many")
    assert keys_of(archive) == ["manyfold"]


def test_one_folder_is_deleted_and_not_its_neighbours(archive: Archive) -> None:
    for key in ("a/b/1", "a/b/c/2", "a/bc", "a/d/1"):
        archive.put_bytes(key, b"")
    archive.delete_all("a/b")
    assert keys_of(archive) == ["a/bc", "a/d/1"]


parts = st.text("aB9._-", min_size=1, max_size=6).filter(is_part)


@given(st.sets(st.lists(parts, min_size=1, max_size=3).map(tuple), max_size=6))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_keys_can_be_kept_and_are_listed_in_order(archive: Archive, tried: set[tuple[str, ...]]) -> None:
    folder = f"example{next(_numbers)}/"
    kept = {key for key in tried if not any(other[: len(key)] == key for other in tried - {key})}  # no key is another's folder
    for key in kept:
        archive.put_bytes(folder + "/".join(key), b"1")
    assert keys_of(archive, folder) == sorted(folder + "/".join(key) for key in kept)


@given(st.one_of(st.text(max_size=8), st.sampled_from(["a/../b", "/a", "a/", "a//b", "..", ".", "a\0", "a~1", "a" * 201, "é", "a/" * 500])))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_other_key_reaches_anything(archive: Archive, key: str) -> None:
    if all(is_part(part) for part in key.split("/")):
        return
    for refused in (lambda: archive.put_bytes(key, b""), lambda: archive.read_bytes(key, 1), lambda: archive.delete(key), lambda: archive.delete_all(key)):
        with pytest.raises(ArchiveError, match="is no key of an archive"):
            refused()


def test_writers_and_readers_at_once_see_whole_files(archive: Archive, tmp_path: Path) -> None:
    contents = [bytes([letter]) * size for letter, size in ((65, 300_000), (66, 900_000), (67, 5))]
    archive.put_bytes("a/1", contents[0])

    def write(content: bytes) -> None:
        for _ in range(8):
            archive.put_bytes("a/1", content)

    def read(number: int) -> None:
        for _ in range(12):
            archive.fetch("a/1", tmp_path / f"target{number}")
            assert (tmp_path / f"target{number}").read_bytes() in contents
            assert archive.read_bytes("a/1", MEGABYTE) in contents

    with ThreadPoolExecutor(5) as pool:
        for done in [*(pool.submit(write, content) for content in contents), *(pool.submit(read, number) for number in range(2))]:
            done.result()
    assert keys_of(archive) == ["a/1"]


def test_a_caller_who_gives_up_leaves_nothing_behind(archive: Archive, tmp_path: Path) -> None:
    (tmp_path / "dump.rdb").write_bytes(bytes(20 * MEGABYTE))
    archive.put("a/0", tmp_path / "dump.rdb")

    class EnoughError(Exception):
        pass

    def enough(_: int) -> None:
        raise EnoughError

    with pytest.raises(EnoughError):
        archive.put("a/1", tmp_path / "dump.rdb", told=enough)
    with pytest.raises(EnoughError):
        archive.fetch("a/0", tmp_path / "target", told=enough)
    assert keys_of(archive) == ["a/0"]
    assert list(tmp_path.glob("target*")) == []


# ---- buckets alone


def test_a_wrong_secret_is_refused_by_the_store_and_said(store: ObjectStore, buckets: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store.use(monkeypatch)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    archive = open_archive(buckets.format("secrets"))
    with pytest.raises(ArchiveError, match=r"s3://archives/secrets/a/1 at http.* credentials of this process are missing or refused"):
        archive.put_bytes("a/1", b"")
    with pytest.raises(ArchiveError, match="denied"):
        archive.size("a/1")
    archive.close()


def test_missing_credentials_are_said(buckets: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    archive = open_archive(buckets.format("secrets"))
    with pytest.raises(ArchiveError, match="set AWS_ACCESS_KEY_ID"):
        archive.put_bytes("a/1", b"")
    archive.close()


def test_a_missing_bucket_is_told_from_a_missing_object(store: ObjectStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    store.use(monkeypatch)
    (tmp_path / "dump.rdb").write_bytes(bytes(20 * MEGABYTE))
    archive = open_archive(f"s3://no-such-bucket?endpoint={quote(store.endpoint, safe='')}")
    for call in (
        archive.found,
        lambda: archive.put_bytes("a/1", b""),
        lambda: archive.put("a/1", tmp_path / "dump.rdb"),
        lambda: archive.size("a/1"),
        lambda: archive.read_bytes("a/1", 1),
        lambda: list(archive.list("")),
        lambda: archive.delete_all("a"),
    ):
        with pytest.raises(ArchiveError, match="there is no bucket no-such-bucket; create it, or name another") as found:
            call()
        assert not isinstance(found.value, NotInArchiveError)
    archive.close()


def test_an_endpoint_that_is_dead_is_said_to_be_soon(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.use(monkeypatch)
    archive = open_archive(f"s3://archives?endpoint=http%3A%2F%2F127.0.0.1%3A{free_port()}")
    began = monotonic()
    with pytest.raises(ArchiveAwayError, match=r"s3://archives/a/1 at http.*does not answer"):
        archive.read_bytes("a/1", 1)
    assert monotonic() - began < 60, "it is not tried for ever"
    archive.close()


def test_a_reading_goes_on_where_its_connection_broke_off(
    store: ObjectStore, buckets: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    store.use(monkeypatch)
    (tmp_path / "dump.rdb").write_bytes(os.urandom(10 * MEGABYTE))
    straight = open_archive(buckets.format("broken"))
    straight.put("a/1", tmp_path / "dump.rdb")
    with breaking_relay(store.endpoint, 3 * MEGABYTE) as (endpoint, broken):
        archive = open_archive(f"s3://archives/broken?endpoint={quote(endpoint, safe='')}")
        archive.fetch("a/1", tmp_path / "target")
        assert (tmp_path / "target").read_bytes() == (tmp_path / "dump.rdb").read_bytes()
        assert len(broken) >= 3
        with archive.open("a/1") as file:
            file.read(MEGABYTE)
            straight.put_bytes("a/1", b"another")
            with pytest.raises(ArchiveAwayError, match="was replaced while it was read"):
                file.read()
        archive.close()
    straight.close()


def test_uploads_under_way_are_aborted_with_their_folder(store: ObjectStore, buckets: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    store.use(monkeypatch)
    archive = open_archive(buckets.format("parts"))
    client = store.client()
    begun = client.create_multipart_upload(Bucket="archives", Key="parts/a/1")
    client.upload_part(Bucket="archives", Key="parts/a/1", UploadId=begun["UploadId"], PartNumber=1, Body=b"1")
    other = client.create_multipart_upload(Bucket="archives", Key="parts/ab")

    def give_up(_: int) -> None:
        raise KeyError

    (tmp_path / "dump.rdb").write_bytes(bytes(20 * MEGABYTE))
    with pytest.raises(KeyError):
        archive.put("b/1", tmp_path / "dump.rdb", told=give_up)
    archive.delete_all("a")
    left = client.list_multipart_uploads(Bucket="archives", Prefix="parts/").get("Uploads", [])
    assert [upload["UploadId"] for upload in left] == [other["UploadId"]]
    client.abort_multipart_upload(Bucket="archives", Key="parts/ab", UploadId=other["UploadId"])
    client.close()
    archive.close()
