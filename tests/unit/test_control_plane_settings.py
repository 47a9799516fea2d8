"""Settings that contradict one another, or make no sense, are refused in a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from controlplane.domain.endpoint_names import EndpointStyle
from controlplane.domain.topology import Endpoints
from controlplane.settings import Settings


def test_by_default_endpoints_are_bound_and_nobody_is_served_names() -> None:
    assert Settings().style() == EndpointStyle()


def test_named_endpoints_and_a_place_to_serve_names() -> None:
    style = Settings(endpoints="named", dns_listen="127.0.0.1:8353", dns_suffix="Cache.Example.com.").style()
    assert style == EndpointStyle(Endpoints.NAMED, "cache.example.com", served=True)


def test_the_audit_and_the_key_for_secrets_are_in_the_data_folder_unless_somebody_says_otherwise(tmp_path: Path) -> None:
    usual, other = Settings(data_dir=tmp_path), Settings(data_dir=tmp_path, audit_log=str(tmp_path / "a"), secrets_key_file=tmp_path / "s")
    assert (usual.audit_file(), usual.secrets_file()) == (tmp_path / "audit.jsonl", tmp_path / "secrets.key")
    assert (other.audit_file(), other.secrets_file()) == (tmp_path / "a", tmp_path / "s")
    assert Settings(audit_log="off").audit_file() is None


def test_origins_are_taken_one_by_one() -> None:
    assert Settings(cors_origins="https://a.example, http://localhost:3000").origins() == ("https://a.example", "http://localhost:3000")
    assert Settings().origins() == ()


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"dns_suffix": "no domain"}, "no domain name"),
        ({"dns_ttl": "-1"}, "greater than or equal to 0"),
        ({"cors_origins": "*"}, "is no origin of a page"),
        ({"cors_origins": "https://a.example, https://b.example/page"}, "https://b.example/page is no origin"),
        ({"authentication": "off"}, "'auto' or 'required'"),
        ({"endpoints": "guessed"}, "'bound' or 'named'"),
        ({"endpoints": "named", "memcached_discovery": "configuration-endpoint"}, "memcached-discovery must be every-node"),
    ],
)
def test_what_makes_no_sense_is_refused(wrong: dict[str, str], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        Settings(**wrong)  # type: ignore[arg-type]
