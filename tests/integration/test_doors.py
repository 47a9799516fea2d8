"""Both doors as they are on the wire: what any client can send, in any account and region, and what comes back."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlencode
from xml.etree import ElementTree

import botocore.session
import httpx
import pytest
from waiting import wait_until

from cachewright import LocalServer

NAMESPACE = "{http://elasticache.amazonaws.com/doc/2015-02-02/}"
FORM = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
MODEL = botocore.session.Session().get_service_model("elasticache")
COMMON_CODES = {"InvalidParameterValue", "InvalidParameterCombination", "MissingParameter"}


@pytest.fixture
def account() -> str:
    return str(uuid.uuid4().int)[:12]


@pytest.fixture
def query(server: LocalServer, account: str) -> Iterator[Query]:
    """The Query door, spoken to in plain HTTP by an account of the test's own."""
    with httpx.Client(base_url=server.url, headers=signed(account), timeout=30) as client:
        yield Query(client)


@pytest.fixture
def rest(server: LocalServer, account: str) -> Iterator[httpx.Client]:
    """The REST door, for an account of the test's own."""
    with httpx.Client(base_url=f"{server.url}/v1", headers={"X-Account-Id": account}, timeout=30) as client:
        yield client


class Query:
    """Sends forms and reads the XML that comes back."""

    def __init__(self, client: httpx.Client) -> None:
        self.client = client

    def form(self, action: str, *pairs: tuple[str, str], **fields: str) -> httpx.Response:
        return self.raw(urlencode([("Action", action), ("Version", "2015-02-02"), *fields.items(), *pairs]).encode())

    def raw(self, body: bytes, headers: dict[str, str] = FORM) -> httpx.Response:
        return self.client.post("/", content=body, headers=headers)

    def get(self, **fields: str) -> httpx.Response:
        return self.client.get("/", params=fields)


