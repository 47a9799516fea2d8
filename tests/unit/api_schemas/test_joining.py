"""Join tokens as text, and identities in certificates."""

from __future__ import annotations

from typing import Any

import pytest

from api_schemas.agent.identity import Identity, agent_host, identity_in
from api_schemas.agent.join_token import JoinToken, pin_of

TOKEN = JoinToken("a" * 40, "0123456789", "b" * 48)


def test_a_token_is_one_line_that_says_whom_to_trust() -> None:
    assert TOKEN.text == f"CWJOIN-1-{'a' * 40}-0123456789-{'b' * 48}"
    assert JoinToken.parse(f"{TOKEN.text}\n") == TOKEN


def test_the_secret_of_a_token_is_not_shown_by_chance() -> None:
    assert TOKEN.secret not in f"{TOKEN} {TOKEN!r}"


@pytest.mark.parametrize(
    "text",
    ["", "secret", "CWJOIN-1-", TOKEN.text[:-1], TOKEN.text + "b", TOKEN.text.upper(), TOKEN.text.replace("-1-", "-2-", 1), f"{TOKEN.text}\nx"],
)
def test_what_is_no_token_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(ValueError, match="CWJOIN-1-") as refused:
        JoinToken.parse(text)
    assert TOKEN.secret not in str(refused.value)


def test_a_pin_is_that_of_its_certificate() -> None:
    assert pin_of(b"one") == pin_of(b"one")
    assert pin_of(b"one") != pin_of(b"two")


def certificate(*names: tuple[str, str]) -> dict[str, Any]:
    return {"subjectAltName": names}


@pytest.mark.parametrize("identity", [Identity(), Identity("agent-b", "us-east-1b"), Identity("-", "us-gov-west-1a")])
def test_an_identity_is_read_back_from_its_certificate(identity: Identity) -> None:
    assert identity_in(certificate(("DNS", identity.host), ("URI", identity.uri))) == identity
    assert identity.is_control_plane == (identity.agent is None)


@pytest.mark.parametrize(
    "shown",
    [
        None,
        {},
        certificate(("DNS", Identity().host)),
        certificate(("DNS", Identity().uri)),
        certificate(("URI", "https://control-plane")),
        certificate(("URI", "cachewright://agent/us-east-1b")),
        certificate(("URI", "cachewright://agent/us-east-1b/agent-b/more")),
        certificate(("URI", "cachewright://agent/us-east-1b/a.b")),
        certificate(("URI", Identity().uri), ("URI", Identity("agent-b", "us-east-1b").uri)),
    ],
)
def test_a_certificate_that_names_nobody_or_several_is_nobodys(shown: dict[str, Any] | None) -> None:
    assert identity_in(shown) is None


def test_no_agent_has_the_name_of_the_control_plane() -> None:
    assert agent_host("control-plane") != Identity().host
