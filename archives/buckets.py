"""Buckets are the callers' own: files of snapshots come from them and go to them under any names that S3 allows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from archives.archive import ArchiveAwayError, ArchiveError, NotInArchiveError, Told
from archives.aside import MARK
from archives.bucket_names import why_no_bucket_name, why_no_object_name
from archives.directory import DirectoryArchive
from archives.disk_errors import OwnFileError
from archives.object_fetch import fetch_object
from archives.s3_errors import S3Error, Trouble, Where, s3_errors
from archives.s3_objects import ObjectReader, S3Endpoint


class BucketError(Exception):
    """Something about a bucket failed; the text says what, ``bucket`` and ``key`` where. Of no other class: with the caller's own file."""

    def __init__(self, bucket: str, key: str, says: str) -> None:
        super().__init__(says)
        self.bucket, self.key = bucket, key


class NoSuchBucketError(BucketError):
    """There is no such bucket."""


class NotAccessibleError(BucketError):
    """The bucket, or the object in it, may not be read with the credentials at hand."""


class OutsideRegionError(BucketError):
    """The bucket is in another region."""


class NoSuchKeyError(BucketError):
    """There is no such object in the bucket."""


class KeyExistsError(BucketError):
    """There is such an object in the bucket already."""


class NotWritableError(BucketError):
    """The bucket takes no object: it may not be written, or it is full."""


class BadKeyError(BucketError):
    """No object there can have that name."""


class BucketAwayError(BucketError):
    """The buckets do not answer, or only for now: trying again may help."""


class Buckets(Protocol):
    """Where buckets are. Every call raises BucketError, mostly one of the more precise ones above. For several threads at once."""

    def exists(self, bucket: str) -> bool:
        """Whether there is such a bucket."""

    def size(self, bucket: str, key: str) -> int:
        """The size of an object in bytes."""

    def fetch(self, bucket: str, key: str, target: Path, told: Told | None = None) -> None:
        """Copy an object out. ``target`` is there whole or not at all; its folder must exist."""

    def put(self, bucket: str, key: str, source: Path, told: Told | None = None) -> None:
        """Keep a copy of a file as an object that is not there yet."""


class DirectoryBuckets:
    """The folders in a folder are the buckets, and the files in them, at any depth, the objects. Nobody makes a bucket here."""

    def __init__(self, folder: Path) -> None:
        self.folder = DirectoryArchive(folder).folder

    def exists(self, bucket: str) -> bool:
        """Whether there is such a folder, which is no link."""
        path = self.folder / bucket
        return not why_no_bucket_name(bucket) and path.is_dir() and not path.is_symlink()

    def size(self, bucket: str, key: str) -> int:
        """The size of a file in bytes."""
        with _as_bucket_errors(bucket, key, NotAccessibleError):
            found = self._bucket(bucket, key).size(key)
        if found is None:
            raise NoSuchKeyError(bucket, key, f"there is no object {key} in bucket {bucket}")
        return found

    def fetch(self, bucket: str, key: str, target: Path, told: Told | None = None) -> None:
        """Copy a file out."""
        with _as_bucket_errors(bucket, key, NotAccessibleError):
            self._bucket(bucket, key).fetch(key, target, told=told)

    def put(self, bucket: str, key: str, source: Path, told: Told | None = None) -> None:
        """Copy a file in: of two that do so at once, one is told that the other was first."""
        with _as_bucket_errors(bucket, key, NotWritableError):
            if not self._bucket(bucket, key).put_new_file(key, source, told):
                raise KeyExistsError(bucket, key, f"bucket {bucket} already contains an object {key}")

    def _bucket(self, bucket: str, key: str) -> DirectoryArchive:
        if not self.exists(bucket):
            raise NoSuchBucketError(bucket, key, f"there is no bucket {bucket}: no such folder in {self.folder}")
        wrong = why_no_object_name(key)
        if wrong or any(part in ("", ".", "..") for part in key.split("/")) or "\0" in key:
            raise BadKeyError(bucket, key, wrong or f"{key!r} has no place in a folder: each part of it must name a file or folder within")
        return _Bucket(self.folder / bucket)