def signed(account: str, region: str = "us-east-1") -> dict[str, str]:
    scope = f"{account}/20260101/{region}/elasticache/aws4_request"
    return {"Authorization": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0"}


def document(answer: httpx.Response) -> ElementTree.Element:
    assert answer.headers["content-type"].startswith("text/xml")
    return ElementTree.fromstring(answer.content)


def text(answer: httpx.Response, path: str) -> str | None:
    found = document(answer).find("/".join(f"{NAMESPACE}{step}" for step in path.split("/")))
    return None if found is None else found.text or ""


def code(answer: httpx.Response) -> str:
    return text(answer, "Error/Code") or ""


def message(answer: httpx.Response) -> str:
    return text(answer, "Error/Message") or ""


def create_subnet_group(query: Query, name: str, *pairs: tuple[str, str]) -> httpx.Response:
    """Something to create that starts no engine."""
    given = pairs or (("SubnetIds.SubnetIdentifier.1", "subnet-0000000a"),)
    return query.form("CreateCacheSubnetGroup", *given, CacheSubnetGroupName=name, CacheSubnetGroupDescription="d")


def subnets(answer: httpx.Response) -> list[str | None]:
    assert answer.status_code == 200, answer.text
    return [found.text for found in document(answer).iter(f"{NAMESPACE}SubnetIdentifier")]


# ---- Query: layout --------------------------------------------------------------------------------------------------------


def test_a_success_is_wrapped_as_the_service_wraps_it(query: Query) -> None:
    answer = query.form("DescribeReplicationGroups")
    assert answer.status_code == 200
    assert document(answer).tag == f"{NAMESPACE}DescribeReplicationGroupsResponse"
    assert text(answer, "DescribeReplicationGroupsResult/ReplicationGroups") == ""
    assert text(answer, "ResponseMetadata/RequestId") == answer.headers["x-amzn-requestid"]
    assert uuid.UUID(answer.headers["x-amzn-requestid"])


def test_an_error_has_its_request_id_directly_under_the_response(query: Query) -> None:
    answer = query.form("DescribeReplicationGroups", ReplicationGroupId="none-such")
    assert answer.status_code == 404
    root = document(answer)
    assert root.tag == f"{NAMESPACE}ErrorResponse"
    assert [child.tag.removeprefix(NAMESPACE) for child in root] == ["Error", "RequestId"]
    assert [child.tag.removeprefix(NAMESPACE) for child in root[0]] == ["Type", "Code", "Message"]
    assert (text(answer, "Error/Type"), code(answer)) == ("Sender", "ReplicationGroupNotFoundFault")
    assert text(answer, "RequestId") == answer.headers["x-amzn-requestid"]


def test_a_request_may_be_a_query_string(query: Query) -> None:
    answer = query.get(Action="DescribeReplicationGroups", Version="2015-02-02", MaxRecords="20")
    assert (answer.status_code, document(answer).tag) == (200, f"{NAMESPACE}DescribeReplicationGroupsResponse")
    assert code(query.get(Action="DescribeReplicationGroups", MaxRecords="19")) == "InvalidParameterValue"


def test_any_version_is_taken(query: Query) -> None:
    assert query.raw(b"Action=DescribeCacheClusters&Version=2014-12-01").status_code == 200
    assert query.raw(b"Action=DescribeCacheClusters").status_code == 200


@pytest.mark.parametrize("body", [b"", b"Version=2015-02-02", b"Action=", b"{}", b"&&&", b"=&=", b"Action"])
def test_a_request_without_an_action_is_refused(query: Query, body: bytes) -> None:
    answer = query.raw(body)
    assert (answer.status_code, code(answer)) == (400, "MissingAction")
    assert "Action" in message(answer)


def test_a_get_without_an_action_is_refused(query: Query) -> None:
    assert (query.get().status_code, code(query.get())) == (400, "MissingAction")


@pytest.mark.parametrize("name", ["MakeCoffee", "describereplicationgroups", "__class__", "<b>", "Ä" * 5000])
def test_an_unknown_action_is_refused_by_name(query: Query, name: str) -> None:
    answer = query.form(name)
    assert (answer.status_code, code(answer)) == (400, "InvalidAction")
    assert name[:40] in message(answer)
    assert len(answer.content) < 2000


def test_an_operation_that_is_not_built_is_refused_by_name(query: Query) -> None:
    answer = query.form("CreateServerlessCache", ServerlessCacheName="s", Engine="valkey")
    assert (answer.status_code, code(answer)) == (400, "UnsupportedOperation")
    assert "CreateServerlessCache is not built yet" in message(answer)


def test_operations_of_our_own_are_not_on_the_query_door(query: Query) -> None:
    assert code(query.form("DescribeNodes")) == "InvalidAction"


# ---- Query: forms ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "pairs",
    [
        [("SubnetIds.SubnetIdentifier.1", "a"), ("SubnetIds.SubnetIdentifier.2", "b"), ("SubnetIds.SubnetIdentifier.3", "c")],
        [("SubnetIds.member.1", "a"), ("SubnetIds.member.2", "b"), ("SubnetIds.member.3", "c")],
        [("SubnetIds.SubnetIdentifier.30", "c"), ("SubnetIds.SubnetIdentifier.4", "a"), ("SubnetIds.SubnetIdentifier.20", "b")],
    ],
    ids=["by the model", "by member", "sparse and unordered"],
)
def test_lists_are_read_in_every_form_that_clients_send(query: Query, pairs: list[tuple[str, str]]) -> None:
    answer = create_subnet_group(query, "sg", *((name, f"subnet-0000000{value}") for name, value in pairs))
    assert subnets(answer) == ["subnet-0000000a", "subnet-0000000b", "subnet-0000000c"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SubnetIds", "subnet-0000000a"),
        ("SubnetIds.SubnetIdentifier", "subnet-0000000a"),
        ("SubnetIds.SubnetIdentifier.0", "subnet-0000000a"),
        ("SubnetIds.SubnetIdentifier.-1", "subnet-0000000a"),
        ("SubnetIds.SubnetIdentifier.x", "subnet-0000000a"),
        ("SubnetIds.SubnetIdentifier.1.2", "subnet-0000000a"),
        ("SubnetIds.SubnetIdentifier.99999999999999999999", "subnet-0000000a"),
        ("SubnetIds.Something.1", "subnet-0000000a"),
        ("SubnetIds..1", "subnet-0000000a"),
        ("." * 500, "x"),
    ],
)
def test_a_list_in_no_form_is_refused(query: Query, name: str, value: str) -> None:
    answer = create_subnet_group(query, "sg", (name, value))
    assert answer.status_code == 400
    assert code(answer) in ("InvalidParameterValue", "MissingParameter", "MalformedQueryString")
    assert code(query.form("DescribeCacheSubnetGroups", CacheSubnetGroupName="sg")) == "CacheSubnetGroupNotFoundFault"


