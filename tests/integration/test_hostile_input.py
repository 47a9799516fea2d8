"""Requests that nobody in his right mind sends: both doors answer them with a typed 4xx, and leave nothing half done behind."""

from __future__ import annotations

import contextlib
import random
import string
import uuid
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlencode
from xml.etree import ElementTree

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from waiting import wait_until

from cachewright import LocalServer, local_server

Pairs = list[tuple[str, str]]

ACCOUNT = "666666666666"
NAMESPACE = "{http://elasticache.amazonaws.com/doc/2015-02-02/}"
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
BOUNDED = settings(
    max_examples=10,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def victim() -> Iterator[LocalServer]:
    """A server of this module alone, so that whatever gets through harms no other test."""
    with local_server() as running:
        yield running


@pytest.fixture(scope="module")
def client(victim: LocalServer) -> Iterator[httpx.Client]:
    scope = f"{ACCOUNT}/20260101/us-east-1/elasticache/aws4_request"
    headers = {"Authorization": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0"}
    with httpx.Client(base_url=victim.url, headers=headers, timeout=30) as talking:
        yield talking


@pytest.fixture(scope="module")
def described(victim: LocalServer) -> Any:
    """The REST door as it describes itself."""
    return schemathesis.openapi.from_url(f"{victim.url}/openapi.json")


def remove_everything(client: httpx.Client) -> None:
    """Whatever a hostile request managed to create goes again, so that engines do not pile up."""
    for group in client.get("/v1/replication-groups").json()["replication_groups"]:
        _remove(client, f"/v1/replication-groups/{group['replication_group_id']}")
    for cluster in client.get("/v1/cache-clusters").json()["cache_clusters"]:
        if "replication_group_id" not in cluster:
            _remove(client, f"/v1/cache-clusters/{cluster['cache_cluster_id']}")


def _remove(client: httpx.Client, path: str) -> None:
    client.get(path, headers={"Prefer": "wait=20"})
    gone = client.delete(path, headers={"Prefer": "wait=20"})
    assert gone.status_code in (200, 404) or client.get(path, headers={"Prefer": "wait=20"}).status_code == 404, gone.text


# ---- REST, by its own description -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_the_rest_door_answers_as_it_describes_itself(
    described: Any, client: httpx.Client, subtests: pytest.Subtests, mode: GenerationMode
) -> None:
    operations = [found.ok() for found in described.get_all_operations()]
    assert len(operations) > 20
    for operation in operations:
        with subtests.test(operation.label):
            _call_in_many_ways(operation, mode, client)


def _call_in_many_ways(operation: Any, mode: GenerationMode, client: httpx.Client) -> None:
    @BOUNDED
    @given(case=operation.as_strategy(generation_mode=mode))
    def call(case: Any) -> None:
        case.headers = {"X-Account-Id": ACCOUNT, "Prefer": "wait=0"}
        answer = case.call(timeout=30)
        if case.operation.method.upper() == "POST" and answer.status_code < 300:
            remove_everything(client)
        case.validate_response(answer, checks=CHECKS)

    with contextlib.suppress(Unsatisfiable):  # where everything is valid, nothing is invalid
        call()


# ---- Query, from valid requests -------------------------------------------------------------------------------------------

SUBNETS = [("SubnetIds.SubnetIdentifier.1", "subnet-0000000a"), ("SubnetIds.SubnetIdentifier.2", "subnet-0000000b")]
TAGS = [("Tags.Tag.1.Key", "team"), ("Tags.Tag.1.Value", "checkout")]
_ITEM = "ParameterNameValues.ParameterNameValue.1"
PARAMETER = [(f"{_ITEM}.ParameterName", "timeout"), (f"{_ITEM}.ParameterValue", "60")]
ARN = f"arn:aws:elasticache:us-east-1:{ACCOUNT}:subnetgroup:sg"

# A valid request of each operation. Where one would start engines, its id is one that no engine may have.
VALID: dict[str, Pairs] = {
    "CreateReplicationGroup": [
        ("ReplicationGroupId", "not--valid"), ("ReplicationGroupDescription", "d"), ("NumCacheClusters", "2"),
        ("Engine", "valkey"), ("PreferredCacheClusterAZs.AvailabilityZone.1", "us-east-1a"),
        ("PreferredCacheClusterAZs.AvailabilityZone.2", "us-east-1b"),
        ("AutomaticFailoverEnabled", "true"), ("Port", "6379"), ("SnapshotWindow", "03:00-04:00"), *TAGS,
        ("NodeGroupConfiguration.NodeGroupConfiguration.1.ReplicaCount", "1"),
    ],
    "DescribeReplicationGroups": [("ReplicationGroupId", "g"), ("MaxRecords", "20"), ("Marker", "YWZ0ZXI6MjA=")],
    "ModifyReplicationGroup": [("ReplicationGroupId", "g"), ("ApplyImmediately", "true"), ("SnapshotWindow", "03:00-04:00")],
    "DeleteReplicationGroup": [("ReplicationGroupId", "g"), ("RetainPrimaryCluster", "false")],
    "CreateCacheCluster": [
        ("CacheClusterId", "not--valid"), ("Engine", "memcached"), ("NumCacheNodes", "2"), ("AZMode", "cross-az"), *TAGS,
        ("PreferredAvailabilityZones.PreferredAvailabilityZone.1", "us-east-1a"), ("CacheNodeType", "cache.t4g.small"),
    ],
    "DescribeCacheClusters": [("CacheClusterId", "c"), ("ShowCacheNodeInfo", "true"), ("MaxRecords", "20")],
    "ModifyCacheCluster": [("CacheClusterId", "c"), ("NumCacheNodes", "2"), ("CacheNodeIdsToRemove.CacheNodeId.1", "0001")],
    "DeleteCacheCluster": [("CacheClusterId", "c")],
    "RebootCacheCluster": [("CacheClusterId", "c"), ("CacheNodeIdsToReboot.CacheNodeId.1", "0001")],
    "CreateCacheSubnetGroup": [("CacheSubnetGroupName", "sg"), ("CacheSubnetGroupDescription", "d"), *SUBNETS, *TAGS],
    "ModifyCacheSubnetGroup": [("CacheSubnetGroupName", "sg"), ("CacheSubnetGroupDescription", "d"), *SUBNETS],
    "DescribeCacheSubnetGroups": [("CacheSubnetGroupName", "sg"), ("MaxRecords", "20")],
    "DeleteCacheSubnetGroup": [("CacheSubnetGroupName", "sg")],
    "AddTagsToResource": [("ResourceName", ARN), *TAGS],
    "RemoveTagsFromResource": [("ResourceName", ARN), ("TagKeys.member.1", "team")],
    "ListTagsForResource": [("ResourceName", ARN)],
    "DescribeEvents": [
        ("SourceType", "cache-cluster"), ("SourceIdentifier", "c"), ("StartTime", "2026-01-01T00:00:00Z"), ("Duration", "60"),
    ],
    "DescribeCacheEngineVersions": [("Engine", "valkey"), ("EngineVersion", "8.1"), ("DefaultOnly", "true")],
    "CreateCacheParameterGroup": [("CacheParameterGroupName", "pg"), ("CacheParameterGroupFamily", "valkey8"), ("Description", "d"), *TAGS],
    "ModifyCacheParameterGroup": [("CacheParameterGroupName", "pg"), *PARAMETER],
    "ResetCacheParameterGroup": [("CacheParameterGroupName", "pg"), *PARAMETER, ("ResetAllParameters", "false")],
    "DeleteCacheParameterGroup": [("CacheParameterGroupName", "pg")],
    "DescribeCacheParameterGroups": [("CacheParameterGroupName", "default.valkey8"), ("MaxRecords", "20")],
    "DescribeCacheParameters": [("CacheParameterGroupName", "default.valkey8"), ("Source", "system")],
    "DescribeEngineDefaultParameters": [("CacheParameterGroupFamily", "valkey8"), ("MaxRecords", "20")],
    "ListAllowedNodeTypeModifications": [("ReplicationGroupId", "g")],
}  # fmt: skip

ODD_TEXTS = [
    "", " ", "null", "None", "-1", "0", "2147483648", "-9223372036854775809", "1e309", "NaN", "0x10", "true", "g", "default",
    "\x00", "a\x00b", "\r\n", "\u202e", "\ufffe", "ß", "İ", "\U0001d4b3", "é" * 300, "../../etc/passwd", "$(reboot)",
    "'; DROP TABLE nodes; --",
    "%s%n", "{id}", "<![CDATA[x]]>", "&amp;", "a" * 300, "a" * 20_000, "9" * 5_000, "2026-13-45T99:99:99Z",
    "0001-01-01T00:00:00+23:59",
]  # fmt: skip


def changed(pairs: Pairs, choose: random.Random) -> Pairs:
    """The pairs after one to four mutations."""
    mutations: list[Callable[[Pairs, random.Random], Pairs]] = [
        _drop,
        _duplicate,
        _rename,
        _retype,
        _retype,
        _lengthen,
        _nest,
        _shuffle,
    ]
    for _ in range(choose.randint(1, 4)):
        if pairs:
            pairs = choose.choice(mutations)(pairs, choose)
    return pairs


def _drop(pairs: Pairs, choose: random.Random) -> Pairs:
    at = choose.randrange(len(pairs))
    return pairs[:at] + pairs[at + 1 :]


def _duplicate(pairs: Pairs, choose: random.Random) -> Pairs:
    return [*pairs, choose.choice(pairs)]


def _rename(pairs: Pairs, choose: random.Random) -> Pairs:
    at = choose.randrange(len(pairs))
    name, value = pairs[at]
    odd = [name.lower(), f"{name}.1", f"{name}.member.1", name.replace(".1", f".{choose.choice(['0', '-1', 'x', '10001', '٣'])}"),
           name.partition(".")[0], f".{name}", f"{name}.", choose.choice(ODD_TEXTS)]  # fmt: skip
    return [*pairs[:at], (choose.choice(odd), value), *pairs[at + 1 :]]


def _retype(pairs: Pairs, choose: random.Random) -> Pairs:
    at = choose.randrange(len(pairs))
    return [*pairs[:at], (pairs[at][0], choose.choice(ODD_TEXTS)), *pairs[at + 1 :]]


def _lengthen(pairs: Pairs, choose: random.Random) -> Pairs:
    at = choose.randrange(len(pairs))
    name, value = pairs[at]
    return [
        *pairs[:at],
        (name, value + "".join(choose.choices(string.printable, k=choose.choice([1, 40, 300])))),
        *pairs[at + 1 :],
    ]


def _nest(pairs: Pairs, choose: random.Random) -> Pairs:
    name, value = choose.choice(pairs)
    return [*pairs, (name + ".x" * choose.choice([1, 8, 60]), value)]


def _shuffle(pairs: Pairs, choose: random.Random) -> Pairs:
    return choose.sample(pairs, len(pairs))


def send(client: httpx.Client, action: str, pairs: Pairs) -> httpx.Response:
    body = urlencode([("Action", action), ("Version", "2015-02-02"), *pairs])
    return client.post("/", content=body.encode(), headers={"Content-Type": "application/x-www-form-urlencoded"})


def groups(client: httpx.Client) -> list[str]:
    return [group["replication_group_id"] for group in client.get("/v1/replication-groups").json()["replication_groups"]]


def clusters(client: httpx.Client) -> list[str]:
    return [cluster["cache_cluster_id"] for cluster in client.get("/v1/cache-clusters").json()["cache_clusters"]]


@pytest.mark.parametrize("action", VALID)
@settings(BOUNDED, max_examples=40)
@given(choose=st.randoms(use_true_random=False))
def test_a_mutated_query_is_answered_with_well_formed_xml(client: httpx.Client, action: str, choose: random.Random) -> None:
    pairs = changed(VALID[action], choose)
    answer = send(client, action, pairs)
    assert answer.status_code == 200 or 400 <= answer.status_code < 500, (pairs, answer.text)
    root = ElementTree.fromstring(answer.content)
    if answer.status_code == 200:
        assert root.tag == f"{NAMESPACE}{action}Response"
        remove_everything(client)
    else:
        error = root.find(f"{NAMESPACE}Error")
        assert error is not None
        assert (error.findtext(f"{NAMESPACE}Type"), bool(error.findtext(f"{NAMESPACE}Code"))) == ("Sender", True)
        assert error.findtext(f"{NAMESPACE}Message"), pairs
        assert len(answer.content) < 10_000, "a refusal repeats no more than a part of what was sent"
    assert groups(client) == clusters(client) == []


# ---- Nothing half done ----------------------------------------------------------------------------------------------------

FINE = [("ReplicationGroupDescription", "d"), ("Engine", "valkey"), ("EngineVersion", "8.1")]


@settings(BOUNDED, max_examples=25)
@given(choose=st.randoms(use_true_random=False))
def test_only_creates_that_succeeded_are_there(client: httpx.Client, choose: random.Random) -> None:
    """Here ids are valid, so that a refusal comes as late as it can."""
    name = f"g{uuid.UUID(int=choose.getrandbits(128)).hex[:10]}"
    pairs = changed([*FINE, ("NumCacheClusters", "1"), ("Port", "6379"), ("SnapshotWindow", "03:00-04:00"), *TAGS], choose)
    answer = send(client, "CreateReplicationGroup", [("ReplicationGroupId", name), *pairs])
    assert answer.status_code in (200, 400, 404), answer.text
    assert groups(client) == ([name] if answer.status_code == 200 else [])
    assert (clusters(client) != []) == (answer.status_code == 200)
    assert len(clusters(client)) <= 6
    remove_everything(client)
    assert groups(client) == clusters(client) == []


def test_a_batch_of_refused_creates_leaves_no_process(client: httpx.Client) -> None:
    for late in (
        [("Tags.Tag.1.Key", "aws:x")],
        [("CacheSubnetGroupName", "none")],
        [("SecurityGroupIds.SecurityGroupId.1", "x")],
    ):
        answer = send(client, "CreateReplicationGroup", [("ReplicationGroupId", "never"), *FINE, *late])
        assert answer.status_code == 400
    assert groups(client) == []
    assert client.get("/v1/nodes").json() == {"nodes": []}


def test_the_server_is_well_after_all_of_this(victim: LocalServer, client: httpx.Client) -> None:
    assert client.get("/healthz").text == "ok\n"
    with contextlib.closing(httpx.Client(base_url=victim.url, headers={"X-Account-Id": ACCOUNT}, timeout=30)) as rest:
        body = {"replication_group_id": "last", "replication_group_description": "d", "engine": "valkey", "engine_version": "8.1"}
        made = rest.post("/v1/replication-groups", json=body, headers={"Prefer": "wait=20"})
        assert (made.status_code, made.json()["replication_group"]["status"]) == (200, "available")
        assert rest.delete("/v1/replication-groups/last", headers={"Prefer": "wait=20"}).status_code == 200
    agents = wait_until(lambda: client.get("/v1/agents").json()["agents"])
    assert [agent["nodes"] for agent in agents] == [0, 0, 0]
