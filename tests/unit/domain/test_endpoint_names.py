"""Names of endpoints: in the service's format, and read as they are written."""

from __future__ import annotations

from dataclasses import replace

import pytest
from factories import WORLD, a_cache_cluster, a_group, a_sharded_group
from hypothesis import given
from hypothesis import strategies as st

from controlplane.domain.endpoint_names import (
    DEFAULT_SUFFIX,
    LONGEST_SUFFIX,
    EndpointName,
    EndpointStyle,
    Purpose,
    account_hash,
    is_above_names,
    parsed,
    short_region,
    suffix,
)
from controlplane.domain.topology import ClusterMode, Endpoints, World

HASH, REGION = account_hash(WORLD), "use1"
STYLE = EndpointStyle(served=True)

IDS = st.from_regex(r"[a-z](-?[a-z0-9]){0,20}", fullmatch=True)
HASHES = st.from_regex(r"[a-z0-9]{6}", fullmatch=True)
REGIONS = st.sampled_from(["use1", "apne1", "euw3", "cac1", "usgw1", "local"])
NUMBERS = st.from_regex(r"[0-9]{4}", fullmatch=True)


@st.composite
def endpoint_names(draw: st.DrawFn) -> EndpointName:
    """Names as topologies have them."""
    purpose, tls = draw(st.sampled_from(Purpose)), draw(st.booleans())
    owner, place = draw(IDS), (draw(HASHES), draw(REGIONS))
    if purpose is Purpose.DISCOVERY:
        return EndpointName(purpose, owner, *place)
    if purpose is Purpose.NODE:
        return EndpointName(purpose, f"{owner}-001", *place, tls=True, group=owner) if tls else EndpointName(purpose, owner, *place, draw(NUMBERS))
    return EndpointName(purpose, owner, *place, tls=tls)


@given(endpoint_names())
def test_a_name_is_read_as_it_was_written(name: EndpointName) -> None:
    assert name in parsed(name.labels)
    assert all(read.labels == name.labels for read in parsed(name.labels))


@given(endpoint_names())
def test_a_name_has_one_meaning_but_for_a_reader(name: EndpointName) -> None:
    meanings = parsed(name.labels)
    assert len(meanings) == 1 or {meaning.purpose for meaning in meanings} == {Purpose.PRIMARY, Purpose.READER}


@given(st.lists(st.text(max_size=8), max_size=7))
def test_anything_can_be_read(labels: list[str]) -> None:
    assert all(read.labels == tuple(labels) for read in parsed(tuple(labels)))


@pytest.mark.parametrize(
    ("name", "purpose", "owner"),
    [
        ("shop.7abc2d.ng.0001.use1", Purpose.PRIMARY, "shop"),
        ("shop-ro.7abc2d.ng.0001.use1", Purpose.READER, "shop"),
        ("shop-001.7abc2d.0001.use1", Purpose.NODE, "shop-001"),
        ("shop.7abc2d.clustercfg.use1", Purpose.CONFIGURATION, "shop"),
        ("shop-0001-001.7abc2d.0001.use1", Purpose.NODE, "shop-0001-001"),
        ("items.7abc2d.cfg.use1", Purpose.DISCOVERY, "items"),
        ("items.7abc2d.0002.use1", Purpose.NODE, "items"),
        ("master.shop.7abc2d.use1", Purpose.PRIMARY, "shop"),
        ("replica.shop.7abc2d.use1", Purpose.READER, "shop"),
        ("clustercfg.shop.7abc2d.use1", Purpose.CONFIGURATION, "shop"),
        ("shop-001.shop.7abc2d.use1", Purpose.NODE, "shop-001"),
    ],
)
def test_every_form_of_the_service_is_known(name: str, purpose: Purpose, owner: str) -> None:
    assert (purpose, owner) in {(read.purpose, read.owner) for read in parsed(tuple(name.split(".")))}


@pytest.mark.parametrize("name", ["", "shop", "shop.7abc2d", "7abc2d.ng.0001.use1", "shop.7abc2.ng.0001.use1", "shop.7abc2d.ng.0002.use1",
                                  "shop.7abc2d.00001.use1", "-ro.7abc2.ng.0001.use1", "a.shop.7abc2d.0001.use1"])  # fmt: skip
def test_what_is_no_name_is_not_read(name: str) -> None:
    assert parsed(tuple(name.split("."))) == ()


