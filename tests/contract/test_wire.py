"""The Query wire against botocore's own serializer and parser, against the service's written habits, and against strangers.

The first part makes a Shape for every input and output of the service model, so it knows no operation by name. The
tables after it hold what the model does not say.
"""

from __future__ import annotations

import json
import string
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum
from functools import cache
from typing import Annotated, Any
from xml.etree import ElementTree

import pytest
from botocore import xform_name
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.parsers import create_parser
from botocore.serialize import QuerySerializer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import Field, ValidationError, create_model, model_validator

from api_schemas.faults import (
    CacheSubnetGroupNotFound,
    Fault,
    InternalFailure,
    InvalidAction,
    InvalidParameterValue,
    MalformedQueryString,
    MissingParameter,
    ReplicationGroupNotFound,
)
from api_schemas.shape import Aws, Shape
from controlplane.api.problems import fault_of
from controlplane.api.wire import MOST_PAIRS, Wire

MODEL: dict[str, Any] = Loader().load_service_model("elasticache", "service-2", "2015-02-02")
SERVICE = ServiceModel(MODEL)
WIRE = Wire(MODEL)
OPERATIONS = sorted(MODEL["operations"])
NAMESPACE = "http://elasticache.amazonaws.com/doc/2015-02-02/"
Pairs = list[tuple[str, str]]

few = settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


# ---- Shapes and values made from the model ---------------------------------------------------------------------------------
SCALARS = {"string": str, "integer": int, "boolean": bool, "double": float, "timestamp": datetime}


@cache
def annotation_for(name: str) -> Any:
    shape = MODEL["shapes"][name]
    match shape["type"]:
        case "structure":
            fields: dict[str, Any] = {
                xform_name(member): (Annotated[annotation_for(part["shape"]) | None, Aws(member)], None)
                for member, part in shape["members"].items()
            }
            return create_model(name, __base__=Shape, **fields)
        case "list":
            return list[annotation_for(shape["member"]["shape"])]  # type: ignore[misc]
        case scalar:
            return SCALARS[scalar]


