"""URLs of archives, and what is none."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archives.archive import ArchiveError
from archives.directory import DirectoryArchive
from archives.opening import open_archive
from archives.s3 import S3Archive


@pytest.mark.parametrize(
    "url",
    [
        "file:///var/lib/archive",
        "file:///with%20space/%C3%A9%3F%23",
        "s3://snapshots",
        "s3://snap.shots/team-a/b",
        "s3://snapshots?region=eu-west-1",
        "s3://snapshots/p?endpoint=http%3A%2F%2F127.0.0.1%3A9000&region=us-east-1",
        "s3://snapshots?endpoint=https%3A%2F%2F%5B%3A%3A1%5D%3A9000",
    ],
)
def test_an_archive_tells_the_url_it_was_opened_with(url: str) -> None:
    assert open_archive(url).url == url


def test_a_url_means_a_folder_or_a_bucket() -> None:
    folder = open_archive("file:///a%20b/c")
    bucket = open_archive("s3://snapshots/p/")
    assert isinstance(folder, DirectoryArchive) and folder.folder == Path("/a b/c")
    assert isinstance(bucket, S3Archive) and (bucket.bucket, bucket.prefix) == ("snapshots", "p")


@pytest.mark.parametrize(
    ("url", "because"),
    [
        ("", "Write file:///a/folder, or s3://bucket"),
        ("/var/lib/archive", "Write file:///a/folder"),
        ("http://host/archive", "Write file:///a/folder"),
        ("file://host/archive", "'host' stands where nothing may"),
        ("file:relative", "names no folder"),
        ("file:///", "names no folder"),
        ("file:///a?b", "write '?' as %3F"),
        ("file:///a/../b", "without '..'"),
        ("file:///a%00b", "name it from the root"),
        ("s3://", "3 to 63 small letters"),
        ("s3://Big/p", "3 to 63 small letters"),
        ("s3://1.2.3.4/p", "IP address"),
        ("s3://key:secret@bucket/p", "credentials never stand in it"),
        ("s3://bucket?access_key=1", "nothing else"),
        ("s3://bucket?region=a&region=b", "each once"),
        ("s3://bucket?region=", "region is empty"),
        ("s3://bucket?endpoint=ftp%3A%2F%2Fhost", "is not http"),
        ("s3://bucket?endpoint=http%3A%2F%2Fu%3Ap%40host", "is not http"),
        ("s3://bucket?endpoint=http%3A%2F%2Fhost%3Ax", "is not http"),
        ("s3://bucket/a/../b", "no key"),
        ("s3://[bucket", "is no URL"),
    ],
)
def test_a_malformed_url_is_refused_with_the_reason(url: str, because: str) -> None:
    with pytest.raises(ArchiveError) as found:
        open_archive(url)
    assert because in str(found.value)
    assert "secret" not in str(found.value)


@given(st.text())
def test_any_text_opens_an_archive_or_is_refused(text: str) -> None:
    for url in (text, f"file:///{text}", f"s3://bucket/{text}"):
        try:
            opened = open_archive(url)
        except ArchiveError:
            continue
        assert open_archive(opened.url).url == opened.url


def test_boto3_is_loaded_by_those_alone_who_need_it() -> None:
    code = "import sys, archives.opening, archives.buckets; archives.opening.open_archive('s3://bucket'); print('boto3' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True, cwd=Path(__file__).parents[3])
    assert said.stdout == "False\n"
