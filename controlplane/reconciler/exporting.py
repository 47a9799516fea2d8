"""Files of snapshots go to callers' buckets, under the names that the service gives them."""

from __future__ import annotations

import logging
import shutil
import tempfile
from pathlib import Path

from archives.buckets import Buckets, KeyExistsError
from controlplane.domain.snapshot import Export, Snapshot, SnapshotPart
from controlplane.reconciler.filing import fetch, opened, sha256_of

log = logging.getLogger("cachewright.reconciler")


class ExportFailedError(Exception):
    """The files could not be put into the bucket; the text says why."""


class Exporter:
    """Copies the files of snapshots to buckets. ``scratch`` is a folder of our own, which is emptied."""

    def __init__(self, buckets: Buckets, scratch: Path) -> None:
        self._buckets = buckets
        self._scratch = scratch
        shutil.rmtree(scratch, ignore_errors=True)

    def carry_out(self, snapshot: Snapshot, export: Export) -> None:
        """Have every file in the bucket. What an attempt that was broken off has left there is not written again.

        Raises ExportFailedError, ArchiveAwayError, and BucketAwayError: trying again may help with the last two.
        """
        self._scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self._scratch) as folder:
            for part in snapshot.parts:
                self._put(snapshot, export, part, Path(folder) / "file.rdb")
        log.info("snapshot exported  snapshot=%s bucket=%s files=%d", snapshot.name, export.bucket, len(snapshot.parts))

    def _put(self, snapshot: Snapshot, export: Export, part: SnapshotPart, path: Path) -> None:
        if part.file is None:
            raise ExportFailedError(f"it has no file of node group {part.group}")
        key = export.key_of(part)
        fetch(opened(snapshot.archive), part.file, path)
        try:
            self._buckets.put(export.bucket, key, path)
        except KeyExistsError as exists:
            self._buckets.fetch(export.bucket, key, path)
            with path.open("rb") as there:
                is_ours = sha256_of(there.read) == part.file.sha256
            if not is_ours:
                raise ExportFailedError(f"the S3 bucket {export.bucket} already contains an object with key {key}") from exists
        finally:
            path.unlink(missing_ok=True)