@cache
def values_of(name: str, *, text: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    """Values as a boto3 caller gives them: the model's member names, any of the members."""
    shape = MODEL["shapes"][name]
    moments = st.datetimes(datetime(1970, 1, 2), datetime(2200, 1, 1), timezones=st.just(timezone(timedelta(hours=-7))))
    match shape["type"]:
        case "structure":
            members = {member: values_of(part["shape"], text=text) for member, part in shape["members"].items()}
            return st.fixed_dictionaries({}, optional=members)
        case "list":
            return st.lists(values_of(shape["member"]["shape"], text=text), max_size=3)
        case scalar:
            return {
                "string": text,
                "integer": st.integers(-(2**31), 2**31 - 1),
                "boolean": st.booleans(),
                "double": st.floats(allow_nan=False, allow_infinity=False),
                "timestamp": moments.map(lambda moment: moment.replace(microsecond=moment.microsecond // 1000 * 1000)),
            }[scalar]


def in_our_words(name: str, value: Any, *, keep_empty: bool) -> Any:
    """A caller's value by our field names. Without ``keep_empty``, None for what botocore does not write at all."""
    shape = MODEL["shapes"][name]
    if shape["type"] == "structure":
        members = shape["members"]
        said = {xform_name(m): in_our_words(members[m]["shape"], v, keep_empty=keep_empty) for m, v in value.items()}
        kept = {field: inner for field, inner in said.items() if inner is not None}
        return kept if kept or keep_empty else None
    if shape["type"] == "list":
        items = [in_our_words(shape["member"]["shape"], item, keep_empty=keep_empty) for item in value]
        kept_items = [item for item in items if item is not None]
        return kept_items if kept_items or not value or keep_empty else None
    return value


def serialized(operation: str, asked: dict[str, Any]) -> Pairs:
    """The pairs that botocore sends."""
    body = QuerySerializer().serialize_to_request(asked, SERVICE.operation_model(operation))["body"]
    return [(name, str(value)) for name, value in body.items()]


def parsed(operation: str, document: bytes, status: int = 200) -> dict[str, Any]:
    """What botocore makes of a document."""
    response = {"body": document, "headers": {}, "status_code": status}
    read: dict[str, Any] = create_parser("query").parse(response, SERVICE.operation_model(operation).output_shape)
    return read


sent_text = st.text(min_size=1, max_size=20)
written_text = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"), max_size=20) | st.just(
    "a <b> & \"c\" 'd' ]]>\r\n\t"
)


@pytest.mark.parametrize("operation", OPERATIONS)
@few
@given(data=st.data())
def test_what_botocore_sends_is_what_was_asked(operation: str, data: st.DataObject) -> None:
    name = MODEL["operations"][operation]["input"]["shape"]
    asked = data.draw(values_of(name, text=sent_text))
    said = WIRE.decode(operation, serialized(operation, asked), annotation_for(name))
    assert said == (in_our_words(name, asked, keep_empty=False) or {})
    annotation_for(name).model_validate(said)


@pytest.mark.parametrize("operation", [name for name in OPERATIONS if "output" in MODEL["operations"][name]])
@few
@given(data=st.data())
def test_what_botocore_reads_is_what_was_answered(operation: str, data: st.DataObject) -> None:
    name = MODEL["operations"][operation]["output"]["shape"]
    answer = data.draw(values_of(name, text=written_text))
    shape = annotation_for(name).model_validate(in_our_words(name, answer, keep_empty=True))
    read = parsed(operation, WIRE.encode(operation, shape, "r-1"))
    assert read.pop("ResponseMetadata")["RequestId"] == "r-1"
    assert read == answer


def test_the_installed_model_is_found_without_botocore_s_loader() -> None:
    assert Wire.load().operations == WIRE.operations == frozenset(OPERATIONS)


# ---- Shapes written by hand, as the real ones are --------------------------------------------------------------------------
class Engine(StrEnum):
    VALKEY = "valkey"


class Tag(Shape):
    key: str
    value: str = ""


class NodeGroupConfiguration(Shape):
    node_group_id: str | None = None
    slots: str | None = None
    replica_count: int | None = Field(default=None, ge=0, le=5)
    replica_availability_zones: list[str] | None = None


class CreateReplicationGroup(Shape):
    replication_group_id: str
    replication_group_description: str
    engine: Engine | None = None
    auth_token: str | None = Field(default=None, min_length=16)
    engine_version: str | None = None
    num_cache_clusters: int | None = None
    multi_az_enabled: Annotated[bool | None, Aws("MultiAZEnabled")] = None
    preferred_cache_cluster_azs: Annotated[list[str] | None, Aws("PreferredCacheClusterAZs")] = None
    node_group_configuration: list[NodeGroupConfiguration] = Field(default_factory=list)
    tags: Annotated[list[Annotated[Tag, "item"]] | None, "list"] = None
    security_group_ids: list[str] | None = None
    cache_security_group_names: list[str] | None = None
    user_group_ids: list[str] | None = None
    console_colour: str | None = None

    @model_validator(mode="after")
    def _counts_agree(self) -> CreateReplicationGroup:
        if self.num_cache_clusters == 0:
            raise ValueError("there must be a node")
        return self


class Endpoint(Shape):
    address: str
    port: int


class NodeGroup(Shape):
    node_group_id: str
    status: str
    primary_endpoint: Endpoint | None = None


class PendingModifiedValues(Shape):
    primary_cluster_id: str | None = None


class ReplicationGroup(Shape):
    replication_group_id: str
    description: str | None = None
    engine: Engine = Engine.VALKEY
    status: str = "available"
    pending_modified_values: PendingModifiedValues = PendingModifiedValues()
    member_clusters: list[str] = Field(default_factory=list)
    node_groups: list[NodeGroup] = Field(default_factory=list)
    cluster_enabled: bool = False
    snapshot_retention_limit: int = 0
    arn: Annotated[str | None, Aws("ARN")] = None
    create_time: Annotated[datetime | None, Aws("ReplicationGroupCreateTime")] = None
    console_colour: str = "green"


class ReplicationGroupResult(Shape):
    replication_group: ReplicationGroup


class Nothing(Shape):
    pass


def decoded(*pairs: tuple[str, str], takes: type[Shape] = CreateReplicationGroup) -> dict[str, Any]:
    return WIRE.decode("CreateReplicationGroup", pairs, takes)


NAMED = "NodeGroupConfiguration.NodeGroupConfiguration"


@pytest.mark.parametrize(
    ("pairs", "said"),
    [
        pytest.param([], {}, id="nothing"),
        pytest.param([("Action", "CreateReplicationGroup"), ("Version", "2014-12-01")], {}, id="the envelope is not a member"),
        pytest.param([("ReplicationGroupId", "Orders")], {"replication_group_id": "Orders"}, id="text as it is"),
        pytest.param([("Fancy.New.1", "x"), ("", "y"), (".", "z")], {}, id="names unknown to the model are passed over"),
        pytest.param([("EngineVersion", "")], {}, id="an empty text is not given"),
        pytest.param([("Port", ""), ("SnapshotArns", "")], {}, id="nor is an empty one that is not built"),
        pytest.param([("NumCacheClusters", "3")], {"num_cache_clusters": 3}, id="number"),
        pytest.param([("NumCacheClusters", "-3")], {"num_cache_clusters": -3}, id="number below zero"),
        *(pytest.param([("MultiAZEnabled", t)], {"multi_az_enabled": True}, id=f"bool {t}") for t in ("true", "True", "TRUE")),
        *(
            pytest.param([("MultiAZEnabled", t)], {"multi_az_enabled": False}, id=f"bool {t}")
            for t in ("false", "False", "FALSE")
        ),
        pytest.param([("CacheSecurityGroupNames", "")], {"cache_security_group_names": []}, id="bare prefix is an empty list"),
        pytest.param([("UserGroupIds.member.1", "")], {"user_group_ids": []}, id="an empty item is not given"),
        pytest.param(
            [("SecurityGroupIds.SecurityGroupId.1", "a"), ("SecurityGroupIds.SecurityGroupId.2", "b")],
            {"security_group_ids": ["a", "b"]},
            id="named element",
        ),
        pytest.param([("SecurityGroupIds.member.1", "a")], {"security_group_ids": ["a"]}, id="member in place of the name"),
        pytest.param([("UserGroupIds.member.1", "a")], {"user_group_ids": ["a"]}, id="member where there is no name"),
        pytest.param(
            [(f"UserGroupIds.member.{n}", str(n)) for n in (10, 9, 100, 1)],
            {"user_group_ids": ["1", "9", "10", "100"]},
            id="indices are sorted as numbers, gaps close",
        ),
        pytest.param(
            [("PreferredCacheClusterAZs.AvailabilityZone.1", "a")],
            {"preferred_cache_cluster_azs": ["a"]},
            id="name with capitals",
        ),
        pytest.param(
            [("Tags.Tag.2.Value", "v2"), ("Tags.Tag.1.Key", "k1"), ("Tags.Tag.2.Key", "k2")],
            {"tags": [{"key": "k1"}, {"value": "v2", "key": "k2"}]},
            id="list of structures",
        ),
        pytest.param(
            [
                (f"{NAMED}.1.Slots", "0-8191"),
                (f"{NAMED}.1.ReplicaCount", "1"),
                (f"{NAMED}.1.ReplicaAvailabilityZones.AvailabilityZone.1", "a"),
                (f"{NAMED}.2.ReplicaAvailabilityZones", ""),
            ],
            {
                "node_group_configuration": [
                    {"slots": "0-8191", "replica_count": 1, "replica_availability_zones": ["a"]},
                    {"replica_availability_zones": []},
                ]
            },
            id="doubled name and lists within",
        ),
    ],
)
def test_requests_are_read(pairs: Pairs, said: dict[str, Any]) -> None:
    assert decoded(*pairs) == said


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ([("NumCacheClusters", "x")], "Invalid value x for NumCacheClusters: it must be a whole number"),
        ([("NumCacheClusters", "1.0")], "Invalid value 1.0 for NumCacheClusters: it must be a whole number"),
        ([("NumCacheClusters", "٣")], "Invalid value ٣ for NumCacheClusters: it must be a whole number"),
        ([("NumCacheClusters", "2147483648")], "Invalid value 2147483648 for NumCacheClusters: it must be a whole number"),
        ([("NumCacheClusters", "9" * 99)], f"Invalid value {'9' * 57}... for NumCacheClusters: it must be a whole number"),
        ([("MultiAZEnabled", "yes")], "Invalid value yes for MultiAZEnabled: it must be true or false"),
        ([("MultiAZEnabled.member.1", "true")], "Invalid value for MultiAZEnabled: it has one value and no parts"),
        ([("EngineVersion", "8"), ("EngineVersion", "8")], "Invalid value for EngineVersion: it is given more than once"),
        ([("Port", "6380")], "Port is not built yet in Cachewright; leave it out."),
        ([("SnapshotArns.SnapshotArn.1", "a")], "SnapshotArns is not built yet in Cachewright; leave it out."),
        ([(f"{NAMED}.1.PrimaryOutpostArn", "a")], f"{NAMED}.1.PrimaryOutpostArn is not built yet in Cachewright; leave it out."),
        ([("Tags", "a")], "Invalid value a for Tags: it must be a list, written as Tags.Tag.1 and so on"),
        ([("Tags.Tag", "a")], "Invalid value for Tags: it must be a list, written as Tags.Tag.1 and so on"),
        ([("Tags.1.Key", "a")], "Invalid value for Tags: it must be a list, written as Tags.Tag.1 and so on"),
        ([("Tags.Tag.1", "a")], "Invalid value a for Tags.Tag.1: it has parts, such as Tags.Tag.1.Key"),
        ([("Tags.Tag.x.Key", "a")], "Invalid index x in Tags: items are numbered from 1 to 10000"),
        ([("Tags.Tag.0.Key", "a")], "Invalid index 0 in Tags: items are numbered from 1 to 10000"),
        ([("Tags.Tag.10001.Key", "a")], "Invalid index 10001 in Tags: items are numbered from 1 to 10000"),
        ([("Tags.Tag.-1.Key", "a")], "Invalid index -1 in Tags: items are numbered from 1 to 10000"),
        ([("Tags.Tag.1.Key", "a"), ("Tags.member.1.Key", "b")], "Invalid value for Tags: item 1 is given more than once"),
        ([("Tags.Tag.1.Key", "a"), ("Tags.Tag.01.Key", "b")], "Invalid value for Tags: item 1 is given more than once"),
    ],
)
def test_requests_are_refused(pairs: Pairs, message: str) -> None:
    with pytest.raises(InvalidParameterValue) as refused:
        decoded(*pairs)
    assert refused.value.message == message