def test_an_item_that_is_given_twice_is_refused(query: Query) -> None:
    twice = [("SubnetIds.SubnetIdentifier.1", "subnet-0000000a"), ("SubnetIds.member.1", "subnet-0000000b")]
    assert "more than once" in message(create_subnet_group(query, "sg", *twice))


def test_an_empty_text_and_a_bare_list_are_as_if_not_given(query: Query) -> None:
    blank = {"ReplicationGroupId": "", "Marker": "", "MaxRecords": ""}
    assert query.form("DescribeReplicationGroups", **blank).status_code == 200
    blank = {"EngineVersion": "", "CacheParameterGroupName": "", "CacheSubnetGroupName": "", "SecurityGroupIds": "", "Tags": ""}
    answer = query.form("CreateCacheCluster", CacheClusterId="c", Engine="redis", NumCacheNodes="2", **blank)
    assert "exactly 1 node" in message(answer)  # nothing before that was found wrong


@pytest.mark.parametrize("said", ["true", "True", "TRUE"])
def test_booleans_are_read_in_any_case(query: Query, said: str) -> None:
    assert query.form("DescribeCacheClusters", ShowCacheNodeInfo=said).status_code == 200


@pytest.mark.parametrize("said", ["yes", "1", "tru", "null", "true\x00"])
def test_a_boolean_that_is_none_is_refused(query: Query, said: str) -> None:
    answer = query.form("DescribeCacheClusters", ShowCacheNodeInfo=said)
    assert (answer.status_code, code(answer)) == (400, "InvalidParameterValue")
    assert "ShowCacheNodeInfo: it must be true or false" in message(answer)


@pytest.mark.parametrize("said", ["twenty", "20.0", "1e2", "0x20", "٢٠", "99999999999", "-", "+20", " 20"])
def test_a_number_that_is_none_is_refused(query: Query, said: str) -> None:
    answer = query.form("DescribeReplicationGroups", MaxRecords=said)
    assert (answer.status_code, code(answer)) == (400, "InvalidParameterValue")
    assert "MaxRecords" in message(answer)


def test_what_is_given_twice_is_refused(query: Query) -> None:
    answer = query.form("DescribeReplicationGroups", ("MaxRecords", "20"), ("MaxRecords", "30"))
    assert "MaxRecords: it is given more than once" in message(answer)


def test_a_missing_parameter_is_named(query: Query) -> None:
    answer = query.form("CreateReplicationGroup", ReplicationGroupId="g")
    assert (answer.status_code, code(answer)) == (400, "MissingParameter")
    assert "ReplicationGroupDescription" in message(answer)


def test_a_parameter_of_a_newer_model_is_passed_over(query: Query) -> None:
    assert query.form("DescribeReplicationGroups", SomethingNewer="1").status_code == 200


@pytest.mark.parametrize(
    "body",
    [b"Action=\xff\xfe", b"\xff", b"Action=Describe%FF%FE", b"Action=DescribeReplicationGroups&ReplicationGroupId=%C3%28"],
)
def test_bytes_that_are_no_text_are_refused(query: Query, body: bytes) -> None:
    answer = query.raw(body)
    assert (answer.status_code, code(answer)) == (400, "MalformedQueryString")


