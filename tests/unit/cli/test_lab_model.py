"""The service model of the lab: made from the promises, and as shipped."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.model import ServiceModel

from api_schemas.lab import DESCRIBE_AGENTS, DESCRIBE_NODES
from cachewright.data import generate
from cachewright.models import Models, quick


@pytest.mark.parametrize("name", sorted(generate.files()))
def test_the_shipped_file_is_up_to_date(name: str) -> None:
    assert (generate.FOLDER / name).read_text() == generate.files()[name], "run python -m cachewright.data.generate"


def test_botocore_reads_the_model() -> None:
    model = ServiceModel(generate.service_model([DESCRIBE_AGENTS, DESCRIBE_NODES]), "lab")
    nodes = model.operation_model("DescribeNodes")
    assert nodes.http == {"method": "GET", "requestUri": "/v1/nodes"}
    asked = nodes.input_shape.members["ReplicationGroupId"]
    assert asked.serialization == {"location": "querystring", "name": "replication_group_id"}
    node = nodes.output_shape.members["Nodes"].member
    assert node.members["InSync"].type_name == "boolean"
    assert node.members["EngineBinary"].members["Version"].serialization == {"name": "version"}
    assert set(nodes.output_shape.required_members) == {"Nodes"}
    assert {error.error_code for error in nodes.error_shapes} >= {"ReplicationGroupNotFoundFault", "CacheClusterNotFound"}


def test_waiters_of_the_lab_name_operations_it_has() -> None:
    waiters = Models().load_service_model("lab", "waiters-2")["waiters"]
    known = {promise.name for promise in generate.our_promises()}
    assert waiters
    assert {waiter["operation"] for waiter in waiters.values()} <= known


def test_waiters_look_often_and_do_not_give_up_sooner() -> None:
    shipped = {"version": 2, "waiters": {"Slow": {"delay": 15, "maxAttempts": 40}, "Quick": {"delay": 0.1, "maxAttempts": 10}}}
    made: dict[str, Any] = quick(json.loads(json.dumps(shipped)))["waiters"]
    assert made["Slow"] == {"delay": 0.5, "maxAttempts": 1200}
    assert made["Quick"] == {"delay": 0.1, "maxAttempts": 10}
