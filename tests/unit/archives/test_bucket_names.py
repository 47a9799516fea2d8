"""ARNs of objects, taken apart."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archives.bucket_names import BadArnError, parse_object_arn


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("arn:aws:s3:::bucket/file.rdb", ("bucket", "file.rdb")),
        ("arn:aws:s3:::my.bucket-1/a/b c/é?#.rdb", ("my.bucket-1", "a/b c/é?#.rdb")),
        ("arn:aws-cn:s3:::bucket/a//b/", ("bucket", "a//b/")),
        ("arn:aws:s3:::bucket/" + "é" * 512, ("bucket", "é" * 512)),
    ],
)
def test_an_arn_names_a_bucket_and_a_key(text: str, named: tuple[str, str]) -> None:
    assert parse_object_arn(text) == named


@pytest.mark.parametrize(
    ("text", "because"),
    [
        ("", "not of the form"),
        ("bucket/key", "not of the form"),
        ("arn:aws:s3:::bucket", "not of the form"),
        ("arn:aws:s3:us-east-1::bucket/key", "not of the form"),
        ("arn:aws:s3:::bucket/", "0 bytes and not 1 to 1024"),
        ("arn:aws:s3:::bucket/" + "é" * 513, "1026 bytes and not 1 to 1024"),
        ("arn:aws:s3:::bucket/\ud800", "not UTF-8"),
        ("arn:aws:s3:::ab/key", "3 to 63"),
        ("arn:aws:s3:::Bucket/key", "3 to 63"),
        ("arn:aws:s3:::a..b/key", "3 to 63"),
        ("arn:aws:s3:::-ab/key", "3 to 63"),
        ("arn:aws:s3:::../key", "3 to 63"),
        ("arn:aws:s3:::10.0.0.1/key", "IP address"),
    ],
)
def test_what_is_no_arn_is_refused_with_the_reason(text: str, because: str) -> None:
    with pytest.raises(BadArnError) as found:
        parse_object_arn(text)
    assert because in str(found.value)


@given(st.text())
def test_any_text_is_an_arn_or_refused(text: str) -> None:
    for tried in (text, f"arn:aws:s3:::bucket/{text}"):
        try:
            bucket, key = parse_object_arn(tried)
        except BadArnError:
            continue
        assert tried.endswith(f":::{bucket}/{key}")
