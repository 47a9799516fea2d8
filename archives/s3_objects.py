"""Objects in buckets, and how their bytes come and go through boto3."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from archives.archive import ArchiveAwayError, Told
from archives.disk_errors import own_file_errors
from archives.open_files import regular_file
from archives.s3_errors import Trouble, Where, as_archive_error, s3_errors, trouble_of

PART = 8 << 20
"""Bytes of a part: larger files are uploaded and copied in several, which is what makes each of them worth repeating."""

_RESUMPTIONS = 5
"""How often a reading goes on from where it broke off."""


class S3Endpoint:
    """Where a client of S3 connects to, with the credentials that boto3 finds. For several threads at once."""

    def __init__(self, endpoint: str | None, region: str | None) -> None:
        self.endpoint, self.region = endpoint, region
        self._client: Any = None
        self._lock = threading.Lock()

    @property
    def client(self) -> Any:
        """Boto3's client, which is made when it is first needed: loading boto3 takes its time, and many never need it."""
        with self._lock:
            if self._client is None:
                self._client = self._made()
            return self._client

    def close(self) -> None:
        """Close its connections; the next call opens new ones."""
        with self._lock:
            if self._client is not None:
                self._client.close()
                self._client = None

    def _made(self) -> Any:
        import boto3
        from botocore.config import Config

        style = {"addressing_style": "path"} if self.endpoint else {}
        retries = {"mode": "standard", "total_max_attempts": 3}
        config = Config(connect_timeout=2, read_timeout=30, retries=retries, s3=style, max_pool_connections=16)
        # a session of its own: the one that boto3 shares is not for several threads
        return boto3.session.Session().client("s3", endpoint_url=self.endpoint, region_name=self.region, config=config)

    def upload(self, where: Where, source: Path, told: Told | None) -> None:
        """Publish a file; of one that fails no part is left. Raises ArchiveError."""
        client = self.client
        callback = _added_up(told) if told is not None else None
        # not by its name: boto3 would leave it open where a caller gives up
        with regular_file(source) as file, os.fdopen(file, "rb", closefd=False) as opened, _upload_errors(where, source):
            client.upload_fileobj(opened, where.bucket, where.key, Callback=callback, Config=transfer_config())


@contextmanager
def _upload_errors(where: Where, source: Path) -> Iterator[None]:
    with s3_errors("writing", where), own_file_errors(f"reading {source.name}", source.parent):
        yield


def transfer_config() -> Any:
    """How boto3 moves large files: in parts, a few at a time."""
    from boto3.s3.transfer import TransferConfig

    config = TransferConfig(multipart_threshold=PART, multipart_chunksize=PART, max_concurrency=4)
    config.max_in_memory_upload_chunks = 4
    return config


def _added_up(told: Told) -> Told:
    """Boto3 tells of each piece from whichever thread moved it; callers want to know the sum."""
    lock, done = threading.Lock(), 0

    def add(count: int) -> None:
        nonlocal done
        with lock:
            done += count
            told(done)

    return add


class ObjectReader(io.RawIOBase):
    """Reads an object from beginning to end, and goes on where a connection broke off. Raises ArchiveError."""

    def __init__(self, client: Any, where: Where) -> None:
        super().__init__()
        self._client, self._where = client, where
        self._done = 0
        self._body: Any = None
        with s3_errors("reading", where):
            answer = client.get_object(Bucket=where.bucket, Key=where.key)
        self._body, self.length, self._tag = answer["Body"], int(answer["ContentLength"]), answer["ETag"]

    def readable(self) -> bool:
        """It is for nothing else."""
        return True

    def readinto(self, buffer: Any) -> int:
        """As many bytes as come at once, at most as many as fit."""
        from botocore.exceptions import BotoCoreError

        broken: Exception | None = None
        for _ in range(_RESUMPTIONS):
            try:
                block = self._body.read(len(buffer)) if self._done < self.length else b""
            except BotoCoreError as why:
                if trouble_of(why) is not Trouble.AWAY:
                    raise as_archive_error(why, "reading", self._where) from why
                broken = why
                self._resume()
                continue
            buffer[: len(block)] = block
            self._done += len(block)
            return len(block)
        raise ArchiveAwayError(f"reading {self._where} broke off {_RESUMPTIONS} times at byte {self._done}: try again later") from broken

    def _resume(self) -> None:
        from botocore.exceptions import ClientError

        self._body.close()
        with s3_errors("reading", self._where):
            try:
                answer = self._client.get_object(
                    Bucket=self._where.bucket, Key=self._where.key, Range=f"bytes={self._done}-", IfMatch=self._tag
                )
            except ClientError as why:
                if trouble_of(why) is not Trouble.TAKEN:
                    raise
                raise ArchiveAwayError(f"{self._where} was replaced while it was read: read it again") from why
        self._body = answer["Body"]

    def close(self) -> None:
        """The connection is free for other calls."""
        if self._body is not None:
            self._body.close()
        super().close()