@pytest.mark.parametrize(
    "pairs",
    [[("UserGroupIds" + ".member.1" * 50, "a")], [("." * 100_000, "")], [(f"x{n}", "") for n in range(MOST_PAIRS + 1)]],
    ids=["deep", "dots", "many"],
)
def test_requests_beyond_any_size_are_malformed(pairs: Pairs) -> None:
    with pytest.raises(MalformedQueryString):
        decoded(*pairs)


def test_an_unknown_operation_is_an_invalid_action() -> None:
    with pytest.raises(InvalidAction):
        WIRE.decode("Fly", [], Nothing)


class DescribeEvents(Shape):
    start_time: datetime | None = None


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2017-03-30T07:03:49.555Z", datetime(2017, 3, 30, 7, 3, 49, 555_000, UTC)),
        ("2017-03-30T07:03:49Z", datetime(2017, 3, 30, 7, 3, 49, tzinfo=UTC)),
        ("2017-03-30T07:03Z", datetime(2017, 3, 30, 7, 3, tzinfo=UTC)),
        ("2017-03-30T07:03:49", datetime(2017, 3, 30, 7, 3, 49, tzinfo=UTC)),
        ("2017-03-30T09:03:49+02:00", datetime(2017, 3, 30, 7, 3, 49, tzinfo=UTC)),
        ("2017-03-30", datetime(2017, 3, 30, tzinfo=UTC)),
    ],
)
def test_times_are_read(text: str, moment: datetime) -> None:
    read = WIRE.decode("DescribeEvents", [("StartTime", text)], DescribeEvents)["start_time"]
    assert (read, read.tzinfo) == (moment, UTC)