@pytest.mark.parametrize("value", ["%", "%zz", "a%00b", "%0d%0aX-Evil:%201", "%3Cscript%3E%26"])
def test_odd_characters_come_back_as_well_formed_xml(query: Query, value: str) -> None:
    answer = query.raw(f"Action=DescribeReplicationGroups&ReplicationGroupId={value}".encode())
    assert (answer.status_code, code(answer)) == (404, "ReplicationGroupNotFoundFault")
    assert "x-evil" not in answer.headers


@pytest.mark.parametrize("kind", ["application/json", "multipart/form-data; boundary=x", "text/plain", ""])
def test_a_body_of_another_kind_is_refused(query: Query, kind: str) -> None:
    answer = query.raw(b'{"Action": "DescribeReplicationGroups"}', {"Content-Type": kind})
    assert (answer.status_code, code(answer)) == (400, "MissingAction")


def test_too_many_parameters_are_refused(query: Query) -> None:
    answer = query.raw(b"Action=DescribeReplicationGroups" + b"&a=1" * 20_000)
    assert (answer.status_code, code(answer)) == (400, "MalformedQueryString")


@pytest.mark.parametrize("announced", [True, False], ids=["announced", "in chunks"])
def test_a_huge_body_is_refused_by_both_doors(query: Query, rest: httpx.Client, announced: bool) -> None:
    huge = b"Action=DescribeReplicationGroups&Marker=" + b"x" * 2_000_000
    answer = query.client.post("/", content=huge if announced else iter([huge[:10], huge[10:]]), headers=FORM)
    assert (answer.status_code, code(answer)) == (413, "RequestEntityTooLarge")
    huge = b'{"replication_group_id": "' + b"x" * 2_000_000 + b'"}'
    answer = rest.post("/replication-groups", content=huge if announced else iter([huge[:10], huge[10:]]))
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "RequestEntityTooLarge")


# ---- Worlds ---------------------------------------------------------------------------------------------------------------


def test_accounts_and_regions_do_not_see_each_other(server: LocalServer, account: str) -> None:
    here = server.client(account_id=account)
    elsewhere = [server.client(account_id=account, region_name="eu-west-1"), server.client(account_id=str(uuid.uuid4().int)[:12])]
    group = {"ReplicationGroupId": "same", "ReplicationGroupDescription": "d", "Engine": "valkey", "EngineVersion": "8.1"}
    here.create_replication_group(**group)
    for other in elsewhere:
        assert other.describe_replication_groups()["ReplicationGroups"] == []
        assert other.describe_cache_clusters()["CacheClusters"] == []
        with pytest.raises(other.exceptions.ReplicationGroupNotFoundFault):
            other.delete_replication_group(ReplicationGroupId="same")
        other.create_replication_group(**group)
    shown = []
    for client in (here, *elsewhere):
        client.get_waiter("replication_group_available").wait(ReplicationGroupId="same")
        shown += client.describe_replication_groups(ReplicationGroupId="same")["ReplicationGroups"]
    arns = [one["ARN"] for one in shown]
    assert arns[:2] == [f"arn:aws:elasticache:{region}:{account}:replicationgroup:same" for region in ("us-east-1", "eu-west-1")]
    assert len(set(arns)) == 3
    zones = [one["NodeGroups"][0]["NodeGroupMembers"][0]["PreferredAvailabilityZone"] for one in shown]
    assert zones == ["us-east-1a", "eu-west-1a", "us-east-1a"]
    assert len({one["NodeGroups"][0]["PrimaryEndpoint"]["Address"] for one in shown}) == 3
    here.delete_replication_group(ReplicationGroupId="same")
    here.get_waiter("replication_group_deleted").wait(ReplicationGroupId="same")
    for other in elsewhere:
        assert other.describe_replication_groups(ReplicationGroupId="same")["ReplicationGroups"][0]["Status"] == "available"
        assert not [event for event in other.describe_events()["Events"] if "deleted" in event["Message"]]
        other.delete_replication_group(ReplicationGroupId="same")
        other.get_waiter("replication_group_deleted").wait(ReplicationGroupId="same")


