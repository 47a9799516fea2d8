"""Settings that contradict one another, or make no sense, are refused in a sentence."""

from __future__ import annotations

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


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"dns_suffix": "no domain"}, "no domain name"),
        ({"dns_ttl": "-1"}, "greater than or equal to 0"),
        ({"endpoints": "guessed"}, "'bound' or 'named'"),
        ({"endpoints": "named", "memcached_discovery": "configuration-endpoint"}, "memcached-discovery must be every-node"),
    ],
)
def test_what_makes_no_sense_is_refused(wrong: dict[str, str], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        Settings(**wrong)  # type: ignore[arg-type]