class _Bucket(DirectoryArchive):
    """A folder of the caller's, in which any name may be a file of theirs."""

    def _parts_of(self, key: str) -> tuple[str, ...]:
        return tuple(key.split("/"))

    def _leftovers_of(self, name: str) -> str:
        return f"{name}{MARK}"


class S3Buckets:
    """The buckets of AWS, or of whatever speaks its protocol at another endpoint, that the credentials of this process reach."""

    def __init__(self, endpoint: str | None = None, region: str | None = None) -> None:
        self._s3 = S3Endpoint(endpoint, region)

    def close(self) -> None:
        """Close its connections; the next call opens new ones."""
        self._s3.close()

    def exists(self, bucket: str) -> bool:
        """Whether there is such a bucket. Raises NotAccessibleError for one that is somebody else's."""
        if why_no_bucket_name(bucket):
            return False
        try:
            with self._errors(bucket, None, NotAccessibleError) as client:
                client.head_bucket(Bucket=bucket)
        except (NoSuchKeyError, NoSuchBucketError):  # the answer to HEAD has no code
            return False
        return True

    def size(self, bucket: str, key: str) -> int:
        """The size of an object in bytes."""
        try:
            with self._errors(bucket, key, NotAccessibleError) as client:
                return int(client.head_object(Bucket=bucket, Key=key)["ContentLength"])
        except NoSuchKeyError:
            self._must_exist(bucket, key)
            raise

    def fetch(self, bucket: str, key: str, target: Path, told: Told | None = None) -> None:
        """Download an object."""
        with self._errors(bucket, key, NotAccessibleError) as client:
            fetch_object(ObjectReader(client, self._where(bucket, key)), target, f"fetching {key}", told)

    def put(self, bucket: str, key: str, source: Path, told: Told | None = None) -> None:
        """Upload a file. S3 has no condition for uploads in parts: of two that do so at once, the later one stays."""
        try:
            self.size(bucket, key)
        except NoSuchKeyError:
            with self._errors(bucket, key, NotWritableError):
                self._s3.upload(self._where(bucket, key), source, told)
            return
        raise KeyExistsError(bucket, key, f"bucket {bucket} already contains an object {key}")

    def _must_exist(self, bucket: str, key: str) -> None:
        if not self.exists(bucket):
            raise NoSuchBucketError(bucket, key, f"there is no bucket {bucket}")

    def _where(self, bucket: str, key: str) -> Where:
        return Where(bucket, key, self._s3.endpoint)

    @contextmanager
    def _errors(self, bucket: str, key: str | None, otherwise: type[BucketError]) -> Iterator[Any]:
        """Boto3's client, whose errors become those of buckets. The key is None where the bucket as a whole is meant."""
        name = key or ""
        if wrong := why_no_bucket_name(bucket):
            raise NoSuchBucketError(bucket, name, f"there is no bucket {bucket}: {wrong}")
        if key is not None and (wrong := why_no_object_name(key)):
            raise BadKeyError(bucket, key, wrong)
        client = self._s3.client
        with _as_bucket_errors(bucket, name, otherwise), s3_errors("using", self._where(bucket, name)):
            yield client


_BY_TROUBLE: dict[Trouble, type[BucketError]] = {
    Trouble.NO_BUCKET: NoSuchBucketError,
    Trouble.ELSEWHERE: OutsideRegionError,
}


@contextmanager
def _as_bucket_errors(bucket: str, key: str, otherwise: type[BucketError]) -> Iterator[None]:
    try:
        yield
    except NotInArchiveError as why:
        raise NoSuchKeyError(bucket, key, f"there is no object {key} in bucket {bucket}") from why
    except ArchiveAwayError as why:
        raise BucketAwayError(bucket, key, str(why)) from why
    except OwnFileError as why:
        raise BucketError(bucket, key, str(why)) from why
    except ArchiveError as why:
        kind = _BY_TROUBLE.get(why.trouble, otherwise) if isinstance(why, S3Error) else otherwise
        raise kind(bucket, key, str(why)) from why