def test_zones_are_named_after_the_region(rest: httpx.Client) -> None:
    zones = rest.get("/zones", headers={"X-Region": "ap-southeast-2"}).json()["zones"]
    assert [zone["zone"] for zone in zones] == ["ap-southeast-2a", "ap-southeast-2b", "ap-southeast-2c"]


def test_an_access_key_that_is_no_account_belongs_to_the_default_account(server: LocalServer) -> None:
    name = f"sg-{uuid.uuid4().hex[:8]}"
    for key in ("AKIAIOSFODNN7EXAMPLE", "12345", "1234567890123"):
        with httpx.Client(base_url=server.url, headers=signed(key)) as client:
            answer = create_subnet_group(Query(client), f"{name}-{key.lower()}")
            assert text(answer, "CreateCacheSubnetGroupResult/CacheSubnetGroup/ARN") == (
                f"arn:aws:elasticache:us-east-1:000000000000:subnetgroup:{name}-{key.lower()}"
            )


def test_a_signature_in_the_query_string_chooses_the_world(server: LocalServer) -> None:
    scope = "123456789012/20260101/eu-north-1/elasticache/aws4_request"
    fields = {"Action": "DescribeCacheParameterGroups", "CacheParameterGroupName": "default.redis7", "X-Amz-Credential": scope}
    answer = httpx.get(server.url, params=fields)
    assert "arn:aws:elasticache:eu-north-1:123456789012:parametergroup:default.redis7" in answer.text


@pytest.mark.parametrize(
    "header", ["x", "AWS4-HMAC-SHA256", "AWS4-HMAC-SHA256 Credential=a/b/c", "Bearer é", "Credential=" + "/" * 5000]
)
def test_a_broken_signature_is_no_failure(server: LocalServer, header: str) -> None:
    answer = httpx.get(server.url, params={"Action": "DescribeServiceUpdates"}, headers={"Authorization": header.encode()})
    assert answer.status_code == 200


def test_both_doors_show_one_world(query: Query, rest: httpx.Client) -> None:
    made = rest.post("/subnet-groups", json={
        "cache_subnet_group_name": "both", "cache_subnet_group_description": "d", "subnet_ids": ["subnet-0000000a"]
    })  # fmt: skip
    assert made.status_code in (200, 202), made.text
    assert subnets(query.form("DescribeCacheSubnetGroups", CacheSubnetGroupName="both")) == ["subnet-0000000a"]


# ---- Every operation of the model -----------------------------------------------------------------------------------------


def least(shape: Any, name: str = "") -> Any:
    """The smallest value that botocore accepts for a shape."""
    match shape.type_name:
        case "structure":
            return {member: least(shape.members[member], member) for member in shape.required_members}
        case "list":
            return [least(shape.member, name)]
        case "string":
            return shape.enum[0] if getattr(shape, "enum", None) else "x"
        case "boolean":
            return False
        case "integer" | "long":
            return 1
        case "double" | "float":
            return 1.0
        case "timestamp":
            return "2026-01-01T00:00:00Z"
    raise AssertionError(shape.type_name)


@pytest.mark.parametrize("name", MODEL.operation_names)
def test_every_operation_of_the_model_gives_an_honest_answer(server: LocalServer, account: str, name: str) -> None:
    client = server.client(account_id=account, config=botocore.config.Config(retries={"total_max_attempts": 1}))
    operation = MODEL.operation_model(name)
    asked = least(operation.input_shape)
    try:
        answer = getattr(client, botocore.xform_name(name))(**asked)
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200
    except client.exceptions.ClientError as refused:
        status, error = refused.response["ResponseMetadata"]["HTTPStatusCode"], refused.response["Error"]
        assert 400 <= status < 500
        assert error["Message"]
        typed = {shape.metadata.get("error", {}).get("code", shape.name) for shape in operation.error_shapes}
        if error["Code"] == "UnsupportedOperation":
            assert f"{name} is not built yet" in error["Message"]
        else:
            assert error["Code"] in typed | COMMON_CODES
    _clean(client)