def test_topologies_are_named_as_the_service_does() -> None:
    group, shards, items = a_group("shop"), a_sharded_group("shop"), a_cache_cluster("items", nodes=2)
    end = f"{REGION}.{DEFAULT_SUFFIX}"
    assert STYLE.name(group, Purpose.PRIMARY) == f"shop.{HASH}.ng.0001.{end}"
    assert STYLE.name(group, Purpose.READER) == f"shop-ro.{HASH}.ng.0001.{end}"
    assert [STYLE.node_name(group, node) for node in group.nodes][1] == f"shop-002.{HASH}.0001.{end}"
    assert STYLE.name(shards, Purpose.CONFIGURATION) == f"shop.{HASH}.clustercfg.{end}"
    assert [STYLE.node_name(shards, node) for node in shards.nodes][3] == f"shop-0002-002.{HASH}.0001.{end}"
    assert STYLE.name(items, Purpose.DISCOVERY) == f"items.{HASH}.cfg.{end}"
    assert [STYLE.node_name(items, node) for node in items.nodes] == [f"items.{HASH}.{number}.{end}" for number in ("0001", "0002")]


def test_names_are_shown_of_named_endpoints_always_and_of_others_when_served() -> None:
    bound, named = a_group(), a_group(endpoints=Endpoints.NAMED)
    assert EndpointStyle().shows_names(named)
    assert not EndpointStyle().shows_names(bound)
    assert STYLE.shows_names(bound)


def test_an_account_has_another_hash_in_each_region_and_the_same_tomorrow() -> None:
    assert account_hash(World("000000000000", "us-east-1")) == "rfejuh"
    worlds = [World(f"{number:012d}", region) for number in range(200) for region in ("us-east-1", "eu-west-1")]
    assert len({account_hash(world) for world in worlds}) == len(worlds)


@pytest.mark.parametrize(
    ("region", "short"),
    [
        ("us-east-1", "use1"), ("us-east-2", "use2"), ("us-west-1", "usw1"), ("us-west-2", "usw2"), ("eu-west-3", "euw3"),
        ("eu-central-1", "euc1"), ("ap-southeast-2", "apse2"), ("ap-northeast-1", "apne1"), ("ap-south-1", "aps1"),
        ("sa-east-1", "sae1"), ("ca-central-1", "cac1"), ("us-gov-west-1", "usgw1"), ("local", "local"), ("-x-", "x"), ("-", "r"),
    ],
)  # fmt: skip
def test_regions_are_shortened(region: str, short: str) -> None:
    assert short_region(region) == short


@given(endpoint_names())
def test_whatever_lies_above_a_name_exists_and_the_name_itself_is_not_above(name: EndpointName) -> None:
    name = replace(name, hash=HASH, region=REGION)
    for cut in range(1, len(name.labels)):
        above = name.labels[cut:]
        assert is_above_names(above, WORLD), above
    assert not is_above_names(("nonsense",), WORLD)
    assert not is_above_names(("a", "b", "c", "d", "e"), WORLD)


def test_above_the_names_of_another_account_is_nothing_of_ours() -> None:
    other = World("111111111111", "eu-west-1")
    assert is_above_names((HASH, "ng", "0001", REGION), WORLD)
    assert not is_above_names((HASH, "ng", "0001", REGION), other)
    assert not is_above_names((REGION,), other)


def test_a_suffix_is_a_domain_name() -> None:
    assert suffix("Cache.Example.COM.") == "cache.example.com"
    assert suffix("internal") == "internal"


@pytest.mark.parametrize("asked", ["", ".", "a..b", "-a.b", "a-.b", "a_b", "a b", "ö.de", "x" * 64, "a." * 80 + "b", "a/b", "*.a"])
def test_what_is_no_domain_name_is_no_suffix(asked: str) -> None:
    with pytest.raises(ValueError, match="no domain name"):
        suffix(asked)


def test_the_longest_name_is_a_name() -> None:
    longest = ("a" * 60 + ".") * 2 + "b" * (LONGEST_SUFFIX - 122)
    name = EndpointName(Purpose.READER, "o" * 40, HASH, "x" * 40).under(suffix(longest))
    assert len(name) <= 253
    assert all(len(label) <= 63 for label in name.split("."))


def test_a_compatible_group_has_the_names_of_both() -> None:
    group = a_sharded_group(shards=1, cluster_mode=ClusterMode.COMPATIBLE)
    assert STYLE.name(group, Purpose.PRIMARY).split(".")[2] == "ng"
    assert STYLE.name(group, Purpose.CONFIGURATION).split(".")[2] == "clustercfg"