@pytest.mark.parametrize("text", ["soon", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2017-02-30", "1490857429"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(InvalidParameterValue, match=r"for StartTime: it must be a time such as"):
        WIRE.decode("DescribeEvents", [("StartTime", text)], DescribeEvents)


# ---- Answers -----------------------------------------------------------------------------------------------------------------
def answered(group: ReplicationGroup) -> str:
    return WIRE.encode("CreateReplicationGroup", ReplicationGroupResult(replication_group=group), "r-1").decode()


def test_an_answer_as_it_is_written() -> None:
    group = ReplicationGroup(
        replication_group_id="orders",
        member_clusters=["orders-001"],
        node_groups=[NodeGroup(node_group_id="0001", status="available", primary_endpoint=Endpoint(address="h", port=6379))],
        arn="arn:aws:elasticache:eu-central-1:000000000000:replicationgroup:orders",
        create_time=datetime(2020, 2, 26, 4, 11, 43, 808_999, UTC),
    )
    assert answered(group) == (
        f'<CreateReplicationGroupResponse xmlns="{NAMESPACE}"><CreateReplicationGroupResult><ReplicationGroup>'
        "<ReplicationGroupId>orders</ReplicationGroupId><Engine>valkey</Engine><Status>available</Status>"
        "<PendingModifiedValues></PendingModifiedValues><MemberClusters><ClusterId>orders-001</ClusterId></MemberClusters>"
        "<NodeGroups><NodeGroup><NodeGroupId>0001</NodeGroupId><Status>available</Status>"
        "<PrimaryEndpoint><Address>h</Address><Port>6379</Port></PrimaryEndpoint></NodeGroup></NodeGroups>"
        "<ClusterEnabled>false</ClusterEnabled><SnapshotRetentionLimit>0</SnapshotRetentionLimit>"
        "<ARN>arn:aws:elasticache:eu-central-1:000000000000:replicationgroup:orders</ARN>"
        "<ReplicationGroupCreateTime>2020-02-26T04:11:43.808Z</ReplicationGroupCreateTime>"
        "</ReplicationGroup></CreateReplicationGroupResult>"
        "<ResponseMetadata><RequestId>r-1</RequestId></ResponseMetadata></CreateReplicationGroupResponse>"
    )


@pytest.mark.parametrize(
    ("field", "value", "element"),
    [
        ("description", "a < b & c > d", "<Description>a &lt; b &amp; c &gt; d</Description>"),
        ("description", "\x00\x1b\ud800\uffff", "<Description>\ufffd\ufffd\ufffd\ufffd</Description>"),
        ("description", "a\r\nb", "<Description>a&#13;\nb</Description>"),
        ("description", "", "<Description></Description>"),
        ("member_clusters", [], "<MemberClusters></MemberClusters>"),
        ("cluster_enabled", True, "<ClusterEnabled>true</ClusterEnabled>"),
        ("create_time", datetime(2020, 2, 26, tzinfo=UTC), "2020-02-26T00:00:00.000Z"),
        ("create_time", datetime(2020, 2, 26, 1, tzinfo=timezone(timedelta(hours=2))), "2020-02-25T23:00:00.000Z"),
    ],
)
def test_values_are_written(field: str, value: object, element: str) -> None:
    group = ReplicationGroup(replication_group_id="orders").model_copy(update={field: value})
    assert element in answered(group)


@pytest.mark.parametrize(("number", "text"), [(50.0, "50.0"), (1e20, "100000000000000000000"), (1e-7, "0.0000001"), (3, "3.0")])
def test_doubles_are_plain_decimals(number: float, text: str) -> None:
    shape = annotation_for("ReservedCacheNodesOfferingMessage")
    answer = shape.model_validate({"reserved_cache_nodes_offerings": [{"fixed_price": number}]})
    document = WIRE.encode("DescribeReservedCacheNodesOfferings", answer, "r-1").decode()
    assert f"<FixedPrice>{text}</FixedPrice>" in document


def test_a_list_shape_with_a_name_of_its_own_is_written_under_both() -> None:
    answer = annotation_for("ReplicationGroupPendingModifiedValues").model_validate({"log_delivery_configurations": []})
    result = create_model(
        "Result",
        __base__=Shape,
        replication_group=(create_model("Group", __base__=Shape, pending_modified_values=(type(answer), answer)), ...),
    )
    document = WIRE.encode("ModifyReplicationGroup", result.model_validate({"replication_group": {}}), "r-1").decode()
    assert "<LogDeliveryConfigurations></LogDeliveryConfigurations><PendingLogDeliveryConfiguration>" in document


def test_absent_values_and_fields_of_our_own_are_not_written() -> None:
    document = answered(ReplicationGroup(replication_group_id="orders"))
    assert "Description" not in document
    assert "green" not in document


@pytest.mark.parametrize("operation", ["DeleteCacheParameterGroup", "DeleteCacheSubnetGroup", "DeleteCacheSecurityGroup"])
def test_operations_without_output_have_no_result_element(operation: str) -> None:
    document = WIRE.encode(operation, Nothing(), "r-1").decode()
    assert document == (
        f'<{operation}Response xmlns="{NAMESPACE}">'
        f"<ResponseMetadata><RequestId>r-1</RequestId></ResponseMetadata></{operation}Response>"
    )


@pytest.mark.parametrize(
    ("fault", "blame", "code"),
    [
        (ReplicationGroupNotFound("orders"), "Sender", "ReplicationGroupNotFoundFault"),
        (CacheSubnetGroupNotFound("a<b>&c"), "Sender", "CacheSubnetGroupNotFoundFault"),
        (InternalFailure("Please report it."), "Receiver", "InternalFailure"),
    ],
)
def test_faults_are_written(fault: Fault, blame: str, code: str) -> None:
    document = WIRE.error(fault, "r-1")
    read = parsed("DescribeReplicationGroups", document, fault.status)
    assert read["Error"] == {"Type": blame, "Code": code, "Message": fault.message}
    assert read["ResponseMetadata"]["RequestId"] == "r-1"
    assert [child.tag for child in ElementTree.fromstring(document)] == [f"{{{NAMESPACE}}}Error", f"{{{NAMESPACE}}}RequestId"]


# ---- Requests that a Shape refuses -------------------------------------------------------------------------------------------
GOOD = {"replication_group_id": "orders", "replication_group_description": "d"}
TOO_MANY = {"node_group_configuration": [{}, {"replica_count": 9}]}
INT_ITEM = {"user_group_ids": ["a", 7]}
COLOUR = {"colour": "red", "node_group_configuration": [{"colour": [1]}]}


@pytest.mark.parametrize(
    ("asked", "aws", "message"),
    [
        ({"engine": "mysql"}, True, "Invalid value mysql for Engine: it must be one of 'valkey'"),
        ({"engine": "mysql"}, False, "Invalid value mysql for engine: it must be one of 'valkey'"),
        (TOO_MANY, True, "Invalid value 9 for NodeGroupConfiguration.member.2.ReplicaCount: it must be at most 5"),
        (TOO_MANY, False, "Invalid value 9 for node_group_configuration.1.replica_count: it must be at most 5"),
        (INT_ITEM, True, "Invalid value 7 for UserGroupIds.member.2: it must be text"),
        ({"multi_az_enabled": {}}, False, "Invalid value for multi_az_enabled: it must be true or false"),
        (
            {"num_cache_clusters": "x" * 99},
            False,
            f"Invalid value {'x' * 57}... for num_cache_clusters: it must be a whole number",
        ),
        ({"num_cache_clusters": 0}, True, "Invalid value for the request: there must be a node"),
        ({"auth_token": "secret"}, True, "Invalid value for AuthToken: string should have at least 16 characters"),
        (
            COLOUR,
            False,
            "Invalid value for node_group_configuration.0.colour: there is no such parameter. "
            "Invalid value red for colour: there is no such parameter",
        ),
        ({"tags": ["a"]}, False, "Invalid value a for tags.0: it must be an object"),
        ({"tags": "a"}, False, "Invalid value a for tags: it must be a list"),
    ],
)
def test_a_refusal_names_the_place_and_what_was_expected(asked: dict[str, Any], aws: bool, message: str) -> None:
    with pytest.raises(ValidationError) as problem:
        CreateReplicationGroup.model_validate({**GOOD, **asked})
    fault = fault_of(problem.value, CreateReplicationGroup, aws=aws)
    assert isinstance(fault, InvalidParameterValue)
    assert fault.message == message


@pytest.mark.parametrize(
    ("asked", "aws", "name"),
    [
        ({}, True, "ReplicationGroupId"),
        ({}, False, "replication_group_id"),
        ({**GOOD, "tags": [{"key": "a"}, {}]}, True, "Tags.member.2.Key"),
    ],
)
def test_what_is_required_is_missed_by_name(asked: dict[str, Any], aws: bool, name: str) -> None:
    with pytest.raises(ValidationError) as problem:
        CreateReplicationGroup.model_validate(asked)
    fault = fault_of(problem.value, CreateReplicationGroup, aws=aws)
    assert isinstance(fault, MissingParameter)
    assert fault.message == f"The request must contain the parameter {name}"


def test_no_more_than_three_problems_are_told() -> None:
    with pytest.raises(ValidationError) as problem:
        CreateReplicationGroup.model_validate({**GOOD, **dict.fromkeys("abcde", 1)})
    assert fault_of(problem.value, CreateReplicationGroup, aws=False).message.count("there is no such parameter") == 3


def test_a_structure_of_the_model_needs_a_shape() -> None:
    class Wrong(Shape):
        tags: list[str] | None = None

    with pytest.raises(TypeError, match="holds no Shape"):
        decoded(takes=Wrong)


# ---- Strangers ---------------------------------------------------------------------------------------------------------------
STEPS = [
    *CreateReplicationGroup.aws_names().values(),
    *NodeGroupConfiguration.aws_names().values(),
    "Tag",
    "Key",
    "Value",
    "member",
]
steps = (
    st.sampled_from(STEPS)
    | st.sampled_from(["1", "2", "0", "-1", "10000", "10001", "01", "१", "²", "1e3", ""])
    | st.text(max_size=4)
)
names = st.lists(steps, max_size=12).map(".".join) | st.text(string.ascii_letters + ".0123456789", max_size=30)
texts = st.sampled_from(["", "true", "1", "x", "NaN", "٣", "\x00", "9" * 5000]) | st.text(st.characters(exclude_categories=[]))


@settings(max_examples=400, deadline=None)
@given(st.lists(st.tuples(names, texts), max_size=12))
def test_strangers_meet_nothing_but_faults(pairs: Pairs) -> None:
    fault = refusal_of(pairs)
    if fault is not None:
        assert 400 <= fault.status < 500
        assert len(fault.message) < 2_000
        assert parsed("CreateReplicationGroup", WIRE.error(fault, "r-1"), 400)["Error"]["Code"] == fault.code


def refusal_of(pairs: Iterable[tuple[str, str]]) -> Fault | None:
    try:
        CreateReplicationGroup.model_validate(decoded(*pairs))
    except Fault as fault:
        return fault
    except ValidationError as problem:
        return fault_of(problem, CreateReplicationGroup, aws=True)
    return None


@settings(max_examples=200, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from([*CreateReplicationGroup.model_fields, "key", "value", "slots"]) | st.text(max_size=3), inner
            )
        ),
        max_leaves=15,
    )
)
def test_strange_json_meets_nothing_but_faults(asked: object) -> None:
    try:
        CreateReplicationGroup.model_validate_json(json.dumps(asked))
    except ValidationError as problem:
        assert fault_of(problem, CreateReplicationGroup, aws=False).status == 400