def _clean(client: Any) -> None:
    """What a smallest request created goes again."""
    for group in client.describe_replication_groups()["ReplicationGroups"]:
        name = group["ReplicationGroupId"]
        client.get_waiter("replication_group_available").wait(ReplicationGroupId=name)
        client.delete_replication_group(ReplicationGroupId=name)
        client.get_waiter("replication_group_deleted").wait(ReplicationGroupId=name)


def test_the_model_is_the_one_we_know() -> None:
    assert len(MODEL.operation_names) >= 75


# ---- REST -----------------------------------------------------------------------------------------------------------------


def problem(answer: httpx.Response) -> tuple[int, str]:
    """Status and code, and the form that every refusal has."""
    assert answer.headers["content-type"] == "application/json"
    error = answer.json()["error"]
    assert set(error) == {"code", "message", "request_id"}
    assert error["message"]
    return answer.status_code, error["code"]


def test_a_refusal_has_the_services_code_and_its_request_id(rest: httpx.Client) -> None:
    answer = rest.get("/replication-groups/none-such")
    assert problem(answer) == (404, "ReplicationGroupNotFoundFault")
    assert answer.json()["error"]["message"] == "ReplicationGroup none-such not found"
    assert answer.json()["error"]["request_id"] == answer.headers["x-amzn-requestid"]


@pytest.mark.parametrize("path", ["/nothing", "/nothing%0A", "/replication-groups/a/b/c", "/../etc/passwd", "/%00", "/é"])
def test_a_path_that_does_not_exist_is_said_so_in_json(rest: httpx.Client, path: str) -> None:
    answer = rest.get(path)
    assert problem(answer) == (404, "ResourceNotFound")
    assert answer.json()["error"]["message"] == "There is nothing at this path; /docs lists what there is."


def test_a_line_break_in_a_path_is_part_of_a_name(rest: httpx.Client) -> None:
    answer = rest.get("/replication-groups/a%0Ab")
    assert problem(answer) == (404, "ReplicationGroupNotFoundFault")
    assert "a\nb not found" in answer.json()["error"]["message"]


@pytest.mark.parametrize("duration", [-1, 0, 20161])
def test_a_number_out_of_its_bounds_is_refused_by_both_doors(query: Query, rest: httpx.Client, duration: int) -> None:
    answer = rest.get("/events", params={"duration": duration})
    assert problem(answer) == (400, "InvalidParameterValue")
    assert "duration" in answer.json()["error"]["message"]
    assert code(query.form("DescribeEvents", Duration=str(duration))) == "InvalidParameterValue"


def test_paths_outside_v1_are_said_to_be_nothing_in_json(server: LocalServer) -> None:
    assert problem(httpx.get(f"{server.url}/v2/replication-groups")) == (404, "ResourceNotFound")
    assert problem(httpx.get(f"{server.url}/favicon.ico")) == (404, "ResourceNotFound")


@pytest.mark.parametrize(
    ("method", "path"), [("PUT", "/replication-groups"), ("DELETE", "/replication-groups"), ("POST", "/zones")]
)
def test_a_method_that_a_path_does_not_take_is_said_so_in_json(rest: httpx.Client, method: str, path: str) -> None:
    assert problem(rest.request(method, path)) == (405, "MethodNotAllowed")


