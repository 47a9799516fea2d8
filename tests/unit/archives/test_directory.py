"""A folder as an archive: what is on the disk, hostile links, full disks and killed writers."""

from __future__ import annotations

import os
import random
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from waiting import let_pass

from archives import aside
from archives.archive import ArchiveError, NotInArchiveError
from archives.directory import DirectoryArchive

MEGABYTE = 1 << 20


@pytest.fixture
def archive(tmp_path: Path) -> DirectoryArchive:
    made = DirectoryArchive(tmp_path / "archive")
    made.found()
    return made


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder that is none of the archive's."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "secret").write_text("secret")
    return folder


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def mode(path: Path) -> int:
    return path.lstat().st_mode & 0o777


@pytest.mark.parametrize("may_link", [False, True])
def test_files_and_folders_are_their_owners_alone(archive: DirectoryArchive, tmp_path: Path, may_link: bool) -> None:
    source = tmp_path / "dump.rdb"
    source.write_bytes(b"1")
    source.chmod(0o644)
    archive.put("a/b/1", source, may_link=may_link)
    assert [mode(archive.folder / name) for name in ("", "a", "a/b", "a/b/1")] == [0o700, 0o700, 0o700, 0o600]
    assert (archive.folder / "a/b/1").samefile(source) is may_link
    archive.copy("a/b/1", "c/1")
    assert (archive.folder / "c/1").samefile(archive.folder / "a/b/1")


def test_a_file_of_another_file_system_is_copied(archive: DirectoryArchive) -> None:
    elsewhere = Path("/dev/shm") / f"archive-{os.getpid()}"
    if not elsewhere.parent.is_dir() or elsewhere.parent.stat().st_dev == archive.folder.stat().st_dev:
        pytest.skip("there is no other file system here")
    elsewhere.write_bytes(b"12")
    try:
        archive.put("a/1", elsewhere, may_link=True)
        archive.fetch("a/1", elsewhere)
        assert archive.read_bytes("a/1", 2) == elsewhere.read_bytes() == b"12"
        assert not (archive.folder / "a/1").samefile(elsewhere)
    finally:
        elsewhere.unlink()


def test_a_folder_that_nobody_made_is_not_taken_for_an_empty_archive(tmp_path: Path) -> None:
    absent = DirectoryArchive(tmp_path / "absent")
    for call in (lambda: absent.put_bytes("a/1", b""), lambda: absent.size("a/1"), lambda: list(absent.list("")), lambda: absent.delete_all("a")):
        with pytest.raises(ArchiveError, match="this host does not see the folder") as found:
            call()
        assert not isinstance(found.value, NotInArchiveError)
    assert not absent.folder.exists()


def test_no_link_within_leads_outside(archive: DirectoryArchive, outside: Path) -> None:
    (archive.folder / "folder").symlink_to(outside)
    (archive.folder / "a").mkdir()
    (archive.folder / "a/link").symlink_to(outside / "secret")
    for call in (
        lambda: archive.read_bytes("folder/secret", 9),
        lambda: archive.read_bytes("a/link", 9),
        lambda: archive.size("a/link"),
        lambda: archive.open("a/link"),
        lambda: archive.copy("a/link", "a/1"),
        lambda: archive.put_bytes("folder/new", b""),
        lambda: archive.delete("folder/secret"),
        lambda: archive.delete_all("folder"),
    ):
        with pytest.raises(ArchiveError, match="is refused"):
            call()
    assert list(archive.list("")) == []
    archive.put_bytes("a/link", b"mine")
    (archive.folder / "a/inner").symlink_to(outside)
    archive.delete_all("a")
    assert names(archive.folder) == ["folder"] and (outside / "secret").read_text() == "secret" and names(outside) == ["secret"]


def test_a_pipe_or_a_folder_for_a_file_makes_nobody_wait(archive: DirectoryArchive) -> None:
    (archive.folder / "a").mkdir()
    os.mkfifo(archive.folder / "a/pipe")
    with pytest.raises(ArchiveError, match="no ordinary file"):
        archive.read_bytes("a/pipe", 1)
    with pytest.raises(NotInArchiveError, match="it is a folder"):
        archive.read_bytes("a", 1)
    with pytest.raises(ArchiveError, match="is refused"):
        archive.put_bytes("a", b"")
    archive.put_bytes("b", b"")
    with pytest.raises(ArchiveError, match="is refused"):
        archive.put_bytes("b/1", b"")
    assert names(archive.folder) == ["a", "b"]


