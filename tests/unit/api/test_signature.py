"""Signatures as AWS's SDK makes them are known for what they are, and anything that was changed after signing is not."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from factories import NOW
from hypothesis import example, given, settings
from hypothesis import strategies as st
from signing import FORM, SECRET, presigned, signed

from api_schemas.faults import (
    Fault,
    IncompleteSignature,
    InvalidClientTokenId,
    MissingAuthenticationToken,
    RequestExpired,
    SignatureDoesNotMatch,
)
from controlplane.api import signature as read_signatures
from controlplane.api.signature import Arrived, read
from controlplane.api.signing import must_match


def verify(arrived: Arrived, now: Any = NOW, secret: str = SECRET) -> read_signatures.Signature:
    signature = read(arrived, now)
    must_match(arrived, signature, secret)
    return signature


def with_header(arrived: Arrived, name: str, value: str | None) -> Arrived:
    """The request with a header set to something else, or left out."""
    rest = [(known, said) for known, said in arrived.headers if known != name]
    return replace(arrived, headers=rest if value is None else [*rest, (name, value)])


def edited(arrived: Arrived, old: str, new: str) -> Arrived:
    """The request with something else in its Authorization header."""
    header = arrived.header("authorization") or ""
    assert old in header
    return with_header(arrived, "authorization", header.replace(old, new))


# --- What is right ---


def test_what_the_sdk_signs_is_right() -> None:
    found = verify(signed())
    assert (found.key, found.region, found.presigned, found.until) == ("CWAKAAAAAAAAAAAAAAAA", "us-east-1", False, NOW + timedelta(minutes=15))


def test_the_region_is_the_signed_one() -> None:
    assert verify(signed(region="eu-central-1")).region == "eu-central-1"
    assert verify(signed(region="us-gov-west-1")).region == "us-gov-west-1"


@pytest.mark.parametrize("path", ["/v1/faults/a%2Fb", "/v1/x%20y", "/v1/%C3%BC", "/v1/a:b", "/v1/a~b", "/v1/nodes?b=2&a=1&a=0&c=", "/?q=%2B%20"])
def test_paths_and_queries_are_normalised_as_the_sdk_does(path: str) -> None:
    verify(signed(b"", method="GET", path=path))


def test_headers_are_folded_and_trimmed() -> None:
    verify(signed(headers={"X-Amz-Meta": "  a   b  ", "X-Own": "1"}))


def test_a_date_will_do_where_there_is_no_x_amz_date() -> None:
    arrived = signed(headers={"Date": "whatever"})
    assert arrived.header("x-amz-date") is None
    verify(arrived)


def test_a_presigned_request_is_right_until_it_expires() -> None:
    arrived = presigned(expires=60)
    assert verify(arrived, NOW + timedelta(seconds=60)).presigned
    with pytest.raises(RequestExpired, match="Request has expired"):
        verify(arrived, NOW + timedelta(seconds=61))


def test_clocks_may_differ_by_a_quarter_of_an_hour() -> None:
    for minutes in (-15, 15):
        verify(signed(), NOW + timedelta(minutes=minutes))


# --- What is wrong ---


def test_a_request_that_is_late_or_early_is_refused_in_the_words_of_the_service() -> None:
    with pytest.raises(SignatureDoesNotMatch, match=r"Signature expired: 20260701T120000Z is now earlier than 20260701T120001Z \(20260701T121501Z - 15 min.\)"):
        verify(signed(), NOW + timedelta(minutes=15, seconds=1))
    with pytest.raises(SignatureDoesNotMatch, match="Signature not yet current: 20260701T120000Z is still later than"):
        verify(signed(), NOW - timedelta(minutes=15, seconds=1))
    with pytest.raises(SignatureDoesNotMatch, match="not yet current"):
        verify(presigned(), NOW - timedelta(minutes=16))


def test_another_secret_is_wrong() -> None:
    with pytest.raises(SignatureDoesNotMatch, match="does not match the signature you provided"):
        verify(signed(secret="x" * 40))


@pytest.mark.parametrize(
    "tampered",
    [
        replace(signed(), body=FORM + b"&Duration=60"),
        replace(signed(), body=b""),
        replace(signed(), query="Action=DeleteReplicationGroup"),
        replace(signed(), method="PUT"),
        replace(signed(), raw_path="/v1/nodes"),
        with_header(signed(), "host", "other.example.com"),
        with_header(signed(), "x-amz-date", "20260701T120001Z"),
        with_header(signed(), "content-type", "text/plain"),
        with_header(signed(), "x-amz-target", "Other"),
        with_header(signed(), "x-amz-content-sha256", "UNSIGNED-PAYLOAD"),
        edited(signed(), "us-east-1", "eu-west-1"),
        edited(signed(), "20260701/", "20260702/"),
        edited(signed(), "content-type;host", "host"),
        replace(presigned(), query=presigned().query.replace("DescribeEvents", "DeleteUser")),
        replace(presigned(), query=presigned().query.replace("Expires=60", "Expires=600")),
        replace(presigned(), query=presigned().query + "&More=1"),
        replace(presigned(), body=FORM),
        signed(service="s3"),
    ],
)  # fmt: skip
def test_what_was_changed_after_signing_is_noticed(tampered: Arrived) -> None:
    with pytest.raises(SignatureDoesNotMatch):
        verify(tampered)


def test_a_body_that_is_said_to_be_unsigned_is_not_taken() -> None:
    with pytest.raises(SignatureDoesNotMatch, match="SHA-256"):
        verify(signed(headers={"X-Amz-Content-SHA256": "UNSIGNED-PAYLOAD"}))


@pytest.mark.parametrize("path", ["/v1/a/../b", "/v1//b", "/v1/./b", "/v1/..", "*"])
def test_a_path_that_signing_would_change_is_not_taken(path: str) -> None:
    with pytest.raises(SignatureDoesNotMatch):
        verify(replace(signed(b"", method="DELETE", path="/v1/b"), raw_path=path))


def test_a_session_token_is_refused_with_what_to_do() -> None:
    with pytest.raises(InvalidClientTokenId, match="AWS_SESSION_TOKEN"):
        verify(signed(headers={"X-Amz-Security-Token": "t"}))
    with pytest.raises(InvalidClientTokenId):
        verify(replace(presigned(), query=presigned().query + "&X-Amz-Security-Token=t"))


def test_nothing_signed_is_said_as_the_service_does() -> None:
    with pytest.raises(MissingAuthenticationToken, match="Missing Authentication Token"):
        verify(with_header(signed(), "authorization", None))


@pytest.mark.parametrize(
    "incomplete",
    [
        edited(signed(), "AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256"),
        edited(signed(), "Signature=", "Nothing="),
        edited(signed(), "Credential=", "Credential=/"),
        edited(signed(), "aws4_request", "aws5_request"),
        edited(signed(), "content-type;host", "host;content-type"),
        edited(signed(), "content-type;host", "host;host"),
        with_header(signed(), "x-amz-date", "yesterday"),
        with_header(signed(), "x-amz-date", "20260701T999999Z"),
        edited(with_header(signed(), "x-amz-date", "99991231T235959Z"), "20260701/", "99991231/"),
        with_header(signed(), "x-amz-date", None),
        replace(signed(), headers=[*signed().headers, ("authorization", "x")]),
        replace(signed(), query=presigned().query),
        replace(presigned(), query=presigned().query.replace("Expires=60", "Expires=999999")),
        replace(presigned(), query=presigned().query.replace("Expires=60", "Expires=-1")),
        replace(presigned(), query=presigned().query + "&X-Amz-Date=20260701T120000Z"),
        replace(presigned(), query="X-Amz-Signature=1"),
    ],
)  # fmt: skip
def test_a_signature_that_is_not_in_order_is_refused(incomplete: Arrived) -> None:
    with pytest.raises(IncompleteSignature):
        verify(incomplete)


TEXT = st.text(st.characters(codec="latin-1", exclude_characters="\r\n\0"), max_size=80)
HEADER = signed().header("authorization") or ""


@settings(max_examples=400, deadline=None)
@given(cut=st.integers(0, len(HEADER)), to=st.integers(0, len(HEADER)), put=TEXT, path=TEXT, query=TEXT, name=TEXT, date=TEXT)
@example(cut=0, to=0, put="", path="//[", query="%ff", name="host", date="")
@example(cut=17, to=17, put="", path="", query="a=%zz&X-Amz-Date", name="x-amz-\u00e9", date="Mon, 99 Foo 99999 99:99:99 +9999")
def test_a_mangled_request_is_a_fault_and_never_an_error(cut: int, to: int, put: str, path: str, query: str, name: str, date: str) -> None:
    mangled = HEADER[: min(cut, to)] + put + HEADER[max(cut, to) :]
    for headers in ([("authorization", mangled)], [*with_header(signed(), "authorization", mangled).headers, (name.lower(), put)],
                    [("authorization", HEADER), ("date", date), ("host", put)]):  # fmt: skip
        arrived = Arrived("POST", "/" + path, query, headers, put.encode())
        with pytest.raises(Fault) as refused:
            verify(arrived)
        assert 400 <= refused.value.status < 500
        assert SECRET not in refused.value.message
