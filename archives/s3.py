"""An S3 archive keeps its files as objects of a bucket, below a prefix."""

from __future__ import annotations

import io
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, cast
from urllib.parse import quote, urlencode

from archives.archive import ArchiveError, Entry, NotInArchiveError, Told
from archives.keys import is_part, parts_of, parts_of_prefix
from archives.object_fetch import fetch_object
from archives.s3_errors import Trouble, Where, as_archive_error, s3_errors, trouble_of
from archives.s3_objects import ObjectReader, S3Endpoint, transfer_config

_CONFLICTS = 10
"""How often a write that was to be the first is repeated while others try the same."""


class S3Archive:
    """The archive in a bucket, of AWS or of whatever speaks its protocol at another endpoint."""

    def __init__(self, bucket: str, prefix: str = "", endpoint: str | None = None, region: str | None = None) -> None:
        if prefix:
            parts_of(prefix)
        self.bucket, self.prefix = bucket, prefix
        self._s3 = S3Endpoint(endpoint, region)

    @property
    def url(self) -> str:
        """Such as ``s3://snapshots/team-a?region=eu-west-1``. There are never credentials in it."""
        asked = {name: value for name, value in (("endpoint", self._s3.endpoint), ("region", self._s3.region)) if value}
        return f"s3://{self.bucket}" + (f"/{quote(self.prefix)}" if self.prefix else "") + (f"?{urlencode(asked)}" if asked else "")

    def close(self) -> None:
        """Close its connections; the next call opens new ones."""
        self._s3.close()

    def found(self) -> None:
        """Raises ArchiveError if there is no such bucket: nobody but its owner makes one."""
        client = self._s3.client
        with self._errors("finding", ""):
            self._see_bucket(client)

    # ---- writing

    def put(self, key: str, source: Path, *, may_link: bool = False, told: Told | None = None) -> None:
        """Upload a file, in parts if it is large."""
        self._s3.upload(self._where(key), source, told)

    def put_bytes(self, key: str, content: bytes) -> None:
        """Upload these bytes."""
        where, client = self._where(key), self._s3.client
        with s3_errors("writing", where):
            client.put_object(Bucket=self.bucket, Key=where.key, Body=content)

    def put_new(self, key: str, content: bytes) -> bool:
        """Upload these bytes on the condition that there is nothing yet."""
        from botocore.exceptions import ClientError

        where, client = self._where(key), self._s3.client
        for attempt in range(_CONFLICTS):
            with s3_errors("writing", where):
                try:
                    client.put_object(Bucket=self.bucket, Key=where.key, Body=content, IfNoneMatch="*")
                    return True
                except ClientError as why:
                    if trouble_of(why) is Trouble.TAKEN:
                        return False
                    conflict = why.response.get("Error", {}).get("Code") == "ConditionalRequestConflict"
                    if not conflict or attempt == _CONFLICTS - 1:
                        raise
        raise AssertionError("unreachable")

    def copy(self, source: str, target: str) -> None:
        """Have the endpoint copy it, in parts if it is large."""
        origin, where, client = self._where(source), self._where(target), self._s3.client
        if origin == where:
            if self.size(source) is None:  # S3 refuses to copy an object onto itself
                raise NotInArchiveError(f"there is no {origin}")
            return
        with s3_errors("copying", origin):
            client.copy({"Bucket": self.bucket, "Key": origin.key}, self.bucket, where.key, Config=transfer_config())

    # ---- reading

    def fetch(self, key: str, target: Path, *, told: Told | None = None) -> None:
        """Download a file, beside ``target`` first."""
        fetch_object(self._reader(key), target, f"fetching {key}", told)

    def read_bytes(self, key: str, at_most: int) -> bytes:
        """What a small file holds."""
        with self._reader(key) as raw:
            if raw.length > at_most:
                says = f"{self._where(key)} has {raw.length} bytes and not at most {at_most}, as was expected: it is not what it should be"
                raise ArchiveError(says)
            return raw.readall() or b""

    def open(self, key: str) -> BinaryIO:
        """A file, as it comes over the network."""
        return cast(BinaryIO, io.BufferedReader(self._reader(key), 1 << 20))

    def size(self, key: str) -> int | None:
        """The size of a file in bytes, None where there is none."""
        from botocore.exceptions import ClientError

        where, client = self._where(key), self._s3.client
        with s3_errors("finding", where):
            try:
                return int(client.head_object(Bucket=self.bucket, Key=where.key)["ContentLength"])
            except ClientError as why:
                if trouble_of(why) is not Trouble.NO_KEY:
                    raise
            self._see_bucket(client)  # the answer to HEAD is the same without a bucket
        return None

    def _reader(self, key: str) -> ObjectReader:
        return ObjectReader(self._s3.client, self._where(key))

    # ---- listing and deleting

    def list(self, prefix: str) -> Iterator[Entry]:
        """Every file whose key begins with that. Objects with names that are no keys are somebody else's, and not shown."""
        parts_of_prefix(prefix)
        # not every S3 lists in the order of keys: SeaweedFS goes folder by folder
        yield from sorted(self._found(prefix), key=lambda entry: entry.key)

    def _found(self, prefix: str) -> Iterator[Entry]:
        below = self._below()
        with self._errors("listing", below + prefix):
            for page in self._pages("list_objects_v2", below + prefix):
                for found in page.get("Contents", ()):
                    key = found["Key"].removeprefix(below)
                    if all(is_part(part) for part in key.split("/")):
                        yield Entry(key, int(found["Size"]))

    def delete(self, key: str) -> None:
        """Keep a file no longer."""
        where, client = self._where(key), self._s3.client
        with s3_errors("deleting", where):
            client.delete_object(Bucket=self.bucket, Key=where.key)

    def delete_all(self, folder: str) -> None:
        """Keep nothing of what is below that folder. Uploads in parts that are under way are aborted."""
        parts_of(folder)
        client, prefix = self._s3.client, f"{self._below()}{folder}/"
        with self._errors("deleting", prefix):
            for page in self._pages("list_multipart_uploads", prefix):
                for upload in page.get("Uploads", ()):
                    if upload["Key"].startswith(prefix):
                        self._abort(client, upload)
            names = (found["Key"] for page in self._pages("list_objects_v2", prefix) for found in page.get("Contents", ()))
            while some := tuple(islice(names, 1000)):
                self._delete(client, some)

    def _abort(self, client: Any, upload: Any) -> None:
        from botocore.exceptions import ClientError

        try:
            client.abort_multipart_upload(Bucket=self.bucket, Key=upload["Key"], UploadId=upload["UploadId"])
        except ClientError as why:
            if why.response.get("Error", {}).get("Code") != "NoSuchUpload":  # it ended meanwhile
                raise

    def _delete(self, client: Any, names: tuple[str, ...]) -> None:
        """At most a thousand, as S3 takes them."""
        answer = client.delete_objects(Bucket=self.bucket, Delete={"Objects": [{"Key": name} for name in names], "Quiet": True})
        for failed in answer.get("Errors", ()):
            says = f"deleting s3://{self.bucket}/{failed.get('Key')} failed: {failed.get('Message') or failed.get('Code')}"
            raise ArchiveError(f"{says}; let these credentials delete objects there")

    # ---- names

    def _pages(self, operation: str, prefix: str) -> Iterator[Any]:
        return iter(self._s3.client.get_paginator(operation).paginate(Bucket=self.bucket, Prefix=prefix))

    def _below(self) -> str:
        return f"{self.prefix}/" if self.prefix else ""

    def _where(self, key: str) -> Where:
        parts_of(key)
        return Where(self.bucket, self._below() + key, self._s3.endpoint)

    def _errors(self, doing: str, name: str) -> Any:
        return s3_errors(doing, Where(self.bucket, name, self._s3.endpoint))

    def _see_bucket(self, client: Any) -> None:
        """Raises ArchiveError if there is no such bucket, and what boto3 raises."""
        from botocore.exceptions import ClientError

        try:
            client.head_bucket(Bucket=self.bucket)
        except ClientError as why:
            if trouble_of(why) is not Trouble.NO_KEY:
                raise
            where = Where(self.bucket, "", self._s3.endpoint)
            no_bucket = ClientError({"Error": {"Code": "NoSuchBucket", "Message": "Not Found"}}, "HeadBucket")
            raise as_archive_error(no_bucket, "finding", where) from why
