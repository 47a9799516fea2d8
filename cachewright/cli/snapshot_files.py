"""``cachewright snapshot export`` and ``import``: the files of a snapshot in a folder, or in a bucket."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from cachewright.cli.command import REFUSED, Session, fail, remote
from cachewright.cli.server import Json, RefusedError, Server, UnreachableError
from cachewright.cli.snapshot_view import MEMBER, PATH, described, progress_of, show_one, size, until_available
from cachewright.cli.watching import Bar, drawing, watch

MANIFEST = "manifest.json"
IMPORTS = "snapshot-imports"

_PIECE = 1 << 20
_LOOK_EVERY = 0.2  # seconds
_CHECKING = 6 * 3600.0  # seconds that a server may look at what it was sent


@remote
def export(
    session: Session,
    name: Annotated[str, typer.Argument(help="The snapshot.")],
    folder: Annotated[Path | None, typer.Argument(help="A new or empty folder, for its files and their manifest.")] = None,
    bucket: Annotated[str | None, typer.Option(help="A bucket that the server reaches; its files alone go there.")] = None,
    target: Annotated[str | None, typer.Option("--as", help="In a bucket: what the names of the files begin with.")] = None,
) -> None:
    """Copy the files of a snapshot to a folder on this machine, or to a bucket."""
    if (folder is None) == (bucket is None):
        raise typer.BadParameter("Say where the files shall go: a folder, or --bucket.")
    if bucket is not None:
        _to_bucket(session, name, bucket, target or name)
    elif folder is not None:
        _to_folder(session, name, folder)


def _to_bucket(session: Session, name: str, bucket: str, target: str) -> None:
    session.server.call("CopySnapshot", {"source_snapshot_name": name}, {"target_snapshot_name": target, "target_bucket": bucket})
    seen = watch(session, lambda: described(session, name), lambda now: [Bar(name, now["snapshot_status"])],
                 lambda now: now["snapshot_status"] != "exporting")  # fmt: skip
    files = [f"{target}-{part['node_group_id']}.rdb" for part in progress_of(session, name)["parts"]]
    where = [f"s3://{bucket}/{file}" for file in files]
    session.paper.answer({MEMBER: seen, "bucket": bucket, "files": files}, lambda: _say_all(session, where))


def _say_all(session: Session, lines: list[str]) -> None:
    for line in lines:
        session.paper.line(line)


def _to_folder(session: Session, name: str, folder: Path) -> None:
    """Everything is fetched aside and compared; then the folder has all of it, or there is none."""
    progress = progress_of(session, name)
    if progress["status"] not in ("available", "restoring", "exporting"):
        fail(f"Snapshot {name} must be available to be exported; it is {progress['status']}.", REFUSED)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        fail(f"{folder} is there already and not an empty folder; name another.", REFUSED)
    files = [part["file"] for part in progress["parts"]]
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    except OSError as refused:
        fail(f"No folder can be made beside {folder}: {refused.strerror}.", REFUSED)
    try:
        _fetch_all(session, name, [{"name": MANIFEST, "sha256": progress["manifest"], "size": 0}, *files], aside)
        aside.rename(folder)
    except OSError as refused:
        fail(f"Snapshot {name} cannot be written to {folder}: {refused.strerror}.", REFUSED)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    answer = {"snapshot_name": name, "folder": str(folder), "files": [MANIFEST, *(file["name"] for file in files)]}
    number = "1 RDB file" if len(files) == 1 else f"{len(files)} RDB files"
    session.paper.answer(answer, lambda: session.paper.line(f"{number} of {size(progress['bytes'])} and {MANIFEST} are in {folder}"))


def _fetch_all(session: Session, name: str, files: list[Json], folder: Path) -> None:
    with drawing(session) as draw:
        for file in files:

            def told(done: int, total: int, file: Json = file) -> None:
                draw([Bar(file["name"], "downloaded" if done == total else "downloading", done, total)])

            found = _fetch(session.server, (PATH, name, "files", file["name"]), folder / file["name"], told)
            if found != file["sha256"]:
                fail(f"{file['name']} of snapshot {name} came with the SHA-256 {found}, and should have {file['sha256']}: "
                     "it was changed in the archive. Nothing is kept.", REFUSED)  # fmt: skip


def _fetch(server: Server, path: tuple[str, ...], to: Path, told: Callable[[int, int], None]) -> str:
    """The SHA-256 of a file that is here then."""
    sha, done = hashlib.sha256(), 0
    with server.download(*path) as (total, pieces), to.open("xb") as file:
        for piece in pieces:
            file.write(piece)
            sha.update(piece)
            done += len(piece)
            told(done, total)
    return sha.hexdigest()


@remote
def import_files(
    session: Session,
    name: Annotated[str, typer.Argument(help="Name of the new snapshot.")],
    files: Annotated[list[Path], typer.Argument(help="An RDB file; or a folder that was exported, with its manifest.")],
    engine: Annotated[str | None, typer.Option(help="valkey or redis; what the files say when not said.")] = None,
    engine_version: Annotated[str | None, typer.Option(help="Such as 8.1; what the files say when not said.")] = None,
    node_type: Annotated[str | None, typer.Option(help="Size of the nodes it is restored to, unless another is said then.")] = None,
) -> None:
    """Make a snapshot of RDB files, once every one was checked from its first to its last byte."""
    paths = _listed(files)
    _must_be_new(session, name)
    body: dict[str, Any] = {"engine": engine, "engine_version": engine_version, "cache_node_type": node_type}
    try:
        _send_all(session, name, paths)
        made = _made(session, name, body)
    except (RefusedError, UnreachableError, KeyboardInterrupt, OSError) as ended:
        with suppress(RefusedError, UnreachableError):  # what goes on there ends by itself as well
            session.server.delete(IMPORTS, name)
        if isinstance(ended, OSError):
            fail(f"{ended.filename} cannot be read: {ended.strerror}.", REFUSED)
        raise
    show_one(session, until_available(session, made["snapshot_name"], "importing"))


def _must_be_new(session: Session, name: str) -> None:
    """Before anything is sent in vain."""
    try:
        described(session, name)
    except RefusedError as unknown:
        if unknown.code == "SnapshotNotFoundFault":
            return
        raise
    fail(f"SnapshotAlreadyExistsFault: Snapshot {name} already exists.", REFUSED)


def _made(session: Session, name: str, body: Json) -> Json:
    """The snapshot, once the server has checked what it was sent; what it is at is shown meanwhile."""
    with ThreadPoolExecutor(1) as pool, drawing(session) as draw:
        answer = pool.submit(session.server.post, IMPORTS, name, body=body, patience=_CHECKING)
        try:
            while not answer.done():
                with suppress(RefusedError):  # it may have ended just now
                    seen = session.server.get(IMPORTS, name)
                    draw([Bar(name, seen["step"], seen["done"], seen["total"])])
                wait([answer], _LOOK_EVERY)
        except KeyboardInterrupt:
            session.server.delete(IMPORTS, name)  # then the answer comes, for which the pool waits
            raise
        return dict(answer.result()[MEMBER])


def _listed(files: list[Path]) -> list[Path]:
    """Every file that is meant. A usage error for one that is not there, or two of one name."""
    found: list[Path] = []
    for path in files:
        if path.is_dir():
            inside = sorted(each for each in path.iterdir() if each.suffix == ".rdb" or each.name == MANIFEST)
            if not inside:
                raise typer.BadParameter(f"there is no RDB file in {path}.")
            found += inside
        elif path.is_file():
            found.append(path)
        else:
            raise typer.BadParameter(f"there is no file {path}.")
    names = [path.name for path in found]
    if twice := {each for each in names if names.count(each) > 1}:
        raise typer.BadParameter(f"two files are called {min(twice)}; give each a name of its own.")
    return found


def _send_all(session: Session, name: str, paths: list[Path]) -> None:
    with drawing(session) as draw:
        for path in paths:

            def told(done: int, total: int, path: Path = path) -> None:
                draw([Bar(path.name, "sent" if done == total else "sending", done, total)])

            total = path.stat().st_size
            session.server.upload(IMPORTS, name, path.name, pieces=_pieces(path, total, told), size=total)


def _pieces(path: Path, total: int, told: Callable[[int, int], None]) -> Iterator[bytes]:
    """No more than it had when it was looked at: the length is said beforehand."""
    done = 0
    with path.open("rb") as file:
        while done < total and (piece := file.read(min(_PIECE, total - done))):
            done += len(piece)
            told(done, total)
            yield piece
