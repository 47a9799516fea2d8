"""Uploads: what arrives whole is kept for a while, within bounds; of everything else nothing stays."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from factories import WORLD

from controlplane.domain.topology import World
from controlplane.reconciler.uploads import MOST_FILES, MOST_IMPORTS, TooLargeError, UploadRefusedError, Uploads

MOST = 1000


@pytest.fixture
def uploads(tmp_path: Path) -> Uploads:
    return Uploads(tmp_path / "uploads", MOST)


def send(uploads: Uploads, content: bytes = b"data", *, name: str = "a.rdb", snapshot: str = "monday", announced: int | None = None) -> None:
    with uploads.receiving(WORLD, snapshot, name, announced) as receiver:
        receiver.write(content)


def stored(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "uploads").rglob("*") if path.is_file())


def room(uploads: Uploads) -> int:
    """How many bytes could still be sent."""
    free = 0
    for size in range(MOST + 1):
        try:
            with uploads.receiving(WORLD, "probe", "probe", size):
                raise KeyboardInterrupt
        except TooLargeError:
            break
        except KeyboardInterrupt:
            free = size
    return free


def test_what_arrived_is_there_until_it_is_taken(uploads: Uploads, tmp_path: Path) -> None:
    send(uploads, b"one")
    send(uploads, b"two", name="b.rdb")
    pending = uploads.look(WORLD, "monday")
    assert pending is not None
    assert {file.name: (file.size, file.path.read_bytes()) for file in pending.files.values()} == {"a.rdb": (3, b"one"), "b.rdb": (3, b"two")}
    with uploads.taken(WORLD, "monday") as taken:
        assert taken is pending and stored(tmp_path) == ["a.rdb", "b.rdb"]
        with pytest.raises(UploadRefusedError, match="are being checked"):
            send(uploads, name="c.rdb")
        with pytest.raises(UploadRefusedError, match="still being checked"), uploads.taken(WORLD, "monday"):
            pytest.fail("twice")
    assert uploads.look(WORLD, "monday") is None
    assert stored(tmp_path) == []
    assert room(uploads) == MOST


def test_a_file_sent_twice_is_the_latter(uploads: Uploads) -> None:
    send(uploads, b"x" * 600)
    send(uploads, b"y" * 400)
    pending = uploads.look(WORLD, "monday")
    assert pending is not None and pending.files["a.rdb"].path.read_bytes() == b"y" * 400
    assert room(uploads) == MOST - 400


@pytest.mark.parametrize("failure", [UploadRefusedError("the caller went away"), OSError("disk"), KeyboardInterrupt()])
def test_nothing_stays_of_what_did_not_arrive_whole(uploads: Uploads, tmp_path: Path, failure: BaseException) -> None:
    with pytest.raises(type(failure)), uploads.receiving(WORLD, "monday", "a.rdb", 500) as receiver:
        receiver.write(b"x" * 200)
        raise failure
    assert stored(tmp_path) == []
    assert uploads.look(WORLD, "monday") is None
    assert room(uploads) == MOST


def test_there_is_no_more_than_the_bound(uploads: Uploads, tmp_path: Path) -> None:
    send(uploads, b"x" * 700)
    with pytest.raises(TooLargeError, match="have 1000 together"):
        send(uploads, name="b.rdb", announced=301)
    with pytest.raises(TooLargeError):  # who announces nothing, or too little, is not believed
        send(uploads, b"y" * 301, name="b.rdb")
    with pytest.raises(TooLargeError):
        send(uploads, b"y" * 301, name="b.rdb", announced=1)
    assert stored(tmp_path) == ["a.rdb"]
    send(uploads, b"y" * 300, name="b.rdb")


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", ".hidden", "a\0b", "ü.rdb", "a" * 121, "a b"])
def test_a_name_that_could_lead_elsewhere_is_refused(uploads: Uploads, tmp_path: Path, name: str) -> None:
    with pytest.raises(UploadRefusedError, match="is no name of a file"):
        send(uploads, name=name)
    assert stored(tmp_path) == []


def test_there_are_not_endless_files_nor_imports(uploads: Uploads) -> None:
    for number in range(MOST_FILES):
        send(uploads, b"", name=f"{number}.rdb")
    with pytest.raises(UploadRefusedError, match="no snapshot has more"):
        send(uploads, b"", name="more.rdb")
    for number in range(MOST_IMPORTS - 1):
        send(uploads, b"", snapshot=f"s{number}")
    with pytest.raises(UploadRefusedError, match="are waiting here already"):
        send(uploads, b"", snapshot="more")


def test_worlds_do_not_see_each_others(uploads: Uploads) -> None:
    send(uploads)
    assert uploads.look(World("111111111111", WORLD.region), "monday") is None


def test_what_nobody_asks_for_any_more_goes(tmp_path: Path) -> None:
    now = [0.0]
    uploads = Uploads(tmp_path / "uploads", MOST, lambda: now[0])
    send(uploads)
    now[0] = 3000.0
    send(uploads, snapshot="tuesday")
    assert stored(tmp_path) == ["a.rdb", "a.rdb"]
    now[0] = 3700.0
    send(uploads, snapshot="wednesday")
    assert uploads.look(WORLD, "monday") is None
    assert uploads.look(WORLD, "tuesday") is not None


def given_up(uploads: Uploads) -> None:
    uploads.forget(WORLD, "monday")


def closed(uploads: Uploads) -> None:
    uploads.close()


@pytest.mark.parametrize("end", [given_up, closed])
def test_who_makes_a_snapshot_hears_that_it_is_not_wanted_any_more(uploads: Uploads, tmp_path: Path, end: Callable[[Uploads], None]) -> None:
    send(uploads)
    with uploads.taken(WORLD, "monday") as pending:
        assert pending.wanted
        end(uploads)
        assert not pending.wanted
    assert stored(tmp_path) == []


def test_a_file_that_is_on_its_way_while_it_is_given_up_is_not_kept(uploads: Uploads, tmp_path: Path) -> None:
    with pytest.raises(UploadRefusedError, match="was given up"), uploads.receiving(WORLD, "monday", "a.rdb", None) as receiver:
        receiver.write(b"data")
        uploads.forget(WORLD, "monday")
    assert stored(tmp_path) == []
    assert uploads.look(WORLD, "monday") is None


def test_a_new_life_begins_empty(tmp_path: Path) -> None:
    send(Uploads(tmp_path / "uploads", MOST))
    assert Uploads(tmp_path / "uploads", MOST).look(WORLD, "monday") is None
    assert stored(tmp_path) == []


def test_nothing_is_made_of_nothing(uploads: Uploads) -> None:
    with pytest.raises(UploadRefusedError, match="no files were sent"), uploads.taken(WORLD, "monday"):
        pytest.fail("there is nothing")