def test_leftovers_go_with_their_folder_or_when_they_are_old(archive: DirectoryArchive, monkeypatch: pytest.MonkeyPatch) -> None:
    archive.put_bytes("a/1", b"")
    leftover = archive.folder / "a/2~0123456789abcdef"
    leftover.touch()
    archive.put_bytes("a/1", b"")
    assert leftover.exists() and [entry.key for entry in archive.list("")] == ["a/1"]
    monkeypatch.setattr(aside, "OLD", -1.0)
    archive.put_bytes("a/1", b"1")
    assert names(archive.folder / "a") == ["1"]
    leftover.touch()
    archive.delete_all("a")
    assert names(archive.folder) == []


def test_a_file_that_is_deleted_while_it_is_written_is_said_to_be(archive: DirectoryArchive, tmp_path: Path) -> None:
    (tmp_path / "dump.rdb").write_bytes(bytes(MEGABYTE))
    with pytest.raises(ArchiveError, match="was deleted while it was written"):
        archive.put("a/1", tmp_path / "dump.rdb", told=lambda _: archive.delete_all("a"))
    assert names(archive.folder) == []


def test_a_source_that_grows_meanwhile_is_refused(archive: DirectoryArchive, tmp_path: Path) -> None:
    source = tmp_path / "dump.rdb"
    source.write_bytes(bytes(MEGABYTE))

    def grow(done: int) -> None:
        if done < 2 * MEGABYTE:
            with source.open("ab") as file:
                file.write(bytes(MEGABYTE))

    with pytest.raises(ArchiveError, match="once nobody writes it"):
        archive.put("a/1", source, told=grow)
    assert names(archive.folder / "a") == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True).returncode:
        pytest.skip("mounting a small file system takes root")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk_is_said_and_nothing_is_left(small_disk: Path, archive: DirectoryArchive, tmp_path: Path) -> None:
    source = tmp_path / "dump.rdb"
    source.write_bytes(bytes(2 * MEGABYTE))
    small = DirectoryArchive(small_disk / "archive")
    small.found()
    small.put_bytes("a/1", b"old")
    for write in (lambda: small.put("a/1", source), lambda: small.put_bytes("a/1", bytes(2 * MEGABYTE))):
        with pytest.raises(ArchiveError, match=r"the disk of .* is full: writing a/1 was given up"):
            write()
    assert names(small.folder / "a") == ["1"] and small.read_bytes("a/1", 9) == b"old"
    archive.put("a/1", source)
    with pytest.raises(ArchiveError, match=r"the disk of .* is full: fetching a/1"):
        archive.fetch("a/1", small_disk / "target")
    assert names(small_disk) == ["archive"]


def test_a_limit_on_file_sizes_is_said(archive: DirectoryArchive) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (MEGABYTE, before[1]))
    try:
        with pytest.raises(ArchiveError, match="too large"):
            archive.put_bytes("a/1", bytes(2 * MEGABYTE))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert names(archive.folder / "a") == []


WRITER = """
import sys
from pathlib import Path
from archives.directory import DirectoryArchive
archive, sources = DirectoryArchive(Path(sys.argv[1])), [Path(name) for name in sys.argv[2:]]
print("ready", flush=True)
while True:
    for source in sources:
        archive.put("a/1", source)
        archive.put("a/2", source, may_link=True)
"""


def test_a_writer_that_is_killed_at_any_moment_leaves_the_old_file_or_the_new_one(archive: DirectoryArchive, tmp_path: Path) -> None:
    sources = [tmp_path / "one", tmp_path / "two"]
    contents = [b"1" * 3 * MEGABYTE, b"2" * 2 * MEGABYTE]
    for source, content in zip(sources, contents, strict=True):
        source.write_bytes(content)
    archive.put("a/1", sources[0])
    chances = random.Random(7)
    leftovers = 0
    for _ in range(25):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, archive.folder, *sources], stdout=subprocess.PIPE, cwd=Path(__file__).parents[3])
        assert writer.stdout is not None and writer.stdout.readline() == b"ready\n"
        let_pass(chances.uniform(0, 0.05))
        writer.send_signal(signal.SIGKILL)
        writer.wait(10)
        writer.stdout.close()
        assert archive.read_bytes("a/1", 4 * MEGABYTE) in contents
        assert archive.size("a/2") in (None, 2 * MEGABYTE, 3 * MEGABYTE)
        assert {entry.key for entry in archive.list("")} <= {"a/1", "a/2"}
        leftovers = len([name for name in names(archive.folder / "a") if "~" in name])
    assert leftovers > 0  # it was in the middle of a file at least once
    archive.delete_all("a")
    assert names(archive.folder) == []