@pytest.mark.parametrize(
    ("body", "fragment"),
    [
        ({"replication_group_id": "g"}, "replication_group_description"),
        ({"replication_group_id": "g", "replication_group_description": "d", "ReplicationGroupId": "g"}, "ReplicationGroupId"),
        ({"replication_group_id": "g", "replication_group_description": "d", "colour": "red"}, "colour"),
        ({"replication_group_id": 5, "replication_group_description": "d"}, "replication_group_id"),
        ({"replication_group_id": None, "replication_group_description": "d"}, "replication_group_id"),
        ({"replication_group_id": ["g"], "replication_group_description": "d"}, "replication_group_id"),
        ({"replication_group_id": "g", "replication_group_description": "d", "num_cache_clusters": "many"}, "num_cache_clusters"),
        ({"replication_group_id": "g", "replication_group_description": "d", "num_cache_clusters": 2.5}, "num_cache_clusters"),
        ({"replication_group_id": "g", "replication_group_description": "d", "num_cache_clusters": {}}, "num_cache_clusters"),
        ({"replication_group_id": "g", "replication_group_description": "d", "num_cache_clusters": 10**30}, "NumCacheClusters"),
        ({"replication_group_id": "g", "replication_group_description": "d", "tags": {"a": "b"}}, "tags"),
        ({"replication_group_id": "g", "replication_group_description": "d", "tags": [{"key": "a", "color": 1}]}, "tags.0"),
        ({"replication_group_id": "\ud800", "replication_group_description": "d"}, "surrogate"),
        ({"replication_group_id": "g", "replication_group_description": "\udfff"}, "surrogate"),
        ({"replication_group_id": "g", "replication_group_description": "d", "port": "\ud800"}, "port"),
        ({"replication_group_id": "g", "replication_group_description": "d", "\ud800": 1}, "unicode"),
        ([], "body"),
        ("text", "body"),
        (None, "body"),
        (7, "body"),
    ],
)  # fmt: skip
def test_a_body_that_does_not_fit_is_refused_with_what_to_change(rest: httpx.Client, body: Any, fragment: str) -> None:
    answer = rest.post("/replication-groups", content=json.dumps(body), headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert problem(answer)[1] in ("InvalidParameterValue", "MissingParameter")
    assert fragment in answer.json()["error"]["message"]
    assert rest.get("/replication-groups").json()["replication_groups"] == []


@pytest.mark.parametrize(
    "content", [b"", b"{", b"not json", b"\xff\xfe", b'{"a": 1}}', b"[" * 100_000, b'{"port": ' + b"9" * 5000 + b"}"]
)
def test_a_body_that_is_no_json_is_refused(rest: httpx.Client, content: bytes) -> None:
    answer = rest.post("/replication-groups", content=content, headers={"Content-Type": "application/json"})
    assert problem(answer) in ((400, "InvalidParameterValue"), (400, "MissingParameter"))


@pytest.mark.parametrize(
    "query", ["max_records=5", "max_records=x", "marker=x", "max_records=20&max_records=30x", "replication_group_id=none-such"]
)
def test_a_query_that_does_not_fit_is_refused(rest: httpx.Client, query: str) -> None:
    status, _ = problem(rest.get(f"/replication-groups?{query}"))
    assert status in (400, 404)


@pytest.mark.parametrize("headers", [{"X-Account-Id": "1"}, {"X-Account-Id": "a" * 12}, {"X-Region": "Mars"}, {"X-Region": ""}])
def test_a_world_that_does_not_exist_is_refused(rest: httpx.Client, headers: dict[str, str]) -> None:
    assert problem(rest.get("/replication-groups", headers=headers)) == (400, "InvalidParameterValue")


@pytest.mark.parametrize("prefer", ["", "wait", "wait=", "wait=-1", "wait=x", "wait=99999999999", "respond-async"])
def test_a_preference_that_is_none_is_passed_over(rest: httpx.Client, prefer: str) -> None:
    assert rest.get("/replication-groups", headers={"Prefer": prefer}).status_code == 200


def test_a_group_lives_through_rest_in_snake_case(rest: httpx.Client) -> None:
    body = {
        "replication_group_id": "orders", "replication_group_description": "d", "engine": "valkey", "engine_version": "8.1",
        "num_cache_clusters": 2, "multi_az_enabled": True, "automatic_failover_enabled": True,
        "tags": [{"key": "a", "value": "b"}],
    }  # fmt: skip
    created = rest.post("/replication-groups", json=body)
    assert (created.status_code, created.json()["replication_group"]["status"]) == (202, "creating")
    shown = rest.get("/replication-groups/orders", headers={"Prefer": "wait=20"})
    group = shown.json()["replication_group"]
    assert (shown.status_code, group["status"], group["multi_az"]) == (200, "available", "enabled")
    assert group["member_clusters"] == ["orders-001", "orders-002"]
    changed = rest.patch(
        "/replication-groups/orders", json={"replication_group_description": "new"}, headers={"Prefer": "wait=20"}
    )
    assert (changed.status_code, changed.json()["replication_group"]["description"]) == (200, "new")
    nodes = rest.get("/nodes", params={"replication_group_id": "orders"}).json()["nodes"]
    assert [(node["node"], node["role"], node["in_sync"]) for node in nodes] == [
        ("orders-001", "primary", True), ("orders-002", "replica", True)
    ]  # fmt: skip
    assert all(node["process_id"] and node["engine_binary"]["engine"] == "valkey" for node in nodes)
    cluster = rest.get("/cache-clusters/orders-002").json()["cache_cluster"]
    assert (cluster["replication_group_id"], cluster["cache_nodes"][0]["cache_node_id"]) == ("orders", "0001")
    again = rest.post("/replication-groups", json=body)
    assert problem(again) == (400, "ReplicationGroupAlreadyExists")
    deleted = rest.delete("/replication-groups/orders", headers={"Prefer": "wait=20"})
    assert (deleted.status_code, deleted.json()["replication_group"]["status"]) == (200, "deleted")
    assert rest.get("/replication-groups").json() == {"replication_groups": []}


def test_the_documentation_and_the_description_are_served(server: LocalServer) -> None:
    page = httpx.get(f"{server.url}/docs")
    assert (page.status_code, "swagger" in page.text.lower()) == (200, True)
    described = httpx.get(f"{server.url}/openapi.json").json()
    paths = described["paths"]
    assert {"post", "get"} <= set(paths["/v1/replication-groups"])
    assert {"get", "patch", "delete"} <= set(paths["/v1/replication-groups/{replication_group_id}"])
    responses = {status for path in paths.values() for call in path.values() for status in call["responses"]}
    assert responses <= {"200", "202", "400", "404", "4XX"}
    assert all(call["summary"] for path in paths.values() for call in path.values())


def test_health_is_answered(server: LocalServer) -> None:
    assert httpx.get(f"{server.url}/healthz").status_code == 200


def test_events_are_streamed_as_they_happen_to_their_world_alone(server: LocalServer, rest: httpx.Client, account: str) -> None:
    def follow(headers: dict[str, str], until: str) -> list[dict[str, Any]]:
        seen: list[dict[str, Any]] = []
        with httpx.stream("GET", f"{server.url}/v1/events/stream", headers=headers, timeout=30) as stream:
            assert stream.headers["content-type"].startswith("text/event-stream")
            following.append(headers)
            for line in stream.iter_lines():
                if line.startswith("data: "):
                    seen.append(json.loads(line.removeprefix("data: ")))
                    if seen[-1]["message"] == until:
                        break
        return seen

    def make(client: httpx.Client, name: str) -> None:
        body = {"replication_group_id": name, "replication_group_description": "d", "engine": "valkey", "engine_version": "8.1"}
        assert client.post("/replication-groups", json=body, headers={"Prefer": "wait=20"}).status_code == 200
        assert client.delete(f"/replication-groups/{name}", headers={"Prefer": "wait=20"}).status_code == 200

    following: list[dict[str, str]] = []
    stranger = {"X-Account-Id": str(uuid.uuid4().int)[:12]}
    with ThreadPoolExecutor(2) as pool:
        ours = pool.submit(follow, {"X-Account-Id": account}, "Replication group ours deleted")
        theirs = pool.submit(follow, stranger, "Replication group theirs deleted")
        wait_until(lambda: len(following) == 2)
        make(rest, "ours")
        with httpx.Client(base_url=f"{server.url}/v1", headers=stranger, timeout=30) as other:
            make(other, "theirs")
        messages = [event["message"] for event in ours.result(30)]
        assert {"Cache cluster created", "Replication group ours created"} < set(messages)
        assert messages[-1] == "Replication group ours deleted"
        assert {event["source_identifier"] for event in ours.result()} <= {"ours", "ours-001"}
        assert {event["source_identifier"] for event in theirs.result(30)} <= {"theirs", "theirs-001"}
